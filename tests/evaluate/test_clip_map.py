"""Mean average precision of whole videos: the sheet's cases, slow twins, properties, intervals, what is refused."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinoscope.errors import AnnotationError, FeatureError, OptionError
from kinoscope.evaluate import clip_map, map_difference, map_interval, truth_matrix

SEEDS = st.integers(0, 10_000)


def made(seed: int, videos: int = 12, classes: int = 4, ties: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Scores and truth; some videos show several classes, some none, some classes may have no video."""
    rng = np.random.default_rng(seed)
    truth = rng.random((videos, classes)) < rng.random(classes) * 0.6
    scores = rng.normal(size=(videos, classes)) + truth
    return (scores.round() if ties else scores), truth


def slow_ap(scores: np.ndarray, truth: np.ndarray, times: np.ndarray) -> float | None:
    """Of one class, video by video; a video that counts w times has w votes, all at its own rank."""
    votes = total = found = seen = 0.0
    for video in sorted(range(len(scores)), key=lambda n: (-scores[n], n)):
        if truth[video]:
            total += times[video] * (found + 1) / (seen + 1)
            votes += times[video]
            found += times[video]
        seen += times[video]
    return total / votes if votes else None


def slow_map(scores: np.ndarray, truth: np.ndarray) -> float:
    once = np.ones(len(scores))
    return 100 * sum(slow_ap(*of_class, once) or 0 for of_class in zip(scores.T, truth.T, strict=True)) / truth.shape[1]


def test_the_cases_of_the_sheet(vectors: Callable[[str], dict[str, Any]]) -> None:
    group = vectors("arnet")["vectors"]["mean_average_precision"]
    for case in group["cases"]:
        inputs, expected = case["inputs"], case["expected"]
        powers = np.exp(np.array(inputs["logits"]))
        classes = [str(number) for number in range(inputs["num_classes"])]
        truth = truth_matrix([[str(label) for label in labels] for labels in inputs["labels"]], classes)
        found = clip_map(powers / powers.sum(axis=1, keepdims=True), truth)
        near = {"abs": group["tolerance"], "rel": 0}
        assert found.map == pytest.approx(expected.get("mAP", expected.get("mAP_all_classes")), **near)
        assert found.map_present == pytest.approx(expected.get("mAP_present_classes_only", found.map), **near)
        assert found.per_class == pytest.approx(expected.get("per_class_AP", found.per_class), **near)


def test_the_case_of_several_labels(vectors: Callable[[str], dict[str, Any]]) -> None:
    case = vectors("evaluation")["vectors"]["recognition"]["cases"][1]
    scores, truth = np.array(case["inputs"]["scores"]), np.array(case["inputs"]["labels"]) == 1
    found, expected = clip_map(scores, truth, "grouped"), case["expected"]
    assert (found.per_class / 100)[:3] == pytest.approx(expected["ap_per_class"][:3], abs=1e-9)
    assert found.positives[3] == 0 and found.map_present / 100 == pytest.approx(expected["mAP"], abs=1e-9)
    by_video = clip_map(scores.T, truth.T, "grouped").map_present / 100
    assert by_video == pytest.approx(expected["mmit_mAP_without_sample3"], abs=1e-9)
    with pytest.raises(OptionError, match="'mean'"):
        clip_map(scores, truth, "mean")  # type: ignore[arg-type]


@given(SEEDS, st.booleans())
def test_grouped_ties_are_distinct_thresholds(seed: int, ties: bool) -> None:
    scores, truth = made(seed, ties=ties)
    found = clip_map(scores, truth, "grouped")
    for column in range(truth.shape[1]):
        expected = recalled = 0.0
        for limit in sorted(set(scores[:, column]), reverse=True):
            taken = scores[:, column] >= limit
            recall = truth[taken, column].sum() / max(1, truth[:, column].sum())
            expected += (recall - recalled) * truth[taken, column].mean()
            recalled = recall
        assert found.per_class[column] == pytest.approx(100 * expected)
    if not ties:
        assert found.per_class == pytest.approx(clip_map(scores, truth).per_class)
    order = np.random.default_rng(seed).permutation(len(scores))
    assert clip_map(scores[order], truth[order], "grouped").per_class == pytest.approx(found.per_class)


