"""Videos in another number of rows: what stays where it is, in numbers and in time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinoscope.data.feature_resize import ResizedFeatures, resize, resized_grid
from kinoscope.data.features import Features, FeatureTime

TIMES = st.builds(FeatureTime, st.floats(1, 60), st.floats(1, 32), st.floats(1, 64), st.floats(-1, 5))


@settings(max_examples=60, deadline=None)
@given(TIMES, st.integers(1, 40), st.integers(1, 40), st.lists(st.floats(-3, 50), min_size=1, max_size=5))
def test_a_place_keeps_its_seconds(time: FeatureTime, before: int, rows: int, places: list[float]) -> None:
    features = Features(np.zeros((before, 2), np.float32), time, "net", "abc")
    found = resize(features, rows)
    grid, end = np.array(places), time.offset + ((before - 1) * time.stride + time.clip_length) / time.fps
    np.testing.assert_allclose(
        found.time.to_seconds(resized_grid(grid, before, rows)), time.to_seconds(grid), atol=1e-6
    )
    assert found.values.shape == (rows, 2) and (found.encoder, found.weight_hash) == ("net", "abc")
    assert found.time.duration == pytest.approx(end)


def test_the_published_seconds() -> None:
    """ActivityNet (section 1.9 of the sheet): the stride in frames is ((N - 1) · 16 + 16) / 192, as are the frames."""
    rows, grid = 150, np.array([0.0, 7.25, 191.0])
    features = Features(np.zeros((rows, 1), np.float32), FeatureTime(15, 16, 16))
    stride = ((rows - 1) * 16 + 16) / 192
    np.testing.assert_allclose(resize(features, 192).time.to_seconds(grid), (grid * stride + 0.5 * stride) / 15)


def test_rows_are_interpolated_from_edge_to_edge() -> None:
    line = np.linspace(0, 1, 8, dtype=np.float32)[:, None]
    features = {"v": Features(line, FeatureTime(10, 1, 1))}
    longer = ResizedFeatures(features, 16)
    assert list(longer) == ["v"] and len(longer) == 1
    assert longer["v"].values[[0, -1], 0].tolist() == [0, 1] and (np.diff(longer["v"].values[:, 0]) >= 0).all()
    np.testing.assert_allclose(ResizedFeatures(features, 8)["v"].values, line)
