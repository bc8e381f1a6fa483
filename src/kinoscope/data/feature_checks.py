"""What may be wrong with the rows of feature files: looked for in blocks, so that a folder need not fit into memory."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, cast

import numpy as np

from ..errors import FeatureError
from ..progress import progress

if TYPE_CHECKING:
    from .feature_time import FeatureTime
    from .features import Features
    from .segments import Annotations, VideoAnnotation

_NUMBERS_AT_ONCE = 1 << 19  # of float32: 2 MB, which a processor's cache holds
_ROWS_OFF, _SHARE_OFF = 2, 0.05  # how far rows may miss the duration: tools treat the last clip differently
_SHOWN = 3
_RATE_OFF = 0.02  # how far the typical video may miss its duration; one video may by more
_NEAR = 0.03  # how near a number must be to one that people use
_USUAL_RATES = (5.0, 8.0, 10.0, 12.0, 12.5, 15.0, 20.0, 24.0, 25.0, 30.0, 50.0, 60.0, 120.0)

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
    if features.time.duration is None:
        return None
    reach = Reach(len(features), features.time, features.time.duration)
    if reach.fits():
        return None
    return f"{reach.rows} rows reach to {reach.ends[1]:.1f} s, the video to {reach.seconds:.1f} s"


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


@dataclass(frozen=True)
class Reach:
    """How far the rows of a video reach by their time, and how long the video is by another source."""

    rows: int
    time: FeatureTime
    seconds: float
    """Length of the video, or where its last segment ends."""
    whole: bool = True
    """Whether ``seconds`` is the length of the whole video."""

    @property
    def steps(self) -> float:
        """Seconds of as many steps as there are rows."""
        return self.rows * self.time.step

    @property
    def ends(self) -> tuple[float, float]:
        """The earliest and latest second at which a video of these rows may end."""
        seen = self.time.offset + ((self.rows - 1) * self.time.stride + self.time.clip_length) / self.time.fps
        return min(self.time.offset + self.steps, seen), max(self.time.offset + self.steps, seen)

    @property
    def share(self) -> float:
        """What the rows reach to, as a share of ``seconds``; 1 where the video may end so."""
        low, high = self.ends
        return min(max(self.seconds, low), high) / self.seconds

    def fits(self) -> bool:
        """Whether the rows end where the video does, but for the ways in which tools treat the end."""
        low, high = self.ends
        slack = max(_ROWS_OFF * self.time.step, _SHARE_OFF * self.seconds)
        return self.seconds <= high + slack and (not self.whole or low - slack <= self.seconds)

    def problem(self) -> str:
        """What the numbers say, and which ones would fit."""
        time = self.time
        says = f"{self.rows:,} rows at stride {time.stride:g} and {time.fps:g} fps are {self.steps:.3g} s"
        if not self.whole:
            return f"{says}, but a segment ends at {self.seconds:.3g} s"
        stride = _usual_stride(time.stride * self.seconds / self.steps)
        fps = _usual_rate(time.fps * self.steps / self.seconds)
        return f"{says}, but the video has {self.seconds:.3g} s: stride {stride:g}? fps {fps:g}?"


def check_times(annotations: Annotations, features: Mapping[str, Features]) -> None:
    """Compare the time of features with the durations of the annotations: a wrong stride or rate shifts every segment.

    Files are opened, not read. A duration is that of the annotations, else that in the feature file; where neither is
    known, rows must reach to the last segment. Videos without features are passed over.

    Warns of single videos that do not fit, and where all of them are a little too long or too short.

    Raises:
        FeatureError: at least half of the videos do not fit.
    """
    reaches = {}
    for name, video in annotations.videos.items():
        if name in features and (reach := _reach(_opened(features, name), video)) is not None:
            reaches[name] = reach
    odd = {name: reach for name, reach in reaches.items() if not reach.fits()}
    if not odd:
        _warn_of_rates(reaches)
        return
    typical = median(reach.share for reach in odd.values())
    name = min(odd, key=lambda each: abs(odd[each].share - typical))
    problem = f"{len(odd)} of {len(reaches)} videos do not fit their durations, such as {name!r}: {odd[name].problem()}"
    if len({reach.rows for reach in reaches.values()}) == 1 < len(reaches):
        problem += f". All have {odd[name].rows} rows: perhaps they were stretched to one length, each at its own rate"
    if 2 * len(odd) >= len(reaches):
        cure = "correct --stride, --fps or the durations; one wrong number shifts every segment"
        raise FeatureError(problem, where=annotations.source, cure=cure)
    warnings.warn(f"{problem}; look at these videos", stacklevel=3)


def _opened(features: Mapping[str, Features], name: str) -> Features:
    """Features whose rows are not read, where the mapping can do so."""
    return cast("Features", getattr(features, "open", features.__getitem__)(name))


def _reach(features: Features, video: VideoAnnotation) -> Reach | None:
    time = features.time
    if video.duration is not None or time.duration is not None:
        return Reach(len(features), time, video.duration or time.duration or 0.0)
    end = max((segment.end for segment in video.segments), default=0.0)
    return Reach(len(features), time, end, whole=False) if end > 0 else None


def _warn_of_rates(reaches: Mapping[str, Reach]) -> None:
    """Of many videos that are all off by the same small share: 25 frames per second taken for 24, say."""
    known = [reach for reach in reaches.values() if reach.whole]
    if len(known) < _SHOWN:
        return
    share = median(reach.share for reach in known)
    slack = max(_RATE_OFF, median(_ROWS_OFF * reach.time.step / reach.seconds for reach in known))
    if abs(share - 1) > slack:
        typical = min(known, key=lambda reach: abs(reach.share - share))
        warnings.warn(
            f"rows reach to {share:.1%} of the duration in the typical video ({typical.problem()}): "
            "check the time of the features",
            stacklevel=4,
        )


def _usual_stride(value: float) -> float:
    whole = max(round(value), 1)
    return float(whole) if abs(value - whole) <= _NEAR * value else float(f"{value:.3g}")


def _usual_rate(value: float) -> float:
    near = min(_USUAL_RATES, key=lambda rate: abs(rate - value))
    return near if abs(value - near) <= _NEAR * value else float(f"{value:.3g}")


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
