"""Real clips against a plain decode from first to last frame."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import av
import numpy as np
import pytest

from kinoscope.video import open_video

CLIPS = {
    "clips/mmaction2_test.mp4": (300, 30.0),
    "clips/mmaction2_demo_armwrestling.mp4": (280, 28.0),
    "clips/v_ApplyEyeMakeup_g01_c01.avi": (164, 25.0),
    "clips/v_BaseballPitch_g01_c01.avi": (107, 30000 / 1001),
    "clips/v_CricketShot_g04_c01_rgb.gif": (79, 25.0),
    "urfd/videos/adl-01-cam0.mp4": (150, 30.0),
    "ut_interaction/set1/0_1_4.avi": (108, 30.0),
}


@pytest.fixture(params=CLIPS)
def clip(request: pytest.FixtureRequest, shared_data: Path) -> tuple[Path, int, float]:
    path = shared_data / request.param
    if not path.is_file():
        pytest.skip(f"real clip not found at {path}")
    return path, *CLIPS[request.param]


def test_real_clips_equal_a_plain_decode(clip: tuple[Path, int, float]) -> None:
    path, count, rate = clip
    with av.open(str(path)) as container:
        plain = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    with open_video(path) as video:
        assert len(video) == len(plain) == count
        assert video.fps == pytest.approx(rate)
        assert np.allclose(video.times, np.arange(count) / rate, atol=1e-6)
        assert video.damage is None
        for position, (frame, time) in enumerate(video.stream()):
            assert np.array_equal(frame, plain[position])
            assert time == video.times[position]
        generator = np.random.default_rng(0)
        for _ in range(4):
            positions = generator.integers(0, count, 6)
            frames, _ = video.frames_by_index(positions)
            assert all(
                np.array_equal(frame, plain[position]) for frame, position in zip(frames, positions, strict=True)
            )


def _first_sum(path: Path, video: object, answer: object) -> None:
    answer.put(int(video.frames_by_index([50]).frames.sum()))  # type: ignore[attr-defined]


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_process_reads_on_its_own(shared_data: Path) -> None:
    path = shared_data / "clips/mmaction2_test.mp4"
    context = multiprocessing.get_context("fork")
    answer = context.Queue()
    with open_video(path, threads=2) as video:
        expected = int(video.frames_by_index([50]).frames.sum())
        process = context.Process(target=_first_sum, args=(path, video, answer))
        process.start()
        assert answer.get(timeout=20) == expected
        process.join(timeout=20)
        assert process.exitcode == 0
