"""What each network sees of a frame: sizes, kernels, crops, mirrors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from kinoscope.arnet.options import Kernel
from kinoscope.arnet.pixels import Glass, nearest_rows, shrink, training_crop, training_views
from kinoscope.video import open_video
from kinoscope.video.scaling import scaled_size

from ..video.made_videos import make, numbers, turn


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_nearest_pixels(vectors: Callable[[str], dict[str, Any]]) -> None:
    for case in vectors("arnet")["vectors"]["nearest_downscale"]["cases"]:
        inputs, expected = case["inputs"], case["expected"]
        rows = nearest_rows(inputs["src"], inputs["dst"])
        assert rows[:12].tolist() == expected["first_12_source_indices"]
        assert (rows[-1], rows.sum()) == (expected["last_source_index"], expected["sum_of_indices"])
        frames = noise(2, inputs["src"], inputs["src"], 3)
        theirs = F.interpolate(torch.from_numpy(frames).permute(0, 3, 1, 2).float(), inputs["dst"], mode="nearest")
        np.testing.assert_array_equal(shrink(frames, inputs["dst"], "nearest"), theirs.permute(0, 2, 3, 1).byte())


def test_an_area_is_averaged() -> None:
    frames = noise(1, 96, 96, 3)
    expected = frames.reshape(1, 48, 2, 48, 2, 3).mean((2, 4))
    assert np.abs(shrink(frames, 48, "area") - expected).max() <= 0.51
    assert shrink(frames, 96, "area") is frames
    assert shrink(frames, 64, "bilinear").shape == (1, 64, 64, 3)


@pytest.mark.parametrize("kernel", ["area", "bilinear", "nearest"])
def test_a_view_is_the_central_square(kernel: Kernel, tmp_path: Path) -> None:
    """As the reader itself scales and crops; with another kernel the largest square is scaled."""
    path = make(tmp_path / "v.mp4", 3, size=(96, 160))
    with open_video(path) as video, video.picker() as pick:
        glass = Glass(video.stored_size, video.rotation, 64, kernel, 0.875)
        frame = pick(1)
        large, small = glass.view(frame, 64), glass.view(frame, 32)
        assert large.shape == (64, 64, 3) and small.shape == (32, 32, 3)

        def straight(size: int) -> np.ndarray:
            height, width = scaled_size(video.size, round(size / 0.875))
            scaled = video.frames_by_index([1], size=(height, width)).frames[0]
            top, left = (height - size) // 2, (width - size) // 2
            return scaled[top : top + size, left : left + size]

        assert np.abs(large.astype(int) - straight(64)).max() <= 2
        expected = straight(32) if kernel == "area" else shrink(large[None], 32, kernel)[0]
        assert np.abs(small.astype(int) - expected).max() <= (2 if kernel == "area" else 0)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_views_stand_upright(degrees: int, tmp_path: Path) -> None:
    """As frames that are read upright: the numbers that they show can be read."""
    path = turn(make(tmp_path / "v.mp4", 6, size=(72, 72)), degrees)
    with open_video(path) as video, video.picker() as pick:
        assert video.rotation == degrees
        glass = Glass(video.stored_size, video.rotation, 72, "area", 1.0)
        whole = video.frames_by_index([0, 5]).frames
        views = np.stack([glass.view(pick(0), 72), glass.view(pick(5), 72)])
        np.testing.assert_array_equal(views, whole)
        assert numbers(np.rot90(views, degrees // 90, axes=(1, 2))) == [0, 5]


# --- training ------------------------------------------------------------------------------------------------------


@given(st.integers(0, 10_000), st.integers(40, 300), st.integers(40, 300))
def test_crops_of_training(seed: int, height: int, width: int) -> None:
    top, left, h, w = training_crop(np.random.default_rng(seed), (height, width))
    steps = [round(min(height, width) * scale) for scale in (1, 0.875, 0.75, 0.66)]
    assert abs(steps.index(h) - steps.index(w)) <= 1, "stretched by one step at most"
    assert top in {(height - h) * k // 4 for k in range(5)} and left in {(width - w) * k // 4 for k in range(5)}
    assert 0 <= top <= height - h and 0 <= left <= width - w


def test_all_crops_are_drawn() -> None:
    rng = np.random.default_rng(0)
    drawn = {training_crop(rng, (100, 100)) for _ in range(3000)}
    assert len({(h, w) for _, _, h, w in drawn}) == 10
    assert {(0, 0, 100, 100), (0, 34, 66, 66), (34, 34, 66, 66)} <= drawn


@pytest.mark.parametrize("kernel", ["area", "bilinear", "nearest"])
def test_every_network_sees_the_same_box(kernel: Kernel) -> None:
    frames = np.kron(noise(2, 4, 4, 3), np.ones((1, 30, 30, 1), np.uint8))
    frames[:, :, :60] //= 2  # the left half is darker
    large, small = training_views(frames, (30, 0, 60, 120), False, (60, 32), kernel)
    assert large.shape == (2, 60, 60, 3) and small.shape == (2, 32, 32, 3)
    assert np.abs(large[:, 8, 8].astype(int) - frames[:, 30 + 8, 17]).max() <= 2
    assert np.abs(large.mean((1, 2)) - small.mean((1, 2))).max() < 4
    mirrored = training_views(frames, (30, 0, 60, 120), True, (60, 32), kernel)
    assert large[:, :, :30].mean() < large[:, :, 30:].mean() and mirrored[0][:, :, :30].mean() > 1.05 * large.mean()
    np.testing.assert_array_equal(mirrored[0], large[:, :, ::-1])


def test_small_boxes_are_enlarged() -> None:
    (seen,) = training_views(noise(1, 40, 40, 3), (5, 5, 20, 20), False, (64,), "area")
    assert seen.shape == (1, 64, 64, 3)
