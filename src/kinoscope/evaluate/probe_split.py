"""Which videos a probe learns from and which it is scored on: parts never share a video.

Source: SoLa sheet, sections 10.9 and 11.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from ..data.hold_out import hold_out
from ..data.segments import Annotations
from ..data.training_part import training_part
from ..errors import AnnotationError, FeatureError, OptionError
from ..wording import plural

_HELD_OUT = ("test", "testing", "validation", "val", "valid")
_TEST_SHARE = 0.3


@dataclass(frozen=True)
class ProbeSplit:
    """Names of the videos, sorted, and in words how they were chosen."""

    train: tuple[str, ...]
    test: tuple[str, ...]
    rule: str


def split_videos(annotations: Annotations, names: Collection[str], seed: int = 0) -> ProbeSplit:
    """Training and test videos among ``names``, as ``kinoscope train localize`` would choose them.

    Training is the subset ``train`` or ``training``; test is ``test`` (``testing``) if a segment is known there, else
    ``validation`` (``val``, ``valid``). Annotations without subsets are split 70 to 30 by ``seed``, videos with and
    without segments alike.

    Raises:
        AnnotationError: no segment, or labels of whole clips in the place of segments.
        OptionError: a part of the subsets, or what ``names`` leaves of it, is empty.
    """
    known = {video.subset.lower() for video in annotations.videos.values() if video.subset}
    if known:
        train, trained = _present(training_part(annotations, None), names)
        test, tested = _present(_held_out(annotations, known), names)
        return ProbeSplit(
            train, test, f"trained on {plural(len(train), trained)}, tested on {plural(len(test), tested)}"
        )
    training_part(annotations, None)  # refuses annotations without segments
    return _random_split(annotations, sorted(set(annotations.videos) & set(names)), seed)


def choose_split(
    features: Collection[str], annotations: Annotations, train: Sequence[str] | None, test: Sequence[str] | None
) -> ProbeSplit:
    """The parts as given, or if neither is, those of :func:`split_videos` among the videos that have features.

    Raises:
        OptionError: an empty part, or a video in both.
        FeatureError: a video without features or annotations.
    """
    if train is None and test is None:
        return split_videos(annotations, [name for name in annotations.videos if name in features])
    if not train or not test:
        raise OptionError("one of the two parts has no video", cure="name training and test videos, or neither")
    if both := sorted(set(train) & set(test)):
        raise OptionError(f"{both[0]!r} is a training and a test video", cure="put each video into one part")
    for name in (*train, *test):
        if name not in annotations.videos or name not in features:
            what = "features" if name in annotations.videos else "annotations"
            raise FeatureError(f"there are no {what} of the video {name!r}", cure="check its name, or leave it out")
    return ProbeSplit(tuple(sorted(set(train))), tuple(sorted(set(test))), "parts as given")


def check_seeds(seed: int | Sequence[int]) -> tuple[int, ...]:
    """One or several seeds as a tuple. Raises :class:`OptionError` for none, or a negative one."""
    seeds = (seed,) if isinstance(seed, int) else tuple(seed)
    if not seeds or min(seeds) < 0:
        raise OptionError(f"seeds are {list(seeds)}, but must be one or more numbers of at least 0", cure="0 is usual")
    return seeds


def _held_out(annotations: Annotations, known: Collection[str]) -> Annotations:
    for part in map(annotations.subset, _HELD_OUT):
        if any(video.segments for video in part.videos.values()):  # of public test parts the segments may be secret
            return part
    cure = f"mark some videos test; the file knows {', '.join(sorted(known))}"
    raise OptionError("no segment is in a subset 'test' or 'validation'", where=annotations.source, cure=cure)


def _present(part: Annotations, names: Collection[str]) -> tuple[tuple[str, ...], str]:
    """The videos of a subset that are among ``names``, and how its videos are called."""
    subset = next(video.subset for video in part.videos.values())
    found = tuple(sorted(set(part.videos) & set(names)))
    if not found:
        cure = "extract their features, or check the names of the files"
        raise OptionError(f"no features of the {len(part.videos)} videos of {subset!r}", where=part.source, cure=cure)
    return found, f"{subset} video"


def _random_split(annotations: Annotations, names: list[str], seed: int) -> ProbeSplit:
    kinds = np.array([bool(annotations.videos[name].segments) for name in names], dtype=np.int64)
    held_out = hold_out(kinds, _TEST_SHARE, np.random.default_rng(seed))
    if not held_out.any():
        cure = "extract the features of more annotated videos"
        raise AnnotationError(
            f"too few videos with features to split: {len(names)}", where=annotations.source, cure=cure
        )
    train, test = (tuple(name for name, held in zip(names, held_out, strict=True) if held == side) for side in (0, 1))
    rule = f"no subsets: {plural(len(train), 'video')} chosen at random for training, {len(test)} for testing"
    return ProbeSplit(train, test, rule)
