"""Training of the adapter: the loss against plain loops, short videos, the same bits again, and that it learns."""

from __future__ import annotations

import json
import math
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kinoscope.data.feature_store import FeatureStore, feature_path
from kinoscope.data.features import Features, FeatureTime, write_features
from kinoscope.errors import FeatureError, KinoscopeError, OptionError, OutputError
from kinoscope.sola import (
    SoLa,
    SolaOptions,
    SolaTraining,
    convert_folder,
    entropy_floor,
    load_adapter,
    similarity_matching,
    target_similarity,
    train_adapter,
)
from kinoscope.sola.train import SolaTask

from ..folders import files_below

OPTIONS = SolaOptions(hidden=8)
TIME = FeatureTime(8, 1, 1)
TRAINING = SolaTraining(recipe="official", epochs=3, batch_size=4, learning_rate=1e-3)


def video(rows: int, seed: int, width: int = 6) -> Features:
    """A walk at random: neighbours are alike."""
    rng = np.random.default_rng(seed)
    values = np.cumsum(rng.normal(size=(rows, width)), axis=0).astype(np.float32)
    return Features(values, FeatureTime(8, 1, 1, 0.0, rows / 8), "tiny", "f" * 16)


def videos(lengths: tuple[int, ...] = (50, 23, 22, 7, 1, 90)) -> dict[str, Features]:
    return {f"v{number}": video(rows, number) for number, rows in enumerate(lengths)}


# --- the loss ------------------------------------------------------------------------------------------------------


def slow_loss(z: np.ndarray, p: np.ndarray, lam: float, valid: np.ndarray) -> float:
    """Section 3 of the specification, one pair at a time."""
    total, count = 0.0, 0
    for b in range(len(z)):
        for i in range(z.shape[1]):
            for j in range(z.shape[1]):
                if not (valid[b, i] and valid[b, j]):
                    continue
                norms = math.sqrt(float(z[b, i] @ z[b, i])) * math.sqrt(float(p[b, j] @ p[b, j]))
                cosine = float(z[b, i] @ p[b, j]) / (norms + 1e-8)
                q = min(max((1 + cosine) / 2, 1e-5), 1 - 1e-5)
                t = 1.0 if i == j else 1 / (1 + math.exp(-lam / (i - j) ** 2))
                total -= t * math.log(q) + (1 - t) * math.log(1 - q)
                count += 1
    return total / max(count, 1)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 3), st.integers(2, 5), st.floats(0, 30), st.integers(0, 10**6), st.booleans())
def test_the_loss_equals_its_slow_twin(batch: int, size: int, lam: float, seed: int, masked: bool) -> None:
    rng = np.random.default_rng(seed)
    z, p = rng.normal(size=(2, batch, size, 3))
    valid = rng.random((batch, size)) < 0.6 if masked else np.ones((batch, size), bool)
    loss = similarity_matching(
        torch.from_numpy(z), torch.from_numpy(p), target_similarity(size, lam), torch.from_numpy(valid)
    )
    assert float(loss) == pytest.approx(slow_loss(z, p, lam, valid), abs=1e-9)


def test_no_mask_is_a_full_mask_and_an_empty_one_gives_zero() -> None:
    z, p, target = torch.randn(2, 3, 4), torch.randn(2, 3, 4), target_similarity(3, 16)
    full = similarity_matching(z, p, target, torch.ones(2, 3, dtype=torch.bool))
    torch.testing.assert_close(full, similarity_matching(z, p, target))
    assert float(similarity_matching(z, p, target, torch.zeros(2, 3, dtype=torch.bool))) == 0
    assert similarity_matching(z, p, target).shape == ()


@given(st.integers(2, 10), st.floats(0, 100))
def test_no_prediction_beats_the_floor(size: int, lam: float) -> None:
    target = target_similarity(size, lam)
    assert float(target.min()) >= 0.5 and torch.allclose(target, target.T, atol=1e-12)
    assert entropy_floor(target) <= math.log(2) + 1e-9
    guess = torch.rand(size, size, dtype=torch.float64).clamp(1e-5, 1 - 1e-5)
    assert float(torch.nn.functional.binary_cross_entropy(guess, target)) >= entropy_floor(target) - 1e-9


# --- windows -------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 60), st.integers(0, 99))
def test_a_window_holds_consecutive_rows_and_says_which_exist(rows: int, seed: int) -> None:
    values = 1 + np.arange(rows, dtype=np.float32)[:, None].repeat(2, axis=1)
    task = SolaTask({"v": Features(values, TIME)}, OPTIONS, TRAINING.resolve(1))
    window, valid, seconds = task.sample(0, np.random.default_rng(seed))
    assert window.shape == (23, 2) and valid.shape == (8,) and valid.dtype == bool and seconds == 0.25
    filled = window[:, 0] > 0
    assert filled.sum() == min(rows, 23) and (np.diff(window[filled, 0]) == 1).all()
    np.testing.assert_array_equal(valid, filled[4:19:2])  # exactly those at the positions 4, 6, ... 18


def test_the_official_recipe_leaves_out_what_is_no_longer_than_a_window() -> None:
    """Section 4; where nothing is left, short videos are padded."""
    task = SolaTask(videos((23, 24, 5, 30)), OPTIONS, TRAINING.resolve(4))
    assert len(task) == 2 and task.names == [list(task.videos)[1], list(task.videos)[3]]
    assert len(SolaTask(videos((23, 5)), OPTIONS, TRAINING.resolve(2))) == 2
    small = replace(TRAINING, recipe="small").resolve(4)
    assert len(SolaTask(videos((23, 24, 5, 30)), OPTIONS, small).names) == 4