@given(SEEDS, st.booleans())
def test_the_slow_twin_agrees_also_on_ties(seed: int, ties: bool) -> None:
    scores, truth = made(seed, ties=ties)
    found = clip_map(scores, truth)
    assert found.map == pytest.approx(slow_map(scores, truth)) and found.positives.tolist() == truth.sum(0).tolist()
    shown = truth.any(axis=0)
    if shown.any():
        assert found.map_present == pytest.approx(slow_map(scores[:, shown], truth[:, shown]))


@given(SEEDS)
def test_the_order_of_videos_says_nothing_where_scores_differ(seed: int) -> None:
    scores, truth = made(seed)
    order = np.random.default_rng(seed + 1).permutation(len(scores))
    assert clip_map(scores[order], truth[order]).per_class == pytest.approx(clip_map(scores, truth).per_class)


@given(SEEDS)
def test_only_the_order_of_scores_within_a_class_counts(seed: int) -> None:
    scores, truth = made(seed, ties=True)  # whole numbers, so that what is equal stays equal
    scale, shift = np.random.default_rng(seed).uniform(0.1, 9, (2, truth.shape[1]))
    for changed in (scores * scale + shift, np.exp(scores), np.float32(scores)):
        assert clip_map(changed, truth).per_class.tolist() == clip_map(scores, truth).per_class.tolist()


@given(SEEDS)
def test_a_perfect_ranking_is_100_and_nothing_is_better(seed: int) -> None:
    scores, truth = made(seed)
    shown = truth.any(axis=0)
    assert clip_map(truth + scores * 1e-3, truth).per_class.tolist() == np.where(shown, 100, 0).tolist()
    assert (clip_map(scores, truth).per_class <= 100 + 1e-9).all()
    counts, videos = truth.sum(axis=0), len(truth)  # the worst: all its videos at the end
    worst = [sum((n + 1) / (videos - count + n + 1) for n in range(count)) / max(count, 1) for count in counts]
    assert clip_map(-1.0 * truth, truth).per_class == pytest.approx(100 * np.array(worst))


def test_of_equal_scores_the_earlier_video_ranks_first() -> None:
    assert clip_map([[0.0], [-0.0], [0]], np.array([[False], [True], [False]])).map == 50


def test_a_class_without_videos_counts_nothing_or_not() -> None:
    found = clip_map(np.eye(3), np.array([[True, False, False], [False, True, False], [True, False, False]]))
    assert found.per_class == pytest.approx([500 / 6, 100, 0]) and found.positives.tolist() == [2, 1, 0]
    assert found.map == pytest.approx(550 / 9) and found.map_present == pytest.approx(550 / 6)
    none = clip_map(np.eye(2), np.zeros((2, 2), dtype=bool))
    assert none.map == 0 and np.isnan(none.map_present)


@pytest.mark.parametrize(
    ("scores", "truth", "problem"),
    [
        (
            np.array([[0.1, 0.2], [np.nan, np.nan]]),
            np.ones((2, 2), bool),
            "video 1 for class 0 is NaN, as 2 scores in all",
        ),
        (np.ones((3, 2)), np.ones((2, 3), bool), r"scores are \(3, 2\), truth is bool \(2, 3\)"),
        (np.ones((3, 2)), np.ones((3, 2)), "truth is float64"),
        (np.ones(3), np.ones(3, bool), r"both must be \[N, K\]"),
        (np.ones((0, 2)), np.ones((0, 2), bool), r"both must be \[N, K\]"),
    ],
)
def test_scores_that_cannot_be_ranked_are_refused(scores: np.ndarray, truth: np.ndarray, problem: str) -> None:
    for measure in (clip_map, map_interval):
        with pytest.raises(FeatureError, match=problem):
            measure(scores, truth)


def test_infinite_scores_have_ranks() -> None:
    assert clip_map([[-np.inf], [0.0], [np.inf]], np.array([[False], [False], [True]])).map == 100


