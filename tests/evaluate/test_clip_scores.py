"""Class probabilities of whole videos: the sheet's cases, scores, intervals, comparisons."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinoscope.errors import FeatureError, OptionError
from kinoscope.evaluate.clip_scores import (
    ClipScores,
    average_probabilities,
    fuse_probabilities,
    hit_difference,
    hit_interval,
    share_interval,
)

from .test_retrieval import case

CLASSES = ("a", "b", "c")
SCORES = ClipScores(
    np.array([[0.6, 0.3, 0.1], [0.2, 0.2, 0.6], [0.4, 0.4, 0.2], [0.1, 0.2, 0.7]]), np.array([0, 1, 1, 1]), CLASSES
)


def test_the_case_of_crops_and_windows(vectors: Callable[[str], dict[str, Any]]) -> None:
    given, expected = case(vectors, "crop_window_average")
    found = average_probabilities(given["logits_crop_window_class"])
    np.testing.assert_allclose(found, expected["prob"], atol=1e-9)
    assert found.argmax() == expected["argmax"]


def test_the_case_of_two_streams(vectors: Callable[[str], dict[str, Any]]) -> None:
    given, expected = case(vectors, "two_stream_fusion")
    found = fuse_probabilities([given["prob_rgb"], given["prob_flow"]])
    np.testing.assert_allclose(found, expected["prob"], atol=1e-9)
    assert found.argmax(axis=1).tolist() == expected["argmax"]


def test_the_case_of_mean_class_accuracy(vectors: Callable[[str], dict[str, Any]]) -> None:
    one = vectors("evaluation")["vectors"]["recognition"]["cases"][0]
    scores, labels = (np.array(one["inputs"][name]) for name in ("scores", "labels"))
    found = ClipScores(scores, labels, ("a", "b", "c"))
    assert found.accuracy() == one["expected"]["topk"][0]
    assert found.mean_class_accuracy() == pytest.approx(one["expected"]["mean_class_accuracy"])
    only_answered = ClipScores(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([0, 0]), ("a", "b"))
    assert only_answered.mean_class_accuracy() == only_answered.to_dict(["x", "y"])["mean_class_accuracy"] == 0.25


def test_huge_logits_do_not_overflow() -> None:
    np.testing.assert_allclose(average_probabilities(np.array([[[1e4, 0, -1e4]]])), [1, 0, 0])
    for shape in ((2, 3), (1, 0, 3)):
        with pytest.raises(FeatureError, match=r"must be \[V, W, K\]"):
            average_probabilities(np.zeros(shape))
    with pytest.raises(FeatureError, match="streams have the shapes none"):
        fuse_probabilities([])
    with pytest.raises(FeatureError, match=r"\(2, 2\), \(3, 2\)"):
        fuse_probabilities([np.zeros((2, 2)), np.zeros((3, 2))])


def test_accuracies_by_hand() -> None:
    assert SCORES.accuracy() == 0.25  # of equally probable classes the first is the answer
    assert SCORES.accuracy(2) == 0.75 and SCORES.accuracy(3) == SCORES.accuracy(5) == 1
    assert SCORES.confusion().tolist() == [[1, 0, 0], [1, 0, 2], [0, 0, 0]]
    a, b, c = SCORES.per_class()
    assert (a["accuracy"], a["others_called_so"]) == (1, 1)
    assert (b["accuracy"], b["videos"], b["right"]) == (0, 3, 0)
    assert (c["accuracy"], c["others_called_so"]) == (None, 2)


def test_everything_goes_into_strict_json() -> None:
    found = json.loads(json.dumps(SCORES.to_dict(["1", "2", "3", "4"]), allow_nan=False))
    assert found["videos"]["4"] == {"label": "b", "answer": "c", "probability": 0.7}


def test_probabilities_that_do_not_fit_are_refused() -> None:
    for values in (np.ones((3, 3)), np.full((4, 3), np.nan)):
        with pytest.raises(FeatureError, match="must be numbers of"):
            ClipScores(values, np.zeros(4, np.int64), CLASSES)


def test_intervals_hold_the_score_and_repeat() -> None:
    hits = np.random.default_rng(0).integers(0, 2, 60).astype(float)
    low, high = hit_interval(hits, 500)
    assert low < hits.mean() < high and (low, high) == hit_interval(hits, 500) != hit_interval(hits, 500, seed=1)
    assert hit_interval(np.ones(5), 100) == (1, 1)
    with pytest.raises(OptionError, match="replicates is 0"):
        hit_interval(hits, 0)


@given(st.integers(1, 500), st.data())
def test_a_share_is_never_certain(total: int, data: st.DataObject) -> None:
    right = data.draw(st.integers(0, total))
    low, high = share_interval(right, total)
    assert 0 <= low <= right / total <= high <= 1 and high - low > 1e-3
    assert share_interval(3, 3).low == pytest.approx(0.4385, abs=1e-4) and share_interval(0, 3).high > 0.5


def test_pairs_see_what_single_intervals_cannot() -> None:
    rng = np.random.default_rng(0)
    first = rng.integers(0, 2, 100).astype(float)
    better = np.maximum(first, np.arange(100) % 7 == 0)  # never worse
    gap = hit_difference(better, first, 1000)
    assert gap.value == pytest.approx(better.mean() - first.mean()) and gap.shown
    assert hit_interval(better, 1000)[0] < hit_interval(first, 1000)[1]
    assert hit_difference(first, first, 100) == (0, 0, 0)
    with pytest.raises(OptionError, match="pairs"):
        hit_difference(first, first[1:])
