"""Similarity Matching (SoLa, CVPR 2023, section 3.2; details from the official code) and its variants.

The similarity of two rows should follow how far apart they are in time. Where we differ from the code: probabilities
are clamped on both sides (the code overwrites them on one side, which loses the gradient in float32 only), the loss is
always computed in float32 or better, and rows that do not exist, or are all zero, count in no pair.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from .options import SolaOptions

_EPSILON = 1e-5  # probabilities are clamped to [ε, 1 − ε]
_NORM_EPSILON = 1e-8


def target_similarity(size: int, lam: float) -> Tensor:
    """The official target t_ij = σ(λ/d²) for rows d apart, 1 on the diagonal; never below ½, which is cosine 0.

    Shape: [N, N], float64.
    """
    position = torch.arange(size, dtype=torch.float64)
    return target_probability((position[:, None] - position[None, :]).abs(), SolaOptions(lam=lam))


def target_probability(distance: Tensor, options: SolaOptions) -> Tensor:
    """Target of the rescaled cosine, (1 + cosine) / 2, for rows ``distance`` apart: 1 at 0, never below ½.

    Shape: any, float64.
    """
    distance = distance.double()
    if options.target == "exponential":
        return 0.5 + 0.5 * torch.exp(-distance / options.reach)
    if options.target == "hard":
        return torch.where(distance <= options.reach * (1 + 1e-9), 1.0, 0.5)
    return torch.where(distance == 0, 1.0, torch.sigmoid(options.lam / distance.clamp_min(1e-9) ** 2))


def target_cosine(distance: ArrayLike, options: SolaOptions) -> NDArray[np.float64]:
    """What the cosine of rows ``distance`` apart shall be, in the unit of ``options.distance``. Shape: any."""
    wanted: NDArray[np.float64] = 2 * target_probability(torch.as_tensor(np.asarray(distance)), options).numpy() - 1
    return wanted


def entropy_floor(target: Tensor) -> float:
    """The smallest value that the loss can take for ``target``: the mean binary entropy of its entries."""
    return float(F.binary_cross_entropy(target, target))


def similarity_matching(
    z: Tensor,
    p: Tensor,
    target: Tensor,
    valid: Tensor | None = None,
    *,
    stop_gradient: bool = True,
    symmetric: bool = False,
    diagonal: bool = True,
) -> Tensor:
    """Cross-entropy between the rescaled cosine of (z_i, p_j) and the target.

    Args:
        z: L2-normalised adapted rows. Shape: [B, N, C].
        p: what the predictor made of them. Shape: [B, N, C].
        target: see :func:`target_probability`. Shape: [N, N] or [B, N, N].
        valid: which rows exist (short videos); pairs with others do not count. Shape: [B, N], bool.
        stop_gradient: no gradient flows into ``z``.
        symmetric: compare (c_ij + c_ji) / 2. A second loss term with swapped roles, as SimSiam has for its two views,
            would change nothing: the target is symmetric, so that it equals the first.
        diagonal: count the pairs i = j.

    Returns:
        The mean over all pairs of the batch, as a scalar; 0 if there is none.
    """
    dtype = p.dtype if p.dtype == torch.float64 else torch.float32
    z, p = (z.detach() if stop_gradient else z).to(dtype), p.to(dtype)
    norms = z.norm(dim=-1)[:, :, None] * p.norm(dim=-1)[:, None, :]  # [B, N, N]
    cosine = z @ p.transpose(1, 2) / (norms + _NORM_EPSILON)  # [B, N, N]
    if symmetric:
        cosine = (cosine + cosine.transpose(1, 2)) / 2
    probability = ((1 + cosine) / 2).clamp(_EPSILON, 1 - _EPSILON)
    target = target.to(probability).expand_as(probability)
    # Written out, because torch's own raises an error on NaN before the training loop can name the videos.
    pairs = (target - 1) * torch.log1p(-probability) - target * probability.log()  # [B, N, N]
    return _mean(pairs, pair_weights(pairs, valid, diagonal))


def pair_weights(like: Tensor, valid: Tensor | None, diagonal: bool) -> Tensor:
    """1 for the pairs that count, 0 for the others. Shape: [B, N, N]."""
    weight = torch.ones_like(like) if valid is None else (valid[:, :, None] & valid[:, None, :]).to(like)
    return weight if diagonal else weight * (1 - torch.eye(like.shape[-1]).to(like))


def _mean(pairs: Tensor, weight: Tensor) -> Tensor:
    return (pairs * weight).sum() / weight.sum().clamp_min(1)


class Predictor(nn.Module):
    """Linear → ReLU → Linear on each row; part of the training only, thrown away after it."""

    def __init__(self, channels: int, hidden: int = 512) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels))

    def forward(self, z: Tensor) -> Tensor:
        """Shape: [B, N, C] -> [B, N, C]."""
        return self.layers(z)


class SimilarityMatching(nn.Module):
    """Everything between adapted rows and the loss: normalisation, predictor, target.

    Args:
        channels: C, width of the adapted rows.
    """

    def __init__(self, channels: int, options: SolaOptions = SolaOptions()) -> None:
        super().__init__()
        self.options = options
        self.predictor = Predictor(channels) if options.predictor else nn.Identity()
        position = torch.arange(options.size, dtype=torch.float64)
        self._gaps = (position[:, None] - position[None, :]).abs()  # [N, N]; on the CPU: not every device has doubles

    def forward(self, adapted: Tensor, valid: Tensor | None = None, seconds: Tensor | None = None) -> dict[str, Tensor]:
        """Loss of a batch of windows.

        Args:
            adapted: adapted rows at the positions of the matrix. Shape: [B, N, C].
            valid: which of them exist. Shape: [B, N], bool.
            seconds: between neighbouring positions, for distances in seconds. Shape: [B].

        Returns:
            ``loss`` and ``above_floor``, the loss minus the least that it can be.
        """
        options = self.options
        z = F.normalize(adapted.double() if adapted.dtype == torch.float64 else adapted.float(), dim=-1)
        some = adapted.detach().abs().amax(dim=-1) > 0  # [B, N]; a row of zeros has no direction
        valid = some if valid is None else valid & some
        target = target_probability(self._distance(seconds), options).to(z)  # [N, N] or [B, N, N]
        loss = similarity_matching(
            z,
            self.predictor(z),
            target,
            valid,
            stop_gradient=options.stop_gradient,
            symmetric=options.symmetric,
            diagonal=options.diagonal,
        )
        least = F.binary_cross_entropy(target, target, reduction="none").expand(len(z), -1, -1)  # [B, N, N]
        floor = _mean(least, pair_weights(least, valid, options.diagonal))
        return {"loss": loss, "above_floor": loss - floor}

    def _distance(self, seconds: Tensor | None) -> Tensor:
        if self.options.distance == "positions":
            return self._gaps
        if seconds is None:
            raise ValueError("distances in seconds need the seconds between positions")
        return self._gaps * seconds.cpu().double()[:, None, None]  # [N, N] -> [B, N, N]
