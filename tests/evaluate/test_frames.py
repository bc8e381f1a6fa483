"""Labels for every frame: the specification's vectors, a slow edit distance, and what divides by zero elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinoscope.data.segments import Annotations, Segment, VideoAnnotation
from kinoscope.errors import AnnotationError, OptionError
from kinoscope.evaluate import evaluate_detection
from kinoscope.evaluate.frames import edit_score, overlapping_segments, runs, score_frames

letters = st.text("ABb", min_size=1, max_size=14)


def test_vectors(vectors: Any) -> None:
    four, empty = vectors("evaluation")["vectors"]["segmental"]["cases"]
    videos = {str(number): case for number, case in enumerate(four["inputs"]["videos"])}
    guesses, truths = ({name: list(case[side]) for name, case in videos.items()} for side in ("pred", "gt"))
    found = score_frames(guesses, truths, background={"b"})
    expected = four["expected"]
    assert found.to_dict() == {
        "accuracy": pytest.approx(expected["accuracy"]),
        "edit": pytest.approx(expected["edit_mean"]),
        **{name: pytest.approx(expected[name]) for name in ("F1@10", "F1@25", "F1@50")},
        "videos": 4,
    }
    for number, case in enumerate(videos.values()):
        assert found.edits[number] == pytest.approx(case["edit"])
        assert (found.correct[number], found.frames[number]) == (case["correct"], case["frames"])
        for place, limit in enumerate(("0.1", "0.25", "0.5")):
            assert found.counts[place, number].tolist() == case[f"tp_fp_fn_{limit}"]
    kept = score_frames(guesses, truths, background=())
    assert kept.edit == pytest.approx(expected["edit_mean_background_kept_as_class"])
    nothing = score_frames({"v": list("bb")}, {"v": list("bb")}, background={"b"})
    assert nothing.edit == empty["expected"]["recommended_edit"] and nothing.counts.sum() == 0
    invented = score_frames({"v": list("bA")}, {"v": list("bb")}, background={"b"})
    assert invented.counts[0, 0].tolist() == [0, 1, 0] and invented.edit == 0


def test_only_the_word_background_is_background() -> None:
    truth = ["action_start"] * 5 + ["cut"] * 5
    found = score_frames({"v": ["cut"] * 10}, {"v": truth})
    assert found.to_dict()["edit"] == 50 and found.to_dict()["F1@10"] == pytest.approx(200 / 3)
    assert score_frames({"v": ["background"] * 5 + ["cut"] * 5}, {"v": ["cut"] * 10}).to_dict()["edit"] == 100


def levenshtein(a: str, b: str) -> int:
    if not a or not b:
        return len(a) + len(b)
    last = levenshtein(a[:-1], b[:-1]) + (a[-1] != b[-1])
    return min(last, levenshtein(a[:-1], b) + 1, levenshtein(a, b[:-1]) + 1)


@settings(max_examples=100, deadline=None)
@given(st.text("ABC", max_size=6), st.text("ABC", max_size=6))
def test_edit_distance(a: str, b: str) -> None:
    longest = max(len(a), len(b))
    expected = 100 * (1 - levenshtein(a, b) / longest) if longest else 100
    found = edit_score(np.array(list(a), dtype="U1"), np.array(list(b), dtype="U1"))
    assert found == pytest.approx(expected) and found == edit_score(np.array(list(b), "U1"), np.array(list(a), "U1"))


@given(letters)
def test_runs_tell_the_labels(labels: str) -> None:
    found = runs(np.array(list(labels)))
    again = "".join(
        str(label) * int(end - begin) for label, begin, end in zip(found.labels, found.begin, found.end, strict=True)
    )
    assert again == labels and (found.labels[1:] != found.labels[:-1]).all()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(letters, letters), min_size=1, max_size=4))
def test_scores_lie_in_bounds_and_perfect_ones_are_perfect(pairs: list[tuple[str, str]]) -> None:
    guesses = {str(n): list((a * 14)[: len(b)]) for n, (a, b) in enumerate(pairs)}
    truths = {str(n): list(b) for n, (_, b) in enumerate(pairs)}
    found = score_frames(guesses, truths, background={"b"})
    for value in (found.accuracy, found.edit, *found.f1):
        assert 0 <= value <= 100
    assert (found.f1[:-1] >= found.f1[1:]).all()
    union = score_frames(guesses, truths, background={"b"}, overlap="union")
    assert (union.counts == found.counts).all(), "where segments touch both are the same, and none reaches 0 apart"
    same = score_frames(truths, truths, background={"b"})
    assert same.accuracy == 100 and same.edit == 100 and all(f in (0.0, 100.0) for f in same.f1)


def test_numbers_are_labels_too_and_intervals_hold_the_score() -> None:
    rng = np.random.default_rng(0)
    truths = {f"v{n}": np.repeat(rng.integers(0, 4, 8), 5) for n in range(12)}
    guesses = {name: np.where(rng.random(40) < 0.8, each, 0) for name, each in truths.items()}
    found = score_frames(guesses, truths, background={0})
    intervals = found.intervals(500)
    for name, value in found.to_dict().items():
        if name != "videos":
            assert intervals[name].low <= value <= intervals[name].high
    assert intervals == found.intervals(500) != found.intervals(500, seed=1)
    with pytest.raises(OptionError, match="replicates"):
        found.intervals(0)


@pytest.mark.parametrize(
    ("guesses", "truths", "problem"),
    [
        ({}, {}, "no video"),
        ({"a": ["x"]}, {"a": ["x"], "b": ["x"]}, "1 of 2 videos have no labels, first 'b'"),
        ({"a": ["x"]}, {"a": ["x", "x"]}, "labels for"),
        ({"a": []}, {"a": []}, "labels for"),
        ({"a": [1]}, {"a": ["x"]}, "names on one side"),
    ],
)
def test_what_cannot_be_scored(guesses: Any, truths: Any, problem: str) -> None:
    with pytest.raises(AnnotationError, match=problem):
        score_frames(guesses, truths)


def test_true_segments_that_overlap_are_counted_as_by_looking_at_all_pairs() -> None:
    rng = np.random.default_rng(5)
    for _ in range(30):
        starts = rng.integers(0, 30, size=(3, 6))
        truths = {
            f"v{n}": tuple(Segment(float(s), float(s + rng.integers(1, 9)), "ab"[int(s) % 2]) for s in row)
            for n, row in enumerate(starts)
        }
        annotations = Annotations({name: VideoAnnotation(found) for name, found in truths.items()})
        result = evaluate_detection({}, annotations, "activitynet")
        slow = sum(
            any(n != m and one.start < other.end and other.start < one.end for m, other in enumerate(found))
            for found in truths.values()
            for n, one in enumerate(found)
        )
        assert overlapping_segments(result) == slow
