"""Scoring files of event boundaries, and the reasons why a score is low."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ..data.annotations import read_annotations
from ..data.boundaries import read_boundaries, read_boundary_durations
from ..data.boundary_truth import BoundaryTruth, boundary_truth, is_gebd, read_gebd
from ..errors import AnnotationError
from ..wording import plural
from . import reasons as why
from .boundaries import DISTANCES, LEAST_CONSISTENCY, BoundaryResult, evaluate_boundaries
from .names import match_folders
from .protocols import get_protocol
from .result import Reason
from .subsets import choose_subset

_SHOWN = 5


def evaluate_boundary_files(
    predictions: str | Path,
    ground_truth: str | Path,
    *,
    subset: str | None = None,
    distances: Sequence[float] = DISTANCES,
) -> BoundaryResult:
    """Score a file of boundaries (see :mod:`kinoscope.data.boundaries`) against one of ground truth.

    Args:
        predictions: JSON or CSV as ``kinoscope localize --boundaries`` writes it, or GEBD's ``{video: [seconds, …]}``.
        ground_truth: GEBD's ground truth as JSON; or ordinary annotations with durations (CSV, ActivityNet's JSON),
            whose segments start and end at the boundaries. Durations that they lack are taken from ``predictions``.
        subset: part of ordinary annotations to score; chosen as for the protocol ``own``.
        distances: relative distances to score at.

    Raises:
        AnnotationError: a file that cannot be used: a pickle, no duration, no video.
        OptionError: no such subset.
    """
    truth, known, file_names, chosen, reasons = _truth(ground_truth, subset, read_boundary_durations(predictions))
    guesses = {name: [each.time for each in found] for name, found in read_boundaries(predictions).items()}
    _, renamed = match_folders(dict.fromkeys(guesses, ()), known, file_names)
    guesses = {renamed.get(name, name): times for name, times in guesses.items()}
    result = evaluate_boundaries(guesses, truth, distances)
    reasons += why.other_folders(renamed)
    reasons += _inconsistent(truth, result)
    reasons += _missing([name for name in result.videos if name not in guesses], guesses, len(result.videos))
    reasons += _unknown([name for name in guesses if name not in known], known)
    reasons += _outside(guesses, truth)
    return replace(result, subset=chosen, reasons=tuple(reasons))


Truth = tuple[dict[str, BoundaryTruth], Collection[str], Mapping[str, str], str | None, list[Reason]]


def _truth(path: str | Path, subset: str | None, durations: Mapping[str, float]) -> Truth:
    """What is scored, all known names, names of their files, the subset, and what a reader should know of it."""
    if is_gebd(path):
        if subset is not None:
            cure = "leave --subset out: each part of GEBD is a file of its own"
            raise AnnotationError(f"knows no subsets, so {subset!r} cannot be chosen", where=path, cure=cure)
        everything = read_gebd(path)
        return everything, everything, {}, None, []
    rules = get_protocol("own")
    annotations = read_annotations(path, on_flaw=rules.on_flaw)
    chosen, part, reasons = choose_subset(annotations, rules, subset)
    reasons += why.flaw_reasons(annotations.flaws, "ground truth")
    file_names = annotations.file_names()
    _, renamed = match_folders(dict.fromkeys(durations, ()), annotations.videos, file_names)
    lengths = {renamed.get(name, name): seconds for name, seconds in durations.items()}
    return boundary_truth(part, lengths), annotations.videos, file_names, chosen, reasons


def _inconsistent(truth: Mapping[str, BoundaryTruth], result: BoundaryResult) -> list[Reason]:
    names = tuple(sorted(set(truth) - set(result.videos)))
    text = f"not scored: {plural(len(names), 'video')} whose raters agree by less than {LEAST_CONSISTENCY:g}"
    return [Reason("inconsistent_video", len(names), text, names)] if names else []


def _missing(names: Sequence[str], predicted: Collection[str], videos: int) -> list[Reason]:
    if not names:
        return []
    text = f"not predicted at all: {len(names)} of {plural(videos, 'video')}; the boundaries there count as missed: "
    return [Reason("missing_video", len(names), text + _list(names, predicted), tuple(names))]


def _unknown(names: Sequence[str], known: Collection[str]) -> list[Reason]:
    if not names:
        return []
    text = f"not in the ground truth, so not scored: {plural(len(names), 'predicted video')}: "
    return [Reason("unknown_video", len(names), text + _list(names, known), tuple(names))]


def _outside(guesses: Mapping[str, Sequence[float]], truth: Mapping[str, BoundaryTruth]) -> list[Reason]:
    videos = {name: video.duration for name, video in truth.items() if name in guesses}
    count = sum(not 0 <= time <= duration for name, duration in videos.items() for time in guesses[name])
    text = f"left out: {plural(count, 'prediction')} before the beginning or after the end of the video"
    return [Reason("outside_video", count, text)] if count else []


def _list(names: Sequence[str], known: Collection[str]) -> str:
    """Up to five names, with the known one that was probably meant."""
    meant = {name: why.likely_meant(name, known) for name in names[:_SHOWN]}
    shown = [f"{name!r} (did you mean {other!r}?)" if other else repr(name) for name, other in meant.items()]
    return ", ".join(shown) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
