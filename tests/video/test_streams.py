"""What a network sees of a clip: encoded motion, differences, repeated frames, normalisation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kinoscope.errors import OptionError
from kinoscope.video.flow.encoding import decode_flow
from kinoscope.video.streams import STILL, normalise, render_motion, render_stream, rows_in_motion

SIDE = 64


def sliding(frames: int, u: int = 2, v: int = 1) -> np.ndarray:
    """A textured picture that moves by (u, v) pixels a frame. Shape: [frames, SIDE, SIDE, 3]."""
    big = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8).repeat(5, axis=0).repeat(5, axis=1)
    return np.stack([big[60 - v * t : 60 - v * t + SIDE, 60 - u * t : 60 - u * t + SIDE] for t in range(frames)])


def test_rgb_is_the_frames_themselves() -> None:
    frames = sliding(5)
    np.testing.assert_array_equal(render_stream(frames, "rgb"), frames[:-1])


def test_flow_has_the_channels_of_the_paper() -> None:
    flow = render_stream(sliding(4), "flow")
    assert flow.shape == (3, SIDE, SIDE, 3)
    assert (flow[..., 0] == STILL).all()
    inner = decode_flow(flow)[:, 16:-16, 16:-16]  # [3, 32, 32, 2]
    np.testing.assert_allclose(np.median(inner, axis=(0, 1, 2)), [2, 1], atol=0.25)


def test_difference_against_plain_arithmetic() -> None:
    frames = np.random.default_rng(1).integers(0, 256, (4, 3, 5, 3), np.uint8)
    found = render_stream(frames, "difference")
    for t in range(3):
        for place in np.ndindex(3, 5, 3):
            change = int(frames[(t + 1, *place)]) - int(frames[(t, *place)])
            assert found[(t, *place)] == (256 + change) // 2


@pytest.mark.parametrize("stream", ["flow", "difference"])
def test_a_repeated_frame_moves_to_the_next_different_one(stream: str) -> None:
    distinct = sliding(4)
    shown = np.array([0, 0, 1, 1, 1, 2, 3])
    expected = render_stream(distinct, stream)[shown[:-1]]
    np.testing.assert_array_equal(render_stream(distinct[shown], stream), expected)
    np.testing.assert_array_equal(render_stream(distinct[shown], stream, times=shown / 10.0), expected)


def test_times_tell_a_still_picture_from_a_repeated_one() -> None:
    frames = sliding(2)[[0, 0, 1]]
    still = render_stream(frames, "difference", times=np.array([0.0, 0.1, 0.2]))
    assert (still[0] == STILL).all()
    assert (still[1] != STILL).any()


@pytest.mark.parametrize("stream", ["flow", "difference"])
def test_where_nothing_follows_motion_goes_on_and_one_frame_stands_still(stream: str) -> None:
    frames = sliding(3)
    ended = render_stream(frames[[0, 1, 2, 2, 2]], stream)
    np.testing.assert_array_equal(ended[1], ended[2])
    np.testing.assert_array_equal(ended[1], ended[3])
    assert (render_stream(frames[[0, 0, 0]], stream) == STILL).all()


@given(count=st.integers(1, 12), data=st.data())
def test_rows_in_motion_are_enough(count: int, data: st.DataObject) -> None:
    rows = np.array(sorted(data.draw(st.sets(st.integers(0, count - 1), min_size=1))))
    frames = np.random.default_rng(count).integers(0, 256, (count, 2, 2, 3), np.uint8)
    whole = render_motion(frames, "difference")
    needed = rows_in_motion(rows, count)
    assert set(needed.tolist()) <= set(range(count))
    for row in rows.tolist():
        partner = row + 1 if row + 1 < count else row - 1
        assert count == 1 or {row, partner} <= set(needed.tolist())
        pair = frames[sorted({row, partner} & set(range(count)))]
        np.testing.assert_array_equal(render_motion(pair, "difference")[0], whole[row])


def test_normalise_against_plain_arithmetic() -> None:
    clips = np.random.default_rng(2).integers(0, 256, (2, 4, 3, 5, 3), np.uint8)
    found = normalise(clips)
    assert found.shape == (2, 3, 4, 3, 5)
    assert found.dtype == torch.float32
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    np.testing.assert_allclose(found.movedim(1, -1).numpy(), (clips / 255 - mean) / std, atol=1e-6)
    torch.testing.assert_close(normalise(torch.from_numpy(clips))[0], normalise(clips[0]))
    assert found.is_contiguous(memory_format=torch.channels_last_3d)


@pytest.mark.parametrize(
    ("frames", "stream", "says"),
    [
        (np.zeros((3, 4, 4, 3), np.uint8), "depth", "choose rgb, flow or difference"),
        (np.zeros((1, 4, 4, 3), np.uint8), "flow", "at least 2"),
        (np.zeros((3, 4, 4), np.uint8), "rgb", "uint8"),
        (np.zeros((3, 4, 4, 3), np.float32), "rgb", "uint8"),
    ],
)
def test_what_is_no_clip_is_refused(frames: np.ndarray, stream: str, says: str) -> None:
    with pytest.raises(OptionError, match=says):
        render_stream(frames, stream)  # type: ignore[arg-type]
