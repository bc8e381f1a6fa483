"""The arithmetic of time: which moments and frames a stream or clip takes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinoscope.errors import OptionError
from kinoscope.video.sampling import clip_samples, clip_starts, displayed, sample_times, time_span

COUNTS = st.integers(1, 200)


def displayed_slowly(times: list[float], moment: float) -> int:
    """The definition, one frame after another."""
    shown = 0
    for position, time in enumerate(times):
        if time <= moment:
            shown = position
    return shown


@given(st.lists(st.integers(0, 500), min_size=1, unique=True), st.lists(st.integers(-10, 600), min_size=1))
def test_the_frame_on_display_is_the_last_whose_time_has_come(ticks: list[int], moments: list[int]) -> None:
    times = np.sort(np.asarray(ticks)) / 30
    seconds = np.asarray(moments) / 30
    assert displayed(times, seconds).tolist() == [displayed_slowly(times.tolist(), moment) for moment in seconds]


@given(COUNTS, st.sampled_from([10.0, 12.5, 24000 / 1001, 25.0, 30000 / 1001, 30.0, 60.0]))
def test_a_constant_rate_sampled_at_its_own_rate_has_as_many_samples_as_frames(frames: int, fps: float) -> None:
    assert len(sample_times(frames / fps, fps)) == frames


@given(st.floats(0.01, 100), st.floats(0.1, 100), st.floats(0, 0.99), st.floats(0.01, 2))
def test_samples_stand_on_the_grid_inside_the_span(duration: float, fps: float, part: float, length: float) -> None:
    start = part * duration
    times = sample_times(duration, fps, start=start, end=start + length)
    assert times[0] == start
    assert np.allclose(np.diff(times), 1 / fps)
    assert len(times) == 1 or times[-1] < min(duration, start + length)


@given(COUNTS, COUNTS, COUNTS)
def test_every_sample_is_in_a_clip_and_no_clip_is_needless(samples: int, length: int, stride: int) -> None:
    clips = clip_samples(samples, length=length, stride=stride)
    assert clips.shape[1] == length
    if stride <= length:
        assert set(clips.ravel().tolist()) == set(range(samples))
    if len(clips) > 1:  # the clip before the last had left something
        assert clips[-2].max() < samples - 1
    assert (clips[:, 0] == np.arange(len(clips)) * stride).all()


@given(COUNTS, COUNTS, COUNTS)
def test_dropping_the_tail_leaves_whole_clips(samples: int, length: int, stride: int) -> None:
    starts = clip_starts(samples, length=length, stride=stride, tail="drop")
    slowly = [start for start in range(0, samples, stride) if start + length <= samples] or [0]
    assert starts.tolist() == slowly


def test_clip_starts_in_numbers() -> None:
    assert clip_starts(32, length=16, stride=8).tolist() == [0, 8, 16]
    assert clip_starts(33, length=16, stride=8).tolist() == [0, 8, 16, 24]
    assert clip_starts(33, length=16, stride=8, tail="drop").tolist() == [0, 8, 16]
    assert clip_starts(5, length=16, stride=8, tail="drop").tolist() == [0]
    assert clip_samples(3, length=5, stride=1).tolist() == [[0, 1, 2, 2, 2]]


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"start": -1}, "start is -1"),
        ({"start": float("nan")}, "start is nan"),
        ({"start": 5, "end": 5}, "after start"),
        ({"start": 5, "end": float("nan")}, "after start"),
        ({"start": 10}, "ends at 10"),
    ],
)
def test_impossible_spans_are_named(arguments: dict[str, float], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        time_span(10.0, **arguments)


@pytest.mark.parametrize("fps", [0, -1, float("nan"), float("inf")])
def test_impossible_rates_are_named(fps: float) -> None:
    with pytest.raises(OptionError, match="fps"):
        sample_times(10.0, fps)


@pytest.mark.parametrize("broken", [{"length": 0}, {"stride": 0}, {"samples": 0}, {"tail": "wrap"}])
def test_impossible_clips_are_named(broken: dict[str, object]) -> None:
    with pytest.raises(OptionError, match=next(iter(broken))):
        clip_starts(**{"samples": 10, "length": 4, "stride": 2, **broken})  # type: ignore[arg-type]
