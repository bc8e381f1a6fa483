"""How much an answer may cost: which frames are candidates, how the policy is biased, when to stop."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from ..errors import OptionError

_UNITS = {"gmac": 1.0, "mmac": 1e-3, "s": 1.0, "ms": 1e-3}
_BUDGET = re.compile(r"\s*([0-9.eE+-]+)\s*(gmac|mmac|ms|s)\s*", re.IGNORECASE)
_MOST_FRAMES = 4096


@dataclass(frozen=True)
class Budget:
    """The most that the answer for one video may cost."""

    gmac: float | None = None
    seconds: float | None = None

    @classmethod
    def parse(cls, text: str) -> Budget:
        """``5gmac``, ``800mmac``, ``0.5s`` or ``500ms``. Raises :class:`OptionError` for anything else."""
        match = _BUDGET.fullmatch(text)
        try:
            value = float(match[1]) * _UNITS[match[2].lower()] if match else math.nan
        except ValueError:
            value = math.nan
        if match is None or not 0 < value < math.inf:
            cure = "give a positive number with its unit: 5gmac, 800mmac, 0.5s, 500ms"
            raise OptionError(f"the budget is {text!r}", cure=cure)
        return cls(gmac=value) if match[2].lower().endswith("mac") else cls(seconds=value)

    def __str__(self) -> str:
        return f"{self.gmac:g} GMAC" if self.gmac is not None else f"{self.seconds:g} s"


@dataclass(frozen=True)
class Spending:
    """The knobs of a trained model; every one of them trades accuracy against cost."""

    frames: int | None = None
    """Candidate frames of a video; as in training where nothing is given."""
    bias: float = 0.0
    """λ: the policy takes the action with the largest log p − λ · GMAC. Above 0 cheaper, below 0 dearer."""
    skip_above: float = 0.0
    """Skip only where the policy gives all skips together more than this probability; 1 never skips."""
    exit_above: float | None = None
    """Stop as soon as an answer is more probable than this; none looks at the whole video."""
    sample: int | None = None
    """Draw actions as in training, by this seed, the video's name and the frame; none takes the most probable one."""
    guard: bool = True
    """Where every frame was skipped, take the policy's own answer to the last one it saw. Without, all classes are
    alike, as released."""

    dense: bool = False
    """Ask no policy: look at every frame at the largest size, to compare."""

    def __post_init__(self) -> None:
        if self.frames is not None and not 1 <= self.frames <= _MOST_FRAMES:
            raise OptionError(f"frames is {self.frames}, but must lie between 1 and {_MOST_FRAMES}")
        if not math.isfinite(self.bias):
            raise OptionError(f"bias is {self.bias}, but must be a number", cure="0 is the policy as it was trained")
        if not 0 <= self.skip_above <= 1:
            raise OptionError(f"skip_above is {self.skip_above}, but must be a probability from 0 to 1")
        if self.exit_above is not None and not 0 < self.exit_above <= 1:
            raise OptionError(
                f"exit_above is {self.exit_above}, but must be a probability above 0", cure="0.95 is usual"
            )
        if self.sample is not None and self.sample < 0:
            raise OptionError(f"sample is {self.sample}, but must be a seed from 0 on")


@dataclass(frozen=True)
class FollowOptions:
    """How a stream is followed."""

    every: float = 1.0
    """Seconds between candidate frames of a stream."""
    patience: float = 10.0
    """Seconds without anything new after which a growing file counts as complete."""

    def __post_init__(self) -> None:
        for name in ("every", "patience"):
            if not 0 < getattr(self, name) < math.inf:
                raise OptionError(f"{name} is {getattr(self, name)}, but must be a positive number of seconds")


DEFAULT, UNBOUND = Spending(), Budget()
"""As it was trained, whatever it costs."""


@dataclass(frozen=True)
class Setting:
    """A point of the curve of a trained model: what some knobs cost, and how good the answers are then.

    Measured on videos that it did not learn from, where there are any.
    """

    frames: int
    bias: float
    score: float
    """Accuracy on single labels, mAP on several; from 0 to 1."""
    loss: float
    """Cross-entropy of calibrated answers: tells settings apart where few videos give equal scores, and chooses."""
    gmac: float
    """Mean of a video."""
    consulted: float
    """Mean number of frames that the policy was asked about."""
    used: tuple[float, ...]
    """Mean number of frames answered by each backbone and, last, by the policy itself."""

    @classmethod
    def from_json(cls, values: Any) -> Setting:
        """What ``dataclasses.asdict`` gave. Raises :class:`ValueError` for what makes no sense."""
        found = cls(**{**values, "used": tuple(map(float, values["used"]))})
        numbers = (found.bias, found.score, found.loss, found.gmac, found.consulted, *found.used)
        if not all(isinstance(each, (int, float)) and math.isfinite(each) for each in numbers):
            raise ValueError("a setting of the curve holds what is no finite number")
        if not isinstance(found.frames, int) or not 1 <= found.frames <= _MOST_FRAMES or found.gmac <= 0:
            raise ValueError(f"a setting of the curve has {found.frames!r} frames for {found.gmac!r} GMAC")
        return found


def frontier(settings: list[Setting]) -> list[Setting]:
    """Those that no cheaper one equals, cheapest first."""
    kept: list[Setting] = []
    for each in sorted(settings, key=lambda setting: (setting.gmac, setting.loss)):
        if not kept or each.loss < kept[-1].loss:
            kept.append(each)
    return kept
