"""How probable each class is in a whole video, as a classifier says: what class-agnostic segments are joined with.

Read are ``{"results": {video: [{"label", "score"}]}}`` (as ``kinoscope recognize -o`` writes), ``{video: {label:
score}}``, and ``{"results": {video: [scores]}, "class": [labels]}`` (as published for ActivityNet).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import AnnotationError
from .annotations_text import read_text
from .segments import video_name

VideoScores = Mapping[str, Mapping[str, float]]
"""Video -> label -> score."""
_CURE = 'give {"results": {video: [{"label": …, "score": …}]}}, as `kinoscope recognize -o` writes'


def read_video_scores(path: str | Path) -> dict[str, dict[str, float]]:
    """Scores by video name and label.

    Raises:
        AnnotationError: not such a file; scores that are no probabilities.
    """
    path = Path(path)
    try:
        tree = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise AnnotationError(f"is no JSON: {error}", where=path, cure=_CURE) from error
    if not isinstance(tree, dict):
        raise AnnotationError("holds no scores of videos", where=path, cure=_CURE)
    videos = tree.get("results", tree)
    labels = tree.get("class", tree.get("classes"))
    if not isinstance(videos, dict) or not videos:
        raise AnnotationError("holds no scores of videos", where=path, cure=_CURE)
    return {video_name(str(name)): _scores(str(name), each, labels, path) for name, each in videos.items()}


def _scores(name: str, found: Any, labels: Any, path: Path) -> dict[str, float]:
    if isinstance(found, list) and isinstance(labels, list) and len(found) == len(labels):
        pairs = list(zip(labels, found, strict=True))
    elif isinstance(found, dict):
        pairs = list(found.items())
    elif isinstance(found, list) and all(isinstance(each, dict) for each in found):
        pairs = [(each.get("label"), each.get("score")) for each in found]
    else:
        pairs = []
    scores = {}
    for label, value in pairs:
        number = value if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan
        if not isinstance(label, str) or not 0 <= number <= 1:
            cure = f"scores are probabilities from 0 to 1, not logits; {_CURE}"
            raise AnnotationError(f"{name!r} has the score {value!r} for {label!r}", where=path, cure=cure)
        scores[label] = float(number)
    if not scores:
        raise AnnotationError(f"{name!r} has no scores", where=path, cure=_CURE)
    return scores
