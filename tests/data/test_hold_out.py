"""Drawing whole groups: shares are met as nearly as groups allow, and every class keeps something to learn."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kinoscope.data.hold_out import deal_groups, hold_out, hold_out_groups

grouped = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9)), min_size=1, max_size=60)


@given(grouped, st.floats(0.01, 0.9), st.integers(0, 99))
def test_groups_go_whole_and_classes_keep_a_video(rows: list[tuple[int, int]], share: float, seed: int) -> None:
    kinds, groups = np.array([kind for kind, _ in rows]), [str(group) for _, group in rows]
    held = hold_out_groups(kinds, groups, share, np.random.default_rng(seed))
    for group in set(groups):
        assert len({bool(out) for out, each in zip(held, groups, strict=True) if each == group}) == 1
    for kind in set(kinds.tolist()):
        assert not held[kinds == kind].all()
    again = hold_out_groups(kinds, groups, share, np.random.default_rng(seed))
    assert (held == again).all()


@given(st.lists(st.integers(0, 4), min_size=1, max_size=40), st.floats(0.01, 0.9), st.integers(0, 9))
def test_videos_that_are_groups_are_drawn_as_without(kinds: list[int], share: float, seed: int) -> None:
    names, numbers = [str(place) for place in range(len(kinds))], np.array(kinds)
    held = hold_out_groups(numbers, names, share, np.random.default_rng(seed))
    assert (held == hold_out(numbers, share, np.random.default_rng(seed))).all()


@given(st.lists(st.integers(2, 12), min_size=1, max_size=4), st.floats(0.05, 0.6), st.integers(0, 9))
def test_pairs_meet_the_share_to_a_pair(sizes: list[int], share: float, seed: int) -> None:
    kinds = np.repeat(np.arange(len(sizes)), [2 * size for size in sizes])
    groups = [str(place // 2) for place in range(len(kinds))]
    held = hold_out_groups(kinds, groups, share, np.random.default_rng(seed))
    for kind, size in enumerate(sizes):
        wanted = min(max(1, round(share * 2 * size)), 2 * size - 1)
        assert 0 < held[kinds == kind].sum() < 2 * size and abs(held[kinds == kind].sum() - wanted) <= 1


def test_a_class_of_one_recording_is_learned() -> None:
    kinds, groups = np.array([0, 0, 0, 1, 1]), ["a", "a", "a", "b", "c"]
    held = hold_out_groups(kinds, groups, 0.3, np.random.default_rng(0))
    assert not held[:3].any() and held[3:].sum() == 1


@given(grouped, st.integers(2, 4), st.integers(0, 9))
def test_groups_are_dealt_whole(rows: list[tuple[int, int]], folds: int, seed: int) -> None:
    kinds, groups = np.array([kind for kind, _ in rows]), [str(group) for _, group in rows]
    fold = deal_groups(kinds, groups, folds, np.random.default_rng(seed))
    assert len(set(zip(groups, fold.tolist(), strict=True))) == len(set(groups))
    used = len(set(fold.tolist()))
    assert used == min(folds, len(set(groups)))


def test_classes_are_dealt_evenly() -> None:
    kinds = np.repeat(np.arange(3), 20)
    fold = deal_groups(kinds, [str(place // 2) for place in range(60)], 5, np.random.default_rng(1))
    for k in range(5):
        assert np.bincount(kinds[fold == k], minlength=3).tolist() == [4, 4, 4]
