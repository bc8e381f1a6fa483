"""How good class probabilities of whole videos are, how sure that is, and whether one kind is better than another.

Letters: N test videos, K classes, W windows, V views (crops and flips), B replicates.

Source: CoCLR sheet, section 7 (test time, two streams); ``evaluation.md`` section 4 (mean class accuracy).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import FeatureError, OptionError
from .bootstrap import Interval, middle
from .matching import Floats, Ints
from .probe_counts import Difference


@dataclass(frozen=True)
class ClipScores:
    """Probabilities of the classes of every test video beside the truth.

    Raises:
        FeatureError: shapes that do not meet, or NaN.
    """

    probabilities: Floats
    """[N, K]"""
    labels: Ints
    """[N]"""
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        wanted = (len(self.labels), len(self.classes))
        if self.probabilities.shape != wanted or not np.isfinite(self.probabilities).all():
            problem = f"probabilities are {self.probabilities.shape} or not finite, but must be numbers of {wanted}"
            raise FeatureError(problem, cure="give a row per video and a column per class")

    @property
    def ranking(self) -> Ints:
        """Classes of each video, most probable first; of equal ones the first. Shape: [N, K]."""
        return np.argsort(-self.probabilities, axis=1, kind="stable")

    def hits(self, k: int = 1) -> Floats:
        """1 where the truth is among the ``k`` most probable classes, else 0. Shape: [N]."""
        return (self.ranking[:, :k] == self.labels[:, None]).any(axis=1).astype(np.float64)

    def accuracy(self, k: int = 1) -> float:
        """Top-k accuracy."""
        return float(self.hits(k).mean())

    def confusion(self) -> Ints:
        """How often each true class (row) was called each class (column). Shape: [K, K]."""
        count = len(self.classes)
        return np.bincount(self.labels * count + self.ranking[:, 0], minlength=count * count).reshape(count, count)

    def mean_class_accuracy(self) -> float:
        """Mean accuracy of the classes that are shown or answered; one that is only answered counts 0."""
        table = self.confusion()
        seen = (table.sum(axis=0) + table.sum(axis=1)) > 0
        return float((np.diagonal(table)[seen] / np.maximum(table.sum(axis=1)[seen], 1)).mean())

    def per_class(self) -> list[dict[str, Any]]:
        """For each class: test videos, how many were right, and how many others were taken for it."""
        table = self.confusion()
        right, true, called = np.diagonal(table), table.sum(axis=1), table.sum(axis=0)
        return [
            {
                "class": label,
                "videos": int(true[k]),
                "right": int(right[k]),
                "accuracy": float(right[k] / true[k]) if true[k] else None,
                "others_called_so": int(called[k] - right[k]),
            }
            for k, label in enumerate(self.classes)
        ]

    def to_dict(self, names: Sequence[str]) -> dict[str, Any]:
        """Everything as plain values for JSON; ``names`` are those of the videos, in order."""
        return {
            "classes": list(self.classes),
            "mean_class_accuracy": self.mean_class_accuracy(),
            "per_class": self.per_class(),
            "confusion": self.confusion().tolist(),
            "videos": {
                name: {"label": self.classes[truth], "answer": self.classes[best], "probability": float(row[best])}
                for name, truth, best, row in zip(
                    names, self.labels, self.ranking[:, 0], self.probabilities, strict=True
                )
            },
        }


def average_probabilities(logits: Floats) -> Floats:
    """Probabilities of a video: softmax, then the mean over its windows, then over its views. Shape: [V, W, K] -> [K].

    Raises:
        FeatureError: not of this shape, or without a window.
    """
    logits = np.asarray(logits, dtype=np.float64)
    if logits.ndim != 3 or not logits.size:
        raise FeatureError(f"logits have shape {logits.shape}, but must be [V, W, K]", cure="give at least one window")
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities = powers / powers.sum(axis=-1, keepdims=True)  # [V, W, K]
    return np.asarray(probabilities.mean(axis=1).mean(axis=0))


def fuse_probabilities(streams: Sequence[Floats]) -> Floats:
    """Class probabilities of several streams as one: their unweighted mean. Shape of each: [N, K] -> [N, K].

    Raises:
        FeatureError: no stream, or streams of different videos or classes.
    """
    if len({np.shape(each) for each in streams}) != 1:
        shapes = ", ".join(str(np.shape(each)) for each in streams) or "none"
        raise FeatureError(
            f"streams have the shapes {shapes}", cure="fuse probabilities of the same videos and classes"
        )
    return np.asarray(np.mean(streams, axis=0))


def hit_interval(hits: Floats, replicates: int = 2000, seed: int = 0, *, confidence: float = 0.95) -> Interval:
    """Percentile interval of the mean of ``hits`` [N] over test videos drawn with replacement."""
    return middle(_means(hits, replicates, seed), confidence)


def share_interval(right: int, total: int) -> Interval:
    """Wilson's 95 % interval of a share: of 0 of 3, or 3 of 3, something remains unknown.

    Source: Wilson, "Probable inference, the law of succession, and statistical inference", JASA 1927.
    """
    z = 1.959964
    center = (right + z**2 / 2) / (total + z**2)
    reach = z * float(np.sqrt(right * (total - right) / total + z**2 / 4)) / (total + z**2)
    share = right / total  # lies inside; said once more against rounding
    return Interval(min(max(0.0, center - reach), share), max(min(1.0, center + reach), share))


def hit_difference(
    hits: Floats, others: Floats, replicates: int = 2000, seed: int = 0, *, confidence: float = 0.95
) -> Difference:
    """How far the mean of ``hits`` lies above that of ``others``, on the same draws of the same videos (paired).

    Raises:
        OptionError: of different numbers of videos.
    """
    if np.shape(hits) != np.shape(others):
        problem = f"{np.shape(hits)} and {np.shape(others)} test videos cannot be compared in pairs"
        raise OptionError(problem, cure="score both on the same videos")
    gaps = np.asarray(hits) - np.asarray(others)
    return Difference(float(gaps.mean()), *middle(_means(gaps, replicates, seed), confidence))


def _means(values: Floats, replicates: int, seed: int) -> Floats:
    """The mean on each draw. Shape: [N] -> [B]."""
    if replicates < 1:
        raise OptionError(f"replicates is {replicates}, but must be at least 1", cure="2000 is usual")
    count = len(values)
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=replicates)  # [B, N]
    return np.asarray(drawn @ values / count)
