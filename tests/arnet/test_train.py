"""Training on small real videos: three stages, what they leave, that nothing but the inputs decides, bad input."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kinoscope.arnet import train as module
from kinoscope.arnet.model import load_adaptive
from kinoscope.arnet.options import ArNetOptions, ArNetTraining
from kinoscope.arnet.stages import CollapseWarning
from kinoscope.arnet.train import TrainedArNet
from kinoscope.data.clip_parts import Parts
from kinoscope.data.labelled_clips import LabelledClip
from kinoscope.engine.calibration import temperature
from kinoscope.engine.checkpoint import load_tree, same_tree
from kinoscope.engine.resume import CHECKPOINT
from kinoscope.errors import AnnotationError, Interrupted, KinoscopeError, OptionError, OutputError

from . import made

LEARNING = replace(made.TRAINING, single_epochs=6, joint_epochs=4, tune_epochs=2, passes=3, single_rate=2e-2)
STAGES = ["single-0", "single-1", "single-2", "joint", "tune"]


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    return made.coloured(tmp_path_factory.mktemp("films"))


@pytest.fixture(scope="module")
def looks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What was seen, for all runs whose networks of frames do not learn."""
    return tmp_path_factory.mktemp("looks")


@pytest.fixture(scope="module")
def learned(
    parts: Parts, looks: Path, tmp_path_factory: pytest.TempPathFactory, tiny_nets: None
) -> tuple[TrainedArNet, Path]:
    out = tmp_path_factory.mktemp("run") / "out"
    return made.train(parts, out, LEARNING, looks=looks), out


@contextmanager
def _interrupted_at(questions: Iterator[int], number: int) -> Iterator[Callable[[], bool]]:
    yield lambda: next(questions) == number


def networks_of(out: Path, stage: str) -> dict[str, torch.Tensor]:
    return load_tree(out / "stages" / stage / CHECKPOINT)["networks"]["network"]


def rows(out: Path, stage: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in (out / "stages" / stage / "metrics.jsonl").read_text().splitlines()]
    return [row for row in found if row["kind"] == "validation"]


# --- what is learned -----------------------------------------------------------------------------------------------


def test_colours_are_learned(learned: tuple[TrainedArNet, Path]) -> None:
    trained, _ = learned
    truth = trained.parts.numbers(trained.parts.test)
    assert (trained.test.argmax(1) == truth).mean() >= 0.8
    assert trained.recognizer.classes == ("blue", "green", "red") and not trained.missing and not trained.remarks
    heads = (7 + 6 + 5 + 3) * 3 + 4 * 10 * (8 + 10 + 2) + (7 + 3) * 11
    assert trained.parameters == heads


def test_what_was_trained_says_of_raw_videos_what_its_training_said(learned: tuple[TrainedArNet, Path]) -> None:
    trained, out = learned
    loaded = load_adaptive(out, device="cpu", runtime="torch")
    for recognizer in (trained.recognizer, loaded):
        found = [recognizer.recognize(clip.path) for clip in trained.parts.test]
        np.testing.assert_allclose([each.probabilities for each in found], trained.test, atol=1e-4)
        assert np.mean([each.spent.gmac for each in found]) == pytest.approx(trained.gmac)
        shares = np.bincount([step.action for each in found for step in each.steps], minlength=7) / (4 * len(found))
        assert shares == pytest.approx(list(trained.usage.values()))
        assert tuple(trained.usage) == recognizer.actions.names
    assert loaded.examples[0] == str(trained.parts.test[0].path.resolve())
    assert loaded.curve == trained.recognizer.curve and loaded.curve_of == "6 clips of the validation part"


def test_it_is_calibrated_on_validation_clips(learned: tuple[TrainedArNet, Path]) -> None:
    trained, _ = learned
    labels = trained.parts.numbers(trained.parts.validation)
    assert trained.recognizer.temperature == temperature(trained.validation, labels)
    found = [trained.recognizer.recognize(clip.path).logits for clip in trained.parts.validation]
    np.testing.assert_allclose(found, trained.validation, atol=1e-4)


