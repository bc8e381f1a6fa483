"""What recognition learns from: labelled clips, whole videos or segments, from a file or a data set.

    labelled = read_labelled_clips(Path("labels.csv"))
    parts = training_clips(labelled, seed=0)  # clip_parts.py

Source: 3D CNN + BERT sheet, sections 7 and 11; AR-Net sheet, section 6 (videos of several classes).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from ..errors import AnnotationError, OptionError
from ..wording import plural, some_of
from .annotations_videos import missing_videos
from .datasets import Listing, Row, activitynet, class_folders, fcvid, hmdb51, kinetics, mini_kinetics, own, ucf101
from .segments import VIDEO_SUFFIXES, video_name
from .video_index import VideoIndex, folded

Dataset = Literal["auto", "own", "ucf101", "hmdb51", "kinetics", "mini-kinetics", "activitynet", "fcvid", "folders"]
Missing = Literal["auto", "error", "skip"]
_OVERSHOOT = 1.0  # seconds that a segment may end after its video

_LOOKS: Mapping[Dataset, Callable[[Path], object]] = {
    "mini-kinetics": mini_kinetics.lists_folder,  # before Kinetics, whose tables lie beside its lists
    "kinetics": kinetics.tables,
    "ucf101": ucf101.lists_folder,
    "hmdb51": hmdb51.lists_folder,
    "activitynet": activitynet.lists_folder,
    "fcvid": fcvid.lists_folder,
}
_READERS: Mapping[Dataset, Callable[[Path], Listing]] = {
    "own": own.list_clips,
    "kinetics": kinetics.list_clips,
    "mini-kinetics": mini_kinetics.list_clips,
    "activitynet": activitynet.list_clips,
    "fcvid": fcvid.list_clips,
    "folders": class_folders.list_clips,
}


@dataclass(frozen=True)
class LabelledClip:
    """One example: a whole video, or the stretch of it from ``start`` to ``end`` seconds."""

    name: str
    """Unique: the video's name; of segments ``video#3``."""
    path: Path
    label: str
    """Of several the first by their official numbers, else in sorted order: what a loss for one class is given."""
    start: float | None = None
    end: float | None = None
    subset: str | None = None
    """As the source says it: ``train``, ``validation``, ``test`` or any other word."""
    group: str | None = None
    """What it was recorded with, where that is known: a film, a sequence, a person."""
    also: tuple[str, ...] = ()
    """Further labels, sorted, without ``label``."""

    @property
    def labels(self) -> tuple[str, ...]:
        """All its labels, ``label`` first."""
        return (self.label, *self.also)


@dataclass(frozen=True)
class LabelledClips:
    """All examples of a source, in its order."""

    clips: tuple[LabelledClip, ...]
    source: Path | None = None
    remarks: tuple[str, ...] = ()
    """What was left out, and what looks like a mistake, in words."""

    def __len__(self) -> int:
        return len(self.clips)

    @property
    def classes(self) -> tuple[str, ...]:
        """All labels, sorted."""
        return tuple(sorted({label for clip in self.clips for label in clip.labels}))

    def subset(self, name: str) -> LabelledClips:
        """Only the clips whose subset is ``name`` (case ignored)."""
        chosen = tuple(clip for clip in self.clips if (clip.subset or "").lower() == name.lower())
        return replace(self, clips=chosen)


def group_of(clip: LabelledClip) -> str:
    """Clips of one group are never parted: those of one recording where that is known, else those of one file."""
    return clip.group if clip.group is not None else str(clip.path)


def require_within(clip: LabelledClip, duration: float | None) -> None:
    """Raise :class:`AnnotationError` for a segment that ends clearly after its video, where its length is known."""
    if clip.end is not None and duration is not None and clip.end > duration + _OVERSHOOT:
        problem = f"{clip.name!r} runs from {clip.start:g} to {clip.end:g} s, but the video ends at {duration:g} s"
        raise AnnotationError(problem, cure="times are seconds from the beginning of the video; correct them")


def video_of(clip: LabelledClip) -> str:
    """The name of the clip's video; segments are called ``video#number``."""
    return clip.name if clip.start is None else clip.name.rpartition("#")[0]


