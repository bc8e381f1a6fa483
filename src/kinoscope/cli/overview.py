"""The page that is written while a localiser trains: curves, and true segments beside those that are found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..data.segments import Annotations, Segment
from ..report.overview import Example, OverviewPage, write_overview_page
from ..report.training import read_records, training_charts
from .pages import circumstances

_EXAMPLES = 8  # videos
_LEAST = 0.1  # score of what is drawn
_TIMES = 2  # as many found segments are drawn as there are true ones, and a few more
_MORE = 3


class Overview:
    """Called with the predictions of each validation, by video name.

    Args:
        page: the file.
        run: the folder of the training, whose ``metrics.jsonl`` holds the curves.
        annotations: the truth.
    """

    def __init__(self, page: Path, run: Path, annotations: Annotations) -> None:
        self.page, self.run, self.annotations = page, run, annotations
        self.found: Mapping[str, Sequence[Segment]] = {}

    def __call__(self, found: Mapping[str, Sequence[Segment]]) -> None:
        """Keep the predictions, and write the page with them."""
        self.found = found
        self.write("The training is not over yet; the curves end at the validation before this one.")

    def write(self, *notes: str) -> None:
        """Write the page with the last predictions."""
        examples = [self._example(name) for name in sorted(self.found)[:_EXAMPLES]]
        charts = training_charts(read_records(self.run))
        if not charts and not examples:
            return
        classes = self.annotations.classes
        subtitle = f"{len(self.found)} held-out videos, {min(len(self.found), _EXAMPLES)} of them shown"
        content = OverviewPage("Training of a localiser", subtitle, charts, examples, classes, notes, circumstances())
        write_overview_page(self.page, content)

    def _example(self, name: str) -> Example:
        video = self.annotations.videos[name]
        best = sorted(self.found[name], key=lambda each: -(each.score or 0.0))
        shown = [each for each in best if (each.score or 0.0) >= _LEAST][: _TIMES * len(video.segments) + _MORE]
        ends = [each.end for each in (*video.segments, *shown)]
        duration = video.duration or max(ends, default=0.0)
        return Example(name, max(duration, *ends, 0.0) if ends else duration, video.segments, shown)
