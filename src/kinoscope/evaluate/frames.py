"""Scores of a label for every frame: accuracy, edit score and segmental F1, as action segmentation reports them.

Specification: ``evaluation.md`` section 5 (MS-TCN's evaluation). Letters: F frames, S segments, V videos.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..data.frame_labels import run_edges
from ..errors import AnnotationError, OptionError
from .bootstrap import Interval, draw_videos, middle
from .matching import Floats, Ints
from .result import DetectionResult

Overlap = Literal["hull", "union"]
F1_AT = (0.1, 0.25, 0.5)
PUBLISHED_BACKGROUND = frozenset({"background"})
_MOST_FRAMES = 100_000_000


@dataclass(frozen=True)
class FrameScores:
    """How well frames are labelled; every score in percent. Counts are kept by video, so that videos can be drawn."""

    videos: tuple[str, ...]
    correct: Ints
    """Frames with the right label. Shape: [V]."""
    frames: Ints
    """Shape: [V]."""
    edits: Floats
    """Edit score of each video. Shape: [V]."""
    counts: Ints
    """True positives, false positives and false negatives among segments. Shape: [thresholds, V, 3]."""
    thresholds: tuple[float, ...]

    @property
    def accuracy(self) -> float:
        """Right frames of all frames of all videos, background among them."""
        return 100.0 * float(self.correct.sum() / self.frames.sum())

    @property
    def edit(self) -> float:
        """Mean over videos."""
        return float(self.edits.mean())

    @property
    def f1(self) -> Floats:
        """From the counts of all videos together. Shape: [thresholds]."""
        return _f1(self.counts.sum(axis=1))

    def to_dict(self) -> dict[str, Any]:
        """Scores by the names that papers give them."""
        f1 = {f"F1@{100 * at:g}": float(value) for at, value in zip(self.thresholds, self.f1, strict=True)}
        return {"accuracy": self.accuracy, "edit": self.edit, **f1, "videos": len(self.videos)}

    def intervals(self, replicates: int = 2000, seed: int = 0) -> dict[str, Interval]:
        """The middle 95 % of every score over videos drawn with replacement."""
        if replicates < 1:
            raise OptionError(f"replicates is {replicates}, but must be at least 1", cure="2000 is usual")
        videos = len(self.videos)
        draws = draw_videos(videos, replicates, seed)  # [B, V]
        found = {
            "accuracy": 100.0 * (draws @ self.correct) / (draws @ self.frames),
            "edit": draws @ self.edits / videos,
        }
        f1 = _f1(np.einsum("bv,tvc->tbc", draws, self.counts))  # [thresholds, B]
        found |= {f"F1@{100 * at:g}": values for at, values in zip(self.thresholds, f1, strict=True)}
        return {name: middle(each) for name, each in found.items()}


def score_frames(
    predictions: Mapping[str, Sequence[Any] | NDArray[Any]],
    truths: Mapping[str, Sequence[Any] | NDArray[Any]],
    *,
    background: Collection[Any] = PUBLISHED_BACKGROUND,
    thresholds: Sequence[float] = F1_AT,
    overlap: Overlap = "hull",
) -> FrameScores:
    """Score a label for every frame against the true ones.

    Segments are runs of one label; runs of background are removed, but part what they lie between. Edit score: 100 less
    the share of segments to change, in the order of time, to get from one list of labels to the other. F1: predicted
    segments, in the order of time, take the true segment that they overlap most; a second one for it is wrong.

    Where the published code divides by zero: two videos without any segment agree (edit 100); predicted segments of a
    video without true ones are wrong.

    Args:
        predictions, truths: video -> labels of its frames, words or numbers. Shape: [F].
        background: labels of frames in which nothing happens; as published "background" alone, so that the
            ``action_start`` and ``action_end`` of 50 Salads and the ``SIL`` of Breakfast are segments.
        thresholds: overlaps from which a segment is right.
        overlap: intersection over the ``hull`` of both segments (published) or over their ``union``: the same where
            they touch.

    Raises:
        AnnotationError: videos without prediction, or of another number of frames; no video.
    """
    if not truths:
        raise AnnotationError("there is no video to score")
    if missing := sorted(set(truths) - set(predictions)):
        cure = "predict every video of the ground truth"
        raise AnnotationError(f"{len(missing)} of {len(truths)} videos have no labels, first {missing[0]!r}", cure=cure)
    names, correct, edits, counts = sorted(truths), [], [], []
    for name in names:
        guess, truth = np.asarray(predictions[name]), np.asarray(truths[name])
        if guess.shape != truth.shape or guess.ndim != 1 or not len(truth):
            problem = f"{name!r} has {guess.shape} labels for {truth.shape} frames"
            raise AnnotationError(problem, cure="give one label for every frame, at the rate of the ground truth")
        if guess.dtype.kind != truth.dtype.kind and "U" in guess.dtype.kind + truth.dtype.kind:
            cure = "give both as numbers, or both as names"
            raise AnnotationError(f"{name!r} has names on one side and numbers on the other", cure=cure)
        correct.append(int((guess == truth).sum()))
        guessed, true = runs(guess, background), runs(truth, background)
        edits.append(edit_score(guessed.labels, true.labels))
        counts.append([_hits(guessed, true, limit, overlap) for limit in thresholds])
    return FrameScores(
        tuple(names),
        np.array(correct, np.int64),
        np.array([len(truths[name]) for name in names], np.int64),
        np.array(edits),
        np.array(counts, np.int64).transpose(1, 0, 2),
        tuple(thresholds),
    )


def frame_labels(result: DetectionResult, fps: float) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
    """Segments as a label for every frame: predictions and ground truth of the scored videos.

    A frame shows what lies over its middle; of several predictions the one with the highest score, of several true
    segments the one that begins last. Where nothing lies it is ``background``.

    Raises:
        OptionError: a rate that is not positive.
    """
    if not 0 < fps < np.inf:
        raise OptionError(f"fps is {fps}, but must be a positive number", cure="give the rate of the frame labels")
    guess, truth = result.predictions, result.ground_truth
    assert guess.score is not None
    names = np.array([*result.classes, "background"])
    ends = np.zeros(len(result.videos))
    np.maximum.at(ends, truth.video, truth.end)
    seconds = sum(result.durations.get(name, end) for name, end in zip(result.videos, ends.tolist(), strict=True))
    if seconds * fps > _MOST_FRAMES:
        problem = f"fps is {fps:g}, which makes {seconds * fps:.2g} frames of {seconds:.0f} s of video"
        raise OptionError(problem, cure=f"labels come at 10 to 60 a second; {_MOST_FRAMES:.0e} frames are the most")
    found: tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]] = ({}, {})
    for place, (table, order) in enumerate(((guess, np.argsort(guess.score, kind="stable")), (truth, None))):
        order = np.lexsort((truth.end, truth.start)) if order is None else order
        begin, end = (np.ceil(times * fps - 0.5).astype(np.int64) for times in (table.start, table.end))  # middles
        rows: dict[int, list[int]] = {}
        for row in order.tolist():
            rows.setdefault(int(table.video[row]), []).append(row)
        for number, (name, known) in enumerate(zip(result.videos, result.known, strict=True)):
            if not known:
                continue
            frames = max(1, round(result.durations.get(name, ends[number]) * fps))
            painted = np.full(frames, len(result.classes))
            for row in rows.get(number, ()):
                painted[max(0, begin[row]) : max(0, end[row])] = table.label[row]
            found[place][name] = names[painted]
    return found


def overlapping_segments(result: DetectionResult) -> int:
    """True segments that overlap another of their video, so that a label for each frame cannot show them all."""
    truth = result.ground_truth
    order = np.lexsort((truth.end, truth.start, truth.video))
    video, start, end = truth.video[order], truth.start[order], truth.end[order]
    hit = np.zeros(len(order), dtype=bool)
    latest = 0  # row of the segment, of those before in its video, that ends last
    for row in range(1, len(order)):
        if video[row] != video[latest]:
            latest = row
            continue
        if start[row] < end[latest]:
            hit[row] = hit[latest] = True
        if end[row] > end[latest]:
            latest = row
    return int(hit.sum())


@dataclass(frozen=True)
class Runs:
    """Segments of one video, in the order of time: frames from ``begin`` up to, without, ``end``. Each [S]."""

    labels: NDArray[Any]
    begin: Ints
    end: Ints


def runs(labels: NDArray[Any], background: Collection[Any] = ()) -> Runs:
    """The longest stretches of one label, without those of background. Shape: [F] -> [S]."""
    begin, end = run_edges(labels)
    kept = np.array([label not in background for label in labels[begin].tolist()], dtype=bool)
    return Runs(labels[begin][kept], begin[kept], end[kept])


def edit_score(guess: NDArray[Any], truth: NDArray[Any]) -> float:
    """100 · (1 − Levenshtein distance / the longer length); 100 for two empty lists. Shape: [S], [S']."""
    longest = max(len(guess), len(truth))
    if not longest:
        return 100.0
    row = np.arange(len(truth) + 1)  # distances of what was read of the guess to each beginning of the truth
    steps = np.arange(len(truth) + 1)
    for number, label in enumerate(guess, 1):
        best = np.minimum(row[1:] + 1, row[:-1] + (truth != label))
        # insertions run along the row: the least of what stands before, one more for each step
        row = np.minimum.accumulate(np.concatenate(([number], best)) - steps) + steps
    return 100.0 * (1.0 - float(row[-1]) / longest)


def _hits(guess: Runs, truth: Runs, limit: float, overlap: Overlap) -> tuple[int, int, int]:
    """True positives, false positives and false negatives."""
    if not len(truth.begin):
        return 0, len(guess.begin), 0
    hit = np.zeros(len(truth.begin), dtype=bool)
    for label, begin, end in zip(guess.labels, guess.begin, guess.end, strict=True):
        shared = np.minimum(end, truth.end) - np.maximum(begin, truth.begin)  # negative where they lie apart
        hull = np.maximum(end, truth.end) - np.minimum(begin, truth.begin)
        if overlap == "union":
            shared = np.maximum(shared, 0)
            hull = (end - begin) + (truth.end - truth.begin) - shared
        share = shared / hull * (truth.labels == label)
        best = int(share.argmax())
        if share[best] >= limit and not hit[best]:
            hit[best] = True
    found = int(hit.sum())
    return found, len(guess.begin) - found, len(hit) - found


def _f1(counts: NDArray[Any]) -> Floats:
    """In percent; 0 where nothing is there. Shape: [..., 3] -> [...]."""
    right, wrong, lost = np.moveaxis(np.asarray(counts, np.float64), -1, 0)
    total = 2 * right + wrong + lost
    return np.asarray(100.0 * np.divide(2 * right, total, out=np.zeros_like(total), where=total > 0))
