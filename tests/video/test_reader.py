"""Frames and times of made files whose pictures say which frame they are."""

from __future__ import annotations

import math
import pickle
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kinoscope.errors import OptionError, VideoError
from kinoscope.video import Video, clip_samples, open_video
from kinoscope.video.opening import decode_threads

from .made_videos import HEIGHT, WIDTH, make, number_of, numbers, turn

FRAMES = 60
KINDS = {
    "h264.mp4": {},
    "b-pyramid.mp4": {"x264-params": "bframes=5:b-pyramid=normal:keyint=30"},
    "open-gop.mp4": {"x264-params": "open-gop=1:keyint=12:min-keyint=12:bframes=3"},
    "open-gop.ts": {"x264-params": "open-gop=1:keyint=12:min-keyint=12:bframes=3"},
    "refresh.ts": {"x264-params": "intra-refresh=1:keyint=20:bframes=0"},
    "sound.mov": {"sound": True},
    "h264.mkv": {"sound": True},
    "h264.flv": {},
    "h264.h264": {},
    "h264.avi": {},
    "mpeg4.mp4": {"codec": "mpeg4"},
    "mpeg4.avi": {"codec": "mpeg4"},
    "no-b.avi": {"codec": "mpeg4", "b_frames": 0},
    "vp8.webm": {"codec": "libvpx", "auto-alt-ref": "1", "lag-in-frames": "16"},
    "vp9.webm": {"codec": "libvpx-vp9", "auto-alt-ref": "1", "lag-in-frames": "16"},
    "gif.gif": {"codec": "gif", "rate": 25, "pixels": "rgb8"},
    "ntsc.mp4": {"rate": Fraction(30000, 1001)},
    "ntsc.mkv": {"rate": Fraction(30000, 1001)},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("videos")


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest, folder: Path) -> Path:
    path = folder / request.param
    return path if path.exists() else make(path, FRAMES, **KINDS[request.param])


@pytest.fixture(scope="module")
def plain(folder: Path) -> Path:
    return make(folder / "plain.mp4", FRAMES)


@pytest.fixture(scope="module")
def uneven(folder: Path) -> tuple[Path, np.ndarray]:
    ticks = np.concatenate([[0], np.cumsum(np.random.default_rng(3).integers(10, 120, FRAMES - 1))])
    path = make(folder / "uneven.mp4", FRAMES, ticks=ticks.tolist(), base=Fraction(1, 1000))
    return path, ticks / 1000


# ---- every container -------------------------------------------------------------------------------------------------


def test_a_stream_gives_every_frame_in_order_with_its_time(kind: Path) -> None:
    with open_video(kind) as video:
        frames, times = zip(*video.stream(), strict=True)
        assert numbers(frames) == list(range(FRAMES))
        assert list(times) == video.times.tolist()
        assert len(video) == FRAMES
        assert video.damage is None


def test_times_are_those_of_the_file(kind: Path) -> None:
    rate = float(KINDS[kind.name].get("rate", 30))
    with open_video(kind) as video:
        assert np.allclose(video.times, np.arange(FRAMES) / rate, atol=1e-3)
        assert video.duration == pytest.approx(FRAMES / rate, abs=2e-3)
        assert video.fps == pytest.approx(rate, rel=1e-9)
        assert not video.variable_rate
        assert video.size == (HEIGHT, WIDTH)
        assert video.has_audio == bool(KINDS[kind.name].get("sound"))


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_frames_in_any_order_are_exact(kind: Path, data: st.DataObject) -> None:
    requests = data.draw(st.lists(st.lists(st.integers(0, FRAMES - 1), min_size=1, max_size=5), min_size=1, max_size=4))
    with open_video(kind) as video:
        for positions in requests:
            batch = video.frames_by_index(positions)
            assert numbers(batch.frames) == positions
            assert batch.times.tolist() == video.times[positions].tolist()


def test_frame_after_frame_and_back_again(kind: Path) -> None:
    with open_video(kind) as video:
        there = [number_of(video.frames_by_index(position).frames[0]) for position in range(FRAMES)]
        back = [number_of(video.frames_by_index(position).frames[0]) for position in range(FRAMES - 1, 0, -9)]
    assert there == list(range(FRAMES))
    assert back == list(range(FRAMES - 1, 0, -9))


def test_mpeg_program_streams_give_exact_frames_and_nearly_exact_times(folder: Path) -> None:
    with open_video(make(folder / "ps.mpg", FRAMES, codec="mpeg2video")) as video:
        assert numbers([frame for frame, _ in video.stream()]) == list(range(FRAMES))
        assert numbers(video.frames_by_index([40, 7, 59]).frames) == [40, 7, 59]
        assert np.allclose(video.times, np.arange(FRAMES) / 30, atol=0.11)  # the container knows no better


