"""Scoring temporal localisation: predictions and ground truth in, mAP and the reasons behind it out.

Specification: ``evaluation.md`` section 1. The published evaluators differ from each other in details; where, and
what is done here, stands at each field of :class:`~kinoscope.evaluate.protocols.Protocol`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..data.annotations import read_annotations, read_predictions
from ..data.segments import Annotations, Segment
from ..errors import AnnotationError
from ..wording import plural
from . import mismatch
from . import reasons as why
from .arrays import distinct_rows, score_arrays
from .matching import Ints, SegmentTable
from .names import match_folders
from .protocols import PROTOCOLS, Protocol, get_protocol
from .result import NOT_TOLD, DetectionResult, Reason
from .subsets import choose_subset


def evaluate_files(
    predictions: str | Path,
    ground_truth: str | Path,
    protocol: str | Protocol = "own",
    *,
    subset: str | None = None,
    dataset: str | None = None,
    need_labels: bool = True,
) -> DetectionResult:
    """Score a file of predictions (CSV or ActivityNet's ``results``) against one of ground truth.

    Args:
        predictions: ``video,start,end,label,score``, or JSON.
        ground_truth: ``video,start,end,label[,split]``, or JSON.
        protocol: a name of :func:`~kinoscope.evaluate.protocols.list_protocols`, or a protocol of one's own.
        subset: see :func:`evaluate_detection`.
        dataset: what the ground truth is, where its content does not tell; see
            :func:`~kinoscope.data.annotations.read_annotations`.
        need_labels: refuse predictions without labels; they can be scored as proposals only.

    Raises:
        AnnotationError: a file that cannot be used; flawed ground truth under a protocol that demands flawless one.
        OptionError: no such protocol or subset.
    """
    rules = get_protocol(protocol)
    truth = read_annotations(ground_truth, on_flaw=rules.on_flaw, dataset=dataset)
    guesses = read_predictions(predictions, need_labels=need_labels)
    segments = {name: video.segments for name, video in guesses.videos.items()}
    result = evaluate_detection(segments, truth, rules, subset=subset)
    extra = [*why.flaw_reasons(guesses.flaws, "predictions"), *why.scored_truth(truth)]
    extra += [Reason("remark", 1, text) for text in truth.remarks]
    return replace(result, reasons=(*result.reasons, *extra), classifier=_classifier(guesses.external))


def evaluate_detection(
    predictions: Mapping[str, Sequence[Segment]],
    ground_truth: Annotations,
    protocol: str | Protocol = "own",
    *,
    subset: str | None = None,
) -> DetectionResult:
    """Score predicted segments, by video name, against ground truth.

    Args:
        predictions: segments with scores; a video may be absent or have none. Names are those of the ground truth;
            where the protocol allows it, another folder before them does not matter.
        ground_truth: what :func:`~kinoscope.data.annotations.read_annotations` gives.
        protocol: a name, or a protocol of one's own.
        subset: part of the ground truth to score, case ignored, ``val`` = ``validation``, ``testing`` = ``test``;
            ``all`` is everything. None is the protocol's choice: ``validation`` or ``test``; for ``own`` the test part
            if the file has one, else the validation part, else everything. A file without subsets is scored whole.

    Raises:
        AnnotationError: no true segment to score, or a prediction without a finite score and times.
        OptionError: no such protocol or subset.
    """
    rules = get_protocol(protocol)
    chosen, part, reasons = choose_subset(ground_truth, rules, subset)
    if rules.match_folders:
        predictions, renamed = match_folders(predictions, ground_truth.videos, ground_truth.file_names())
        reasons += why.other_folders(renamed)
    reasons += mismatch.video_names(predictions, ground_truth.videos)
    reasons += mismatch.label_names(
        Counter(segment.label for found in predictions.values() for segment in found), ground_truth.classes
    )
    part, predictions, blocked = _without_blocked(part, predictions, rules)
    reasons += blocked
    lists = {name: other.listed for name, other in PROTOCOLS.items()}
    reasons += mismatch.video_list(len(part.videos), rules.listed, rules.name, lists)
    truths, ignored = _true_segments(part, rules)
    classes = tuple(sorted({segment.label for segments in truths.values() for segment in segments}))
    elsewhere = {name for name in predictions if name in ground_truth.videos and name not in truths}
    guesses = {name: found for name, found in predictions.items() if name not in elsewhere}
    if rules.other_subsets == "wrong":
        guesses = dict(predictions)
    videos = tuple(sorted({*truths, *guesses}))

    truth = _table(truths, videos, classes, scored=False)
    distinct, removed = _without_duplicates(truth, rules)
    distinct, classes = _only_present(distinct, classes)
    if not classes:
        _refuse_empty(part, chosen)
    proposals = _table(guesses, videos, classes, scored=True)
    guess, left_out = _scorable(proposals, guesses, classes, rules)
    scores = score_arrays(
        guess, distinct, classes=len(classes), thresholds=rules.thresholds, ties=rules.ties, tolerance=rules.tolerance
    )
    unknown = [name for name in predictions if name not in ground_truth.videos]
    reasons += why.missing_videos(truths, predictions, [name for name, found in truths.items() if found])
    reasons += why.unknown_videos(unknown, truths)
    reasons += why.other_subsets(sum(len(predictions[name]) for name in elsewhere), elsewhere, rules.other_subsets)
    reasons += left_out
    reasons += why.silent_classes(classes, {classes[label] for label in np.unique(guess.label)})
    reasons += ignored + removed
    reasons += why.odd_predictions(guess, scores.tie_share)
    reasons += why.flaw_reasons(ground_truth.flaws, "ground truth")
    known = np.array([name in truths for name in videos], dtype=bool)
    durations = {name: video.duration for name, video in part.videos.items() if video.duration is not None}
    reasons += why.beyond_the_video(guess, videos, durations)
    reasons.sort(key=lambda reason: not reason.cure)  # what is clearly wrong first
    return DetectionResult(
        rules,
        chosen,
        classes,
        videos,
        known,
        guess,
        distinct,
        scores,
        tuple(reasons),
        proposals,
        durations,
        class_agnostic=_of_one_kind(guesses, classes),
    )


def _of_one_kind(guesses: Mapping[str, Sequence[Segment]], classes: tuple[str, ...]) -> bool:
    labels = {segment.label for found in guesses.values() for segment in found}
    return len(labels) == 1 and labels.isdisjoint(classes)


def _classifier(external: Mapping[str, Any]) -> str:
    """What named the segments, as ``external_data`` tells: our own word for it, or ActivityNet's (used, details)."""
    told = external.get("classifier") or (external.get("details") if external.get("used") is True else None)
    return told if isinstance(told, str) and told.strip() else NOT_TOLD


def _true_segments(part: Annotations, rules: Protocol) -> tuple[dict[str, Sequence[Segment]], list[Reason]]:
    """Segments of the classes that count, by video, and what was left out."""
    clip = next((name for name, video in part.videos.items() if video.label is not None), None)
    if clip is not None:
        cure = "segments need the columns video,start,end,label"
        raise AnnotationError(
            f"{clip!r} has a label but no segments: this is ground truth of clips", where=part.source, cure=cure
        )
    everything = {name: video.segments for name, video in part.videos.items()}
    if not rules.ignored_labels:
        return dict(everything), []
    kept = {name: [s for s in found if s.label not in rules.ignored_labels] for name, found in everything.items()}
    count = sum(map(len, everything.values())) - sum(map(len, kept.values()))
    names = ", ".join(map(repr, rules.ignored_labels))
    text = f"left out: {plural(count, 'true segment')} labelled {names}, which is no class of this benchmark"
    return dict(kept), [Reason("ignored_label", count, text)] if count else []


def _without_blocked(
    part: Annotations, predictions: Mapping[str, Sequence[Segment]], rules: Protocol
) -> tuple[Annotations, Mapping[str, Sequence[Segment]], list[Reason]]:
    """Ground truth and predictions without the videos that the protocol blocks."""
    names = tuple(name for name in part.videos if name in rules.blocked)
    lost = sum(len(found) for name, found in predictions.items() if name in rules.blocked)
    if not names and not lost:
        return part, predictions, []
    true = sum(len(part.videos[name].segments) for name in names)
    kept = {name: video for name, video in part.videos.items() if name not in rules.blocked}
    rest = {name: found for name, found in predictions.items() if name not in rules.blocked}
    text = f"left out: {plural(len(names), 'video')} that the protocol blocks, with "
    text += f"{plural(true, 'true segment')} and {plural(lost, 'prediction')}"
    return replace(part, videos=kept), rest, [Reason("blocked_video", len(names), text, names)]


def _refuse_empty(part: Annotations, chosen: str | None) -> None:
    place = f"the subset {chosen!r}" if chosen else "the ground truth"
    cure = "choose another subset, or check the file"
    raise AnnotationError(
        f"{place} holds {len(part.videos)} videos but no segment to score", where=part.source, cure=cure
    )


def _table(
    segments: Mapping[str, Sequence[Segment]], videos: tuple[str, ...], classes: tuple[str, ...], *, scored: bool
) -> SegmentTable:
    """Segments as columns; names become their places in ``videos`` and ``classes``, -1 for a label that is no class."""
    video_index = {name: index for index, name in enumerate(videos)}
    label_index = {name: index for index, name in enumerate(classes)}
    names = [name for name, found in segments.items() for _ in found]
    flat = [segment for found in segments.values() for segment in found]
    start = np.array([segment.start for segment in flat], dtype=np.float64)
    end = np.array([segment.end for segment in flat], dtype=np.float64)
    # a missing score becomes NaN here, and is refused below with its place
    score = np.array([segment.score for segment in flat], dtype=np.float64) if scored else None
    bad = ~(np.isfinite(start) & np.isfinite(end) & (start <= end))
    if score is not None:
        bad |= ~np.isfinite(score)
    if bad.any():
        row = int(bad.argmax())
        problem = f"a segment of {names[row]!r} cannot be scored: {flat[row]}"
        raise AnnotationError(problem, cure="give finite numbers, end >= start, and a score to every prediction")
    video = np.array([video_index[name] for name in names], dtype=np.int64)
    label = np.array([label_index.get(segment.label, -1) for segment in flat], dtype=np.int64)
    return SegmentTable(video, label, start, end, score)


def _without_duplicates(truth: SegmentTable, rules: Protocol) -> tuple[SegmentTable, list[Reason]]:
    if not rules.remove_duplicates:
        return truth, []
    empty = int((truth.end <= truth.start).sum())
    group = truth.video * (1 + int(truth.label.max(initial=0))) + truth.label
    rows = distinct_rows(truth.start, truth.end, group)
    repeated = len(truth) - len(rows) - empty
    reasons = []
    if empty:
        reasons.append(Reason("empty_truth", empty, f"removed: {plural(empty, 'true segment')} of no length"))
    if repeated:
        text = f"removed: {plural(repeated, 'true segment')} with both ends within 1 ms of another of the class"
        reasons.append(Reason("duplicate_truth", repeated, text))
    return truth.take(rows), reasons


def _only_present(truth: SegmentTable, classes: tuple[str, ...]) -> tuple[SegmentTable, tuple[str, ...]]:
    """Classes that still have a true segment, and the table with its labels numbered by them."""
    present = np.unique(truth.label)
    kept = tuple(classes[label] for label in present)
    return replace(truth, label=np.searchsorted(present, truth.label)), kept


def _scorable(
    table: SegmentTable, guesses: Mapping[str, Sequence[Segment]], classes: tuple[str, ...], rules: Protocol
) -> tuple[SegmentTable, list[Reason]]:
    """Predictions of known classes, at most ``max_per_video`` of each video."""
    reasons = []
    if (table.label < 0).any():
        known = set(classes)
        unknown = Counter(s.label for found in guesses.values() for s in found if s.label not in known)
        reasons += why.unknown_labels(unknown, classes)
        table = table.take(table.label >= 0)
    if rules.max_per_video is not None:
        rows = _best_per_video(table, rules.max_per_video)
        if len(rows) < len(table):
            over = len(table) - len(rows)
            text = f"not scored: {plural(over, 'prediction')} below the best {rules.max_per_video} of the video"
            reasons.append(Reason("above_cap", over, text))
            table = table.take(rows)
    return table, reasons


def _best_per_video(table: SegmentTable, most: int) -> Ints:
    """Rows of the ``most`` highest scores of each video, in the order of the table."""
    assert table.score is not None
    order = np.lexsort((table.label, -table.end, -table.start, -table.score, table.video))  # [P]
    videos = table.video[order]
    rank = np.arange(len(order)) - np.searchsorted(videos, videos)  # place inside the video
    return np.sort(order[rank < most])
