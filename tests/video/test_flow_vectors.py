"""The codec's motion vectors against the motion that was filmed: signs, B-frames, rotation, variable rate."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kinoscope.errors import VideoError
from kinoscope.video import open_video
from kinoscope.video.flow.vectors import vector_flow

from .made_videos import turn
from .moving import film, inside, moving

MOTION = (2.0, -1.0)
FRAMES = 24
FILES: dict[str, dict[str, Any]] = {
    "no-b.mp4": {"crf": "12"},
    "two-b.ts": {"b_frames": 2, "crf": "12"},  # the encoder takes some references from farther away
    "three-b.mkv": {"b_frames": 3, "crf": "12"},
    "many-b.mkv": {"b_frames": 8, "gop": 100, "crf": "12"},
    "no-pyramid.mp4": {"b_frames": 3, "b-pyramid": "none", "crf": "12"},
    "pyramid.mp4": {"b_frames": 7, "gop": 100, "b-pyramid": "strict", "b_strategy": "0", "crf": "12"},
    "no-clock.avi": {"b_frames": 3, "crf": "12"},
    "mpeg4.mp4": {"codec": "mpeg4", "b_frames": 2, "qscale": "2"},
    "mpeg4.avi": {"codec": "mpeg4", "qscale": "2"},
    "mpeg2.mpg": {"codec": "mpeg2video", "b_frames": 2, "qscale": "2"},
    "flash.flv": {"codec": "flv1", "qscale": "2"},
    "windows.wmv": {"codec": "wmv2", "qscale": "2"},
}


def read(path: Path, size: tuple[int, int] | None = None) -> tuple[np.ndarray, list[float]]:
    """All flow [T, H, W, 2], and its times."""
    pairs = list(vector_flow(path, size))
    return np.stack([flow for flow, _ in pairs]), [time for _, time in pairs]


def typical(flow: np.ndarray) -> np.ndarray:
    """The middle motion of each frame. Shape: [T, H, W, 2] → [T, 2]."""
    return np.median(inside(flow, 20), axis=(1, 2))


@pytest.mark.parametrize("name", FILES)
def test_every_frame_has_the_motion_that_was_filmed(name: str, tmp_path: Path) -> None:
    path = film(tmp_path / name, moving(FRAMES, *MOTION), **FILES[name])
    flow, times = read(path)
    assert flow.shape == (FRAMES - 1, 96, 128, 2) and flow.dtype == np.float32
    assert typical(flow) == pytest.approx(np.tile(MOTION, (FRAMES - 1, 1)), abs=0.1)
    assert np.abs(inside(flow, 20) - MOTION).mean() < 0.2
    assert times == pytest.approx(open_video(path).times[:-1])


@pytest.mark.parametrize("degrees, motion", [(90, (1, 2)), (180, (-2, 1)), (270, (-1, -2))])
def test_a_turned_video_moves_as_it_is_shown(degrees: int, motion: tuple[int, int], tmp_path: Path) -> None:
    path = turn(film(tmp_path / "video.mp4", moving(6, *MOTION), b_frames=2, crf="12"), degrees)
    flow, _ = read(path)
    assert flow.shape[1:3] == open_video(path).size
    assert typical(flow) == pytest.approx(np.tile(motion, (5, 1)), abs=0.1)


def test_it_is_measured_in_pixels_of_the_size_asked_for(tmp_path: Path) -> None:
    path = film(tmp_path / "video.mp4", moving(6, *MOTION), crf="12")
    flow, _ = read(path, (48, 32))
    assert flow.shape == (5, 48, 32, 2)
    assert np.median(flow, axis=(1, 2)) == pytest.approx(np.tile((0.5, -0.5), (5, 1)), abs=0.05)


def test_odd_sides(tmp_path: Path) -> None:
    path = film(tmp_path / "video.mkv", moving(5, *MOTION, size=(71, 97)), pixels="yuv444p", crf="12")
    flow, _ = read(path)
    assert flow.shape == (4, 71, 97, 2)
    assert typical(flow) == pytest.approx(np.tile(MOTION, (4, 1)), abs=0.1)


def test_an_irregular_clock(tmp_path: Path) -> None:
    steps = [0, 1, 3, 4, 6, 9, 10, 11, 13, 14]
    frames = moving(len(steps), *MOTION, steps=steps)
    for b_frames in (0, 2):
        path = film(tmp_path / f"{b_frames}.mkv", frames, ticks=[40 * s for s in steps], b_frames=b_frames, crf="12")
        flow, times = read(path)
        assert times == pytest.approx(np.array(steps[:-1]) * 0.04)
        assert typical(flow) == pytest.approx(np.outer(np.diff(steps), MOTION), abs=0.15)


def test_keyframes_in_mid_video_keep_the_motion(tmp_path: Path) -> None:
    flow, _ = read(film(tmp_path / "video.mp4", moving(12, *MOTION), gop=4, crf="12"))
    assert typical(flow) == pytest.approx(np.tile(MOTION, (11, 1)), abs=0.1)


@pytest.mark.parametrize(
    "name, options, words",
    [
        ("v.mkv", {"codec": "mjpeg", "pixels": "yuvj420p", "color_range": "pc"}, "is coded as mjpeg"),
        ("v.gif", {"codec": "gif", "pixels": "rgb8"}, "is coded as gif"),
        ("v.webm", {"codec": "libvpx-vp9"}, "is coded as (lib)?vp"),
        ("v.mp4", {"gop": 1}, "every frame is coded by itself"),
    ],
)
def test_files_without_vectors_say_so(name: str, options: dict[str, Any], words: str, tmp_path: Path) -> None:
    path = film(tmp_path / name, moving(4, *MOTION), **options)
    with pytest.raises(VideoError, match=words) as caught:
        read(path)
    assert caught.value.where == path and caught.value.cure == "use --algorithm dis"


def test_still_pictures_have_no_motion(tmp_path: Path) -> None:
    flow, _ = read(film(tmp_path / "video.mp4", moving(10, 0, 0), b_frames=2))
    assert np.abs(flow).max() == 0


def test_damage_ends_in_our_errors_only(tmp_path: Path) -> None:
    content = film(tmp_path / "whole.ts", moving(30, *MOTION), b_frames=2).read_bytes()
    generator, broken = np.random.default_rng(3), tmp_path / "broken.ts"
    for _ in range(12):
        bad = bytearray(content[: generator.integers(len(content) // 4, len(content))])
        for position in generator.integers(0, len(bad), 6):
            bad[position] = generator.integers(256)
        broken.write_bytes(bad)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                flow, times = read(broken)
            except VideoError as error:
                assert error.where == broken
                continue
        assert np.isfinite(flow).all() and np.all(np.diff(times) > 0)
