"""What is odd about rows is found in one pass by blocks, as a slow twin finds it row by row."""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinoscope.data import feature_checks
from kinoscope.data.annotations import read_annotations
from kinoscope.data.durations import read_durations
from kinoscope.data.feature_checks import (
    Inspection,
    Rows,
    check_features,
    check_times,
    inspect_rows,
    length_problem,
)
from kinoscope.data.feature_store import FeatureStore
from kinoscope.data.features import Features, FeatureTime
from kinoscope.data.segments import Annotations, Segment, VideoAnnotation
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


# --- times against durations ---------------------------------------------------------------------------------------


def annotated(**durations: float | None) -> Annotations:
    """Videos with a segment up to a second before their end, or up to 90 s where the duration is not known."""
    videos = {}
    for name, duration in durations.items():
        segment = Segment(0, 90.0 if duration is None else max(duration - 1, 0.5), "a")
        videos[name] = VideoAnnotation((segment,), duration=duration)
    return Annotations(videos, Path("labels.csv"))


def timed(time: FeatureTime, **rows: int) -> dict[str, Features]:
    return {name: Features(np.ones((count, 2), np.float32), time) for name, count in rows.items()}


def warned(annotations: Annotations, features: dict[str, Features]) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_times(annotations, features)
    return [str(warning.message) for warning in caught]


def test_a_wrong_stride_is_told_with_what_would_fit() -> None:
    with pytest.raises(FeatureError) as caught:
        check_times(annotated(a=206.8), timed(FeatureTime(30, 4, 16), a=3102))
    assert caught.value.problem == (
        "1 of 1 videos do not fit their durations, such as 'a': "
        "3,102 rows at stride 4 and 30 fps are 414 s, but the video has 207 s: stride 2? fps 60?"
    )
    assert caught.value.where == Path("labels.csv") and "--stride" in str(caught.value.cure)


@pytest.mark.parametrize(
    ("stride", "fps", "true_stride", "true_fps"),
    [(4, 30, 8, 30), (8, 30, 4, 30), (16, 30, 16, 15), (16, 15, 16, 30), (1, 25, 5, 25), (4, 25, 4, 30)],
)
def test_any_wrong_number_is_found_and_the_right_one_offered(
    stride: int, fps: int, true_stride: int, true_fps: int
) -> None:
    lengths = {"a": 150.0, "b": 180.5, "c": 33.0}
    rows = {name: int((seconds * true_fps - 16) / true_stride) + 1 for name, seconds in lengths.items()}
    assert warned(annotated(**lengths), timed(FeatureTime(true_fps, true_stride, 16), **rows)) == []
    with pytest.raises(FeatureError) as caught:
        check_times(annotated(**lengths), timed(FeatureTime(fps, stride, 16), **rows))
    offered = f"fps {true_fps}?" if stride == true_stride else f"stride {true_stride}?"
    assert offered in caught.value.problem and "3 of 3" in caught.value.problem


@settings(max_examples=200, deadline=None)
@given(
    st.floats(5, 3000), st.sampled_from([15.0, 23.976, 25.0, 29.97, 30.0]), st.integers(1, 16), st.integers(1, 64),
    st.sampled_from(["drop", "pad", "frames"]),
)  # fmt: skip
def test_right_times_pass_however_the_tool_treats_the_end(
    seconds: float, fps: float, stride: int, clip: int, tail: str
) -> None:
    samples = max(math.ceil(seconds * fps), 1)
    rows = {
        "drop": max(samples - clip, 0) // stride + 1,
        "pad": math.ceil(max(samples - clip, 0) / stride) + 1,
        "frames": math.ceil(samples / stride),
    }[tail]
    time = FeatureTime(fps, stride, clip)
    assert warned(annotated(a=seconds), timed(time, a=rows)) == []


def test_single_odd_videos_are_warned_of() -> None:
    durations = {"a": 100.0, "b": 50.0, "c": 25.0}
    (said,) = warned(annotated(**durations), timed(FeatureTime(10, 5, 5), a=200, b=100, c=500))
    assert said.startswith("1 of 3 videos do not fit their durations, such as 'c': 500 rows") and "stride 0.5?" in said
    assert warned(annotated(**durations), timed(FeatureTime(10, 5, 5), a=200, b=100, c=50)) == []


def test_rows_stretched_to_one_length_are_recognised() -> None:
    with pytest.raises(FeatureError, match="All have 100 rows: perhaps they were stretched"):
        check_times(annotated(a=100, b=50, c=25), timed(FeatureTime(15, 16, 16), a=100, b=100, c=100))


def test_a_rate_that_is_off_by_little_is_warned_of() -> None:
    durations = {name: 600.0 + 60 * number for number, name in enumerate("abcd")}
    rows = {name: int(seconds * 25 / 4) for name, seconds in durations.items()}
    (said,) = warned(annotated(**durations), timed(FeatureTime(24, 4, 16), **rows))
    assert said.startswith("rows reach to 104.2% of the duration") and "fps 25?" in said
    assert warned(annotated(**durations), timed(FeatureTime(25, 4, 16), **rows)) == []


def test_without_durations_rows_must_reach_to_the_last_segment() -> None:
    with pytest.raises(FeatureError, match="50 rows at stride 5 and 10 fps are 25 s, but a segment ends at 90 s"):
        check_times(annotated(a=None), timed(FeatureTime(10, 5, 5), a=50))
    assert warned(annotated(a=None), timed(FeatureTime(10, 5, 5), a=5000)) == []
    assert warned(Annotations({"a": VideoAnnotation()}), timed(FeatureTime(10, 5, 5), a=50)) == []


def test_a_duration_in_the_feature_file_counts_where_annotations_have_none() -> None:
    with pytest.raises(FeatureError, match="the video has 90 s"):
        check_times(annotated(a=None), timed(FeatureTime(10, 5, 5, 0.0, 90.0), a=500))


def test_videos_without_features_are_passed_over(tmp_path: Path) -> None:
    assert warned(annotated(a=100.0, b=3.0), timed(FeatureTime(10, 5, 5), a=200)) == []
    np.save(tmp_path / "a.npy", np.ones((200, 2), np.float32))
    store = FeatureStore(tmp_path, FeatureTime(10, 5, 5))
    check_times(annotated(a=100.0, b=3.0), store.mapped())
    with pytest.raises(FeatureError, match=r"stride 2\.5\? fps 20\?"):
        check_times(annotated(a=50.0), store)


def test_real_durations_of_activitynet(shared_data: Path) -> None:
    found = read_annotations(shared_data / "annotations" / "activitynet_v1-3_valid_tsp_groundtruth.csv", on_flaw="keep")
    durations = read_durations(shared_data / "annotations" / "activitynet_v1-3_valid_metadata.csv")
    names = list(found.videos)[:200]
    part = Annotations({name: found.videos[name] for name in names}, found.source)
    rows = {name: max(int(durations[f"v_{name}"] * 15 / 16), 1) for name in names}
    assert warned(part, timed(FeatureTime(15, 16, 16), **rows)) == []
    with pytest.raises(FeatureError, match=r"fps 15\?"):
        check_times(part, timed(FeatureTime(30, 16, 16), **rows))
