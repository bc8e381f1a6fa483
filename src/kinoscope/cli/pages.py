"""From what was found in a video to its page in the HTML report."""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from .. import __version__
from ..data.segments import Segment
from ..pipeline import Localization, Pipeline
from ..report import Curve, SimilarityMap, Thumbnail, VideoPage, similarity_map
from ..video import open_video
from ..video.preview import browser_preview, plays_in_browsers, thumbnails

_LOW_CONFIDENCE = 0.5


def video_page(name: str, path: Path, found: Localization, *, truth: Sequence[Segment] = ()) -> VideoPage:
    """Everything that is shown of one video: film, segments, curves, similarity before and after SoLa."""
    times = found.features.time.centers(len(found.features)).tolist()
    with open_video(path) as video:
        small = [Thumbnail(time, jpeg) for time, jpeg in thumbnails(video)]
        media = path if plays_in_browsers(video) else browser_preview(video)
    return VideoPage(
        name=name,
        duration=found.duration,
        segments=found.segments,
        truth=truth,
        curves=[Curve(label, times, values.tolist()) for label, values in found.scores.items()],
        maps=list(_maps(found, times)),
        media=media,
        media_type="video/mp4" if isinstance(media, bytes) else None,
        thumbnails=small,
        notes=notes(found),
    )


def _maps(found: Localization, times: list[float]) -> Sequence[SimilarityMap]:
    before = similarity_map(found.features.values, times, f"Similarity of {found.features.encoder} features")
    if found.adapted is None:
        return [before]
    return [before, similarity_map(found.adapted.values, times, "Similarity after SoLa")]


def notes(found: Localization) -> list[str]:
    """What a reader must know before trusting the segments."""
    said = [f"Damaged: {text}" for text in found.damage]
    best = max((segment.score or 0.0 for segment in found.segments), default=None)
    if best is None:
        said.append("Nothing was found: no label became probable enough.")
    elif best < _LOW_CONFIDENCE:
        said.append(f"Low confidence: the best segment scores {best:.2f}. Take these labels as hints.")
    return said


def settings(pipeline: Pipeline) -> dict[str, str]:
    """What made a result, for the report and the result files."""
    spec = pipeline.spec
    made = {
        "command": " ".join(["kinoscope", *sys.argv[1:]]),
        "model": "trained head" if pipeline.head is not None else f"{spec.summary}, no training",
        "encoder": f"{spec.tag} (weights {spec.weights.hash})",
        "adapter": "SoLa" if pipeline.adapter is not None else "none",
        "frames": f"{spec.fps:g} per second, {spec.size} px, clips of {spec.clip_length}, stride {spec.stride}",
        "kinoscope": __version__,
        "python": platform.python_version(),
        "date": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
    }
    if pipeline.head is None:
        made["thresholds"] = str(pipeline.score_options)
    return made
