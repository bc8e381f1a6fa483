"""Bad input: exit code 2, one message with the path, the cause and a cure, no traceback, nothing left behind."""

from __future__ import annotations

import json
import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from kinoscope.data.features import Features, FeatureTime, write_features

from ..encoders import tiny
from ..folders import files_below
from ..video import made_videos
from .conftest import Answer, Run
from .test_flow import ADAPTING, TRAINING

HOSTILE = "\x1b[31m\x1b]0;owned\x07‮"


def refused(answer: Answer, *words: str) -> None:
    """Exit code 2 and a message with all ``words`` and a cure."""
    assert answer.code == 2, answer.out
    assert "Traceback" not in answer.err and "Cure: " in answer.err, answer.err
    message = " ".join(answer.err.split())
    assert all(word in message for word in words), answer.err


# --- videos --------------------------------------------------------------------------------------------------------


def audio_only(path: Path) -> None:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), "fltp", "mono")
        frame.rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def truncated(path: Path) -> None:
    made_videos.make(path, 40)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty_folder(path: Path) -> None:
    path.mkdir()


VIDEOS: dict[str, Callable[[Path], object]] = {
    "zero bytes": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("this is no video\n" * 100),
    "audio only": audio_only,
    "truncated": truncated,  # an .mp4 without its index
    "empty folder": empty_folder,
    "missing": lambda path: None,
    "noise": lambda path: path.write_bytes(os.urandom(5000)),
}
OUTPUTS = ("-o", "out/a.json", "--csv", "out/a.csv", "--srt", "out/a.srt", "--html", "out/a.html")


@pytest.mark.parametrize("kind", VIDEOS)
def test_videos_that_are_none(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.chdir(tmp_path)
    VIDEOS[kind](tmp_path / "bad.mp4")
    before = files_below(tmp_path)
    refused(run("localize", "bad.mp4", "--encoder", "tiny-clips", *OUTPUTS), "bad.mp4: ")
    refused(run("recognize", "bad.mp4", "--encoder", "tiny-clips"), "bad.mp4: ")
    answer = run("extract", "bad.mp4", "--encoder", "tiny-frames", "--out", "feats")
    assert answer.code == 2 and "Traceback" not in answer.err and "bad.mp4: " in answer.err
    assert run("probe", "bad.mp4").code == 1
    assert files_below(tmp_path) == before and not (tmp_path / "out").exists()


@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".gif"])
def test_one_frame_and_less_than_a_clip_work(run: Run, tmp_path: Path, frames: int, suffix: str) -> None:
    path = tiny.film(tmp_path / f"short{suffix}", frames)
    for encoder in ("tiny-clips", "tiny-change"):
        assert run("extract", path, "--encoder", encoder, "--out", tmp_path / encoder).code == 0
    assert run("localize", path, "--encoder", "tiny-clips", "--html", tmp_path / "a.html").code == 0
    assert run("recognize", path, "--encoder", "tiny-clips").code == 0
    assert run("probe", path).code == 0


# --- outputs -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["-o", "--csv", "--srt", "--html"])
def test_outputs_that_cannot_be_written(run: Run, here: Path, option: str) -> None:
    (here / "file").write_text("x")
    words = ("localize", "videos/0.mp4", "--encoder", "tiny-clips", option)
    before = files_below(here)
    refused(run(*words, "file/out"), "file/out: cannot be written")
    if Path("/proc/self").is_dir():
        refused(run(*words, "/proc/self/out"), "/proc/self/out: cannot be written")
    if option != "--srt":
        refused(run(*words, "videos"), "videos: cannot be written: is a directory")
    refused(run(*words, "videos/../videos/0.mp4"), "is one of the videos, and would be replaced")
    assert files_below(here) == before and (here / "videos" / "0.mp4").stat().st_size > 1000


