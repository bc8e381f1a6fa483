"""What tells during training whether the loss does what it says: look at the similarities, not at the loss.

The official loss may fall while rows far apart become *more* alike, because the predictor absorbs the target
(specification, section 10.11). So the cosines of adapted rows themselves are logged, without the predictor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..data.features import Features
from .diagnostics import cosine_by_distance, effective_rank
from .network import SoLa

_ROWS = 128  # for the rank: its cost grows with their cube
_LONG = 30_000  # rows of a video; an hour at eight a second


@torch.no_grad()
def gauge(before: Tensor, after: Tensor, valid: Tensor) -> dict[str, float]:
    """Figures of a batch of rows before and after the adapter.

    Returns:
        ``norm_ratio``: length of the change over length of the row; ``cosine_d``: mean cosine of adapted rows d
        positions apart; ``cosine_before_d``: of the rows as they came; ``effective_rank`` of at most 128 adapted
        rows, so that it lies below that of a whole video.

    Shape: [B, N, C], [B, N, C], [B, N].
    """
    before, after = before.float(), after.float()
    lengths = before.norm(dim=-1).clamp_min(1e-12)
    ratio = ((after - before).norm(dim=-1) / lengths)[valid]
    figures = {"norm_ratio": float(ratio.mean()) if len(ratio) else 0.0}
    for name, rows in (("cosine", after), ("cosine_before", before)):
        figures |= {f"{name}_{d}": value for d, value in enumerate(mean_cosines(rows, valid), start=1)}
    figures["effective_rank"] = effective_rank(after[valid][:_ROWS].cpu().numpy())
    return figures


def mean_cosines(rows: Tensor, valid: Tensor) -> list[float]:
    """Mean cosine of rows 1, 2, … N − 1 positions apart, where both exist. Shape: [B, N, C], [B, N] -> N − 1."""
    unit = F.normalize(rows, dim=-1)
    cosine = unit @ unit.transpose(1, 2)  # [B, N, N]
    both = (valid[:, :, None] & valid[:, None, :]).to(cosine)
    means = []
    for distance in range(1, rows.shape[1]):
        of, there = (each.diagonal(distance, 1, 2) for each in (cosine, both))  # [B, N - d]
        if there.sum() > 0:
            means.append(float((of * there).sum() / there.sum()))
    return means


@dataclass(frozen=True)
class Effect:
    """What an adapter does to features: means over videos."""

    norm_ratio: float
    """Length of the change over length of the row."""
    before: float
    """Mean cosine of rows as far apart as the first and last of the matrix; NaN if no video is so long."""
    after: float
    """The same of adapted rows."""


def effect(adapter: SoLa, videos: Mapping[str, Features], most: int = 64) -> Effect:
    """What ``adapter`` does to ``most`` of the videos, evenly chosen, looking at every row (of an hour at the most)."""
    names, far = list(videos), adapter.options.step * (adapter.options.size - 1)
    figures = []
    for name in names[:: -(-len(names) // most)]:
        rows = np.array(videos[name].values[:_LONG], dtype=np.float32)
        adapted = adapter.adapt_rows(rows)
        lengths = np.linalg.norm(rows, axis=1)
        ratio = np.linalg.norm(adapted - rows, axis=1)[lengths > 0] / lengths[lengths > 0]
        cosines = [cosine_by_distance(each, far)[far] for each in (rows, adapted)]
        figures.append((float(ratio.mean()) if len(ratio) else 0.0, *cosines))
    ratio, before, after = zip(*figures, strict=True)
    known = np.isfinite(before)
    return Effect(
        float(np.mean(ratio)),
        *(float(np.mean(np.array(each)[known])) if known.any() else float("nan") for each in (before, after)),
    )
