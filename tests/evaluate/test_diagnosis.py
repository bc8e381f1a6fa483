"""What DETAD tells, on the specification's case by hand, and what must hold of any diagnosis."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinoscope.data.segments import Annotations, Segment, VideoAnnotation
from kinoscope.errors import AnnotationError
from kinoscope.evaluate import DetectionResult, evaluate_detection
from kinoscope.evaluate.boundary_error import boundary_errors
from kinoscope.evaluate.diagnosis import BACKGROUND, KINDS, TRUE, Diagnosis, diagnose
from kinoscope.evaluate.protocols import Protocol

from .cases import rows
from .twin import Row, tiou

AT_HALF = Protocol("half", (0.5,), ())
TWO = Protocol("two", (0.3, 0.6), ())


def scored(predictions: list[Row], truths: list[Row], rules: Protocol) -> DetectionResult:
    guesses: dict[str, list[Segment]] = {}
    for row in predictions:
        guesses.setdefault(f"v{row.video}", []).append(Segment(row.start, row.end, f"c{row.label}", row.score))
    videos: dict[str, list[Segment]] = {}
    for row in truths:
        videos.setdefault(f"v{row.video}", []).append(Segment(row.start, row.end, f"c{row.label}"))
    truth = Annotations({name: VideoAnnotation(tuple(found)) for name, found in videos.items()})
    return evaluate_detection(guesses, truth, rules, subset="all")


def buckets(found: Diagnosis, characteristic: str) -> dict[str, int]:
    return {each.name: each.segments for each in found.buckets if each.characteristic == characteristic}


def test_vector(vectors: Any) -> None:
    case, _ = vectors("evaluation")["vectors"]["detad"]["cases"]
    names = "abc"
    truths = [Row(names.index(v), label, start, end) for _, v, start, end, label in case["inputs"]["gt"]]
    guesses = [Row(names.index(v), label, start, end, s) for _, v, start, end, label, s in case["inputs"]["pred"]]
    result = scored(guesses, truths, AT_HALF)
    found, expected = diagnose(result), case["expected"]
    order = np.argsort(-result.predictions.score)  # type: ignore[operator]  # the case is sorted by score
    assert [KINDS[kind] for kind in found.kinds[order, 0]] == expected["type"]
    np.testing.assert_allclose(result.ap[:, 0], list(expected["AP"].values()), atol=1e-9)
    np.testing.assert_allclose(found.ap_n[:, 0], list(expected["AP_N"].values()), atol=1e-9)
    assert found.map_n == pytest.approx(expected["mAP_N"]) and found.gain == pytest.approx(
        expected["gain_when_type_removed"], abs=1e-9
    )


def test_buckets_of_the_vector(vectors: Any) -> None:
    """Right-closed, the lowest edge included."""
    _, case = vectors("evaluation")["vectors"]["detad"]["cases"]
    lengths, names = case["inputs"]["length"][1:], case["expected"]["length"][1:]
    truths = [Row(number, 0, 0.0, length) for number, length in enumerate(lengths)]
    found = diagnose(scored([], truths, AT_HALF))
    assert {name: count for name, count in buckets(found, "length").items() if count} == {
        name: names.count(name) for name in names
    }
    for count, name in zip(case["inputs"]["num_instances"], case["expected"]["num_instances"], strict=True):
        truths = [Row(0, 0, 10.0 * n, 10.0 * n + 5) for n in range(count)]
        assert buckets(diagnose(scored([], truths, AT_HALF)), "instances")[name] == count
    for share, name in zip(case["inputs"]["coverage"], case["expected"]["coverage"], strict=True):
        if share:  # a segment of no length is none
            found = diagnose(scored([], [Row(0, 0, 0.0, share)], AT_HALF), {"v0": 1.0})
            assert buckets(found, "coverage")[name] == 1
    assert not buckets(diagnose(scored([], [Row(0, 0, 0.0, 1.0)], AT_HALF)), "coverage"), "no durations are known"


def test_sensitivity_and_misses_by_hand() -> None:
    """A short and a long segment; the short one is missed, a false positive stands first."""
    truths = [Row(0, 0, 0.0, 10.0), Row(0, 0, 50.0, 90.0)]
    guesses = [Row(0, 0, 20.0, 30.0, 0.9), Row(0, 0, 50.0, 88.0, 0.8)]
    found = diagnose(scored(guesses, truths, AT_HALF))
    told = {each.name: (each.map_n, each.missed) for each in found.buckets if each.characteristic == "length"}
    # N̄ = 2; of the long ones R = 1 of 1: 1 · 2 / (1 · 2 + 1)
    assert told["S"] == (pytest.approx(2 / 3), 0.0) and told["XS"] == (0.0, 1.0)
    assert np.isnan(told["XL"][0]) and found.to_dict()["buckets"][4]["map_n"] is None


@settings(max_examples=60, deadline=None)
@given(rows(), rows(scored=False, most=8), st.booleans())
def test_kinds_are_what_the_table_says(predictions: list[Row], truths: list[Row], many: bool) -> None:
    truths = [row for row in truths if row.end > row.start] + [Row(0, 0, 1.0, 3.0)]
    predictions = predictions * (3 if many else 1)
    result = scored(predictions, truths, TWO)
    found = diagnose(result, {f"v{n}": 99.0 for n in range(3)})
    truth = result.ground_truth
    mine = [Row(*map(float, each)) for each in zip(truth.video, truth.label, truth.start, truth.end, strict=True)]
    guess = result.predictions
    for number in range(len(guess)):
        row = Row(guess.video[number], guess.label[number], guess.start[number], guess.end[number])  # type: ignore[arg-type]
        overlaps = [(tiou(row, other), (other.start, other.end)) for other in mine if other.video == row.video]
        best = max((overlap for overlap, _ in overlaps), default=0.0)
        same = {other.label for other in mine if other.video == row.video and tiou(row, other) == best}
        for column, limit in enumerate(TWO.thresholds):
            kind = found.kinds[number, column]
            if kind == -1:
                assert not many or len(predictions) > 10
            elif result.matches[number, column] >= 0:
                assert kind == TRUE
            elif best < 0.1:
                assert kind == BACKGROUND
            else:
                kinds = {(True, True): 1, (False, True): 2, (True, False): 3, (False, False): 4}
                assert kind in {kinds[label == row.label, best >= limit] for label in same}
    shares = found.profile.sum(axis=1)
    assert ((np.abs(shares - 1) < 1e-9) | (shares == 0)).all()
    assert all(gain >= -1e-12 for gain in found.gain.values()), "without false positives nothing gets worse"
    for characteristic in ("length", "instances", "coverage"):
        assert sum(buckets(found, characteristic).values()) == len(truth)
    assert 0 <= found.map_n <= 1


def test_a_prediction_that_finds_another_bucket_at_any_threshold_is_gone_at_all() -> None:
    truths = [Row(0, 0, 0.0, 40.0), Row(0, 0, 100.0, 110.0)]
    guesses = [Row(0, 0, 0.0, 25.0, 0.9), Row(0, 0, 0.0, 36.0, 0.8), Row(0, 0, 100.0, 110.0, 0.7)]
    found = diagnose(scored(guesses, truths, Protocol("two", (0.5, 0.75), ())))
    told = {each.name: each.map_n for each in found.buckets if each.characteristic == "length"}
    assert told["XS"] == 1  # the first finds the long one at 0.5, the second at 0.75


def test_of_true_segments_at_the_same_times_the_first_class_tells_the_kind() -> None:
    truths = [Row(0, 0, 0.0, 10.0), Row(0, 1, 0.0, 10.0)]
    guesses = [Row(0, label, 0.0, end, score) for label in (0, 1) for end, score in ((10.0, 0.9), (9.0, 0.8))]
    result = scored(guesses, truths, AT_HALF)
    kinds = diagnose(result).kinds[:, 0]
    twice = [KINDS[kind] for kind, end in zip(kinds, result.predictions.end, strict=True) if end == 9]
    assert twice == ["double detection", "wrong label"]


def test_what_is_longer_than_its_video_or_has_no_length_is_left_out() -> None:
    truths = [Row(0, 0, 0.0, 10.0), Row(1, 0, 0.0, 12.0), Row(0, 1, 5.0, 5.0), Row(0, 1, 2.0, 8.0)]
    guesses = [row._replace(score=0.9 - 0.1 * number) for number, row in enumerate(truths)]
    durations = {"v0": 20.0, "v1": 11.9}
    found = diagnose(scored(guesses, truths, AT_HALF), durations)
    without = diagnose(scored(guesses, [truths[0], truths[3]], AT_HALF), durations)
    assert (found.left_out, without.left_out) == (2, 0) and found.to_dict()["left_out"] == 2
    assert found.buckets == without.buckets and found.gain == without.gain
    np.testing.assert_array_equal(found.ap_n, without.ap_n)
    with pytest.raises(AnnotationError, match="all of 1 true segments are longer than their video"):
        diagnose(scored([], truths[:1], AT_HALF), {"v0": 9.0})


def test_thumos_is_looked_at_from_a_half_on() -> None:
    truths = [Row(0, 0, 0.0, 10.0)]
    result = scored([Row(0, 0, 0.0, 4.0, 0.5)], truths, Protocol("low", (0.3, 0.5), ()))
    assert diagnose(result).thresholds == (0.3, 0.5) and diagnose(result).map_n == 0.5
    found = diagnose(result, edges="thumos14")
    assert (found.thresholds, found.map_n, found.kinds.shape) == ((0.5,), 0.0, (1, 1))
    assert KINDS[found.kinds[0, 0]] == "localization"


def test_perfect_predictions_leave_nothing_to_say() -> None:
    truths = [Row(n % 3, n % 2, 5.0 * n, 5.0 * n + 3) for n in range(9)]
    found = diagnose(scored([row._replace(score=0.5) for row in truths], truths, TWO))
    assert found.map_n == 1 and set(found.gain.values()) == {0.0} and (found.kinds == TRUE).all()
    assert all(each.missed == 0 for each in found.buckets if each.segments)


def test_boundary_errors_by_hand() -> None:
    truths = [Row(0, 0, 10.0, 20.0), Row(1, 0, 30.0, 40.0), Row(2, 0, 50.0, 60.0)]
    guesses = [Row(0, 0, 11.0, 20.0, 0.9), Row(1, 0, 27.0, 41.0, 0.8)]
    low, high = boundary_errors(scored(guesses, truths, Protocol("two", (0.5, 0.8), ())))
    assert (low.found, low.segments, high.found) == (2, 3, 1)
    assert (low.start_mean, low.start_median, low.start_bias) == (2.0, 2.0, -1.0)
    assert (low.end_mean, low.end_bias, high.start_bias) == (0.5, 0.5, 1.0)
    (none,) = boundary_errors(scored([], truths, AT_HALF))
    assert none.found == 0 and none.to_dict()["start_mean"] is None
