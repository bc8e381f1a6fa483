"""Average recall: the specification's vectors, and the published procedure step by step."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinoscope.errors import AnnotationError, OptionError
from kinoscope.evaluate.matching import SegmentTable
from kinoscope.evaluate.proposals import TO_95, average_recall, recall_at_kx

from .cases import medium, rows, table
from .twin import Row, tiou


def of_case(case: dict[str, Any]) -> tuple[SegmentTable, SegmentTable]:
    if "gt" not in case["inputs"]:
        return medium()
    names = sorted({row[0] for row in [*case["inputs"]["gt"], *case["inputs"]["pred"]]})
    predictions = [Row(names.index(name), 0, *rest) for name, *rest in case["inputs"]["pred"]]
    truths = [Row(names.index(name), 0, *rest) for name, *rest in case["inputs"]["gt"]]
    return table(predictions), table(truths, scored=False)


def test_vectors(vectors: Any) -> None:
    for case in vectors("evaluation")["vectors"]["ar_an"]["cases"]:
        inputs, expected = case["inputs"], case["expected"]
        proposals, truths = of_case(case)
        thresholds = inputs.get("thresholds", TO_95)
        if isinstance(thresholds, str):
            thresholds = np.linspace(0.5, 0.95, 10)
        given_ = {"most": inputs["max_avg"], "thresholds": thresholds, "count_foreign": True}
        activitynet = average_recall(proposals, truths, **given_)
        opentad = average_recall(proposals, truths, points=None, **given_)
        for found, values in ((activitynet, "activitynet"), (opentad, "opentad"), (activitynet, "all")):
            each = expected.get(values, {})
            assert found.auc == pytest.approx(each.get("AUC", found.auc), abs=1e-5), (case["name"], values)
            for name, numbers in each.items():
                if name.startswith("AR_at_grid"):
                    points = [int(text) for text in name.split("_")[3:]]
                    np.testing.assert_allclose(found.average_recall[np.array(points) - 1], numbers, atol=1e-9)
                elif name.startswith(("AR_at_AN", "AR_at_1_")):
                    points = [int(text) for text in name.split("_") if text.isdigit()]
                    assert [found.at(point) for point in points] == pytest.approx(numbers, abs=1e-9)
                elif name == "AR_at_33_34_67_100":
                    np.testing.assert_allclose(found.average_recall[[32, 33, 66, 99]], numbers, atol=1e-9)
                elif name == "AN":
                    np.testing.assert_allclose(found.number, numbers)
        if case["name"] == "medium_max_none":
            assert activitynet.number[-1] == pytest.approx(50)
        if case["name"] == "hand_extra_video":
            filtered = average_recall(proposals, truths, most=3, thresholds=thresholds)
            assert filtered.foreign == 2 and filtered.auc == pytest.approx(0.338333333333)


def test_recall_at_kx_vector(vectors: Any) -> None:
    (case,) = vectors("evaluation")["vectors"]["recall_at_kx"]["cases"]
    proposals, truths = of_case(case)
    given_ = {"multiples": case["inputs"]["k"], "thresholds": case["inputs"]["thresholds"]}
    found = recall_at_kx(proposals, truths, **given_)
    np.testing.assert_allclose(found.T, case["expected"]["recall"], atol=1e-9)


# --- twins ---------------------------------------------------------------------------------------------------------


def in_order(found: list[Row]) -> list[Row]:
    return sorted(found, key=lambda row: (row.score, row.start, row.end), reverse=True)


def recall(kept: list[Row], truths: list[Row], limit: float) -> float:
    hit = [any(row.video == truth.video and tiou(row, truth) >= limit for row in kept) for truth in truths]
    return sum(hit) / len(truths)


@settings(max_examples=150, deadline=None)
@given(rows(classes=1), rows(classes=1, scored=False, most=6), st.integers(1, 6), st.booleans(), st.booleans())
def test_the_published_procedure(
    predictions: list[Row], truths: list[Row], most: int, foreign: bool, proportional: bool
) -> None:
    truths = [*truths, Row(0, 0, 1.0, 2.0)]
    videos = sorted({row.video for row in truths})
    limits = (0.3, 0.75)
    if not foreign:
        predictions = [row for row in predictions if row.video in videos]
    ratio = most * (len(videos) / len(predictions)) if predictions else 0.0
    if proportional:
        kept = {}
        for video in videos:
            mine = in_order([row for row in predictions if row.video == video])
            kept[video] = mine[: min(int(len(mine) * (most * len(videos) / max(1, len(predictions)))), len(mine))]
        total = sum(map(len, kept.values()))
    points = 7
    expected = []
    for k in range(1, points + 1):
        used: list[Row] = []
        for video in videos:
            if not proportional:
                mine = in_order([row for row in predictions if row.video == video])
                used += mine[: math.floor(k / points * most + 1e-9)]
            elif total:
                used += kept[video][: int(len(kept[video]) * (k / points * (most * len(videos) / total)))]
        expected.append([recall(used, truths, limit) for limit in limits])
    budget: Any = "proportional" if proportional else "top"
    found = average_recall(
        table(predictions),
        table(truths, scored=False),
        most=most,
        thresholds=limits,
        points=points,
        budget=budget,
        count_foreign=foreign,
    )
    np.testing.assert_allclose(found.recall.T, expected)
    assert found.number[-1] == pytest.approx(most) and ratio >= 0
    assert (np.diff(found.recall) >= 0).all() and 0 <= found.auc <= 1


def test_a_label_that_is_no_class_serves_none() -> None:
    """Nor does it pass for the last class of the video before."""
    truths = table([Row(0, 1, 0.0, 10.0), Row(1, 0, 0.0, 10.0)], scored=False)
    guesses = table([Row(1, -1, 0.0, 10.0, 0.9)])
    assert not recall_at_kx(guesses, truths).any()


def test_fewer_proposals_than_videos() -> None:
    """None takes all that there are: a third of one for each video."""
    truths = table([Row(video, 0, 0.0, 10.0) for video in range(3)], scored=False)
    found = average_recall(table([Row(0, 0, 0.0, 10.0, 0.9)]), truths, most=None, points=100)
    assert found.number[-1] == pytest.approx(1 / 3) and found.recall[0, -1] == pytest.approx(1 / 3)


@settings(max_examples=100, deadline=None)
@given(rows(), rows(scored=False, most=8))
def test_recall_at_kx_twin(predictions: list[Row], truths: list[Row]) -> None:
    truths = [*truths, Row(0, 1, 1.0, 2.0)]
    found = recall_at_kx(table(predictions), table(truths, scored=False), multiples=(1, 2), thresholds=(0.3, 0.6))
    for number, multiple in enumerate((1, 2)):
        for column, limit in enumerate((0.3, 0.6)):
            each = []
            for label in sorted({row.label for row in truths}):
                hits = 0
                mine = [row for row in truths if row.label == label]
                for video in {row.video for row in mine}:
                    here = [row for row in mine if row.video == video]
                    guesses = in_order([row for row in predictions if (row.label, row.video) == (label, video)])
                    hits += round(recall(guesses[: multiple * len(here)], here, limit) * len(here))
                each.append(hits / len(mine))
            assert found[number, column] == pytest.approx(np.mean(each))


def test_perfect_and_none() -> None:
    truths = [Row(0, 0, 1.0, 2.0), Row(1, 0, 3.0, 5.0)]
    perfect = average_recall(table([row._replace(score=1.0) for row in truths]), table(truths, scored=False), most=1)
    assert perfect.at(1) == 1 and perfect.at(0.5) == 0
    nothing = average_recall(table([]), table(truths, scored=False))
    assert nothing.auc == 0 and (nothing.recall == 0).all()
    with pytest.raises(AnnotationError, match="no true segment"):
        average_recall(table([]), table([], scored=False))
    with pytest.raises(AnnotationError, match="no scores"):
        recall_at_kx(table(truths, scored=False), table(truths, scored=False))
    with pytest.raises(OptionError, match="at least 1"):
        average_recall(table([]), table(truths, scored=False), most=0)
