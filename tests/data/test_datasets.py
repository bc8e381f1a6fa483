"""Public data sets and class folders, laid out as they are unpacked."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from kinoscope.data.clip_parts import training_clips
from kinoscope.data.labelled_clips import read_labelled_clips, splits_available
from kinoscope.errors import AnnotationError, OptionError

from .trees import KINETICS, hmdb51, tree, ucf101


@pytest.mark.parametrize(("flat", "suffix"), [(False, ".avi"), (True, ".avi"), (False, ".mp4")])
def test_ucf101(tmp_path: Path, flat: bool, suffix: str) -> None:
    source = ucf101(tmp_path, flat, suffix)
    found = read_labelled_clips(source)
    assert found.classes == ("ApplyEyeMakeup", "HandstandPushups") and not found.remarks
    assert Counter(clip.subset for clip in found.clips) == {"train": 12, "test": 8}
    first = found.clips[0]
    assert first.name == "ApplyEyeMakeup/v_ApplyEyeMakeup_g03_c01" and first.group == "v_ApplyEyeMakeup_g03"
    assert first.path.is_file() and first.path.suffix == suffix
    assert splits_available(source) == [1, 2]  # of split 3 the test list is missing
    second = read_labelled_clips(source, split=2)
    assert {clip.group[-3:] for clip in second.subset("test").clips if clip.group} == {"g03"}


def test_groups_of_ucf101_are_not_parted(tmp_path: Path) -> None:
    parts = training_clips(read_labelled_clips(ucf101(tmp_path)), seed=4)
    train, validation, test = ({clip.group for clip in part} for part in (parts.train, parts.validation, parts.test))
    assert not train & validation and not (train | validation) & test
    assert len(train) == 4 and len(validation) == 2 and len(test) == 4  # one of three groups of each class is carved


def test_lists_and_videos_in_two_places(tmp_path: Path) -> None:
    source = ucf101(tmp_path)
    found = read_labelled_clips(source / "ucfTrainTestlist", videos=source / "UCF-101")
    assert found.clips == read_labelled_clips(source).clips
    with pytest.raises(AnnotationError, match="20 of 20 videos have no file"):
        read_labelled_clips(source / "ucfTrainTestlist")


def test_splits_that_are_not_there(tmp_path: Path) -> None:
    source = ucf101(tmp_path)
    with pytest.raises(OptionError, match="has no split 3: there are 1, 2"):
        read_labelled_clips(source, split=3)
    (source / "labels.csv").write_text("video,label\nx,y\n")
    with pytest.raises(OptionError, match="only UCF101 and HMDB51 have numbered splits"):
        read_labelled_clips(source / "labels.csv", split=2)
    assert splits_available(source / "labels.csv") == []
    for dataset in ("ucf101", "hmdb51", "kinetics"):
        with pytest.raises(AnnotationError, match="no "):
            read_labelled_clips(source / "UCF-101", dataset=dataset)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("v_A_g01_c01.avi 1", r"testlist01.txt:1: cannot read 'v_A_g01_c01.avi'"),
        ("ApplyEyeMakup/v_A_g01_c01.avi 1", r"'ApplyEyeMakup' is not in classInd.txt\n  Cure: did you mean 'ApplyEye"),
        ("ApplyEyeMakeup/v_A_g01_c01.avi 2", "has the number 2 here but 1 in classInd"),
        ("ApplyEyeMakeup/../../secret.avi 1", "leads out of the folder"),
        ("ApplyEyeMakeup/v_ApplyEyeMakeup_g03_c01.avi", "in 'test' here but .* in 'train' at .*trainlist01.txt:1"),
    ],
)
def test_lines_of_ucf101_that_cannot_be(tmp_path: Path, line: str, problem: str) -> None:
    source = tree(ucf101(tmp_path), {"ucfTrainTestlist/testlist01.txt": line})
    with pytest.raises(AnnotationError, match=problem):
        read_labelled_clips(source)


def test_hmdb51(tmp_path: Path) -> None:
    source = hmdb51(tmp_path)
    found = read_labelled_clips(source)
    assert found.classes == ("brush_hair", "kick") and splits_available(source) == [1, 2]
    assert found.remarks == ("left out, in neither part of split 1: 1 clip",)
    groups = {clip.name: clip.group for clip in found.clips}
    assert groups["kick/April_09_kick_f_cm_np1_ba_bad_2"] == "April_09"
    assert groups["brush_hair/#20_Rhythm_brush_hair_u_nm_np2_le_goo_0"] == "#20_Rhythm"
    assert {clip.name for clip in found.subset("test").clips} == {
        clip.name for clip in read_labelled_clips(source, split=2).subset("train").clips
    }
    tree(source, {"testTrainMulti_7030_splits/kick_test_split1.txt": "a.avi 3"})
    with pytest.raises(AnnotationError, match=r"kick_test_split1.txt:1: cannot read 'a.avi 3'"):
        read_labelled_clips(source)


def test_a_split_needs_a_list_of_every_class(tmp_path: Path) -> None:
    source = hmdb51(tmp_path)
    (source / "testTrainMulti_7030_splits/kick_test_split2.txt").unlink()
    assert splits_available(source) == [1]


@pytest.mark.parametrize("folder", ["train/playing cricket/", "playing_cricket/", ""])
def test_kinetics(tmp_path: Path, folder: str) -> None:
    videos = [f"{folder}-aBcDeFgHiJ_000010_000020.mp4", "0123456789a_000000_000010.mkv", "val/_xyz_000007_000017.mp4"]
    tree(tmp_path, {"annotations/all.csv": KINETICS, **dict.fromkeys(videos, "")})
    found = read_labelled_clips(tmp_path)
    assert found == read_labelled_clips(tmp_path, dataset="kinetics")
    assert [clip.label for clip in found.clips] == ["playing cricket", "eating, fast", "playing cricket"]
    assert found.clips[0].path == tmp_path / videos[0] and found.clips[0].start is None
    assert [clip.subset for clip in found.clips] == ["train", "train", "validate"]
    unlabelled, lost = found.remarks
    assert unlabelled == "left out, without a label: 1 clip"
    assert "1 of 4 videos: 'playing cricket/vanished_00_001234_001244.mp4'" in lost
    alone = read_labelled_clips(tmp_path / "annotations/all.csv", videos=tmp_path)
    assert alone.clips == found.clips
    with pytest.raises(AnnotationError, match="1 of 4 videos have no file"):
        read_labelled_clips(tmp_path, missing="error")
    assert [clip.name for clip in training_clips(found).test] == ["playing cricket/_xyz_000007_000017"]


def test_kinetics_clips_listed_twice_are_kept_once(tmp_path: Path) -> None:
    rows = KINETICS + "playing cricket,_xyz,7,17,train\nbowling,_xyz,7,17,train\n"
    files = ["-aBcDeFgHiJ_000010_000020.mp4", "_xyz_000007_000017.mp4"]
    found = read_labelled_clips(tree(tmp_path, {"k.csv": rows, **dict.fromkeys(files, "")}))
    assert len(found) == 2 and found.clips[1].subset == "validate"
    assert any(remark.startswith("listed again, kept once: 1 clip") for remark in found.remarks)
    assert any(remark.startswith("left out, the file of another clip: 1 clip") for remark in found.remarks)


@pytest.mark.parametrize(
    ("row", "problem"),
    [("a,,1,2,train", "k.csv:2: youtube_id is ''"), ("a,x,soon,2,train", "k.csv:2: time_start is 'soon'"),
     ("a,x,1,-2,train", "time_end is '-2'"), ("a,x,nan,2,train", "time_start"), ("a,../x,1,2,t", "youtube_id is"),
     ("..,x,1,2,train", "leads out of the folder")],
)  # fmt: skip
def test_rows_of_kinetics_that_cannot_be(tmp_path: Path, row: str, problem: str) -> None:
    path = tree(tmp_path, {"k.csv": f"label,youtube_id,time_start,time_end,split\n{row}\n"}) / "k.csv"
    with pytest.raises(AnnotationError, match=problem):
        read_labelled_clips(path)


def test_a_folder_per_class(tmp_path: Path) -> None:
    names = ["eating soup/a.mp4", "eating soup/deep/b.avi", "наклон/c.mp4", "loose.mp4", "test/x.mp4", ".hidden/h.mp4"]
    tree(tmp_path, dict.fromkeys([*names, "empty/readme.txt", "eating soup/._a.mp4"], ""))
    found = read_labelled_clips(tmp_path)
    assert found.classes == ("eating soup", "test", "наклон")  # a class may be called test
    assert [clip.name for clip in found.clips if clip.label == "eating soup"] == ["eating soup/a", "eating soup/deep/b"]
    assert all(clip.subset is None for clip in found.clips)
    assert found.remarks == (
        "without videos: 1 folder: 'empty'",
        "left out, in no folder of a class: 1 video: 'loose.mp4'",
    )


def test_folders_of_subsets_above_the_classes(tmp_path: Path) -> None:
    names = ["Train/a/1.mp4", "Train/b/2.mp4", "Val/a/3.mp4", "test/b/1.mp4", "test/stray.mp4"]
    tree(tmp_path, dict.fromkeys(names, ""))
    found = read_labelled_clips(tmp_path)
    assert found.classes == ("a", "b")
    assert [clip.subset for clip in found.clips] == ["train", "train", "val", "test"]
    assert found.remarks == ("left out, in no folder of a class: 1 video: 'test/stray.mp4'",)
    tree(tmp_path, {"walking/c.mp4": ""})
    with pytest.raises(AnnotationError, match=r"folders of subsets .* beside others .'walking'"):
        read_labelled_clips(tmp_path)


def test_folders_without_classes(tmp_path: Path) -> None:
    tree(tmp_path, {"a.mp4": "", "b/readme.txt": ""})
    with pytest.raises(AnnotationError, match="has no folder of a class"):
        read_labelled_clips(tmp_path)
    tree(tmp_path, {"b/a.mp4": "", "b/a.avi": ""})
    with pytest.raises(AnnotationError, match=r"'b/a' is 'b/a.mp4', 'b' here but 'b/a.avi', 'b' at"):
        read_labelled_clips(tmp_path)
    with pytest.raises(OptionError, match="--videos does not go with"):
        read_labelled_clips(tmp_path, videos=tmp_path)
