"""Which clips are learned from, which choose, which are scored; and what is told of it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinoscope.data.clip_parts import Parts, folds, training_clips
from kinoscope.data.labelled_clips import LabelledClip, LabelledClips, group_of
from kinoscope.errors import AnnotationError, OptionError


def labelled(*rows: tuple[str, str, str | None], groups: bool = False) -> LabelledClips:
    """Clips by name, label and subset; ``groups`` takes the part of the name before a dash."""
    clips = [
        LabelledClip(name, Path(f"{name}.mp4"), label, subset=subset, group=name.split("-")[0] if groups else None)
        for name, label, subset in rows
    ]
    return LabelledClips(tuple(clips), Path("labels.csv"))


def classes_of(clips: tuple[LabelledClip, ...]) -> Counter[str]:
    return Counter(clip.label for clip in clips)


def many(subsets: dict[str | None, int], classes: str = "xy") -> LabelledClips:
    rows = [(f"{s}{c}{n}", c, s) for s, count in subsets.items() for c in classes for n in range(count)]
    return labelled(*rows)


def test_validation_is_carved_from_training_never_from_test() -> None:
    parts = training_clips(many({"train": 10, "test": 7}), seed=3)
    assert classes_of(parts.train) == {"x": 8, "y": 8} and classes_of(parts.validation) == {"x": 2, "y": 2}
    assert classes_of(parts.test) == {"x": 7, "y": 7} and {clip.subset for clip in parts.validation} == {"train"}
    assert parts.rule.startswith("16 clips to learn from, 4 to choose on, 14 to test on: test as marked; validation is")
    assert parts == training_clips(many({"test": 7, "train": 10}), seed=3)  # the order of rows says nothing
    assert parts != training_clips(many({"train": 10, "test": 7}), seed=4)


def test_parts_as_marked() -> None:
    parts = training_clips(many({"Training": 5, "valid": 2, "testing": 3, "extra": 4}))
    assert (len(parts.train), len(parts.validation), len(parts.test)) == (10, 4, 6)
    assert "validation as marked; 8 clips of no or other subsets left out" in parts.rule and not parts.remarks


def test_a_misspelt_mark_is_told() -> None:
    parts = training_clips(many({"train": 5, "test": 3, "Tset": 2, "vaildation": 1, "": 1, "extra": 1}))
    assert list(parts.remarks) == [
        "left out: 4 clips marked 'tset'; was 'test' meant?",
        "left out: 2 clips marked 'vaildation'; was 'validation' meant?",
    ]


def test_a_marked_validation_is_the_test_when_there_is_no_other() -> None:
    parts = training_clips(many({"train": 5, "val": 4}))
    assert {clip.subset for clip in parts.test} == {"val"} and {clip.subset for clip in parts.validation} == {"train"}
    assert "tested on the part marked validation" in parts.rule


def test_without_marks_thirty_percent_are_for_the_test() -> None:
    for clips in (many({None: 10}), many({"train": 10})):
        parts = training_clips(clips)
        assert (len(parts.train), len(parts.validation), len(parts.test)) == (12, 2, 6)
        assert "no test part is marked: 30% drawn" in parts.rule


def test_no_validation_by_choice() -> None:
    parts = training_clips(many({"train": 5, "test": 5}), validation_share=0)
    assert len(parts.train) == 10 and not parts.validation and parts.remarks == ("there is no validation part",)


def test_classes_of_one_example_and_classes_only_asked_for() -> None:
    rows = [*((f"x{n}", "x", "train") for n in range(4)), ("y", "y", "train"), ("p", "p", "test"), ("q", "x", "test"),
            ("v", "v", "validation")]  # fmt: skip
    parts = training_clips(labelled(*rows))
    assert parts.classes == ("x", "y") and parts.numbers(parts.test).tolist() == [-1, 0]
    assert parts.remarks == (
        "no training clip shows 'p': 1 test clip cannot be told right",
        "learned from a single clip each: 'y'",
        "no training clip shows 'v': 1 validation clip cannot be told right",
        "no validation clip of 2 of 2 classes: 'x', 'y'",
        "no test clip of 1 of 2 classes: 'y'",
    )


def test_recordings_are_not_parted() -> None:
    rows = [(f"film{n}-{c}{k}", c, None) for n in range(10) for c in "xy" for k in range(3)]
    for seed in range(5):
        parts = training_clips(labelled(*rows, groups=True), seed)
        train, held, test = ({group_of(clip) for clip in part} for part in (parts.train, parts.validation, parts.test))
        assert not (train & held or (train | held) & test)
        assert (len(train), len(held), len(test)) == (6, 1, 3)


def test_segments_of_one_video_are_one_recording() -> None:
    path = Path("day.mp4")
    clips = tuple(LabelledClip(f"day#{n}", path, "xy"[n % 2], n, n + 1) for n in range(8))
    parts = training_clips(LabelledClips(clips))
    assert len(parts.train) == 8 and not parts.test
    assert parts.remarks == ("there is no validation part", "there is no test part")


def test_marked_parts_that_share_a_recording_are_told() -> None:
    rows = [("f1-a", "x", "train"), ("f2-b", "y", "train"), ("f1-c", "x", "test"), ("f3-d", "y", "test")]
    remarks = training_clips(labelled(*rows, groups=True)).remarks
    assert any("the test part shares 1 recording with what is learned from" in remark for remark in remarks)


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([("a", "x", "test"), ("b", "y", None)], "no clip is in a subset 'train'\n  Cure: .*knows test"),
        (
            [("a", "x", "train"), ("b", "x", "train"), ("c", "y", "test")],
            "every training clip shows 'x': nothing to tell",
        ),
        ([("a", "x", None)], "every training clip shows 'x'"),
    ],
)
def test_sources_that_nothing_can_be_learned_from(rows: list[tuple[str, str, str | None]], problem: str) -> None:
    with pytest.raises(AnnotationError, match=problem):
        training_clips(labelled(*rows))


@pytest.mark.parametrize(("seed", "share"), [(-1, 0.2), (0, 1.0), (0, -0.1), (0, float("nan"))])
def test_options_out_of_bounds(seed: int, share: float) -> None:
    with pytest.raises(OptionError):
        training_clips(many({"train": 5}), seed, share)


def test_each_group_is_left_out_once() -> None:
    rows = [(f"{s}-{c}{n}", c, "train") for s in (1, 2, 10) for c in "xyz" for n in range(2)]
    found = folds(labelled(*rows, groups=True), by="group")
    assert [{clip.group for clip in parts.test} for parts in found] == [{"1"}, {"2"}, {"10"}]
    assert found[2].rule.startswith("6 clips to learn from, 6 to choose on, 6 to test on: tested on '10' alone")
    for parts in found:
        assert not {clip.group for clip in parts.train} & {clip.group for clip in parts.validation}


@given(st.lists(st.tuples(st.integers(1, 6), st.sampled_from("xy")), min_size=12, max_size=40), st.integers(2, 3))
def test_every_clip_is_tested_once(clips: list[tuple[int, str]], count: int) -> None:
    rows = [(f"{group}-{n}", label, None) for n, (group, label) in enumerate(clips)]
    rows += [(f"{group}-{label}", label, None) for group in range(1, 7) for label in "xy"]
    source = labelled(*rows, groups=True)
    found = folds(source, by=count, seed=1)
    tested = [clip for parts in found for clip in parts.test]
    assert sorted(tested, key=lambda clip: clip.name) == sorted(source.clips, key=lambda clip: clip.name)
    for parts in found:
        assert len(parts.train) + len(parts.validation) + len(parts.test) == len(rows)
        assert not {clip.group for clip in (*parts.train, *parts.validation)} & {clip.group for clip in parts.test}


@pytest.mark.parametrize("count", [1, 11, 0])
def test_folds_that_cannot_be(count: int) -> None:
    with pytest.raises(OptionError, match="of 10 groups of clips"):
        folds(many({"train": 5}), by=count)


def test_ut_interaction(shared_data: Path) -> None:
    from benchmarks.ut_interaction_clips import ut_interaction_clips

    folder = shared_data / "ut_interaction"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    parts: Parts = training_clips(ut_interaction_clips(folder))
    assert len(parts.train) + len(parts.validation) == len(parts.test) == 60 and len(parts.classes) == 6
    assert {clip.path.parent.name for clip in parts.test} == {"set2"} and not parts.remarks
    assert len(folds(ut_interaction_clips(folder, sets=(2,)), by="group")) == 10
