"""Self-similarity maps small enough to be drawn: of features, and of the target that SoLa was given."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ..sola.diagnostics import unit_rows
from .content import SimilarityMap

MAP_SIZE = 160
"""Cells along each side of a map, at most."""

_ROWS_AT_ONCE = 4096


def similarity_map(
    features: np.ndarray, times: Sequence[float], title: str, *, max_size: int = MAP_SIZE, group: str = ""
) -> SimilarityMap:
    """The self-similarity of a video's features, small enough to be drawn.

    More than ``max_size`` rows are pooled into that many: a cell is then the mean cosine of the pairs it stands for,
    so its diagonal tells how steady the features are within one cell.

    Shape:
        features: [T, C]; times: [T], in seconds; the map: [N, N] with N = min(T, max_size).
    """
    rows = np.asarray(features)
    if rows.ndim != 2 or len(rows) != len(times):
        raise ValueError(f"features {rows.shape} must be [T, C] with one of {len(times)} times for each row")
    edges = _edges(len(rows), max_size)
    if len(edges) < 2:
        return SimilarityMap(title, [], np.zeros((0, 0)), group)
    # The mean of all cosines between two groups of unit rows is the dot product of the groups' means.
    means = np.stack([unit_rows(rows[begin:end]).mean(axis=0) for begin, end in pairwise(edges)])  # [T, C] -> [N, C]
    return SimilarityMap(title, _centres(times, edges), np.clip(means @ means.T, -1.0, 1.0), group)


def target_map(
    times: Sequence[float], wanted: np.ndarray, title: str, *, max_size: int = MAP_SIZE, group: str = ""
) -> SimilarityMap:
    """The map that features would have if they followed the target, on the grid of :func:`similarity_map`.

    A cell is the mean over those of its pairs that training compares; NaN where it compares none.

    Args:
        times: of the rows, in seconds. Shape: [T].
        wanted: cosine that is asked for between rows 0, 1, … apart, up to the last that are compared. Shape: [R].
    """
    edges = np.asarray(_edges(len(times), max_size))
    start, end = edges[:-1], edges[1:]
    total, pairs = np.zeros((len(start), len(start))), np.zeros((len(start), len(start)))
    for distance in range(1 - len(wanted), len(wanted)):
        # Rows a of cell i whose partner a + distance lies in cell j are an interval; only its length matters.
        last = np.minimum(end[:, None], end[None, :] - distance)  # [N, N]
        first = np.maximum(start[:, None], start[None, :] - distance)
        count = np.maximum(last - first, 0)
        total += count * wanted[abs(distance)]
        pairs += count
    values = np.where(pairs > 0, total / np.maximum(pairs, 1), np.nan)
    return SimilarityMap(title, _centres(times, edges.tolist()), values, group)


def change_over_time(features: np.ndarray, width: int) -> NDArray[np.float64]:
    """How much features change at each row: 1 − cosine of the means of the ``width`` rows before it and from it on.

    NaN nearer than ``width`` rows to both ends, where there is no such mean. Shape: [T, C] -> [T].
    """
    change = np.full(len(features), np.nan)
    for begin in range(width, len(features) - width + 1, _ROWS_AT_ONCE):
        end = min(begin + _ROWS_AT_ONCE, len(features) - width + 1)
        sums = np.cumsum(unit_rows(features[begin - width : end + width - 1]), axis=0)
        sums = np.concatenate([np.zeros_like(sums[:1]), sums])  # [rows + 1, C]
        means = unit_rows(sums[width:] - sums[:-width])  # of the rows from each one on
        change[begin:end] = 1 - (means[:-width] * means[width:]).sum(axis=1)
    return change


def _edges(rows: int, most: int) -> list[int]:
    """Where the groups of rows begin that become one cell each, and the end of the last."""
    size = min(rows, most)
    return [index * rows // size for index in range(size)] + [rows] if size else []


def _centres(times: Sequence[float], edges: Sequence[int]) -> list[float]:
    return [float(np.mean(times[begin:end])) for begin, end in pairwise(edges)]  # [T] -> [N]
