"""F1 of event boundaries: the specification's vectors, a slow twin, cases by hand, whole files."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinoscope.data.boundary_truth import BoundaryTruth, read_gebd
from kinoscope.errors import AnnotationError, OptionError
from kinoscope.evaluate.boundaries import DISTANCES, bootstrap_mean_f1, evaluate_boundaries, gebd_f1
from kinoscope.evaluate.boundary_files import evaluate_boundary_files

Predictions = dict[str, list[float]]


def test_vectors(vectors: Callable[[str], dict[str, Any]], tmp_path: Path) -> None:
    group = vectors("evaluation")["vectors"]["gebd_f1"]
    for case in group["cases"]:
        (tmp_path / "gt.json").write_text(json.dumps(case["inputs"]["gt"]))
        truth, predictions = read_gebd(tmp_path / "gt.json"), case["inputs"]["pred"]
        expected = dict(case["expected"])
        mean = expected.pop("mean_f1_0_05_to_0_5")
        assert evaluate_boundaries(predictions, truth).mean_f1 == pytest.approx(mean, abs=group["tolerance"])
        for name, values in expected.items():
            score = gebd_f1(predictions, truth, float(name.removeprefix("rel_")))
            assert score.f1 == pytest.approx(values["f1"], abs=group["tolerance"])
            assert (score.found, score.true, score.predicted) == (values["tp"], values["gt"], values["det"])


# --- the slow twin -------------------------------------------------------------------------------------------------


def slow(predictions: Predictions, truth: dict[str, BoundaryTruth], distance: float) -> tuple[int, int, int]:
    """Section 6 of the sheet, word by word."""
    found = true = predicted = 0
    for name, video in truth.items():
        if video.consistency is not None and video.consistency < 0.3:
            continue
        times = [time for time in predictions.get(name, []) if 0 <= time <= video.duration]
        if not times:
            true += len(video.raters[0])
            continue
        predicted += len(times)
        best = (-1.0, 0, 0)
        for rater in video.raters:
            free, hits = list(times), 0
            for boundary in rater:
                nearest = min(free, key=lambda time: abs(time - boundary), default=None)
                if nearest is not None and abs(nearest - boundary) <= distance * video.duration:
                    free.remove(nearest)
                    hits += 1
            recall, precision = hits / len(rater) if rater else 1.0, hits / len(times)
            f1 = 2 * recall * precision / (recall + precision) if recall + precision else 0.0
            if f1 > best[0]:
                best = (f1, hits, len(rater))
        found, true = found + best[1], true + best[2]
    return found, true, predicted


_times = st.lists(st.integers(-2, 14).map(lambda n: n / 2), max_size=5)
_video = st.builds(
    BoundaryTruth,
    st.sampled_from([4.0, 6.0]),
    st.lists(st.lists(st.integers(0, 12).map(lambda n: n / 2), max_size=4).map(tuple), min_size=1, max_size=3).map(
        tuple
    ),
    st.sampled_from([None, 0.0, 0.29, 0.3, 0.9]),
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from("abcd"), _video, min_size=1), st.dictionaries(st.sampled_from("abcdx"), _times))
def test_counts_equal_the_slow_twin(truth: dict[str, BoundaryTruth], predictions: Predictions) -> None:
    if all(video.consistency is not None and video.consistency < 0.3 for video in truth.values()):
        with pytest.raises(AnnotationError, match="no video to score"):
            evaluate_boundaries(predictions, truth)
        return
    result = evaluate_boundaries(predictions, truth, (0.05, 0.25, 0.5))
    for score in result.scores:
        found, true, predicted = slow(predictions, truth, score.distance)
        assert (score.found, score.true, score.predicted) == (found, true, predicted)
        assert score.f1 == pytest.approx(2 * found / (true + predicted) if found else 0.0)
        assert 0 <= score.f1_mean_over_raters <= 1
        single = all(len(video.raters) == 1 for video in truth.values())
        assert not single or score.f1_mean_over_raters == pytest.approx(score.f1)


# --- by hand -------------------------------------------------------------------------------------------------------


def one(*raters: Sequence[float], duration: float = 10.0) -> dict[str, BoundaryTruth]:
    return {"v": BoundaryTruth(duration, tuple(tuple(rater) for rater in raters))}


def test_the_bound_is_inclusive() -> None:
    assert gebd_f1({"v": [2.5]}, one([2.0]), 0.05).f1 == 1.0
    assert gebd_f1({"v": [2.5 + 1e-9]}, one([2.0]), 0.05).f1 == 0.0


def test_each_prediction_is_used_once_and_greedily() -> None:
    assert gebd_f1({"v": [2.0, 2.0]}, one([2.0]), 0.05).found == 1
    assert gebd_f1({"v": [2.0]}, one([2.0, 2.1]), 0.05).found == 1
    # the first boundary takes 2.4 although only the second one needs it
    assert gebd_f1({"v": [2.4, 1.4]}, one([2.0, 2.8]), 0.05).found == 1


def test_of_raters_who_suit_alike_rounding_decides_as_published() -> None:
    truth = one((10, 20, 30, 80, 90), (10, 20), duration=100.0)  # 3 of 5 and 2 of 2, both F1 2/3
    found = evaluate_boundaries({"v": [10, 20, 30, 40]}, truth, (0.005,))
    assert found.counts[0, 0].tolist() == [2, 2, 4]


def test_precision_recall_and_the_mean_over_raters() -> None:
    score = gebd_f1({"v": [2.0, 5.0, 8.0, 9.5]}, one([2.0, 5.0, 8.0], [5.0], []), 0.05)
    assert (score.precision, score.recall) == (3 / 4, 1.0) and score.f1 == pytest.approx(6 / 7)
    assert score.f1_mean_over_raters == pytest.approx(2 * (4 / 3) / (4 + 4 / 3))


def test_nothing_predicted_and_nothing_true() -> None:
    score = gebd_f1({}, one([2.0], [1.0, 2.0, 3.0]), 0.05)
    assert (score.true, score.f1, score.precision, score.recall) == (1, 0.0, 0.0, 0.0)
    assert score.f1_mean_over_raters == 0.0
    assert gebd_f1({"v": [2.0]}, one([]), 0.05).f1 == 0.0
    assert gebd_f1({"v": [11.0, -1.0]}, one([2.0]), 0.05).predicted == 0


def test_the_table_and_json() -> None:
    result = evaluate_boundaries({"v": [2.0, 6.0]}, one([2.0, 5.0]))
    table = result.table()
    assert [row["distance"] for row in table] == [f"{d:g}" for d in DISTANCES] + ["mean"]
    assert table[0]["f1"] == 0.5 and table[1]["f1"] == 1.0 and table[-1]["f1"] == pytest.approx(result.mean_f1)
    tree = json.loads(json.dumps(result.to_dict()))
    assert tree["mean_f1"] == pytest.approx(0.95) and tree["distances"][0]["found"] == 1 and tree["videos"] == 1


@pytest.mark.parametrize("distances", [(), (0.0,), (0.05, -0.1), (float("nan"),)])
def test_distances_without_sense(distances: tuple[float, ...]) -> None:
    with pytest.raises(OptionError, match="must be positive"):
        evaluate_boundaries({}, one([2.0]), distances)


def test_bootstrap_equals_repeated_videos() -> None:
    rng = np.random.default_rng(0)
    truth = {f"{n}": BoundaryTruth(10.0, (tuple(rng.uniform(0, 10, 4)),)) for n in range(6)}
    predictions = {name: rng.uniform(0, 10, 3).tolist() for name in truth}
    result = evaluate_boundaries(predictions, truth)
    low, high = bootstrap_mean_f1(result, 300, seed=1)
    means = []
    for row in np.random.default_rng(1).multinomial(6, np.full(6, 1 / 6), size=300):
        chosen = [(name, copy) for name, count in zip(truth, row, strict=True) for copy in range(count)]
        again = {f"{name} {copy}": truth[name] for name, copy in chosen}
        repeated = {f"{name} {copy}": predictions[name] for name, copy in chosen}
        means.append(evaluate_boundaries(repeated, again).mean_f1)
    assert (low, high) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])))
    assert low <= result.mean_f1 <= high
    for replicates, seed in ((0, 0), (5, -1)):
        with pytest.raises(OptionError, match="at least 1 and 0"):
            bootstrap_mean_f1(result, replicates, seed)


# --- files ---------------------------------------------------------------------------------------------------------

LABELS = """video,start,end,label,duration,split
videos/0.mp4,1,3,fall,10,train
videos/1.mp4,2,5,fall,10,test
videos/1.mp4,5,8,lie,10,test
videos/2.mp4,4,6,fall,10,test
"""


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "labels.csv").write_text(LABELS)
    (tmp_path / "b.json").write_text(json.dumps({"1": [2.1, 5.2, 8.0], "0": [1.0], "V2": [4.0, 12.0]}))
    return tmp_path / "b.json", tmp_path / "labels.csv"


def test_annotations_as_ground_truth(files: tuple[Path, Path]) -> None:
    result = evaluate_boundary_files(*files)
    assert result.subset == "test" and result.videos == ("videos/1", "videos/2")
    first = result.scores[0]
    assert (first.found, first.true, first.predicted) == (3, 5, 3)
    kinds = {reason.kind: reason for reason in result.reasons}
    assert kinds["missing_video"].names == ("videos/2",) and kinds["unknown_video"].names == ("V2",)
    assert kinds["other_folder"].count == 2, "of the train part too: the file is known"
    assert evaluate_boundary_files(*files, subset="all").scores[0].true == 7


def test_gebd_as_ground_truth(files: tuple[Path, Path], tmp_path: Path) -> None:
    entry = {"video_duration": 10, "f1_consis_avg": 0.9, "substages_timestamps": [[2.0, 5.0], [8.0]]}
    truth = {"1": entry, "2": {**entry, "f1_consis_avg": 0.1}}
    (tmp_path / "gt.json").write_text(json.dumps(truth))
    (tmp_path / "b.json").write_text(json.dumps({"1": [2.0, 5.0, 10.5]}))
    result = evaluate_boundary_files(tmp_path / "b.json", tmp_path / "gt.json")
    assert result.mean_f1 == 1.0 and result.subset is None
    assert {reason.kind for reason in result.reasons} == {"inconsistent_video", "outside_video"}
    with pytest.raises(AnnotationError, match="knows no subsets"):
        evaluate_boundary_files(tmp_path / "b.json", tmp_path / "gt.json", subset="test")


def test_files_that_cannot_be_scored(files: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="neither a table of boundaries"):
        evaluate_boundary_files(files[1], files[1])
    with pytest.raises(AnnotationError, match="no such file"):
        evaluate_boundary_files(files[0], tmp_path / "none.csv")
    (tmp_path / "labels.csv").write_text(LABELS.replace(",duration", "").replace(",10,", ","))
    with pytest.raises(AnnotationError, match="the duration of 'videos/1'"):
        evaluate_boundary_files(*files)
    with pytest.raises(OptionError, match="dev"):
        evaluate_boundary_files(*files, subset="dev")
