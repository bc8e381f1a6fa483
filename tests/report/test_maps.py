from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinoscope.report import maps
from kinoscope.report.maps import change_over_time, similarity_map, target_map


def groups_of(rows: int, size: int) -> list[list[int]]:
    count = min(rows, size)
    return [
        [row for row in range(rows) if index * rows // count <= row < (index + 1) * rows // count]
        for index in range(count)
    ]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 12), st.integers(1, 15))
def test_a_cell_of_the_target_is_the_mean_over_the_pairs_that_training_compares(rows: int, size: int, reach: int):
    wanted = np.random.default_rng(rows * size).uniform(-1, 1, reach)
    times = np.arange(rows) * 0.5
    drawn = target_map(times.tolist(), wanted, "target", max_size=size)
    groups = groups_of(rows, size)
    assert np.allclose(drawn.times, [times[group].mean() for group in groups])
    for i, first in enumerate(groups):
        for j, second in enumerate(groups):
            known = [wanted[abs(a - b)] for a in first for b in second if abs(a - b) < reach]
            expected = sum(known) / len(known) if known else math.nan
            assert drawn.values[i, j] == pytest.approx(expected, abs=1e-12, nan_ok=True)


@given(st.integers(0, 400), st.integers(1, 160))
@settings(max_examples=40, deadline=None)
def test_the_target_lies_on_the_grid_of_the_features(rows: int, size: int):
    times = (3 + np.arange(rows) / 7).tolist()
    features = similarity_map(np.ones((rows, 2)), times, "raw", max_size=size, group="g")
    target = target_map(times, np.ones(4), "target", max_size=size, group="g")
    assert target.times == features.times and target.values.shape == features.values.shape
    assert target.group == features.group == "g"


@pytest.mark.parametrize(("rows", "width", "block"), [(40, 5, 4096), (40, 5, 7), (10, 5, 3), (9, 5, 4), (0, 2, 4)])
def test_change_over_time_compares_the_rows_before_with_those_from_here_on(rows, width, block, monkeypatch):
    monkeypatch.setattr(maps, "_ROWS_AT_ONCE", block)
    features = np.random.default_rng(rows).normal(size=(rows, 3)).astype(np.float32)
    found = change_over_time(features, width)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    for row in range(rows):
        if row < width or row + width > rows:
            assert np.isnan(found[row])
            continue
        before, after = unit[row - width : row].mean(axis=0), unit[row : row + width].mean(axis=0)
        cosine = before @ after / np.linalg.norm(before) / np.linalg.norm(after)
        assert found[row] == pytest.approx(1 - cosine, abs=1e-5)


def test_change_is_strongest_where_the_features_switch():
    features = np.repeat(np.eye(2), [60, 40], axis=0)
    change = change_over_time(features, 8)
    assert np.nanargmax(change) == 60 and np.nanmax(change) == pytest.approx(1)