# ---- time ------------------------------------------------------------------------------------------------------------


def test_variable_rate_keeps_every_time(uneven: tuple[Path, np.ndarray]) -> None:
    path, times = uneven
    with open_video(path) as video:
        assert np.allclose(video.times, times, atol=1e-6)
        assert video.variable_rate
        assert video.fps == pytest.approx(FRAMES / video.duration)


def test_frames_at_moments_are_those_on_display(uneven: tuple[Path, np.ndarray]) -> None:
    path, times = uneven
    moments = np.random.default_rng(0).uniform(-0.5, times[-1] + 1, 50)
    slowly = [max([k for k in range(FRAMES) if times[k] <= moment], default=0) for moment in moments]
    with open_video(path) as video:
        frames, shown = video.frames_at(moments)
        assert numbers(frames) == slowly
        assert np.allclose(shown, times[slowly])
        assert numbers(video.frames_at(video.times).frames) == list(range(FRAMES))


def test_a_container_that_starts_late_counts_from_its_start(folder: Path) -> None:
    path = make(folder / "late.ts", 20, ticks=[300 + k for k in range(20)])
    with open_video(path) as video:
        assert video.times[0] == 0
        assert video.duration == pytest.approx(20 / 30, abs=1e-6)
        assert number_of(video.frames_at(0.5).frames[0]) == 15


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize("fps", [3.0, 10.0, 30.0, 45.0])
def test_resampling_shows_the_frame_of_the_moment(folder: Path, suffix: str, fps: float) -> None:
    path = folder / f"even.{suffix}"
    path = path if path.exists() else make(path, FRAMES)
    with open_video(path) as video:
        taken = numbers([frame for frame, _ in video.stream(fps=fps, start=0.5)])
    assert taken == [int(15 + k * 30 / fps + 1e-6) for k in range(math.ceil(1.5 * fps))]


def test_a_part_begins_with_the_frame_on_display(plain: Path) -> None:
    with open_video(plain) as video:
        assert numbers([frame for frame, _ in video.stream(start=0.51, end=1.0)]) == list(range(15, 30))
        assert numbers([frame for frame, _ in video.stream(start=0.51, end=0.52)]) == [15]
        assert numbers([frame for frame, _ in video.stream(end=99.0)]) == list(range(FRAMES))


@pytest.mark.parametrize("length, stride", [(16, 8), (16, 16), (8, 20), (100, 7)])
def test_clips_cover_the_video(plain: Path, length: int, stride: int) -> None:
    with open_video(plain) as video:
        clips = list(video.clips(length=length, stride=stride, size=36))
        expected = clip_samples(FRAMES, length=length, stride=stride)
        assert [numbers(frames) for frames, _ in video.clips(length=length, stride=stride)] == expected.tolist()
        assert all(np.array_equal(times, video.times[row]) for (_, times), row in zip(clips, expected, strict=True))
        assert all(frames.shape == (length, 36, 36, 3) and frames.dtype == np.uint8 for frames, _ in clips)


def test_clips_of_a_variable_rate_are_regular_in_time(uneven: tuple[Path, np.ndarray]) -> None:
    path, times = uneven
    with open_video(path) as video:
        for number, (frames, _) in enumerate(video.clips(length=8, stride=4, fps=20.0, tail="drop")):
            moments = (4 * number + np.arange(8)) / 20
            assert numbers(frames) == (np.searchsorted(times, moments + 1e-6) - 1).tolist()


