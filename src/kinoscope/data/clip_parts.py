"""Which labelled clips are learned from, which choose the best epoch, and which are scored.

Nothing is ever chosen on test clips: where the source marks no validation, it is carved from training, class by class
(the published code of 3D CNN + BERT chooses on the test list). Clips of one recording are never parted.

Source: 3D CNN + BERT sheet, sections 10.1 and 11.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

import numpy as np

from ..errors import AnnotationError, OptionError
from ..wording import plural, some_of
from .clip_subsets import SUBSETS, TEST, TRAINING, VALIDATION
from .hold_out import Bools, Ints, deal_groups, hold_out_groups
from .labelled_clips import LabelledClip, LabelledClips, group_of

Clips = tuple[LabelledClip, ...]
_TEST_SHARE = 0.3
_EXAMPLES = 8
_CARVED = "validation is drawn from the training clips, about {:.0%} of each class, recordings whole"


@dataclass(frozen=True)
class Parts:
    """Labelled clips in three parts, sorted by name; they share no recording, unless the source marks them so."""

    train: Clips
    validation: Clips
    """To choose an epoch or an option; empty when nothing could be carved."""
    test: Clips
    rule: str
    """In words, how they were chosen."""
    remarks: tuple[str, ...] = ()
    """What a reader of the scores should know of the parts."""
    reason: str = ""
    """The rule without the numbers of clips."""

    @property
    def classes(self) -> tuple[str, ...]:
        """What is learned: the labels of the training part, sorted; the index of a class is its place here."""
        return tuple(sorted(_counted(self.train)))

    def numbers(self, clips: Sequence[LabelledClip]) -> Ints:
        """The index of each ``label``; -1 for a class without training clips, which no answer hits. Shape: [N]."""
        index = {label: number for number, label in enumerate(self.classes)}
        return np.array([index.get(clip.label, -1) for clip in clips], dtype=np.int64)


def training_clips(labelled: LabelledClips, seed: int = 0, validation_share: float = 0.2) -> Parts:
    """The parts of a source.

    Training is the subset ``train`` (``training``). Test is ``test`` (``testing``), else ``validation`` (``val``,
    ``valid``, ``validate``), which is then not used to choose anything. Without either, 30 % are drawn for the test,
    class by class. Validation is the subset of that name where there is a test too, else ``validation_share`` of the
    training clips, class by class. A class keeps at least one training clip.

    Args:
        seed: of what is drawn.
        validation_share: from 0 (no validation part) to below 1.

    Raises:
        AnnotationError: subsets without training, an empty part, one class alone to learn.
        OptionError: a share or seed out of bounds.
    """
    _check(seed, validation_share)
    train, rest, test, left_out = _marked(labelled)
    if test:
        told = ["test as marked"]
    elif rest:
        test, rest = rest, []
        told = ["tested on the part marked validation, as no clip is marked test"]
    else:
        train, test = _carve(train, _TEST_SHARE, [seed, 0])
        told = [f"no test part is marked: {_TEST_SHARE:.0%} drawn for it, class by class, recordings whole"]
    if rest:
        told.append("validation as marked")
    elif validation_share > 0:
        train, rest = _carve(train, validation_share, [seed, 1])
        told.append(_CARVED.format(validation_share))
    told += [f"{plural(len(left_out), 'clip')} of no or other subsets left out"] if left_out else []
    parts = gathered(train, rest, test, "; ".join(told), labelled.source)
    return replace(parts, remarks=(*parts.remarks, *_misspelt(left_out), *_absent(parts.classes, test, "test")))


def folds(
    labelled: LabelledClips, by: Literal["group"] | int = "group", seed: int = 0, validation_share: float = 0.2
) -> list[Parts]:
    """Parts for cross-validation: every clip is tested once; subsets are ignored.

    Args:
        by: ``group`` leaves out one group (a sequence, a person, a film) at a time, in order of their names; a number
            deals the groups, whole, into so many folds with classes spread evenly.
        seed: of what is drawn.
        validation_share: of the clips that a fold learns from; see :func:`training_clips`.

    Raises:
        OptionError: fewer groups than folds, less than two folds.
        AnnotationError: a fold with one class alone to learn.
    """
    _check(seed, validation_share)
    clips = sorted(labelled.clips, key=lambda clip: clip.name)
    groups = [group_of(clip) for clip in clips]
    names = sorted(set(groups), key=_natural)
    count = len(names) if by == "group" else by
    if not 2 <= count <= len(names):
        problem = f"cannot make {plural(count, 'fold')} of {plural(len(names), 'group')} of clips"
        raise OptionError(problem, where=labelled.source, cure="choose from 2 folds to as many as there are groups")
    if by == "group":
        fold = np.array([names.index(group) for group in groups], dtype=np.int64)  # [N]
        told = [f"tested on {Path(name).name!r} alone" for name in names]
    else:
        fold = deal_groups(_kinds(clips), groups, count, np.random.default_rng([seed, 0]))  # [N]
        told = [f"fold {number + 1} of {count}" for number in range(count)]
    found = []
    for number, rule in enumerate(told):
        others, test = _divide(clips, fold == number)
        train, validation = _carve(others, validation_share, [seed, 1, number])
        rule += f"; {_CARVED.format(validation_share)}" if validation_share > 0 else ""
        found.append(gathered(train, validation, test, rule, labelled.source))
    return found


def part_remarks(learned: Counter[str], tested: Counter[str], noun: str = "clip") -> list[str]:
    """What the numbers of training and test examples per class mean for the scores."""
    remarks = _unseen(learned, tested, "test", noun)
    if single := sorted(label for label, count in learned.items() if count == 1):
        remarks.append(f"learned from a single {noun} each: {some_of(single)}")
    return remarks


def _check(seed: int, validation_share: float) -> None:
    if seed < 0:
        raise OptionError(f"seed is {seed}, but must be at least 0", cure="0 is usual")
    if not 0 <= validation_share < 1:
        problem = f"the share for validation is {validation_share:g}, but must be from 0 to below 1"
        raise OptionError(problem, cure="0.2 is usual")


def _marked(
    labelled: LabelledClips,
) -> tuple[list[LabelledClip], list[LabelledClip], list[LabelledClip], list[str]]:
    """The clips marked training, validation and test, by name, and the marks of those that are none of these.

    Without any marks all are for training.
    """
    clips = sorted(labelled.clips, key=lambda clip: clip.name)
    known = sorted({clip.subset for clip in clips if clip.subset})
    if not known:
        return clips, [], [], []
    names = [(clip.subset or "").strip().lower() for clip in clips]
    train, validation, test = (
        [clip for clip, name in zip(clips, names, strict=True) if name in part] for part in (TRAINING, VALIDATION, TEST)
    )
    if not train:
        cure = f"mark some clips train; the source knows {', '.join(known)}"
        raise AnnotationError("no clip is in a subset 'train'", where=labelled.source, cure=cure)
    return train, validation, test, [name for name in names if name not in SUBSETS]


def _misspelt(marks: list[str]) -> list[str]:
    """A remark for marks that look like slips of the pen: their clips count nowhere."""
    found = []
    for mark, count in Counter(marks).items():
        if meant := get_close_matches(mark, sorted(SUBSETS), n=1, cutoff=0.7):
            found.append(f"left out: {plural(count, 'clip')} marked {mark!r}; was {meant[0]!r} meant?")
    return found


def _carve(
    clips: list[LabelledClip], share: float, entropy: Sequence[int]
) -> tuple[list[LabelledClip], list[LabelledClip]]:
    """What stays, and a share of each class without parting groups."""
    if share <= 0 or not clips:
        return clips, []
    groups = [group_of(clip) for clip in clips]
    return _divide(clips, hold_out_groups(_kinds(clips), groups, share, np.random.default_rng(entropy)))


def _divide(clips: list[LabelledClip], out: Bools) -> tuple[list[LabelledClip], list[LabelledClip]]:
    """The clips that stay, and those that are out. Shape: [N]."""
    kept, drawn = ([clip for clip, is_out in zip(clips, out, strict=True) if is_out == side] for side in (False, True))
    return kept, drawn


def gathered(
    train: list[LabelledClip],
    validation: list[LabelledClip],
    test: list[LabelledClip],
    reason: str,
    source: Path | None = None,
) -> Parts:
    """The parts with what is to be said of them.

    Raises:
        AnnotationError: one class alone to learn.
    """
    learned = _counted(train)
    if len(learned) < 2:
        problem = f"every training clip shows {next(iter(learned), '')!r}: nothing to tell apart"
        raise AnnotationError(problem, where=source, cure="label clips of at least two classes")
    sizes = f"{plural(len(train), 'clip')} to learn from, {len(validation)} to choose on, {len(test)} to test on"
    remarks = part_remarks(learned, _counted(test))
    remarks += _unseen(learned, _counted(validation), "validation", "clip")
    remarks += _absent(learned, validation, "validation")
    remarks += _shared(train, validation, "validation") + _shared((*train, *validation), test, "test")
    return Parts(tuple(train), tuple(validation), tuple(test), f"{sizes}: {reason}", tuple(remarks), reason)


def without(parts: Parts, unreadable: Collection[str], name_of: Callable[[LabelledClip], str]) -> Parts:
    """The parts without the clips that cannot be read.

    Args:
        unreadable: names of clips, or of their videos.
        name_of: a clip → its name among them.

    Raises:
        AnnotationError: no training clip is left, or of one class alone.
    """
    if not unreadable:
        return parts

    def readable(part: Clips) -> list[LabelledClip]:
        return [clip for clip in part if name_of(clip) not in unreadable]

    told = f"{parts.reason}; {plural(len(unreadable), 'video')} that cannot be read left out"
    try:
        return gathered(readable(parts.train), readable(parts.validation), readable(parts.test), told)
    except AnnotationError as error:
        problem = f"{plural(len(unreadable), 'video')} cannot be read, and of what is left {error.problem}"
        raise AnnotationError(problem, cure="see: kinoscope probe VIDEOS") from error


def examples(parts: Parts) -> list[str]:
    """Some held-out videos, for checks of exports."""
    return [str(clip.path.resolve()) for clip in (*parts.test, *parts.validation)[:_EXAMPLES]]


def _unseen(learned: Counter[str], others: Counter[str], part: str, noun: str) -> list[str]:
    """Classes that are only asked for."""
    if not (names := sorted(set(others) - set(learned))):
        return []
    wrong = plural(sum(others[label] for label in names), f"{part} {noun}")
    return [f"no training {noun} shows {some_of(names)}: {wrong} cannot be told right"]


def _absent(learned: Collection[str], clips: list[LabelledClip], part: str) -> list[str]:
    """Classes that a part says nothing of."""
    if not clips:
        return [f"there is no {part} part"]
    names = sorted(set(learned) - set(_counted(clips)))
    return [f"no {part} clip of {len(names)} of {len(learned)} classes: {some_of(names)}"] if names else []


def _counted(clips: Sequence[LabelledClip]) -> Counter[str]:
    """How many clips have each label; a clip of several counts for each."""
    return Counter(label for clip in clips for label in clip.labels)


def _shared(learned: Sequence[LabelledClip], others: list[LabelledClip], part: str) -> list[str]:
    """Recordings on both sides of the parts that a source marks."""
    groups = {group_of(clip) for clip in learned} & {group_of(clip) for clip in others}
    if not groups:
        return []
    names = sorted(Path(group).name for group in groups)
    shared = f"shares {plural(len(groups), 'recording')} with what is learned from"
    return [f"the {part} part {shared}, so scores on it promise too much for others: {some_of(names)}"]


def _kinds(clips: Sequence[LabelledClip]) -> Ints:
    """A number per clip, equal for equal first labels. Shape: [N]."""
    return np.unique([clip.label for clip in clips], return_inverse=True)[1].astype(np.int64)


def _natural(name: str) -> list[tuple[int, str]]:
    """Sorts ``sequence 2`` before ``sequence 10``."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]
