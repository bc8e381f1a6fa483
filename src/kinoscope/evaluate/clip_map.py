"""Mean average precision of class scores of whole videos that may show several classes.

    truth = truth_matrix([clip.labels for clip in clips], classes)
    found = clip_map(probabilities, truth)
    print(found.map, map_interval(probabilities, truth))

All classes are those of a fixed list, however few of them the videos show. (The published code renumbers the labels
that occur, so that a class that is missing shifts all later ones: its figures of a part of a data set are wrong.)

Letters: N videos, K classes, P videos of one class, B replicates.

Source: AR-Net sheet, sections 7 and 10.9; ``evaluation.md`` section 4.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from ..errors import AnnotationError, FeatureError, OptionError
from ..wording import plural
from .bootstrap import Interval, middle
from .matching import Bools, Floats, Ints
from .probe_counts import Difference

Ties = Literal["earlier", "grouped"]
_CELLS_AT_ONCE = 8_000_000  # videos times replicates worked on together: bounds the memory, not the result


@dataclass(frozen=True)
class ClipMap:
    """Average precision of each class, in percent."""

    per_class: Floats
    """0 for a class that no video shows. Shape: [K]."""
    positives: Ints
    """How many videos show each class. Shape: [K]."""

    @property
    def map(self) -> float:
        """The mean over all classes: the published figure, where every class is shown."""
        return float(self.per_class.mean())

    @property
    def map_present(self) -> float:
        """The mean over the classes that some video shows: what a part of a data set can say; NaN without any."""
        present = self.positives > 0
        return float(self.per_class[present].mean()) if present.any() else float("nan")


def truth_matrix(labels: Sequence[Sequence[str]], classes: Sequence[str]) -> Bools:
    """Which video shows which class. Shape: [N, K].

    Args:
        labels: all labels of each video.
        classes: the fixed list; the place of a class is its column.

    Raises:
        OptionError: a class listed twice.
        AnnotationError: a label that is not listed.
    """
    column = {label: number for number, label in enumerate(classes)}
    if len(column) != len(classes):
        raise OptionError(f"{len(classes)} classes, but {len(column)} names", cure="list every class once")
    truth = np.zeros((len(labels), len(classes)), dtype=bool)
    for video, shown in enumerate(labels):
        for label in shown:
            if label not in column:
                problem = f"video {video} shows {label!r}, which is none of the {len(classes)} classes"
                raise AnnotationError(problem, cure="list it too, with scores of its own")
            truth[video, column[label]] = True
    return truth


def clip_map(scores: ArrayLike, truth: ArrayLike, ties: Ties = "earlier") -> ClipMap:
    """Rank all videos for each class; its AP is the mean of the precision at the ranks of its videos.

    With both sides transposed it is the mean over videos (MMIT mAP): ``clip_map(scores.T, truth.T, "grouped")``, of
    which ``map_present`` leaves out videos without any class.

    Args:
        scores: higher is more probable; only their order within a class counts. Shape: [N, K].
        truth: which video shows which class. Shape: [N, K].
        ties: of equal scores the ``earlier`` video ranks first (AR-Net's figures); or all rank together, at the last of
            their places (``grouped``; ``evaluation.md``, section 4).

    Raises:
        FeatureError: shapes that do not meet, NaN, truth that is not bool, no video or class.
        OptionError: another rule for ties.
    """
    values, shown = _checked(scores, truth)
    if ties not in get_args(Ties):
        raise OptionError(f"ties is {ties!r}", cure=f"one of: {', '.join(get_args(Ties))}")
    ranking = np.argsort(-values, axis=1, kind="stable")  # [K, N]
    hits = np.take_along_axis(shown, ranking, axis=1)
    precision = np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)
    if ties == "grouped":
        ranked = np.take_along_axis(values, ranking, axis=1)
        last = np.where(np.diff(ranked, axis=1, append=np.nan) != 0, np.arange(hits.shape[1]), hits.shape[1])
        last = np.minimum.accumulate(last[:, ::-1], axis=1)[:, ::-1]  # [K, N], where the group of each place ends
        precision = np.take_along_axis(precision, last, axis=1)
    positives = shown.sum(axis=1)  # [K]
    return ClipMap(100 * (precision * hits).sum(axis=1) / np.maximum(positives, 1), positives)


def map_interval(
    scores: ArrayLike, truth: ArrayLike, replicates: int = 2000, seed: int = 0, *, confidence: float = 0.95
) -> Interval:
    """Percentile interval of :attr:`ClipMap.map` over videos drawn with replacement.

    A class that a draw happens to miss is left out of that draw's mean; one that no video shows counts 0, as in the
    map.

    Raises:
        FeatureError: see :func:`clip_map`.
        OptionError: no replicate, a negative seed, or a confidence not between 0 and 1.
    """
    return middle(_resampled(scores, truth, replicates, seed), confidence)


def map_difference(
    scores: ArrayLike,
    others: ArrayLike,
    truth: ArrayLike,
    replicates: int = 2000,
    seed: int = 0,
    *,
    confidence: float = 0.95,
) -> Difference:
    """How far the map of ``scores`` lies above that of ``others``, on the same draws of the same videos (paired).

    Raises:
        FeatureError: see :func:`clip_map`.
        OptionError: see :func:`map_interval`.
    """
    value = clip_map(scores, truth).map - clip_map(others, truth).map
    gaps = _resampled(scores, truth, replicates, seed) - _resampled(others, truth, replicates, seed)
    return Difference(value, *middle(gaps, confidence))


def _checked(scores: ArrayLike, truth: ArrayLike) -> tuple[Floats, Bools]:
    """Scores and truth by class. Shape: [N, K] -> [K, N]."""
    values, shown = np.asarray(scores, dtype=np.float64), np.asarray(truth)
    if values.ndim != 2 or not values.size or values.shape != shown.shape or shown.dtype != np.bool_:
        problem = (
            f"scores are {values.shape}, truth is {shown.dtype} {shown.shape}, but both must be [N, K], truth bool"
        )
        raise FeatureError(problem, cure="give a row per video and a column per class; see truth_matrix")
    if (unknown := np.isnan(values)).any():
        video, column = np.argwhere(unknown)[0]
        problem = (
            f"the score of video {video} for class {column} is NaN, as {plural(int(unknown.sum()), 'score')} in all"
        )
        raise FeatureError(problem, cure="NaN has no rank: find where it comes from")
    return np.ascontiguousarray(values.T), np.ascontiguousarray(shown.T)


def _resampled(scores: ArrayLike, truth: ArrayLike, replicates: int, seed: int) -> Floats:
    """The map of each draw. Shape: [B]."""
    values, shown = _checked(scores, truth)
    if not shown.any():
        raise FeatureError("no video shows any class", cure="nothing can be scored: check the labels")
    rank = np.argsort(np.argsort(-values, axis=1, kind="stable"), axis=1)  # [K, N]
    present = np.flatnonzero(shown.any(axis=1))
    maps = []
    for drawn in _draws(values.shape[1], replicates, seed):  # [N, B] of some replicates
        of_classes = np.stack([_drawn_ap(drawn, rank[k], shown[k]) for k in present])  # [K', B]
        count = (~np.isnan(of_classes)).sum(axis=0)  # [B], 0 where no class was drawn: such a draw says nothing
        maps.append(np.nansum(of_classes, axis=0) / np.where(count, count, np.nan) * len(present) / len(shown))
    return 100 * np.concatenate(maps)


def _draws(videos: int, replicates: int, seed: int) -> Iterator[Floats]:
    """How often each video was drawn, replicates in parts; the parts change nothing. Shape: [N, B] each."""
    if replicates < 1:
        raise OptionError(f"replicates is {replicates}, but must be at least 1", cure="2000 is usual")
    if seed < 0:
        raise OptionError(f"seed is {seed}, but must be at least 0", cure="0 is usual")
    generator, step = np.random.default_rng(seed), max(1, _CELLS_AT_ONCE // videos)
    for first in range(0, replicates, step):
        drawn = generator.multinomial(videos, np.full(videos, 1 / videos), size=min(step, replicates - first))  # [B, N]
        yield np.ascontiguousarray(drawn.T, dtype=np.float32)  # multiplied below: exact, and far faster than integers


def _drawn_ap(drawn: Floats, rank: Ints, shown: Bools) -> Floats:
    """AP of one class when each video counts so many times; NaN where none of its videos was drawn.

    A video drawn twice has two votes, but the second is no further video that was found before the first: the precision
    at both is (h + 1) / (s + 1), with h hits among the s drawn before this video. (If copies were found before each
    other, AP would rise by being resampled, and its interval lie above it.)

    Shape: [N, B], [N], [N] -> [B].
    """
    hits = np.flatnonzero(shown)
    hits = hits[np.argsort(rank[hits])]  # [P], by rank
    step = max(1, _CELLS_AT_ONCE // len(rank))
    parts = [hits[first : first + step] for first in range(0, len(hits), step)]
    before = np.concatenate([(rank < rank[part, None]).astype(np.float32) @ drawn for part in parts])  # [P, B]
    times = drawn[hits].astype(np.float64)  # [P, B]
    found = np.cumsum(times, axis=0) - times
    precision = (found + 1) / (before + 1)
    positives = times.sum(axis=0)  # [B]
    unknown = np.full(positives.shape, np.nan)
    return np.divide((precision * times).sum(axis=0), positives, out=unknown, where=positives > 0)