def test_two_results_in_one_file(run: Run, here: Path) -> None:
    answer = run("localize", "videos/0.mp4", "--encoder", "tiny-clips", "-o", "a", "--csv", "./a")
    refused(answer, "a: two results would go to one file")


def test_folders_that_cannot_be_written(run: Run, here: Path) -> None:
    (here / "file").write_text("x")
    refused(run("extract", "videos", "--encoder", "tiny-frames", "--out", "file/feats"), "cannot be written")
    assert run("extract", "videos", "--encoder", "tiny-frames", "--out", "feats").code == 0
    refused(run("adapt", "feats", "--out", "file/sola", *ADAPTING), "cannot be written")
    refused(run("adapt", "feats", "--out", "feats", *ADAPTING), "lies in a folder of features")
    refused(run("adapt", "feats", "--out", "feats/sub", *ADAPTING), "lies in a folder of features")
    train = ("train", "localize", "labels.csv", "--features", "feats")
    refused(run(*train, "--out", "file/run", *TRAINING), "cannot be written")


# --- annotations ---------------------------------------------------------------------------------------------------

ROWS = {
    "reversed": ("videos/0.mp4,3,1,fall", "labels.csv:2: start 3 is not before end 1"),
    "empty": ("videos/0.mp4,3,3,fall", "labels.csv:2: start 3 equals end 3"),
    "beyond": ("videos/0.mp4,1,900,fall", "labels.csv:2: end 900 is beyond the duration 6"),
    "nan": ("videos/0.mp4,nan,2,fall", "labels.csv:2: start is nan"),
    "text": ("videos/0.mp4,one,2,fall", "labels.csv:2: start is 'one', not a number"),
    "no label": ("videos/0.mp4,1,2,", "labels.csv:2: label is ''"),
    "twice": ("videos/0.mp4,1,2,fall\nvideos/0.mp4,1,2,fall", "labels.csv:3: the same row as at"),
    "upwards": ("../secret/0.mp4,1,2,fall", "labels.csv:2: the path '../secret/0.mp4' leads out"),
    "absolute": ("/etc/0.mp4,1,2,fall", "labels.csv:2: the path '/etc/0.mp4' is absolute"),
    "nothing": ("", "names no video"),
}