# ---- pixels ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_turned_files_come_out_upright(folder: Path, degrees: int) -> None:
    with open_video(turn(make(folder / f"turned{degrees}.mp4", 20), degrees)) as video:
        assert video.rotation == degrees
        assert video.size == ((WIDTH, HEIGHT) if degrees != 180 else (HEIGHT, WIDTH))
        assert video.frames_by_index([0]).frames.shape[1:3] == video.size
        for size in (None, (128, 72) if degrees != 180 else (72, 128)):
            frames = video.frames_by_index([3, 11], size=size).frames
            assert numbers([np.rot90(frame, degrees // 90) for frame in frames]) == [3, 11]


@pytest.mark.parametrize("size, shape", [(None, (72, 128)), (36, (36, 36)), ((24, 96), (24, 96)), (144, (144, 144))])
def test_sizes(plain: Path, size: int | tuple[int, int] | None, shape: tuple[int, int]) -> None:
    with open_video(plain) as video:
        assert video.frames_by_index([5], size=size).frames.shape == (1, *shape, 3)
        assert next(iter(video.stream(size=size)))[0].shape == (*shape, 3)


def test_a_square_is_the_centre_of_the_scaled_picture(plain: Path) -> None:
    with open_video(plain) as video:
        whole = video.frames_by_index([41], size=(36, 64)).frames[0]
        assert np.array_equal(video.frames_by_index([41], size=36).frames[0], whole[:, 14:50])


def test_scaling_is_close_to_an_exact_area_mean(folder: Path) -> None:
    with open_video(make(folder / "fine.mp4", 2, crf="1")) as video:
        whole = video.frames_by_index([1]).frames[0].astype(float)
        small = video.frames_by_index([1], size=(18, 32)).frames[0]
    assert np.abs(whole.reshape(18, 4, 32, 4, 3).mean(axis=(1, 3)) - small).mean() < 4


# ---- life ------------------------------------------------------------------------------------------------------------


def test_streams_do_not_disturb_each_other(plain: Path) -> None:
    with open_video(plain) as video:
        first, second = video.stream(), video.clips(length=4, stride=4)
        seen = []
        for position in range(10):
            seen.append(number_of(next(first)[0]))
            assert numbers(next(second).frames) == [4 * position + k for k in range(4)]
            assert number_of(video.frames_by_index(50 - position).frames[0]) == 50 - position
    assert seen == list(range(10))


def test_an_abandoned_stream_leaves_the_video_usable(plain: Path) -> None:
    with open_video(plain) as video:
        for _ in video.stream(fps=5):
            break
        assert numbers(video.frames_by_index(range(FRAMES)).frames) == list(range(FRAMES))
        assert numbers([frame for frame, _ in video.stream()]) == list(range(FRAMES))


def test_a_closed_video_says_so(plain: Path) -> None:
    with open_video(plain) as video:
        video.close()
    with pytest.raises(VideoError, match="closed"):
        video.frames_by_index(0)


def test_a_video_can_be_sent_to_another_process(plain: Path) -> None:
    copy: Video = pickle.loads(pickle.dumps(open_video(plain)))
    assert number_of(copy.frames_by_index(33).frames[0]) == 33


@pytest.mark.parametrize("name, options", [("one.mp4", {}), ("one.avi", {"codec": "mpeg4"}), ("one.mkv", {})])
def test_one_frame_is_a_video(folder: Path, name: str, options: dict[str, str]) -> None:
    with open_video(make(folder / name, 1, **options)) as video:
        assert (len(video), video.fps, video.variable_rate) == (1, pytest.approx(30), False)
        assert video.duration == pytest.approx(1 / 30, abs=1e-3)
        (clip,) = video.clips(length=4, stride=2, size=24)
        assert clip.frames.shape == (4, 24, 24, 3)
        assert clip.times.tolist() == [0.0] * 4


# ---- bad requests ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("positions", [[-1], [FRAMES], [3, 99], [0.5], [[1, 2]], ["a"]])
def test_impossible_positions_are_named(plain: Path, positions: list[object]) -> None:
    with open_video(plain) as video, pytest.raises(OptionError, match="frame"):
        video.frames_by_index(positions)


@pytest.mark.parametrize("size", [0, -3, (0, 5), (5,)])
def test_impossible_sizes_are_named(plain: Path, size: object) -> None:
    with open_video(plain) as video, pytest.raises(OptionError, match="size"):
        video.frames_by_index([0], size=size)  # type: ignore[arg-type]


def test_no_positions_give_no_frames(plain: Path) -> None:
    with open_video(plain) as video:
        assert video.frames_by_index([], size=20).frames.shape == (0, 20, 20, 3)


def test_threads_follow_argument_then_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KINOSCOPE_DECODE_THREADS", "3")
    assert decode_threads() == 3
    assert decode_threads(1) == 1
    monkeypatch.setenv("KINOSCOPE_DECODE_THREADS", "many")
    with pytest.raises(OptionError, match="many"):
        decode_threads()
    with pytest.raises(OptionError, match="threads is 0"):
        decode_threads(0)
    monkeypatch.delenv("KINOSCOPE_DECODE_THREADS")
    monkeypatch.setattr("multiprocessing.parent_process", lambda: object())
    assert decode_threads() == 1


def test_small_frames_of_a_simple_codec_get_one_thread(folder: Path) -> None:
    with open_video(make(folder / "simple.mp4", 3, codec="mpeg4")) as video, video._decoder() as decoder:
        assert decode_threads(stream=decoder.stream) == 1
        assert decoder.stream.codec_context.thread_count == 1
