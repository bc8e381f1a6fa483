"""From names to numbers: subsets, protocols, reasons, files, and the real ground truth."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kinoscope.data.annotations import read_annotations, write_predictions_csv, write_predictions_json
from kinoscope.data.segments import Annotations, Segment, VideoAnnotation
from kinoscope.errors import AnnotationError, OptionError
from kinoscope.evaluate import (
    DetectionResult,
    Reason,
    average_recall,
    evaluate_detection,
    evaluate_files,
    get_protocol,
    list_protocols,
)

Truths = Mapping[str, Sequence[tuple[float, float, str]]]


def annotations(truths: Truths, subset: str | None = None) -> Annotations:
    return Annotations(
        {name: VideoAnnotation(tuple(Segment(*row) for row in found), subset=subset) for name, found in truths.items()}
    )


def guesses(rows: Mapping[str, Sequence[tuple[float, float, str, float]]]) -> dict[str, list[Segment]]:
    return {name: [Segment(*row) for row in found] for name, found in rows.items()}


def reason(result: DetectionResult, kind: str) -> Reason:
    return next(found for found in result.reasons if found.kind == kind)


def kinds(result: DetectionResult) -> set[str]:
    return {found.kind for found in result.reasons}


TRUTHS: Truths = {"a": [(0, 10, "fall"), (20, 30, "lie")], "b": [(0, 10, "lie")]}
PERFECT = guesses({"a": [(0, 10, "fall", 0.9), (20, 30, "lie", 0.8)], "b": [(0, 10, "lie", 0.7)]})


@pytest.mark.parametrize("protocol", list_protocols())
def test_perfect_predictions_score_one_without_any_reason(protocol: str) -> None:
    result = evaluate_detection(PERFECT, annotations(TRUTHS), protocol)
    assert result.average_map == 1 and np.all(result.ap == 1)
    assert kinds(result) <= {"subset", "video_list"}
    assert ("video_list" in kinds(result)) == (get_protocol(protocol).listed is not None)


def test_no_predictions_score_zero_and_say_so() -> None:
    result = evaluate_detection({}, annotations(TRUTHS))
    assert result.average_map == 0
    assert reason(result, "missing_video").names == ("a", "b")
    assert reason(result, "class_without_prediction").names == ("fall", "lie")


def test_class_handling_vector(vectors: Any, tmp_path: Path) -> None:
    case = vectors("evaluation")["vectors"]["class_handling"]["cases"][0]
    truth, pred = tmp_path / "truth.json", tmp_path / "pred.json"
    truth.write_text(json.dumps({"database": case["inputs"]["gt"]}))
    pred.write_text(json.dumps({"results": case["inputs"]["pred"]}))
    result = evaluate_files(pred, truth, replace(get_protocol("activitynet"), thresholds=(0.5,)))
    assert result.average_map == pytest.approx(case["expected"]["recommended_mAP"], abs=1e-9)
    left_out = reason(result, "unknown_label")
    assert left_out.count == 2 and left_out.names == ("B",)


def test_matches_name_the_true_segment() -> None:
    result = evaluate_detection(PERFECT, annotations(TRUTHS))
    for row, found in enumerate(result.matches[:, 0]):
        assert result.predictions.start[row] == result.ground_truth.start[found]
        assert result.predictions.label[row] == result.ground_truth.label[found]


@pytest.mark.parametrize(
    ("predicted", "known"),
    [
        ("v_xyz", "xyz"),
        ("xyz", "v_xyz"),
        ("XYZ", "xyz"),
        ("xyz.mp4", "xyz"),
        ("d/xyz", "xyz"),
        ("xyz", "d/xyz"),
        ("e/xyz", "d/xyz"),
    ],
)
def test_names_that_nearly_meet_are_pointed_out(predicted: str, known: str) -> None:
    predictions = guesses({predicted: [(0, 10, "fall", 0.9)]})
    rules = replace(get_protocol("own"), match_folders=False)
    result = evaluate_detection(predictions, annotations({known: [(0, 10, "fall")]}), rules)
    assert result.average_map == 0
    assert f"{predicted!r} (did you mean {known!r}?)" in reason(result, "unknown_video").text
    assert reason(result, "missing_video").names == (known,)


def test_labels_that_nearly_meet_are_pointed_out() -> None:
    result = evaluate_detection(guesses({"a": [(0, 10, "Fall", 0.9), (0, 1, "lye", 0.1)]}), annotations(TRUTHS))
    text = reason(result, "unknown_label").text
    assert "'Fall' (did you mean 'fall'?)" in text and "'lye' (did you mean 'lie'?)" in text


def test_long_lists_are_cut_but_kept_for_programs() -> None:
    result = evaluate_detection({}, annotations({f"v{index}": [(0, 1, "x")] for index in range(30)}))
    missing = reason(result, "missing_video")
    assert missing.count == len(missing.names) == 30 and "and 25 more" in missing.text


def test_duplicates_are_told() -> None:
    truths = {"a": [(0, 10, "x"), (0.0005, 10.0005, "x"), (5, 5, "x"), (0, 10, "y")]}
    predictions = guesses({"a": [(0, 10, "x", 0.9), (0, 10, "x", 0.9), (1, 1, "x", 0.1), (0, 10, "y", 0.2)]})
    result = evaluate_detection(predictions, annotations(truths), "own")
    assert reason(result, "duplicate_truth").count == reason(result, "empty_truth").count == 1
    assert reason(result, "duplicate_prediction").count == reason(result, "empty_prediction").count == 1
    assert reason(result, "tied_scores").count == 2
    assert len(result.ground_truth) == 2 and result.average_map == 1
    kept = evaluate_detection(predictions, annotations(truths), "activitynet")
    assert len(kept.ground_truth) == 4 and kept.average_map < 1


def test_a_class_of_nothing_but_empty_segments_is_no_class() -> None:
    truths = {"a": [(0, 10, "x"), (5, 5, "a point"), (0, 10, "z")]}
    predictions = guesses({"a": [(0, 10, "x", 0.9), (0, 10, "z", 0.9), (4, 6, "a point", 0.5)]})
    result = evaluate_detection(predictions, annotations(truths), "own")
    assert result.classes == ("x", "z") and result.average_map == 1
    assert json.loads(json.dumps(result.to_dict(), allow_nan=False))["segments"] == 2
    assert evaluate_detection(predictions, annotations(truths), "activitynet").classes == ("a point", "x", "z")
    with pytest.raises(AnnotationError, match="no segment to score"):
        evaluate_detection(predictions, annotations({"a": [(5, 5, "x")]}), "own")


def test_ambiguous_is_no_class_of_thumos() -> None:
    truths = {"a": [(0, 10, "HighJump"), (2, 3, "Ambiguous")]}
    result = evaluate_detection(guesses({"a": [(0, 10, "HighJump", 0.9)]}), annotations(truths, "test"), "thumos14")
    assert result.classes == ("HighJump",) and result.average_map == 1
    assert reason(result, "ignored_label").count == 1


def test_cap_keeps_the_best_of_each_video() -> None:
    rules = replace(get_protocol("own"), max_per_video=1)
    result = evaluate_detection(PERFECT, annotations(TRUTHS), rules)
    assert sorted(result.predictions.score.tolist()) == [0.7, 0.9]  # type: ignore[union-attr]
    assert reason(result, "above_cap").count == 1


# --- subsets -------------------------------------------------------------------------------------------------------


def mixed() -> Annotations:
    segment = (Segment(0, 10, "x"),)
    splits = {"a": "Testing", "b": "training", "c": "validation", "d": None}
    return Annotations({name: VideoAnnotation(segment, subset=split) for name, split in splits.items()})


def test_own_scores_the_test_part_and_ignores_predictions_elsewhere() -> None:
    predictions = guesses({name: [(0, 10, "x", 0.9)] for name in "abc"} | {"z": [(0, 10, "x", 0.1)]})
    result = evaluate_detection(predictions, mixed())
    assert result.subset == "Testing" and result.scored_videos == ("a",) and result.average_map == 1
    assert reason(result, "other_subset").names == ("b", "c")
    assert reason(result, "unknown_video").names == ("z",)
    assert reason(result, "video_without_subset").names == ("d",)
    assert "'Testing'" in reason(result, "subset").text


def test_published_protocols_count_predictions_elsewhere_as_wrong() -> None:
    predictions = guesses({"b": [(0, 10, "x", 0.9)], "c": [(0, 10, "x", 0.8)]})
    result = evaluate_detection(predictions, mixed(), "activitynet")
    assert result.scored_videos == ("c",) and result.average_map == 0.5
    assert reason(result, "other_subset").count == 1


@pytest.mark.parametrize(("wanted", "videos"), [("TEST", "a"), ("val", "c"), ("train", "b"), ("all", "abcd")])
def test_subset_names_are_read_kindly(wanted: str, videos: str) -> None:
    assert evaluate_detection({}, mixed(), subset=wanted).scored_videos == tuple(videos)


def test_subsets_that_do_not_exist() -> None:
    with pytest.raises(OptionError, match=r"subset 'dev'(.|\n)*Testing \(1 video\)"):
        evaluate_detection({}, mixed(), subset="dev")
    with pytest.raises(AnnotationError, match="knows no subsets"):
        evaluate_detection({}, annotations(TRUTHS), subset="test")
    with pytest.raises(OptionError, match="validation"):
        evaluate_detection({}, annotations(TRUTHS, "training"), "activitynet")
    whole = evaluate_detection(PERFECT, annotations(TRUTHS, "training"), "own")
    assert whole.subset is None and "none is marked" in reason(whole, "subset").text
    assert "no subsets" in reason(evaluate_detection(PERFECT, annotations(TRUTHS), "hacs"), "subset").text


# --- refusals ------------------------------------------------------------------------------------------------------


def test_protocols_and_their_values() -> None:
    assert get_protocol("thumos14").thresholds == (0.3, 0.4, 0.5, 0.6, 0.7)
    assert get_protocol("ActivityNet").thresholds[8] == 0.9
    assert get_protocol("own").thresholds == get_protocol("thumos14").thresholds
    with pytest.raises(OptionError, match=r"'thumos'(.|\n)*did you mean thumos14"):
        get_protocol("thumos")
    with pytest.raises(OptionError, match="thresholds"):
        replace(get_protocol("own"), thresholds=(0.0,))
    with pytest.raises(OptionError, match="max_per_video"):
        replace(get_protocol("own"), max_per_video=0)


@pytest.mark.parametrize(
    "segment", [Segment(0, 1, "fall"), Segment(0, 1, "fall", float("nan")), Segment(2, 1, "fall", 0.5)]
)
def test_unusable_predictions_are_refused_by_name(segment: Segment) -> None:
    with pytest.raises(AnnotationError, match="segment of 'b' cannot be scored"):
        evaluate_detection({"a": [], "b": [segment]}, annotations(TRUTHS))


def test_ground_truth_without_segments_is_refused() -> None:
    with pytest.raises(AnnotationError, match="no segment to score"):
        evaluate_detection(PERFECT, annotations({"a": []}))
    with pytest.raises(AnnotationError, match="ground truth of clips"):
        evaluate_detection(PERFECT, Annotations({"a": VideoAnnotation(label="fall")}))


# --- files ---------------------------------------------------------------------------------------------------------


def test_files_of_both_kinds_give_the_same(tmp_path: Path) -> None:
    truth = tmp_path / "labels.csv"
    truth.write_text("video,start,end,label\na.mp4,0,10,fall\na.mp4,20,30,lie\nb.mp4,0,10,lie\nc.mp4,,,\n")
    rough = guesses({"a": [(1, 10, "fall", 0.9), (20, 26, "lie", 0.8)], "c": [(0, 9, "lie", 0.85)], "b": []})
    write_predictions_json(tmp_path / "pred.json", rough)
    write_predictions_csv(tmp_path / "pred.csv", rough)
    one, two = (evaluate_files(tmp_path / name, truth) for name in ("pred.json", "pred.csv"))
    np.testing.assert_array_equal(one.ap, two.ap)
    assert one.scored_videos == ("a", "b", "c") and 0 < one.average_map < 1
    assert one.to_dict() == two.to_dict()


def test_flawed_ground_truth_is_refused_by_own_and_counted_by_published_protocols(tmp_path: Path) -> None:
    truth, pred = tmp_path / "truth.csv", tmp_path / "pred.csv"
    truth.write_text("video,start,end,label,duration\na,0,10,x,20\na,15,30,x,20\na,3,3,x,20\na,0,10,x,20\n")
    pred.write_text("video,start,end,label,score\na,0,10,x,0.9\na,2,2,x,0.1\n")
    with pytest.raises(AnnotationError, match="3 problems"):
        evaluate_files(pred, truth, "own")
    result = evaluate_files(pred, truth, "activitynet")
    assert len(result.ground_truth) == 4
    assert {"beyond_ground_truth", "empty_ground_truth", "duplicate_ground_truth", "empty_predictions"} <= kinds(result)
    truth.write_text("video,start,end,label\na,9,3,x\n")
    with pytest.raises(AnnotationError, match="not before end"):
        evaluate_files(pred, truth, "activitynet")


def test_predictions_in_the_place_of_ground_truth_are_noticed(tmp_path: Path) -> None:
    write_predictions_json(tmp_path / "pred.json", PERFECT)
    result = evaluate_files(tmp_path / "pred.json", tmp_path / "pred.json")
    assert result.average_map == 1 and reason(result, "scored_ground_truth").count == 3
    (tmp_path / "truth.csv").write_text("video,start,end,label\na,0,1,x\n")
    with pytest.raises(AnnotationError, match="no score"):
        evaluate_files(tmp_path / "truth.csv", tmp_path / "pred.json")


def test_proposals_need_no_labels(tmp_path: Path) -> None:
    truth, table, tree = (tmp_path / name for name in ("truth.csv", "proposals.csv", "proposals.json"))
    truth.write_text("video,start,end,label\na,0,10,x\na,20,30,y\n")
    table.write_text("video,start,end,score\na,0,10,0.9\na,20,30,0.8\nb,,,\n")
    rows = [{"segment": [0, 10], "score": 0.9}, {"segment": [20, 30], "score": 0.8, "label": ""}]
    tree.write_text(json.dumps({"results": {"a": rows, "b": []}}))
    for path in (table, tree):
        with pytest.raises(AnnotationError, match="label"):
            evaluate_files(path, truth)
        result = evaluate_files(path, truth, need_labels=False)
        assert result.class_agnostic and result.proposals is not None and len(result.proposals) == 2
        assert average_recall(result.proposals, result.ground_truth).at(100) == 1
    assert not evaluate_detection(PERFECT, annotations(TRUTHS)).class_agnostic


def test_what_is_clearly_wrong_comes_first() -> None:
    result = evaluate_detection(guesses({"v_a": [(0, 10, "Fall", 0.9)]}), annotations(TRUTHS), "thumos14-212")
    assert [each.kind for each in result.reasons[:3]] == ["video_names", "label_names", "video_list"]
    assert all(each.cure for each in result.reasons[:3]) and not any(each.cure for each in result.reasons[3:])


@pytest.mark.parametrize(
    ("external", "told"),
    [
        ({"classifier": "cuhk.json"}, "cuhk.json"),
        ({"used": True, "details": "UntrimmedNet"}, "UntrimmedNet"),
        ({"used": False, "details": "none"}, "not told"),
        ({"model": "trained head"}, "not told"),
        ({"classifier": ["x"]}, "not told"),
        (["x"], "not told"),
        (None, "not told"),
    ],
)
def test_the_classifier_is_told_as_the_file_tells_it(tmp_path: Path, external: object, told: str) -> None:
    rows = [{"segment": [0, 10], "score": 0.9, "label": "x"}]
    (tmp_path / "p.json").write_text(json.dumps({"results": {"a": rows}, "external_data": external}))
    (tmp_path / "truth.csv").write_text("video,start,end,label\na,0,10,x\n")
    result = evaluate_files(tmp_path / "p.json", tmp_path / "truth.csv")
    assert result.classifier == result.to_dict()["classifier"] == told
    videos = result.to_dict()["video_list"]
    assert videos == {"videos": 1, "named_by_protocol": None, "blocked": [], "hash": result.video_list_hash}


def test_result_as_plain_values_and_as_a_table() -> None:
    result = evaluate_detection(PERFECT, annotations(TRUTHS), "thumos14")
    plain = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert plain["average_mAP"] == 1 and set(plain["mAP"]) == {"0.3", "0.4", "0.5", "0.6", "0.7"}
    assert [row["class"] for row in result.table()] == ["fall", "lie", "mean"]
    other = evaluate_detection(PERFECT, annotations({**TRUTHS, "c": []}))
    assert result.video_list_hash != other.video_list_hash and len(result.video_list_hash) == 16


def perfect(truth: Annotations) -> dict[str, list[Segment]]:
    return {name: [replace(s, score=0.5) for s in video.segments] for name, video in truth.videos.items()}


@pytest.mark.parametrize(
    ("name", "protocol", "subset", "segments", "classes"),
    [
        ("annotations/thumos_gt.json", "thumos14", "test", 3311, 20),
        ("annotations/multithumos_anno.json", "thumos14", "validation", None, None),
        ("annotations/activitynet_v1-3_valid_tsp_groundtruth.csv", "activitynet", None, 7654, 200),
        ("urfd/annotations.json", "own", None, None, 2),
    ],
)
def test_real_ground_truth_scores_itself(
    shared_data: Path, name: str, protocol: str, subset: str | None, segments: int | None, classes: int | None
) -> None:
    truth = read_annotations(shared_data / name, on_flaw="keep")
    predicted = perfect(truth.subset(subset) if subset else truth)
    result = evaluate_detection(predicted, truth, protocol, subset=subset)
    assert segments is None or len(result.ground_truth) == segments
    assert classes is None or len(result.classes) == classes
    # ActivityNet holds a few segments of no length, which nothing can find; other flaws do not matter here
    assert result.average_map > 0.995
    assert result.scored_videos and "missing_video" not in kinds(result)
