"""The numbers behind "did similarity fall with distance?", against slow twins and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinoscope.sola import diagnostics
from kinoscope.sola.diagnostics import cosine_by_distance, effective_rank


def slow_cosine(a: np.ndarray, b: np.ndarray) -> float:
    lengths = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(x * x for x in b))
    return sum(x * y for x, y in zip(a, b, strict=True)) / lengths if lengths else 0.0


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 25), st.integers(1, 4), st.integers(0, 30), st.integers(1, 9), st.integers(0, 99))
def test_cosine_by_distance_is_the_mean_over_pairs(rows: int, width: int, most: int, block: int, seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32)
    values[seed % rows] *= seed % 2  # now and then a row of zeros
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(diagnostics, "_ROWS_AT_ONCE", block)
        found = cosine_by_distance(values, most)
    assert found.shape == (most + 1,)
    exact = values.astype(float)
    for distance in range(most + 1):
        pairs = [slow_cosine(exact[i], exact[i + distance]) for i in range(rows - distance)]
        expected = sum(pairs) / len(pairs) if pairs else math.nan
        assert found[distance] == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_a_turning_row_gives_the_cosine_of_its_angle() -> None:
    angle = 0.3 * np.arange(1000)
    found = cosine_by_distance(np.stack([np.cos(angle), np.sin(angle)], axis=1), 5)
    np.testing.assert_allclose(found, np.cos(0.3 * np.arange(6)), atol=1e-12)


def slow_rank(rows: np.ndarray) -> float:
    unit = [row / np.linalg.norm(row) for row in rows.astype(float) if np.linalg.norm(row)]
    squares = np.linalg.svd(np.stack(unit), compute_uv=False) ** 2
    share = [value / sum(squares) for value in squares]
    return math.exp(-sum(value * math.log(value) for value in share if value > 0))


@pytest.mark.parametrize(("rows", "width"), [(1, 4), (5, 20), (20, 5), (600, 7), (9, 9)])
def test_effective_rank_is_that_of_the_singular_values(rows: int, width: int) -> None:
    values = np.random.default_rng(rows).normal(size=(rows, width)).astype(np.float32)
    if rows > 1:
        values[rows // 2] = 0  # zeros count for nothing
    assert effective_rank(values) == pytest.approx(slow_rank(values), rel=1e-6)


def test_effective_rank_of_known_shapes() -> None:
    assert effective_rank(np.eye(6)) == pytest.approx(6)
    assert effective_rank(np.tile(3.0 * np.eye(4), (50, 1))) == pytest.approx(4)
    assert effective_rank(np.ones((300, 4))) == pytest.approx(1, abs=1e-9)
    assert effective_rank(np.array([[1.0, 0], [1, 0], [0, 2]])) == pytest.approx(3 / 4 ** (1 / 3))
    assert math.isnan(effective_rank(np.zeros((3, 2))))
    assert math.isnan(effective_rank(np.zeros((0, 2))))
