"""How a recogniser is trained."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, TypeVar

from ..errors import OptionError
from .heads import HeadOptions

Preset = Literal["own", "official"]
Optimizer = Literal["adamw", "sgd"]
Schedule = Literal["cosine", "plateau", "constant"]

_OFFICIAL_HEAD = {"dropout": 0.8, "initialization": "bert5", "normalize": False}
_OFFICIAL = {
    "epochs": 200,
    "batch_size": 8,
    "accumulate": 16,
    "learning_rate": 1e-5,
    "encoder_rate": 1.0,
    "schedule": "plateau",
    "warmup": 0.0,
    "decay_all": True,
}
_PLATEAU_FACTOR = 0.1


@dataclass(frozen=True)
class RecognizeOptions:
    """The recipe. What is published is the preset official (sheet, section 8)."""

    epochs: int = 60
    """Passes over the training clips."""
    batch_size: int = 32
    """Clips per batch."""
    accumulate: int = 1
    """Batches whose gradients make one update."""
    optimizer: Optimizer = "adamw"
    """adamw; or sgd with momentum 0.9."""
    dampening: float = 0.0
    """Of sgd: the published baseline has 0.9, which makes its steps ten times smaller."""
    learning_rate: float = 1e-3
    """Of the head."""
    encoder_rate: float = 0.05
    """Of a fine-tuned encoder, as a share of the head's."""
    weight_decay: float = 1e-3
    """Decoupled, of weight matrices and kernels."""
    decay_all: bool = False
    """Weight decay also for norms, biases, positions and class token."""
    schedule: Schedule = "cosine"
    """cosine to zero; plateau: a tenth after ``patience`` epochs without a better validation loss; constant."""
    warmup: float = 0.05
    """Share of the updates in which the rate rises from zero."""
    patience: int = 5
    """Epochs of plateau."""
    smoothing: float = 0.0
    """Of labels."""
    select: Literal["best", "last"] = "best"
    """Keep the weights of the epoch that is best on validation clips, or the last; without validation the last."""
    validation_share: float = 0.2
    """Of training clips that choose the epoch, where the labels mark none for it."""
    seed: int = 0
    """Everything random follows from it."""

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("batch_size", 1), ("accumulate", 1), ("patience", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise OptionError(f"{name} is {getattr(self, name)}, but must be at least {least}")
        for name in ("learning_rate", "encoder_rate"):
            if not 0 < getattr(self, name) < math.inf:
                raise OptionError(f"{name} is {getattr(self, name)}, but must be a positive number")
        for name in ("dampening", "warmup", "smoothing", "validation_share"):
            if not 0 <= getattr(self, name) < 1:
                raise OptionError(f"{name} is {getattr(self, name)}, but must lie from 0 to below 1")
        if not 0 <= self.weight_decay < math.inf:
            raise OptionError(f"weight_decay is {self.weight_decay}, but must be at least 0")

    def with_preset(self, preset: Preset) -> RecognizeOptions:
        """These options, with the preset's values wherever they are still the defaults."""
        return _with(self, _OFFICIAL if _known(preset) == "official" else {})

    def identity(self) -> dict[str, Any]:
        """What decides the result, beside the options of the loop."""
        return {name: value for name, value in asdict(self).items() if name not in ("epochs", "batch_size", "seed")}


def head_with_preset(head: HeadOptions, preset: Preset) -> HeadOptions:
    """The head's options, with the preset's values wherever they are still the defaults."""
    return _with(head, _OFFICIAL_HEAD if _known(preset) == "official" else {})


def warm_cosine(step: int, total: int, warmup: float, schedule: Schedule) -> float:
    """Factor on the rates at update ``step`` of ``total``: a linear rise, then half a cosine (or no change)."""
    rising = max(1, round(warmup * total)) if warmup > 0 else 0
    factor = min(1.0, (step + 1) / rising) if rising else 1.0
    if schedule != "cosine":
        return factor
    return factor * 0.5 * (1 + math.cos(math.pi * max(0, step - rising) / max(1, total - rising)))


def plateau_factor(drops: int) -> float:
    """Factor on the rates after so many plateaus."""
    return _PLATEAU_FACTOR**drops


Options = TypeVar("Options", RecognizeOptions, HeadOptions)


def _with(options: Options, values: dict[str, Any]) -> Options:
    defaults = {field.name: field.default for field in fields(options)}
    return replace(options, **{k: v for k, v in values.items() if getattr(options, k) == defaults[k]})


def _known(preset: Preset) -> Preset:
    if preset not in ("own", "official"):
        raise OptionError(f"preset is {preset!r}", cure="choose own or official")
    return preset
