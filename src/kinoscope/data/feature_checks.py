"""What may be wrong with the rows of feature files: looked for in blocks, so that a folder need not fit into memory."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import FeatureError
from ..progress import progress

if TYPE_CHECKING:
    from .features import Features

_NUMBERS_AT_ONCE = 1 << 19  # of float32: 2 MB, which a processor's cache holds
_ROWS_OFF, _SHARE_OFF = 2, 0.05  # how far rows may miss the duration: tools treat the last clip differently
_SHOWN = 3

_WARNINGS = {
    "zero": ("rows of zeros", "they have no direction, so their similarity to others means nothing"),
    "constant": ("rows with one number in all channels", "padding looks like this"),
    "repeated": ("rows that equal the one before", "still pictures, padding, or few rows stretched to many"),
}


@dataclass(frozen=True)
class Rows:
    """How many rows of a file are of one kind."""

    count: int = 0
    first: int = -1
    """Index of the first; -1 if there are none."""


@dataclass(frozen=True)
class Inspection:
    """What is odd about the rows of one video; a row counts as one kind at most, except that constants may repeat."""

    rows: int
    broken: Rows
    """NaN or infinity, also what float32 cannot hold."""
    zero: Rows
    """All channels zero."""
    constant: Rows
    """All channels equal, but not zero."""
    repeated: Rows
    """Equal to the row before, but not zero."""


def inspect_rows(values: np.ndarray) -> Inspection:
    """Look at every row of ``values`` once, in blocks. Shape: [T, C], any numbers, T and C at least 1."""
    found = {"broken": Rows(), "zero": Rows(), "constant": Rows(), "repeated": Rows()}
    at_once = max(_NUMBERS_AT_ONCE // values.shape[1], 1)
    for begin in range(0, len(values), at_once):
        left = max(begin - 1, 0)  # with the row before, to which the first is compared
        with np.errstate(over="ignore"):
            block = np.asarray(values[left : begin + at_once], dtype=np.float32)  # [T', C]
        for kind, marks in _marks(block).items():
            marks = marks[begin - left :]
            if marks.any():
                known = found[kind]
                first = known.first if known.count else begin + int(marks.argmax())
                found[kind] = Rows(known.count + int(marks.sum()), first)
    return Inspection(len(values), **found)


def _marks(block: np.ndarray) -> dict[str, np.ndarray]:
    """By kind of flaw, whether each row has it. Shape: [T, C] -> each [T]."""
    low, high = block.min(axis=1), block.max(axis=1)  # [T]; NaN if any channel is
    broken = ~(np.isfinite(low) & np.isfinite(high))
    zero = (low == 0) & (high == 0)
    repeated = np.zeros(len(block), bool)
    # Few rows need the long comparison: the others differ in their smallest or largest number already.
    near = np.flatnonzero((low[1:] == low[:-1]) & (high[1:] == high[:-1])) + 1
    repeated[near] = (block[near] == block[near - 1]).all(axis=1)
    constant = (low == high) if block.shape[1] > 1 else np.zeros(len(block), bool)
    sound = ~(zero | broken)
    return {"broken": broken, "zero": zero, "constant": constant & sound, "repeated": repeated & sound}


def check_features(features: Mapping[str, Features], path_of: Callable[[str], Path]) -> None:
    """Look at every row of every video once, with progress; warn of what is odd, refuse what is broken.

    Raises:
        FeatureError: rows with NaN or infinity; all files that have some are told in one message.
    """
    found: dict[str, Inspection] = {}
    with progress("Checking features", sum(each.values.nbytes for each in features.values())) as report:
        for name, each in features.items():
            found[name] = inspect_rows(each.values)
            report(each.values.nbytes, name)
    _refuse_broken({name: each for name, each in found.items() if each.broken.count}, path_of)
    for kind in _WARNINGS:
        _warn_of_rows(kind, {name: getattr(each, kind) for name, each in found.items()})
    _warn_of_lengths(features)


def length_problem(features: Features) -> str | None:
    """How clearly fewer or more rows than the duration asks for are told; none if they fit or it is not known.

    Tools differ in what they do at the end: some let the last clip end with the video, others pad it. Both fit.
    """
    time, rows = features.time, len(features)
    if time.duration is None:
        return None
    ends = (time.offset + rows * time.step, time.offset + (rows - 1) * time.step + time.clip_length / time.fps)
    slack = max(_ROWS_OFF * time.step, _SHARE_OFF * time.duration)
    if min(ends) - slack <= time.duration <= max(ends) + slack:
        return None
    return f"{rows} rows reach to {max(ends):.1f} s, the video to {time.duration:.1f} s"


def _refuse_broken(broken: Mapping[str, Inspection], path_of: Callable[[str], Path]) -> None:
    if not broken:
        return
    (name, first), *others = broken.items()
    rows = first.broken
    problem = f"{rows.count} of {first.rows} rows hold NaN or infinity, the first is row {rows.first}"
    if others:
        shown = ", ".join(repr(other) for other, _ in others[:_SHOWN])
        problem += f"; so do rows of {len(others)} other videos: {shown}{', …' if len(others) > _SHOWN else ''}"
    raise FeatureError(problem, where=path_of(name), cure="extract it again")


def _warn_of_rows(kind: str, rows: Mapping[str, Rows]) -> None:
    some = {name: each for name, each in rows.items() if each.count}
    if some:
        (what, meaning), (name, first) = _WARNINGS[kind], next(iter(some.items()))
        total = sum(each.count for each in some.values())
        where = f"{total} in {len(some)} of {len(rows)} videos, the first is row {first.first} of {name!r}"
        warnings.warn(f"{what}: {where}; {meaning}", stacklevel=4)


def _warn_of_lengths(features: Mapping[str, Features]) -> None:
    problems = {name: problem for name, each in features.items() if (problem := length_problem(each))}
    if problems:
        name, problem = next(iter(problems.items()))
        warnings.warn(
            f"{len(problems)} of {len(features)} videos have too few or too many rows for their duration "
            f"(the first: {name!r}, {problem}): check the time of the features",
            stacklevel=4,
        )


def check_rows(features: Features, where: str | None = None) -> None:
    """Raise :class:`FeatureError` when there is no row, or one that holds NaN or infinity."""
    if not len(features):
        raise FeatureError("features have no row", where=where, cure="extract them again")
    bad = inspect_rows(features.values).broken
    if bad.count:
        raise FeatureError(
            f"{bad.count} of {len(features)} rows hold NaN or infinity, the first is row {bad.first}",
            where=where,
            cure="extract them again",
        )
