"""Labelled clips: which class each video shows, which videos are learned from, and which are scored.

Parts never share a video, and nothing is ever chosen on test videos: what must be chosen (a strength, an epoch) is
chosen on a validation part carved from the training videos.

Source: CoCLR sheet, sections 7 and 9.9 (where the published code chooses on test videos).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..data.clip_parts import part_remarks
from ..data.hold_out import hold_out
from ..data.segments import Annotations, VideoAnnotation
from ..errors import AnnotationError
from ..wording import plural
from .matching import Ints

_TRAINING = ("train", "training")
_HELD_OUT = ("test", "testing", "validation", "val", "valid")
_TEST_SHARE = 0.3


@dataclass(frozen=True)
class ClipSplit:
    """Names of labelled videos in two parts, sorted; their classes; and in words how they were chosen."""

    train: tuple[str, ...]
    test: tuple[str, ...]
    labels: Mapping[str, str]
    """The class of every video of both parts."""
    rule: str
    remarks: tuple[str, ...] = ()
    """What a reader of the scores should know of the parts."""

    @property
    def classes(self) -> tuple[str, ...]:
        """All labels, sorted; the index of a class is its place here."""
        return tuple(sorted(set(self.labels.values())))

    def numbers(self, names: Sequence[str]) -> Ints:
        """The index of the class of each video. Shape: [N]."""
        index = {label: number for number, label in enumerate(self.classes)}
        return np.array([index[self.labels[name]] for name in names], dtype=np.int64)

    def among(self, names: Collection[str]) -> ClipSplit:
        """The same split without the videos that are not in ``names``.

        Raises:
            AnnotationError: a part is left empty, or the training part with a single class.
        """
        train = tuple(name for name in self.train if name in names)
        test = tuple(name for name in self.test if name in names)
        return _checked(train, test, {name: self.labels[name] for name in (*train, *test)}, self.rule)


def split_clips(annotations: Annotations, seed: int = 0) -> ClipSplit:
    """The training and test videos of annotations that give each video one class.

    Training is the subset ``train`` (``training``); test is ``test`` (``testing``), else ``validation`` (``val``,
    ``valid``). Without subsets, 30 % of the videos of each class are drawn for the test by ``seed``; a class of one
    video is for training.

    Raises:
        AnnotationError: a video without a class or with several; a part without videos; one class alone to learn.
    """
    labels = {name: _only_label(name, video, annotations) for name, video in annotations.videos.items()}
    known = {video.subset.lower() for video in annotations.videos.values() if video.subset}
    if not known:
        return _random_split(sorted(labels), labels, seed, annotations)
    train, test = (_subset(annotations, names, known) for names in (_TRAINING, _HELD_OUT))
    rule = f"trained on {plural(len(train), 'video')}, tested on {len(test)}, as annotated"
    others = len(labels) - len(train) - len(test)
    rule += f" ({plural(others, 'video')} of no or other splits left out)" if others else ""
    return _checked(train, test, {name: labels[name] for name in (*train, *test)}, rule, annotations)


def _only_label(name: str, video: VideoAnnotation, annotations: Annotations) -> str:
    """The class of a whole video; ActivityNet's JSON gives it by its segments, if they agree."""
    found = {video.label} if video.label is not None else {segment.label for segment in video.segments}
    if len(found) != 1:
        problem = f"{name!r} has {plural(len(found), 'label')}, but a clip shows one class"
        cure = "give the columns video,label[,split]; for labels of segments use --gt"
        raise AnnotationError(problem, where=annotations.source, cure=cure)
    return str(found.pop())


def _subset(annotations: Annotations, names: Sequence[str], known: Collection[str]) -> tuple[str, ...]:
    for part in map(annotations.subset, names):
        if part.videos:
            return tuple(sorted(part.videos))
    cure = f"mark some videos {names[0]}; the file knows {', '.join(sorted(known))}"
    raise AnnotationError(f"no video is in a split {names[0]!r}", where=annotations.source, cure=cure)


def _random_split(names: list[str], labels: Mapping[str, str], seed: int, annotations: Annotations) -> ClipSplit:
    classes = sorted(set(labels.values()))
    kinds = np.array([classes.index(labels[name]) for name in names], dtype=np.int64)
    held_out = hold_out(kinds, _TEST_SHARE, np.random.default_rng(seed))  # [N]
    train = tuple(name for name, held in zip(names, held_out, strict=True) if not held)
    test = tuple(name for name, held in zip(names, held_out, strict=True) if held)
    rule = f"no splits: {plural(len(train), 'video')} drawn for training, {len(test)} for testing, class by class"
    return _checked(train, test, labels, rule, annotations)


def _checked(
    train: tuple[str, ...],
    test: tuple[str, ...],
    labels: Mapping[str, str],
    rule: str,
    annotations: Annotations | None = None,
) -> ClipSplit:
    where = annotations.source if annotations else None
    for part, names in (("training", train), ("test", test)):
        if not names:
            cure = "label more videos, or mark some of them in a column split"
            raise AnnotationError(f"the {part} part has no video", where=where, cure=cure)
    learned = Counter(labels[name] for name in train)
    if len(learned) < 2:
        problem = f"all {plural(len(train), 'training video')} show {next(iter(learned))!r}: nothing to tell apart"
        raise AnnotationError(problem, where=where, cure="label videos of at least two classes")
    tested = Counter(labels[name] for name in test)
    return ClipSplit(train, test, labels, rule, tuple(part_remarks(learned, tested, "video")))
