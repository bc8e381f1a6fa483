"""Resampling videos: one weighted replicate by hand, repeating videos in the flesh, and the interval."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinoscope.data.segments import Annotations, Segment, VideoAnnotation
from kinoscope.errors import OptionError
from kinoscope.evaluate import DetectionResult, bootstrap, bootstrap_map, bootstrap_replicates, evaluate_detection
from kinoscope.evaluate.bootstrap import compare_map, weighted_map
from kinoscope.evaluate.protocols import Protocol

from .cases import rows
from .twin import Row

PLAIN = Protocol("plain", (0.5,), ())


def by_video(found: list[Row], *, scored: bool) -> dict[str, list[Segment]]:
    videos: dict[str, list[Segment]] = {}
    for row in found:
        segment = Segment(row.start, row.end, f"c{row.label}", row.score if scored else None)
        videos.setdefault(f"v{row.video}", []).append(segment)
    return videos


def scored(predictions: dict[str, list[Segment]], truths: dict[str, list[Segment]], rules: Protocol) -> DetectionResult:
    videos = {name: VideoAnnotation(tuple(found), subset="test") for name, found in truths.items()}
    return evaluate_detection(predictions, Annotations(videos), rules, subset="all")


def test_vector(vectors: Any) -> None:
    case = vectors("evaluation")["vectors"]["bootstrap"]["cases"][0]
    inputs, expected = case["inputs"], case["expected"]
    names = sorted(inputs["weights"])
    numbers = {name: index for index, name in enumerate(names)}
    predictions = [Row(numbers[v], 0, *rest) for v, *rest in inputs["pred"]]
    truths = [Row(numbers[v], 0, *rest) for v, *rest in inputs["gt"]]
    result = scored(by_video(predictions, scored=True), by_video(truths, scored=False), PLAIN)
    assert result.average_map == pytest.approx(expected["ap_unweighted"], abs=1e-9)
    weights = np.array([[inputs["weights"][name] for name in names], [1, 1, 1]])
    found = weighted_map(result, weights).map[:, 0]
    np.testing.assert_allclose(found, [expected["ap"], expected["ap_unweighted"]], rtol=0, atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(rows(), rows(scored=False), st.lists(st.integers(0, 3), min_size=3, max_size=3))
def test_a_weight_is_a_number_of_copies(predictions: list[Row], truths: list[Row], counts: list[int]) -> None:
    rules = replace(PLAIN, thresholds=(0.3, 0.5))
    # distinct scores: where ties cross videos, the names of the copies would decide their order
    predictions = [row._replace(score=float(index)) for index, row in enumerate(predictions)]
    truths = [*truths, *(Row(video, 0, 0, 1) for video in range(3))]  # every video is known
    result = scored(by_video(predictions, scored=True), by_video(truths, scored=False), rules)
    found = weighted_map(result, np.array([counts]))
    if not sum(counts):
        assert found.map.tolist() == [[0, 0]]
        return

    def copied(all_rows: list[Row]) -> list[Row]:
        return [row._replace(video=row.video + 10 * k) for row in all_rows for k in range(counts[row.video])]

    again = scored(by_video(copied(predictions), scored=True), by_video(copied(truths), scored=False), rules)
    np.testing.assert_allclose(found.map[0], again.map, rtol=0, atol=1e-12)


def made() -> DetectionResult:
    r = np.random.default_rng(3)
    truths, predictions = {}, {}
    for video in range(40):
        start = r.uniform(0, 50, 4)
        labels = [f"c{label}" for label in r.integers(0, 3, 4)]
        truths[f"v{video}"] = [Segment(s, s + 5, label) for s, label in zip(start, labels, strict=True)]
        predictions[f"v{video}"] = [
            Segment(s, s + 5 + r.normal(), label, float(r.random()))
            for s, label in zip(start + r.normal(0, 1.5, 4), labels, strict=True)
        ]
    return scored(predictions, truths, replace(PLAIN, thresholds=(0.3, 0.5, 0.7)))


def test_interval_holds_the_score_and_depends_on_the_seed_only() -> None:
    result = made()
    low, high = bootstrap_map(result, replicates=500, seed=1)
    assert 0 < low < result.average_map < high < 1
    assert (low, high) == bootstrap_map(result, replicates=500, seed=1)
    assert (low, high) != bootstrap_map(result, replicates=500, seed=2)
    narrow = bootstrap_map(result, replicates=500, seed=1, confidence=0.5)
    assert low < narrow.low < narrow.high < high


def test_parts_do_not_change_the_replicates(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = bootstrap_replicates(made(), 64)
    monkeypatch.setattr(bootstrap, "_CELLS_AT_ONCE", 1)
    np.testing.assert_array_equal(bootstrap_replicates(made(), 64).map, whole.map)


def test_an_absent_class_is_left_out_and_counted() -> None:
    truths = {"a": [Segment(0, 1, "x")], "b": [Segment(0, 1, "y")]}
    predictions = {"a": [Segment(0, 1, "x", 0.9)], "b": [Segment(5, 6, "y", 0.9)]}
    found = weighted_map(scored(predictions, truths, PLAIN), np.array([[2, 0], [1, 1], [0, 2]]))
    assert found.map[:, 0].tolist() == [1, 0.5, 0]
    assert found.absent.tolist() == [1, 1]


def test_options_are_checked() -> None:
    with pytest.raises(OptionError, match="replicates is 0"):
        bootstrap_map(made(), replicates=0)
    with pytest.raises(OptionError, match="confidence is 95"):
        bootstrap_map(made(), replicates=1, confidence=95)


# --- two sets of predictions ---------------------------------------------------------------------------------------


def _noisy(rng: np.random.Generator, off: float, truths: dict[str, list[Segment]]) -> dict[str, list[Segment]]:
    return {
        name: [Segment(s.start + rng.normal(0, off), s.end + 5, s.label, float(rng.random())) for s in found]
        for name, found in truths.items()
    }


def test_a_better_one_is_ahead() -> None:
    rng = np.random.default_rng(3)
    truths = {f"v{n}": [Segment(20.0 * k, 20.0 * k + 10, "ab"[k % 2]) for k in range(4)] for n in range(20)}
    rules = replace(PLAIN, thresholds=(0.5, 0.6))
    good, bad = (scored(_noisy(rng, off, truths), truths, rules) for off in (0.5, 4.0))
    found = compare_map(good, bad, 400)
    assert found.difference == pytest.approx(good.average_map - bad.average_map)
    assert found.low < found.difference < found.high and found.low > 0 and found.ahead == 1
    assert found.per_class.mean() == pytest.approx(found.difference)
    back = compare_map(bad, good, 400)
    assert (back.low, back.high, back.ahead) == (-found.high, -found.low, 0)
    same = compare_map(good, good, 50)
    assert (same.difference, same.low, same.high, same.ahead) == (0, 0, 0, 0.5)


def test_a_foreign_video_of_one_side_does_not_part_the_draws() -> None:
    truths = {f"v{n}": [Segment(0.0, 10.0, "a")] for n in range(6)}
    guesses = {name: [Segment(0.0, 10.0, "a", 0.9)] for name in list(truths)[:4]}
    one = scored(guesses, truths, PLAIN)
    other = scored({**guesses, "elsewhere": [Segment(0.0, 1.0, "a", 0.1)]}, truths, PLAIN)
    assert compare_map(one, other, 100).difference == 0 == compare_map(one, other, 100).low


def test_only_what_was_scored_alike_is_compared() -> None:
    truths = {f"v{n}": [Segment(0.0, 10.0, "a")] for n in range(3)}
    one, other = scored({}, truths, PLAIN), scored({}, dict(list(truths.items())[:2]), PLAIN)
    with pytest.raises(OptionError, match="not scored alike"):
        compare_map(one, other)
    with pytest.raises(OptionError, match="replicates"):
        compare_map(one, one, 0)
