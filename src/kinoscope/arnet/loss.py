"""What AR-Net minimises: wrong answers, expected computation, and a policy that does the same thing always.

Letters: B videos, T candidate frames, A actions. r [B, T, A] are the one-hot actions of a batch, f [A] their mean.

Source: AR-Net sheet, section 4. The released code takes the L2 norm in L_uni, the paper the sum of absolute values.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

UniformNorm = Literal["l2", "l1", "entropy"]


def frequencies(taken: Tensor) -> Tensor:
    """How often each action is taken in a batch. Shape: [B, T, A] -> [A]."""
    return taken.mean(dim=(0, 1))


def flops_loss(usage: Tensor, costs: Tensor) -> Tensor:
    """L_flops: the expected cost of a frame, Σ f_k c_k. Shape: [A], [A] -> []."""
    return (usage * costs).sum()


def uniform_loss(usage: Tensor, norm: UniformNorm = "l2") -> Tensor:
    """L_uni: how far usage is from taking every action alike. Shape: [A] -> [].

    ``l2`` as in the released code, ``l1`` as in the paper; ``entropy`` is log A − H(f), which the released code has
    behind a flag and without a gradient. Usage is a share of what was done: as released, that it sums to 1 is part of
    the gradient.
    """
    usage = usage / usage.sum()
    away = usage - 1 / usage.shape[0]
    if norm == "l2":
        return away.norm()
    if norm == "l1":
        return away.abs().sum()
    return torch.log(torch.tensor(float(usage.shape[0]), dtype=usage.dtype)) + torch.special.xlogy(usage, usage).sum()


def efficiency_loss(
    taken: Tensor, costs: Tensor, uniform_weight: float, norm: UniformNorm = "l2"
) -> tuple[Tensor, Tensor, Tensor]:
    """L_flops + w L_uni, and both by themselves. Shape: [B, T, A], [A] -> [], [], []."""
    usage = frequencies(taken)
    flops, uniform = flops_loss(usage, costs), uniform_loss(usage, norm)
    return flops + uniform_weight * uniform, flops, uniform


def total_loss(accuracy_loss: Tensor, efficiency: Tensor, alpha: float) -> Tensor:
    """(1 − α) L_acc + α (L_flops + w L_uni), so that the paper's β is α w."""
    return (1 - alpha) * accuracy_loss + alpha * efficiency
