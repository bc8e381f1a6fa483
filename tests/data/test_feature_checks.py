"""What is odd about rows is found in one pass by blocks, as a slow twin finds it row by row."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinoscope.data import feature_checks
from kinoscope.data.feature_checks import Inspection, Rows, check_features, inspect_rows, length_problem
from kinoscope.data.features import Features, FeatureTime
from kinoscope.errors import FeatureError

TIME = FeatureTime(8.0, 2, 4)


def sound(rows: int = 6) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(rows, 4)).astype(np.float32)


def twin(values: np.ndarray) -> Inspection:
    """Row by row, as one would say it."""
    kinds: dict[str, list[int]] = {"broken": [], "zero": [], "constant": [], "repeated": []}
    for number, row in enumerate(values):
        if not np.isfinite(row).all():
            kinds["broken"].append(number)
        elif not row.any():
            kinds["zero"].append(number)
        else:
            if len(row) > 1 and len(set(row.tolist())) == 1:
                kinds["constant"].append(number)
            if number and row.tolist() == values[number - 1].tolist():
                kinds["repeated"].append(number)
    return Inspection(len(values), **{kind: Rows(len(at), at[0] if at else -1) for kind, at in kinds.items()})


NUMBER = st.sampled_from([0.0, -0.0, 1.0, 2.0, float("nan"), float("inf"), float("-inf")])


@settings(max_examples=200, deadline=None)
@given(
    st.integers(1, 3), st.lists(st.lists(NUMBER, min_size=3, max_size=3), min_size=1, max_size=12), st.integers(1, 9)
)
def test_blocks_find_what_the_twin_finds(width: int, rows: list[list[float]], at_once: int) -> None:
    values = np.array(rows, np.float32)[:, :width]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(feature_checks, "_NUMBERS_AT_ONCE", at_once)
        assert inspect_rows(values) == twin(values)


@pytest.mark.parametrize("kind", [np.float16, np.float64, np.int32, ">f4"])
def test_any_numbers(kind: object) -> None:
    values = np.array([[0, 0], [3, 3], [1, 2], [1, 2]]).astype(kind)  # type: ignore[call-overload]
    assert inspect_rows(values) == Inspection(4, Rows(), Rows(1, 0), Rows(1, 1), Rows(1, 3))


def test_what_float32_cannot_hold_is_broken() -> None:
    assert inspect_rows(np.array([[1.0, 2.0], [1e300, 1.0]])).broken == Rows(1, 1)


# --- a folder ------------------------------------------------------------------------------------------------------


def checked(duration: float | None = None, **values: np.ndarray) -> list[str]:
    time = FeatureTime(8.0, 2, 4, 0.0, duration)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_features({name: Features(each, time) for name, each in values.items()}, Path)
    return [str(warning.message) for warning in caught]


def test_nothing_is_said_of_sound_features(capsys: pytest.CaptureFixture[str]) -> None:
    assert checked(1.75, a=sound(), b=sound()) == []
    assert "Checking features: 100 %" in capsys.readouterr().err


def test_each_kind_is_warned_of_once_with_count_and_example() -> None:
    odd = sound()
    odd[[1, 2]], odd[4] = 0, odd[3]
    flat = sound()
    flat[5] = 7
    zero, constant, repeated = checked(a=sound(), b=odd, c=odd, d=flat)
    assert zero.startswith("rows of zeros: 4 in 2 of 4 videos, the first is row 1 of 'b'; they have no")
    assert constant.startswith("rows with one number in all channels: 1 in 1 of 4 videos, the first is row 5 of 'd'")
    assert repeated.startswith("rows that equal the one before: 2 in 2 of 4 videos, the first is row 4 of 'b'")


def test_broken_rows_of_all_files_are_told_at_once() -> None:
    broken = sound()
    broken[[2, 4], 1] = np.nan
    with pytest.raises(FeatureError, match=r"b: 2 of 6 rows hold NaN or infinity, the first is row 2\n"):
        checked(a=sound(), b=broken)
    with pytest.raises(FeatureError, match=r"first is row 2; so do rows of 4 other videos: 'c', 'd', 'e', …\n"):
        checked(a=sound(), b=broken, c=broken, d=broken, e=broken, f=broken)


# --- lengths -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "duration", "fits"),
    [
        (100, None, True),
        (100, 25.25, True),  # the last clip ends with the video
        (100, 25.0, True),  # each row begins a quarter of a second
        (100, 26.0, True),  # two rows short
        (100, 28.0, False),
        (100, 22.0, False),
        (1000, 262.0, True),  # 5 %
        (1000, 270.0, False),
        (1, 0.1, True),
        (1, 9.0, False),
        (100, 100.0, False),  # the number of rows taken for seconds
    ],
)
def test_lengths_against_durations(rows: int, duration: float | None, fits: bool) -> None:
    problem = length_problem(Features(np.ones((rows, 2), np.float32), FeatureTime(8.0, 2, 4, 0.0, duration)))
    assert (problem is None) == fits
    if duration == 28:
        assert problem == "100 rows reach to 25.2 s, the video to 28.0 s"


def test_long_clips_that_end_with_the_video_or_are_padded_beyond_it_fit() -> None:
    values = np.ones((10, 2), np.float32)
    for duration in (16.0, 25.0):  # padded: a row each 1.6 s; not: the last 64 frames end with the video
        assert length_problem(Features(values, FeatureTime(5.0, 8, 64, 0.0, duration))) is None


def test_lengths_are_warned_of_once() -> None:
    (said,) = checked(9.0, a=sound(), b=sound())
    assert said.startswith("2 of 2 videos have too few or too many rows for their duration (the first: 'a', 6 rows")
