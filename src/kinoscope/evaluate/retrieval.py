"""Nearest videos by their features: does the class of a test video come back with its nearest training videos?

Letters: N test videos, M training videos, C channels, W windows of a video.

Source: CoCLR (NeurIPS 2020), section 4.2; CoCLR sheet, section 7 (retrieval, two streams). Unlike the published code
nothing is drawn at random on the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import FeatureError, OptionError
from .matching import Bools, Floats, Ints

_ROUNDING = 1e-6  # a row that is shorter after centring, relative to before, is rounding alone


@dataclass(frozen=True)
class Retrieval:
    """For each test video, at which ranks training videos of its class stand."""

    similarity: Floats
    """[N, M]"""
    neighbours: Ints
    """Training videos, nearest first; of equally near ones the one of lower index. Shape: [N, M]."""
    relevant: Bools
    """Whether the neighbour at each rank has the label of the test video. Shape: [N, M]."""

    def hits(self, k: int) -> Floats:
        """1 where any of the ``k`` nearest has the right label, else 0; k beyond M means all. Shape: [N].

        Raises:
            OptionError: k is below 1.
        """
        if k < 1:
            raise OptionError(f"k is {k}, but must be at least 1", cure="1, 5, 10, 20 and 50 are usual")
        return np.asarray(self.relevant[:, :k].any(axis=1), dtype=np.float64)

    def recall(self, k: int) -> float:
        """R@k: the share of test videos of which any of the ``k`` nearest training videos has the label."""
        return float(self.hits(k).mean())


def video_feature(rows: Floats) -> Floats:
    """One feature of a video: the mean of its windows' features, each scaled to length 1. Shape: [W, C] -> [C].

    A window of zeros stays zero.
    """
    rows = np.asarray(rows, dtype=np.float64)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray((rows / np.where(length > 0, length, 1)).mean(axis=0))


def unit_rows(features: Floats, names: Sequence[str] | None = None, *, centre: bool = False) -> Floats:
    """Rows scaled to length 1, after subtracting the mean of them all if ``centre``. Shape: [N, C] -> [N, C].

    Args:
        features: one row per video.
        names: of the videos, for messages.
        centre: as retrieval wants it, each split by itself.

    Raises:
        FeatureError: NaN, infinity, a row of zeros, or a row that equals the mean: the video is named.
    """
    rows = np.asarray(features, dtype=np.float64)
    if rows.ndim != 2 or not rows.size:
        cure = "give one row per video, one column per channel"
        raise FeatureError(f"features have shape {rows.shape}, but must be [N, C] with at least one row", cure=cure)
    odd = np.asarray(~np.isfinite(rows).all(axis=1))  # [N]
    _refuse(odd, names, "hold NaN or infinity", "extract them again; see whether the video is damaged")
    length = np.linalg.norm(rows, axis=1)  # [N]
    _refuse(length == 0, names, "are all zero, so nothing is near them", "see whether the video shows anything")
    if centre:
        rows = rows - rows.mean(axis=0)
        centred = np.linalg.norm(rows, axis=1)
        cure = "with two or more videos in a part, the encoder tells none of them apart: it has collapsed"
        _refuse(centred <= _ROUNDING * length, names, "equal the mean of their split: nothing is left of them", cure)
        length = centred
    return np.asarray(rows / length[:, None])


def similarities(
    test: Floats,
    train: Floats,
    *,
    centre: bool,
    test_names: Sequence[str] | None = None,
    train_names: Sequence[str] | None = None,
) -> Floats:
    """Cosine of every test and every training video; retrieval centres each split by its own mean first.

    Shape: [N, C], [M, C] -> [N, M]. Raises :class:`FeatureError` as :func:`unit_rows`, and for different widths.
    """
    if np.ndim(test) == np.ndim(train) == 2 and np.shape(test)[1] != np.shape(train)[1]:
        problem = f"test features have {np.shape(test)[1]} channels, training features {np.shape(train)[1]}"
        raise FeatureError(problem, cure="extract both with one encoder")
    return np.asarray(unit_rows(test, test_names, centre=centre) @ unit_rows(train, train_names, centre=centre).T)


def retrieve(similarity: Floats, train_labels: Ints, test_labels: Ints) -> Retrieval:
    """Rank the training videos for every test video.

    Args:
        similarity: see :func:`similarities`; for two streams, the sum of those of both. Shape: [N, M].
        train_labels: [M].
        test_labels: [N].

    Raises:
        FeatureError: NaN among the similarities, or labels of another number.
    """
    if similarity.shape != (len(test_labels), len(train_labels)):
        problem = f"similarities are {similarity.shape}, labels {(len(test_labels), len(train_labels))}"
        raise FeatureError(problem, cure="give one label per video")
    if not np.isfinite(similarity).all():
        raise FeatureError("a similarity is NaN or infinite", cure="check the features that it was computed from")
    neighbours = np.argsort(-similarity, axis=1, kind="stable")  # [N, M]
    relevant = np.asarray(train_labels)[neighbours] == np.asarray(test_labels)[:, None]
    return Retrieval(similarity, neighbours, relevant)


def _refuse(bad: Bools, names: Sequence[str] | None, problem: str, cure: str) -> None:
    if bad.any():
        first = int(bad.argmax())
        who = repr(names[first]) if names is not None else f"row {first}"
        more = f" (and of {int(bad.sum()) - 1} more)" if bad.sum() > 1 else ""
        raise FeatureError(f"the features of {who}{more} {problem}", cure=cure)
