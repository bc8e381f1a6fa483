"""Flow of frames: signs and axes against known motion, the encoding against its sheet, colours."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from kinoscope.errors import OptionError
from kinoscope.video.flow import FlowSettings, compute_flow, decode_flow, encode_flow, flow_colors

from .moving import inside, moving

ALGORITHMS = ("dis", "farneback", "tvl1")
bounds = st.floats(0.5, 200)
flows = arrays.arrays(np.float32, (4, 3, 2), elements=st.floats(-300, 300, width=32))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("motion", [(3.0, 0.0), (0.0, -2.0), (-1.5, 2.5)])
def test_known_motion_is_found(algorithm: str, motion: tuple[float, float]) -> None:
    flow = compute_flow(moving(3, *motion, size=(64, 80)), algorithm)  # type: ignore[arg-type]
    assert flow.shape == (2, 64, 80, 2) and flow.dtype == np.float32
    assert np.median(inside(flow), axis=(0, 1, 2)) == pytest.approx(motion, abs=0.1)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("size", [(1, 1), (5, 40), (33, 7)])
def test_small_and_still_frames(algorithm: str, size: tuple[int, int]) -> None:
    frames = np.full((2, *size, 3), 90, np.uint8)
    assert np.abs(compute_flow(frames, algorithm)).max() < 1e-3  # type: ignore[arg-type]


def test_a_single_frame_has_no_motion() -> None:
    assert compute_flow(np.zeros((1, 8, 9, 3), np.uint8)).shape == (0, 8, 9, 2)


def test_the_encoding_of_the_sheet() -> None:
    flow = np.array([[0, 0], [20, -20], [-20, 20], [100, -100], [10, 0.2]], np.float32)
    wanted = [[128, 128, 128], [128, 0, 255], [128, 255, 0], [128, 0, 255], [128, 129, 191]]  # 128, v, u
    assert encode_flow(flow).tolist() == wanted
    slow = [[128, round((v + 20) * 255 / 40), round((u + 20) * 255 / 40)] for u, v in np.clip(flow, -20, 20).tolist()]
    assert encode_flow(flow).tolist() == slow


@given(flow=flows, bound=bounds)
def test_what_is_stored_comes_back_to_half_a_step(flow: np.ndarray, bound: float) -> None:
    encoded = encode_flow(flow, bound)
    assert (encoded[..., 0] == 128).all()
    assert np.abs(decode_flow(encoded, bound) - np.clip(flow, -bound, bound)).max() <= bound / 255 * 1.001
    assert np.array_equal(encode_flow(decode_flow(encoded, bound), bound), encoded)


@given(bound=bounds)
def test_no_motion_is_128_and_comes_back_as_half_a_step(bound: float) -> None:
    encoded = encode_flow(np.zeros((1, 2), np.float32), bound)
    assert encoded.tolist() == [[128, 128, 128]]
    assert decode_flow(encoded, bound) == pytest.approx(np.full((1, 2), bound / 255), rel=1e-4)


def test_colours_tell_direction_and_speed() -> None:
    right, down, left, up = flow_colors(np.array([[20, 0], [0, 20], [-20, 0], [0, -20]], np.float32)).tolist()
    assert right[0] > 250 > 5 > right[1] and right[2] < 5  # red
    assert down[1] > 250 > down[0] > down[2] and left[1] > 250 and left[2] > 250 > left[0]  # green, cyan
    assert up[2] > 250 > up[0] > up[1]  # violet
    still, slow = flow_colors(decode_flow(encode_flow(np.array([[0, 0], [1, 0]], np.float32)))).tolist()
    assert still == [255, 255, 255] and slow[0] == 255 and 150 < slow[1] < 250


@pytest.mark.parametrize("bound", [0, -1, float("nan"), float("inf")])
def test_impossible_bounds_are_refused(bound: float) -> None:
    for call in (lambda: FlowSettings(bound=bound), lambda: encode_flow(np.zeros((1, 2)), bound)):
        with pytest.raises(OptionError, match="bound is"):
            call()


def test_what_cannot_be_computed_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = np.zeros((2, 8, 8, 3), np.uint8)
    with pytest.raises(OptionError, match="give the file to video_flow"):
        compute_flow(frames, "motion-vectors")
    with pytest.raises(OptionError, match="known are: dis, farneback, tvl1, motion-vectors"):
        compute_flow(frames, "raft")  # type: ignore[arg-type]
    cv2 = pytest.importorskip("cv2")
    monkeypatch.delattr(cv2, "optflow", raising=False)
    with pytest.raises(OptionError, match="opencv-contrib-python-headless"):
        compute_flow(frames, "tvl1")
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(OptionError, match="pip install opencv-contrib-python-headless"):
        compute_flow(frames)


def test_what_was_measured_before_changes_nothing() -> None:
    """OpenCV's DIS remembers, for some frame sizes, so that the same pair gave another flow after another pair."""
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (6, 44, 44, 3), dtype=np.uint8)
    whole = compute_flow(frames, "dis")
    for t in range(5):
        np.testing.assert_array_equal(compute_flow(frames[t : t + 2], "dis")[0], whole[t])
