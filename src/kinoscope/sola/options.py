"""Options of SoLa; the defaults are the official ones (the paper calls some of them λ, N, s)."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from ..errors import OptionError

Preset = Literal["official", "recommended", "direct"]

_PRESETS: dict[str, dict[str, Any]] = {
    "official": {},
    "recommended": {},  # of docs/results.md: no other loss did better than the official one
    "direct": {"predictor": False, "stop_gradient": False},  # rows are compared with each other (specification, 10.11)
}
"""Changes to the official setting."""


@dataclass(frozen=True)
class SolaOptions:
    """The adapter and what it is trained to do."""

    hidden: int = 512
    """Channels inside the adapter."""
    kernel: int = 5
    """Rows that the first convolution sees; odd."""
    dilation: int = 1
    """Rows between neighbouring taps of the first convolution."""
    size: int = 8
    """N, rows of the similarity matrix."""
    step: int = 2
    """Feature rows between neighbouring rows of the matrix."""
    margin: int = 4
    """Feature rows on both sides of a window that only give context."""
    target: Literal["sigmoid", "exponential", "hard"] = "sigmoid"
    """How similar rows at distance d shall be, as a cosine: sigmoid: 2σ(λ/d²) − 1; exponential: exp(−d / reach);
    hard: 1 up to reach, 0 beyond."""
    lam: float = 16.0
    """λ of the sigmoid target: larger lets similarity reach further."""
    reach: float = 2.0
    """Distance that the exponential and the hard target reach."""
    distance: Literal["positions", "seconds"] = "positions"
    """What d counts: positions of the matrix, or seconds between the rows (official features: the same)."""
    predictor: bool = True
    """Compare rows with what a small network predicts from them, instead of with each other."""
    stop_gradient: bool = True
    """Let only the predicted side of each pair learn."""
    symmetric: bool = False
    """Compare the mean of both roles, (c_ij + c_ji) / 2, with the target, instead of each by itself."""
    diagonal: bool = True
    """Count the pairs of a row with itself."""

    def __post_init__(self) -> None:
        for name, least in (("hidden", 1), ("kernel", 1), ("dilation", 1), ("size", 2), ("step", 1), ("margin", 0)):
            if getattr(self, name) < least:
                raise OptionError(f"{name} is {getattr(self, name)}, but must be at least {least}")
        if self.kernel % 2 == 0:
            raise OptionError(f"kernel is {self.kernel}, but must be odd", cure=f"use {self.kernel + 1}")
        if not 0 <= self.lam < float("inf"):
            raise OptionError(f"lam is {self.lam}, but must be a number from 0 on")
        if not 0 < self.reach < float("inf"):
            raise OptionError(f"reach is {self.reach}, but must be a positive number")
        for name, choices in (("target", ("sigmoid", "exponential", "hard")), ("distance", ("positions", "seconds"))):
            if getattr(self, name) not in choices:
                raise OptionError(f"{name} is {getattr(self, name)!r}", cure=f"choose {' or '.join(choices)}")
        if self.margin < self.radius:
            seen = f"kernel {self.kernel}" + (f" with dilation {self.dilation}" if self.dilation > 1 else "")
            cure = f"raise margin to {self.radius}, or lower kernel or dilation"
            raise OptionError(f"{seen} looks further than margin {self.margin}", cure=cure)

    def with_preset(self, preset: Preset) -> SolaOptions:
        """These options, with the preset's values wherever they are still the official ones."""
        if preset not in _PRESETS:
            raise OptionError(f"preset is {preset!r}", cure=f"choose one of {', '.join(_PRESETS)}")
        official = {field.name: field.default for field in fields(self)}
        return replace(self, **{k: v for k, v in _PRESETS[preset].items() if getattr(self, k) == official[k]})

    @property
    def radius(self) -> int:
        """Rows to either side that an adapted row depends on."""
        return self.dilation * (self.kernel // 2)

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
    gate_rate: float | None = None
    """Learning rate of α alone; none: as the rest."""
    weight_decay: float = 0.01
    """Of AdamW."""
    gate_decay: bool = True
    """Whether weight decay acts on α too, which pulls towards the identity."""
    seed: int = 0
    """Everything random follows from it."""

    def __post_init__(self) -> None:
        if self.recipe not in ("auto", "official", "small"):
            raise OptionError(f"recipe is {self.recipe!r}", cure="choose auto, official or small")
        for name, least in (("epochs", 1), ("batch_size", 1), ("seed", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise OptionError(f"{name} is {value}, but must be at least {least}")
        for name in ("learning_rate", "gate_rate"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise OptionError(f"{name} is {value}, but must be a positive number")
        if not 0 <= self.weight_decay < float("inf"):
            raise OptionError(f"weight_decay is {self.weight_decay}, but must be a number from 0 on")

    def resolve(self, videos: int) -> SolaTraining:
        """The recipe for this many videos, with every blank filled in."""
        recipe = self.recipe if self.recipe != "auto" else ("official" if videos >= 2000 else "small")
        epochs, batch_size, rate = (150, 256, 1e-4) if recipe == "official" else (20, 32, 1e-3)
        rate = self.learning_rate or rate
        return replace(
            self,
            recipe=recipe,
            epochs=self.epochs or epochs,
            batch_size=self.batch_size or batch_size,
            learning_rate=rate,
            gate_rate=self.gate_rate or rate,
        )