@pytest.mark.parametrize("kind", ROWS)
def test_labels_that_cannot_be_used(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.chdir(tmp_path)
    rows, message = ROWS[kind]
    duration = ",6" if kind == "beyond" else ""
    header = "video,start,end,label" + (",duration" if duration else "")
    Path("labels.csv").write_text(f"{header}\n{rows}{duration}\n")
    Path("pred.csv").write_text("video,start,end,label,score\nvideos/0.mp4,1,2,fall,0.5\n")
    write_features("feats/0.safetensors", Features(np.ones((48, 4), np.float32), FeatureTime(8, 1, 1, 0, 6)))
    before = files_below(tmp_path)
    refused(run("train", "localize", "labels.csv", "--features", "feats", "--out", "run", *TRAINING), message)
    refused(run("evaluate", "pred.csv", "--gt", "labels.csv"), message)
    assert files_below(tmp_path) == before


def test_labels_of_videos_without_features_and_unknown_splits(run: Run, here: Path) -> None:
    assert run("extract", "videos/0.mp4", "--encoder", "tiny-frames", "--out", "feats").code == 0
    train = ("train", "localize", "labels.csv", "--features", "feats", "--out", "run", *TRAINING)
    refused(run(*train), "1 of 2 annotated videos have no features: videos/1")
    refused(run(*train, "--train-subset", "dev"), "no video is in the subset 'dev'")
    refused(run(*train[:3], "--features", "none", "--out", "run"), "none: no such folder of features")
    refused(
        run("train", "localize", "no.csv", "--features", "feats", "--out", "run"), "no.csv: no such annotation file"
    )
    assert not (here / "run").exists()


def test_unknown_labels_in_predictions_are_told(run: Run, here: Path) -> None:
    (here / "pred.csv").write_text("video,start,end,label,score\n2,1,2,sitt,0.5\n")
    answer = run("evaluate", "pred.csv", "--gt", "labels.csv", "--bootstrap", 0)
    assert answer.code == 0 and "'sitt' (did you mean 'sit'?)" in " ".join(answer.err.split())


@pytest.mark.parametrize(
    "words",
    [("--protocol", "nonsense"), ("--subset", "dev"), ("--bootstrap", "-1"), ("--seed", "-1"), ("--gt", "none.csv")],
)
def test_evaluations_that_cannot_be(run: Run, here: Path, words: tuple[str, ...]) -> None:
    (here / "pred.csv").write_text("video,start,end,label,score\n2,1,2,sit,0.5\n")
    answer = run("evaluate", "pred.csv", "--gt", "labels.csv", *words)
    assert answer.code == 2 and "Traceback" not in answer.err and len(answer.err) > 20


# --- features ------------------------------------------------------------------------------------------------------


def spoil(path: Path, values: np.ndarray) -> None:
    meta = {"fps": "8.0", "stride": "1", "clip_length": "1", "offset": "0.0", "duration": "6.0"}
    meta |= {"encoder": "tiny-frames", "weight_hash": "f" * 16}
    save_file({"features": values.astype(np.float32)}, path, metadata=meta)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.full((48, 6), np.nan), "0.safetensors: 48 of 48 rows hold NaN or infinity, the first is row 0"),
        (np.ones((48, 7)), "7"),
        (np.ones(48), "0.safetensors: features have shape (48,)"),
    ],
)
def test_features_that_cannot_be_used(run: Run, here: Path, values: np.ndarray, message: str) -> None:
    assert run("extract", "videos", "--encoder", "tiny-frames", "--out", "feats").code == 0
    spoil(here / "feats" / "0.safetensors", values)
    refused(run("train", "localize", "labels.csv", "--features", "feats", "--out", "run", *TRAINING), message)
    refused(run("adapt", "feats", "--out", "sola", *ADAPTING), message)
    assert not (here / "sola").exists() and not (here / "run").exists()


def test_npy_folders_need_their_time(run: Run, here: Path) -> None:
    (here / "npy").mkdir()
    for number in range(3):
        np.save(here / "npy" / f"{number}.npy", np.random.default_rng(number).normal(size=(48, 4)))
    train = ("train", "localize", "labels.csv", "--features", "npy", "--out", "run", *TRAINING)
    refused(run(*train), "a .npy file has no time", "--fps")
    refused(run(*train, "--fps", 8), "--stride and --clip-length")
    refused(run(*train, "--fps", 0, "--stride", 1, "--clip-length", 1), "--fps is 0, but must be a positive number")
    trained = run(*train, "--fps", 8, "--stride", 1, "--clip-length", 1)
    assert trained.code == 0 and "localise neither videos nor a stream" in trained.err
    assert "kinoscope localize FEATURES --model run" in trained.out
    words = ("was trained on features whose encoder is not known", "kinoscope localize FEATURES --model run")
    refused(run("localize", "videos/0.mp4", "--model", "run"), *words)


# --- models --------------------------------------------------------------------------------------------------------


class Evil:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (f"touch {self.target}",)


@pytest.fixture
def model(run: Run, here: Path) -> Path:
    assert run("extract", "videos", "--encoder", "tiny-frames", "--out", "feats").code == 0
    train = ("train", "localize", "labels.csv", "--features", "feats", "--out", "run", *TRAINING)
    assert run(*train).code == 0
    return here / "run"


