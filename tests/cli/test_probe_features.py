"""``kinoscope probe-features`` from files to a verdict, and what it says of files that do not fit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from kinoscope.data.annotations import write_annotations_json
from kinoscope.data.features import Features, FeatureTime, write_features

from ..evaluate import probe_cases as cases
from .conftest import Run
from .test_bad_input import HOSTILE, refused

TRUTH = cases.annotations(24)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labels, features that know the truth, and wider ones that do not."""
    folder = tmp_path_factory.mktemp("probe")
    rows = ["video,start,end,label,split"]
    for name, video in TRUTH.videos.items():
        rows += [f"clips/{name}.mp4,{s.start},{s.end},{s.label},{video.subset}" for s in video.segments]
        rows += [] if video.segments else [f"clips/{name}.mp4,,,,{video.subset}"]
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    for kind, signal, width in (("knows", 20, 6), ("noise", 0, 9)):
        for name, each in cases.features(TRUTH, signal=signal, width=width).items():
            write_features(folder / kind / f"{name}.safetensors", each)
    return folder


@pytest.fixture
def home(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of these to work in."""
    monkeypatch.chdir(shutil.copytree(made, tmp_path, dirs_exist_ok=True))
    return tmp_path


def words(text: str) -> str:
    """``text`` without a table's lines and breaks."""
    return " ".join(text.replace("│", " ").split())


def test_from_folders_to_a_verdict(run: Run, home: Path) -> None:
    answer = run("probe-features", "knows", "noise", "--gt", "labels.csv", "--bootstrap", 200, "-o", "out/probe.json")
    assert answer.code == 0, answer.err
    shown = words(answer.out)
    assert (
        "12 test videos, 720 snippets" in shown and "within 1 s of a boundary" in shown and "minus the first" in shown
    )
    assert "noise against knows: balanced accuracy is lower, AUC is lower" in shown
    assert "trained on 12 train videos, tested on 12 test videos" in answer.err and "too narrow" in answer.err
    found = json.loads(Path("out/probe.json").read_text())
    assert [result["features"] for result in found["results"]] == ["knows", "noise"]
    knows, noise = found["results"]
    assert knows["measures"]["near_auc"] > 0.98 and abs(noise["measures"]["auc"] - 0.5) < 0.1
    low, high = knows["intervals"]["auc"]
    assert low <= knows["measures"]["auc"] <= high and "minus_first" not in knows
    value, low, high = noise["minus_first"]["balanced_accuracy"]
    assert low < value < high < 0
    assert value == pytest.approx(noise["measures"]["balanced_accuracy"] - knows["measures"]["balanced_accuracy"])


def test_json_is_all_that_is_printed(run: Run, home: Path) -> None:
    common = ("probe-features", "noise", "noise", "--gt", "labels.csv", "--seeds", "0 1")
    found = json.loads(run(*common, "--json", "--bootstrap", 100, "--near", 99).out)
    assert found["results"][0]["seeds"] == [0, 1] and found["results"][0]["measures"]["far_auc"] is None
    assert found["results"][1]["minus_first"]["auc"] == [0, 0, 0]
    assert found["results"][1]["minus_first"]["far_auc"] is None
    assert "intervals" not in json.loads(run(*common, "--json", "--bootstrap", 0).out)["results"][0]
    assert "noise against noise: no difference shown" in run(*common, "--bootstrap", 100).out
    assert "minus the first" not in run(*common, "--bootstrap", 0).out


def test_the_official_protocol(run: Run, home: Path) -> None:
    common = ("probe-features", "knows", "noise", "--gt", "labels.csv", "--protocol", "official")
    refused(run(*common, "--chunk", 500), "knows: the", "a chunk takes 500 of one class", "--chunk of at most")
    answer = run(*common, "--chunk", 5, "--seeds", "0,1,2")
    assert answer.code == 0, answer.err
    assert "mean accuracy of epochs 6 to 15" in words(answer.out) and "over seeds" in answer.out
    assert "always answering the larger class scores 0." in answer.err
    found = json.loads(run(*common, "--chunk", 5, "--json").out)
    assert len(found["results"][0]["accuracies"][0]) == 16 and found["results"][0]["chunk"] == 5


def test_folders_that_do_not_hold_the_same_videos(run: Run, home: Path) -> None:
    Path("noise/v01.safetensors").unlink()
    answer = run("probe-features", "knows", "noise", "--gt", "labels.csv", "--json")
    assert answer.code == 0 and "left out, not in every folder: 1 annotated video: 'clips/v01'" in words(answer.err)
    found = json.loads(answer.out)
    assert found["results"][0]["videos"] == {"train": 12, "test": 11} == found["results"][1]["videos"]
    write_features("other/x.safetensors", Features(np.ones((9, 2), np.float32), cases.TIME))
    refused(run("probe-features", "knows", "other", "--gt", "labels.csv"), "no annotated video has features in every")


def test_annotations_without_a_split(run: Run, home: Path) -> None:
    lines = Path("labels.csv").read_text().splitlines()
    Path("labels.csv").write_text("\n".join(line.rsplit(",", 1)[0] for line in lines))
    answer = run("probe-features", "knows", "--gt", "labels.csv")
    assert answer.code == 0 and "no subsets: 17 videos chosen at random for training, 7 for testing" in answer.err


def test_npy_features_and_activitynet_json(run: Run, home: Path) -> None:
    Path("npy").mkdir()
    for name, each in cases.features(TRUTH, signal=20).items():
        np.save(f"npy/{name}.npy", each.values)
    write_annotations_json("truth.json", TRUTH)
    common = ("probe-features", "npy", "--gt", "truth.json")
    refused(run(*common), "a .npy file has no time", "--fps")
    answer = run(*common, "--fps", 4, "--stride", 1, "--clip-length", 1, "--json")
    assert json.loads(answer.out)["results"][0]["measures"]["auc"] > 0.98
    wrong = run(*common, "--fps", 8, "--stride", 1, "--clip-length", 1, "--json")
    assert "beyond the end of the video; is the time of the rows right?" in words(wrong.err)


def test_rows_of_zeros_are_told(run: Run, home: Path) -> None:
    values = np.zeros((cases.ROWS, 6), np.float32)
    write_features("knows/v03.safetensors", Features(values, cases.TIME))
    assert "knows: 60 rows of zeros" in words(run("probe-features", "knows", "--gt", "labels.csv").err)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--near", -1), "near is -1 s"),
        (("--seeds", "a"), "--seeds is 'a'"),
        (("--seeds", ""), "--seeds is ''"),
        (("--bootstrap", -1), "--bootstrap is -1"),
        (("--fps", 4), "--stride and --clip-length"),
        (("-o", "knows"), "knows: cannot be written"),
        (("--protocol", "official", "--chunk", 0), "chunk is 0"),
    ],
)
def test_impossible_options(run: Run, home: Path, options: tuple[object, ...], message: str) -> None:
    refused(run("probe-features", "knows", "--gt", "labels.csv", *options), message)


