"""One video's page of similarity maps: a column for each folder of features, and the target that SoLa was given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..data.features import Features, FeatureTime
from ..data.segments import Segment
from ..sola.options import SolaOptions
from .content import SimilarityMap, VideoPage
from .html import clock
from .maps import MAP_SIZE, change_over_time, similarity_map, target_map

ZOOM_ROWS = 96
"""Feature rows of the stretch that is shown in detail: about four of SoLa's windows."""

_CHANGE_ROWS = 12  # rows on both sides that tell how strong a change is


@dataclass(frozen=True)
class FeatureColumn:
    """A folder of features, as a column of maps."""

    title: str
    options: SolaOptions | None = None
    """What SoLa was asked for, if these features went through it."""


def wanted_cosine(options: SolaOptions, time: FeatureTime) -> NDArray[np.float64]:
    """Cosine that SoLa is asked for between rows 0, 1, … apart, up to the last that share a training window.

    Training compares every ``step``-th row; between them the target's formula tells. Shape: [(size − 1) · step + 1].
    """
    from ..sola.loss import target_cosine

    rows = np.arange((options.size - 1) * options.step + 1)
    return target_cosine(rows * time.step if options.distance == "seconds" else rows / options.step, options)


def feature_page(
    name: str, columns: Sequence[FeatureColumn], features: Sequence[Features], truth: Sequence[Segment] = ()
) -> VideoPage:
    """Maps of one video's features, one for each column, and the target; a stretch in detail where rows were pooled.

    Args:
        features: of this video in each column. The first column is the reference that chooses the stretch.
        truth: annotated segments; the stretch is then around one of their boundaries.
    """
    time, rows = features[0].time, len(features[0])
    duration = time.duration or float(time.to_seconds(rows - 1)) + time.step / 2
    whole, notes = "Whole video", []
    if rows > MAP_SIZE:
        whole += f", {rows:,} rows: a cell is the mean over {rows / MAP_SIZE:.1f} rows ({duration / MAP_SIZE:.2g} s)"
    maps = _maps(columns, features, whole)
    if max(map(len, features)) > MAP_SIZE:
        start, end, why = _stretch(features[0], truth)
        maps += _maps(columns, features, f"In detail, {clock(start)} to {clock(end)}: {why}", (start, end))
    if truth:
        notes.append("Marks at the edges and dots on the diagonal: where annotated segments start and end.")
    notes += _target_notes(columns, features)
    return VideoPage(name, duration, (), truth, maps=maps, map_notes=notes, film=False)


def _maps(
    columns: Sequence[FeatureColumn],
    features: Sequence[Features],
    group: str,
    between: tuple[float, float] = (-np.inf, np.inf),
) -> list[SimilarityMap]:
    """A row of maps: every column, then every different target."""
    drawn: list[SimilarityMap] = []
    targets: dict[tuple[bytes, int], tuple[str, list[float], NDArray[np.float64]]] = {}
    for column, each in zip(columns, features, strict=True):
        centres = each.time.centers(len(each))
        inside = slice(*np.searchsorted(centres, between))
        times = centres[inside].tolist()
        drawn.append(similarity_map(each.values[inside], times, column.title, group=group))
        if column.options is not None:
            wanted = wanted_cosine(column.options, each.time)
            targets.setdefault((wanted.tobytes(), len(times)), (column.title, times, wanted))
    for title, times, wanted in targets.values():
        title = "Target: what SoLa was asked for" + (f" in {title}" if len(targets) > 1 else "")
        drawn.append(target_map(times, wanted, title, group=group))
    return drawn


def _stretch(features: Features, truth: Sequence[Segment]) -> tuple[float, float, str]:
    """From when to when the detail goes, in seconds, and why there."""
    change = change_over_time(features.values, _CHANGE_ROWS)
    change = np.where(np.isnan(change), -1.0, change)
    why, row = "around the strongest change of the first column", int(np.argmax(change))
    bounds = [time for segment in truth for time in (segment.start, segment.end)]
    places = [int(place) for place in np.rint(features.time.to_grid(bounds)) if 0 <= place < len(features)]
    if places:
        row = max(places, key=lambda place: change[place])
        why = "around the annotated boundary where the first column changes most"
    begin = int(np.clip(row - ZOOM_ROWS // 2, 0, max(len(features) - ZOOM_ROWS, 0)))
    end = min(begin + ZOOM_ROWS, len(features)) - 1
    half = features.time.step / 2
    first, last = (float(features.time.to_seconds(place)) for place in (begin, end))
    return first - half, last + half, why


def _target_notes(columns: Sequence[FeatureColumn], features: Sequence[Features]) -> list[str]:
    """How far the targets reach; said once where all reach equally far."""
    titles: dict[str, list[str]] = {}
    for column, each in zip(columns, features, strict=True):
        if column.options is not None:
            reach = (column.options.size - 1) * column.options.step * each.time.step
            titles.setdefault(f"{reach:.3g} s", []).append(column.title)
    whose = {reach: f" of {', '.join(names)}" if len(titles) > 1 else "" for reach, names in titles.items()}
    return [
        f"Hatched in the target{names}: moments more than {reach} apart, which training never compares; nothing was "
        "asked for there."
        for reach, names in whose.items()
    ]
