"""Did similarity fall with distance, as SoLa was asked to make it? Numbers over the videos of a report.

The check of the specification, section 10, point 11: the official loss can fall while rows far apart become more
alike, and only the raw similarity tells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..data.features import Features
from ..sola.diagnostics import cosine_by_distance, effective_rank
from ..sola.options import SolaOptions
from .content import Chart, Line, Table
from .feature_maps import FeatureColumn, wanted_cosine

_RANK_ROWS = 2048  # rows of all videos together that the effective rank is computed from
_MOST_ROWS = 512
_ALIKE = 0.005  # differences of mean cosines below it are not worth a word


@dataclass(frozen=True)
class Similarity:
    """What was measured in one column."""

    title: str
    seconds: NDArray[np.float64]
    """Distance between rows. Shape: [D]."""
    cosine: NDArray[np.float64]
    """Mean cosine at each distance; NaN where no video has such a pair. Shape: [D]."""
    effective_rank: float

    def at(self, seconds: float) -> float:
        """The mean cosine at a distance, between two measured ones on the line through them.

        NaN nearer than one row, where nothing was measured, and beyond the last.
        """
        return _read_off(self.seconds, self.cosine, seconds)


class FeatureNumbers:
    """Collects the numbers of each column, video by video.

    Args:
        columns: the folders; the first is the reference.
        first: features of one video in each column; their steps decide at which distances is measured.
        videos: how many will be added.
    """

    def __init__(self, columns: Sequence[FeatureColumn], first: Sequence[Features], videos: int) -> None:
        self.columns, self.videos = columns, videos
        self.steps = [each.time.step for each in first]
        asked = [index for index, column in enumerate(columns) if column.options is not None]
        self.guide = asked[0] if asked else 0
        """The column whose training window decides how far apart rows are looked at."""
        self.options = columns[self.guide].options or SolaOptions()
        self.reach = (self.options.size - 1) * self.options.step * self.steps[self.guide]
        self.targets = [
            wanted_cosine(column.options, each.time) if column.options is not None else None
            for column, each in zip(columns, first, strict=True)
        ]
        """What each column was asked for, by rows apart; None where nothing was."""
        self.most = [int(np.clip(round(2 * self.reach / step), 1, _MOST_ROWS)) for step in self.steps]
        self._sums = [np.zeros(most + 1) for most in self.most]
        self._videos = [np.zeros(most + 1) for most in self.most]
        self._rows: list[list[np.ndarray]] = [[] for _ in columns]
        self._rows_each = max(_RANK_ROWS // max(videos, 1), 1)

    def add(self, features: Sequence[Features]) -> None:
        """Count one video, given its features in each column; every video weighs the same."""
        for index, each in enumerate(features):
            cosine = cosine_by_distance(each.values, self.most[index])
            known = np.isfinite(cosine)
            self._sums[index][known] += cosine[known]
            self._videos[index] += known
            chosen = np.linspace(0, len(each) - 1, min(self._rows_each, len(each))).astype(int)
            self._rows[index].append(np.array(each.values[chosen]))

    def result(self) -> list[Similarity]:
        """What was measured, column by column."""
        return [
            Similarity(
                column.title,
                np.arange(most + 1) * step,
                np.where(count > 0, sums / np.maximum(count, 1), np.nan),
                effective_rank(np.concatenate(rows)),
            )
            for column, most, step, sums, count, rows in zip(
                self.columns, self.most, self.steps, self._sums, self._videos, self._rows, strict=True
            )
        ]

    @property
    def marks(self) -> list[tuple[int, float]]:
        """The distances of the table: positions of SoLa's matrix, and what they are in seconds."""
        last = self.options.size - 1
        steps = sorted({step for step in (1, 2, 4, last) if step <= last})
        return [(step, step * self.options.step * self.steps[self.guide]) for step in steps]


