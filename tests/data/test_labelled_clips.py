"""A user's own labels become clips with files; what is wrong with them is told with its place."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest

from kinoscope.data.labelled_clips import LabelledClip, group_of, read_labelled_clips
from kinoscope.data.video_index import folded
from kinoscope.errors import AnnotationError, OptionError

from .trees import tree


def labels(root: Path, text: str, *videos: str) -> Path:
    return tree(root, {"labels.csv": text, **dict.fromkeys(videos, "")}) / "labels.csv"


def test_a_table_of_whole_videos(tmp_path: Path) -> None:
    text = "video,label,split\nmy clips/a b.mp4,sit down,train\nб.avi,встать,test\n c ,sit down,\n"
    found = read_labelled_clips(labels(tmp_path, text, "my clips/a b.mp4", "б.avi", "deep/c.mkv"))
    assert found.clips == (
        LabelledClip("my clips/a b", tmp_path / "my clips/a b.mp4", "sit down", subset="train"),
        LabelledClip("б", tmp_path / "б.avi", "встать", subset="test"),
        LabelledClip("c", tmp_path / "deep/c.mkv", "sit down"),
    )
    assert found.classes == ("sit down", "встать") and not found.remarks and len(found.subset("Train")) == 1


def test_a_table_of_segments(tmp_path: Path) -> None:
    text = "video,start,end,label,split\na.mp4,1,2.5,fall,train\nb.mp4,,,,train\na.mp4,3,4,rise,train\n"
    found = read_labelled_clips(labels(tmp_path, text, "videos/a.mp4"), videos=tmp_path / "videos")
    path = tmp_path / "videos/a.mp4"
    assert found.clips == (
        LabelledClip("a#1", path, "fall", 1, 2.5, "train"),
        LabelledClip("a#2", path, "rise", 3, 4, "train"),
    )
    assert found.remarks == ("left out, without a label: 1 video: 'b'",)  # whose file nobody needs
    assert group_of(found.clips[0]) == group_of(found.clips[1])


def test_activitynets_json(tmp_path: Path) -> None:
    fall = {"label": "fall", "segment": ["0.5", 9.3]}
    database = {
        "abc": {"duration": 9.0, "subset": "training", "annotations": [fall, {"label": "rise", "segment": [4, 5]}]},
        "def": {"subset": "testing", "annotations": []},
    }
    tree(tmp_path, {"v.json": json.dumps({"database": database}), "v_abc.mp4": ""})
    found = read_labelled_clips(tmp_path / "v.json")
    assert [(clip.name, clip.start, clip.end, clip.path.name) for clip in found.clips] == [
        ("abc#1", 0.5, 9.0, "v_abc.mp4"),
        ("abc#2", 4, 5, "v_abc.mp4"),
    ]
    empty, clipped = found.remarks
    assert (
        "'def'" in empty and clipped.startswith("clipped: 1 segment, the first at") and "passes the duration" in clipped
    )


def test_accents_are_one_however_they_are_written(tmp_path: Path) -> None:
    name = unicodedata.normalize("NFC", "café.mp4")
    found = read_labelled_clips(labels(tmp_path, f"video,label\n{name},x\n", unicodedata.normalize("NFD", name)))
    assert found.clips[0].path.is_file()


def test_missing_videos_are_named_and_counted(tmp_path: Path) -> None:
    path = labels(tmp_path, "video,label\n" + "".join(f"v{n}.mp4,x\n" for n in range(9)), "v3.mp4")
    with pytest.raises(AnnotationError, match=r"labels.csv: 8 of 9 videos have no file in .*'v0.mp4'.* and 3 more"):
        read_labelled_clips(path)
    found = read_labelled_clips(path, missing="skip")
    assert [clip.name for clip in found.clips] == ["v3"] and "8 of 9 videos: 'v0.mp4'" in found.remarks[0]
    (tmp_path / "v3.mp4").unlink()
    with pytest.raises(AnnotationError, match="9 of 9 videos have no file"):
        read_labelled_clips(path, missing="skip")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("video,label\na.mp4,x\na.mp4,y\n", "labels.csv:3: clip 'a' is 'y' here but 'x' at .*labels.csv:2"),
        ("video,label\na.mp4,x\na.mp4,x\n", "labels.csv:3: the same row as at"),
        ("video,label\n../a.mp4,x\n", "labels.csv:2: the path '../a.mp4' leads out of the folder"),
        ("video,label\na.mp4,\n", "labels.csv:2: label is '', not a name"),
        ("video,label\na.mp4,x\ndeep/a,y\n", "'deep/a' and 'a' are one file: 'a.mp4'"),
        ("video,label\nb.mp4,x\n", "'b.mp4' could be 'one/b.mp4', 'two/b.mp4'"),
        ("video,start,end,label\na.mp4,,,\n", "no clip has a label"),
        ("name,label\na.mp4,x\n", "no column video"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path: Path, text: str, problem: str) -> None:
    path = labels(tmp_path, text, "a.mp4", "one/b.mp4", "two/b.mp4")
    with pytest.raises(AnnotationError, match=problem):
        read_labelled_clips(path)


def test_sources_that_are_none(tmp_path: Path) -> None:
    tree(tmp_path, {"a.mp4": "", "l.csv": "video,label\na.mp4,x\n"})
    for name, problem in (("a.mp4", "does not say its class"), ("b.csv", "no such file or folder")):
        with pytest.raises(AnnotationError, match=problem):
            read_labelled_clips(tmp_path / name)
    with pytest.raises(AnnotationError, match="the folder of the videos does not exist"):
        read_labelled_clips(tmp_path / "l.csv", videos=tmp_path / "nowhere")
    with pytest.raises(AnnotationError, match="is a folder, not an annotation file"):
        read_labelled_clips(tmp_path, dataset="own")


def test_labels_that_a_person_would_read_as_one(tmp_path: Path) -> None:
    text = "video,label\na.mp4,Sit down\nb.mp4,sit_down\nc.mp4,-1\nd.mp4,1\n"
    found = read_labelled_clips(labels(tmp_path, text, "a.mp4", "b.mp4", "c.mp4", "d.mp4"))
    assert found.remarks == ("are these one class? 'Sit down' and 'sit_down' differ only in case, blanks or hyphens",)


@pytest.mark.parametrize(("name", "plain"), [("Push-Up", "pushup"), ("a _ b", "ab"), ("_x", "_x"), ("É", "é")])
def test_folded(name: str, plain: str) -> None:
    assert folded(name) == plain


def test_groups_by_name(tmp_path: Path) -> None:
    names = ["p1_s2_a.mp4", "p2_s2_b.mp4", "p1_s10_a.mp4"]
    path = labels(tmp_path, "video,label\n" + "".join(f"{name},x\n" for name in names), *names)
    assert [clip.group for clip in read_labelled_clips(path, groups=r"_s(\d+)_").clips] == ["2", "2", "10"]
    assert [clip.group for clip in read_labelled_clips(path, groups=r"^p\d").clips] == ["p1", "p2", "p1"]
    with pytest.raises(OptionError, match="finds nothing in the name 'p1_s2_a'"):
        read_labelled_clips(path, groups="q")
    with pytest.raises(OptionError, match="is no regular expression"):
        read_labelled_clips(path, groups="(")


def test_known_names_tell_their_group_in_any_table(tmp_path: Path) -> None:
    names = ["v_YoYo_g01_c02.avi", "Film_x_f_cm_np1_ba_bad_2.avi", "other_g01.avi"]
    path = labels(tmp_path, "video,label\n" + "".join(f"{name},x\n" for name in names), *names)
    assert [clip.group for clip in read_labelled_clips(path).clips] == ["v_YoYo_g01", "Film", None]
