"""The times in the annotations are those of the pixels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from kinoscope.data.playground import MOTIONS, PlaygroundOptions, make_playground
from kinoscope.data.playground.make import render
from kinoscope.data.playground.options import MARKER_SIDE
from kinoscope.data.playground.plan import plan_playground

CALM = {"camera_shake": 0.0, "flicker": 0.0, "distractors": 0}
NONE = {"clips_per_class": 0, "orders_per_class": 0, "details_per_class": 0, "untrimmed_videos": 0}


def decoded(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def changed(video: np.ndarray) -> np.ndarray:
    """Which frames differ from the one before: [T, H, W, 3] → [T]."""
    return np.concatenate([[False], (video[1:] != video[:-1]).any((1, 2, 3))])


@pytest.mark.parametrize("seed", range(3))
def test_pixels_change_at_every_frame_of_a_segment_and_rest_beside_it(seed: int) -> None:
    options = PlaygroundOptions(**CALM | NONE | {"untrimmed_videos": 4}, seed=seed)
    seen = set()
    for plan in plan_playground(options):
        moved = changed(np.stack(list(render(plan, options))))
        for action in plan.segments:
            first, end = round(action.start * options.fps), round(action.end * options.fps)
            assert moved[first:end].all(), action
            assert not moved[first - 4 : first].any() and not moved[end : end + 4].any(), action
            seen.add(action.label)
        fades = moved.sum() - sum(round(action.duration * options.fps) for action in plan.segments)
        assert fades <= 18 * len(plan.actors)  # nothing else happens in the long stretches between
    assert len(seen) >= 3 and seen <= set(MOTIONS)


def test_segments_are_what_is_seen_to_move_in_the_decoded_files(tmp_path: Path) -> None:
    options = replace(PlaygroundOptions.demo(seed=2, untrimmed_videos=3), **CALM)
    made = make_playground(tmp_path, options)
    for path, plan in zip(made.videos, plan_playground(options), strict=True):
        video = decoded(path).astype(np.int16)
        present = np.abs(video - video[0]).max((1, 2, 3)) > 60  # no video begins with an action
        truth = np.zeros(len(video), dtype=bool)
        for action in plan.segments:
            truth[round(action.start * options.fps) : round(action.end * options.fps)] = True
        assert np.array_equal(present, truth)


def test_decoded_frames_are_the_rendered_ones(tmp_path: Path) -> None:
    options = PlaygroundOptions(**NONE | {"orders_per_class": 1}, order_classes=("orbit-then-bob-then-tremble",))
    made = make_playground(tmp_path, options)
    rendered = np.stack(list(render(plan_playground(options)[0], options)))
    error = np.mean((decoded(made.videos[0]).astype(float) - rendered) ** 2, axis=(1, 2, 3))
    assert np.all(10 * np.log10(255**2 / error) > 24)  # compressed, chroma at half size


def test_the_parts_of_an_order_clip_are_where_it_moves() -> None:
    options = PlaygroundOptions(**CALM | NONE | {"orders_per_class": 2})
    for plan in plan_playground(options):
        moved = changed(np.stack(list(render(plan, options))))
        inside = np.zeros(plan.frames, dtype=bool)
        for part in plan.evidence:
            first, end = round(part.start * options.fps), round(part.end * options.fps)
            inside[first:end] = True
            assert moved[first:end].mean() > 0.9  # a turning point may look the same in two frames
        assert not moved[~inside].any()


def test_the_marker_shows_in_its_frames_only_and_its_texture_survives_compression(tmp_path: Path) -> None:
    options = PlaygroundOptions(**NONE | {"details_per_class": 2})
    made = make_playground(tmp_path, options)
    for path, plan in zip(made.videos, plan_playground(options), strict=True):
        video = decoded(path)  # [T, H, W, 3]
        for marker, evidence in zip(plan.markers, plan.evidence, strict=True):
            assert (marker.first, marker.end) == tuple(round(t * options.fps) for t in (evidence.start, evidence.end))
            y, x = marker.corner
            box = video[:, y + 4 : y + MARKER_SIDE - 4, x + 4 : x + MARKER_SIDE - 4].astype(float).mean(-1)
            contrast = np.abs(np.diff(box, axis=2)).mean((1, 2))
            inside = contrast[marker.first : marker.end]
            assert inside.min() > 3 * max(contrast[marker.first - 1], contrast[marker.end])
            for frame in box[marker.first : marker.end]:
                assert texture_of(frame) == plan.label


def texture_of(inside: np.ndarray) -> str:
    """The class by its definition: which way the blocks of 2 × 2 pixels differ."""
    a, b, c, d = inside[::2, ::2], inside[::2, 1::2], inside[1::2, ::2], inside[1::2, 1::2]
    energy = {"rows": a + b - c - d, "columns": a + c - b - d, "checks": a + d - b - c}
    return max(energy, key=lambda name: float(np.mean(energy[name] ** 2)))