def test_the_stages_come_one_after_the_other(
    parts: Parts, looks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each begins with what the one before ended with."""
    order, real = [], module.fit

    def note(task: Any, folder: Path, *more: Any, **options: Any) -> Any:
        order.append(folder.name)
        assert all(part.training for part in task.networks["network"].modules()), "dropout is on from the first update"
        return real(task, folder, *more, **options)

    monkeypatch.setattr(module, "fit", note)
    made.train(parts, tmp_path, looks=looks)
    assert order == STAGES and [len(rows(tmp_path, stage)) for stage in STAGES] == [1, 1, 1, 3, 1]
    frozen = replace(made.TRAINING, joint_rate=1e-30, tune_rate=1e-30)
    made.train(parts, tmp_path / "still", frozen, looks=looks)
    joint = networks_of(tmp_path / "still", "joint")
    for number in range(3):
        single = networks_of(tmp_path / "still", f"single-{number}")
        name = f"network.backbones.{number}.last.weight"
        torch.testing.assert_close(joint[name], single["part.last.weight"])
    order.clear()
    made.train(parts, tmp_path / "short", replace(made.TRAINING, tune_epochs=0), looks=looks)
    assert order == STAGES[:4]


@pytest.mark.parametrize(("finetune", "choices"), [(True, "most-probable"), (True, "sampled"), (False, "sampled")])
def test_the_policy_stays_to_the_last_bit_in_the_third_stage(
    parts: Parts, tmp_path: Path, finetune: bool, choices: Any
) -> None:
    """Its weights and its running means; those of the backbones go on."""
    made.train(parts, tmp_path, replace(made.TRAINING, tune_choices=choices), finetune=finetune)
    before, after = networks_of(tmp_path, "joint"), networks_of(tmp_path, "tune")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and not [name for name in changed if ".policy." in name]
    single = networks_of(tmp_path, "single-0")
    mean = "net.norm.running_mean"
    assert (f"network.backbones.0.{mean}" in changed) == finetune
    if finetune:
        fresh = made.nets()[-1].state_dict()["norm.running_mean"]
        assert not torch.equal(before[f"network.policy.{mean}"], fresh), "it did move in the second"
        assert not torch.equal(before[f"network.backbones.0.{mean}"], single[f"part.{mean}"])


def test_networks_of_frames_learn_too(parts: Parts, tmp_path: Path) -> None:
    training = replace(LEARNING, encoder_rate=1.0, single_epochs=3, joint_epochs=3, passes=2)
    trained = made.train(parts, tmp_path / "out", training, finetune=True)
    truth = trained.parts.numbers(trained.parts.test)
    assert (trained.test.argmax(1) == truth).mean() >= 0.8
    fresh = made.nets()[0].state_dict()
    own = trained.recognizer.network.backbones[0].net.state_dict()  # type: ignore[union-attr,operator]
    assert not torch.equal(fresh["layer.weight"], own["layer.weight"])
    loaded = load_adaptive(tmp_path / "out", device="cpu", runtime="torch")
    assert loaded.learned and trained.recognizer.learned
    assert made.same_state(trained.recognizer.network.state_dict(), loaded.network.state_dict())
    for clip, expected in zip(parts.test, trained.test, strict=True):
        np.testing.assert_allclose(loaded.recognize(clip.path).probabilities, expected, atol=1e-4)
    assert trained.parameters == sum(p.numel() for p in trained.recognizer.network.parameters())


@pytest.mark.parametrize(
    "options",
    [
        replace(made.QUICK, state="official"),
        replace(made.QUICK, kernel="nearest", crop=1.0, skips=()),
        ArNetOptions(backbones=("tiny-b",), policy="tiny-p", sizes=(48,), policy_size=32, segments=3, hidden=4),
    ],
    ids=["official-state", "nearest", "one-size"],
)
def test_other_options_train(parts: Parts, tmp_path: Path, options: ArNetOptions) -> None:
    trained = made.train(parts, tmp_path, options=options)
    assert trained.test.shape == (6, 3) and np.isfinite(trained.test).all()
    assert load_adaptive(tmp_path, device="cpu", runtime="torch").options == options


def test_the_published_recipe_in_small(parts: Parts, tmp_path: Path) -> None:
    short = {"single_epochs": 1, "joint_epochs": 2, "tune_epochs": 1, "batch_size": 4}
    training = ArNetTraining(**short).with_preset("official")  # type: ignore[arg-type]
    assert training.optimizer == "sgd" and training.single_epochs == 1
    trained = made.train(parts, tmp_path, training, finetune=True)
    assert np.isfinite(trained.test).all()


# --- nothing but the inputs decides --------------------------------------------------------------------------------


def test_equal_seeds_give_equal_bits(parts: Parts, looks: Path, tmp_path: Path) -> None:
    """Whether the videos were looked at before or not."""
    first = made.train(parts, tmp_path / "a", looks=looks)
    torch.rand(5)
    again = made.train(parts, tmp_path / "b")
    assert made.same_state(first.recognizer.network.state_dict(), again.recognizer.network.state_dict())
    np.testing.assert_array_equal(first.test, again.test)
    other = made.train(parts, tmp_path / "c", replace(made.TRAINING, seed=1), looks=looks)
    assert not np.array_equal(first.test, other.test)


@pytest.mark.parametrize(("finetune", "after"), [(False, 2), (True, 13)])
def test_an_interrupted_run_goes_on_to_the_same_bits(
    parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finetune: bool, after: int
) -> None:
    """Three updates for each of three backbones, then nine for all together."""
    stage = {2: "single-0", 13: "joint"}[after]
    training = replace(made.TRAINING, select="best") if finetune else made.TRAINING
    whole = made.train(parts, tmp_path / "whole", training, finetune=finetune)
    with monkeypatch.context() as patched:
        questions = iter(range(1, 1000))
        patched.setattr("kinoscope.engine.loop.deferred_interrupt", lambda: _interrupted_at(questions, after))
        with pytest.raises(Interrupted, match="--resume"):
            made.train(parts, tmp_path / "run", training, finetune=finetune)
    assert (tmp_path / "run" / "stages" / stage / CHECKPOINT).exists()
    assert not (tmp_path / "run" / "stages" / "tune").exists() and not (tmp_path / "run" / "config.json").exists()
    resumed = made.train(parts, tmp_path / "run", training, finetune=finetune, resume=True)
    for name in STAGES:
        trees = [load_tree(tmp_path / run / "stages" / name / CHECKPOINT) for run in ("run", "whole")]
        assert same_tree(*trees), name
    assert (tmp_path / "run/model.safetensors").read_bytes() == (tmp_path / "whole/model.safetensors").read_bytes()
    assert (tmp_path / "run/config.json").read_bytes() == (tmp_path / "whole/config.json").read_bytes()
    np.testing.assert_array_equal(resumed.test, whole.test)


def test_a_finished_run_is_read_again_and_not_overwritten(learned: tuple[TrainedArNet, Path], looks: Path) -> None:
    trained, out = learned
    again = made.train(trained.parts, out, LEARNING, looks=looks, resume=True)
    np.testing.assert_array_equal(again.test, trained.test)
    with pytest.raises(OutputError, match="already holds a run"):
        made.train(trained.parts, out, LEARNING, looks=looks)
    for training, told in (
        (replace(LEARNING, alpha=0.3), "alpha was 0.02, now 0.3"),
        (replace(LEARNING, joint_epochs=5), "joint_epochs was 4, now 5"),
    ):
        with pytest.raises(OptionError, match=told):
            made.train(trained.parts, out, training, looks=looks, resume=True)
    with pytest.raises(OptionError, match=r"networks\.hidden was 10"):
        made.train(trained.parts, out, LEARNING, replace(made.QUICK, hidden=11), looks=looks, resume=True)
    with pytest.raises(OptionError, match="clips was"):
        fewer = replace(trained.parts, train=trained.parts.train[1:])
        made.train(fewer, out, LEARNING, looks=looks, resume=True)
    with pytest.raises(OptionError, match="learns was"):
        made.train(trained.parts, out, LEARNING, finetune=True, resume=True)


# --- collapse ------------------------------------------------------------------------------------------------------


def test_a_policy_that_skips_everything_is_told(parts: Parts, looks: Path, tmp_path: Path) -> None:
    """Nothing but computation counts; the answers are those of the last frame that is looked at."""
    training = replace(made.TRAINING, alpha=0.999, uniform_weight=0.0, joint_epochs=8, passes=3, joint_rate=5e-2)
    with pytest.warns(CollapseWarning, match=r"collapsed(.|\n)*lower --alpha"):
        trained = made.train(parts, tmp_path, training, looks=looks)
    (remark,) = trained.remarks
    assert "lower --alpha, or raise --uniform-weight" in remark
    assert sum(trained.usage[name] for name in ("64 px", "48 px", "40 px")) < 0.05
    assert np.isfinite(trained.test).all() and trained.gmac <= 4 * trained.recognizer.costs.policy + 1e-12
    again = made.train(parts, tmp_path, training, looks=looks, resume=True)
    assert again.remarks == trained.remarks, "it is remembered"


# --- unusual and bad input -----------------------------------------------------------------------------------------


def test_several_labels_give_map(parts: Parts, looks: Path, tmp_path: Path) -> None:
    def also(clips: tuple[LabelledClip, ...]) -> tuple[LabelledClip, ...]:
        return (replace(clips[0], also=("green",)), *clips[1:])

    several = replace(parts, train=also(parts.train), validation=also(parts.validation), test=also(parts.test))
    trained = made.train(several, tmp_path, options=replace(made.QUICK, skips=()), looks=tmp_path / "looks")
    last = rows(tmp_path, "tune")[-1]
    assert last["validation_map"] == last["validation_score"] and "validation_accuracy" in last
    assert trained.recognizer.several and load_adaptive(tmp_path, device="cpu", runtime="torch").several
    logits, truth = torch.from_numpy(trained.validation).double().softmax(1).numpy(), np.zeros((6, 3), bool)
    for row, clip in enumerate(several.validation):
        truth[row, [trained.recognizer.classes.index(label) for label in clip.labels]] = True
    expected = np.mean([_average_precision(logits[:, k], truth[:, k]) for k in range(3)])
    assert last["validation_map"] == pytest.approx(expected, abs=1e-6)


def _average_precision(scores: np.ndarray, positive: np.ndarray) -> float:
    order = np.argsort(-scores, kind="stable")
    hits = [positive[order[: rank + 1]].mean() for rank in range(len(order)) if positive[order[rank]]]
    return float(np.mean(hits))


def test_clips_that_cannot_be_read_are_left_out_and_told(parts: Parts, looks: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    bad = LabelledClip("bad", tmp_path / "bad.mp4", "red")
    gone = LabelledClip("gone", tmp_path / "gone.mp4", "red")
    more = replace(parts, train=(*parts.train, bad), test=(gone, *parts.test))
    trained = made.train(more, tmp_path / "run", looks=looks)
    assert sorted(trained.missing) == ["bad", "gone"] and len(trained.parts.train) == 9 and len(trained.test) == 6
    assert "2 videos that cannot be read left out" in trained.parts.reason
    lonely = replace(parts, train=(parts.train[0], bad))
    with pytest.raises(AnnotationError, match=r"1 video cannot be read(.|\n)*nothing to tell apart"):
        made.train(lonely, tmp_path / "other", looks=looks)


def test_neither_validation_nor_test(parts: Parts, looks: Path, tmp_path: Path) -> None:
    trained = made.train(replace(parts, validation=(), test=()), tmp_path, looks=looks)
    assert trained.test.shape == (0, 3) and trained.validation.shape == (0, 3)
    assert trained.recognizer.curve_of == "9 clips of the training part" and trained.recognizer.curve
    assert trained.recognizer.temperature == 1


def test_rates_beyond_reason_are_told(parts: Parts, looks: Path, tmp_path: Path) -> None:
    wild = replace(made.TRAINING, single_rate=1e38, optimizer="sgd")
    with pytest.raises(KinoscopeError, match=r"finite|became nan"):
        made.train(parts, tmp_path, wild, looks=looks)


def test_networks_without_weights_must_learn(parts: Parts, tmp_path: Path) -> None:
    """They would stay random, and nothing would keep them."""
    options = replace(made.QUICK, backbones=("resnet18", "tiny-b", "tiny-c"))
    with pytest.raises(OptionError, match="no weights for resnet18"):
        made.train(parts, tmp_path, options=options)