def test_hostile_and_damaged_models(run: Run, here: Path, model: Path) -> None:
    evil = pickle.dumps(Evil(here / "ran"))
    (here / "evil.pt").write_bytes(evil)
    words = ("localize", "videos/0.mp4", "-o", "out.json", "--model")
    refused(run(*words, "evil.pt"), "evil.pt: is a file, but a model is a folder")
    refused(run(*words, "none"), "none")
    refused(run(*words, "videos"), "videos")
    config = (model / "config.json").read_text()
    for file, content in {
        "model.safetensors": evil,
        "config.json": evil,
    }.items():
        kept = (model / file).read_bytes()
        (model / file).write_bytes(content)
        refused(run(*words, "run"), f"run/{file}: ")
        (model / file).write_bytes(kept)
    for encoder in ("another", "tiny-frames@xpx", "../..", ""):
        changed = json.loads(config)
        changed["features"]["encoder"] = encoder
        (model / "config.json").write_text(json.dumps(changed))
        refused(run(*words, "run"), "was trained on features")
    assert not (here / "ran").exists() and not (here / "out.json").exists()


def test_a_model_of_other_features(run: Run, here: Path, model: Path) -> None:
    changed = json.loads((model / "config.json").read_text())
    changed["features"]["weight_hash"] = "1" * 16
    (model / "config.json").write_text(json.dumps(changed))
    refused(run("localize", "videos/0.mp4", "--model", "run"), "with other weights")
    refused(run("localize", "videos/0.mp4", "--model", "run", "--fps", 3), "--model goes with neither")


# --- hostile names -------------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="such names cannot be had")
def test_names_and_labels_do_not_paint_over_the_terminal(run: Run, here: Path) -> None:
    (here / "videos" / "0.mp4").rename(here / "videos" / f"{HOSTILE}.mp4")
    (here / "videos" / f"bad{HOSTILE}.mp4").write_text("x")
    (here / "labels.csv").write_text(f"video,start,end,label\nvideos/1.mp4,1,2,{HOSTILE}\nvideos/2.mp4,1,2,b\n")
    (here / "pred.csv").write_text(f"video,start,end,label,score\n{HOSTILE},1,2,x{HOSTILE},0.5\n2,1,2,b,0.4\n")
    words = [
        ("localize", "videos", "--encoder", "tiny-clips", "--html", "a.html", "-o", "a.json", "--srt", "srt"),
        ("localize", f"videos/bad{HOSTILE}.mp4", "--encoder", "tiny-clips"),
        ("localize", f"none{HOSTILE}.mp4"),
        ("recognize", "videos", "--encoder", "tiny-clips"),
        ("extract", "videos", "--encoder", "tiny-frames", "--out", "feats"),
        ("extract", "videos", "--encoder", HOSTILE, "--out", "feats"),
        ("probe", "videos"),
        ("evaluate", "pred.csv", "--gt", "labels.csv"),
        ("train", "localize", "labels.csv", "--features", "feats", "--out", "run", *TRAINING),
        ("localize", "videos/1.mp4", "--model", "run", "--min-score", 0),
        ("localize", "videos/1.mp4", "--model", f"run{HOSTILE}"),
    ]
    for each in words:
        answer = run(*each)
        shown = answer.out + answer.err
        assert "Traceback" not in shown and not {"\x1b", "\x07", "‮"} & set(shown), each


@pytest.mark.skipif(sys.platform == "win32", reason="such names cannot be had")
@pytest.mark.parametrize(
    "name", ["[G] a.mp4", "{x}.mp4", "a: b.mp4", "null", "#1.mp4", "- x.mp4", "1e5", "~", "'q.mp4"]
)
def test_names_that_mean_something_elsewhere_are_names_here(run: Run, here: Path, name: str) -> None:
    (here / "videos" / "0.mp4").rename(here / name)
    answer = run("localize", name, "--encoder", "tiny-clips", "-o", f"{name}.json", "--csv", "null", "--srt", "~.srt")
    if name == "null":
        refused(answer, "null: is one of the videos")
        return
    assert answer.code == 0, answer.err
    assert {f"{name}.json", "null", "~.srt"} <= {path.name for path in here.iterdir()}
