"""Flow files: exact pixels, the source's times, their origin inside, films to look at, nothing half-written."""

from __future__ import annotations

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinoscope.errors import OptionError, OutputError, VideoError
from kinoscope.video import open_video
from kinoscope.video.flow import (
    FlowOptions,
    decode_flow,
    flow_options_of,
    flow_path,
    measure_flow,
    video_flow,
    working_size,
    write_flow,
    write_preview,
)
from kinoscope.video.flow.files import is_finished

from .made_videos import turn
from .moving import film, inside, moving


def make(path: Path, frames: int = 8, size: tuple[int, int] = (64, 96), **options: object) -> Path:
    return film(path, moving(frames, 2, -1, size), crf="10", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("algorithm", ["dis", "motion-vectors"])
def test_what_is_written_is_read_back_exactly(algorithm: str, tmp_path: Path) -> None:
    source, target, options = make(tmp_path / "v.mp4"), flow_path(tmp_path / "flow", "a/v"), FlowOptions(algorithm)
    stats = write_flow(source, target, options)
    wanted = list(video_flow(source, options))
    with open_video(target) as video:
        assert len(video) == len(wanted) == stats.frames == 7
        frames, times = video.frames_by_index(np.arange(7))
        assert np.array_equal(frames, [picture for picture, _ in wanted])
        assert times == pytest.approx([time for _, time in wanted], abs=5e-4)
        assert video.fps == 25 and video.keyframes.tolist() == list(range(7))
        middle = np.median(inside(decode_flow(video.frames_by_index([3]).frames)), axis=(0, 1, 2))
    assert middle == pytest.approx((2, -1), abs=0.2)
    assert stats.bytes == target.stat().st_size and stats.seconds == pytest.approx(8 / 25)
    assert stats.mean_motion == pytest.approx(5**0.5, abs=0.4) and stats.still_share == stats.clipped_share == 0


def test_its_frames_are_shown_when_the_sources_are(tmp_path: Path) -> None:
    ticks = [70, 90, 157, 158, 301, 500]  # begins late, and irregular
    source = film(tmp_path / "v.mkv", moving(6, 1, 0), ticks=ticks, b_frames=0)
    write_flow(source, tmp_path / "f.mkv")
    with open_video(source) as video, open_video(tmp_path / "f.mkv") as flow:
        assert len(flow) == 5
        wanted = [picture for picture, _ in video_flow(source)]
        assert np.array_equal(flow.frames_at(video.times[:-1]).frames, wanted)


def test_a_video_that_begins_later_than_its_sound(tmp_path: Path) -> None:
    path, base = tmp_path / "v.mkv", Fraction(1, 1000)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width, stream.pix_fmt = 64, 96, "yuv420p"
        sound = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 4000), np.int16), "s16", "mono")
        silence.rate, silence.pts, silence.time_base = 8000, 0, Fraction(1, 8000)
        container.mux(sound.encode(silence))
        for number, picture in enumerate(moving(5, 2, 0, (64, 96))):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = 200 + 40 * number, base
            container.mux(stream.encode(frame))
        container.mux([*stream.encode(None), *sound.encode(None)])
    write_flow(path, tmp_path / "f.mkv")
    with open_video(path) as video, open_video(tmp_path / "f.mkv") as flow:
        assert video.times[0] == pytest.approx(0.2)
        assert flow.times[1:] == pytest.approx(video.times[1:-1], abs=5e-4)
        assert flow.times[0] == 0  # on display from the beginning
        wanted = [picture for picture, _ in video_flow(path)]
        assert np.array_equal(flow.frames_at(video.times[:-1]).frames, wanted)


def test_one_frame_gives_one_flow_without_motion(tmp_path: Path) -> None:
    for algorithm in ("dis", "motion-vectors"):
        stats = write_flow(make(tmp_path / "v.mp4", 1), tmp_path / "f.mkv", FlowOptions(algorithm))  # type: ignore[arg-type]
        assert (stats.frames, stats.still_share, stats.mean_motion) == (1, 1, 0)
        with open_video(tmp_path / "f.mkv") as flow:
            assert (flow.frames_by_index([0]).frames == 128).all()


def test_constant_frames_are_counted_and_so_is_what_is_too_fast(tmp_path: Path) -> None:
    still = write_flow(film(tmp_path / "still.mp4", moving(4, 0, 0), crf="0"), tmp_path / "f.mkv")
    assert still.still_share == 1 and still.clipped_share == 0
    fast = write_flow(make(tmp_path / "fast.mp4"), tmp_path / "f.mkv", FlowOptions(bound=1.5))
    assert fast.clipped_share > 0.8 and fast.still_share == 0


@pytest.mark.parametrize("degrees", [90, 270])
def test_turned_videos_and_the_working_size(degrees: int, tmp_path: Path) -> None:
    source = turn(make(tmp_path / "v.mp4", size=(64, 98)), degrees)
    flow = next(measure_flow(source, FlowOptions(size=48)))[0]
    assert flow.shape == (74, 48, 2)
    across = 2 * 48 / 64 if degrees == 270 else None
    middle = np.median(inside(flow, 12), axis=(0, 1))
    assert middle == pytest.approx((-0.75, -1.5) if across else (0.75, 1.5), abs=0.15)


