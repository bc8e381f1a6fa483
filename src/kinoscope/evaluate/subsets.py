"""Which part of the ground truth is scored."""

from __future__ import annotations

from collections import Counter

from ..data.segments import Annotations
from ..errors import AnnotationError, OptionError
from ..wording import plural
from .protocols import Protocol
from .result import Reason

_FULL_NAMES = {"val": "validation", "valid": "validation", "testing": "test", "training": "train"}


def choose_subset(
    annotations: Annotations, protocol: Protocol, wanted: str | None
) -> tuple[str | None, Annotations, list[Reason]]:
    """The subset's name as the file writes it (None: everything), its annotations, and what a reader should know of it.

    Case is ignored, and ``val`` is ``validation``, ``testing`` is ``test``, ``training`` is ``train``.

    Raises:
        OptionError: the file knows subsets, but not this one.
        AnnotationError: the file knows no subsets, but one was asked for.
    """
    found = Counter(video.subset for video in annotations.videos.values() if video.subset)
    if (wanted or "").lower() == "all" and "all" not in {name.lower() for name in found}:
        return None, annotations, []
    if not found:
        return None, annotations, _without_subsets(annotations, protocol, wanted)
    for name in [wanted] if wanted else protocol.subsets:
        spelling = _spelling(name, found)
        if spelling is not None:
            return spelling, annotations.subset(spelling), _stated(spelling, annotations, found, asked=bool(wanted))
    known = ", ".join(f"{name} ({plural(count, 'video')})" for name, count in sorted(found.items()))
    if wanted is None and protocol.name == "own":
        text = f"all {len(annotations.videos)} videos were scored: none is marked test or validation; found {known}"
        return None, annotations, [Reason("subset", len(annotations.videos), text)]
    missing = wanted or " or ".join(protocol.subsets)
    raise OptionError(
        f"no video is in the subset {missing!r}",
        where=annotations.source,
        cure=f"choose one of {known} with --subset, or all",
    )


def _spelling(wanted: str, found: Counter[str]) -> str | None:
    """The file's spelling of a subset: exact but for case first, then by its full name."""
    exact = next((name for name in found if name.lower() == wanted.lower()), None)
    return exact or next((name for name in found if _full(name) == _full(wanted)), None)


def _full(name: str) -> str:
    return _FULL_NAMES.get(name.lower(), name.lower())


def _stated(name: str, annotations: Annotations, found: Counter[str], *, asked: bool) -> list[Reason]:
    reasons = []
    if not asked and len(found) > 1:
        others = ", ".join(
            f"{other} ({count})" for other, count in sorted(found.items()) if other.lower() != name.lower()
        )
        text = f"the protocol scores the subset {name!r}, {plural(found[name], 'video')}; the file also has {others}"
        reasons.append(Reason("subset", found[name], text))
    stray = [key for key, video in annotations.videos.items() if not video.subset]
    if stray:
        text = f"not scored: {plural(len(stray), 'video')} of no subset, the first is {stray[0]!r}"
        reasons.append(Reason("video_without_subset", len(stray), text, tuple(stray)))
    return reasons


def _without_subsets(annotations: Annotations, protocol: Protocol, wanted: str | None) -> list[Reason]:
    if wanted is not None:
        cure = "leave --subset out to score everything, or add a column split"
        raise AnnotationError(f"knows no subsets, so {wanted!r} cannot be chosen", where=annotations.source, cure=cure)
    if protocol.name == "own":
        return []
    text = f"the ground truth knows no subsets: all {len(annotations.videos)} videos were scored"
    return [Reason("subset", len(annotations.videos), text)]
