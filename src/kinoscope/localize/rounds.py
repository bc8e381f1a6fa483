"""The sequence of suppression for many groups at once: the best is taken, what overlaps it decays, and so on.

A group is a class of a video, or a whole video. Each round takes the best of every group, as rows of one array, and
computes only what overlaps. A score never rises: what is lower than the ``max_segments``-th of its video so far is out,
and a group is over when its best is.

Ties: the higher score first, then the earlier start, then the lower index.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from .intervals import Candidates, Floats, Indices, iou_of_bounds
from .options import DecodeOptions

EPS = 1e-6
"""Added to every length in the tIoU of suppression, as in the public C++ code; voting goes without."""

Picks = tuple[Indices, Floats]
"""Which candidates, and to what their scores have decayed."""

LOWEST = float(np.finfo(np.float64).min)
_AT_ONCE = 65536
"""Candidates in one array: few enough for the cache, enough to make a round worth its calls."""
_GOING = 0.75
"""When no more than this share of the groups goes on, the others leave the array."""


def pick(videos: Sequence[Candidates], options: DecodeOptions) -> list[Picks]:
    """The kept of each video, best first, at most ``max_segments``."""
    part = np.cumsum([0] + [len(scores) for _, scores, _ in videos[:-1]]) // _AT_ONCE
    edges = [0, *(np.flatnonzero(np.diff(part)) + 1).tolist(), len(videos)]
    return [picks for first, last in pairwise(edges) if last for picks in _pick_together(videos[first:last], options)]


def _pick_together(videos: Sequence[Candidates], options: DecodeOptions) -> list[Picks]:
    """The same, of so few videos that they fit into one array."""
    segments, scores, labels = map(np.concatenate, zip(*videos, strict=True))
    sizes, most = [len(own) for _, own, _ in videos], options.max_segments
    video = np.repeat(np.arange(len(videos)), sizes)
    several = options.multiclass and labels.any()
    group = video * (labels.max() + 1) + labels if several else video
    floors = np.full(len(videos), LOWEST)
    picked: list[Picks] = [(np.empty(0, np.int64), np.empty(0))]
    fresh = 0
    for table in _tables(group, segments[:, 0]):
        for found in _rounds(table, segments, scores, video[table[:, 0]], floors, options):
            picked.append(found)
            fresh += len(found[0])
            if several and fresh > len(videos) * most // 4:
                picked, fresh = [_raise_floors(floors, video, picked, most)], 0
    index, values = map(np.concatenate, zip(*picked, strict=True))
    starts, ranked = segments[index, 0], []
    for own, first in zip(_of_each(video[index], len(videos)), np.cumsum(sizes) - sizes, strict=True):
        best = own[np.lexsort((index[own], starts[own], -values[own]))] if several else own
        ranked.append((index[best[:most]] - first, values[best[:most]]))
    return ranked


def _raise_floors(floors: Floats, video: Indices, picked: Sequence[Picks], most: int) -> Picks:
    """The picks that can still be among the ``most`` of their video; the lowest of them becomes its floor."""
    index, values = map(np.concatenate, zip(*picked, strict=True))
    owner = video[index]
    for place, own in enumerate(_of_each(owner, len(floors))):
        if len(own) >= most:
            floors[place] = np.partition(values[own], -most)[-most]
    stay = values >= floors[owner]
    return index[stay], values[stay]


def _tables(group: Indices, starts: Floats) -> Iterator[Indices]:
    """Groups of similar sizes as rows of a table [G, N] of candidates, by start, then index; −1 where a row has ended.

    Shape:
        group [N], which group a candidate belongs to; starts [N].
    """
    order, sizes = _stable_order(group), np.bincount(group)
    first, starts = np.cumsum(sizes) - sizes, np.append(starts, np.inf)  # of candidate −1
    waiting = np.argsort(-sizes, kind="stable")[: np.count_nonzero(sizes)]
    while len(waiting):
        column = np.arange(sizes[waiting[0]])
        some, waiting = np.split(waiting, [max(1, _AT_ONCE // len(column))])
        table = order.take(first[some, None] + column, mode="clip")  # [G, N]
        table[column >= sizes[some, None]] = -1
        yield np.take_along_axis(table, np.argsort(starts[table], axis=1, kind="stable"), axis=1)


def _rounds(
    table: Indices, segments: Floats, scores: Floats, video: Indices, floors: Floats, options: DecodeOptions
) -> Iterator[Picks]:
    """The best of each group [G, N] that goes on, round after round.

    In soft suppression the first one is not held against ``min_score``; in hard one all are, beforehand.

    Between rounds ``floors`` may rise.
    """
    start, end = (np.append(bound, np.inf)[table] for bound in segments.T)  # [G, N] each; ∞ overlaps nothing
    left = np.append(scores, -np.inf)[table]  # −∞: taken, dropped, or no candidate
    min_score = max(options.min_score, LOWEST)
    if options.method == "hard" and min_score > LOWEST:
        left[left <= min_score] = -np.inf
    least = np.full(len(table), LOWEST)  # [G]
    rounds = 0
    while len(left) and rounds < options.max_segments:
        best = left.argmax(1) + np.arange(len(left)) * left.shape[1]  # [G], places in the flat arrays
        value = left.take(best)
        going = value >= least
        if np.count_nonzero(going) <= _GOING * len(going):
            table, start, end, left, video, least = (array[going] for array in (table, start, end, left, video, least))
            continue
        left[~going] = -np.inf
        yield table.take(best[going]), value[going]
        rounds += 1
        least = np.maximum(floors[video], min_score)
        left.ravel()[best] = -np.inf
        _decay(left, start, end, best, least, options)


def _decay(left: Floats, start: Floats, end: Floats, best: Indices, least: Floats, options: DecodeOptions) -> None:
    """Let the scores ``left`` [G, N] of what overlaps the ``best`` of its group [G] decay, if at ``least`` [G]."""
    first, last = start.take(best), end.take(best)
    hit = left >= least[:, None]
    if options.iou_threshold > 0 or options.method not in ("hard", "zero"):  # else no overlap is enough
        hit &= start < last[:, None]
        hit &= end > first[:, None]
    place = np.flatnonzero(hit)  # [M]
    group = place // left.shape[1]
    first, last = first[group], last[group]
    iou = iou_of_bounds(first, last, start.take(place), end.take(place), EPS)
    left.ravel()[place] = _decayed(left.take(place), iou, last - first, options)


def _decayed(scores: Floats, iou: Floats, lengths: Floats, options: DecodeOptions) -> Floats:
    """What becomes of ``scores`` that overlap chosen segments of these ``lengths`` by ``iou``; [M] each."""
    if options.method == "gaussian":
        decayed = scores * np.exp(-(iou**2) / options.sigma)
        if options.gate is None:
            return decayed
        return np.where(iou >= options.gate[0] + options.gate[1] * lengths, decayed, scores)
    factor = 1.0 - iou if options.method == "linear" else 0.0
    decayed = np.full_like(scores, -np.inf) if options.method == "hard" else scores * factor
    return np.where(iou >= options.iou_threshold, decayed, scores)


def _of_each(owner: Indices, count: int) -> list[Indices]:
    """Where each of the ``count`` owners stands in ``owner``."""
    return np.split(_stable_order(owner), np.cumsum(np.bincount(owner, minlength=count))[:-1])


def _stable_order(numbers: Indices) -> NDArray[np.intp]:
    """A stable sort; of 16 bits it is a radix sort, several times faster."""
    small = numbers.max(initial=0) < 2**16
    return np.argsort(numbers.astype(np.uint16) if small else numbers, kind="stable")
