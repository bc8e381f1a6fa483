"""Data sets whose videos may show several classes, as AR-Net is trained on them: ActivityNet, FCVID, Mini-Kinetics."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from kinoscope.data.clip_parts import training_clips
from kinoscope.data.labelled_clips import Dataset, LabelledClip, LabelledClips, read_labelled_clips
from kinoscope.errors import AnnotationError, OptionError

from .trees import KINETICS, MINI_KINETICS, activitynet, fcvid, tree

IDS = {"train_ytid_list.txt": "-aBcDeFgHiJ\nvanished_00\nunlabelled0\n", "val_ytid_list.txt": "_xyz\n"}
VIDEOS = dict.fromkeys(("-aBcDeFgHiJ_000010_000020.mp4", "0123456789a_000000_000010.mp4", "_xyz_000007_000017.mp4"), "")


def labels(found: LabelledClips) -> dict[str, tuple[str, ...]]:
    return {clip.name: clip.labels for clip in found.clips}


def test_activitynet_by_lists(tmp_path: Path) -> None:
    found = read_labelled_clips(activitynet(tmp_path))
    assert labels(found) == {
        "v_a": ("Archery", "Zumba"),  # the smallest number first, however they are listed
        "v_b": ("BMX",),  # two frames listed, but who believes it
        "v_--c_": ("Archery",),
        "v_d": ("Archery", "BMX", "Zumba"),
    }
    assert [clip.subset for clip in found.clips] == ["train", "train", "train", "validation"] and not found.remarks
    assert found.clips[0].path == tmp_path / "videos/v_a.mp4" and found.classes == ("Archery", "BMX", "Zumba")
    assert found == read_labelled_clips(tmp_path, dataset="activitynet")
    assert read_labelled_clips(tmp_path, videos=tmp_path / "videos").clips == found.clips
    with pytest.raises(OptionError, match="only UCF101 and HMDB51 have numbered splits"):
        read_labelled_clips(tmp_path, split=2)


def test_the_first_label_is_that_of_the_smallest_number(tmp_path: Path) -> None:
    tree(activitynet(tmp_path), {"classInd.txt": "Zumba\nBMX\nArchery"})  # not sorted, so numbers and names differ
    first = read_labelled_clips(tmp_path).clips[0]
    assert (first.label, first.also) == ("Zumba", ("Archery",))
    assert read_labelled_clips(tmp_path).clips[3].labels == ("Zumba", "Archery", "BMX")


def test_parts_learn_classes_that_only_stand_second(tmp_path: Path) -> None:
    parts = training_clips(read_labelled_clips(activitynet(tmp_path)), validation_share=0)
    assert parts.classes == ("Archery", "BMX", "Zumba") and parts.numbers(parts.test).tolist() == [0]
    assert parts.remarks == (  # of the test part nothing: its one video shows all
        "learned from a single clip each: 'BMX', 'Zumba'",
        "there is no validation part",
    )
    unseen = LabelledClip("t", tmp_path / "t.mp4", "Archery", subset="test", also=("Yoga",))
    labelled = LabelledClips((*parts.train, unseen))
    assert "no training clip shows 'Yoga': 1 test clip cannot be told right" in training_clips(labelled).remarks


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        (
            {"actnet_val_split.txt": "v_d,120,3"},
            "actnet_val_split.txt:1: class 3 is none of the 3 classes, which are 0",
        ),
        ({"actnet_val_split.txt": "\nv_d,120"}, "actnet_val_split.txt:2: cannot read 'v_d,120'\n.*'name,300,7: file"),
        ({"actnet_val_split.txt": ",120,1"}, "actnet_val_split.txt:1: cannot read ',120,1'"),
        ({"actnet_val_split.txt": "v_d,many,1"}, "actnet_val_split.txt:1: the number of frames is 'many'"),
        ({"actnet_val_split.txt": "v_d,9,BMX"}, "actnet_val_split.txt:1: the number of a class is 'BMX'"),
        ({"actnet_val_split.txt": "v_d,9,-1"}, "the number of a class is '-1'"),
        ({"actnet_val_split.txt": "v_d,9,1,"}, "the number of a class is ''"),
        ({"actnet_val_split.txt": "v_b,2,1"}, "'v_b' is 'v_b', 'BMX' in 'validation' here but .* in 'train' at .*:2"),
        ({"actnet_val_split.txt": "v_d,9,1\nv_d,9,1,2"}, "'v_d', 'BMX', 'Zumba' in .* here but 'v_d', 'BMX' in"),
        ({"actnet_val_split.txt": "../d,9,1"}, "leads out of the folder"),
        ({"actnet_val_split.txt": "v_e,9,1"}, "1 of 4 videos have no file"),
        ({"classInd.txt": "Archery\n\nZumba\n"}, "classInd.txt:2: a blank line"),
        ({"classInd.txt": "Archery\nBMX\nArchery\n"}, "classInd.txt:3: 'Archery' stands in line 1 too"),
        ({"classInd.txt": "1 Archery\n3 BMX\n2 Zumba\n"}, "classInd.txt:2: number 3 follows 1"),
    ],
)
def test_lists_of_activitynet_that_cannot_be(tmp_path: Path, files: dict[str, str], problem: str) -> None:
    with pytest.raises(AnnotationError, match=problem):
        read_labelled_clips(tree(activitynet(tmp_path), files))


@pytest.mark.parametrize("missing", ["classInd.txt", "actnet_train_split.txt", "actnet_val_split.txt"])
def test_all_files_of_the_lists_are_needed(tmp_path: Path, missing: str) -> None:
    (activitynet(tmp_path) / missing).unlink()
    with pytest.raises(AnnotationError, match=f"holds no {missing}"):
        read_labelled_clips(tmp_path)


def test_the_same_line_twice_is_told(tmp_path: Path) -> None:
    tree(activitynet(tmp_path), {"actnet_val_split.txt": "v_d,9,1\nv_d,9,1\n"})
    assert read_labelled_clips(tmp_path).remarks == ("listed again, kept once: 1 clip: 'v_d'",)


def test_activitynets_json_as_whole_videos(tmp_path: Path) -> None:
    def shown(*names: str) -> list[dict[str, object]]:
        return [{"label": name, "segment": [n, n]} for n, name in enumerate(names)]  # times that are no times

    database = {
        "-bc": {"duration": 9.0, "subset": "training", "annotations": shown("Zumba", "BMX", "Zumba")},
        "v_123456789ab": {"duration": 9.0, "subset": "validation", "annotations": shown("BMX")},
        "v_345678901": {"duration": 9.0, "subset": "validation", "annotations": shown("BMX")},
        "secret": {"duration": 9.0, "subset": "testing", "annotations": []},
    }
    names = ("v_-bc.mp4", "deep/v_123456789ab.mp4", "v_v_345678901.mkv")
    tree(tmp_path, {"net.json": json.dumps({"database": database}), **dict.fromkeys(names, "")})
    found = read_labelled_clips(tmp_path / "net.json", dataset="activitynet")
    assert found.clips == (
        LabelledClip("v_-bc", tmp_path / "v_-bc.mp4", "BMX", subset="training", also=("Zumba",)),
        LabelledClip("v_123456789ab", tmp_path / "deep/v_123456789ab.mp4", "BMX", subset="validation"),
        LabelledClip("v_v_345678901", tmp_path / "v_v_345678901.mkv", "BMX", subset="validation"),  # its id begins so
    )
    assert found.remarks == ("left out, without a label: 1 video: 'secret'",)


def test_segments_stay_what_they_were(tmp_path: Path) -> None:
    video = {"subset": "training", "annotations": [{"label": name, "segment": [0, 1]} for name in ("BMX", "Zumba")]}
    tree(tmp_path, {"net.json": json.dumps({"database": {"a": video}}), "a.mp4": ""})
    assert labels(read_labelled_clips(tmp_path / "net.json")) == {"a#1": ("BMX",), "a#2": ("Zumba",)}


def test_the_validation_part_of_activitynet(shared_data: Path) -> None:
    folder = shared_data / "annotations"
    table = folder / "activitynet_v1-3_valid_tsp_groundtruth.csv"
    if not table.is_file():
        pytest.skip(f"real data not found at {folder}: set KINOSCOPE_DATA")
    found = read_labelled_clips(table, dataset="activitynet", files=False)
    assert len(found) == 4926 and Counter(len(clip.labels) for clip in found.clips) == {1: 4919, 2: 7}
    assert all(clip.name.startswith("v_") for clip in found.clips)
    official = json.loads((folder / "activitynet_v1-3_action_label_mapping.json").read_text(encoding="utf-8"))
    assert list(found.classes) == official  # so numbers in sorted order are the official ones
    assert all(clip.label == min(clip.labels, key=official.index) for clip in found.clips)


@pytest.mark.parametrize(("lists", "names"), [("materials/", "FCVID_CategoryName.txt"), ("", "classInd.txt")])
def test_fcvid_as_released(tmp_path: Path, lists: str, names: str) -> None:
    found = read_labelled_clips(fcvid(tmp_path, lists, names))
    assert labels(found) == {"surfing/-x y": ("surfing",), "dogs/b": ("dogs",), "dogs/d": ("dogs", "parade")}
    assert [clip.subset for clip in found.clips] == ["train", "train", "test"]
    assert found.clips[0].path == tmp_path / "FCVID/surfing/-x y.mp4"
    assert found.remarks == ("left out, without a label: 1 video: 'dogs/c.mp4'",)
    assert found == read_labelled_clips(tmp_path, dataset="fcvid")


def test_fcvid_without_names_of_the_classes(tmp_path: Path) -> None:
    (fcvid(tmp_path) / "materials/FCVID_CategoryName.txt").unlink()
    found = read_labelled_clips(tmp_path)
    assert found.classes == ("class-000", "class-001", "class-002")
    assert found.remarks[0].startswith("no file names the classes, so they are class-000")


@pytest.mark.parametrize(
    ("file", "text", "problem"),
    [
        ("FCVID_Label.txt", "0 0 1\n1 0 0\n", "FCVID_Label.txt: 2 rows, but 4 videos in FCVID_VideoName"),
        ("FCVID_Label.txt", "0 0 1\n1 0 0\n0 1\n1 1 0\n", "FCVID_Label.txt:3: 2 columns, but 3 before"),
        ("FCVID_Label.txt", "0 0 1\n1 0 2\n", "FCVID_Label.txt:2: a mark is '2'"),
        ("FCVID_Label.txt", "0 0 yes\n", "FCVID_Label.txt:1: a mark is 'yes'"),
        ("FCVID_VideoName_TrainTestSplit.txt", "dogs/b.mp4 valid", "TrainTestSplit.txt:1: cannot read 'dogs/b.mp4 val"),
        ("FCVID_VideoName_TrainTestSplit.txt", "train", "TrainTestSplit.txt:1: cannot read 'train'"),
        (
            "FCVID_VideoName_TrainTestSplit.txt",
            "dogs/b.flv train\n" * 4,
            "'dogs/b' is 'dogs/b.flv', 'dogs' in 'train' h",
        ),
        ("FCVID_CategoryName.txt", "dogs\nparade\n", "FCVID_CategoryName.txt: 2 classes, but 3 columns in FCVID_Label"),
    ],
)
def test_files_of_fcvid_that_cannot_be(tmp_path: Path, file: str, text: str, problem: str) -> None:
    with pytest.raises(AnnotationError, match=problem):
        read_labelled_clips(tree(fcvid(tmp_path), {f"materials/{file}": text}))


def test_marks_of_fcvid_may_be_written_as_decimals(tmp_path: Path) -> None:
    tree(fcvid(tmp_path), {"materials/FCVID_Label.txt": "0.0\t0.0\t1.0\n1e0 0 0\n0 0 0\n1 1 0\n"})
    assert read_labelled_clips(tmp_path).clips[0].labels == ("surfing",)


def test_fcvid_by_lists(tmp_path: Path) -> None:
    lists = {"classInd.txt": "dogs\nsurfing", "fcvid_train_split.txt": "a,60,1,0", "fcvid_val_split.txt": "deep/b,9,0"}
    found = read_labelled_clips(tree(tmp_path, {**lists, "a.mp4": "", "deep/b.mp4": ""}))
    assert labels(found) == {"a": ("dogs", "surfing"), "deep/b": ("dogs",)}
    assert [clip.subset for clip in found.clips] == ["train", "validation"]


def test_mini_kinetics_by_lists(tmp_path: Path) -> None:
    found = read_labelled_clips(tree(tmp_path, MINI_KINETICS))
    cricket = "compress/playing_cricket"
    assert [(clip.label, clip.subset, clip.path) for clip in found.clips] == [
        ("eating, fast", "train", tmp_path / "compress/eating, fast/0123456789a_000000_000010.mp4"),
        ("playing cricket", "train", tmp_path / f"{cricket}/-aBcDeFgHiJ_000010_000020.mkv"),
        ("playing cricket", "validation", tmp_path / f"{cricket}/_xyz_000007_000017.mp4"),
    ]
    (lost,) = found.remarks
    assert "1 of 4 videos: 'images/train/playing cricket/vanished_00'" in lost
    (tmp_path / "minik_classInd.txt").unlink()
    assert read_labelled_clips(tmp_path, dataset="mini-kinetics") == found  # folders are called like the classes


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("images/val/playing cricket/x 250 0", "val_videofolder.txt:1: 'playing cricket' is class 0, but 1 before"),
        ("images/val/bowling/x 250 1", "val_videofolder.txt:1: class 1 is 'bowling', but 'playing cricket' before"),
        ("x 250 1", "val_videofolder.txt:1: no folder tells the class of 'x'"),
        ("images/val/playing cricket/x 1", "val_videofolder.txt:1: the number of frames is 'cricket/x'"),
        ("cricket/x 1", "val_videofolder.txt:1: cannot read 'cricket/x 1'"),
    ],
)
def test_lists_of_mini_kinetics_that_cannot_be(tmp_path: Path, line: str, problem: str) -> None:
    (tree(tmp_path, {**MINI_KINETICS, "mini_val_videofolder.txt": line}) / "minik_classInd.txt").unlink()
    with pytest.raises(AnnotationError, match=problem):
        read_labelled_clips(tmp_path)


def test_mini_kinetics_by_ids(tmp_path: Path) -> None:
    found = read_labelled_clips(tree(tmp_path, {"k400/all.csv": KINETICS, **IDS, **VIDEOS}))
    assert [(clip.name, clip.subset) for clip in found.clips] == [  # not the clip whose id is in no list
        ("playing cricket/-aBcDeFgHiJ_000010_000020", "train"),
        ("playing cricket/_xyz_000007_000017", "validation"),
    ]
    unlabelled, unknown, lost = found.remarks
    assert unlabelled == "left out, without a label: 1 clip" and "1 of 3 videos" in lost
    assert unknown == "left out, not in the tables of Kinetics: 1 clip: 'unlabelled0'"
    assert len(read_labelled_clips(tmp_path, dataset="kinetics")) == 3


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        (
            {"val_ytid_list.txt": "nowhere\n"},
            "val_ytid_list.txt: the tables of Kinetics know none of its 1 id: 'nowhere'",
        ),
        ({"val_ytid_list.txt": "_xyz 7\n"}, "val_ytid_list.txt:1: cannot read '_xyz 7'"),
        ({"all.csv": "video,label\n"}, "no table of Kinetics"),
    ],
)
def test_lists_of_ids_that_cannot_be(tmp_path: Path, files: dict[str, str], problem: str) -> None:
    with pytest.raises(AnnotationError, match=problem):
        read_labelled_clips(tree(tmp_path, {"all.csv": KINETICS, **IDS, **VIDEOS, **files}))


def test_both_lists_of_ids_are_needed(tmp_path: Path) -> None:
    (tree(tmp_path, {"all.csv": KINETICS, **IDS, **VIDEOS}) / "val_ytid_list.txt").unlink()
    with pytest.raises(AnnotationError, match=r"holds no val_ytid_list\.txt"):
        read_labelled_clips(tmp_path)


@pytest.mark.parametrize("dataset", ["activitynet", "fcvid", "mini-kinetics"])
def test_a_folder_without_the_lists(tmp_path: Path, dataset: Dataset) -> None:
    with pytest.raises(AnnotationError, match="holds no "):
        read_labelled_clips(tree(tmp_path, {"a/b.mp4": ""}), dataset=dataset)
