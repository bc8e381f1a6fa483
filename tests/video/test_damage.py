"""Files that are no video, or no longer a whole one: a clear error, or the frames that can be had and one warning."""

from __future__ import annotations

import warnings
from pathlib import Path

import av
import numpy as np
import pytest

from kinoscope.errors import DamagedVideoWarning, VideoError
from kinoscope.video import open_video, probe_video

from .made_videos import draw, make, numbers

FRAMES = 45
KINDS = {
    "front.mp4": {},  # its header is moved to the front below, so that what is left of it can be read
    "cut.mkv": {"sound": True},
    "cut.webm": {"codec": "libvpx"},
    "cut.avi": {"codec": "mpeg4"},
    "cut.ts": {},
    "cut.gif": {"codec": "gif", "rate": 25, "pixels": "rgb8"},
    "cut.mpg": {"codec": "mpeg2video"},
}


def front_header(path: Path) -> Path:
    """Copy an MP4 so that its header comes first."""
    copy = path.with_name(f"front-{path.name}")
    with av.open(str(path)) as source, av.open(str(copy), "w", options={"movflags": "faststart"}) as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    return copy


@pytest.fixture(scope="module", params=KINDS)
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = make(tmp_path_factory.mktemp("whole") / request.param, FRAMES, **KINDS[request.param])
    return front_header(path) if path.suffix == ".mp4" else path


def read_all(path: Path) -> tuple[list[np.ndarray], np.ndarray, list[str]]:
    """Everything that can be had by every way of reading; the frames and times of the plain stream, the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with open_video(path) as video:
            stream = list(video.stream())
            batch = video.frames_by_index(np.arange(len(video)))
            assert len(batch) == len(video) >= len(stream)
            assert np.array_equal(video.frames_by_index(np.arange(len(video))[::-3]).times, video.times[::-3])
            assert sum(len(clip) for clip in video.clips(size=24)) >= len(video)
            video.check()
            named = [str(item.message) for item in caught if issubclass(item.category, DamagedVideoWarning)]
            assert bool(named) == (video.damage is not None)
    return [frame for frame, _ in stream], np.asarray([time for _, time in stream]), named


def test_truncated_anywhere_gives_the_frames_before_or_a_clear_error(whole: Path, tmp_path: Path) -> None:
    content, cut = whole.read_bytes(), tmp_path / whole.name
    rate = 25 if whole.suffix == ".gif" else 30
    for size in np.linspace(1, len(content) - 1, 25).astype(int):
        cut.write_bytes(content[:size])
        try:
            frames, times, named = read_all(cut)
        except VideoError as error:
            assert error.where == cut
            assert error.cure
            continue
        assert len(named) <= 1
        assert all(cut.name in text for text in named)
        if whole.suffix in {".mp4", ".mkv", ".webm", ".ts"}:  # they know when each frame is shown
            assert numbers(frames) == np.rint(times * rate).astype(int).tolist()
            assert len(frames) > FRAMES - 10 or whole.suffix == ".ts" or named
        else:
            assert numbers(frames[: len(frames) - 3]) == list(range(len(frames) - 3)) or len(frames) <= 3


def test_flipped_bytes_never_end_in_a_foreign_error(whole: Path, tmp_path: Path) -> None:
    content, broken = whole.read_bytes(), tmp_path / whole.name
    generator = np.random.default_rng(7)
    for _ in range(15):
        bad = bytearray(content)
        for position in generator.integers(0, len(bad), 8):
            bad[position] = generator.integers(256)
        broken.write_bytes(bad)
        try:
            read_all(broken)
        except VideoError as error:
            assert error.where == broken
        assert probe_video(broken, full=True).path == broken


def test_a_truncated_file_says_how_much_is_missing(tmp_path: Path) -> None:
    path = front_header(make(tmp_path / "video.mp4", FRAMES))
    path.write_bytes(path.read_bytes()[:-800])
    with pytest.warns(DamagedVideoWarning, match=r"front-video\.mp4: \d+ of 45 frames are missing, from \d\.\d+ s on"):
        shown = [frame for frame, _ in open_video(path).stream()]
    assert len(shown) < FRAMES
    report = probe_video(path)
    assert report.readable and report.damage and "missing" in report.damage


def test_a_lost_frame_is_replaced_by_the_one_before(tmp_path: Path) -> None:
    path = make(tmp_path / "video.mkv", FRAMES, codec="mjpeg", pixels="yuvj420p", gop=1, b_frames=0, color_range="pc")
    with av.open(str(path)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    content = path.read_bytes()
    path.write_bytes(content.replace(packets[20], bytes(len(packets[20]))))
    with open_video(path) as video, pytest.warns(DamagedVideoWarning, match=r"1 of 45 frames cannot be decoded"):
        assert numbers(video.frames_by_index([19, 20, 21, 44]).frames) == [19, 19, 21, 44]


def _nothing(path: Path) -> None:
    path.write_bytes(b"")


def _text(path: Path) -> None:
    path.write_text("This is no video.\n" * 50, encoding="utf-8")


def _sound(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), "fltp", "mono")
        frame.rate = 8000
        container.mux([*stream.encode(frame), *stream.encode(None)])


def _sound_with_cover(path: Path) -> None:
    """An AVI of nothing but headers: opens, but has no picture."""
    make(path.with_suffix(".whole.mp4"), 3)
    content = front_header(path.with_suffix(".whole.mp4")).read_bytes()
    start = content.index(b"mdat") + 4
    path.write_bytes(content[:start] + bytes(len(content) - start))


@pytest.mark.parametrize(
    "build, words",
    [
        (_nothing, "empty"),
        (_text, "cannot be opened as a video"),
        (_sound, "only sound"),
        (_sound_with_cover, "no frame can be decoded"),
        (Path.mkdir, "folder"),
        (lambda path: None, "no such file"),
    ],
)
def test_what_is_no_video_is_refused_with_a_cure(build: object, words: str, tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    build(path)  # type: ignore[operator]
    with pytest.raises(VideoError, match=words) as caught:
        open_video(path)
    assert caught.value.where == path
    assert caught.value.cure
    report = probe_video(path, full=True)
    assert not report.readable
    assert words in (report.error or "")


def test_frames_beyond_reason_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kinoscope.video.opening.MAX_SIDE", 100)
    with pytest.raises(VideoError, match="128x72 pixels are beyond the bound of 100"):
        open_video(make(tmp_path / "video.mp4", 2))


def test_an_impossible_colour_matrix_still_gives_pictures(tmp_path: Path) -> None:
    frame = av.VideoFrame.from_ndarray(draw(77), format="rgb24").reformat(format="yuv420p")
    frame.colorspace = 3  # "reserved"
    from kinoscope.video.scaling import Scaler, layout

    scaler = Scaler(layout((72, 128), 0, None))
    assert numbers([scaler(frame)]) == [77]


def test_a_probe_tells_what_is_in_a_file(tmp_path: Path) -> None:
    report = probe_video(make(tmp_path / "video.mp4", FRAMES, sound=True, codec="mpeg4", gop=12), full=True)
    assert (report.codec, report.size, report.frames, report.rotation) == ("mpeg4", (72, 128), FRAMES, 0)
    assert (report.fps, report.variable_rate, report.has_audio) == (30.0, False, True)
    assert report.duration == pytest.approx(1.5)
    assert report.keyframe_interval == pytest.approx(0.4)
    assert report.error is None and report.damage is None
