"""EPIC-Kitchens-100: one of two labels, times of day, and tables beside the table."""

from __future__ import annotations

from pathlib import Path

import pytest

from kinoscope.data.annotations import read_annotations
from kinoscope.data.segments import Segment
from kinoscope.errors import AnnotationError, KinoscopeError, OptionError

from .trees import tree

HEADER = (
    "narration_id,participant_id,video_id,narration_timestamp,start_timestamp,stop_timestamp,start_frame,stop_frame,"
    "narration,verb,verb_class,noun,noun_class,all_nouns,all_noun_classes\n"
)
OPEN = "P01_01_0,P01,P01_01,00:00:01.089,00:00:00.14,00:00:03.37,8,202,open door,open,3,door,3,\"['door']\",[3]\n"
TURN = 'P01_01_1,P01,P01_01,00:00:02.629,01:02:04.37,01:02:06.17,262,370,"turn, on light",turn-on,6,light,114,x,y\n'
FILES = {
    "EPIC_100_train.csv": HEADER + OPEN + TURN,
    "EPIC_100_validation.csv": HEADER + OPEN.replace("P01_01", "P01_11").replace(",open,3,", ",unlock,3,"),
    "EPIC_100_test_timestamps.csv": "narration_id,participant_id,video_id,narration_timestamp,start_timestamp,"
    "stop_timestamp,start_frame,stop_frame\nP01_101_0,P01,P01_101,00:00:02.851,00:00:02.86,00:00:03.87,143,193\n",
    "EPIC_100_verb_classes.csv": "id,key,instances,category\n3,open,\"['open', 'unlock']\",access\n6,turn-on,[],x\n",
    "EPIC_100_video_info.csv": "video_id,duration,fps,resolution\nP01_01,3800.5,59.94,1920x1080\n",
}


def refusal(path: Path, dataset: str | None = "epic-kitchens:verb", **options: object) -> KinoscopeError:
    with pytest.raises(KinoscopeError) as caught:
        read_annotations(path, dataset=dataset, **options)  # type: ignore[arg-type]
    assert caught.value.cure
    return caught.value


def test_the_release_as_a_folder(tmp_path: Path) -> None:
    found = read_annotations(tree(tmp_path, FILES), dataset="epic-kitchens:verb")
    train, validation = found.videos["P01_01"], found.videos["P01_11"]
    assert train.segments == (Segment(0.14, 3.37, "open"), Segment(3724.37, 3726.17, "turn-on"))
    assert (train.subset, train.duration) == ("train", 3800.5)
    assert validation.segments[0].label == "open", "classes count, not words"
    assert (validation.subset, validation.duration) == ("validation", None)
    (remark,) = found.remarks
    assert remark.startswith("left out, without a label, as in the test part: 1 row, the first at ")
    assert remark.endswith("EPIC_100_test_timestamps.csv:2")


def test_one_table_and_nouns_by_number(tmp_path: Path) -> None:
    found = read_annotations(tree(tmp_path, FILES) / "EPIC_100_train.csv", dataset="Epic-Kitchens:noun")
    assert list(found.videos) == ["P01_01"] and found.classes == ("114", "3")
    assert found.remarks == ("no EPIC_100_noun_classes.csv beside EPIC_100_train.csv: labels are numbers of classes",)
    (tmp_path / "mine.csv").write_text(FILES["EPIC_100_train.csv"])
    found = read_annotations(tmp_path / "mine.csv", dataset="epic-kitchens:verb")
    assert found.videos["P01_01"].subset is None and "mine.csv does not say which part it is" in found.remarks[0]


def test_which_label_must_be_said(tmp_path: Path) -> None:
    tree(tmp_path, FILES)
    for path in (tmp_path, tmp_path / "EPIC_100_train.csv"):
        error = refusal(path, None)
        assert "a verb and a noun" in error.problem and "epic-kitchens:verb" in str(error.cure)
    for wrong in ("epic-kitchens", "epic-kitchens:adverb"):
        assert isinstance(refusal(tmp_path, wrong), OptionError)
    assert "did you mean 'epic-kitchens'?" in str(refusal(tmp_path, "epic-kitchen:verb").cure)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("00:00:00.14", "0.14 s", "start is '0.14 s', not a number"),
        ("00:00:00.14", "00:00:99.14", "start is '00:00:99.14'"),
        ("00:00:00.14", "00:00:05.14", "start 5.14 is not before end 3.37"),
        (",open,3,", ",open,,", "verb_class is '', not a number"),
        (",open,3,", ",open,open,", "verb_class is 'open', not a number"),
        (",open,3,", ",open,96,", "verb_class is 96, which has no name"),
        (",P01_01,", ",../../P01_01,", "leads out of the folder"),
        (",P01_01,", ",,", "no video is named"),
        ("open door", "open, the door", "16 cells, but the header names 15 columns"),
    ],
)
def test_bad_rows_are_refused_with_their_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tree(tmp_path, FILES) / "EPIC_100_train.csv"
    path.write_text(HEADER + TURN + OPEN.replace(old, new, 1))
    error = refusal(path)
    assert error.where == f"{path}:3" and message in error.problem


def test_files_that_are_something_else(tmp_path: Path) -> None:
    tree(tmp_path, FILES)
    assert "no such annotation file" in refusal(tmp_path / "none.csv").problem
    assert "is no table of EPIC-Kitchens" in refusal(tmp_path / "EPIC_100_video_info.csv").problem
    other = HEADER.replace("verb_class", "verb_group")
    (tmp_path / "EPIC_100_train.csv").write_text(other + OPEN)
    error = refusal(tmp_path / "EPIC_100_train.csv")
    assert isinstance(error, AnnotationError) and "no column verb_class" in error.problem
    (tmp_path / "EPIC_100_train.csv").write_text(HEADER + OPEN)
    (tmp_path / "EPIC_100_verb_classes.csv").write_text("id,key\n3,open\n3,close\n")
    assert str(refusal(tmp_path).where).endswith("EPIC_100_verb_classes.csv:3")
    (tmp_path / "EPIC_100_verb_classes.csv").write_text("number,key\n3,open\n")
    assert "no column id" in refusal(tmp_path).problem