def target_lines(numbers: FeatureNumbers) -> list[Line]:
    """Every different target, as a line of the chart."""
    several = {target.tobytes() for target in numbers.targets if target is not None}
    lines: dict[bytes, Line] = {}
    for column, target, step in zip(numbers.columns, numbers.targets, numbers.steps, strict=True):
        if target is not None:
            label = "Target: what SoLa was asked for" + (f" in {column.title}" if len(several) > 1 else "")
            seconds = np.arange(len(target)) * step
            lines.setdefault(target.tobytes(), Line(label, seconds.tolist(), target.tolist(), wanted=True))
    return list(lines.values())


def similarity_chart(numbers: FeatureNumbers, measured: Sequence[Similarity]) -> Chart:
    """Mean cosine against distance, a line for each column and one for the target, and what it says."""
    lines = [Line(each.title, each.seconds.tolist(), each.cosine.tolist()) for each in measured]
    said = verdicts(numbers, measured)
    return Chart(
        title="Does similarity fall with distance in time?",
        x_label="seconds between two moments",
        y_label="mean cosine of their features, over all pairs of each video",
        lines=[*lines, *target_lines(numbers)],
        alternative=" ".join(["Mean cosine against distance in seconds; the table has the values.", *said]),
        notes=said,
    )


def verdicts(numbers: FeatureNumbers, measured: Sequence[Similarity]) -> list[str]:
    """For each column after the first: how the similarity of moments far apart changed, in a sentence."""
    _, far = numbers.marks[-1]
    before, said = measured[0].at(far), []
    for each, target, step in list(zip(measured, numbers.targets, numbers.steps, strict=True))[1:]:
        after = each.at(far)
        if not np.isfinite([before, after]).all():
            why = "rows lie too far apart, or videos are too short"
            said.append(f"{each.title}: moments {far:.2g} s apart cannot be compared with the first column's: {why}.")
            continue
        moved = "rose" if after > before + _ALIKE else "fell" if after < before - _ALIKE else "stayed"
        text = f"{each.title}: the similarity of moments {far:.2g} s apart {moved}, {before:.3f} to {after:.3f}"
        row = round(far / step)
        if target is not None and row < len(target):
            text += f"; {target[row]:.3f} was asked for" + _judged(moved, before, after, float(target[row]))
        said.append(f"{text}.")
    return said


def _judged(moved: str, before: float, after: float, wanted: float) -> str:
    if moved == "stayed":
        return ""
    if abs(after - wanted) < abs(before - wanted):
        return ", so it came closer to that"
    return ": the opposite happened" if (wanted < before) == (moved == "rose") else ", so it went too far"


def similarity_table(numbers: FeatureNumbers, measured: Sequence[Similarity]) -> Table:
    """The chart's values at a few distances, and the effective rank."""
    distances = [f"{seconds:.2g} s" for _, seconds in numbers.marks]
    steps = ", ".join(str(step) for step, _ in numbers.marks)
    rows: list[list[object]] = []
    for each in measured:
        rank = f"{each.effective_rank:.1f}" if np.isfinite(each.effective_rank) else None
        rows.append([each.title, *(each.at(seconds) for _, seconds in numbers.marks), rank])
    for line in target_lines(numbers):
        wanted = [_read_off(line.x, line.y, seconds) for _, seconds in numbers.marks]
        rows.append([line.label, *wanted, None])
    note = (
        f"Mean over {numbers.videos} video{'' if numbers.videos == 1 else 's'}, each of the same weight; the distances "
        f"are {steps} steps of SoLa's similarity matrix. Effective rank: along how many directions the features "
        f"spread, from up to {_RANK_ROWS:,} rows taken evenly; features that collapse have a low one."
    )
    header = ["Features", *distances, "Effective rank"]
    return Table("Mean cosine at a distance, and effective rank", header, rows, note)


def _read_off(x: ArrayLike, y: ArrayLike, at: float) -> float:
    """The value at a position from the second to the last of ``x``, give or take rounding; NaN elsewhere."""
    positions = np.asarray(x)
    if not positions[1] * (1 - 1e-9) <= at <= positions[-1] * (1 + 1e-9):
        return float("nan")
    return float(np.interp(at, positions, np.asarray(y)))
