"""From what was found in a video to its page in the HTML report."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import __version__
from ..data.boundaries import Boundary
from ..data.segments import Segment
from ..encoders import EncoderSpec
from ..pipeline import Localization, Pipeline
from ..progress import progress
from ..report import Curve, Report, SimilarityMap, Thumbnail, VideoPage, similarity_map, write_report
from ..video import open_video
from ..video.preview import browser_preview, plays_in_browsers, thumbnails

if TYPE_CHECKING:
    from .boundaries import FoundBoundaries

_LOW_CONFIDENCE = 0.5
_TURNS = ("odd part", "even part")


def video_page(name: str, path: Path | None, found: Localization, *, truth: Sequence[Segment] = ()) -> VideoPage:
    """Everything that is shown of one video: film, segments, curves, similarity before and after SoLa.

    Args:
        path: the video; none: only its features are at hand, so there is no film.
    """
    times = found.features.time.centers(len(found.features)).tolist()
    return VideoPage(
        name=name,
        duration=found.duration,
        segments=found.segments,
        truth=truth,
        curves=[Curve(label, times, values.tolist()) for label, values in found.scores.items()],
        maps=list(_maps(found, times)),
        notes=notes(found),
        **_film(path),
    )


def boundary_page(name: str, path: Path | None, found: FoundBoundaries, shown: Sequence[Boundary]) -> VideoPage:
    """What lies between the boundaries ``shown``, how new every moment is, and the similarity that this comes from."""
    highest = max(found.novelty.values.max(initial=0.0), 1e-9)
    novelty = (np.clip(found.novelty.values, 0, None) / highest).tolist()
    return VideoPage(
        name=name,
        duration=found.duration,
        segments=parts(found.duration, shown),
        curves=[Curve("novelty, its highest as 1", found.novelty.times.tolist(), novelty)],
        maps=list(_maps(found, found.features.time.centers(len(found.features)).tolist())),
        notes=[f"Damaged: {text}" for text in found.damage],
        **_film(path),
    )


def parts(duration: float, boundaries: Sequence[Boundary]) -> list[Segment]:
    """The stretches between boundaries, each with the score of the one that begins it.

    They take turns in two labels, so that a timeline needs two rows for any number of them.
    """
    starts = [Boundary(0.0), *sorted(boundaries, key=lambda boundary: boundary.time)]
    ends = [*(boundary.time for boundary in starts[1:]), duration]
    return [
        Segment(start.time, end, _TURNS[number % 2], start.score)
        for number, (start, end) in enumerate(zip(starts, ends, strict=True))
    ]


def _film(path: Path | None) -> dict[str, Any]:
    """What of a page shows the video itself."""
    if path is None:
        return {"film": False}
    with open_video(path) as video:
        small = [Thumbnail(time, jpeg) for time, jpeg in thumbnails(video)]
        media = path if plays_in_browsers(video) else browser_preview(video)
    return {
        "media": media,
        "media_type": "video/mp4" if isinstance(media, bytes) else None,
        "thumbnails": small,
    }


def _maps(found: Localization | FoundBoundaries, times: list[float]) -> Sequence[SimilarityMap]:
    before = similarity_map(found.features.values, times, f"Similarity of {found.features.encoder or 'the'} features")
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


def write_pages(
    html: Path, about: str, pages: Iterable[VideoPage], names: Sequence[str], made: Mapping[str, str]
) -> None:
    """Write a report titled ``about`` the videos ``names``, whose ``pages`` are drawn one after the other."""
    drawn = []
    with progress("Drawing", len(names)) as report:
        for page in pages:
            drawn.append(page)
            report(1, page.name)
    subject = names[0] if len(names) == 1 else f"{len(names)} videos"
    write_report(html, Report(f"{about} {subject}", drawn, settings=made))


def settings(pipeline: Pipeline) -> dict[str, str]:
    """What made a result, for the report and the result files."""
    spec = pipeline.spec
    made = {
        "model": "trained head" if pipeline.head is not None else f"{spec.summary}, no training",
        "adapter": "SoLa" if pipeline.adapter is not None else "none",
        **encoder_settings(spec),
    }
    if pipeline.head is None:
        made["thresholds"] = str(pipeline.score_options)
    return {**circumstances(), **made}


def encoder_settings(spec: EncoderSpec) -> dict[str, str]:
    """Which features were made of a video."""
    return {
        "encoder": f"{spec.tag} (weights {spec.weights.hash})",
        "frames": f"{spec.fps:g} per second, {spec.size} px, clips of {spec.clip_length}, stride {spec.stride}",
    }


def circumstances() -> dict[str, str]:
    """The command, versions, date."""
    return {
        "command": " ".join(["kinoscope", *sys.argv[1:]]),
        "kinoscope": __version__,
        "python": platform.python_version(),
        "date": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
    }
