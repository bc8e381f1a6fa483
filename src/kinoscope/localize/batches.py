"""To which length videos are padded, and training crops.

Source: specification sections 1.7 and 1.8.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .options import ActionFormerOptions

_TRIES = 200
"""How often a crop is drawn anew when it holds no segment."""


def padded_length(rows: int, head: ActionFormerOptions) -> int:
    """To how many rows a video of ``rows`` is padded before inference.

    A clean head needs no padding. The official one leaks it, and its outputs agree with the release only when padded
    alike: to ``max_length``, or beyond that to a multiple that its chunked attention divides evenly.
    """
    if head.mask_clean:
        return rows
    if rows <= head.max_length:
        return head.max_length
    return -(-rows // chunk_multiple(head)) * chunk_multiple(head)


def chunk_multiple(head: ActionFormerOptions) -> int:
    """The official ``max_div``: the largest of stride · 2 · (window // 2) over the levels, of stride if global."""
    pairs = zip(head.strides, head.windows, strict=True)
    return max(stride * (2 * (window // 2) if window > 1 else 1) for stride, window in pairs)


def cut(
    features: NDArray[Any], segments: NDArray[np.float64], labels: NDArray[np.int64], piece: slice
) -> tuple[NDArray[Any], NDArray[np.float64], NDArray[np.int64]]:
    """One piece of a training video with all that it shows of its segments; arrays as in :func:`crop`."""
    view, share = _view(segments, piece.start - 0.5, piece.stop - 0.5)
    return features[piece], view[share > 0] - piece.start, labels[share > 0]


def holds_a_segment(segments: NDArray[np.float64], piece: slice, share: float = 0.9) -> bool:
    """Whether more than this ``share`` of one of the ``segments`` [N, 2] lies in a piece (specification, 2.4)."""
    return bool((_view(segments, piece.start - 0.5, piece.stop - 0.5)[1] > share).any())


def _view(segments: NDArray[np.float64], first: float, last: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What is seen of ``segments`` [N, 2] between two places, and which share of each that is [N]."""
    view = np.clip(segments, first, last)
    return view, (view[:, 1] - view[:, 0]) / np.maximum(segments[:, 1] - segments[:, 0], 1e-9)


def crop(
    features: NDArray[Any],
    segments: NDArray[np.float64],
    labels: NDArray[np.int64],
    *,
    max_length: int,
    reach: float,
    rng: np.random.Generator,
    keep: float = 0.5,
    shortest: float = 0.9,
) -> tuple[NDArray[Any], NDArray[np.float64], NDArray[np.int64]]:
    """A random stretch of a training video, with what it shows of its segments.

    A video of up to ``max_length`` rows loses at most 1 − ``shortest`` of them; a longer one is cut to ``max_length``.
    Where there is a segment at all, stretches are drawn until one holds a segment, but not for ever.

    Args:
        features: [T, C].
        segments: [N, 2], start and end in grid units; N may be 0.
        labels: [N].
        max_length: most rows of a crop.
        reach: half of what a row saw, in grid units: so far a crop sees beyond its first and last row.
        rng: every choice comes from it.
        keep: segments are kept if at least this share of them is in view.
        shortest: see above.

    Shape:
        returns features [T', C], segments [N', 2] in grid units of the crop, labels [N'].
    """
    rows = len(features)
    length = max_length if rows > max_length else int(rng.integers(max(round(shortest * rows), 1), rows + 1))
    if length == rows:
        return features, segments, labels  # as published: nothing is clipped where nothing is cut
    for _ in range(_TRIES):
        first = int(rng.integers(0, rows - length + 1))
        view, share = _view(segments, first - reach, first + length + reach)  # [N, 2], [N]
        kept = share >= keep
        if kept.any() or not len(segments):
            break
    return features[first : first + length], view[kept] - first, labels[kept]