def read_labelled_clips(
    source: str | Path,
    *,
    videos: str | Path | None = None,
    dataset: Dataset = "auto",
    split: int = 1,
    missing: Missing = "auto",
    groups: str | None = None,
    files: bool = True,
) -> LabelledClips:
    """Read labelled clips and find their files.

    A file is the user's own table (``video,label[,split]`` or ``video,start,end,label[,split]``), ActivityNet's JSON
    or a table of Kinetics. A folder is UCF101 or HMDB51 when their split files are in it, Kinetics when its tables
    are, Mini-Kinetics, ActivityNet or FCVID when their lists are, else a folder per class (with ``train``, ``val``,
    ``test`` above the classes where wished). ActivityNet's JSON gives segments; with ``dataset="activitynet"`` whole
    videos.

    Args:
        source: the file or folder.
        videos: the folder of the videos; else that of the file, or the source itself.
        dataset: which of these it is; ``auto`` looks.
        split: the official split of UCF101 or HMDB51; see :func:`splits_available`.
        missing: videos that are not there are refused (``error``) or left out and counted (``skip``); ``auto`` skips
            them for Kinetics and Mini-Kinetics alone, whose videos vanish.
        groups: a regular expression; clips in whose names it finds the same text (its first group, if it has one) were
            recorded together. Else the names of UCF101's and HMDB51's clips tell.
        files: look for the videos; without, paths are what the source says, as features alone may be at hand.

    Raises:
        AnnotationError: what cannot be read, clips listed twice with different labels, missing or ambiguous videos.
        OptionError: a split that does not exist, or an option that does not go with the source.
    """
    source, root = Path(source), Path(videos) if videos is not None else None
    if not source.exists():
        raise AnnotationError("no such file or folder", where=source, cure="check the path")
    kind = _kind(source) if dataset == "auto" else dataset
    listing = _read(kind, source, split)
    if root is not None and kind == "folders":
        cure = "leave it out: the source holds the videos"
        raise OptionError("--videos does not go with a folder per class", where=source, cure=cure)
    if not listing.rows:
        raise AnnotationError("no clip has a label", where=source, cure="label some: video,label[,split]")
    rows, repeated = _unique(listing)
    skip = missing == "skip" or (missing == "auto" and listing.tolerant)
    if files:
        found_files, lost = _find(rows, VideoIndex(root or listing.videos), listing.source, skip)
    else:
        found_files, lost = {row.name: (root or listing.videos) / row.file for row in rows}, []
    group = _grouping(groups)
    clips = tuple(
        LabelledClip(row.name, found_files[row.name], row.label, row.start, row.end, row.subset, group(row), row.also)
        for row in rows
        if row.name in found_files
    )
    clips, double = _one_per_stretch(clips, listing)
    found = LabelledClips(clips, source)
    remarks = (*listing.remarks, *repeated, *lost, *double, *_alike(found.classes))
    return replace(found, remarks=remarks)


def splits_available(source: str | Path) -> list[int]:
    """The official splits of UCF101 or HMDB51 in a folder; empty for what is divided in one way, or not at all."""
    source = Path(source)
    return ucf101.splits(source) or hmdb51.splits(source)


def _kind(source: Path) -> Dataset:
    if source.suffix.lower() in VIDEO_SUFFIXES and source.is_file():
        cure = "give a table video,label[,split], or a folder with a folder per class"
        raise AnnotationError("is a video, which does not say its class", where=source, cure=cure)
    found = next((kind for kind, look in _LOOKS.items() if look(source)), None)
    return found or ("own" if source.is_file() else "folders")


def _read(kind: Dataset, source: Path, split: int) -> Listing:
    if kind == "ucf101":
        return ucf101.list_clips(source, split)
    if kind == "hmdb51":
        return hmdb51.list_clips(source, split)
    if split != 1:
        raise OptionError(f"--split {split}: only UCF101 and HMDB51 have numbered splits", where=source)
    return _READERS[kind](source)


