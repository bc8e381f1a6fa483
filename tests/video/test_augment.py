"""Views of clips: drawn once, the same in all frames, against slow twins."""

from __future__ import annotations

import colorsys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinoscope.errors import OptionError
from kinoscope.video.augment import (
    AugmentOptions,
    Jitter,
    View,
    apply_jitter,
    apply_view,
    central_crop,
    draw_crop,
    draw_view,
    evaluation_view,
)
from kinoscope.video.streams import STILL

SAME = Jitter(1, 1, 1, 0)
WHOLE = View((0, 0, 24, 24))


def clip(frames: int = 3, height: int = 24, width: int = 24) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (frames, height, width, 3), np.uint8)


def greys(pixels: np.ndarray) -> np.ndarray:
    return pixels @ np.array([0.299, 0.587, 0.114])


@given(height=st.integers(1, 300), width=st.integers(1, 300), seed=st.integers(0, 2**32))
def test_a_crop_lies_inside_of_the_frame(height: int, width: int, seed: int) -> None:
    top, left, h, w = draw_crop(np.random.default_rng(seed), (height, width))
    assert min(top, left) >= 0
    assert min(h, w) >= 1
    assert top + h <= height
    assert left + w <= width


def test_crops_have_the_area_and_the_shape_that_were_asked_for() -> None:
    rng = np.random.default_rng(0)
    boxes = np.array([draw_crop(rng, (170, 226)) for _ in range(2000)])
    share, aspect = boxes[:, 2] * boxes[:, 3] / (170 * 226), boxes[:, 3] / boxes[:, 2]
    assert 0.19 < share.min() < 0.25
    assert share.max() > 0.9
    assert 0.73 < aspect.min() < aspect.max() < 1.36
    assert boxes[:, 0].min() == 0
    assert (boxes[:, 0] + boxes[:, 2]).max() == 170


def test_a_crop_that_never_fits_becomes_the_central_one() -> None:
    """The official code squashes the whole frame instead (sheet, section 9.8)."""
    narrow = (20, 400)
    assert draw_crop(np.random.default_rng(0), narrow, (0.9, 1.0)) == central_crop(narrow) == (0, 186, 20, 27)
    assert central_crop((400, 20)) == (186, 0, 27, 20)


def test_probabilities_are_those_of_the_options() -> None:
    rng, options = np.random.default_rng(0), AugmentOptions()
    strong = [draw_view(rng, (128, 170), options, strong=True) for _ in range(3000)]
    for name, expected in (("flip", 0.5), ("jitter", 0.8), ("grey", 0.2), ("blur", 0.5)):
        share = np.mean([getattr(view, name) is not None and getattr(view, name) is not False for view in strong])
        assert abs(share - expected) < 0.04, name
    assert {view.grey for view in strong} == {None, 0, 1, 2}
    assert all(0.1 <= view.blur <= 2 for view in strong if view.blur is not None)
    weak = [draw_view(rng, (128, 170), options, strong=False) for _ in range(100)]
    assert {(view.jitter, view.grey, view.blur) for view in weak} == {(None, None, None)}


def test_one_seed_gives_one_view() -> None:
    views = [draw_view(np.random.default_rng(7), (128, 170), AugmentOptions(), strong=True) for _ in range(2)]
    assert views[0] == views[1]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_all_frames_of_a_clip_are_changed_alike(seed: int) -> None:
    view = draw_view(np.random.default_rng(seed), (24, 24), AugmentOptions(), strong=True)
    still = clip(1).repeat(3, axis=0)
    shown = apply_view(still, view, 16)
    assert shown.shape == (3, 16, 16, 3)
    np.testing.assert_array_equal(shown, shown[:1].repeat(3, axis=0))
    np.testing.assert_array_equal(still, clip(1).repeat(3, axis=0))  # the cache is not written to


def test_the_whole_frame_at_its_size_is_itself_and_a_flip_mirrors_it() -> None:
    np.testing.assert_array_equal(apply_view(clip(), WHOLE, 24), clip())
    np.testing.assert_array_equal(apply_view(clip(), replace(WHOLE, flip=True), 24), clip()[:, :, ::-1])


def test_a_crop_keeps_its_place() -> None:
    shown = apply_view(clip(), View((3, 5, 16, 16)), 16)
    np.testing.assert_array_equal(shown, clip()[:, 3:19, 5:21])


