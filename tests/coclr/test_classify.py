"""Classifiers on a pretrained encoder: what learns and what does not, the chosen epoch, resuming."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from kinoscope.clips.reader import Clips
from kinoscope.coclr.classify import (
    ClassifyOptions,
    ClassifyTask,
    ClipClassifier,
    Mode,
    average_logits,
    classify_video,
)
from kinoscope.coclr.window_features import WindowEncoder, load_window_encoder
from kinoscope.engine import LoopOptions, fit
from kinoscope.errors import OptionError

from . import made_encoders

TRAIN, HELD = [0, 1, 2, 5, 6, 7], [3, 8]
LABELS = np.repeat([0, 1], 5)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> WindowEncoder:
    return load_window_encoder(made_encoders.encoder(tmp_path_factory.mktemp("encoder")))


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory, encoder: WindowEncoder) -> Clips:
    folder = tmp_path_factory.mktemp("films")
    return Clips(made_encoders.videos(folder, frames=12), ["rgb"], encoder.clips, cache=folder / "cache")


def task(clips: Clips, encoder: WindowEncoder, mode: Mode = "linear", **more: object) -> ClassifyTask:
    options = ClassifyOptions(mode, batch_size=6, **more)  # type: ignore[arg-type]
    return ClassifyTask(clips, LABELS, 2, encoder, options, train=TRAIN, validation=HELD)


def loop(epochs: int, **more: object) -> LoopOptions:
    return LoopOptions(epochs=epochs, batch_size=6, accelerator="cpu", **more)  # type: ignore[arg-type]


def accuracy(task: ClassifyTask) -> float:
    answers = [average_logits(classify_video(task.answer, task.clips, i, "rgb")).argmax() for i in range(len(LABELS))]
    return float((np.array(answers) == LABELS).mean())


def test_the_linear_probe_learns_and_leaves_the_encoder_alone(
    clips: Clips, encoder: WindowEncoder, tmp_path: Path
) -> None:
    made = task(clips, encoder)
    metrics = fit(made, tmp_path / "run", loop(15, validate_every=15), settings=made.settings())
    assert accuracy(made) >= 0.8 and metrics["validation_accuracy"] == float(made.best.score)
    before, after = encoder.network.state_dict(), made.classifier.encoder.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)  # the statistics of batch norm too


def test_fine_tuning_moves_the_encoder_slowly(clips: Clips, encoder: WindowEncoder, tmp_path: Path) -> None:
    made = task(clips, encoder, "finetune")
    rates = [group["lr"] for group in made.optimizers["classifier"].param_groups]
    assert rates == [1e-3, 1e-4] and made.optimizers["classifier"].param_groups[0]["weight_decay"] == 1e-3
    fit(made, tmp_path / "run", loop(2))
    before, after = dict(encoder.network.named_parameters()), dict(made.classifier.encoder.named_parameters())
    moved = max(float((before[name].cpu() - after[name]).abs().max().detach()) for name in before)
    assert 0 < moved < 1e-3  # two steps of Adam
    scratch = task(clips, encoder, "scratch")
    assert [group["lr"] for group in scratch.optimizers["classifier"].param_groups] == [1e-3, 1e-3]
    weights = next(scratch.classifier.encoder.parameters())
    assert not torch.equal(weights, next(encoder.network.parameters()))


def test_resumed_runs_end_with_the_same_bits(clips: Clips, encoder: WindowEncoder, tmp_path: Path) -> None:
    whole = task(clips, encoder)
    fit(whole, tmp_path / "whole", loop(3))
    part = task(clips, encoder)

    def break_off(step: int) -> None:
        if step == 1:
            raise RuntimeError("the power went out")

    part.after_step = break_off  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="power"):
        fit(part, tmp_path / "part", loop(3))
    again = task(clips, encoder)
    fit(again, tmp_path / "part", loop(3), resume=True)
    pairs = zip(whole.best.state_dict().values(), again.best.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_the_schedules_are_the_published_ones(clips: Clips, encoder: WindowEncoder) -> None:
    made = task(clips, encoder)
    for mode, total, drops in (("linear", 100, (60, 80)), ("finetune", 500, (400, 450)), ("scratch", 500, (300, 400))):
        made.options = replace(made.options, mode=mode)  # type: ignore[arg-type]
        assert made.options.all_epochs == total
        factors = [made.schedule(step, total) for step in range(total)]
        assert [step for step in range(1, total) if factors[step] != factors[step - 1]] == list(drops)
        assert factors[-1] == pytest.approx(0.01)


def test_the_best_epoch_is_kept_and_of_equal_ones_the_later(clips: Clips, encoder: WindowEncoder) -> None:
    made = task(clips, encoder)
    for score, value in ((0.5, 1.0), (0.9, 2.0), (0.8, 3.0), (0.9, 4.0), (0.1, 5.0)):
        nn.init.constant_(made.classifier.last.bias, value)
        made.best.keep(made.classifier, score)
    assert (made.answer.last.bias == 4).all() and not made.answer.training
    without = ClassifyTask(clips, LABELS, 2, encoder, ClassifyOptions("linear"), train=TRAIN)
    assert without.answer is without.classifier and without.validate() == {}


def test_samples_follow_from_their_generator(clips: Clips, encoder: WindowEncoder) -> None:
    made = task(clips, encoder)
    first, again, other = (made.sample(2, np.random.default_rng(seed))[0] for seed in (0, 0, 1))
    assert first.shape == (8, 32, 32, 3) and first.dtype == np.uint8
    assert (first == again).all() and (first != other).any()
    assert made.describe(3) == "1-0"


def test_ten_crops_at_test_time(clips: Clips, encoder: WindowEncoder) -> None:
    made = task(clips, encoder)
    first, again = (classify_video(made.answer, clips, 4, "rgb", 10) for _ in range(2))
    assert first.shape == (10, 2, 2) and (first == again).all()  # 12 samples: windows begin at 0 and 3


def test_heads_are_as_described() -> None:
    linear, deep = (ClipClassifier(nn.Flatten(), 6, 3, mode) for mode in ("linear", "finetune"))
    assert isinstance(linear.before, nn.BatchNorm1d) and isinstance(deep.before, nn.Dropout) and deep.before.p == 0.9
    clips = torch.randn(4, 6, 1, 1, 1)
    torch.testing.assert_close(linear.train()(clips), linear(7 * clips), atol=1e-4, rtol=1e-4)  # length does not count
    assert linear.before.training and not linear.encoder.training and deep.train().encoder.training


@pytest.mark.parametrize(
    "wrong", [{"mode": "x"}, {"epochs": 0}, {"batch_size": 1}, {"dropout": 1.0}, {"weight_decay": -1.0}, {"seed": -1}]
)
def test_impossible_options(wrong: dict[str, object]) -> None:
    with pytest.raises(OptionError):
        ClassifyOptions(**wrong)  # type: ignore[arg-type]
