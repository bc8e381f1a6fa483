"""THUMOS14 and MultiTHUMOS as folders of text files, a file per class."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinoscope.data.annotations import read_annotations
from kinoscope.data.segments import Segment
from kinoscope.errors import AnnotationError

from .trees import tree

THUMOS = {
    "TH14_Temporal_Annotations_Test/annotation/CliffDiving_test.txt": "video_test_0000004  0.2 1.1\n"
    "video_test_0000007  5.0 6.5\n",
    "TH14_Temporal_Annotations_Test/annotation/Diving_test.txt": "video_test_0000004  0.2 1.1\r\n"
    "video_test_0000007  5.0 6.5\r\nvideo_test_0000007  9 10\r\n",
    "TH14_Temporal_Annotations_Test/annotation/Ambiguous_test.txt": "video_test_0001292  1.0 2.0\n",
    "TH14_Temporal_annotations_validation/annotation/Diving_val.txt": "\nvideo_validation_0000266  72.8 76.4\n",
    "TH14_Temporal_annotations_validation/annotation/detclasslist.txt": "7 BaseballPitch\n21 Diving\n",
}


def refusal(path: Path, **options: object) -> AnnotationError:
    with pytest.raises(AnnotationError) as caught:
        read_annotations(path, **options)  # type: ignore[arg-type]
    assert caught.value.cure
    return caught.value


def test_thumos14_as_released(tmp_path: Path) -> None:
    found = read_annotations(tree(tmp_path, THUMOS))
    assert {name: video.subset for name, video in found.videos.items()} == {
        "video_test_0000004": "test",
        "video_test_0000007": "test",
        "video_test_0001292": "test",
        "video_validation_0000266": "validation",
    }
    assert found.classes == ("Ambiguous", "CliffDiving", "Diving")
    cliff, dive = Segment(0.2, 1.1, "CliffDiving"), Segment(0.2, 1.1, "Diving")
    assert set(found.videos["video_test_0000004"].segments) == {cliff, dive}, "each CliffDiving is Diving too"
    assert found.videos["video_validation_0000266"].segments == (Segment(72.8, 76.4, "Diving"),)
    (remark,) = found.remarks
    assert remark.startswith("left out, no segments of a class: 1 file: ") and "detclasslist.txt" in remark
    part = found.subset("test")
    assert len(part.videos) == 3 and part.remarks == found.remarks


def test_multithumos_as_released(tmp_path: Path) -> None:
    files = {
        "annotations/Jump.txt": "video_test_0000004 0.23 0.93\nvideo_validation_0000690 9.6 12.3\n",
        "annotations/BodyContract.txt": "video_test_0000004 0.3 0.5\n",
        "class_list.txt": "1 Jump\n2 BodyContract\n",
    }
    found = read_annotations(tree(tmp_path, files))
    assert {video.subset for video in found.videos.values()} == {"test", "validation"}
    assert found.classes == ("BodyContract", "Jump")
    assert [s.label for s in found.videos["video_test_0000004"].segments] == ["BodyContract", "Jump"]


def test_other_names_of_videos_have_no_subset(tmp_path: Path) -> None:
    found = read_annotations(tree(tmp_path, {"wave.txt": "kitchen.mp4 1 2.5\n"}))
    assert found.videos["kitchen"].subset is None and found.videos["kitchen"].segments == (Segment(1, 2.5, "wave"),)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("video_test_0000004 3 2", "start 3 is not before end 2"),
        ("video_test_0000004 3", "cannot read 'video_test_0000004 3'"),
        ("video_test_0000004 1 2 Jump", "cannot read"),
        ("video_test_0000004 1e 2", "start is '1e', not a number"),
        ("video_test_0000004 0.2 1.1", "the same row as at"),
        ("../video_test_0000004 1 2", "leads out of the folder"),
        ("/etc/passwd 1 2", "is absolute"),
        ("video_test_0000004 4 4", "start 4 equals end 4"),
    ],
)
def test_bad_lines_are_refused_with_their_place(tmp_path: Path, line: str, message: str) -> None:
    tree(tmp_path, {"annotation/Jump_test.txt": f"video_test_0000004 0.2 1.1\n\n{line}\n"})
    error = refusal(tmp_path)
    assert error.where == f"{tmp_path / 'annotation' / 'Jump_test.txt'}:3" and message in error.problem


def test_flaws_are_kept_or_dropped_as_in_other_layouts(tmp_path: Path) -> None:
    tree(tmp_path, {"Jump_test.txt": "video_test_0000004 0.2 1.1\nvideo_test_0000004 4 4\nvideo_test_0000004 x 4\n"})
    found = read_annotations(tmp_path, on_flaw="drop")
    assert len(found.videos["video_test_0000004"].segments) == 1
    assert [(flaw.kind, flaw.done) for flaw in found.flaws] == [("empty", "dropped"), ("layout", "dropped")]
    (tmp_path / "Jump_test.txt").write_text("video_test_0000004 4 4\n")
    assert read_annotations(tmp_path, on_flaw="keep").videos["video_test_0000004"].segments == (Segment(4, 4, "Jump"),)


def test_a_file_of_a_class_is_read_whatever_it_holds(tmp_path: Path) -> None:
    tree(tmp_path, {"Jump_test.txt": "video_test_0000004 0.2 1.1\n", "Dive_test.txt": "cut off\n"})
    assert "Dive_test.txt:1" in str(refusal(tmp_path).where)
    (tmp_path / "Dive_test.txt").write_text("")
    assert "is empty" in refusal(tmp_path).problem


def test_folders_of_other_things(tmp_path: Path) -> None:
    tree(tmp_path, {"notes.txt": "nothing to see\n", ".hidden/Jump_test.txt": "video_test_0000004 0.2 1.1\n"})
    error = refusal(tmp_path)
    assert "is a folder, not an annotation file" in error.problem and "text file per class" in str(error.cure)


def test_labels_must_be_known_classes_where_these_are_given(tmp_path: Path) -> None:
    tree(tmp_path, {"Jmp_test.txt": "video_test_0000004 0.2 1.1\n"})
    assert refusal(tmp_path, classes=["Jump", "Dive"]).cure == "did you mean 'Jump'?"


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.sampled_from(["video_test_1", "..", "/", " ", "\n", "\r", "1", "2.5", "-", "nan", "\0", "é"]), max_size=20
    ),
    st.sampled_from(["error", "drop", "keep"]),
)
def test_any_text_is_read_or_refused(parts: list[str], on_flaw: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "Jump_test.txt")
        path.write_bytes(("video_test_1 0.5 1\n" + "".join(parts)).encode())
        try:
            found = read_annotations(folder, on_flaw=on_flaw)
        except AnnotationError as error:
            assert error.cure and folder in str(error.where)
            return
    for name, video in found.videos.items():
        assert ".." not in name.split("/") and not name.startswith("/")
        assert all(math.isfinite(s.start) and s.start <= s.end and s.label == "Jump" for s in video.segments)
