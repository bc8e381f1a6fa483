"""A label for every frame: GTEA, 50 Salads and folders of text files, as labels and as segments."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinoscope.data.annotations import read_annotations, read_frame_labels
from kinoscope.data.dataset_choice import EpicChoice, FrameChoice, parse_dataset
from kinoscope.data.frame_labels import BACKGROUND, FrameLabels
from kinoscope.data.segments import Segment
from kinoscope.errors import AnnotationError, KinoscopeError, OptionError
from kinoscope.evaluate.frames import score_frames

from .trees import tree

FILES = {
    "mapping.txt": "0 take\n1 open\n2 background\n",
    "groundTruth/S1_Tea_C1.txt": "background\ntake\ntake\nopen\nbackground\ntake\n",
    "groundTruth/S2_Tea_C1.txt": "open\n" * 30,
    "groundTruth/S3_Tea_C1.txt": "background\n\n",
    "splits/train.split1.bundle": "S2_Tea_C1.txt\n",
    "splits/test.split1.bundle": "S1_Tea_C1.txt\n",
    "splits/train.split2.bundle": "S1_Tea_C1.txt\nS3_Tea_C1.txt\n",
    "splits/test.split2.bundle": "S2_Tea_C1.txt\n",
}


def refusal(path: Path, dataset: str = "gtea") -> KinoscopeError:
    with pytest.raises(KinoscopeError) as caught:
        read_annotations(path, dataset=dataset)
    assert caught.value.cure
    return caught.value


def packed(root: Path, **labels: object) -> Path:
    """Features as they are re-packed."""
    (root / "features").mkdir(parents=True, exist_ok=True)
    for name, values in labels.items():
        np.savez(root / "features" / f"{name.replace('_', '-')}.npz", label=np.asarray(values), feat=np.zeros((2, 3)))
    return root


def test_labels_as_published(tmp_path: Path) -> None:
    found = read_frame_labels(tree(tmp_path, FILES), "gtea")
    assert found.fps == 15 and dict(found.subsets) == {"S2_Tea_C1": "train", "S1_Tea_C1": "test"}
    assert found.labels["S1_Tea_C1"].tolist() == ["background", "take", "take", "open", "background", "take"]
    assert found.classes == ("open", "take")
    assert found.remarks == ("in no list of split 1: 1 video: 'S3_Tea_C1'",)
    assert list(found.subset("TEST").labels) == ["S1_Tea_C1"]
    second = read_frame_labels(tmp_path, "gtea:split=2,fps=30")
    assert second.fps == 30 and second.subsets["S1_Tea_C1"] == "train" and not second.remarks


def test_the_same_as_segments(tmp_path: Path) -> None:
    found = read_annotations(tree(tmp_path, FILES), dataset="gtea")
    video = found.videos["S1_Tea_C1"]
    assert video.segments == (
        Segment(1 / 15, 3 / 15, "take"),
        Segment(3 / 15, 4 / 15, "open"),
        Segment(5 / 15, 6 / 15, "take"),
    )
    assert (video.duration, video.subset) == (6 / 15, "test")
    assert found.videos["S3_Tea_C1"].segments == () and found.videos["S3_Tea_C1"].subset is None
    assert found.remarks[-1] == "left out: 3 segments of 'background'"


def test_labels_are_scored_as_they_are(tmp_path: Path) -> None:
    truth = read_frame_labels(tree(tmp_path / "gt", FILES), "gtea").subset("test")
    tree(tmp_path / "guess", {"S1_Tea_C1.txt": "take\ntake\ntake\nopen\nopen\ntake\n"})
    guess = read_frame_labels(tmp_path / "guess", "frames:fps=15")
    scores = score_frames(guess.labels, truth.labels)
    assert scores.accuracy == pytest.approx(100 * 4 / 6) and scores.edit == 100


def test_packed_features(tmp_path: Path) -> None:
    root = packed(tmp_path, rgb_06_1=[0, 0, 3, 3], rgb_06_2=np.array([[1], [1], [0]], np.int16))
    tree(root, {"splits/train.split1.txt": "06-1\n", "splits/test.split1.txt": "06-2\n"})
    error = refusal(root, "50salads")
    assert "no file says how many rows of features" in error.problem and "50salads:fps=2.5" in str(error.cure)
    found = read_frame_labels(root, "50salads:fps=2.5")
    assert found.subsets == {"rgb-06-1": "train", "rgb-06-2": "test"}
    assert found.labels["rgb-06-1"].tolist() == ["background", "background", "3", "3"]
    assert found.remarks == ("no mapping.txt names the classes, so they are called by their numbers",)
    assert found.to_annotations().videos["rgb-06-1"].segments == (Segment(0.8, 1.6, "3"),)
    tree(root, {"mapping.txt": "0 action_start\n1 cut\n2 peel\n3 mix\n"})
    named = read_annotations(root, dataset="50salads:fps=2.5")
    assert named.classes == ("cut", "mix") and named.remarks == ("left out: 2 segments of 'action_start'",)


def test_without_lists_there_are_no_subsets(tmp_path: Path) -> None:
    found = read_frame_labels(packed(tmp_path, a=[1, 2]), "gtea")
    assert found.subsets == {} and found.to_annotations().videos["a"].subset is None
    assert "has no list train.split2" in refusal(tmp_path, "gtea:split=2").problem


@pytest.mark.parametrize(
    ("files", "where", "message"),
    [
        ({"groundTruth/S1_Tea_C1.txt": "take\n\nopen\n"}, "groundTruth/S1_Tea_C1.txt:2", "a blank line"),
        ({"groundTruth/S1_Tea_C1.txt": "take\nopn\n"}, "groundTruth/S1_Tea_C1.txt:2", "'opn' is not in mapping.txt"),
        ({"groundTruth/S1_Tea_C1.txt": "take\n3\n"}, "groundTruth/S1_Tea_C1.txt:2", "'3' is not in mapping.txt"),
        ({"groundTruth/S1_Tea_C1.txt": ""}, "groundTruth/S1_Tea_C1.txt", "is empty"),
        ({"mapping.txt": "0 take\n0 open\n"}, "mapping.txt:2", "class 0 is 'open'"),
        ({"splits/test.split1.bundle": "S2_Tea_C1.txt\n"}, "splits/test.split1.bundle:1", "'S2_Tea_C1' stands at"),
        ({"splits/test.split1.bundle": "S9.txt\n"}, "splits", "1 listed video without labels: 'S9.txt'"),
        ({"splits/test.split1.bundle": "../S1_Tea_C1.txt\n"}, "splits/test.split1.bundle:1", "is no name of a file"),
        ({"splits/test.split1.bundle": "\n"}, "splits/test.split1.bundle", "is empty"),
    ],
)
def test_bad_trees_are_refused_with_their_place(
    tmp_path: Path, files: dict[str, str], where: str, message: str
) -> None:
    error = refusal(tree(tmp_path, FILES | files))
    assert str(error.where) == str(tmp_path / where) and message in error.problem


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0.5, 1.0], "its labels are float64 of shape"),
        ([[1, 2], [3, 4]], "its labels are int64 of shape"),
        ([], "its labels are float64"),
        ([-1, 2], "a label is -1"),
        ([0, 3], "a label is 3, but numbers of classes are 0 to 2"),
        (np.array([{}], dtype=object), "cannot be read"),
    ],
)
def test_bad_arrays_are_refused(tmp_path: Path, labels: object, message: str) -> None:
    tree(packed(tmp_path, a=labels), {"mapping.txt": FILES["mapping.txt"]})
    error = refusal(tmp_path)
    assert error.where == tmp_path / "features" / "a.npz" and message in error.problem


def test_files_that_are_no_arrays(tmp_path: Path) -> None:
    packed(tmp_path, a=[1])
    path = tmp_path / "features" / "a.npz"
    data = path.read_bytes()
    for damaged in (b"", b"no zip", data[: len(data) // 2]):
        path.write_bytes(damaged)
        assert "cannot be read" in refusal(tmp_path).problem
    np.savez(path, feat=np.zeros(3))
    assert "holds no array 'label'" in refusal(tmp_path).problem
    assert "holds no labels of frames" in refusal(tmp_path / "none").problem


def test_the_rate_must_be_known(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError) as caught:
        read_annotations(tree(tmp_path, FILES))
    assert "no file says how many a second has" in caught.value.problem and "frames:fps=15" in str(caught.value.cure)
    assert "frames:fps=15" in str(refusal(tmp_path, "frames").cure)
    with pytest.raises(AnnotationError, match="unknown label 'open'"):
        read_annotations(tmp_path, dataset="gtea", classes=["take"])


def test_choices() -> None:
    assert parse_dataset("epic-kitchens:noun") == EpicChoice("noun")
    assert parse_dataset(" 50Salads:split=5,fps=2.5 ") == FrameChoice("50salads", 2.5, 5)
    assert FrameChoice("50salads").rate(repacked=False) == 30 and FrameChoice("gtea").rate(repacked=True) == 15
    for wrong in ("gtae", "gtea:rate=3", "gtea:fps=fast", "gtea:fps=0", "gtea:fps=nan", "gtea:split=0", "gtea:split=x",
                  "gtea:split=1.5", "gtea:fps=1,fps=2", "", "frames:fps=inf"):  # fmt: skip
        with pytest.raises(OptionError) as caught:
            parse_dataset(wrong)
        assert caught.value.cure
    with pytest.raises(OptionError, match="has no labels of frames"):
        read_frame_labels("x", "epic-kitchens:verb")


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(["a", "b", "background", "SIL"]), min_size=1, max_size=40), st.floats(0.1, 240))
def test_segments_tell_every_frame(labels: list[str], fps: float) -> None:
    found = FrameLabels({"v": np.array(labels)}, fps).to_annotations().videos["v"]
    again = ["?"] * len(labels)
    for segment in found.segments:
        begin, end = round(segment.start * fps), round(segment.end * fps)
        again[begin:end] = [segment.label] * (end - begin)
    assert again == [label if label not in BACKGROUND else "?" for label in labels]
    assert all(a.end <= b.start and (a.end < b.start or a.label != b.label) for a, b in pairwise(found.segments))


def test_impossible_labels_are_refused() -> None:
    with pytest.raises(AnnotationError, match="fps is 0"):
        FrameLabels({"v": np.array(["a"])}, 0)
    with pytest.raises(AnnotationError, match="'v' has labels of shape"):
        FrameLabels({"v": np.array([["a"]])}, 15)


def test_real_gtea(shared_data: Path) -> None:
    found = read_frame_labels(shared_data / "gtea", "gtea")
    assert len(found.labels) == 28 and sum(map(len, found.labels.values())) == 29_822
    assert len(found.subset("train").labels) == 21 and len(found.subset("test").labels) == 7
    annotations = read_annotations(shared_data / "gtea", dataset="gtea:split=4")
    segments = sum(len(video.segments) for video in annotations.videos.values())
    left_out = int(annotations.remarks[-1].split()[2])
    assert segments + left_out == 895 and len(annotations.classes) == 10
    assert {name for name, video in annotations.videos.items() if video.subset == "test"} == {
        name for name in annotations.videos if name.startswith("S4")
    }
    with pytest.raises(OptionError, match=r"has no list train.split5"):
        read_annotations(shared_data / "gtea", dataset="gtea:split=5")


def test_real_50_salads(shared_data: Path) -> None:
    found = read_frame_labels(shared_data / "50salads", "50salads:fps=2.5")
    assert len(found.labels) == 50 and sum(map(len, found.labels.values())) == 49_735
    assert len(found.subset("train").labels) == 40 and len(found.subset("test").labels) == 10
    annotations = found.to_annotations()
    left_out = int(annotations.remarks[-1].split()[2])
    assert sum(len(video.segments) for video in annotations.videos.values()) + left_out == 1_430
