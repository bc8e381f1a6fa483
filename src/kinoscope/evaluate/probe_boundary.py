"""The boundary probe: do frozen features tell action from background, and do they where it is hard, at boundaries?

A linear classifier is trained on every snippet of the training videos and scored on every snippet of the test videos:
class-balanced accuracy and area under the ROC curve, over all snippets, those near a boundary, and the others.
Unlike the published probe (see ``probe_official.py``) it sees every snippet once, weighs both classes alike, is
solved to its optimum, chooses its regularisation inside the training videos, and tells how sure the scores are.
Letters: N snippets, C channels, V videos, F fits, S seeds, R strengths.

Source: SoLa sheet, sections 10.9 and 11.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from ..data.features import Features
from ..data.hold_out import hold_out
from ..data.segments import Annotations
from ..errors import OptionError
from .bootstrap import Interval, middle
from .logistic import Logistic, blocks, fit_logistic
from .matching import Bools, Floats
from .probe_counts import Difference, ProbeCounts, count_answers, mean_counts, measure, resample
from .probe_split import ProbeSplit, check_seeds, choose_split
from .snippets import Rows, Snippets, read_snippets

_FLAT = 1e-6  # a channel that varies less, relative to its size, holds nothing but rounding


@dataclass(frozen=True)
class BoundaryProbeOptions:
    """How the probe learns and what it calls near."""

    near: float = 1.0
    """Seconds from the start or end of a segment within which a snippet counts as near a boundary."""
    normalise: bool = True
    """Scale every row to length 1 first, as the published probe does."""
    strengths: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
    """Of the L2 penalty, to choose from; relative to the mean loss of a snippet."""
    held_out: float = 0.25
    """Share of the training videos on which the strength is chosen."""

    def __post_init__(self) -> None:
        if not self.near >= 0:
            raise OptionError(f"near is {self.near:g} s, but must be at least 0", cure="1 second is usual")
        if not self.strengths or not min(self.strengths) > 0:
            raise OptionError(f"strengths are {self.strengths}, but must be above 0", cure="0.01 is a usual one")
        if not 0 < self.held_out < 1:
            raise OptionError(f"held_out is {self.held_out}, but must lie between 0 and 1", cure="0.25 is usual")


@dataclass(frozen=True)
class BoundaryProbe:
    """Scores of one kind of features. Measures are named as the properties; NaN where a region lacks a class."""

    split: ProbeSplit
    options: BoundaryProbeOptions
    regions: Mapping[str, ProbeCounts] = field(repr=False)
    """Answers by test video under ``all``, ``near`` and ``far``; the mean over the seeds."""
    seeds: tuple[int, ...]
    strengths: tuple[float, ...]
    """Chosen by each seed."""
    train_snippets: tuple[int, int]
    """How many of the training snippets are background, and how many action."""
    late_segments: int
    """Segments that end clearly after their video, as its features know it: is their time right?"""
    zero_rows: int
    """Rows of zeros, in training and test."""

    @property
    def measures(self) -> dict[str, float]:
        """Every measure by its name."""
        return {name: float(value[0]) for name, value in measure(self.regions).items()}

    @property
    def balanced_accuracy(self) -> float:
        """Mean of the shares of background and of action snippets that were told right."""
        return self.measures["balanced_accuracy"]

    @property
    def auc(self) -> float:
        """Area under the ROC curve over all test snippets."""
        return self.measures["auc"]

    @property
    def near_balanced_accuracy(self) -> float:
        """Balanced accuracy of snippets near a boundary."""
        return self.measures["near_balanced_accuracy"]

    @property
    def near_auc(self) -> float:
        """Area under the ROC curve over snippets near a boundary."""
        return self.measures["near_auc"]

    @property
    def far_balanced_accuracy(self) -> float:
        """Balanced accuracy of snippets far from all boundaries."""
        return self.measures["far_balanced_accuracy"]

    @property
    def far_auc(self) -> float:
        """Area under the ROC curve over snippets far from all boundaries."""
        return self.measures["far_auc"]

    def intervals(self, replicates: int = 2000, seed: int = 0, *, confidence: float = 0.95) -> dict[str, Interval]:
        """Percentile interval of each measure over test videos drawn with replacement."""
        drawn = resample(self.regions, replicates, seed)
        return {name: middle(values, confidence) for name, values in drawn.items()}

    def minus(
        self, other: BoundaryProbe, replicates: int = 2000, seed: int = 0, *, confidence: float = 0.95
    ) -> dict[str, Difference]:
        """How far each measure lies above the ``other``'s, with its interval: both meet the same draws of videos.

        Raises:
            OptionError: the two were not tested on the same videos.
        """
        if self.split.test != other.split.test:
            raise OptionError(
                "the two probes were tested on different videos", cure="give both the same train and test videos"
            )
        ours, theirs = (resample(probe.regions, replicates, seed) for probe in (self, other))
        mine, its = self.measures, other.measures
        return {
            name: Difference(mine[name] - its[name], *middle(ours[name] - theirs[name], confidence)) for name in ours
        }

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values for JSON, without the counts by video; no value where a measure has none."""
        return {
            "protocol": "boundary",
            "options": asdict(self.options),
            "split": self.split.rule,
            "videos": {"train": len(self.split.train), "test": len(self.split.test)},
            "snippets": {
                "train": _by_class(self.train_snippets),
                **{f"test_{region}": _by_class(counts.snippets) for region, counts in self.regions.items()},
            },
            "seeds": list(self.seeds),
            "strengths": list(self.strengths),
            "late_segments": self.late_segments,
            "zero_rows": self.zero_rows,
            "measures": {name: None if np.isnan(value) else value for name, value in self.measures.items()},
        }


