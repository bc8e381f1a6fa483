"""Similarity Matching (SoLa, CVPR 2023, section 3.2; details from the official code).

The similarity of two rows should follow how far apart they are in time. Where we differ from the code: probabilities
are clamped on both sides (the code overwrites them on one side, which loses the gradient in float32 only), and the
loss is always computed in float32 or better.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_EPSILON = 1e-5  # probabilities are clamped to [ε, 1 − ε]
_NORM_EPSILON = 1e-8


def target_similarity(size: int, lam: float) -> Tensor:
    """Target t_ij = σ(λ/d²) for rows d apart, 1 on the diagonal; never below ½, which is cosine 0.

    Shape: [N, N], float64.
    """
    position = torch.arange(size, dtype=torch.float64)
    distance = (position[:, None] - position[None, :]).abs()  # [N, N]
    return torch.where(distance == 0, 1.0, torch.sigmoid(lam / distance.clamp_min(1) ** 2))


def entropy_floor(target: Tensor) -> float:
    """The smallest value that the loss can take for ``target``: the mean binary entropy of its entries."""
    return float(F.binary_cross_entropy(target, target))


def similarity_matching(z: Tensor, p: Tensor, target: Tensor, valid: Tensor | None = None) -> Tensor:
    """Cross-entropy between the rescaled cosine of (stop-gradient z_i, p_j) and the target.

    Args:
        z: L2-normalised adapted rows; no gradient flows into them. Shape: [B, N, C].
        p: what the predictor made of them. Shape: [B, N, C].
        target: see :func:`target_similarity`. Shape: [N, N].
        valid: which rows exist (short videos); pairs with others do not count. Shape: [B, N], bool.

    Returns:
        The mean over all pairs of the batch, as a scalar.
    """
    z, p = z.detach(), p if p.dtype == torch.float64 else p.float()
    z = z.to(p.dtype)
    norms = z.norm(dim=-1)[:, :, None] * p.norm(dim=-1)[:, None, :]  # [B, N, N]
    cosine = z @ p.transpose(1, 2) / (norms + _NORM_EPSILON)  # [B, N, N]
    probability = ((1 + cosine) / 2).clamp(_EPSILON, 1 - _EPSILON)
    pairs = F.binary_cross_entropy(probability, target.to(probability).expand_as(probability), reduction="none")
    if valid is None:
        return pairs.mean()
    weight = (valid[:, :, None] & valid[:, None, :]).to(pairs)  # [B, N, N]
    return (pairs * weight).sum() / weight.sum().clamp_min(1)
