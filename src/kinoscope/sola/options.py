"""Options of SoLa; the defaults are the official ones (``papers`` call them λ, N, s)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..errors import OptionError


@dataclass(frozen=True)
class SolaOptions:
    """The adapter and what it is trained to do."""

    hidden: int = 512
    """Channels inside the adapter."""
    kernel: int = 5
    """Rows that the first convolution sees; odd."""
    size: int = 8
    """N, rows of the similarity matrix."""
    step: int = 2
    """Feature rows between neighbouring rows of the matrix."""
    margin: int = 4
    """Feature rows on both sides of a window that only give context."""
    lam: float = 16.0
    """λ of the target σ(λ/d²): larger lets similarity reach further."""

    def __post_init__(self) -> None:
        for name, least in (("hidden", 1), ("kernel", 1), ("size", 2), ("step", 1), ("margin", 0)):
            if getattr(self, name) < least:
                raise OptionError(f"{name} is {getattr(self, name)}, but must be at least {least}")
        if self.kernel % 2 == 0:
            raise OptionError(f"kernel is {self.kernel}, but must be odd", cure=f"use {self.kernel + 1}")
        if not 0 <= self.lam < float("inf"):
            raise OptionError(f"lam is {self.lam}, but must be a number from 0 on")
        if self.margin < self.radius:
            cure = f"raise margin to {self.radius} or lower kernel to {2 * self.margin + 1}"
            raise OptionError(f"kernel {self.kernel} looks further than margin {self.margin}", cure=cure)

    @property
    def radius(self) -> int:
        """Rows to either side that an adapted row depends on."""
        return self.kernel // 2

    @property
    def window(self) -> int:
        """Rows of one training window."""
        return 2 * self.margin + (self.size - 1) * self.step + 1

    @property
    def positions(self) -> range:
        """Rows of a window that enter the similarity matrix."""
        return range(self.margin, self.window - self.margin, self.step)


@dataclass(frozen=True)
class SolaTraining:
    """How the adapter is trained."""

    recipe: Literal["auto", "official", "small"] = "auto"
    """official: 150 epochs of one window per video, batch 256, learning rate 0.0001. small: 1,000 updates, batch 32,
    learning rate 0.001, because a few dozen videos would give the official recipe too few updates to leave the
    identity. auto: official from 2,000 videos on."""
    epochs: int | None = None
    """Passes over the videos (official) or blocks of 50 updates (small)."""
    batch_size: int | None = None
    """Windows per update."""
    learning_rate: float | None = None
    """Of AdamW, constant."""
    weight_decay: float = 0.01
    """Of AdamW."""
    seed: int = 0
    """Everything random follows from it."""

    def __post_init__(self) -> None:
        if self.recipe not in ("auto", "official", "small"):
            raise OptionError(f"recipe is {self.recipe!r}", cure="choose auto, official or small")
        for name, least in (("epochs", 1), ("batch_size", 1), ("seed", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise OptionError(f"{name} is {value}, but must be at least {least}")
        if self.learning_rate is not None and not 0 < self.learning_rate < float("inf"):
            raise OptionError(f"learning_rate is {self.learning_rate}, but must be a positive number")
        if not 0 <= self.weight_decay < float("inf"):
            raise OptionError(f"weight_decay is {self.weight_decay}, but must be a number from 0 on")

    def resolve(self, videos: int) -> SolaTraining:
        """The recipe for this many videos, with every blank filled in."""
        recipe = self.recipe if self.recipe != "auto" else ("official" if videos >= 2000 else "small")
        epochs, batch_size, rate = (150, 256, 1e-4) if recipe == "official" else (20, 32, 1e-3)
        return SolaTraining(
            recipe,
            self.epochs or epochs,
            self.batch_size or batch_size,
            self.learning_rate or rate,
            self.weight_decay,
            self.seed,
        )
