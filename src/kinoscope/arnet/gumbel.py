"""Discrete choices that gradients pass through: straight-through Gumbel-Softmax, and its temperature over training.

Source: AR-Net sheet, section 3; Jang, Gu, Poole, and Maddison, Mnih, Teh (both ICLR 2017).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

FLOOR = 1e-8
"""Of probabilities, before their logarithm is taken."""
INITIAL, DECAY = 5.0, -0.045
"""Of the temperature; see :func:`temperature`."""


def log_probabilities(logits: Tensor) -> Tensor:
    """log max(softmax(z), 1e-8), not normalised again after the floor. Shape: [..., A] -> [..., A]."""
    return logits.softmax(dim=-1).clamp_min(FLOOR).log()


def temperature(epoch: float, initial: float = INITIAL, decay: float = DECAY) -> float:
    """τ in ``epoch``, counted from 0 and constant inside an epoch: ``initial`` · exp(``decay`` · epoch)."""
    return initial * math.exp(decay * epoch)


def gumbel_noise(like: Tensor) -> Tensor:
    """−log(−log u) for uniform u, by torch's generator: one draw for every video, frame and action."""
    uniform = torch.rand_like(like).clamp(torch.finfo(like.dtype).tiny, 1 - torch.finfo(like.dtype).eps)
    return -(-uniform.log()).log()


def gumbel_softmax(log_probs: Tensor, noise: Tensor, tau: float) -> Tensor:
    """One-hot of the largest of log p + noise; its gradient is that of softmax((log p + noise) / τ).

    Which action it is does not depend on τ: a low temperature does not make a policy deterministic.

    Shape: [..., A] -> [..., A].
    """
    soft = ((log_probs + noise) / tau).softmax(dim=-1)
    hard = one_hot(log_probs + noise)
    return hard + (soft - soft.detach())  # the brackets keep it one-hot to the last bit


def one_hot(scores: Tensor) -> Tensor:
    """The largest, of equal ones the first, as one-hot of the same type. Shape: [..., A] -> [..., A]."""
    return F.one_hot(scores.argmax(dim=-1), scores.shape[-1]).to(scores.dtype)
