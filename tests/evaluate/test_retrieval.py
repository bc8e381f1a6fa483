"""Retrieval and nearest neighbours: the sheet's cases, slow obvious twins, ties, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinoscope.errors import FeatureError, OptionError
from kinoscope.evaluate.knn import knn_probabilities
from kinoscope.evaluate.retrieval import retrieve, similarities, unit_rows, video_feature


def case(vectors: Callable[[str], dict[str, Any]], name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    found = next(each for each in vectors("coclr")["cases"] if each["id"] == name)
    return {key: np.array(value) for key, value in found["inputs"].items()}, found["expected"]


def test_the_case_of_one_stream(vectors: Callable[[str], dict[str, Any]]) -> None:
    given_, expected = case(vectors, "retrieval")
    similarity = similarities(given_["test_features"], given_["train_features"], centre=True)
    np.testing.assert_allclose(similarity, expected["similarity"], atol=1e-9)
    found = retrieve(similarity, given_["train_labels"], given_["test_labels"])
    np.testing.assert_allclose([found.recall(k) for k in given_["ks"]], expected["recall"], atol=1e-9)


def test_the_case_of_two_streams(vectors: Callable[[str], dict[str, Any]]) -> None:
    given_, expected = case(vectors, "retrieval_two_stream")
    parts = [
        similarities(given_[f"test_features{end}"], given_[f"train_features{end}"], centre=True) for end in ("", "_2")
    ]
    np.testing.assert_allclose(sum(parts), expected["similarity"], atol=1e-9)
    found = retrieve(parts[0] + parts[1], given_["train_labels"], given_["test_labels"])
    np.testing.assert_allclose([found.recall(k) for k in given_["ks"]], expected["recall"], atol=1e-9)


def slow_recall(similarity: np.ndarray, train: np.ndarray, test: np.ndarray, k: int) -> float:
    right = 0
    for row, label in zip(similarity, test, strict=True):
        order = sorted(range(len(train)), key=lambda m: (-row[m], m))
        right += any(train[m] == label for m in order[:k])
    return right / len(test)


def slow_votes(similarity: np.ndarray, train: np.ndarray, classes: int, k: int) -> np.ndarray:
    shares = []
    for row in similarity:
        votes = [0.0] * classes
        for m in sorted(range(len(train)), key=lambda m: (-row[m], m))[:k]:
            votes[train[m]] += float(np.exp(row[m] / 0.07))
        shares.append(np.array(votes) / sum(votes))
    return np.array(shares)


@given(st.integers(0, 10_000), st.integers(1, 12))
def test_slow_twins_agree_also_on_ties(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    similarity = rng.integers(-3, 4, (5, 9)) / 4  # many ties
    train, test = rng.integers(0, 3, 9), rng.integers(0, 3, 5)
    assert retrieve(similarity, train, test).recall(k) == slow_recall(similarity, train, test, k)
    np.testing.assert_allclose(knn_probabilities(similarity, train, 3, k), slow_votes(similarity, train, 3, k))


def test_more_neighbours_never_hurt_and_beyond_all_is_all() -> None:
    rng = np.random.default_rng(0)
    found = retrieve(rng.normal(size=(6, 8)), rng.integers(0, 4, 8), rng.integers(0, 4, 6))
    recalls = [found.recall(k) for k in range(1, 20)]
    assert recalls == sorted(recalls) and recalls[7] == recalls[-1]


def test_of_equally_near_videos_the_lower_index_comes_first() -> None:
    assert retrieve(np.zeros((1, 4)), np.arange(4), np.zeros(1)).neighbours.tolist() == [[0, 1, 2, 3]]
    assert knn_probabilities(np.zeros((1, 4)), np.array([2, 1, 1, 1]), 3, 1).tolist() == [[0, 0, 1]]


def test_an_infinite_temperature_is_the_plain_majority() -> None:
    similarity = np.array([[0.9, 0.1, 0.1, -1.0]])
    votes = knn_probabilities(similarity, np.array([0, 1, 1, 0]), 2, 3, temperature=float("inf"))
    np.testing.assert_allclose(votes, [[1 / 3, 2 / 3]])
    assert knn_probabilities(similarity, np.array([0, 1, 1, 0]), 2, 3).argmax() == 0  # 0.07: the near one decides


@pytest.mark.parametrize("k", [0, -1])
def test_impossible_k(k: int) -> None:
    with pytest.raises(OptionError, match="at least 1"):
        retrieve(np.zeros((1, 2)), np.arange(2), np.zeros(1)).recall(k)
    with pytest.raises(OptionError, match="at least 1"):
        knn_probabilities(np.zeros((1, 2)), np.arange(2), 2, k)
    with pytest.raises(OptionError, match="temperature"):
        knn_probabilities(np.zeros((1, 2)), np.arange(2), 2, 1, temperature=0)


@pytest.mark.parametrize(
    ("row", "problem"),
    [([np.nan, 1], "'b' hold NaN"), ([np.inf, 1], "'b' hold NaN"), ([0, 0], "'b' are all zero")],
)
def test_rows_that_say_nothing_are_refused_by_name(row: list[float], problem: str) -> None:
    rows = np.array([[1.0, 2], row, [3, 1]])
    with pytest.raises(FeatureError, match=problem):
        unit_rows(rows, ["a", "b", "c"], centre=True)


def test_a_split_of_one_video_cannot_be_centred() -> None:
    with pytest.raises(FeatureError, match="'a' equal the mean of their split"):
        similarities(np.ones((1, 2)), np.eye(2), centre=True, test_names=["a"])
    with pytest.raises(FeatureError, match=r"'a' \(and of 2 more\) equal the mean"):
        unit_rows(np.full((3, 4), 0.1), ["a", "b", "c"], centre=True)
    assert similarities(np.ones((1, 2)), np.eye(2), centre=False).shape == (1, 2)


def test_shapes_that_do_not_meet() -> None:
    with pytest.raises(FeatureError, match="test features have 3 channels"):
        similarities(np.ones((2, 3)), np.ones((2, 2)), centre=False)
    with pytest.raises(FeatureError, match="must be \\[N, C\\]"):
        unit_rows(np.ones((0, 3)))
    with pytest.raises(FeatureError, match="labels"):
        retrieve(np.zeros((2, 2)), np.arange(3), np.arange(2))
    with pytest.raises(FeatureError, match="NaN"):
        retrieve(np.full((2, 2), np.nan), np.arange(2), np.arange(2))


def test_windows_count_alike_whatever_their_length() -> None:
    rows = np.array([[3.0, 0], [0, 0.1], [0, 0]])
    np.testing.assert_allclose(video_feature(rows), [1 / 3, 1 / 3])
    np.testing.assert_allclose(video_feature(rows[:1]), [1, 0])