@given(st.tuples(st.integers(1, 900), st.integers(1, 900)), st.integers(0, 400))
def test_the_working_size(size: tuple[int, int], short: int) -> None:
    height, width = working_size(size, short)
    if short == 0 or min(size) <= short:
        assert (height, width) == size
    else:
        assert min(height, width) == short and (height <= width) == (size[0] <= size[1] or height == width)
        assert max(height, width) == pytest.approx(max(size) * short / min(size), abs=1)


def test_a_file_knows_how_it_was_made_and_of_what(tmp_path: Path) -> None:
    source, target = make(tmp_path / "v.mp4"), tmp_path / "f.mkv"
    options = FlowOptions("farneback", 32, 7.5)
    assert not is_finished(target, source, options)
    write_flow(source, target, options)
    made = flow_options_of(target)
    assert (made["algorithm"], made["size"], made["bound"]) == ("farneback", 32, 7.5)
    assert (made["source_bytes"], made["source_mtime"]) == (source.stat().st_size, source.stat().st_mtime_ns)
    assert is_finished(target, source, options)
    with pytest.raises(OutputError, match=r"made with other options: algorithm farneback, bound 7\.5") as caught:
        is_finished(target, source, FlowOptions(size=32))
    assert "--overwrite" in str(caught.value.cure)
    os.utime(source, ns=(1, 1))
    assert not is_finished(target, source, options)


def test_a_file_that_broke_off_is_not_finished(tmp_path: Path) -> None:
    source, target = make(tmp_path / "v.mp4"), tmp_path / "f.mkv"
    write_flow(source, target)
    content = target.read_bytes()
    for size in (len(content) - 1, len(content) // 2, 0):
        target.write_bytes(content[:size])
        assert not is_finished(target, source, FlowOptions())


def test_foreign_files_are_not_flow(tmp_path: Path) -> None:
    source = make(tmp_path / "v.mp4")
    foreign = make(tmp_path / "f.mkv")
    with pytest.raises(VideoError, match="is no flow file") as caught:
        flow_options_of(foreign)
    assert caught.value.where == foreign and caught.value.cure
    with pytest.raises(OutputError, match="is in the way"):
        is_finished(foreign, source, FlowOptions())


def test_what_fails_leaves_nothing(tmp_path: Path) -> None:
    source, target = tmp_path / "v.mp4", tmp_path / "out" / "f.mkv"
    source.write_bytes(b"no video")
    with pytest.raises(VideoError, match="cannot be opened"):
        write_flow(source, target)

    def stop(_: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_flow(make(source), target, report=stop)
    assert not list(tmp_path.glob("out/*")) and not list(tmp_path.glob("out/.*"))


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on the size of files there")
def test_a_full_disk_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    make(tmp_path / "v.mp4", 30)
    script = (
        "import resource; from kinoscope.video.flow import write_flow; from kinoscope.errors import OutputError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))\n"
        "try: write_flow('v.mp4', 'out/f.mkv')\n"
        "except OutputError as error: print(error)\n"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert answer.stdout.startswith("out/f.mkv: cannot be written") and "Cure: " in answer.stdout
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("size", [(64, 96), (33, 51)])
def test_a_film_to_look_at(size: tuple[int, int], tmp_path: Path) -> None:
    source = make(tmp_path / "v.mkv", size=size, pixels="yuv444p")
    write_flow(source, tmp_path / "f.mkv")
    shares: list[float] = []
    write_preview(source, tmp_path / "f.mkv", tmp_path / "f.preview.mp4", report=shares.append)
    with open_video(source) as video, open_video(tmp_path / "f.preview.mp4") as film_:
        height, width = (side + side % 2 for side in size)
        assert film_.size == (height, 2 * width) and film_.codec == "h264"
        assert film_.times == pytest.approx(video.times[:-1], abs=1e-3)
        picture = film_.frames_by_index([3]).frames[0].astype(int)
        original = video.frames_by_index([3]).frames[0].astype(int)
    assert np.abs(picture[: size[0], : size[1]] - original).mean() < 6
    red, green, blue = np.median(picture[16:-16, width + 16 : -16], axis=(0, 1))
    assert red > 240 and blue > green + 10  # to the right, a little up
    assert 0.8 < sum(shares) <= 1


def test_impossible_options() -> None:
    with pytest.raises(OptionError, match="size is -1"):
        FlowOptions(size=-1)
    with pytest.raises(OptionError, match="bound is 0"):
        FlowOptions(bound=0)


@pytest.mark.parametrize("algorithm", ["dis", "motion-vectors"])
def test_real_clips(algorithm: str, shared_data: Path, tmp_path: Path) -> None:
    source, options = shared_data / "clips" / "v_BaseballPitch_g01_c01.avi", FlowOptions(algorithm, size=64)
    stats = write_flow(source, tmp_path / "f.mkv", options)
    with open_video(source) as video, open_video(tmp_path / "f.mkv") as flow:
        assert len(flow) == len(video) - 1 == stats.frames
        assert flow.times == pytest.approx(video.times[:-1], abs=6e-4)
    assert 0.02 < stats.mean_motion < 2 and stats.clipped_share < 0.001