def test_windows_of_a_video_shorter_than_a_window_see_what_conversion_sees() -> None:
    task = SolaTask({"v": video(9, 0)}, OPTIONS, TRAINING.resolve(1))
    task.adapter.alpha.data.fill_(0.8)
    window, *_ = task.sample(0, np.random.default_rng(0))
    adapted = task.adapter.adapt(video(9, 0)).values
    inside = task.adapter(torch.from_numpy(window)[None])[0, 7:16].detach().numpy()
    np.testing.assert_allclose(inside, adapted, atol=1e-5)


@pytest.mark.parametrize("lengths", [(1,), (2, 1), (30,), (5, 40)])
def test_batches_of_one_and_videos_of_one_row(lengths: tuple[int, ...]) -> None:
    task = SolaTask(videos(lengths), OPTIONS, TRAINING.resolve(1))
    rng = np.random.default_rng(0)
    for samples in ([0], [0, len(lengths) - 1]):
        losses = task.loss(task.collate([task.sample(index, rng) for index in samples]))
        losses["loss"].backward()
        assert all(math.isfinite(float(value.detach())) for value in losses.values())


# --- training ------------------------------------------------------------------------------------------------------


def train(folder: Path, **options: object) -> SoLa:
    features = videos((50, 24, 30, 40, 31, 90))
    return train_adapter(features, folder, OPTIONS, TRAINING, device="cpu", **options)  # type: ignore[arg-type]


def test_training_is_deterministic_and_leaves_a_model(tmp_path: Path) -> None:
    one, two = train(tmp_path / "a"), train(tmp_path / "b")
    assert one.fingerprint() == two.fingerprint() == load_adapter(tmp_path / "a").fingerprint()
    assert float(one.alpha) != 0 and not one.training and not any(p.requires_grad for p in one.parameters())
    rows = [json.loads(line) for line in (tmp_path / "a" / "metrics.jsonl").read_text().splitlines()]
    assert len(rows) == 6 and all({"loss", "above_floor"} <= row.keys() for row in rows)


def test_resumed_it_ends_with_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = train(tmp_path / "whole")

    def stop(_task: SolaTask, step: int) -> None:
        if step == 2:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(SolaTask, "after_step", stop)
    with pytest.raises(KinoscopeError, match="after update 3 of 6"):
        train(tmp_path / "run")
    assert not (tmp_path / "run" / "model.safetensors").exists()
    monkeypatch.undo()
    with pytest.raises(OutputError, match=r"already holds a run(.|\n)*--resume"):
        train(tmp_path / "run")
    assert train(tmp_path / "run", resume=True).fingerprint() == whole.fingerprint()


def test_resuming_on_other_features_is_refused(tmp_path: Path) -> None:
    train(tmp_path / "run")
    wider = {f"v{number}": video(40, number, width=7) for number in range(6)}
    with pytest.raises(OptionError, match="channels was 6, now 7"):
        train_adapter(wider, tmp_path / "run", OPTIONS, TRAINING, resume=True, device="cpu")


def test_the_loss_falls(tmp_path: Path) -> None:
    features = {f"v{number}": video(80, number) for number in range(8)}
    training = SolaTraining(recipe="small", epochs=3, batch_size=8)
    train_adapter(features, tmp_path, OPTIONS, training, device="cpu")
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    loss = [row["above_floor"] for row in rows]
    assert len(loss) == 150 and np.mean(loss[-20:]) < 0.7 * np.mean(loss[:20]) and min(loss) >= 0


# --- conversion ----------------------------------------------------------------------------------------------------


def test_a_folder_is_converted_under_the_same_names(tmp_path: Path) -> None:
    for name, each in {"a": video(30, 0), "d/b": video(1, 1)}.items():
        write_features(feature_path(tmp_path / "in", name), each)
    adapter = SoLa(6, OPTIONS)
    assert convert_folder(adapter, FeatureStore(tmp_path / "in"), tmp_path / "out") == 2
    converted = FeatureStore(tmp_path / "out").read_alike()
    assert list(converted) == ["a", "d/b"] and converted["d/b"].values.shape == (1, 6)
    with pytest.raises(OutputError, match=r"a\.safetensors: already holds features"):
        convert_folder(adapter, FeatureStore(tmp_path / "in"), tmp_path / "out")
    assert convert_folder(adapter, FeatureStore(tmp_path / "in"), tmp_path / "out", overwrite=True) == 2


def test_other_features_convert_to_nothing(tmp_path: Path) -> None:
    write_features(feature_path(tmp_path / "in", "a"), video(30, 0, width=7))
    with pytest.raises(FeatureError, match="7 channels"):
        convert_folder(SoLa(6, OPTIONS), FeatureStore(tmp_path / "in"), tmp_path / "out")
    assert not (tmp_path / "out").exists() or not files_below(tmp_path / "out")


def test_features_are_adapted_once(tmp_path: Path) -> None:
    adapter = train(tmp_path / "run")
    once = adapter.adapt(video(30, 0))
    with pytest.raises(FeatureError, match="are adapted already"):
        adapter.adapt(once)
    with pytest.raises(FeatureError, match="are adapted already"):
        train_adapter({"a": once}, tmp_path / "again", OPTIONS, TRAINING, device="cpu")


@pytest.mark.parametrize("predictor", [True, False])
def test_numbers_beyond_arithmetic_are_told_with_the_video(tmp_path: Path, predictor: bool) -> None:
    huge = video(30, 0)
    features = {"huge": Features(np.sign(huge.values) * np.float32(3e38), huge.time)}
    options = SolaOptions(hidden=8, predictor=predictor, stop_gradient=predictor)
    with pytest.raises(KinoscopeError, match=r"the loss became .*nan.* in a batch of: huge"):
        train_adapter(features, tmp_path, options, SolaTraining(epochs=1, batch_size=2), device="cpu")
