"""Adapters that are not SoLa: what they compute, in pieces, saved and loaded, on real features."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kinoscope.data.features import Features, FeatureTime
from kinoscope.errors import FeatureError, OptionError
from kinoscope.sola import (
    Adapter,
    ControlOptions,
    Identity,
    MovingAverage,
    RandomAdapter,
    SoLa,
    SolaOptions,
    Whitening,
    join_streams,
    load_adapter,
    make_control,
)
from kinoscope.sola.adapter import is_adapted, raw_encoder

TIME = FeatureTime(8, 1, 2)
OPTIONS = SolaOptions(hidden=8)


def features(rows: int, width: int = 6, seed: int = 0) -> Features:
    values = np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32)
    return Features(values * np.arange(1, width + 1, dtype=np.float32), TIME, "tiny", "0" * 16)


def every_adapter() -> list[Adapter]:
    sola = SoLa(6, SolaOptions(hidden=8, dilation=2))
    sola.alpha.data.fill_(0.7)
    made = [
        make_control(kind, {"a": features(60)}, options=OPTIONS) for kind in ("identity", "moving-average", "random")
    ]
    return [*made, Whitening.fitted([features(60)]), sola.eval().requires_grad_(False)]


@pytest.mark.parametrize("adapter", every_adapter(), ids=lambda adapter: adapter.kind)
def test_every_adapter_in_pieces_saved_loaded_and_once_only(adapter: Adapter, tmp_path: Path) -> None:
    source = features(37)
    whole = adapter(torch.from_numpy(source.values)[None])[0].detach().numpy()
    for rows in (1, 3, 10, 100):
        np.testing.assert_allclose(np.concatenate(list(adapter.blocks(source.values, rows))), whole, atol=1e-5)
    adapted = adapter.adapt(source)
    assert adapted.values.shape == (37, adapter.width) and adapted.time == TIME
    assert is_adapted(adapted.encoder) and raw_encoder(adapted.encoder) == "tiny"
    adapter.save(tmp_path / "a", source)
    again = load_adapter(tmp_path / "a")
    assert type(again) is type(adapter) and again.fingerprint() == adapter.fingerprint()
    np.testing.assert_array_equal(again.adapt(source).values, adapted.values)
    for refused in (adapted, features(5, 7), replace(source, encoder="other")):
        with pytest.raises(FeatureError):
            again.adapt(refused)


def test_adapters_differ_by_name_and_weights() -> None:
    labels = [tuple(adapter.labels(features(3)).values()) for adapter in every_adapter()]
    assert len({name for name, _ in labels}) == len({weights for _, weights in labels}) == 5


@given(st.sampled_from(["i3d-k400", "rgb+flow", "a & b", "", "x@160px", "sola"]))
def test_names_of_other_encoders_are_not_taken_for_adapters(name: str) -> None:
    assert not is_adapted(name) and raw_encoder(name) == name
    assert all(raw_encoder(f"{name}{adapter.tag}") == name for adapter in every_adapter()[:2])


# --- what they compute ---------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 30), st.sampled_from([1, 3, 5, 9]))
def test_the_moving_average_equals_its_slow_twin(rows: int, width: int) -> None:
    values = features(rows).values
    radius = width // 2
    slow = [values[max(i - radius, 0) : i + radius + 1].mean(axis=0) for i in range(rows)]
    np.testing.assert_allclose(MovingAverage(6, width).adapt(features(rows)).values, slow, atol=1e-4)


def test_identity_changes_nothing_but_the_name() -> None:
    adapted = Identity(6).adapt(features(9))
    np.testing.assert_array_equal(adapted.values, features(9).values)
    assert adapted.encoder == "tiny+identity"


def test_the_random_adapter_follows_its_seed_and_is_open() -> None:
    one, two, other = (RandomAdapter.drawn(6, OPTIONS, seed) for seed in (0, 0, 1))
    assert one.fingerprint() == two.fingerprint() != other.fingerprint() and float(one.alpha) == 1


def test_whitened_rows_have_no_mean_and_unit_covariance() -> None:
    videos = [features(50, seed=1), features(7, seed=2), features(90, seed=3)]
    whitening = Whitening.fitted(videos, variance=1.0)
    rows = np.concatenate([whitening.adapt(each).values for each in videos]).astype(np.float64)
    np.testing.assert_allclose(rows.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(np.cov(rows.T, bias=True), np.eye(6), atol=1e-4)


def test_whitening_keeps_what_explains_the_variance_and_blows_up_no_noise() -> None:
    rng = np.random.default_rng(0)
    flat = rng.normal(size=(200, 2)) @ rng.normal(size=(2, 6)) + 100  # two directions, far from the origin
    videos = [replace(features(200), values=flat.astype(np.float32))]
    assert Whitening.fitted(videos, variance=0.999).width == 2
    assert Whitening.fitted([features(300)], variance=0.5).width < 4
    with pytest.raises(FeatureError, match="all 3 rows are the same"):
        Whitening.fitted([replace(features(3), values=np.full((3, 6), 0.1, np.float32))])


@pytest.mark.parametrize(
    ("choice", "words"), [({"average_rows": 4}, "average_rows is 4"), ({"variance": 0.0}, "variance is 0.0")]
)
def test_impossible_controls(choice: dict[str, float], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        ControlOptions(**choice)  # type: ignore[arg-type]


# --- two streams ---------------------------------------------------------------------------------------------------


def test_streams_are_joined_by_time() -> None:
    rgb = features(20)
    slower = Features(np.arange(10, dtype=np.float32)[:, None], FeatureTime(4, 1, 1), "flow", "1" * 16)
    joined = join_streams(rgb, slower)
    assert joined.values.shape == (20, 7) and joined.encoder == "tiny & flow" and joined.time == rgb.time
    nearest = np.abs(rgb.time.centers(20)[:, None] - slower.time.centers(10)[None, :]).min(axis=1)
    chosen = slower.time.centers(10)[joined.values[:, 6].astype(int)]
    np.testing.assert_allclose(np.abs(chosen - rgb.time.centers(20)), nearest, atol=1e-9)


def test_streams_of_different_videos() -> None:
    with pytest.raises(FeatureError, match=r"one stream ends at 2.5 s, the other at 1.25 s"):
        join_streams(features(20), features(10))