def test_truth_by_names() -> None:
    truth = truth_matrix([("b",), ("a", "c"), ()], ("a", "b", "c"))
    assert truth.tolist() == [[False, True, False], [True, False, True], [False, False, False]]
    assert truth.dtype == np.bool_ and truth_matrix([], ("a",)).shape == (0, 1)
    with pytest.raises(AnnotationError, match="video 1 shows 'd', which is none of the 3 classes"):
        truth_matrix([("a",), ("b", "d")], ("a", "b", "c"))
    with pytest.raises(OptionError, match="3 classes, but 2 names"):
        truth_matrix([], ("a", "b", "a"))


def slow_resampled(scores: np.ndarray, truth: np.ndarray, replicates: int, seed: int) -> list[float]:
    videos, classes = truth.shape
    drawn = np.random.default_rng(seed).multinomial(videos, np.full(videos, 1 / videos), size=replicates)
    found = []
    for times in drawn:
        each = [slow_ap(scores[:, k], truth[:, k], times) for k in range(classes)]
        known = [ap for ap in each if ap is not None]
        found.append(100 * sum(known) / len(known) * truth.any(axis=0).mean())
    return found


@pytest.mark.parametrize(("ties", "cells"), [(False, 8_000_000), (True, 8_000_000), (False, 50), (False, 1)])
def test_resampling_agrees_with_its_slow_twin(monkeypatch: pytest.MonkeyPatch, ties: bool, cells: int) -> None:
    scores, truth = made(3, videos=30, ties=ties)
    truth[:, 3] = False  # a class that nothing shows
    monkeypatch.setattr(sys.modules["kinoscope.evaluate.clip_map"], "_CELLS_AT_ONCE", cells)  # parts change nothing
    slow = slow_resampled(scores, truth, 40, 7)
    assert map_interval(scores, truth, 40, 7) == pytest.approx(np.quantile(slow, [0.025, 0.975]))
    others = scores[::-1]
    gaps = np.array(slow) - slow_resampled(others, truth, 40, 7)
    found = map_difference(scores, others, truth, 40, 7)
    assert found == pytest.approx(
        (clip_map(scores, truth).map - clip_map(others, truth).map, *np.quantile(gaps, [0.025, 0.975]))
    )


def test_intervals_hold_the_map_and_repeat() -> None:
    scores, truth = made(1, videos=200, classes=5)
    low, high = map_interval(scores, truth, 500)
    middle = (low + high) / 2
    assert low < clip_map(scores, truth).map < high and abs(middle - clip_map(scores, truth).map) < 1
    assert (low, high) == map_interval(scores, truth, 500) != map_interval(scores, truth, 500, seed=1)
    narrow = map_interval(scores, truth, 500, confidence=0.5)
    assert low < narrow.low < narrow.high < high
    assert map_interval(truth, truth, 50) == pytest.approx((100, 100))  # perfect on every draw


@pytest.mark.filterwarnings("error")
def test_draws_without_any_class_are_left_out() -> None:
    scores, truth = np.array([[1.0], [0.0]]), np.array([[True], [False]])
    assert map_interval(scores, truth, 50) == (100, 100)


def test_pairs_show_what_single_intervals_cannot() -> None:
    scores, truth = made(2, videos=150, classes=6)
    better = scores + 0.2 * truth
    assert map_difference(better, scores, truth, 500).shown
    assert map_interval(better, truth, 500).low < map_interval(scores, truth, 500).high
    assert map_difference(scores, scores, truth, 50) == (0, 0, 0)


def test_draws_that_cannot_be_are_refused() -> None:
    scores, truth = made(0)
    for options, problem in (({"replicates": 0}, "replicates is 0"), ({"seed": -1}, "seed is -1")):
        with pytest.raises(OptionError, match=problem):
            map_interval(scores, truth, **options)
    with pytest.raises(OptionError, match="confidence is 2"):
        map_interval(scores, truth, 5, confidence=2)
    with pytest.raises(FeatureError, match="no video shows any class"):
        map_interval(scores, np.zeros_like(truth))
