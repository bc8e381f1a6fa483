"""Which labelled clips are learned from and which are scored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinoscope.data.hold_out import carve_validation
from kinoscope.data.segments import Annotations, Segment, VideoAnnotation
from kinoscope.errors import AnnotationError
from kinoscope.evaluate.clip_split import split_clips


def labelled(*rows: tuple[str, str, str | None]) -> Annotations:
    return Annotations(
        {name: VideoAnnotation(label=label, subset=subset) for name, label, subset in rows}, Path("labels.csv")
    )


def test_parts_as_annotated() -> None:
    found = split_clips(
        labelled(
            ("b", "x", "train"), ("a", "y", "Train"), ("c", "x", "test"), ("d", "z", "test"), ("e", "x", "validation")
        )
    )
    assert found.train == ("a", "b") and found.test == ("c", "d") and found.classes == ("x", "y", "z")
    assert found.numbers(found.test).tolist() == [0, 2]
    assert "1 video of no or other splits left out" in found.rule
    assert any("no training video shows 'z': 1 test video" in remark for remark in found.remarks)
    assert any("learned from a single video each: 'x', 'y'" in remark for remark in found.remarks)


def test_validation_stands_in_for_a_missing_test() -> None:
    rows = [("a", "x", "training"), ("b", "y", "training"), ("c", "x", "val")]
    assert split_clips(labelled(*rows)).test == ("c",)


@given(st.integers(0, 99), st.lists(st.integers(1, 9), min_size=2, max_size=5))
def test_a_random_split_keeps_every_class_in_training(seed: int, sizes: list[int]) -> None:
    rows = [(f"{k}-{n}", str(k), None) for k, size in enumerate(sizes) for n in range(size)]
    if max(sizes) == 1:
        with pytest.raises(AnnotationError, match="the test part has no video"):
            split_clips(labelled(*rows), seed)
        return
    found = split_clips(labelled(*rows), seed)
    assert not set(found.train) & set(found.test) and len(found.train) + len(found.test) == len(rows)
    assert {found.labels[name] for name in found.train} == set(found.classes)
    assert found == split_clips(labelled(*reversed(rows)), seed)
    for k, size in enumerate(sizes):  # every class as much alike as can be
        held = sum(name.startswith(f"{k}-") for name in found.test)
        assert held == min(max(1, round(0.3 * size)), size - 1)


def test_segments_give_a_class_where_they_agree() -> None:
    def video(*labels: str, subset: str) -> VideoAnnotation:
        return VideoAnnotation(tuple(Segment(i, i + 1, label) for i, label in enumerate(labels)), subset=subset)

    videos = {"a": video("x", "x", subset="train"), "b": video("y", subset="train"), "c": video("x", subset="test")}
    assert split_clips(Annotations(videos)).labels["a"] == "x"
    for odd, count in ((video("x", "y", subset="test"), "2 labels"), (video(subset="test"), "0 labels")):
        with pytest.raises(AnnotationError, match=f"'d' has {count}, but a clip shows one class") as caught:
            split_clips(Annotations({**videos, "d": odd}))
        assert "--gt" in str(caught.value)


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([("a", "x", "train"), ("b", "y", "train")], "no video is in a split 'test'"),
        ([("a", "x", "test")], "no video is in a split 'train'"),
        ([("a", "x", "train"), ("b", "x", "train"), ("c", "y", "test")], "all 2 training videos show 'x'"),
        ([("a", "x", None), ("b", "x", None), ("c", "x", None)], "show 'x': nothing to tell apart"),
    ],
)
def test_labels_that_nothing_can_be_learned_from(rows: list[tuple[str, str, str | None]], problem: str) -> None:
    with pytest.raises(AnnotationError, match=problem):
        split_clips(labelled(*rows))


def test_videos_that_fail_leave_both_parts() -> None:
    rows = [(f"{k}{n}", str(k), "test" if n == 2 else "train") for k in range(2) for n in range(3)]
    split = split_clips(labelled(*rows))
    assert split.among({"00", "10", "02"}).test == ("02",)
    with pytest.raises(AnnotationError, match="the test part has no video"):
        split.among({"00", "10"})
    with pytest.raises(AnnotationError, match="nothing to tell apart"):
        split.among({"00", "01", "02"})


def test_validation_is_carved_class_by_class() -> None:
    labels = np.array([0] * 8 + [1] * 4 + [2])
    learn, held = carve_validation(labels, 0.25, seed=3)
    assert sorted([*learn, *held]) == list(range(13)) and np.bincount(labels[held], minlength=3).tolist() == [2, 1, 0]
    learn, held = carve_validation(labels, 0)
    assert len(learn) == 13 and not len(held)
