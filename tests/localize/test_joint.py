"""Joint training: the windows, what each loss teaches, padding, the same bits again, and a model that carries both."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kinoscope.data.feature_store import FeatureStore, feature_path
from kinoscope.data.features import Features, write_features
from kinoscope.data.padding import pad
from kinoscope.data.segments import Annotations, Segment
from kinoscope.data.training_part import training_part
from kinoscope.engine.seeds import seed_step
from kinoscope.errors import FeatureError, Interrupted, OptionError, OutputError
from kinoscope.localize.batches import padded_length
from kinoscope.localize.joint import JointTask, window_rows
from kinoscope.localize.localizer import ADAPTER, Localizer
from kinoscope.localize.task import LocalizeTask
from kinoscope.localize.train import train_localizer
from kinoscope.localize.train_options import LocalizeTrainOptions
from kinoscope.localize.training_data import TrainingData, read_training_data
from kinoscope.sola import (
    SoLa,
    SolaOptions,
    SolaTraining,
    adapter_folder,
    convert_folder,
    load_adapter,
    train_adapter,
)
from kinoscope.sola.windows import draw_window

from ..folders import files_below
from .test_train import LEARNING, OFFICIAL, QUICK, TIME, made

SOLA = SolaOptions(hidden=8)
SHORT = replace(QUICK, epochs=3, warmup_epochs=1)


def data(train: int = 6, lengths: tuple[int, ...] = ()) -> TrainingData:
    """Training data; videos may be cut to ``lengths``."""
    annotations, features = made(train, 0)
    for name, rows in zip(features, lengths, strict=False):
        features[name] = replace(features[name], values=features[name].values[:rows])
    return read_training_data(annotations, features)


def opened(task: JointTask, alpha: float = 0.7) -> JointTask:
    """With an adapter that does something."""
    for adapter in (task.adapter, task.adapter_average):
        adapter.alpha.data.fill_(alpha)
    return task


def batch(task: LocalizeTask, count: int = 4) -> dict[str, Any]:
    return task.collate([task.sample(index, np.random.default_rng(index)) for index in range(count)])


def state(folder: Path) -> dict[str, torch.Tensor]:
    """All weights of a saved model."""
    head, adapter = Localizer.load(folder).network, load_adapter(folder / ADAPTER)
    return {**head.state_dict(), **{f"adapter.{name}": tensor for name, tensor in adapter.state_dict().items()}}


def same(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def rows_of(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


# --- windows -------------------------------------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 60), st.integers(0, 99), st.sampled_from([SOLA, SolaOptions(size=3, step=3, margin=2)]))
def test_windows_are_those_of_the_adapters_own_training(length: int, seed: int, options: SolaOptions) -> None:
    values = 1 + np.arange(length, dtype=np.float32)[:, None]
    rows, valid = window_rows(length, options, np.random.default_rng(seed))
    window, expected = draw_window(values, options, np.random.default_rng(seed))
    np.testing.assert_array_equal(valid, expected)
    np.testing.assert_array_equal(values[rows][valid], window[options.positions][valid])
    assert rows.min() >= 0 and rows.max() < length
    if length >= options.window:
        assert valid.all() and rows.min() >= options.margin and rows.max() < length - options.margin


@pytest.mark.parametrize("options", [SOLA, replace(SOLA, distance="seconds", predictor=False, stop_gradient=False)])
def test_matching_in_a_padded_batch_equals_that_on_windows(options: SolaOptions) -> None:
    task = opened(JointTask(data(4, (60, 25, 9, 1)), QUICK, options))
    samples = [task.sample(index, np.random.default_rng(index)) for index in range(4)]
    losses = task.loss(task.collate(samples))

    windows, valid = [], []
    for index, (values, *_) in enumerate(samples):
        rng = np.random.default_rng(index)
        LocalizeTask.sample(task, index, rng)  # the crop's draws come first
        window, exists = draw_window(values, options, rng)
        windows.append(window)
        valid.append(exists)
    adapted = task.adapter(torch.from_numpy(np.stack(windows)), options.positions)
    assert task.joint.matching is not None
    expected = task.joint.matching(adapted, torch.from_numpy(np.stack(valid)), torch.full((4,), 2 * TIME.step))
    torch.testing.assert_close(losses["matching"], expected["loss"], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(losses["above_floor"], expected["above_floor"], rtol=1e-4, atol=1e-6)


# --- losses --------------------------------------------------------------------------------------------------------


def test_at_the_start_the_heads_loss_is_that_without_an_adapter() -> None:
    plain, joint = LocalizeTask(data(), QUICK), JointTask(data(), QUICK, SOLA, weight=0.5)
    losses = []
    for task in (plain, joint):
        seed_step(0, 0)  # drop path
        losses.append(task.loss(batch(task)))
    for name in ("class_loss", "offset_loss", "positives"):
        assert torch.equal(losses[0][name], losses[1][name])
    torch.testing.assert_close(losses[1]["loss"], losses[0]["loss"] + 0.5 * losses[1]["matching"])


def test_matching_teaches_adapter_and_predictor_but_not_the_head() -> None:
    gradients = []
    for weight in (0.0, 3.0):
        task = opened(JointTask(data(), QUICK, SOLA, weight))
        seed_step(0, 0)
        task.loss(batch(task))["loss"].backward()
        gradients.append({name: p.grad for name, p in task.joint.named_parameters() if p.grad is not None})
    for name, without in gradients[0].items():
        changed = not torch.equal(without, gradients[1][name])
        assert changed == name.startswith("adapter."), name
    taught = {name.split(".")[0] for name in gradients[1].keys() - gradients[0].keys()}
    assert taught == {"matching"} and all(g.abs().sum() > 0 for g in gradients[1].values())


def test_the_first_update_moves_the_gate_only() -> None:
    task = JointTask(data(), QUICK, replace(SOLA, predictor=False, stop_gradient=False))
    task.loss(batch(task))["loss"].backward()
    assert task.adapter.alpha.grad is not None and float(task.adapter.alpha.grad) != 0
    assert all(float(p.grad.abs().sum()) == 0 for p in task.adapter.conv_network.parameters() if p.grad is not None)


@pytest.mark.parametrize("options", [QUICK, replace(OFFICIAL, width=8, levels=2, max_length=96)])
def test_a_padded_batch_gives_what_each_video_gives_alone(options: LocalizeTrainOptions) -> None:
    task = opened(JointTask(data(4, (60, 25, 9, 1)), options, SOLA))
    task.joint.eval()
    videos = [task.data.features[video.name] for video in task.data.videos]
    values, mask = pad([each.values for each in videos], padded_length(60, task.head.options))
    together = task.head(task.adapter(values, mask=mask), mask)
    for place, video in enumerate(videos):
        adapted = task.adapter.adapt(video).values
        alone = task.head(*pad([adapted], padded_length(len(adapted), task.head.options)))
        for both, one in zip(together, alone, strict=True):
            points = one[0].shape[1]
            for batched, single in zip(both, one, strict=True):
                torch.testing.assert_close(batched[place, :points], single[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_monitored_are_the_gate_and_what_happens_to_similarity(weight: float) -> None:
    task = opened(JointTask(data(4, (60, 25, 9, 1)), QUICK, SOLA, weight))
    assert task.monitor() == {}
    given = batch(task)
    task.loss(given)
    figures = task.monitor()
    assert figures["gate"] == pytest.approx(np.tanh(0.7)) and figures["norm_ratio"] > 0
    assert {"cosine_7", "cosine_before_7", "effective_rank"} <= figures.keys()
    first = given["features"][0, given["rows"][0]].numpy()
    second = given["features"][1, given["rows"][1]].numpy()
    third = given["features"][2, given["rows"][2][given["valid"][2]]].numpy()
    cosines = [a @ b / np.linalg.norm(a) / np.linalg.norm(b) for x in (first, second, third) for a, b in pairwise(x)]
    assert figures["cosine_before_1"] == pytest.approx(np.mean(cosines), abs=1e-5)


@pytest.mark.parametrize("lengths", [(1,), (3, 1)])
def test_batches_of_one_and_videos_of_one_row(lengths: tuple[int, ...]) -> None:
    losses = (task := JointTask(data(len(lengths), lengths), QUICK, SOLA)).loss(batch(task, len(lengths)))
    losses["loss"].backward()
    assert all(value.isfinite() for value in losses.values())


def test_the_average_covers_both() -> None:
    task = JointTask(data(), QUICK, SOLA)
    before = [tensor.clone() for average, _ in task.averaged for tensor in average.state_dict().values()]
    with torch.no_grad():
        for parameter in (*task.head.parameters(), *task.adapter.parameters()):
            parameter.add_(1.0)
    task.after_step(0)
    after = [tensor for average, _ in task.averaged for tensor in average.state_dict().values()]
    assert len(after) == len(list(task.head.parameters())) + 7
    assert all(torch.allclose(new, old + 0.9, atol=1e-5) for old, new in zip(before, after, strict=True))


def test_the_adapter_has_rates_of_its_own() -> None:
    task = JointTask(data(), replace(QUICK, learning_rate=1e-4), SOLA)
    rates = {name: {group["lr"] for group in each.param_groups} for name, each in task.optimizers.items()}
    assert rates == {"head": {1e-4}, "adapter": {1e-3}, "predictor": {1e-3}}
    assert set(JointTask(data(), QUICK, SOLA, weight=0).optimizers) == {"head", "adapter"}


# --- training ------------------------------------------------------------------------------------------------------


def train(folder: Path, sola: str = "joint", options: LocalizeTrainOptions = SHORT, **more: object) -> Localizer:
    annotations, features = made(5, 0)
    more = {"sola_options": SOLA, "accelerator": "cpu", **more}
    return train_localizer(annotations, features, folder, options, sola=sola, **more)[0]  # type: ignore[arg-type]


def test_weight_0_is_unified_training(tmp_path: Path) -> None:
    train(tmp_path / "joint")
    train(tmp_path / "zero", sola_weight=0.0)
    train(tmp_path / "unified", "unified")
    assert same(state(tmp_path / "zero"), state(tmp_path / "unified"))
    assert not same(state(tmp_path / "joint"), state(tmp_path / "unified"))
    assert {"matching", "above_floor", "class_loss"} <= rows_of(tmp_path / "joint")[0].keys()
    assert "matching" not in rows_of(tmp_path / "unified")[0]


class Killed(BaseException):
    """In the place of SIGKILL: nothing is saved when it comes."""


@pytest.mark.parametrize("end", [Interrupted, Killed])
def test_resumed_it_ends_with_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: type[BaseException]
) -> None:
    train(tmp_path / "whole")
    after_step = JointTask.after_step

    def stop(task: JointTask, step: int) -> None:
        after_step(task, step)
        if step == 2:  # in the middle of the second epoch
            if end is Killed:
                raise Killed
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(JointTask, "after_step", stop)
    with pytest.raises(end):
        train(tmp_path / "run")
    monkeypatch.undo()
    assert not (tmp_path / "run" / ADAPTER).exists()
    with pytest.raises(OutputError, match=r"already holds a run(.|\n)*--resume"):
        train(tmp_path / "run")
    train(tmp_path / "run", resume=True, workers=1)
    assert same(state(tmp_path / "run"), state(tmp_path / "whole"))
    assert rows_of(tmp_path / "run") == rows_of(tmp_path / "whole")


@pytest.mark.parametrize(
    ("sola", "change", "words"),
    [
        ("joint", {"sola_options": replace(SOLA, lam=4.0)}, r"lam was 16.0, now 4.0"),
        ("joint", {"sola_weight": 0.5}, r"sola_weight was 1.0, now 0.5"),
        ("unified", {}, r"sola was 'joint', now 'unified'"),
        ("none", {"sola_options": SolaOptions()}, r"sola was 'joint', now None"),
        ("two-stage", {}, r"already holds a run of another kind"),
    ],
)
def test_a_run_is_not_resumed_as_another_kind(tmp_path: Path, sola: str, change: dict, words: str) -> None:
    train(tmp_path)
    before = files_below(tmp_path)
    with pytest.raises((OptionError, OutputError), match=words):
        train(tmp_path, sola, resume=True, **change)
    assert files_below(tmp_path) == before


def test_it_learns_and_the_saved_model_finds_what_validation_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    annotations, features = made()
    validated: list[list[Segment]] = []
    localize = JointTask.localize
    monkeypatch.setattr(JointTask, "localize", lambda *given: validated.extend(found := localize(*given)) or found)
    model, scores = train_localizer(
        annotations, features, tmp_path, LEARNING, sola="joint", sola_options=SOLA, accelerator="cpu"
    )
    assert scores["average_map"] > 0.8
    adapter = load_adapter(tmp_path / ADAPTER)
    assert isinstance(adapter, SoLa) and float(adapter.alpha) != 0
    adapted = [adapter.adapt(features[name]) for name in ("v6", "v7", "v8")]
    for loaded in (model, Localizer.load(tmp_path)):
        assert loaded.features.encoder == "net+sola" == adapted[0].encoder
        assert loaded.features.weight_hash == adapted[0].weight_hash
        assert loaded.localize_many(adapted) == validated
        with pytest.raises(FeatureError, match=r"encoder 'net', the model's from 'net\+sola'"):
            loaded.localize_features(features["v6"])


def test_both_losses_fall() -> None:
    task = JointTask(data(4), QUICK, replace(SOLA, predictor=False, stop_gradient=False), weight=3.0)
    optimizer, seen = torch.optim.AdamW(task.joint.parameters(), 5e-3), []
    for _ in range(40):
        losses = task.loss(batch(task))
        losses["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()
        seen.append({name: float(value.detach()) for name, value in losses.items()})
    for name, share in (("above_floor", 0.8), ("class_loss", 0.5), ("offset_loss", 0.5)):
        assert seen[-1][name] < share * seen[0][name], name


def test_features_of_a_folder_in_half_precision(tmp_path: Path) -> None:
    annotations, features = made(5, 0)
    (tmp_path / "in").mkdir()
    for name, each in features.items():
        np.save(tmp_path / "in" / f"{name}.npy", each.values.astype(np.float16))
        features[name] = Features(each.values.astype(np.float16).astype(np.float32), TIME)
    store = FeatureStore(tmp_path / "in", TIME)
    for place, source in (("a", store), ("b", features)):
        train_localizer(
            annotations, source, tmp_path / place, SHORT, sola="joint", sola_options=SOLA, accelerator="cpu"
        )
    assert same(state(tmp_path / "a"), state(tmp_path / "b"))


# --- two stages ----------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> tuple[Annotations, Path]:
    """Annotations with a split, and a folder of features."""
    annotations, features = made(4, 2)
    for name, each in features.items():
        write_features(feature_path(tmp_path / "in", name), each)
    return annotations, tmp_path / "in"


@pytest.fixture
def few_updates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kinoscope.sola.train._STEPS_PER_EPOCH", 2)


def test_two_stages_are_what_one_would_do_by_hand(
    folder: tuple[Annotations, Path], tmp_path: Path, few_updates: None
) -> None:
    annotations, raw = folder
    options = replace(SHORT, seed=3)
    store, hand = FeatureStore(raw), tmp_path / "hand"
    names = training_part(annotations, None).videos
    adapter = train_adapter(
        {name: store[name] for name in names}, adapter_folder(hand), SOLA, SolaTraining(seed=3), device="cpu"
    )
    convert_folder(adapter, store, hand)
    by_hand, scores = train_localizer(annotations, hand, tmp_path / "a", options, accelerator="cpu")

    more = {"sola": "two-stage", "sola_options": SOLA, "accelerator": "cpu"}
    at_once, again = train_localizer(annotations, raw, tmp_path / "b", options, **more)  # type: ignore[arg-type]
    assert same(dict(at_once.network.state_dict()), dict(by_hand.network.state_dict())) and scores == again
    assert at_once.features == by_hand.features
    assert load_adapter(tmp_path / "b" / ADAPTER).fingerprint() == adapter.fingerprint()
    assert sorted(FeatureStore(tmp_path / "b" / "features")) == sorted(store)

    resumed, _ = train_localizer(annotations, raw, tmp_path / "b", options, resume=True, **more)  # type: ignore[arg-type]
    assert same(dict(resumed.network.state_dict()), dict(at_once.network.state_dict()))
    in_memory, _ = train_localizer(annotations, dict(store), tmp_path / "c", options, **more)  # type: ignore[arg-type]
    assert same(dict(in_memory.network.state_dict()), dict(at_once.network.state_dict()))


def test_two_stages_begin_only_where_they_can_end(
    folder: tuple[Annotations, Path], tmp_path: Path, few_updates: None
) -> None:
    annotations, raw = folder
    more = {"sola": "two-stage", "sola_options": SOLA, "accelerator": "cpu"}
    with pytest.raises(OptionError, match="lies in the folder of its features"):
        train_localizer(annotations, raw, raw / "run", SHORT, **more)  # type: ignore[arg-type]
    train_localizer(annotations, raw, tmp_path / "run", SHORT, accelerator="cpu")
    for resume in (False, True):
        with pytest.raises(OutputError, match="already holds a run"):
            train_localizer(annotations, raw, tmp_path / "run", SHORT, resume=resume, **more)  # type: ignore[arg-type]
    assert not (tmp_path / "run" / "features").exists()


# --- bad input -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"sola": "both"}, "sola is 'both'"),
        ({"sola": "none", "sola_options": SolaOptions(lam=4, kernel=3)}, "kernel, lam belong to SoLa"),
        ({"sola": "none", "sola_options": SolaOptions(lam=4)}, "lam belongs to SoLa, but sola is 'none'"),
        ({"sola": "unified", "sola_weight": 2.0}, "sola_weight weighs losses"),
        ({"sola": "joint", "sola_weight": -1.0}, "sola_weight is -1.0"),
        ({"sola": "joint", "sola_weight": float("nan")}, "sola_weight is nan"),
    ],
)
def test_options_that_make_no_sense_are_told_before_training(tmp_path: Path, given: dict, words: str) -> None:
    with pytest.raises(OptionError, match=words):
        train_localizer(*made(2, 0), tmp_path / "run", SHORT, accelerator="cpu", **given)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("sola", ["two-stage", "joint", "unified"])
@pytest.mark.parametrize("encoder", ["net+sola", "net+mean5"])
def test_adapted_features_are_not_adapted_again(tmp_path: Path, sola: str, encoder: str) -> None:
    annotations, features = made(2, 0)
    adapted = {name: replace(each, encoder=encoder) for name, each in features.items()}
    with pytest.raises(FeatureError, match=r"adapted already(.|\n)*kinoscope extract"):
        train_localizer(annotations, adapted, tmp_path / "run", SHORT, sola=sola)  # type: ignore[arg-type]
    assert not (tmp_path / "run").exists()