def _unique(listing: Listing) -> tuple[list[Row], list[str]]:
    """Rows without repeated names; a repetition that says something else is refused, except where it is usual."""
    first: dict[str, Row] = {}
    repeated = []
    for row in listing.rows:
        known = first.setdefault(row.name, row)
        if known is row:
            continue
        if not listing.tolerant and _contradict(known, row):
            problem = f"{row.name!r} is {_said(row)} here but {_said(known)} at {known.where}"
            raise AnnotationError(problem, where=row.where, cure="keep one of the two")
        repeated.append(row.name)
    remarks = [f"listed again, kept once: {plural(len(repeated), 'clip')}: {some_of(repeated)}"] if repeated else []
    return list(first.values()), remarks


def _contradict(first: Row, second: Row) -> bool:
    # two files of one name are two videos, as is a.mp4 beside a.avi
    said = [(row.file, row.label, row.also, row.subset) for row in (first, second)]
    return said[0] != said[1]


def _said(row: Row) -> str:
    return ", ".join(map(repr, (row.file, row.label, *row.also))) + (f" in {row.subset!r}" if row.subset else "")


def _find(rows: list[Row], index: VideoIndex, source: Path, skip: bool) -> tuple[dict[str, Path], list[str]]:
    """The file of each row by its name, and a remark on those that have none."""
    found: dict[str, Path] = {}
    missing: dict[str, None] = {}
    known: dict[str, Path | None] = {}
    for row in rows:
        if row.file not in known:
            known[row.file] = index.only(row.file, row.where)
        path = known[row.file]
        if path is None:
            missing[row.file] = None
        else:
            found[row.name] = path
    if missing and (not skip or not found):
        raise missing_videos(list(missing), len(known), index.root, source)
    lost = f"left out, not in {index.root}: {len(missing)} of {plural(len(known), 'video')}: {some_of(list(missing))}"
    return found, [lost] if missing else []


def _one_per_stretch(clips: tuple[LabelledClip, ...], listing: Listing) -> tuple[tuple[LabelledClip, ...], list[str]]:
    """Clips without those that show what an earlier one shows: two names of one file."""
    kept: dict[tuple[Path, float | None, float | None, str], LabelledClip] = {}
    left = []
    for clip in clips:
        label = "" if clip.start is None else clip.label  # two actions may happen at a time, but a clip has one class
        first = kept.setdefault((clip.path, clip.start, clip.end, label), clip)
        if first is clip:
            continue
        if not listing.tolerant:
            problem = f"{clip.name!r} and {first.name!r} are one file: {clip.path.name!r}"
            raise AnnotationError(problem, where=listing.source, cure="name each video once, by its path in full")
        left.append(clip.name)
    remarks = [f"left out, the file of another clip: {plural(len(left), 'clip')}: {some_of(left)}"] if left else []
    return tuple(kept.values()), remarks


def _grouping(pattern: str | None) -> Callable[[Row], str | None]:
    """What tells the group of a row by its name."""
    if pattern is None:
        return _known_group
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        cure = r"an expression looks like '_s(\d+)_'"
        raise OptionError(f"--groups {pattern!r} is no regular expression: {error}", cure=cure) from error

    def group(row: Row) -> str:
        match = compiled.search(row.name)
        if match is None:
            problem = f"--groups {pattern!r} finds nothing in the name {row.name!r}"
            raise OptionError(problem, where=row.where, cure=r"give an expression for all names, such as '_s(\d+)_'")
        return str(match[1] if compiled.groups else match[0])

    return group


def _known_group(row: Row) -> str | None:
    stem = video_name(row.file).rpartition("/")[2]
    return ucf101.source_group(stem) or hmdb51.source_group(stem, row.label)


def _alike(classes: tuple[str, ...]) -> list[str]:
    """A warning for labels that a person would read as one."""
    spellings: Mapping[str, list[str]] = defaultdict(list)
    for label in classes:
        spellings[folded(label)].append(label)
    return [
        f"are these one class? {' and '.join(map(repr, same))} differ only in case, blanks or hyphens"
        for same in spellings.values()
        if len(same) > 1
    ]
