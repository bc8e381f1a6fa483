"""Which frames are candidates: the specification's cases, whole numbers, time where the rate varies, parts."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinoscope.arnet.candidates import candidates, drawn_frames, middle_frames
from kinoscope.errors import OptionError
from kinoscope.video import open_video

from ..video.made_videos import make

COUNTS = st.integers(1, 500), st.integers(1, 40)


def test_the_specifications_cases(vectors: Callable[[str], dict[str, Any]]) -> None:
    for case in vectors("arnet")["vectors"]["eval_frame_indices"]["cases"]:
        inputs = case["inputs"]
        found = middle_frames(inputs["num_frames"], inputs["segments"]) + 1
        assert found.tolist() == case["expected"]["one_based_indices"]


@given(*COUNTS)
def test_the_middle_of_every_segment_in_exact_numbers(frames: int, segments: int) -> None:
    found = middle_frames(frames, segments).tolist()
    if frames <= segments:
        assert found == [min(k, frames - 1) for k in range(segments)]
    else:
        length = Fraction(frames, segments)
        assert found == [int(length / 2 + k * length) for k in range(segments)]
        assert found == sorted(set(found)) and found[-1] < frames


@given(*COUNTS, st.integers(0, 99))
def test_drawn_frames_lie_in_their_segments(frames: int, segments: int, seed: int) -> None:
    found = drawn_frames(frames, segments, np.random.default_rng(seed)).tolist()
    if frames <= segments:
        assert found == middle_frames(frames, segments).tolist()
    else:
        length = frames // segments
        assert all(k * length <= each < (k + 1) * length for k, each in enumerate(found))


def test_every_frame_of_a_segment_is_drawn_alike() -> None:
    rng = np.random.default_rng(0)
    drawn = np.stack([drawn_frames(19, 4, rng) for _ in range(4000)])
    for k in range(4):
        counts = np.bincount(drawn[:, k] - 4 * k, minlength=4)
        assert len(counts) == 4 and counts.min() > 900


def test_a_varying_rate_is_divided_by_time(tmp_path: Path) -> None:
    """Thirty frames in the first second, one in each of the nine others."""
    ticks = [*range(0, 1000, 33), *range(1500, 10_500, 1000)]
    path = make(tmp_path / "v.mkv", len(ticks), ticks=ticks, base=Fraction(1, 1000), b_frames=0)
    with open_video(path) as video:
        assert video.variable_rate
        found = candidates(video, 5)
        moments = (np.arange(5) + 0.5) * video.duration / 5
        expected = [max(k for k, time in enumerate(video.times) if time <= moment + 1e-3) for moment in moments]
        assert found.tolist() == expected
        drawn = candidates(video, 5, rng=np.random.default_rng(0))
        assert len(set(drawn.tolist())) >= 4 and (np.diff(drawn) >= 0).all()
        part = candidates(video, 3, (4.0, 9.0))
        assert (video.times[part] >= 3.4).all() and (video.times[part] < 9).all() and len(set(part.tolist())) == 3


def test_a_part_has_the_frames_of_its_seconds(tmp_path: Path) -> None:
    path = make(tmp_path / "v.mp4", 60, rate=10)
    with open_video(path) as video:
        assert not video.variable_rate
        assert candidates(video, 5, (2.0, 4.0)).tolist() == [20 + k for k in middle_frames(20, 5)]
        assert candidates(video, 4, (1.0, 1.2)).tolist() == [10, 11, 11, 11]
        assert candidates(video, 2, (3.01, 3.02)).tolist() == [30, 30], "the frame on display"
        assert candidates(video, 3, (5.5, 99.0)).tolist() == [55, 57, 59]
        assert candidates(video, 4).tolist() == middle_frames(60, 4).tolist()


@pytest.mark.parametrize("call", [lambda: middle_frames(0, 3), lambda: middle_frames(3, 0)])
def test_nothing_to_choose_from(call: Callable[[], object]) -> None:
    with pytest.raises(OptionError, match="at least 1"):
        call()
    with pytest.raises(OptionError, match="at least 1"):
        drawn_frames(0, 1, np.random.default_rng(0))
