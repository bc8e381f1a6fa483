"""Whether features do what Similarity Matching asked for: look at the raw similarity, not at the loss.

The official loss can fall while the similarity of rows far apart rises, because the module smooths in time and the
predictor absorbs the target (specification, section 10, point 11). These numbers tell: the mean cosine for each
distance in time should fall as the target does, and the rows should not collapse onto a few directions.

Everything goes through the rows in blocks, so that an hour of video needs little memory beside its features.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_ROWS_AT_ONCE = 256


def unit_rows(rows: np.ndarray) -> NDArray[np.float64]:
    """Rows of length 1; a row of zeros stays one, so that it resembles nothing. Shape: [T, C] -> [T, C]."""
    exact = np.asarray(rows, dtype=np.float64)
    norms = np.linalg.norm(exact, axis=1, keepdims=True)  # [T, 1]
    return np.asarray(exact / np.where(norms == 0, 1.0, norms))


def cosine_by_distance(values: np.ndarray, most: int) -> NDArray[np.float64]:
    """Mean cosine of all pairs of rows that lie 0, 1, … ``most`` rows apart; NaN where there is no such pair.

    A row of zeros has cosine 0 with everything, itself included.

    Args:
        values: features of one video. Shape: [T, C].
        most: the largest distance, in rows.

    Returns:
        Shape: [most + 1].
    """
    sums = np.zeros(most + 1)
    for begin in range(0, len(values), _ROWS_AT_ONCE):
        ahead = unit_rows(values[begin : begin + _ROWS_AT_ONCE + most])  # the block and what its last row reaches
        cosines = ahead[:_ROWS_AT_ONCE] @ ahead.T  # [block, block + most]
        for distance in range(min(most + 1, len(ahead))):
            sums[distance] += np.diagonal(cosines, distance).sum()
    pairs = len(values) - np.arange(most + 1)
    return np.where(pairs > 0, sums / np.maximum(pairs, 1), np.nan)


def effective_rank(rows: np.ndarray) -> float:
    """Along how many directions L2-normalised rows spread: exp of the entropy of the Gram matrix's eigenvalues.

    The eigenvalues are divided by their sum (Roy, Vetterli: "The effective rank", EUSIPCO 2007). 1 when all rows are
    alike, min(N, C) when they spread evenly; NaN when there is nothing but zeros.

    Shape:
        rows: [N, C].
    """
    gram = _gram(rows)
    share = np.clip(np.linalg.eigvalsh(gram), 0.0, None) / max(float(np.trace(gram)), np.finfo(float).tiny)
    share = share[share > 0]
    return float(np.exp(-(share * np.log(share)).sum())) if len(share) else float("nan")


def _gram(rows: np.ndarray) -> NDArray[np.float64]:
    """Inner products of the unit rows, or, where that is smaller, of their columns: the eigenvalues are the same."""
    if len(rows) <= rows.shape[1]:
        unit = unit_rows(rows)
        return np.asarray(unit @ unit.T)  # [N, N]
    gram = np.zeros((rows.shape[1],) * 2)  # [C, C]
    for begin in range(0, len(rows), _ROWS_AT_ONCE):
        unit = unit_rows(rows[begin : begin + _ROWS_AT_ONCE])
        gram += unit.T @ unit
    return gram
