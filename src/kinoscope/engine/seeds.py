"""Where randomness comes from: every draw is derived from what it is for, never from what was drawn before.

A sample's draws depend on (seed, epoch, index), a step's on (seed, step). So the number of loader workers changes
nothing, and a run resumes to the same bits from its position alone.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import torch

from ..errors import OptionError


class Stream(IntEnum):
    """What a derived generator is for; streams never share draws."""

    ORDER = 0
    SAMPLE = 1
    STEP = 2
    WEIGHTS = 3
    BATCH = 4


def epoch_order(seed: int, epoch: int, length: int) -> np.ndarray:
    """The order of ``length`` samples in one epoch. Shape: [length]."""
    return np.random.default_rng([seed, Stream.ORDER, epoch]).permutation(length)


def sample_rng(seed: int, epoch: int, index: int) -> np.random.Generator:
    """The generator for everything random about one sample in one epoch."""
    return np.random.default_rng([seed, Stream.SAMPLE, epoch, index])


def batch_rng(seed: int, epoch: int, number: int) -> np.random.Generator:
    """The generator for what is random about a batch as a whole; equal in every process."""
    return np.random.default_rng([seed, Stream.BATCH, epoch, number])


def seed_step(seed: int, step: int) -> None:
    """Seed torch for one training step (dropout, drop path)."""
    torch.manual_seed(_torch_seed(seed, Stream.STEP, step))


def seed_weights(seed: int) -> None:
    """Seed torch before the networks of a run are built."""
    torch.manual_seed(_torch_seed(seed, Stream.WEIGHTS))


def _torch_seed(*entropy: int) -> int:
    if entropy[0] < 0:
        raise OptionError(f"seed is {entropy[0]}, but must be at least 0")
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0] >> 1)
