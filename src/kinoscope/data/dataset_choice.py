"""What a user must say of annotations that do not say it themselves: ``epic-kitchens:verb``, ``gtea:split=2``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from ..errors import OptionError

_EXAMPLES = "epic-kitchens:verb, epic-kitchens:noun, gtea, gtea:split=2, 50salads:fps=2.5, frames:fps=15"
_RATES: dict[str, tuple[float | None, float | None]] = {  # of labels in text files, of rows of features
    "gtea": (15.0, 15.0),
    "50salads": (30.0, None),
    "frames": (None, None),
}


@dataclass(frozen=True)
class EpicChoice:
    """EPIC-Kitchens-100, whose rows have two labels."""

    label: Literal["verb", "noun"]
    """Which of the two is read."""


@dataclass(frozen=True)
class FrameChoice:
    """A data set with a label for every frame."""

    name: str
    """``gtea``, ``50salads``, or ``frames`` for any other."""
    fps: float | None = None
    """Labels per second; None: what the release is known to have."""
    split: int = 1
    """The split whose lists mark training and test."""

    def __post_init__(self) -> None:
        if self.name not in _RATES:
            raise OptionError(f"no data set of frames is called {self.name!r}", cure=f"known: {', '.join(_RATES)}")
        if self.fps is not None and not 0 < self.fps < math.inf:
            raise OptionError(f"fps is {self.fps}, but must be a positive number", cure="give labels per second")
        if self.split < 1:
            raise OptionError(f"split is {self.split}, but splits count from 1", cure="choose one that is there")

    def rate(self, *, repacked: bool) -> float:
        """Labels per second: of text files with a label for every frame, or of ``repacked`` rows of features.

        GTEA has 15 frames per second, in its features too; 50 Salads has 30, and its features fewer rows, how many the
        release does not say.

        Raises:
            OptionError: not known, and not given.
        """
        rate = self.fps or _RATES[self.name][repacked]
        if rate is None:
            what = "rows of features" if repacked else "labels"
            about = f"{self.name}:fps=2.5, by count of its rows" if self.name == "50salads" else f"{self.name}:fps=15"
            raise OptionError(f"{self.name}: no file says how many {what} a second has", cure=f"give it: {about}")
        return rate


def parse_dataset(text: str) -> EpicChoice | FrameChoice:
    """The choice that a text like ``gtea:split=2`` makes.

    Raises:
        OptionError: no such data set or option, or a value that it cannot have.
    """
    name, _, rest = text.strip().lower().partition(":")
    if name == "epic-kitchens":
        if rest not in ("verb", "noun"):
            cure = "give epic-kitchens:verb or epic-kitchens:noun; the benchmark scores each by itself"
            raise OptionError(f"the data set is {text!r}, but each segment has a verb and a noun", cure=cure)
        return EpicChoice("verb" if rest == "verb" else "noun")
    if name not in _RATES:
        near = get_close_matches(name, ["epic-kitchens", *_RATES], n=1)
        guess = f"did you mean {near[0]!r}? " if near else ""
        cure = f"{guess}Known: {_EXAMPLES}. Others are told by their content: give no data set"
        raise OptionError(f"there is no data set {text!r}", cure=cure)
    options = _options(rest, text)
    return FrameChoice(name, options.get("fps"), _whole(options.get("split", 1.0), text))


def _options(rest: str, text: str) -> Mapping[str, float]:
    found: dict[str, float] = {}
    for part in filter(None, rest.split(",")):
        key, _, value = part.partition("=")
        if key.strip() not in ("fps", "split") or key.strip() in found:
            problem = f"the data set is {text!r}, and {part!r} is none of its options"
            raise OptionError(problem, cure=f"options are fps and split, each once: {_EXAMPLES}")
        try:
            found[key.strip()] = float(value)
        except ValueError:
            raise OptionError(f"{key.strip()} is {value!r} in {text!r}", cure="give a number") from None
    return found


def _whole(value: float, text: str) -> int:
    if not math.isfinite(value) or value != int(value):
        raise OptionError(f"split is {value:g} in {text!r}", cure="give a whole number, from 1")
    return int(value)
