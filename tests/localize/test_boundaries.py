"""Change points of the similarity map: the checkerboard written out, its peaks, and videos where nothing happens."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinoscope.data.features import Features, FeatureTime
from kinoscope.errors import FeatureError, OptionError
from kinoscope.localize.boundaries import BoundaryOptions, boundaries_from_novelty, find_boundaries, novelty, peaks

TIME = FeatureTime(fps=8, stride=1, clip_length=2, offset=0.25)


def features(values: object, time: FeatureTime = TIME) -> Features:
    return Features(np.asarray(values, dtype=np.float32), time)


def scenes(lengths: list[int], width: int = 16, noise: float = 0.0, seed: int = 0) -> Features:
    """Stretches of rows that are alike, or nearly."""
    rng = np.random.default_rng(seed)
    rows = np.concatenate([np.tile(rng.normal(size=width), (length, 1)) for length in lengths])
    return features(rows + noise * rng.normal(size=rows.shape))


def checkerboard(found: Features, seconds: float) -> np.ndarray:
    """The sum over the similarity matrix with a Gaussian-tapered kernel, one moment and one pair of rows at a time."""
    rows = found.values.astype(np.float64)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    rows = rows / np.where(norms == 0, 1, norms)
    similarity, width = rows @ rows.T, seconds / found.time.step
    length = max(1, round(min(width, len(rows))))
    taper = [np.exp(-0.5 * ((a + 0.5) / (width / 2)) ** 2) for a in range(length)]
    curve = []
    for after in range(1, len(rows)):
        past = {after - 1 - a: w for a, w in enumerate(taper) if after - 1 - a >= 0}
        future = {after + a: w for a, w in enumerate(taper) if after + a < len(rows)}

        def mean(left: dict[int, float], right: dict[int, float]) -> float:
            total = sum(u * v * similarity[i, j] for i, u in left.items() for j, v in right.items())
            return total / (sum(left.values()) * sum(right.values()))

        within = (mean(past, past) + mean(future, future)) / 2
        curve.append((within - mean(past, future)) * min(sum(past.values()), sum(future.values())) / sum(taper))
    return np.array(curve)


@pytest.mark.parametrize("rows", [2, 3, 9, 40])
@pytest.mark.parametrize("seconds", [0.01, 0.5, 1.3, 20.0])
def test_novelty_is_the_checkerboard_on_the_matrix(rows: int, seconds: float) -> None:
    values = np.random.default_rng(rows).normal(size=(rows, 5))
    values[rows // 2] = 0
    found = features(values)
    expected = checkerboard(found, seconds)
    np.testing.assert_allclose(novelty(found, BoundaryOptions((seconds,))).values, expected, atol=1e-6)
    both = (expected + checkerboard(found, 0.75)) / 2
    np.testing.assert_allclose(novelty(found, BoundaryOptions((seconds, 0.75))).values, both, atol=1e-6)


def test_blocks_do_not_show() -> None:
    long = features(np.random.default_rng(0).normal(size=(700, 4)))
    curve = novelty(long, BoundaryOptions((1.0,))).values
    for first in (100, 248, 440):  # 8 rows are seen on each side
        part = novelty(features(long.values[first : first + 30]), BoundaryOptions((1.0,))).values
        np.testing.assert_allclose(curve[first + 8 : first + 21], part[8:21], atol=1e-6)


def test_changes_are_found_between_the_rows_where_they_are() -> None:
    found = scenes([16, 24, 40, 12])
    boundaries = find_boundaries(found)
    # row 16 is the first of the second scene; rows 15 and 16 are centred at 0.25 + 16 / 8 and 0.25 + 17 / 8
    assert [b.time for b in boundaries] == pytest.approx([0.25 + (row + 0.5) / 8 for row in (16, 40, 80)])
    assert all(0.5 < (b.score or 0) <= 1 for b in boundaries)


@pytest.mark.parametrize("noise", [0.02, 0.2, 0.5])
def test_noise_is_no_change(noise: float) -> None:
    lengths = [160, 240, 400, 120, 300]
    found = scenes(lengths, width=64, noise=noise)
    expected = [0.25 + (row + 0.5) / 8 for row in np.cumsum(lengths)[:-1]]
    assert [b.time for b in find_boundaries(found)] == pytest.approx(expected, abs=0.13)


def test_steady_noise_holds_no_boundary() -> None:
    rows = np.random.default_rng(0).normal(size=(2880, 64)) + 2  # six minutes
    assert find_boundaries(features(rows)) == []
    assert len(find_boundaries(features(rows), BoundaryOptions(jitter=0, least=0))) > 100


@pytest.mark.parametrize("rows", [1, 2, 3, 50])
@pytest.mark.parametrize("value", [0.0, 1.0, 1e30, -1e-30])
def test_a_video_that_never_changes_has_no_boundary(rows: int, value: float) -> None:
    found = features(np.full((rows, 3), value))
    assert find_boundaries(found) == []
    curve = novelty(found)
    assert curve.values.shape == curve.times.shape == (rows - 1,) and np.allclose(curve.values, 0, atol=1e-9)


@pytest.mark.parametrize("slope", [0.001, 0.05, 0.3])
def test_the_ends_of_a_video_are_no_boundaries(slope: float) -> None:
    angle = slope * np.arange(200)  # a slow turn without any event
    assert find_boundaries(features(np.stack([np.cos(angle), np.sin(angle)], axis=1))) == []


def test_a_row_of_zeros_is_an_event_of_its_own() -> None:
    rows = np.ones((60, 4))
    rows[30] = 0
    assert len(find_boundaries(features(rows), BoundaryOptions(min_gap=0.5, jitter=0))) == 1


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.1, 1000), st.integers(1, 60))
def test_scale_and_direction_of_time_do_not_matter(seed: int, scale: float, rows: int) -> None:
    values = np.random.default_rng(seed).normal(size=(rows, 6)).cumsum(axis=0)
    options = BoundaryOptions(jitter=0)
    curve = novelty(features(values), options).values
    np.testing.assert_allclose(novelty(features(values * scale), options).values, curve, atol=1e-5)
    np.testing.assert_allclose(novelty(features(values[::-1]), options).values[::-1], curve, atol=1e-5)
    assert (curve > -1e-6).all() and (curve <= 2 + 1e-6).all()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 80), st.floats(0, 3))
def test_boundaries_are_in_order_apart_and_inside(seed: int, rows: int, gap: float) -> None:
    rng = np.random.default_rng(seed)
    time = FeatureTime(8, 1, 4, -0.3, duration=rows / 16 + 0.1)
    found = find_boundaries(features(rng.normal(size=(rows, 3)), time), BoundaryOptions(min_gap=gap, jitter=0))
    times = [b.time for b in found]
    assert times == sorted(times) and all(0 < t < rows / 16 + 0.1 for t in times)
    assert all(later - earlier >= gap - 1e-9 for earlier, later in pairwise(times))
    assert all(0 < (b.score or 0) <= 1 for b in found)


def test_options_choose() -> None:
    found = scenes([30] * 12, width=64, noise=0.2, seed=3)
    count = {
        name: len(find_boundaries(found, options))
        for name, options in {
            "default": BoundaryOptions(),
            "prominent": BoundaryOptions(prominence=1e4),
            "high": BoundaryOptions(least=2.0),
            "apart": BoundaryOptions(min_gap=8.0),
            "all": BoundaryOptions(prominence=0, jitter=0, least=0, min_gap=0),
        }.items()
    }
    assert count["default"] == 11 and count["prominent"] == count["high"] == 0
    assert 3 <= count["apart"] < 11 < count["all"]


# --- peaks ---------------------------------------------------------------------------------------------------------


def slow_peaks(curve: list[float], usual: float) -> list[tuple[float, float, float]]:
    padded, found = [0.0, *curve, 0.0], []
    for first, height in enumerate(padded):
        last = first
        while last + 1 < len(padded) and padded[last + 1] == height:
            last += 1
        if first == 0 or last == len(padded) - 1 or padded[first - 1] >= height or padded[last + 1] > height:
            continue
        valleys = []
        for way in (padded[:first][::-1], padded[last + 1 :]):
            higher = next((place for place, value in enumerate(way) if value > height), None)
            valleys.append(max(min(way), usual) if higher is None else min(way[:higher]))
        found.append(((first + last) / 2 - 1, height, height - max(valleys)))
    return found


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from([0.0, 0.1, 0.2, 0.5, 0.7, 1.0]), max_size=25), st.sampled_from([0.0, 0.3]))
def test_peaks_equal_their_slow_twin(curve: list[float], usual: float) -> None:
    found = np.stack(peaks(np.array(curve), usual), axis=1)  # [M, 3]
    np.testing.assert_allclose(found, np.array(slow_peaks(curve, usual)).reshape(-1, 3))


def test_prominence_by_hand() -> None:
    places, heights, rises = peaks(np.array([1.0, 3.0, 2.0, 5.0, 5.0, 4.0, 4.5, 0.5]))
    assert places.tolist() == [1.0, 3.5, 6.0] and heights.tolist() == [3.0, 5.0, 4.5]
    assert rises.tolist() == [1.0, 5.0, 0.5]
    assert peaks(np.array([1.0, 3.0, 2.0]), 1.5)[2].tolist() == [1.5], "an end is not lower than what is usual"


# --- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values",
    [
        {"kernel_seconds": ()},
        {"kernel_seconds": (1.0, 0.0)},
        {"kernel_seconds": (float("nan"),)},
        {"min_gap": -1.0},
        {"prominence": float("nan")},
        {"jitter": -0.1},
        {"least": float("nan")},
    ],
)
def test_options_without_sense_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(OptionError, match=next(iter(values))):
        BoundaryOptions(**values)  # type: ignore[arg-type]


def test_features_that_cannot_be_used() -> None:
    with pytest.raises(FeatureError, match="no row"):
        find_boundaries(features(np.zeros((0, 3))))
    with pytest.raises(FeatureError, match="1 of 4 rows hold NaN"):
        find_boundaries(features([[1.0], [np.nan], [1.0], [2.0]]))


def test_a_curve_may_be_judged_again() -> None:
    found = scenes([30] * 5, noise=0.1)
    curve = novelty(found)
    strict = BoundaryOptions(prominence=3)
    assert boundaries_from_novelty(curve, None, strict) == find_boundaries(found, strict)
