"""Names that hardly meet: what is told, and when nothing is."""

from __future__ import annotations

from collections import Counter

import pytest

from kinoscope.data.segments import Annotations, Segment, VideoAnnotation
from kinoscope.evaluate import evaluate_detection
from kinoscope.evaluate.mismatch import label_names, video_list, video_names

KNOWN = [f"clip{n}" for n in range(20)]


@pytest.mark.parametrize(
    ("written", "cure"),
    [
        ("v_{}", "they differ by v_ before the name"),
        ("{}.npy", "they differ by the suffix of the file"),
        ("rgb/{}", "they differ by the folders before the name"),
        ("a/v_{}.MP4", "the folders before the name and by the suffix of the file and by v_ before the name"),
    ],
)
def test_videos_that_are_only_written_otherwise(written: str, cure: str) -> None:
    (reason,) = video_names([written.format(name) for name in KNOWN], KNOWN)
    assert reason.kind == "video_names" and reason.count == 20 and reason.cure.endswith(cure)
    assert f"{written.format('clip0')!r}, the ground truth 'clip0'" in reason.text
    (other_way,) = video_names(KNOWN, [written.format(name) for name in KNOWN])
    assert "none of 20 predicted videos" in other_way.text and other_way.cure == reason.cure


def test_videos_in_another_case() -> None:
    (reason,) = video_names([name.upper() for name in KNOWN], KNOWN)
    assert "'CLIP0', the ground truth 'clip0'" in reason.text and reason.cure.endswith("upper and lower case")


def test_few_that_meet_and_the_rest_written_otherwise() -> None:
    (reason,) = video_names([KNOWN[0], *(f"v_{name}" for name in KNOWN[1:])], KNOWN)
    assert reason.text.startswith("only 1 of 20 predicted videos is in the ground truth: predictions have 'v_clip1'")


def test_videos_of_something_else() -> None:
    (reason,) = video_names(["film"], KNOWN)
    assert "'film'" in reason.text and reason.cure == "check that both files are of the same videos"
    assert not video_names([f"more{n}" for n in range(500)] + KNOWN, KNOWN), "a part of many is scored"
    assert not video_names([*KNOWN[:2], *(f"v_{name}" for name in KNOWN[2:])], KNOWN), "a tenth meets"
    assert not video_names([], KNOWN) and not video_names(["a"], [])


@pytest.mark.parametrize(
    ("predicted", "known", "cure"),
    [
        (["0", "1"], ["jump", "run"], "write names in the predictions, too"),
        (["jump", "run"], ["0", "1"], "write numbers in the predictions, too"),
        (["High_Jump", "run"], ["high jump", "Run"], "they differ by case, spaces or punctuation"),
        (["action"], ["jump", "run"], "--metrics ar,recall"),
        (["sit", "stand"], ["jump", "run"], "check that both files are of the same data set"),
    ],
)
def test_labels(predicted: list[str], known: list[str], cure: str) -> None:
    (reason,) = label_names(Counter(dict.fromkeys(predicted, 3)), known)
    assert reason.kind == "label_names" and reason.count == 3 * len(predicted) and cure in reason.cure
    assert reason.text.startswith(f"none of {reason.count} predictions has a label of the ground truth")


def test_labels_that_mostly_meet_are_no_mismatch() -> None:
    assert not label_names(Counter({"jump": 1, "sit": 9}), ["jump"])
    assert not label_names(Counter({"jump": 1, "sit": 90, "stand": 9}), ["jump"])  # the model knows more classes
    assert not label_names(Counter(), ["jump"])


def test_a_list_of_videos_that_is_not_the_protocols() -> None:
    others = {"thumos14": None, "thumos14-212": 212, "thumos14-gtad": 210}
    assert not video_list(212, 212, "thumos14-212", others) and not video_list(5, None, "thumos14", others)
    (reason,) = video_list(210, 212, "thumos14-212", others)
    assert reason.text == "thumos14-212 names a list of 212 videos, but the ground truth at hand has 210"
    assert reason.count == 2 and "--protocol thumos14-gtad" in reason.cure
    (reason,) = video_list(7, 212, "thumos14-212", others)
    assert "take the file with all videos" in reason.cure


def test_predictions_in_frames_are_told_with_the_cure() -> None:
    truth = Annotations({"a": VideoAnnotation((Segment(0, 20, "x"),), duration=100.0), "b": VideoAnnotation(())})
    frames = {"a": [Segment(300, 600, "x", 0.9), Segment(0, 1350, "x", 0.8), Segment(0, 120, "x", 0.7)]}
    found = [each for each in evaluate_detection(frames, truth).reasons if each.kind == "beyond_video"]
    assert [(each.count, bool(each.cure)) for each in found] == [(2, True)]
    said = "2 predictions of 3 lie beyond the end of the video, first of 'a', up to 13.5 times its length"
    assert found[0].text == said
    few = {"a": [*[Segment(0, 10, "x", 0.5 + n / 10) for n in range(3)], frames["a"][0]]}
    (told,) = (each for each in evaluate_detection(few, truth).reasons if each.kind == "beyond_video")
    assert not told.cure
    fine = {"a": [Segment(0, 120, "x", 0.9)], "b": [Segment(9, 900, "x", 0.9)]}
    assert not any(each.kind == "beyond_video" for each in evaluate_detection(fine, truth).reasons)