def boundary_probe(
    features: Mapping[str, Features],
    annotations: Annotations,
    *,
    train: Sequence[str] | None = None,
    test: Sequence[str] | None = None,
    seed: int | Sequence[int] = 0,
    options: BoundaryProbeOptions | None = None,
) -> BoundaryProbe:
    """Train the probe on the snippets of the training videos and score it on those of the test videos.

    Rows are scaled to length 1 (an option; it helped on GTEA and 50 Salads) and every channel to mean 0 and deviation 1
    over the training snippets (which changed no score there, but lets one range of strengths do for all features).
    The strength of the penalty has the least class-balanced loss on held-out training videos; then the probe is fitted
    again on all of them. All rows are kept in memory, in float32; reading needs twice that for a moment.

    Args:
        features: by video name; also a ``FeatureStore``.
        annotations: segments in seconds.
        train: names of the training videos, and ``test`` of the others; by default the split of the annotations, among
            the videos that have features (see :func:`~kinoscope.evaluate.probe_split.split_videos`).
        test: give both or none.
        seed: chooses the held-out part; scores of several are averaged.
        options: the recipe.

    Raises:
        AnnotationError: no segment, or only one class in a part.
        FeatureError: features that are missing, damaged or of different widths.
        OptionError: an empty part, or a video in both.
    """
    options = options or BoundaryProbeOptions()
    seeds = check_seeds(seed)
    split = choose_split(features, annotations, train, test)
    learned, scored = (
        read_snippets(features, annotations, names, near=options.near, normalise=options.normalise)
        for names in (split.train, split.test)
    )
    learned.require_both("training")
    scored.require_both("test")
    mean, scale = _scaling(learned.values)
    for each in (learned, scored):
        np.subtract(each.values, mean, out=each.values)
        np.multiply(each.values, scale, out=each.values)
    strengths = _choose_strengths(learned, seeds, options)
    distinct, times = np.unique(strengths, return_counts=True)
    fits = _fit(learned, np.ones((len(learned), len(distinct)), dtype=bool), distinct)
    logits = fits.logits(scored.values)  # [N, F]
    return BoundaryProbe(
        split,
        options,
        _count_regions(logits, times / len(seeds), scored),
        seeds,
        tuple(map(float, strengths)),
        (int((~learned.action).sum()), int(learned.action.sum())),
        learned.late + scored.late,
        learned.zeros + scored.zeros,
    )


def _scaling(rows: Rows) -> tuple[Rows, Rows]:
    """Mean of each channel, and 1 / deviation, or 0 for one that does not vary. Shape: [C] each."""
    mean = rows.mean(axis=0, dtype=np.float64)
    squares = np.zeros_like(mean)
    for _, block in blocks(rows):  # a copy of all rows in float64 would be the most memory of all
        squares += ((block - mean) ** 2).sum(axis=0)
    deviation = np.sqrt(squares / len(rows))
    varies = deviation > _FLAT * np.maximum(rows.max(axis=0), -rows.min(axis=0))
    scale = np.divide(1, deviation, out=np.zeros_like(deviation), where=varies)
    return mean.astype(np.float32), scale.astype(np.float32)


def _choose_strengths(snippets: Snippets, seeds: Sequence[int], options: BoundaryProbeOptions) -> Floats:
    """For each seed the strength with the least class-balanced loss on its held-out videos. Shape: [S].

    The middle one where that cannot be told, because a part would have one class alone.
    """
    strengths, action = np.array(options.strengths), snippets.action[:, None]
    kinds = (snippets.per_video > 0) @ np.array([1, 2])  # [V]: background, action or both
    held = [hold_out(kinds, options.held_out, np.random.default_rng(seed))[snippets.video] for seed in seeds]
    chosen = np.full(len(seeds), strengths[len(strengths) // 2])
    out = np.stack(held, axis=1)  # [N, S]
    told = np.all([(side & part).any(axis=0) for side in (action, ~action) for part in (out, ~out)], axis=0)  # [S]
    if len(strengths) == 1 or not told.any():
        return chosen
    out = out[:, told]
    fits = _fit(snippets, np.repeat(~out, len(strengths), axis=1), np.tile(strengths, out.shape[1]))
    logits = fits.logits(snippets.values).reshape(*out.shape, len(strengths))  # [N, S · R] -> [N, S, R]
    losses = np.logaddexp(0, np.where(action, -1, 1)[..., None] * logits)
    means = np.einsum("ns,nsr->sr", _balanced(snippets.action, out), losses)
    chosen[told] = strengths[means.argmin(axis=1)]
    return chosen


def _fit(snippets: Snippets, used: Bools, strengths: Floats) -> Logistic:
    """A probe per column of ``used`` [N, F]."""
    return fit_logistic(snippets.values, snippets.action, _balanced(snippets.action, used), strengths)


def _balanced(action: Bools, used: Bools) -> Floats:
    """How much each used snippet counts, so that both classes count alike and all sum to 1. Shape: [N], [N, F]."""
    total = np.zeros(used.shape)
    for side in (used & action[:, None], used & ~action[:, None]):
        total += 0.5 * side / side.sum(axis=0)
    return total


def _count_regions(logits: Floats, shares: Floats, snippets: Snippets) -> dict[str, ProbeCounts]:
    """Answers in each region, the mean over the fits by their ``shares`` [F]."""
    regions = {"all": np.ones_like(snippets.near), "near": snippets.near, "far": ~snippets.near}
    counted = {}
    for region, inside in regions.items():
        action, video = snippets.action[inside], snippets.video[inside]
        fits = [count_answers(column[inside], action, video, len(snippets.names)) for column in logits.T]
        counted[region] = mean_counts(fits, shares)
    return counted


def _by_class(counts: tuple[int, int]) -> dict[str, int]:
    return dict(zip(("background", "action"), counts, strict=True))
