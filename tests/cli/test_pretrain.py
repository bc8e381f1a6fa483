"""``kinoscope pretrain`` on real files; what it trains is tested in ``tests/coclr``."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from kinoscope.data.features import read_features

from ..encoders import tiny
from .conftest import Run

S3D = ("--width", "0.05", "--frames", "8", "--size", "32", "--fps", "8", "--device", "cpu")
SMALL = ("--backbone", "tiny-4", *S3D)
SHORT = ("--epochs", "1", "--cotrain-epochs", "2", "--cycles", "1")
CLIPS = """video,label,split
videos/0.mp4,fall,train
videos/1.mp4,sit,train
videos/2.mp4,fall,train
videos/3.mp4,sit,test
"""


@pytest.fixture(scope="module")
def filmed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("library")
    for number in range(4):
        tiny.film(folder / "videos" / f"{number}.mp4", 40, seed=number)
    (folder / "clips.csv").write_text(CLIPS)
    return folder


@pytest.fixture
def library(filmed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    tiny.install_backbones(monkeypatch)
    shutil.copytree(filmed, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_coclr_from_a_folder_to_features_of_both_streams(run: Run, library: Path) -> None:
    answer = run("pretrain", "videos", "--method", "coclr", "--out", "r", *SMALL, *SHORT)
    assert answer.code == 0, answer.err
    assert "co-training, rgb learns" in answer.out
    assert "4 videos, 1 updates of 4 pairs per epoch" in answer.out
    assert [stage["name"] for stage in json.loads(Path("r/pretrain.json").read_text())["stages"]] == [
        "infonce-rgb",
        "infonce-flow",
        "cycle1-rgb",
        "cycle1-flow",
    ]
    for stream in ("rgb", "flow"):
        assert run("extract", "videos", "--encoder", f"r/{stream}", "--out", f"feats-{stream}").code == 0
        features = read_features(Path(f"feats-{stream}/0.safetensors"))
        assert np.isfinite(features.values).all()
    again = run("pretrain", "videos", "--method", "coclr", "--out", "r", *SMALL, *SHORT)
    assert again.code == 2
    assert "--resume" in again.err
    resumed = run("pretrain", "videos", "--method", "coclr", "--out", "r", "--resume", *SMALL, *SHORT)
    assert resumed.code == 0
    assert resumed.out.count("done") == 4
    before = Path("r/pretrain.json").read_bytes()
    for changed in (("--seed", "1"), ("--width", "0.2"), ("--head", "centred")):
        other = run("pretrain", "videos", "--method", "coclr", "--out", "r", "--resume", *SMALL, *SHORT, *changed)
        assert other.code == 2
        assert "resumed differently" in other.err
    Path("videos/0.mp4").unlink()
    gone = run("pretrain", "videos", "--method", "coclr", "--out", "r", "--resume", *SMALL, *SHORT)
    assert gone.code == 2
    assert "no longer there: 0" in gone.err
    assert Path("r/pretrain.json").read_bytes() == before  # what the run was begun with stays on record


def test_a_dry_run_writes_nothing(run: Run, library: Path) -> None:
    answer = run("pretrain", "videos", "--method", "infonce", "--out", "r", "--dry-run", *SMALL, "--epochs", "300")
    assert answer.code == 0, answer.err
    assert "To go: about" in answer.out
    assert not Path("r").exists()


def test_ubernce_learns_from_the_training_part(run: Run, library: Path) -> None:
    answer = run("pretrain", "clips.csv", "--method", "ubernce", "--out", "r", *S3D, "--epochs", "1")
    assert answer.code == 0, answer.err
    assert "3 videos" in answer.out
    began = run("pretrain", "clips.csv", "--method", "infonce", "--start", "r", "--out", "s", *S3D, "--epochs", "1")
    assert began.code == 0, began.err
    other = run("pretrain", "videos", "--method", "infonce", "--start", "r", "--out", "t", *S3D, "--width", "0.3")
    assert other.code == 2
    assert "another network" in other.err


@pytest.mark.parametrize("second", ["difference", "jitter"])
def test_without_flow(run: Run, library: Path, second: str) -> None:
    answer = run(
        "pretrain", "videos", "--method", "coclr", "--second", second, "--mutual", "--out", "r", *SMALL, *SHORT
    )
    assert answer.code == 0, answer.err
    assert Path("r", second, "config.json").is_file()


def test_a_frozen_encoder_mines(run: Run, library: Path) -> None:
    answer = run("pretrain", "videos", "--method", "coclr", "--frozen", "tiny-frames", "--out", "r", *SMALL, *SHORT)
    assert answer.code == 0, answer.err
    assert "frozen" in answer.out
    assert Path("r/config.json").is_file()


def test_videos_that_cannot_be_used_are_told_and_left_out(run: Run, library: Path) -> None:
    Path("videos/broken.mp4").write_bytes(b"no video")
    tiny.film(Path("videos/short.mp4"), 3, seed=9)
    answer = run("pretrain", "videos", "--method", "infonce", "--out", "r", *SMALL, "--epochs", "1")
    assert answer.code == 0, answer.err
    assert "broken.mp4" in answer.err
    assert "too short" in answer.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("videos", "--method", "ubernce"), "learns from labels"),
        (("videos", "--method", "coclr", "--stream", "flow"), "--second"),
        (("videos", "--method", "infonce", "--second", "difference"), "goes with CoCLR"),
        (("videos", "--method", "infonce", "--flow", "videos"), "no stream is flow"),
        (("videos", "--method", "coclr", "--flow", "videos"), "holds no flow of these videos"),
        (("videos", "--method", "coclr", "--flow", "nowhere"), "no such folder of flow"),
        (("videos", "--method", "infonce", "--batch-size", "1"), "batch norm needs"),
        (("videos", "--method", "coclr", "--cotrain-epochs", "1"), "only fill the queue"),
        (("videos", "--method", "infonce", "--area", "0.9,0.2"), "area is 0.9 to 0.2"),
        (("videos/0.mp4", "--method", "infonce"), "single video"),
        (("videos", "--method", "infonce", "--subset", "train"), "--subset"),
        (("nothing", "--method", "infonce"), "nothing"),
        (("videos", "--method", "infonce", "--backbone", "s4d"), "s3d"),
        (("videos", "--method", "infonce", "--start", "videos"), "videos"),
        (("videos", "--method", "infonce", "--frames", "2"), "frames is 2"),
    ],
)
def test_what_does_not_go_is_told_before_any_work(run: Run, library: Path, words: tuple[str, ...], told: str) -> None:
    answer = run("pretrain", *words, "--out", "r", *(() if "--frames" in words else S3D))
    assert answer.code == 2, answer.err
    assert told in answer.err
