"""Which annotated videos are for training; every method and every probe asks here."""

from __future__ import annotations

from ..errors import AnnotationError, OptionError
from .segments import Annotations

_TRAINING = ("train", "training")


def training_part(annotations: Annotations, wanted: str | None) -> Annotations:
    """The videos to train on: the subset ``wanted``, else ``train`` or ``training``, else all if there are no subsets.

    Raises:
        OptionError: there are subsets, but not this one.
        AnnotationError: the part has no segment, or clips instead of segments.
    """
    part = _part(annotations, wanted)
    if not any(video.segments for video in part.videos.values()):
        clips = any(video.label is not None for video in part.videos.values())
        problem = "holds labels of whole clips, not of segments" if clips else "holds no segment to learn"
        raise AnnotationError(problem, where=annotations.source, cure="give the columns video,start,end,label")
    return part


def clip_part(annotations: Annotations, wanted: str | None) -> Annotations:
    """As :func:`training_part`, of trimmed clips that have one label each.

    Raises:
        OptionError: there are subsets, but not this one.
        AnnotationError: the part has segments, or no labels.
    """
    part = _part(annotations, wanted)
    unlabelled = next((name for name, video in part.videos.items() if video.label is None), None)
    if unlabelled is not None:
        segments = any(video.segments for video in part.videos.values())
        problem = "holds segments, not labels of whole clips" if segments else f"has no label for {unlabelled!r}"
        raise AnnotationError(problem, where=annotations.source, cure="give the columns video,label[,split]")
    return part


def _part(annotations: Annotations, wanted: str | None) -> Annotations:
    subsets = sorted({video.subset for video in annotations.videos.values() if video.subset})
    if wanted is None and not subsets:
        return annotations
    parts = [annotations.subset(name) for name in ((wanted,) if wanted else _TRAINING)]
    part = next((found for found in parts if found.videos), Annotations())
    if not part.videos:
        raise OptionError(
            f"no video is in the subset {wanted or 'train'!r}",
            where=annotations.source,
            cure=f"choose one of {', '.join(subsets)}" if subsets else "add a column split, or choose no subset",
        )
    return part
