"""What both readers share: every row of an annotation file is checked here, and all problems are told at once."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Literal

from ..errors import AnnotationError
from ..wording import plural
from .annotations_labels import Labels, OddLabelError
from .annotations_text import shorten, unwritable
from .segments import Annotations, Flaw, Segment, VideoAnnotation, video_name

OnFlaw = Literal["error", "drop", "keep"]
Place = int | tuple[str, int | None, str | None]
"""Where a row stands: a line of a CSV file, (video, index, field) in JSON, or (file, line, field) in a folder."""

OVERSHOOT = 0.5
"""Seconds by which a segment may pass the end of its video; containers round durations. The segment is clipped."""

KEEPABLE = frozenset({"empty", "negative", "beyond", "duplicate"})
"""Flaws that published ground truth really has, and that leave the row measurable."""

_ALWAYS_REFUSED = frozenset({"path"})
_SHOWN = 20


@dataclass(slots=True)
class Draft:
    """One video while its rows are being read."""

    name: str
    place: Place
    path: Path | None = None
    label: str | None = None
    duration: float | None = None
    subset: str | None = None
    rows: list[tuple[Segment, Place]] = field(default_factory=list)
    seen: dict[object, Place] = field(default_factory=dict)
    known_empty: Place | None = None


class AnnotationBuilder:
    """Collects rows into :class:`Annotations`; flawed ones become problems, or are dropped or kept and counted.

    Args:
        source: the file, named in every message.
        locate: turns a place into the text that leads a user there.
        on_flaw: ``error`` reports every flaw; ``drop`` leaves flawed rows out; ``keep`` keeps those of
            :data:`KEEPABLE` kind as they are and reports the others.
        classes: labels that may occur; None allows any. In a list or tuple they stand in the order of their numbers.
        root: folder of the videos; absolute paths below it are made relative to it.
        unlabelled: segments may have no label, which is empty then.
    """

    def __init__(
        self,
        source: Path,
        locate: Callable[[Place], str],
        *,
        on_flaw: OnFlaw = "error",
        classes: Iterable[str] | None = None,
        root: Path | None = None,
        unlabelled: bool = False,
    ) -> None:
        self.unlabelled = unlabelled
        self._source, self._locate, self._on_flaw, self._root = source, locate, on_flaw, root
        self._labels: Labels[Place] = Labels(classes, locate)
        self._left_out: Counter[str] = Counter()
        self._first_left_out: dict[str, Place] = {}
        self._drafts: dict[str, Draft] = {}
        self._flaws: list[Flaw] = []
        self._problems: list[AnnotationError] = []
        self._problem_count = 0

    def flaw(self, kind: str, place: Place, problem: str, cure: str) -> bool:
        """Record a flaw; True when the row is to be kept all the same."""
        where = self._locate(place)
        if kind not in _ALWAYS_REFUSED and self._on_flaw == "drop":
            self._flaws.append(Flaw(kind, "dropped", where, problem))
            return False
        if kind in KEEPABLE and self._on_flaw == "keep":
            self._flaws.append(Flaw(kind, "kept", where, problem))
            return True
        self._problem_count += 1
        if self._problem_count <= _SHOWN:
            self._problems.append(AnnotationError(problem, where=where, cure=cure))
        return False

    def video(
        self, text: object, place: Place, *, duration: Any = None, subset: Any = None, path: Any = None
    ) -> Draft | None:
        """The draft of the video that a row speaks of; None when its name cannot be used."""
        relative = self._relative(text, place)
        file = self._relative(path, place) if path not in (None, "") else relative
        if relative is None or file is None:
            return None
        name = video_name(relative)
        draft = self._drafts.get(name)
        if draft is None:
            draft = self._drafts[name] = Draft(name, place)
        if video_name(file) != file:  # only a path with a video suffix names a file
            self._agree(draft, "path", Path(file), place)
        if duration not in (None, ""):
            self._agree(draft, "duration", self._duration(duration, place), place)
        if subset not in (None, ""):
            self._agree(draft, "subset", str(subset).strip(), place)
        return draft

    def segment(self, draft: Draft, start: Any, end: Any, label: Any, score: Any, place: Place) -> None:
        """Add one labelled stretch of time, in seconds."""
        # one flaw per row is told: the first
        if (first := self._number("start", start, place)) is None or (last := self._number("end", end, place)) is None:
            return
        if (name := self._label(label, place)) is None:
            return
        value = None if score is None else self._number("score", score, _field(place, "score"))
        if score is not None and value is None:
            return
        if first >= last and not self._forward(first, last, place):
            return
        if first < 0 and not self.flaw("negative", place, f"start {first:g} is negative", "times count from 0"):
            return
        row = (first, last, name, value)
        earlier = draft.seen.setdefault(row, place)
        if earlier != place and not self._twice(row, earlier, place):
            return
        draft.rows.append((Segment(first, last, name, value), place))

    def clip(self, draft: Draft, label: Any, place: Place) -> None:
        """Give a trimmed clip its class."""
        name = self._label(label, place)
        if name is None:
            return
        earlier = draft.seen.setdefault("clip", place)
        if earlier == place:
            draft.label = name
        elif name == draft.label:
            self._twice((draft.name, name), earlier, place)
        else:
            before = f"{shorten(draft.label)} at {self._locate(earlier)}"
            problem = f"clip {shorten(draft.name)} is {shorten(name)} here but {before}"
            self.flaw("conflict", place, problem, "a clip has one label; use video,start,end,label for several")

    def leave_out(self, why: str, place: Place) -> None:
        """Count a row that the layout itself marks as nothing to read; a remark tells how many there were."""
        self._left_out[why] += 1
        self._first_left_out.setdefault(why, place)

    def finish(self) -> Annotations:
        """The annotations, or one error that tells every problem (up to 20 of them)."""
        videos = {name: self._finished(draft) for name, draft in self._drafts.items()}
        if self._problem_count == 1:
            raise self._problems[0]
        if self._problem_count:
            lines = [f"  {error.where}: {error.problem}" for error in self._problems]
            if self._problem_count > _SHOWN:
                lines.append(f"  and {self._problem_count - _SHOWN} more")
            cures = dict.fromkeys(error.cure for error in self._problems if error.cure)
            problem = "\n".join([f"{self._problem_count} problems", *lines])
            raise AnnotationError(problem, where=self._source, cure="; ".join(cures))
        remarks = tuple(
            f"left out, {why}: {plural(count, 'row')}, the first at {self._locate(self._first_left_out[why])}"
            for why, count in self._left_out.items()
        )
        return Annotations(videos, self._source, tuple(self._flaws), remarks)

    def _finished(self, draft: Draft) -> VideoAnnotation:
        if draft.known_empty is not None and draft.rows:
            problem = (
                f"{shorten(draft.name)} is said to hold nothing, but has a segment at {self._locate(draft.rows[0][1])}"
            )
            self.flaw("conflict", draft.known_empty, problem, "remove the empty row or the segments")
        rows = draft.rows if draft.duration is None else self._within(draft, draft.duration)
        segments = tuple(segment for segment, _ in rows)
        return VideoAnnotation(segments, draft.label, draft.duration, draft.subset, draft.path)

    def _within(self, draft: Draft, duration: float) -> list[tuple[Segment, Place]]:
        rows = []
        for segment, place in draft.rows:
            over = segment.end - duration
            if over > 0 and over <= OVERSHOOT and segment.start < duration and self._on_flaw != "keep":
                problem = f"end {segment.end:g} passes the duration {duration:g} and was clipped to it"
                self._flaws.append(Flaw("overshoot", "clipped", self._locate(place), problem))
                segment = Segment(segment.start, duration, segment.label, segment.score)
            elif over > 0:
                problem = f"end {segment.end:g} is beyond the duration {duration:g} of {shorten(draft.name)}"
                if not self.flaw(
                    "beyond", place, problem, "give times in seconds (not frames), or correct the duration"
                ):
                    continue
            rows.append((segment, place))
        return rows

    def _relative(self, text: object, place: Place) -> str | None:
        """A path as text, relative, with forward slashes; None after recording why it is refused."""
        if not isinstance(text, str) or not text.strip():
            self.flaw("video", place, f"no video is named (found {shorten(text)})", "name the video in this row")
            return None
        plain = text.strip().replace("\\", "/")
        cure = "write paths relative to the folder of the videos, without '..'"
        if unwritable(plain):
            self.flaw("path", place, f"{shorten(text)} cannot be the name of a file", cure)
            return None
        if ".." in plain.split("/"):
            self.flaw("path", place, f"the path {shorten(text)} leads out of the folder of the videos", cure)
            return None
        if plain.startswith("/") or PureWindowsPath(plain).drive:
            if self._root is None or not Path(plain).is_relative_to(self._root.absolute()):
                self.flaw("path", place, f"the path {shorten(text)} is absolute", cure)
                return None
            plain = Path(plain).relative_to(self._root.absolute()).as_posix()
        return PurePosixPath(plain).as_posix()

    def _number(self, what: str, value: Any, place: Place) -> float | None:
        if isinstance(value, float | int | str) and not isinstance(value, bool):
            try:
                number = float(value)
            except (ValueError, OverflowError):
                pass
            else:
                if math.isfinite(number):
                    return number
                unit = "" if what == "score" else ", in seconds"
                self.flaw("infinite", place, f"{what} is {number}", f"give a finite number{unit}")
                return None
        problem = f"{what} is missing" if value in (None, "") else f"{what} is {shorten(value)}, not a number"
        self.flaw("number", place, problem, _number_cure(value))
        return None

    def _label(self, value: Any, place: Place) -> str | None:
        if self.unlabelled and value in (None, ""):
            return ""
        place = _field(place, "label")
        try:
            return self._labels.read(value, place)
        except OddLabelError as odd:
            self.flaw("label", place, odd.problem, odd.cure)
            return None

    def _forward(self, start: float, end: float, place: Place) -> bool:
        cure = "a segment must end after it starts; times are in seconds"
        if start == end:
            return self.flaw("empty", place, f"start {start:g} equals end {end:g}", cure)
        return self.flaw("reversed", place, f"start {start:g} is not before end {end:g}", cure)

    def _twice(self, row: tuple[object, ...], earlier: Place, place: Place) -> bool:
        text = ", ".join(f"{cell:g}" if isinstance(cell, float) else str(cell) for cell in row if cell is not None)
        problem = f"the same row as at {self._locate(earlier)}: {shorten(text)}"
        return self.flaw("duplicate", place, problem, "remove one of the two")

    def _duration(self, value: Any, place: Place) -> float | None:
        duration = self._number("duration", value, place)
        if duration is not None and duration <= 0:
            self.flaw(
                "duration",
                place,
                f"duration {duration:g} is not positive",
                "give the duration in seconds, or leave it out",
            )
            return None
        return duration

    def _agree(self, draft: Draft, what: str, value: Any, place: Place) -> None:
        """Set a property of the video once; a second, different value is a conflict."""
        if value is None:
            return
        known = getattr(draft, what)
        if known is None:
            setattr(draft, what, value)
        elif known != value:
            problem = f"{what} of {shorten(draft.name)} is {shorten(str(value))} here but {shorten(str(known))} before"
            self.flaw("conflict", place, problem, f"give one {what} per video")


def _field(place: Place, name: str) -> Place:
    """The same row, another field of it; a line of a table has only itself."""
    return (place[0], place[1], name) if isinstance(place, tuple) else place


def _number_cure(value: Any) -> str:
    if isinstance(value, str) and re.fullmatch(r"\d+(:\d+)+(\.\d+)?", value.strip()):
        return "give times in seconds: 1:30 is 90"
    if isinstance(value, str) and re.fullmatch(r"-?\d+,\d+", value.strip()):
        return "write decimals with a point"
    return "give a number, in seconds"