def test_files_that_cannot_be_used(run: Run, home: Path) -> None:
    refused(run("probe-features", "none", "--gt", "labels.csv"), "none: no such folder of features")
    refused(run("probe-features", "knows", "--gt", "none.csv"), "none.csv: no such annotation file")
    write_features("knows/v05.safetensors", Features(np.ones((9, 2), np.float32), FeatureTime(4, 1, 1)))
    refused(run("probe-features", "knows", "--gt", "labels.csv"), "knows: features of 'clips/v05' have 2 channels")
    Path("knows/v05.safetensors").write_text("x")
    refused(run("probe-features", "knows", "--gt", "labels.csv"), "v05.safetensors: cannot be read")
    Path("whole.csv").write_text("video,start,end,label,split\nv02,0,15,x,train\nv03,0,15,x,test\n")
    refused(
        run("probe-features", "noise", "--gt", "whole.csv"), "the 1 training videos are action: nothing to separate"
    )


def test_names_do_not_paint_over_the_terminal(run: Run, home: Path) -> None:
    Path("knows").rename(HOSTILE)
    for more in ((), ("--protocol", "official", "--chunk", 5)):
        answer = run("probe-features", HOSTILE, "noise", "--gt", "labels.csv", *more)
        assert answer.code == 0 and not {"\x1b", "\x07", "‮"} & set(answer.out + answer.err)
