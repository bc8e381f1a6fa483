"""What a method gives to the training loop."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any, Protocol

import numpy as np
from torch import Tensor, nn
from torch.optim import Optimizer


class Task(Protocol):
    """What a method gives to the loop. Subclass it: what is not needed has a default."""

    networks: MutableMapping[str, nn.Module]
    """Networks by name. The loop replaces each by its wrapped self (device, precision, DDP): call them from here.

    DDP wraps those with a parameter that learns; the others are moved and run in the run's precision."""
    optimizers: MutableMapping[str, Optimizer]
    """Optimisers by name; all step once per batch."""

    whole_batches: bool = False
    """Leave out the samples that do not fill the last batch of an epoch; other ones in each epoch."""

    def __len__(self) -> int:
        """Samples per epoch."""

    def sample(self, index: Any, rng: Any) -> Any:
        """Sample ``index``, made in a loader worker; everything random about it comes from the generator ``rng``.

        Where :meth:`shares` gave a tuple of indices, ``index`` is that tuple, and ``rng`` holds a generator for each.
        """

    def shares(self, batch: list[int], processes: int, rng: np.random.Generator) -> list[list[Any]]:  # noqa: ARG002
        """What each process makes of a batch, in turns; one left without any repeats the first sample."""
        return [batch[first::processes] or batch[:1] for first in range(processes)]

    def collate(self, samples: list[Any]) -> Any:
        """Samples → batch (tensors in dicts, lists or tuples)."""

    def loss(self, batch: Any) -> dict[str, Tensor]:
        """Losses of a batch: ``"loss"`` is minimised, the others are logged; without ``"loss"`` nothing is updated."""

    def schedule(self, step: int, total: int) -> float:  # noqa: ARG002 - the default ignores both
        """Factor on every learning rate at update ``step`` of ``total``, both counted from 0."""
        return 1.0

    def monitor(self) -> dict[str, float]:
        """Figures to log that are too dear for every update; called now and then, after a ``loss``."""
        return {}

    def after_step(self, step: int) -> None:  # noqa: ARG002 - the default does nothing
        """Called after each update (moving averages, queues)."""
        return

    def validate(self) -> dict[str, float]:
        """Metrics on held-out data; called at the end of an epoch. Must not draw from torch's generator."""
        return {}

    def describe(self, index: int) -> str:
        """Name of a sample, for messages."""
        return f"sample {index}"
