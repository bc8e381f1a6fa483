"""What every reader of a data set gives: rows as the lists say them, before any file is looked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """One labelled clip, as a list of the data set names it."""

    name: str
    """Unique in the list; parts, features and predictions call the clip so."""
    file: str
    """Path of the video below the folder of the videos, as written; another suffix or folder is found too."""
    label: str
    subset: str | None = None
    start: float | None = None
    """Seconds; None for a whole video."""
    end: float | None = None
    where: str | Path | None = None
    """The file, or ``file:line``, that says so."""
    also: tuple[str, ...] = ()
    """Further labels of the video, sorted, without ``label``."""


@dataclass(frozen=True)
class Listing:
    """All rows of one data set, and where its videos are to be looked for."""

    rows: tuple[Row, ...]
    source: Path
    videos: Path
    remarks: tuple[str, ...] = ()
    """What was left out, in words."""
    tolerant: bool = False
    """Whether missing videos and clips listed twice are usual in this data set: told, not refused."""
