"""A library of clips: the right frames, one decode, a cache that is trusted only where it deserves it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from itertools import chain, pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinoscope.clips import footage, library
from kinoscope.clips.cache import _CHUNK, write_cached
from kinoscope.clips.parallel import in_parallel
from kinoscope.clips.reader import ClipOptions, Clips
from kinoscope.errors import OptionError, OutputError, VideoError
from kinoscope.video.flow.encoding import FlowSettings, decode_flow
from kinoscope.video.flow.files import flow_path, write_flow
from kinoscope.video.flow.measure import FlowOptions
from kinoscope.video.reader import Video
from kinoscope.video.streams import STILL, Stream, render_stream
from tests.folders import files_below
from tests.video.made_videos import make, numbers

OPTIONS = ClipOptions(frames=8, fps=30.0, size=54, decode_size=72)
ALL: tuple[Stream, ...] = ("rgb", "flow", "difference")


@pytest.fixture
def videos(tmp_path: Path) -> dict[str, Path]:
    """Three videos of numbered frames: 20, 90 (more than a piece of the cache) and 6."""
    folder = tmp_path / "videos"
    folder.mkdir()
    counts = {"a": 20, "b": 90, "short": 6}
    assert counts["b"] > _CHUNK
    return {name: make(folder / f"{name}.mp4", frames) for name, frames in counts.items()}


def clips_of(videos: dict[str, Path], streams: tuple[Stream, ...] = ALL, **given: Any) -> Clips:
    clips = Clips(videos, streams, given.pop("options", OPTIONS), **given)
    clips.prepare(quiet=True)
    return clips


@pytest.mark.parametrize("cached", [False, True])
def test_clips_hold_the_frames_that_they_name(videos: dict[str, Path], tmp_path: Path, cached: bool) -> None:
    clips = clips_of(videos, cache=tmp_path / "cache" if cached else None)
    assert clips.names == ["a", "b", "short"]
    assert [clips.samples(i) for i in range(len(clips))] == [20, 90, 6]
    assert [clips.starts(i) for i in range(len(clips))] == [13, 83, 1]
    assert clips.frame_size(0) == (72, 128)
    first, last = clips.read(1, [(3, ("rgb",)), (82, ("rgb",))])
    assert numbers(first["rgb"]) == list(range(3, 11))
    assert numbers(last["rgb"]) == list(range(82, 90))  # the official code never shows the last frame


@pytest.mark.parametrize("cached", [False, True])
def test_a_short_video_begins_by_standing_still(videos: dict[str, Path], tmp_path: Path, cached: bool) -> None:
    clips = clips_of(videos, cache=tmp_path / "cache" if cached else None)
    found = clips.read(2, [(0, ALL)])[0]
    assert numbers(found["rgb"]) == [0, 0, 0, 1, 2, 3, 4, 5]
    np.testing.assert_array_equal(found["flow"][0], found["flow"][2])  # towards the frame that follows
    np.testing.assert_array_equal(found["flow"][6], found["flow"][7])  # nothing follows the last


@pytest.mark.parametrize("cached", [False, True])
def test_a_short_video_may_begin_again(videos: dict[str, Path], tmp_path: Path, cached: bool) -> None:
    options = replace(OPTIONS, short="wrap", least_frames=1)
    clips = clips_of(videos, cache=tmp_path / "cache" if cached else None, options=options)
    assert numbers(clips.read(2, [(0, ("rgb",))])[0]["rgb"]) == [0, 1, 2, 3, 4, 5, 0, 1]
    assert numbers(clips.read(1, [(3, ("rgb",))])[0]["rgb"]) == list(range(3, 11))  # long enough


def test_cached_and_decoded_clips_are_the_same(videos: dict[str, Path], tmp_path: Path) -> None:
    """Across the pieces in which the cache is written, too."""
    cached, decoded = clips_of(videos, cache=tmp_path / "cache"), clips_of(videos)
    for i, start in ((0, 5), (1, 0), (1, _CHUNK - 4), (1, 82), (2, 0)):
        spans = [(start, ALL), (max(0, start - 3), ("flow",))]
        for one, other in zip(cached.read(i, spans), decoded.read(i, spans), strict=True):
            assert one.keys() == other.keys()
            for stream in one:
                np.testing.assert_array_equal(one[stream], other[stream], err_msg=f"{i} {start} {stream}")


def test_streams_are_those_of_the_frames(videos: dict[str, Path]) -> None:
    clips = clips_of(videos)
    with Video(videos["b"]) as video:
        frames = video.frames_by_index(np.arange(10, 19), size=(72, 128)).frames
    found = clips.read(1, [(10, ALL)])[0]
    for stream in ALL:
        np.testing.assert_array_equal(found[stream], render_stream(frames, stream), err_msg=stream)


def test_time_decides_not_the_rate_of_the_file(tmp_path: Path) -> None:
    videos = {"slow": make(tmp_path / "slow.mp4", 10, rate=10), "fast": make(tmp_path / "fast.mp4", 60, rate=60)}
    clips = clips_of(videos, cache=tmp_path / "cache", options=ClipOptions(frames=8, fps=20.0, size=54, decode_size=72))
    assert [clips.samples(i) for i in range(2)] == [20, 20]
    slow, fast = (clips.read(i, [(2, ALL)])[0] for i in range(2))
    assert numbers(slow["rgb"]) == [1, 1, 2, 2, 3, 3, 4, 4]
    assert numbers(fast["rgb"]) == list(range(6, 30, 3))
    for stream in ("flow", "difference"):  # repeated frames do not stand still in between
        np.testing.assert_array_equal(slow[stream][::2], slow[stream][1::2])
        assert (slow[stream] != STILL).any(axis=(1, 2, 3)).all()


def test_one_decode_serves_all(videos: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    clips = clips_of(videos)
    asked: list[np.ndarray] = []
    plain = Video.frames_by_index

    def counted(self: Video, indices: Any, **given: Any) -> Any:
        asked.append(np.asarray(indices))
        return plain(self, indices, **given)

    monkeypatch.setattr(Video, "frames_by_index", counted)
    clips.read(1, [(0, ALL), (60, ("flow",)), (30, ())])
    assert len(asked) == 1
    assert asked[0].tolist() == [*range(9), *range(60, 69)]  # a frame more for motion; the last clip is not wanted
    clips.read(1, [(30, ())])
    assert len(asked) == 1


def test_what_is_cached_is_not_made_again(videos: dict[str, Path], tmp_path: Path, monkeypatch: Any) -> None:
    cache = tmp_path / "cache"
    clips_of(videos, cache=cache)
    made = {name: (cache / name).stat().st_mtime_ns for name in files_below(cache)}
    assert list(made) == ["a.safetensors", "b.safetensors", "short.safetensors"]
    monkeypatch.setattr(footage, "open_video", None)  # nothing is opened, let alone decoded
    again = clips_of(videos, ("rgb",), cache=cache)
    assert again.samples(1) == 90
    assert numbers(again.read(0, [(4, ("rgb",))])[0]["rgb"]) == list(range(4, 12))
    assert {name: (cache / name).stat().st_mtime_ns for name in files_below(cache)} == made


@pytest.mark.parametrize("change", ["half", "foreign", "source", "rate", "bound"])
def test_what_does_not_fit_is_made_again(videos: dict[str, Path], tmp_path: Path, change: str) -> None:
    cache, options = tmp_path / "cache", OPTIONS
    clips_of(videos, cache=cache)
    file = cache / "a.safetensors"
    if change == "half":
        file.write_bytes(file.read_bytes()[:-1000])
    elif change == "foreign":
        file.write_bytes(b"no safetensors at all")
    elif change == "source":
        make(videos["a"], 30)
    elif change == "rate":
        options = ClipOptions(frames=8, fps=15.0, size=54, decode_size=72)
    else:
        options = ClipOptions(frames=8, fps=30.0, size=54, decode_size=72, flow=FlowSettings(bound=10.0))
    fresh, kept = clips_of(videos, cache=cache, options=options), clips_of(videos, options=options)
    assert fresh.samples(0) == {"source": 30, "rate": 10}.get(change, 20)
    for stream in ALL:
        np.testing.assert_array_equal(fresh.read(0, [(1, ALL)])[0][stream], kept.read(0, [(1, ALL)])[0][stream])
    assert all(not name.startswith(".") for name in files_below(cache))


def test_motion_is_added_to_a_cache_without_it(videos: dict[str, Path], tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    clips_of(videos, ("rgb",), cache=cache)
    assert clips_of(videos, cache=cache).read(0, [(0, ("flow",))])[0]["flow"].shape == (8, 72, 128, 3)


def test_several_processes_write_the_same_files(videos: dict[str, Path], tmp_path: Path) -> None:
    contents = []
    for workers in (0, 2):
        cache = tmp_path / f"cache{workers}"
        Clips(videos, ALL, OPTIONS, cache=cache).prepare(workers, quiet=True)
        contents.append({name: (cache / name).read_bytes() for name in files_below(cache)})
    assert contents[0] == contents[1]


def test_who_stops_waiting_leaves_no_half_files(videos: dict[str, Path], tmp_path: Path) -> None:
    recipe = Clips(videos, ALL, OPTIONS).recipe
    plans = {name: footage.survey(path, 30.0, 72) for name, path in videos.items()}
    jobs = {f"{n}{k}": (tmp_path / "c" / f"{n}{k}", n, plan, recipe) for n, plan in plans.items() for k in range(20)}
    running = in_parallel(write_cached, jobs, 2)
    name, damage = next(running)
    running.close()
    assert damage is None
    left = files_below(tmp_path / "c")
    assert name in left
    assert len(left) < len(jobs)
    assert not any(each.startswith(".") for each in left)


def test_what_cannot_be_used_is_left_out_and_told(videos: dict[str, Path], tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    brief = make(tmp_path / "brief.mp4", 3)
    clips = clips_of(videos | {"broken": broken, "brief": brief, "gone": tmp_path / "gone.mp4"}, cache=tmp_path / "c")
    assert clips.names == ["a", "b", "short"]
    assert set(clips.failed) == {broken, brief, tmp_path / "gone.mp4"}
    assert "too short: it has 3 samples, 4 are needed" in clips.failed[brief]
    with pytest.raises(VideoError, match="no video is left"):
        clips_of({"broken": broken})


def test_damage_is_told_not_warned_of(videos: dict[str, Path], tmp_path: Path) -> None:
    whole = make(tmp_path / "whole.mkv", 60)
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * 0.7)])
    for cache in (None, tmp_path / "cache"):
        clips = clips_of({"cut": cut}, ("rgb",), cache=cache)
        assert list(clips.damaged) == [cut]
        assert clips.samples(0) < 60
        clips.read(0, [(0, ("rgb",))])


def test_a_video_that_vanishes_is_named_unless_it_is_cached(videos: dict[str, Path], tmp_path: Path) -> None:
    cached, decoded = clips_of(videos, cache=tmp_path / "cache"), clips_of(videos)
    shutil.rmtree(tmp_path / "videos")
    assert numbers(cached.read(0, [(0, ("rgb",))])[0]["rgb"]) == list(range(8))
    with pytest.raises(VideoError, match=r"a\.mp4: there is no such file"):
        decoded.read(0, [(0, ("rgb",))])
    shutil.rmtree(tmp_path / "cache")
    with pytest.raises(VideoError, match=r"a\.safetensors: this cached video cannot be read"):
        cached.read(0, [(0, ("rgb",))])


def test_a_full_disk_is_told_before_the_work(videos: dict[str, Path], tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(library.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(OutputError, match=r"need 0\.00535 GB, but the disk has 1e-06 GB left"):
        clips_of(videos, cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("algorithm", ["dis", "motion-vectors"])
def test_flow_files_say_the_same_as_flow_that_is_measured(
    videos: dict[str, Path], tmp_path: Path, algorithm: Any
) -> None:
    options = ClipOptions(frames=8, fps=30.0, size=54, decode_size=72, flow=FlowSettings(algorithm))
    for name, path in videos.items():
        write_flow(path, flow_path(tmp_path / "flow", name), FlowOptions(algorithm, size=72))
    measured = clips_of(videos, ("flow",), options=options, cache=tmp_path / "measured")
    stored = clips_of(videos, ("flow", "rgb"), options=options, flow_folder=tmp_path / "flow")
    cached = clips_of(videos, ("flow",), options=options, flow_folder=tmp_path / "flow", cache=tmp_path / "stored")
    for i, start in ((0, 3), (1, 60), (1, 82), (2, 0)):
        expected = measured.read(i, [(start, ("flow",))])[0]["flow"]
        for clips in (stored, cached):
            np.testing.assert_array_equal(clips.read(i, [(start, ("flow",))])[0]["flow"], expected)


def test_stored_motion_is_scaled_in_space_and_time(tmp_path: Path) -> None:
    videos = {"a": make(tmp_path / "a.mp4", 20)}
    write_flow(videos["a"], flow_path(tmp_path, "a"), FlowOptions(size=72))
    whole = clips_of(videos, ("flow",), flow_folder=tmp_path)
    half = ClipOptions(frames=4, fps=15.0, size=36, decode_size=36)
    sampled = clips_of(videos, ("flow",), options=half, flow_folder=tmp_path).read(0, [(0, ("flow",))])[0]["flow"]
    full = decode_flow(whole.read(0, [(0, ("flow",))])[0]["flow"][::2])  # [4, 72, 128, 2]
    mean = full.reshape(4, 36, 2, 64, 2, 2).mean(axis=(2, 4))  # half the pixels, but two frames: the same numbers
    assert np.abs(decode_flow(sampled) - mean.clip(-20, 20)).max() < 0.25


def test_flow_of_another_algorithm_or_video_is_refused(videos: dict[str, Path], tmp_path: Path) -> None:
    one = {"a": videos["a"]}
    with pytest.raises(VideoError, match="there is no flow of this video"):
        clips_of(one, flow_folder=tmp_path)
    write_flow(videos["a"], flow_path(tmp_path, "a"), FlowOptions("farneback"))
    with pytest.raises(VideoError, match="holds flow by farneback, not dis"):
        clips_of(one, flow_folder=tmp_path)
    write_flow(videos["b"], flow_path(tmp_path, "a"))
    with pytest.raises(VideoError, match=r"holds flow of another a\.mp4"):
        clips_of(one, flow_folder=tmp_path)
    with pytest.raises(OptionError, match="motion vectors are read along whole files"):
        Clips(one, ("flow",), ClipOptions(flow=FlowSettings("motion-vectors")))


def test_sources_and_labels(videos: dict[str, Path]) -> None:
    clips = clips_of(videos, labels={"b": "run", "a": "jump"}, groups={"a": "tape", "short": "tape"})
    assert clips.classes == ["jump", "run"]
    assert clips.labels.tolist() == [0, 1, -1]
    assert clips.sources[0] == clips.sources[2] != clips.sources[1]
    assert len(set(clips_of(videos).sources.tolist())) == 3


def test_what_was_not_announced_is_refused(videos: dict[str, Path]) -> None:
    clips = clips_of(videos, ("rgb",))
    with pytest.raises(OptionError, match="announced were rgb"):
        clips.read(0, [(0, ("flow",))])
    with pytest.raises(OptionError, match="from 0 to 12"):
        clips.read(0, [(13, ("rgb",))])
    with pytest.raises(OptionError, match="choose rgb, flow or difference"):
        Clips(videos, ("depth",))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [({"frames": 0}, "frames is 0"), ({"fps": float("nan")}, "fps"), ({"size": 64, "decode_size": 32}, "below size")],
)
def test_impossible_options_are_refused(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(OptionError, match=says):
        ClipOptions(**wrong)


def test_defaults_follow_from_the_size() -> None:
    assert (ClipOptions().short_side, ClipOptions().least) == (170, 16)
    assert ClipOptions(size=112).short_side == 150


@given(rows=st.sets(st.integers(0, 40), min_size=1).map(sorted))
def test_runs_cover_rows_without_gaps(rows: list[int]) -> None:
    parts = [rows[part] for part in footage.runs(np.array(rows))]
    assert list(chain.from_iterable(parts)) == rows
    assert all(part == list(range(part[0], part[-1] + 1)) for part in parts)
    assert all(before[-1] + 1 < after[0] for before, after in pairwise(parts))


def test_effort_is_counted(videos: dict[str, Path]) -> None:
    clips = clips_of(videos)
    clips.read(0, [(0, ALL)])
    assert clips.effort.decoding > 0
    assert clips.effort.motion > 0
