"""Localisation while the video runs: a causal head answers at every row, and a segment is told once it is over.

    online = OnlineLocalizer(load("runs/causal").head, features.time)
    for rows in …:                       # [n, C], as they come
        for told in online.push(rows):   # told.segment, told.delay: seconds from its end to now
            …
    rest = online.finish()

What was told is never taken back. Memory does not grow: the head sees a bounded stretch of the past. How the rows are
cut into pieces changes nothing.

Letters: T rows, K classes.

Source: causal use of ActionFormer's pyramid is ours; see ``ActionFormerOptions.causal``.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from ..data.feature_checks import check_rows
from ..data.features import Features, FeatureTime
from ..data.segments import Segment
from ..errors import FeatureError, OptionError
from .intervals import Floats, interval_iou
from .localizer import Localizer
from .network import ActionFormer
from .online_options import OnlineOptions

_REMEMBERED = 64  # segments of a class that were told last
_MOST_PENDING = 256  # candidates of a class that are not over yet


@dataclass(frozen=True)
class Told:
    """A segment, and when it was told."""

    segment: Segment
    at: float
    """Seconds of the video that had been seen."""

    @property
    def delay(self) -> float:
        """Seconds from the segment's end to when it was told."""
        return self.at - self.segment.end


class OnlineLocalizer:
    """Segments of one video whose features come row by row.

    Args:
        model: with a causal head.
        time: of the rows.
        options: when a segment is told.

    Raises:
        OptionError: a head that looks ahead.
    """

    def __init__(self, model: Localizer, time: FeatureTime, options: OnlineOptions = OnlineOptions()) -> None:
        network = model.network
        if not isinstance(network, ActionFormer) or not network.options.causal:
            cure = "train one that does not: kinoscope train localize … --causal"
            raise OptionError("the head looks ahead, so that it cannot follow a stream", cure=cure)
        self.model, self.time, self.options = model, time, options
        self.network, self.head = network.eval(), network.options
        coarsest = self.head.strides[-1]
        self._margin = -(-self.head.reach // coarsest) * coarsest  # rows before a new one that it depends on
        self._rows: NDArray[np.float32] = np.empty((0, self.head.input_width), np.float32)
        self._first = 0  # number of the row that stands first in _rows
        self._seen = 0
        self._pending: list[_Pool] = [_Pool() for _ in range(self.head.classes)]
        self._told: list[deque[Floats]] = [deque(maxlen=_REMEMBERED) for _ in range(self.head.classes)]

    @property
    def seen(self) -> float:
        """Seconds of the video that the rows so far have seen."""
        return float(self.time.to_seconds(self._seen - 1)) + 0.5 * self.time.clip_length / self.time.fps

    def push(self, rows: NDArray[np.floating]) -> list[Told]:
        """Take the next rows; give the segments that are over by then, in the order in which they are told.

        Shape: [n, C].

        Raises:
            FeatureError: rows of another width than the model's, or with NaN.
        """
        values = np.ascontiguousarray(rows, dtype=np.float32)
        if values.ndim != 2 or values.shape[1] != self.head.input_width:
            problem = f"rows have shape {values.shape}, but the model wants [n, {self.head.input_width}]"
            raise FeatureError(problem, cure="use the encoder that the model was trained on")
        if not len(values):
            return []
        check_rows(Features(values, self.time), f"row {self._seen}")
        found = self._candidates(values)
        told: list[Told] = []
        for row in range(self._seen, self._seen + len(values)):
            for segment, score, label in found.get(row, ()):
                self._add(segment, score, label)
            self._seen = row + 1
            told += self._tell(row - self.options.patience / self.time.step)
        return told

    def finish(self, duration: float | None = None) -> list[Told]:
        """The video is over: tell what is still pending, up to its ``duration`` in seconds if that is known."""
        if duration is not None:
            self.time = replace(self.time, duration=duration)
        return self._tell(np.inf)

    @torch.inference_mode()
    def _candidates(self, values: NDArray[np.float32]) -> dict[int, list[tuple[Floats, float, int]]]:
        """What the points at the new rows answer: row -> segment [2] in grid units, score, class."""
        begin, rows = self._seen, np.concatenate((self._rows, values))
        device = next(self.network.parameters()).device
        piece = torch.from_numpy(rows)[None].to(device)  # [1, T', C]
        outputs = self.network(piece, torch.ones(piece.shape[:2], dtype=torch.bool, device=device))
        found: dict[int, list[tuple[Floats, float, int]]] = {}
        for (logits, offsets), stride in zip(outputs, self.head.strides, strict=True):
            fresh = -(-(begin - self._first) // stride)  # the first point of the level that is new
            scores = logits[0, fresh:].sigmoid().double().cpu().numpy()  # [T_l, K]
            reach = offsets[0, fresh:].double().cpu().numpy() * stride  # [T_l, 2]
            for place, label in zip(*np.nonzero(scores > self.options.candidate_score), strict=True):
                row = self._first + (fresh + int(place)) * stride
                segment = np.array([row - reach[place, 0], row + reach[place, 1]])
                if segment[1] > segment[0]:
                    found.setdefault(row, []).append((segment, float(scores[place, label]), int(label)))
        coarsest = self.head.strides[-1]
        keep = max(self._first, (begin + len(values)) // coarsest * coarsest - self._margin)
        self._rows, self._first = rows[keep - self._first :], keep
        return found

    def _add(self, segment: Floats, score: float, label: int) -> None:
        told = self._told[label]
        if told and interval_iou(segment, np.stack(told)).max() >= self.options.same_overlap:
            return
        self._pending[label].add(segment, score)

    def _tell(self, over: float) -> list[Told]:
        """The pending candidates that end by grid position ``over``, unless a better one overlaps them."""
        found: list[tuple[float, int, Floats]] = []
        for label, pool in enumerate(self._pending):
            for segment, score in pool.take_over(over, self.options.same_overlap):
                self._told[label].append(segment)
                found.append((score, label, segment))
        return [self._as_told(*each) for each in sorted(found, key=lambda each: (each[2][1], -each[0], each[1]))]

    def _as_told(self, score: float, label: int, segment: Floats) -> Told:
        start, end = np.clip(self.time.to_seconds(segment), 0.0, self.time.duration or self.seen)
        return Told(Segment(float(start), float(end), self.model.classes[label], score), self.seen)


class _Pool:
    """Candidates of one class that were not told yet."""

    def __init__(self) -> None:
        self.segments: Floats = np.empty((0, 2))
        self.scores: Floats = np.empty(0)

    def add(self, segment: Floats, score: float) -> None:
        """One more; of too many the worst goes."""
        self.segments = np.concatenate((self.segments, segment[None]))
        self.scores = np.append(self.scores, score)
        if len(self.scores) > _MOST_PENDING:
            self._keep(np.arange(len(self.scores)) != self.scores.argmin())

    def take_over(self, over: float, overlap: float) -> list[tuple[Floats, float]]:
        """Take out those that end by ``over`` and overlap no better one, and all that they overlap."""
        taken: list[tuple[Floats, float]] = []
        while len(self.scores):
            order = np.lexsort((self.segments[:, 0], -self.scores))
            free = np.ones(len(order), dtype=bool)  # overlapped by no better one so far
            chosen = -1
            for place in order:
                if not free[place]:
                    continue
                if self.segments[place, 1] <= over:
                    chosen = int(place)
                    break
                free &= interval_iou(self.segments[place], self.segments) < overlap
            if chosen < 0:
                break
            segment, score = self.segments[chosen], float(self.scores[chosen])
            taken.append((segment, score))
            self._keep(interval_iou(segment, self.segments) < overlap)
        return taken

    def _keep(self, rows: NDArray[np.bool_]) -> None:
        self.segments, self.scores = self.segments[rows], self.scores[rows]
