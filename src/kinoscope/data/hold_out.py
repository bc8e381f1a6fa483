"""Drawing examples that nothing is learned from: a share of each class, groups whole where there are groups."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


def hold_out(kinds: Ints, share: float, rng: np.random.Generator) -> Bools:
    """A random ``share`` of the videos of each kind, at least one of any kind that has two. Shape: [V] -> [V].

    Args:
        kinds: a number per video; videos of one number are alike.
        share: between 0 and 1.
    """
    chosen = np.zeros(len(kinds), dtype=bool)
    for kind in np.unique(kinds):
        members = rng.permutation(np.flatnonzero(kinds == kind))
        chosen[members[: _wanted(len(members), share)]] = True
    return chosen


def hold_out_groups(kinds: Ints, groups: Sequence[str], share: float, rng: np.random.Generator) -> Bools:
    """As :func:`hold_out`, but a group goes as a whole, and every kind keeps a video. Shapes: [V], [V] -> [V].

    Groups come in random order. One is taken when more of its videos are wanted than are not, and no kind would lose
    its last video; then, for kinds that still have none held out, the smallest group that may go. So shares are met
    as nearly as the groups allow, and exactly where each video is a group.
    """
    if len(set(groups)) == len(groups):
        return hold_out(kinds, share, rng)
    counts = _count(kinds, groups)  # [G, K]
    left = counts.sum(axis=0)  # [K]
    wanted = np.array([_wanted(int(n), share) for n in left])  # [K]
    taken = np.zeros(len(counts), dtype=bool)

    def take(group: int) -> None:
        nonlocal left, wanted
        taken[group] = True
        left, wanted = left - counts[group], wanted - counts[group]

    order = rng.permutation(len(counts))
    for group in order:
        useful = np.minimum(counts[group], np.maximum(wanted, 0)).sum()
        if _may_go(counts[group], left) and 2 * useful > counts[group].sum():
            take(group)
    for kind in np.flatnonzero(wanted > 0):
        if counts[taken, kind].any():
            continue
        members = [group for group in order if counts[group, kind] and _may_go(counts[group], left)]
        if members:
            take(min(members, key=lambda group: int(counts[group].sum())))
    return taken[np.unique(groups, return_inverse=True)[1]]


def carve_validation(labels: Ints, share: float, seed: int = 0) -> tuple[Ints, Ints]:
    """Training videos in two parts: those to learn from, and those on which something may be chosen.

    A ``share`` of each class goes to the second part, at least one video of every class that has two; a class of one
    video is learned from. Shape: [N] -> [n], [m], ascending positions.
    """
    if share <= 0:
        return np.arange(len(labels)), np.empty(0, dtype=np.int64)
    held = hold_out(labels, share, np.random.default_rng(seed))  # [N]
    return np.flatnonzero(~held), np.flatnonzero(held)


def deal_groups(kinds: Ints, groups: Sequence[str], folds: int, rng: np.random.Generator) -> Ints:
    """The fold of every video: groups whole, kinds spread evenly. Shapes: [V], [V] -> [V], 0 … ``folds`` - 1.

    The largest groups are dealt first, each to the fold that has least of what it holds.
    """
    counts = _count(kinds, groups)  # [G, K]
    order = rng.permutation(len(counts))
    order = order[np.argsort(-counts[order].sum(axis=1), kind="stable")]
    held = np.zeros((folds, counts.shape[1]), dtype=np.int64)  # [F, K]
    fold_of = np.zeros(len(counts), dtype=np.int64)
    for group in order:
        alike, total = held @ counts[group], held.sum(axis=1)  # [F]
        fold_of[group] = np.lexsort((total, alike))[0]
        held[fold_of[group]] += counts[group]
    return fold_of[np.unique(groups, return_inverse=True)[1]]


def _wanted(count: int, share: float) -> int:
    return min(max(1, round(share * count)), count - 1)


def _count(kinds: Ints, groups: Sequence[str]) -> Ints:
    """Videos of each group and kind. Shapes: [V], [V] -> [G, K]."""
    names, group = np.unique(groups, return_inverse=True)
    values, kind = np.unique(kinds, return_inverse=True)
    counts = np.zeros((len(names), len(values)), dtype=np.int64)
    np.add.at(counts, (group, kind), 1)
    return counts


def _may_go(group: Ints, left: Ints) -> bool:
    """Whether every kind in a group keeps a video without it. Shapes: [K], [K]."""
    return bool((left - group > 0)[group > 0].all())
