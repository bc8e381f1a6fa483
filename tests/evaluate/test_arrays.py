"""The fast evaluator against the specification's vectors, against its slow twin, and against what must not matter."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinoscope.errors import AnnotationError
from kinoscope.evaluate import matching
from kinoscope.evaluate.arrays import ArrayScores, distinct_rows, score_arrays
from kinoscope.evaluate.matching import SegmentTable, segment_tiou

from . import twin
from .cases import THRESHOLDS, medium, random_rows, rows, table
from .twin import Row

TIES = ["content", "later-row", "earlier-row"]


def fast(predictions: list[Row], truths: list[Row], thresholds: Any = THRESHOLDS, **options: Any) -> ArrayScores:
    classes = 1 + max((row.label for row in [*predictions, *truths]), default=0)
    return score_arrays(
        table(predictions), table(truths, scored=False), classes=classes, thresholds=thresholds, **options
    )


def assert_like_twin(predictions: list[Row], truths: list[Row], ties: str) -> None:
    found = fast(predictions, truths, ties=ties)
    ap, matches = twin.score(predictions, truths, THRESHOLDS, ties)
    assert set(ap) == set(np.flatnonzero(found.positives).tolist())
    for label, values in ap.items():
        np.testing.assert_allclose(found.ap[label], values, rtol=0, atol=1e-12)
    for column, taken in enumerate(matches):
        here = {row: truth for row, truth in enumerate(found.matches[:, column].tolist()) if truth >= 0}
        assert here == taken


# --- vectors -------------------------------------------------------------------------------------------------------


def one_class(raw: list[list[Any]]) -> list[Row]:
    return [Row(ord(video), 0, *numbers) for video, *numbers in raw]


def test_one_class_vectors(vectors: Any) -> None:
    group = vectors("evaluation")["vectors"]["tiou_ap_one_class"]
    for case in group["cases"]:
        inputs, expected = case["inputs"], case["expected"]
        predictions, truths = one_class(inputs["pred"]), one_class(inputs["gt"])
        ap = fast(predictions, truths, inputs["thresholds"]).ap[0]
        wanted = expected.get("ap", expected.get("recommended"))
        np.testing.assert_allclose(ap, wanted, rtol=0, atol=group["tolerance"], err_msg=case["name"])


def test_tie_vector_in_every_mode(vectors: Any) -> None:
    cases = vectors("evaluation")["vectors"]["tiou_ap_one_class"]["cases"]
    case = next(case for case in cases if case["name"] == "ties")
    predictions, truths = one_class(case["inputs"]["pred"]), one_class(case["inputs"]["gt"])
    for ties, wanted in (("content", "recommended"), ("later-row", "activitynet"), ("earlier-row", "mmaction2")):
        assert fast(predictions, truths, [0.5], ties=ties).ap[0] == case["expected"][wanted]


def test_duplicate_vectors(vectors: Any) -> None:
    case = vectors("evaluation")["vectors"]["duplicate_removal"]["cases"][0]
    start, end = np.array(case["inputs"]["annotations"], dtype=np.float64).T
    group = np.zeros(len(start), dtype=np.int64)
    assert distinct_rows(start, end, group).tolist() == case["expected"]["opentad_kept"]
    assert distinct_rows(start, end, group, shortest=1e-3).tolist() == case["expected"]["actionformer_kept"]


def test_medium_vector(vectors: Any) -> None:
    group = vectors("evaluation")["vectors"]["medium_random"]
    predictions, truths = medium()
    assert predictions.score is not None
    np.testing.assert_allclose(
        predictions.score.sum(), group["cases"][0]["inputs"]["checksums"]["score_sum"], atol=1e-8
    )
    for expected in group["cases"][0]["expected"].values():
        found = score_arrays(predictions, truths, classes=5, thresholds=expected["thresholds"])
        np.testing.assert_allclose(found.ap, expected["ap_class_by_threshold"], rtol=0, atol=group["tolerance"])
        np.testing.assert_allclose(found.map, expected["mAP"], rtol=0, atol=group["tolerance"])
        np.testing.assert_allclose(found.map.mean(), expected["average_mAP"], rtol=0, atol=group["tolerance"])


# --- the twin ------------------------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(rows(), rows(scored=False, most=10), st.sampled_from(TIES))
def test_equals_twin(predictions: list[Row], truths: list[Row], ties: str) -> None:
    assert_like_twin(predictions, truths, ties)


def test_equals_twin_on_a_thousand_seeded_cases() -> None:
    rng = np.random.default_rng(7)
    for case in range(1000):
        videos, classes = int(rng.integers(1, 4)), int(rng.integers(1, 4))
        predictions = random_rows(rng, int(rng.integers(0, 16)), videos=videos, classes=classes, digits=case % 3)
        truths = random_rows(rng, int(rng.integers(0, 9)), videos=videos, classes=classes, digits=0)
        assert_like_twin(predictions, truths, TIES[case % 3])


def test_equals_twin_when_crowded() -> None:
    """Many predictions and true segments in one video: long chains of falling through."""
    rng = np.random.default_rng(11)
    for digits in (1, 6):
        predictions = random_rows(rng, 250, videos=1, classes=1, digits=digits)
        assert_like_twin(predictions, random_rows(rng, 60, videos=1, classes=1, digits=0), "content")


def test_parts_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    predictions, truths = medium()
    whole = score_arrays(predictions, truths, classes=5, thresholds=THRESHOLDS)
    monkeypatch.setattr(matching, "_PAIRS_AT_ONCE", 50)
    parts = score_arrays(predictions, truths, classes=5, thresholds=THRESHOLDS)
    np.testing.assert_array_equal(parts.matches, whole.matches)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(0, 1)), max_size=12), st.booleans())
def test_distinct_rows_equal_twin(cells: list[tuple[int, int, int]], short: bool) -> None:
    # steps of 0.6 ms make chains in which the order decides
    raw = [(start * 6e-4, start * 6e-4 + length * 6e-4, group) for start, length, group in cells]
    start, end, group = (np.array(column) for column in zip(*raw, strict=True)) if raw else (np.zeros(0),) * 3
    shortest = 1e-3 if short else 0.0
    found = distinct_rows(start, end, group.astype(np.int64), shortest=shortest)
    assert found.tolist() == twin.distinct(raw, shortest)


# --- what must not matter, and what must ----------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(rows(), rows(scored=False), st.randoms(use_true_random=False))
def test_order_of_rows_does_not_matter(predictions: list[Row], truths: list[Row], random: Any) -> None:
    before = fast(predictions, truths).ap
    random.shuffle(predictions)
    random.shuffle(truths)
    np.testing.assert_allclose(fast(predictions, truths).ap, before, rtol=0, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(rows(), rows(scored=False), st.sampled_from([0.25, 2.0, 16.0]), st.integers(-64, 64))
def test_shift_and_scale_of_time_do_not_matter(
    predictions: list[Row], truths: list[Row], scale: float, shift: int
) -> None:
    # powers of two and half-precision times keep this exact in float64
    def moved(found: list[Row]) -> list[Row]:
        return [row._replace(start=row.start * scale + shift, end=row.end * scale + shift) for row in found]

    np.testing.assert_array_equal(fast(moved(predictions), moved(truths)).ap, fast(predictions, truths).ap)


@settings(max_examples=40, deadline=None)
@given(rows(), rows(scored=False))
def test_rescaling_the_scores_of_a_class_does_not_matter(predictions: list[Row], truths: list[Row]) -> None:
    rescaled = [row._replace(score=row.score * 2.0 ** (row.label + 1) + row.label) for row in predictions]
    np.testing.assert_array_equal(fast(rescaled, truths).ap, fast(predictions, truths).ap)


@settings(max_examples=40, deadline=None)
@given(rows(), rows(scored=False), st.permutations(range(3)))
def test_names_of_videos_do_not_matter(predictions: list[Row], truths: list[Row], names: list[int]) -> None:
    # of equal scores in two videos the name decides which goes first, so there are none here
    predictions = [row._replace(score=float(index)) for index, row in enumerate(predictions)]
    renamed = [[row._replace(video=names[row.video]) for row in found] for found in (predictions, truths)]
    np.testing.assert_array_equal(fast(*renamed).ap, fast(predictions, truths).ap)


@settings(max_examples=40, deadline=None)
@given(rows(), rows(scored=False), rows(), rows(scored=False))
def test_disjoint_data_sets_do_not_meet(p1: list[Row], t1: list[Row], p2: list[Row], t2: list[Row]) -> None:
    def away(found: list[Row]) -> list[Row]:
        return [row._replace(video=row.video + 3, label=row.label + 3) for row in found]

    dummy = [Row(9, 5, 0, 1)]  # so that both have the same number of classes
    both = fast(p1 + away(p2), t1 + away(t2) + dummy).ap
    first, second = fast(p1, [*t1, Row(9, 2, 0, 1)]).ap, fast(p2, [*t2, Row(6, 2, 0, 1)]).ap
    np.testing.assert_array_equal(both[:2], first[:2])
    np.testing.assert_array_equal(both[3:5], second[:2])


@settings(max_examples=60, deadline=None)
@given(rows(scored=False, most=10))
def test_perfect_predictions_score_one_and_none_score_zero(truths: list[Row]) -> None:
    truths = [row for row in truths if row.end > row.start]
    scores = fast([row._replace(score=0.5) for row in truths], truths)
    assert np.all(scores.ap[scores.positives > 0] == 1)
    nothing = fast([], truths)
    assert np.all(nothing.ap[nothing.positives > 0] == 0)


@settings(max_examples=40, deadline=None)
@given(rows(), rows(scored=False), st.integers(1, 20))
def test_wrong_ones_below_all_others_change_nothing(predictions: list[Row], truths: list[Row], count: int) -> None:
    wrong = [Row(0, label, 100, 101, -10.0) for label in range(3) for _ in range(count)]
    dummy = [Row(2, 2, 200, 201)]
    np.testing.assert_array_equal(fast(predictions + wrong, truths + dummy).ap, fast(predictions, truths + dummy).ap)


def test_a_wrong_one_on_top_lowers_ap() -> None:
    predictions, truths = [Row(0, 0, 0, 1, 0.5), Row(0, 0, 2, 3, 0.4)], [Row(0, 0, 0, 1), Row(0, 0, 2, 3)]
    worse = fast([*predictions, Row(0, 0, 9, 10, 0.9)], truths).ap
    assert np.all(worse < fast(predictions, truths).ap)


def test_tiou_of_no_union_is_zero() -> None:
    point = np.array([3.0])
    assert segment_tiou(point, point, point, point) == 0


def test_tolerance_forgives_rounding() -> None:
    predictions, truths = [Row(0, 0, 0, 0.6, 0.9)], [Row(0, 0, 0, 1.5)]
    assert fast(predictions, truths, [0.4]).ap[0] == 0
    assert fast(predictions, truths, [0.4], tolerance=1e-9).ap[0] == 1


def test_tie_share_counts_equal_scores_in_a_class() -> None:
    predictions = [Row(0, 0, 0, 1, 0.5), Row(0, 0, 2, 3, 0.5), Row(0, 1, 0, 1, 0.5), Row(0, 0, 0, 1, 0.1)]
    assert fast(predictions, [Row(0, 0, 0, 1)]).tie_share == 0.5


@pytest.mark.parametrize("column", ["start", "end", "score"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused(column: str, value: float) -> None:
    columns = {"start": [0.0, 0.0], "end": [1.0, 1.0], "score": [0.5, 0.5]}
    columns[column][1] = value
    with pytest.raises(AnnotationError, match=f"{column} of row 1"):
        SegmentTable(np.array([0, 0]), np.array([0, 0]), **{name: np.array(v) for name, v in columns.items()})


def test_broken_tables_are_refused() -> None:
    zero, one = np.array([0]), np.array([1.0])
    with pytest.raises(AnnotationError, match="before its start"):
        SegmentTable(zero, zero, one, np.array([0.5]))
    with pytest.raises(AnnotationError, match="one length"):
        SegmentTable(zero, zero, one, np.array([2.0, 3.0]))
    truths = SegmentTable(zero, zero, one, one)
    with pytest.raises(AnnotationError, match="no scores"):
        score_arrays(truths, truths, classes=1, thresholds=[0.5])
    with pytest.raises(AnnotationError, match="class"):
        score_arrays(SegmentTable(zero, zero + 1, one, one, one), truths, classes=1, thresholds=[0.5])


def test_no_ground_truth_gives_no_ap() -> None:
    scores = fast([Row(0, 0, 0, 1, 0.5)], [])
    assert np.isnan(scores.ap).all() and scores.map.tolist() == [0.0] * len(THRESHOLDS)
