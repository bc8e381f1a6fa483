"""The protocols on one feature per video, for one stream or two: which test videos each gets right.

Two streams are fused as published: probabilities by their mean, similarities by their sum (kNN votes by their mean, so
that its temperature means the same).
Letters: M training videos, N test videos, C channels, K classes.

Source: CoCLR sheet, section 7.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from .clip_scores import ClipScores, fuse_probabilities
from .clip_split import ClipSplit
from .knn import TEMPERATURE, knn_probabilities
from .linear_probe import LinearProbeOptions, linear_probe
from .matching import Floats
from .retrieval import retrieve, similarities

BOTH = "both"
"""The name of two streams fused."""
_SHOWN_NEIGHBOURS = 10


class Parts(NamedTuple):
    """Features of the videos of a split, in its order."""

    train: Floats
    """[M, C]"""
    test: Floats
    """[N, C]"""


@dataclass(frozen=True)
class ClipOutcome:
    """What one protocol found on one stream."""

    protocol: str
    stream: str
    hits: Mapping[str, Floats]
    """By measure, how right each test video is: 1 or 0, or their mean over seeds. Shape of each: [N]."""
    detail: Mapping[str, Any] = field(default_factory=dict)
    """For JSON."""


def retrieval_outcomes(streams: Mapping[str, Parts], split: ClipSplit, ks: Sequence[int]) -> list[ClipOutcome]:
    """R@k of every stream, and of two fused. Raises :class:`FeatureError` for rows that say nothing, by name."""
    train, test = split.numbers(split.train), split.numbers(split.test)
    found = {stream: _similarity(parts, split, centre=True) for stream, parts in streams.items()}
    if len(found) > 1:
        found[BOTH] = np.sum(list(found.values()), axis=0)
    outcomes = []
    for stream, similarity in found.items():
        ranked = retrieve(similarity, train, test)
        nearest = {
            name: [split.train[place] for place in row[:_SHOWN_NEIGHBOURS]]
            for name, row in zip(split.test, ranked.neighbours, strict=True)
        }
        hits = {f"R@{k}": ranked.hits(k) for k in ks}
        outcomes.append(ClipOutcome("retrieval", stream, hits, {"nearest": nearest}))
    return outcomes


def knn_outcomes(streams: Mapping[str, Parts], split: ClipSplit, ks: Sequence[int]) -> list[ClipOutcome]:
    """Top-1 accuracy of the vote of the k nearest, for every k, of every stream and of two fused."""
    train, test = split.numbers(split.train), split.numbers(split.test)
    found = {stream: _similarity(parts, split, centre=False) for stream, parts in streams.items()}
    if len(found) > 1:
        found[BOTH] = np.mean(list(found.values()), axis=0)
    outcomes = []
    for stream, similarity in found.items():
        scores = {
            k: ClipScores(knn_probabilities(similarity, train, len(split.classes), k), test, split.classes) for k in ks
        }
        detail = {f"k={k}": each.to_dict(split.test) for k, each in scores.items()}
        hits = {f"k={k}": each.hits() for k, each in scores.items()}
        outcomes.append(ClipOutcome("knn", stream, hits, {"temperature": TEMPERATURE, **detail}))
    return outcomes


def linear_outcomes(
    streams: Mapping[str, Parts],
    split: ClipSplit,
    options: LinearProbeOptions,
    seeds: Sequence[int] = (0,),
    *,
    report: Callable[[], None] | None = None,
) -> list[ClipOutcome]:
    """Top-1 and top-5 of a linear classifier on stored features: the mean over ``seeds``."""
    labels, classes = split.numbers(split.train), len(split.classes)
    probabilities: dict[str, list[Floats]] = {}
    chosen: dict[str, dict[str, Any]] = {}
    for stream, parts in streams.items():
        probes = [
            linear_probe(parts.train, labels, parts.test, classes, seed=seed, options=options, report=report)
            for seed in seeds
        ]
        probabilities[stream] = [each.probabilities for each in probes]
        chosen[stream] = {
            "rates": [each.rate for each in probes],
            "decays": [each.decay for each in probes],
            "validation_accuracies": [each.validation for each in probes],
        }
    return probability_outcomes("linear", probabilities, split, chosen)


def probability_outcomes(
    protocol: str,
    probabilities: Mapping[str, Sequence[Floats]],
    split: ClipSplit,
    detail: Mapping[str, Mapping[str, Any]],
) -> list[ClipOutcome]:
    """Top-1 and top-5 of class probabilities by stream and seed, and of two streams fused. Shape of each: [N, K]."""
    found = {stream: list(seeds) for stream, seeds in probabilities.items()}
    if len(found) > 1:
        found[BOTH] = [fuse_probabilities(streams) for streams in zip(*found.values(), strict=True)]
    truth = split.numbers(split.test)
    tops = (1, 5) if len(split.classes) > 5 else (1,)
    outcomes = []
    for stream, seeds in found.items():
        scores = [ClipScores(each, truth, split.classes) for each in seeds]
        hits = {f"top-{k}": np.mean([each.hits(k) for each in scores], axis=0) for k in tops}
        more = {**detail.get(stream, {}), **scores[0].to_dict(split.test)}
        outcomes.append(ClipOutcome(protocol, stream, hits, more))
    return outcomes


def _similarity(parts: Parts, split: ClipSplit, *, centre: bool) -> Floats:
    return similarities(parts.test, parts.train, centre=centre, test_names=split.test, train_names=split.train)
