"""Options of ``kinoscope probe-features --data``."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from ..errors import OptionError, flag


@dataclass(frozen=True)
class ClipProbeOptions:
    """Of the protocols on labelled videos; they go with --data."""

    streams: str | None = None
    """Of runs with two streams, those to score: rgb, flow, both (fused), or several as rgb,both. By default all."""
    ks: str = "1,5,10,20,50"
    """Of retrieval: how many nearest training videos are looked at."""
    neighbours: str = "1,5,10,20"
    """Of knn: how many nearest training videos vote."""
    linear: Literal["stored", "end-to-end"] = "stored"
    """Of linear: on stored features (seconds), or through the encoder with augmentation, as published (needs --out)."""
    official: bool = False
    """Of linear on stored features: the published rate 1.0 and decay 0.001, instead of choosing them on a part of the
    training videos."""
    from_scratch: bool = False
    """Of finetune: begin with random weights, for comparison."""
    epochs: int | None = None
    """Of finetune and linear end-to-end; by default the published 500 and 100 on a GPU, a tenth of them on a CPU."""
    batch_size: int = 32
    """Of finetune and linear end-to-end."""
    dropout: float = 0.9
    """Of finetune: share of the features that each update leaves out; the published one wants long training."""
    validation: float = 0.1
    """Of finetune and linear end-to-end: share of the training videos that chooses the epoch; 0 takes the last."""
    crops: Literal[1, 10] = 1
    """Of finetune and linear end-to-end at test time: the centre, or centre and corners, each mirrored too."""

    def __post_init__(self) -> None:
        if not 0 <= self.validation < 1:
            problem = f"--validation is {self.validation}, but must lie from 0 to below 1"
            raise OptionError(problem, cure="0.1 is usual; 0 takes the last epoch")
        for name in ("epochs", "batch_size"):
            value, least = getattr(self, name), 1 if name == "epochs" else 2
            if value is not None and value < least:
                problem = f"{flag(name)} is {value}, but must be at least {least}"
                raise OptionError(problem, cure="leave it out for the usual number")

    @property
    def changed(self) -> list[str]:
        """Options that were given another value than their own, as they are written."""
        return [flag(each.name) for each in fields(self) if getattr(self, each.name) != each.default]

    @property
    def chosen_streams(self) -> list[str] | None:
        """The streams to score; none means all."""
        return self.streams.replace(",", " ").split() if self.streams is not None else None


DEFAULTS = ClipProbeOptions()


def whole_numbers(option: str, text: str, least: int) -> list[int]:
    """``1,5,10`` as numbers, each once, in order of size. Raises :class:`OptionError` for anything else."""
    words = text.replace(",", " ").split()
    if not words or not all(word.isdecimal() and int(word) >= least for word in words):
        problem = f"{option} is {text!r}, but must be whole numbers of at least {least}"
        raise OptionError(problem, cure=f"such as {option} 1,5,10")
    return sorted({int(word) for word in words})
