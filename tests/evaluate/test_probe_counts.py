"""Balanced accuracy and AUC from counts by video, against slow twins and videos repeated in the flesh."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinoscope.errors import OptionError
from kinoscope.evaluate import probe_counts
from kinoscope.evaluate.bootstrap import middle
from kinoscope.evaluate.probe_counts import count_answers, mean_counts, resample


class Snippet(NamedTuple):
    video: int
    logit: float
    action: bool


VIDEOS = 4
snippets = st.lists(
    st.builds(Snippet, st.integers(0, VIDEOS - 1), st.integers(-3, 3).map(float), st.booleans()), max_size=25
)
weights = st.lists(st.integers(0, 3), min_size=VIDEOS, max_size=VIDEOS)


def counted(found: list[Snippet]) -> probe_counts.ProbeCounts:
    columns = [np.array([each[column] for each in found]) for column in range(3)]
    return count_answers(columns[1].astype(float), columns[2].astype(bool), columns[0].astype(np.int64), VIDEOS)


def slow_balanced_accuracy(found: list[Snippet]) -> float:
    shares = []
    for side in (True, False):
        answers = [(each.logit > 0) == side for each in found if each.action == side]
        if not answers:
            return math.nan
        shares.append(sum(answers) / len(answers))
    return sum(shares) / 2


def slow_auc(found: list[Snippet]) -> float:
    points = [
        1.0 if a.logit > b.logit else 0.5 if a.logit == b.logit else 0.0
        for a in found
        for b in found
        if a.action and not b.action
    ]
    return sum(points) / len(points) if points else math.nan


@settings(deadline=None)
@given(snippets, weights)
def test_scores_equal_the_slow_ones_of_repeated_videos(found: list[Snippet], times: list[int]) -> None:
    counts = counted(found)
    repeated = [each for each in found for _ in range(times[each.video])]
    for videos, members in ((None, found), (np.array([times]), repeated)):
        assert counts.balanced_accuracy(videos)[0] == pytest.approx(slow_balanced_accuracy(members), nan_ok=True)
        assert counts.auc(videos)[0] == pytest.approx(slow_auc(members), nan_ok=True)
    assert counts.snippets == (sum(not each.action for each in found), sum(each.action for each in found))


@settings(deadline=None)
@given(snippets)
def test_auc_turns_round_with_the_logits(found: list[Snippet]) -> None:
    turned = [each._replace(logit=-each.logit) for each in found]
    assert counted(found).auc()[0] == pytest.approx(1 - counted(turned).auc()[0], nan_ok=True)


def test_by_hand() -> None:
    found = [Snippet(0, 2, True), Snippet(0, -1, True), Snippet(0, 1, False), Snippet(1, -1, False)]
    counts = counted(found)
    assert counts.balanced_accuracy()[0] == 0.5  # one of two each
    assert counts.auc()[0] == (1 + 1 + 0 + 0.5) / 4
    assert counts.wins[0].tolist() == [1, 1.5, 0, 0]


def test_the_mean_of_counts_scores_the_mean() -> None:
    rng = np.random.default_rng(0)
    action, video = rng.random(80) < 0.4, rng.integers(0, VIDEOS, 80)
    fits = [count_answers(rng.normal(size=80), action, video, VIDEOS) for _ in range(2)]
    both = mean_counts(fits, np.array([0.25, 0.75]))
    for score in ("auc", "balanced_accuracy"):
        one, other = (getattr(fit, score)()[0] for fit in fits)
        assert getattr(both, score)()[0] == pytest.approx(0.25 * one + 0.75 * other)


def made(signal: float, seed: int = 0, videos: int = 30) -> dict[str, probe_counts.ProbeCounts]:
    rng = np.random.default_rng(seed)
    action, video = rng.random(videos * 20) < 0.3, np.repeat(np.arange(videos), 20)
    logits = signal * action + rng.normal(size=len(action)) + rng.normal(size=videos)[video]
    inside = rng.random(len(action)) < 0.5
    return {
        "all": count_answers(logits, action, video, videos),
        "near": count_answers(logits[inside], action[inside], video[inside], videos),
    }


def test_replicates_equal_videos_drawn_in_the_flesh(monkeypatch: pytest.MonkeyPatch) -> None:
    regions = made(1.0)
    found = resample(regions, 40, 7)
    drawn = np.random.default_rng(7).multinomial(30, np.full(30, 1 / 30), size=40)
    for replicate, times in enumerate(drawn):
        assert found["near_auc"][replicate] == pytest.approx(regions["near"].auc(times[None])[0])
    assert set(found) == {"balanced_accuracy", "auc", "near_balanced_accuracy", "near_auc"}
    monkeypatch.setattr(probe_counts, "_REPLICATES_AT_ONCE", 7)
    np.testing.assert_allclose(resample(regions, 40, 7)["auc"], found["auc"])


def test_draws_depend_on_seed_and_videos_alone() -> None:
    one, other = resample(made(1.0), 500, 3), resample(made(1.0, seed=9), 500, 3)
    assert np.corrcoef(one["auc"], other["auc"])[0, 1] < 0.5
    same = resample(made(1.0), 500, 3)
    assert (same["auc"] == one["auc"]).all() and not (resample(made(1.0), 500, 4)["auc"] == one["auc"]).any()


def test_the_interval() -> None:
    values = np.concatenate([np.arange(101) / 100, [np.nan] * 50])
    assert middle(values) == pytest.approx((0.025, 0.975)) and middle(values, 0.5) == pytest.approx((0.25, 0.75))
    assert all(math.isnan(bound) for bound in middle(np.full(3, np.nan)))
    regions = made(1.0)
    low, high = middle(resample(regions, 500, 0)["auc"])
    assert 0.5 < low < regions["all"].auc()[0] < high < 1
    with pytest.raises(OptionError, match="confidence is 1"):
        middle(values, 1)
    with pytest.raises(OptionError, match="replicates is 0"):
        resample(regions, 0, 0)
    with pytest.raises(OptionError, match="seed is -1"):
        resample(regions, 10, -1)
