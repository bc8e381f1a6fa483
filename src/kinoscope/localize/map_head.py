"""G-TAD and BMN in use: videos of any length → candidates and class scores.

Source: specification sections 2.4 and 3.3. Where we differ: segments that end at the last row are proposed; no rows are
lost at a video's tail; windows are joined before suppression, which acts once; places become grid positions by half
a row, in training as in use, so that nothing is shifted.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.padding import pad
from .decode import Seen
from .intervals import Candidates, Floats, Indices
from .map_network import Bmn, GTad, Maps
from .map_options import MapOptions
from .options import DecodeOptions

_AT_ONCE = 8
"""Windows, or resized videos, in one pass of the network."""
_HIGH_PEAK = 0.5


class MapHead:
    """What a localiser needs of a network that scores maps."""

    def __init__(self, network: GTad | Bmn) -> None:
        self.network = network
        self.options: MapOptions = network.options
        self.segments, self.valid = self.options.cells.segments(), self.options.cells.valid()  # [N, 2], [N]

    @property
    def resized(self) -> int | None:
        """None: a network that takes whole videos resizes them itself."""
        return None

    def crop_length(self, longest: int) -> int:
        """Most rows of a training crop."""
        return self.options.rows if self.options.fit == "windows" else longest

    @property
    def longest(self) -> float:
        """Rows of the longest segment that there is a cell for."""
        return self.options.durations if self.options.fit == "windows" else math.inf

    def padded(self, rows: int) -> int:
        """To how many rows a training crop of ``rows`` is padded."""
        return self.options.rows if self.options.fit == "windows" else rows

    def batches(self, lengths: Sequence[int]) -> Iterator[list[int]]:
        """Places of videos that are looked at together: of similar length."""
        order = sorted(range(len(lengths)), key=lambda place: -lengths[place])
        for first in range(0, len(order), _AT_ONCE):
            yield order[first : first + _AT_ONCE]

    def look(self, videos: Sequence[NDArray[Any]], decoding: DecodeOptions) -> list[Seen]:
        """What the network says of videos [T, C] each; no more than a few windows are in memory at a time."""
        rows = [len(video) for video in videos]
        found: list[list[Candidates]] = [[] for _ in videos]
        curves = [np.zeros((count, self.options.classes), np.float32) for count in rows]
        pieces = [(video, piece.start) for video, count in enumerate(rows) for piece in self.pieces(count)]
        for begin in range(0, len(pieces), _AT_ONCE):
            some = pieces[begin : begin + _AT_ONCE]
            maps = self._maps([self._piece(videos[video], first) for video, first in some])
            scores = self._scores(maps).cpu().double().numpy()  # [B, K, N]
            for (video, first), own in zip(some, scores, strict=True):
                scale = 1.0 if self.options.fit == "windows" else rows[video] / self.options.rows
                found[video].append(self._candidates(own, first, scale, decoding))
                shown = self._map_rows(rows[video] - first)
                curve = curves[video][first : first + len(shown)]
                np.maximum(curve, self._curve(own)[shown], out=curve)
        return [Seen(_joined(parts), curve) for parts, curve in zip(found, curves, strict=True)]

    def pieces(self, rows: int) -> list[slice]:
        """What a video of ``rows`` is looked at in: windows half a window apart, the last one at the end."""
        size = self.options.rows
        if self.options.fit == "resize" or rows <= size:
            return [slice(0, rows)]
        return [slice(first, first + size) for first in (*range(0, rows - size, size // 2), rows - size)]

    def _map_rows(self, rows: int) -> Indices:
        """Which row of the map stands for each row of a piece, of which the video has ``rows`` left."""
        if self.options.fit == "windows":
            return np.arange(min(rows, self.options.rows))
        return ((np.arange(rows) + 0.5) * self.options.rows / rows).astype(np.int64)

    def _piece(self, video: NDArray[Any], first: int) -> NDArray[Any]:
        return video if self.options.fit == "resize" else video[first : first + self.options.rows]

    def _maps(self, pieces: Sequence[NDArray[Any]]) -> Maps:
        features, mask = pad(pieces, self.padded(max(map(len, pieces))))
        device = next(self.network.parameters()).device
        maps: Maps = self.network.eval()(features.to(device), mask.to(device))
        return maps

    def _scores(self, maps: Maps) -> Tensor:
        """Of every cell and class, 0 for cells that are no segments of the input. Shape: [B, K, N]."""
        score = (maps.regression * maps.overlap).flatten(1)  # [B, N]
        start, end = torch.from_numpy(self.segments).long().to(score.device).unbind(1)  # [N] each, in edges
        last = (maps.rows - 1)[:, None]  # [B, 1]
        before, after = start.expand_as(score), torch.minimum(end, last)  # the row at the edge, or the last one
        if self.options.boundary_score:
            score = score * maps.start.gather(1, before) * maps.end.gather(1, after)
        if self.options.peaks:
            score = score * peaks(maps.start).gather(1, before) * (peaks(maps.end).gather(1, after) | (end >= last))
        score = score * (torch.from_numpy(self.valid).to(score.device) & (end <= maps.rows[:, None]))
        if self.options.classes == 1:
            return score[:, None]
        return score[:, None] * maps.classes.flatten(2).sigmoid()

    def _candidates(self, scores: Floats, first: int, scale: float, options: DecodeOptions) -> Candidates:
        """The best cells of one piece [K, N], in grid units of the video; ``scale`` is its rows per row of the map."""
        places, flat = np.flatnonzero(scores > options.threshold), scores.ravel()
        if len(places) > options.candidates:  # far fewer are sorted than there are; those at the edge all of them
            least = np.partition(flat[places], -options.candidates)[-options.candidates]
            places = np.flatnonzero(scores >= least)
        flat = flat[places]
        best = np.argsort(-flat, kind="stable")[: options.candidates]
        labels, cells = np.divmod(places[best], scores.shape[1])
        segments = self.segments[cells] * scale + first - 0.5
        long = segments[:, 1] - segments[:, 0] > options.min_length
        return segments[long], flat[best][long], labels[long].astype(np.int64)

    def _curve(self, scores: Floats) -> NDArray[np.float32]:
        """The best score of a cell that covers each row of the map. Shape: [K, N] → [T, K].

        What covers a stretch of rows covers both stretches that are one row shorter: from the longest to single rows.
        """
        start, end = self.segments[self.valid].astype(np.int64).T
        best = np.zeros((self.options.durations + 1, self.options.rows, len(scores)), np.float32)
        best[end - start - 1, start] = scores[:, self.valid].T  # [D + 1, T, K] by length and start
        for shorter in range(self.options.durations - 1, -1, -1):
            longer = best[shorter + 1]
            np.maximum(best[shorter], longer, out=best[shorter])
            np.maximum(best[shorter, 1:], longer[:-1], out=best[shorter, 1:])
        return np.asarray(best[0])


def peaks(scores: Tensor) -> Tensor:
    """Rows with a higher score than both neighbours or than half of the largest, and the first. [B, T] → the same.

    The last row is always an end, too (specification, section 3.3).
    """
    high = scores > _HIGH_PEAK * scores.amax(1, keepdim=True)
    high[:, 1:-1] |= (scores[:, 1:-1] > scores[:, :-2]) & (scores[:, 1:-1] > scores[:, 2:])
    high[:, 0] = True
    return high


def _joined(parts: Sequence[Candidates]) -> Candidates:
    segments, scores, labels = zip(*parts, strict=True)
    return np.concatenate(segments), np.concatenate(scores), np.concatenate(labels)