def test_grey_is_one_channel_for_the_whole_clip() -> None:
    shown = apply_view(clip(), replace(WHOLE, grey=2), 24)
    for channel in range(3):
        np.testing.assert_array_equal(shown[..., channel], clip()[..., 2])


@pytest.mark.parametrize("channel", [0, 1, 2])
def test_grey_never_erases_motion(channel: int) -> None:
    """The official code may pick the empty channel of flow (sheet, section 9.6)."""
    flow = clip()
    flow[..., 0] = STILL
    assert apply_view(flow, replace(WHOLE, grey=channel), 24, stream="flow").std() > 10


@pytest.mark.parametrize("factor", [0.6, 1.4])
def test_brightness_contrast_and_saturation_against_plain_arithmetic(factor: float) -> None:
    pixels = clip().astype(float)
    means = np.round(greys(pixels).mean(axis=(1, 2)))[:, None, None, None]  # [T, 1, 1, 1]
    expected = {
        "brightness": pixels * factor,
        "contrast": pixels * factor + (1 - factor) * means,
        "saturation": pixels * factor + (1 - factor) * greys(pixels)[..., None],
    }
    for name, values in expected.items():
        found = apply_jitter(clip(), replace(SAME, **{name: factor}))
        np.testing.assert_allclose(found, values.clip(0, 255), atol=3 if name == "saturation" else 1, err_msg=name)


def test_hue_against_the_standard_library() -> None:
    found = apply_jitter(clip(1, 6, 6), replace(SAME, hue=26 / 256))[0]
    for place in np.ndindex(6, 6):
        hue, saturation, value = colorsys.rgb_to_hsv(*(clip(1, 6, 6)[0][place] / 255))
        expected = np.array(colorsys.hsv_to_rgb((hue + 26 / 256) % 1, saturation, value)) * 255
        np.testing.assert_allclose(found[place], expected, atol=10)  # hues are kept in 256 steps


def test_jitter_keeps_the_order_that_was_drawn() -> None:
    dark = replace(SAME, brightness=0.6, contrast=1.4)
    one, other = (apply_jitter(clip(), replace(dark, order=order)) for order in ((0, 1, 2, 3), (1, 0, 2, 3)))
    assert (one != other).any()


def test_physical_motion_keeps_its_colours_and_turns_with_a_flip() -> None:
    flow = clip()
    flow[..., 0] = STILL
    flow[0, 0, :, 2] = STILL
    view = replace(WHOLE, flip=True, jitter=Jitter(0.6, 1.4, 1, 0.1), grey=1)
    shown = apply_view(flow, view, 24, stream="flow", physical=True)
    mirrored = flow[:, :, ::-1]
    np.testing.assert_array_equal(shown[..., :2], mirrored[..., :2])
    expected = np.where(mirrored[..., 2] == STILL, STILL, 255 - mirrored[..., 2].astype(int))
    np.testing.assert_array_equal(shown[..., 2], expected)
    difference = apply_view(flow, view, 24, stream="difference", physical=True)
    np.testing.assert_array_equal(difference, mirrored)
    rgb = apply_view(flow, view, 24, stream="rgb", physical=True)
    np.testing.assert_array_equal(rgb, apply_view(flow, view, 24, stream="rgb"))


def test_blur_smooths_within_frames_only() -> None:
    point = np.zeros((3, 24, 24, 3), np.uint8)
    point[1, 12, 12] = 255
    shown = apply_view(point, replace(WHOLE, blur=1.0), 24)
    assert shown[0].max() == shown[2].max() == 0
    assert 0 < shown[1, 12, 13, 0] < shown[1, 12, 12, 0] < 60  # 255 / 2π = 41


def test_evaluation_takes_the_central_square() -> None:
    np.testing.assert_array_equal(evaluation_view(clip(2, 24, 40), 24), clip(2, 24, 40)[:, :, 8:32])
    assert evaluation_view(clip(2, 40, 24), 12).shape == (2, 12, 12, 3)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"flip": 1.5}, "flip is 1.5"),
        ({"grey": -0.1}, "grey"),
        ({"area": (0.5, 0.2)}, "area"),
        ({"area": (0, 1)}, "area"),
    ],
)
def test_impossible_options_are_refused(wrong: dict[str, object], says: str) -> None:
    with pytest.raises(OptionError, match=says):
        AugmentOptions(**wrong)  # type: ignore[arg-type]
