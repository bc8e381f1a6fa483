"""Predictions and ground truth that hardly share a name: what was probably meant, and how to mend it.

A score of 0 says nothing of a model whose videos or labels are merely written otherwise.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from ..wording import plural
from .result import Reason

_LEAST = 0.1  # a smaller share of names that are known means that something is wrong
_ENOUGH = 0.5  # a way to write names is the right one if this share of them is known by it

Way = Callable[[str], tuple[str, str]]
"""A name → what is left of it, and what was taken away."""


def _without_folders(name: str) -> tuple[str, str]:
    folders, _, last = name.rpartition("/")
    return last, folders


def _without_suffix(name: str) -> tuple[str, str]:
    found = re.search(r"\.[A-Za-z][A-Za-z0-9]{1,4}$", name)
    return (name[: found.start()], found[0]) if found else (name, "")


def _without_prefix(name: str) -> tuple[str, str]:
    return name.removeprefix("v_"), "v_" if name.startswith("v_") else ""


def _without_case(name: str) -> tuple[str, str]:
    return name.casefold(), name


def _letters(name: str) -> tuple[str, str]:
    return "".join(sign for sign in name.casefold() if sign.isalnum()), name


_VIDEOS: Mapping[str, Way] = {
    "the folders before the name": _without_folders,
    "the suffix of the file": _without_suffix,
    "v_ before the name": _without_prefix,
    "upper and lower case": _without_case,
}
_LABELS: Mapping[str, Way] = {"case, spaces or punctuation": _letters}


def video_names(predicted: Collection[str], known: Collection[str]) -> list[Reason]:
    """Whether hardly any predicted video is ``known`` to the ground truth, and how the names seem to differ."""
    names = sorted(predicted)
    met = [name for name in names if name in known]
    if not names or not known or len(met) >= _LEAST * len(names):
        return []
    pair = _pair([name for name in names if name not in known], known, _VIDEOS)
    if pair is None and met:
        return []  # predictions of many more videos than are scored
    head = _counted(len(met), plural(len(names), "predicted video"), "is in the ground truth")
    if pair is None:
        cure = "check that both files are of the same videos"
        return [_told("video_names", len(names), head, names[0], min(known), cure)]
    cure = f"write the names as the ground truth does; they differ by {' and by '.join(_differing(pair, _VIDEOS))}"
    return [_told("video_names", len(names), head, *pair, cure)]


def label_names(predicted: Counter[str], known: Collection[str]) -> list[Reason]:
    """The same of labels; ``predicted`` counts the predictions of each."""
    total = sum(predicted.values())
    met = sum(count for label, count in predicted.items() if label in known)
    if not total or not known or met >= _LEAST * total:
        return []
    strange = [label for label, _ in predicted.most_common() if label not in known]
    head = _counted(met, plural(total, "prediction"), "has a label of the ground truth")
    if pair := _pair(strange, known, _LABELS):
        cure = f"write the labels as the ground truth does; they differ by {' and by '.join(_differing(pair, _LABELS))}"
        return [_told("label_names", total - met, head, *pair, cure)]
    if _numbers(strange) != _numbers(known):
        theirs, ours = ("numbers", "names") if _numbers(strange) else ("names", "numbers")
        cure = (
            f"the predictions have {theirs} for labels, the ground truth {ours}: write {ours} in the predictions, too"
        )
    elif len(predicted) == 1:
        cure = (
            "these seem to be proposals of one class: score them with --metrics ar,recall, or give them labels first: "
        )
        cure += "kinoscope localize … --fuse-classifier"
    elif met:
        return []
    else:
        cure = "check that both files are of the same data set"
    return [_told("label_names", total - met, head, strange[0], min(known), cure)]


def video_list(at_hand: int, named: int | None, name: str, others: Mapping[str, int | None]) -> list[Reason]:
    """Whether a protocol that names a list of videos is given another; ``others`` has the lists of all protocols."""
    if named is None or named == at_hand:
        return []
    text = f"{name} names a list of {named} videos, but the ground truth at hand has {at_hand}"
    fitting = [f"--protocol {other}" for other, count in others.items() if count == at_hand]
    cure = "compare with numbers on the same list only"
    cure += (
        f"; a list of {at_hand} is that of {' or '.join(fitting)}" if fitting else ", or take the file with all videos"
    )
    return [Reason("video_list", abs(at_hand - named), text, cure=cure)]


def _pair(names: Sequence[str], known: Collection[str], ways: Mapping[str, Way]) -> tuple[str, str] | None:
    """A name and the known one that it stands for, if most ``names`` have one when all ``ways`` are gone."""
    bare = {_bare(name, ways): name for name in known}
    meant = [(name, bare[_bare(name, ways)]) for name in names if _bare(name, ways) in bare]
    return meant[0] if meant and len(meant) >= _ENOUGH * len(names) else None


def _bare(name: str, ways: Mapping[str, Way]) -> str:
    for way in ways.values():
        name, _ = way(name)
    return name


def _differing(pair: tuple[str, str], ways: Mapping[str, Way]) -> list[str]:
    """In which of the ``ways`` two names that mean the same differ."""
    (one, other), found = pair, []
    for words, way in ways.items():
        (one, mine), (other, theirs) = way(one), way(other)
        if mine != theirs:
            found.append(words)
    return found


def _numbers(labels: Iterable[str]) -> bool:
    return all(label.lstrip("-").isdecimal() for label in labels)


def _counted(met: int, everything: str, what: str) -> str:
    return f"{f'only {met}' if met else 'none'} of {everything} {what}"


def _told(kind: str, count: int, head: str, predicted: str, true: str, cure: str) -> Reason:
    text = f"{head}: predictions have {predicted!r}, the ground truth {true!r}"
    return Reason(kind, count, text, cure=cure)
