"""How long, how large and where a training runs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch

from ..errors import OptionError

_MAY_CHANGE = frozenset({"workers", "checkpoint_every", "monitor_every", "accelerator", "devices"})
"""Options that do not touch the numbers."""


@dataclass(frozen=True)
class LoopOptions:
    """How long, how large, where."""

    epochs: int
    """Passes over the data."""
    batch_size: int
    """Samples per batch, over all devices together; a batch is an update unless ``accumulate`` is above 1."""
    seed: int = 0
    """Everything random follows from it."""
    workers: int = 0
    """Loader processes; changes speed only, never the result."""
    accumulate: int = 1
    """Batches whose gradients are averaged for one update; those left over at the end of an epoch make one too."""
    clip_gradients: float | None = None
    """Largest norm of the gradient of all networks together."""
    checkpoint_every: int = 100
    """Updates between checkpoints; one is also written at the end of each epoch and on Ctrl-C."""
    monitor_every: int = 10
    """Updates between the figures that are too dear for each of them."""
    validate_every: int = 1
    """Epochs between validations (the last epoch is always validated); 0 never validates."""
    accelerator: str = "auto"
    """auto, cpu, cuda or mps: where to train."""
    devices: int = 1
    """Devices to train on; more than one uses DDP."""
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    """Arithmetic of the networks. On CPUs without bf16 units, bf16-mixed is many times slower."""

    def __post_init__(self) -> None:
        for name, least in (
            ("epochs", 1),
            ("batch_size", 1),
            ("accumulate", 1),
            ("workers", 0),
            ("checkpoint_every", 1),
            ("monitor_every", 1),
            ("validate_every", 0),
            ("devices", 1),
            ("seed", 0),
        ):
            if getattr(self, name) < least:
                raise OptionError(f"{name} is {getattr(self, name)}, but must be at least {least}")
        there = {"auto": True, "cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
        if not there.get(self.accelerator):
            choices = ", ".join(name for name, usable in there.items() if usable)
            raise OptionError(f"device {self.accelerator!r} cannot be trained on here", cure=f"one of: {choices}")

    def identity(self) -> dict[str, Any]:
        """The options that decide the result; a run is resumed only with the same."""
        return {name: value for name, value in asdict(self).items() if name not in _MAY_CHANGE}
