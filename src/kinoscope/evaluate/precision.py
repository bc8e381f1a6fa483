"""Average precision from the ranked hits of one class (``evaluation.md`` section 1.1, steps 4 and 5).

Letters: n predictions of the class, T thresholds, B bootstrap replicates.
"""

from __future__ import annotations

import numpy as np

from .matching import Bools, Floats, Ints


def interpolated_ap(hits: Bools, positives: int) -> Floats:
    """Area under the precision envelope (VOC 2011, all points).

    Args:
        hits: whether each prediction, in order of descending score, found a true segment. Shape: [n, T].
        positives: number of true segments of the class.

    Shape: [n, T] -> [T].
    """
    if positives == 0 or len(hits) == 0:
        return np.zeros(hits.shape[1])
    precision = np.cumsum(hits, axis=0) / np.arange(1, len(hits) + 1)[:, None]  # [n, T]
    return np.asarray((_envelope(precision) * hits).sum(axis=0) / positives)  # recall grows by 1/positives at each hit


def weighted_ap(hits: Bools, seen: Floats, weights: Floats, positives: Floats) -> Floats:
    """The same when videos count several times or not at all (``evaluation.md`` section 8, step 2).

    Only hits matter: between two of them precision falls, so the envelope's corners lie on hits.

    Args:
        hits: rows of the class that found a true segment at one threshold. Shape: [n], h of them true.
        seen: weight of the predictions up to each row, itself included. Shape: [n, B].
        weights: weight of each row's video. Shape: [n, B].
        positives: weight of the class's true segments. Shape: [B].

    Returns:
        Average precision per replicate, NaN where the class is absent. Shape: [B].
    """
    gain = weights[hits]  # [h, B]
    total = seen[hits]  # [h, B]
    precision = np.divide(np.cumsum(gain, axis=0), total, out=np.zeros_like(total), where=total > 0)
    area = np.einsum("hb,hb->b", _envelope(precision), gain)
    ap: Floats = np.divide(area, positives, out=np.full_like(positives, np.nan), where=positives > 0)
    return ap


def class_bounds(labels: Ints, classes: int) -> Ints:
    """Where the rows of each class begin and end in sorted labels. Shape: [P] -> [K + 1]."""
    return np.searchsorted(labels, np.arange(classes + 1))


def _envelope(precision: Floats) -> Floats:
    """The running maximum from the last row back to the first."""
    return np.asarray(np.maximum.accumulate(precision[::-1], axis=0)[::-1])


def precision_at(hits: Bools, positives: int, recalls: Floats) -> Floats:
    """Best precision that is reached with at least each recall; 0 where it is never reached.

    Args:
        hits: whether each prediction, in order of descending score, found a true segment. Shape: [n].
        positives: number of true segments of the class, above 0.
        recalls: from 0 to 1. Shape: [R].

    Shape: -> [R].
    """
    places = np.flatnonzero(hits)
    if not len(places):
        return np.zeros(len(recalls))
    envelope = _envelope(np.arange(1, len(places) + 1) / (places + 1))
    needed = np.maximum(np.ceil(recalls * positives - 1e-9).astype(np.int64), 1)  # hits that make the recall
    reached = needed <= len(places)
    return np.where(reached, envelope[np.minimum(needed, len(places)) - 1], 0.0)
