"""What tells during training whether the loss does what it says: look at the similarities, not at the loss.

The official loss may fall while rows far apart become *more* alike, because the predictor absorbs the target
(specification, section 10.11). So the cosines of adapted rows themselves are logged, without the predictor.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..data.features import Features
from .diagnostics import effective_rank
from .network import SoLa
from .windows import draw_window

_ROWS = 128  # for the rank: its cost grows with their cube


@torch.no_grad()
def gauge(before: Tensor, after: Tensor, valid: Tensor) -> dict[str, float]:
    """Figures of a batch of rows before and after the adapter.

    Returns:
        ``norm_ratio``: length of the change over length of the row; ``cosine_d``: mean cosine of adapted rows d
        positions apart; ``cosine_before_d``: of the rows as they came; ``effective_rank`` of the adapted rows.

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


@torch.inference_mode()
def effect(adapter: SoLa, videos: Mapping[str, Features], most: int = 256) -> dict[str, float]:
    """Figures of :func:`gauge` for one window of each video (of ``most`` at the most), the same at every call."""
    options, drawn = adapter.options, []
    for place, name in enumerate(list(videos)[:most]):
        drawn.append(draw_window(videos[name].values, options, np.random.default_rng(place)))
    windows, valid = (torch.from_numpy(np.stack(each)) for each in zip(*drawn, strict=True))  # [B, window, C], [B, N]
    return gauge(SoLa.kept(windows, options.positions), adapter(windows, options.positions), valid)
