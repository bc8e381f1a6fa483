"""What a probe got right, counted video by video, so that resampling of videos changes sums and nothing else.

The area under the ROC curve is the share of pairs (action snippet, background snippet) in which the action has the
higher score, ties half. Counted for every pair of videos, these pairs give the exact area of any weighting of the
videos as one quadratic form. Letters: N snippets, V videos, B replicates.

Source: SoLa sheet, section 11.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..errors import OptionError
from .matching import Bools, Floats, Ints

_REPLICATES_AT_ONCE = 500  # bounds the memory, not the result


@dataclass(frozen=True)
class ProbeCounts:
    """Right and wrong answers of a probe on some snippets of each video; means over fits are fractions.

    ``videos`` below is how often each video counts, one row per replicate, [B, V]; none: every video once.
    """

    confusion: Floats
    """Snippets by true and found class, background first. Shape: [V, 2, 2]."""
    wins: Floats
    """Pairs of an action snippet of the one video and a background snippet of the other that are in the right order,
    ties half. Shape: [V, V]."""

    @property
    def snippets(self) -> tuple[int, int]:
        """How many are background, and how many action."""
        background, action = self.confusion.sum(axis=(0, 2)).round()
        return int(background), int(action)

    def balanced_accuracy(self, videos: Ints | None = None) -> Floats:
        """Mean of the shares of background and of action that were found; NaN where one is absent. Shape: [B]."""
        found = np.tensordot(self._all(videos), self.confusion, axes=1)  # [B, 2, 2]
        right, present = np.diagonal(found, axis1=1, axis2=2), found.sum(axis=2)  # [B, 2]
        shares = np.divide(right, present, out=np.full_like(present, np.nan), where=present > 0)
        return np.asarray(shares.mean(axis=1))

    def auc(self, videos: Ints | None = None) -> Floats:
        """Area under the ROC curve, of all videos pooled; NaN where a class is absent. Shape: [B]."""
        counts = self._all(videos)
        won = ((counts @ self.wins) * counts).sum(axis=1)  # [B]
        pairs = (counts @ self.confusion.sum(axis=2)).prod(axis=1)
        return np.divide(won, pairs, out=np.full_like(won, np.nan), where=pairs > 0)

    def _all(self, videos: Ints | None) -> Floats:
        return np.ones((1, len(self.wins))) if videos is None else np.asarray(videos, dtype=np.float64)


def count_answers(logits: Floats, action: Bools, video: Ints, videos: int) -> ProbeCounts:
    """Count what the logits of one probe got right; above 0 means action.

    Args:
        logits: [N].
        action: the truth. Shape: [N].
        video: numbers below ``videos``. Shape: [N].
        videos: how many there are; some may have no snippet here.
    """
    cells = (video * 2 + action) * 2 + (logits > 0)
    confusion = np.bincount(cells, minlength=4 * videos).reshape(videos, 2, 2)
    order = np.argsort(logits, kind="stable")
    ranked = logits[order]
    below, upto = (np.searchsorted(ranked, logits[action], side) for side in ("left", "right"))  # [P] for P actions
    wins = np.zeros((videos, videos))
    for other in np.unique(video[~action]):
        background = (video[order] == other) & ~action[order]  # [N], by rank
        seen = np.concatenate([[0], np.cumsum(background)])
        beaten = (seen[below] + seen[upto]) / 2  # by each action snippet
        wins[:, other] = np.bincount(video[action], beaten, minlength=videos)
    return ProbeCounts(confusion.astype(np.float64), wins)


def mean_counts(counts: list[ProbeCounts], shares: Floats) -> ProbeCounts:
    """Counts of several probes of the same snippets, each with its share; scores of the mean are means of scores."""
    return ProbeCounts(
        np.tensordot(shares, np.stack([each.confusion for each in counts]), axes=1),
        np.tensordot(shares, np.stack([each.wins for each in counts]), axes=1),
    )


class Difference(NamedTuple):
    """How far a score lies above another, and the interval of that."""

    value: float
    low: float
    high: float

    @property
    def shown(self) -> bool:
        """Whether the interval leaves out 0; one that holds 0 shows no difference."""
        return self.low > 0 or self.high < 0


def measure(regions: Mapping[str, ProbeCounts], videos: Ints | None = None) -> dict[str, Floats]:
    """``balanced_accuracy`` and ``auc`` of all snippets, then those of the regions ``near_…`` and ``far_…``. [B] each.

    Args:
        regions: under ``all``, ``near`` and ``far``.
        videos: how often each counts. Shape: [B, V].
    """
    found = {}
    for region, counts in regions.items():
        prefix = "" if region == "all" else f"{region}_"
        found[f"{prefix}balanced_accuracy"] = counts.balanced_accuracy(videos)
        found[f"{prefix}auc"] = counts.auc(videos)
    return found


def resample(regions: Mapping[str, ProbeCounts], replicates: int, seed: int) -> dict[str, Floats]:
    """Every measure on ``replicates`` sets of videos drawn with replacement. Shape: [B] each.

    The draws depend on the seed and the number of videos alone, so that two probes of the same videos meet the same.

    Raises:
        OptionError: no replicate, or a negative seed.
    """
    if replicates < 1:
        raise OptionError(f"replicates is {replicates}, but must be at least 1", cure="2000 is usual")
    if seed < 0:
        raise OptionError(f"seed is {seed}, but must be at least 0")
    total = len(regions["all"].wins)
    drawn = np.random.default_rng(seed).multinomial(total, np.full(total, 1 / total), size=replicates)  # [B, V]
    parts = [
        measure(regions, drawn[first : first + _REPLICATES_AT_ONCE])
        for first in range(0, replicates, _REPLICATES_AT_ONCE)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
