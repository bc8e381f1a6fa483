"""Errors and warnings that a user can act on: what went wrong, where, and how to mend it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any


class KinoscopeError(Exception):
    """A problem in what the user gave us; the command line prints it without a traceback and exits with 2.

    Args:
        problem: what is wrong, with the offending value and the bound it broke.
        where: the file (or ``file:line``) it was found in.
        cure: what the user can do about it.
    """

    def __init__(self, problem: str, *, where: str | Path | None = None, cure: str | None = None) -> None:
        self.problem, self.where, self.cure = problem, where, cure
        super().__init__(problem, where, cure)

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), where=self.where, cure=self.cure), (self.problem,)  # for worker processes

    def __str__(self) -> str:
        text = f"{self.where}: {self.problem}" if self.where is not None else self.problem
        return f"{text}\n  Cure: {self.cure}" if self.cure else text


class Interrupted(KinoscopeError):  # noqa: N818 - it is no error
    """Ctrl-C, after everything worth keeping was saved; exit code 130."""


class VideoError(KinoscopeError):
    """A video that cannot be read: missing, empty, not a video, no frame that decodes."""


class AnnotationError(KinoscopeError):
    """An annotation or prediction file that cannot be used as it stands."""


class FeatureError(KinoscopeError):
    """A feature file that is damaged, has no time, or does not fit the model."""


class WeightError(KinoscopeError):
    """Weights that cannot be had, fail their hash, or do not fit the network."""


class OptionError(KinoscopeError):
    """An option whose value is out of bounds, or two options that clash."""


class OutputError(KinoscopeError):
    """An output that cannot be written: full disk, read-only folder, something in the way."""


def flag(name: str) -> str:
    """An option as the command line writes it, for messages: ``clip_length`` is ``--clip-length``."""
    return f"--{name.replace('_', '-')}"


class DamagedVideoWarning(UserWarning):
    """Part of a video could not be decoded; the frames that can be had were given."""
