"""Scores of whole videos: three layouts, and what is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kinoscope.data.segments import Segment
from kinoscope.data.video_scores import read_video_scores
from kinoscope.errors import AnnotationError
from kinoscope.localize.fusion import fuse_segments

SCORES = {"v": {"run": 0.7, "jump": 0.3}}


def written(folder: Path, content: Any) -> Path:
    path = folder / "s.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize(
    "content",
    [
        {"results": {"v.mp4": [{"label": "run", "score": 0.7}, {"label": "jump", "score": 0.3}]}},
        {"v": {"run": 0.7, "jump": 0.3}},
        {"results": {"v": [0.3, 0.7]}, "class": ["jump", "run"]},
    ],
)
def test_layouts(tmp_path: Path, content: Any) -> None:
    assert read_video_scores(written(tmp_path, content)) == SCORES


@pytest.mark.parametrize(
    "content",
    ["[", "[1]", {}, {"results": []}, {"v": []}, {"v": [0.5]}, {"v": {"run": "high"}}, {"v": {"run": -1}},
     {"v": {"run": 7}}, {"v": {"run": True}}, '{"v": {"run": NaN}}', {"results": {"v": [{"score": 1}]}}, {"v": 3},
     "[" * 100000],
)  # fmt: skip
def test_what_is_refused(tmp_path: Path, content: Any) -> None:
    with pytest.raises(AnnotationError):
        read_video_scores(written(tmp_path, content))


def test_segments_are_given_the_labels_of_their_video() -> None:
    found = fuse_segments([Segment(0, 4, "action", 0.36), Segment(5, 6, "action", 0.01)], {**SCORES["v"], "sit": 0.0})
    assert [(s.start, s.label) for s in found] == [(0, "run"), (0, "jump"), (5, "run"), (5, "jump")]
    assert found[0].score == pytest.approx((0.36 * 0.7) ** 0.5)
    assert fuse_segments([], SCORES["v"]) == [] and len(fuse_segments(found, SCORES["v"], most=3)) == 3
