"""Single frames, each asked for when it is wanted: the right ones, and no more decoded than the file demands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kinoscope.errors import DamagedVideoWarning
from kinoscope.video import Video, open_video
from kinoscope.video.scaling import Scaler, layout

from .made_videos import make, number_of

KINDS: dict[str, dict[str, Any]] = {
    "short-gop.mp4": {"gop": 6},
    "open.mkv": {"gop": 30, "b_frames": 3},
    "intra.mkv": {"codec": "mjpeg", "pixels": "yuvj420p", "gop": 1, "b_frames": 0, "color_range": "pc"},
    "one-gop.mp4": {"gop": 600, "b_frames": 0, "sc_threshold": "0"},
    "a.avi": {"codec": "mpeg4", "b_frames": 0},
    "a.gif": {"codec": "gif", "rate": 25, "pixels": "rgb8"},
}
FRAMES = 90


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("films")
    return {name: make(folder / name, FRAMES, **options) for name, options in KINDS.items()}


def picked(video: Video, positions: list[int]) -> tuple[list[int], int]:
    """The numbers that the frames show, and how many came out of the decoder."""
    scaler = Scaler(layout(video.stored_size, video.rotation, None))
    with video.picker() as pick:
        assert pick.decoded == 0
        return [number_of(scaler(pick(position))) for position in positions], pick.decoded


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("step", [1, 4, 17, 60])
def test_every_frame_is_the_one_asked_for(films: dict[str, Path], name: str, step: int) -> None:
    wanted = list(range(0, FRAMES, step))
    with open_video(films[name]) as video:
        found, decoded = picked(video, wanted)
    assert found == wanted and 0 < len(wanted) <= decoded + 1, "the first was decoded when the file was opened"


@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from([name for name in KINDS if name != "a.gif"]), st.sets(st.integers(0, FRAMES - 1), min_size=1))
def test_any_ascending_positions(films: dict[str, Path], name: str, positions: set[int]) -> None:
    wanted = sorted(positions)
    with open_video(films[name]) as video:
        assert picked(video, wanted)[0] == wanted
        assert picked(video, [wanted[0], wanted[0], wanted[-1]])[0] == [wanted[0], wanted[0], wanted[-1]]


def test_keyframes_save_the_way(films: dict[str, Path]) -> None:
    """All frames apart: only those wanted; one long stretch of dependent frames: all on the way."""
    wanted = [0, 30, 60, 89]
    with open_video(films["intra.mkv"]) as video:
        assert picked(video, wanted)[1] <= len(wanted) + 1
    with open_video(films["one-gop.mp4"]) as video:
        assert len(video.keyframes) == 1 and FRAMES - 1 <= picked(video, wanted)[1] <= FRAMES
    with open_video(films["short-gop.mp4"]) as video:
        _, decoded = picked(video, wanted)
        assert decoded <= 4 * 6 + 4 * 3, "not more than a group of pictures each, and a few in the codec's pipe"


def test_what_comes_after_need_not_be_known(films: dict[str, Path]) -> None:
    """A position that depends on what was seen, with the reader in use besides."""
    with open_video(films["open.mkv"]) as video:
        scaler = Scaler(layout(video.stored_size, video.rotation, None))
        with video.picker() as pick:
            at, seen = 0, []
            while at < FRAMES:
                seen.append(number_of(scaler(pick(at))))
                assert number_of(video.frames_by_index([50]).frames[0]) == 50, "another decoder"
                at = 2 * seen[-1] + 3
        assert seen == [0, 3, 9, 21, 45]
        assert number_of(video.frames_by_index([7]).frames[0]) == 7


def test_a_lost_frame_is_replaced_by_the_one_before_and_told(films: dict[str, Path], tmp_path: Path) -> None:
    import av

    path = tmp_path / "v.mkv"
    content = films["intra.mkv"].read_bytes()
    with av.open(str(films["intra.mkv"])) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    path.write_bytes(content.replace(packets[40], bytes(len(packets[40]))))
    with open_video(path) as video:
        with pytest.warns(DamagedVideoWarning, match="1 of 90 frames cannot be decoded"):
            found, _ = picked(video, [39, 40, 41, 80])
        assert found == [39, 39, 41, 80] and video.damage is not None


def test_frames_come_as_they_were_decoded(films: dict[str, Path]) -> None:
    with open_video(films["short-gop.mp4"]) as video:
        with video.picker() as pick:
            frame = pick(10)
        assert (frame.height, frame.width) == video.stored_size and frame.format.name == "yuv420p"
        with video.picker() as again:
            np.testing.assert_array_equal(again(10).to_ndarray(), frame.to_ndarray())
            assert again.decoded == 0, "the decoder still stands there"
            again(13)
            assert again.decoded == 3
