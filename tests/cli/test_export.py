"""``kinoscope export``: what is said and written, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from kinoscope.bert3d.feature_eye import FeatureEye
from kinoscope.bert3d.network import build_classifier
from kinoscope.bert3d.options import HeadOptions
from kinoscope.bert3d.recognizer import TrainedRecognizer
from kinoscope.data.feature_spec import FeatureSpec
from kinoscope.export import Exportable, ExportedModel, write
from kinoscope.export.onnx_file import write_onnx

from ..encoders import tiny
from ..export import converted, made_arnet
from ..folders import files_below
from .conftest import Run

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")


@pytest.fixture(autouse=True)
def converted_once(monkeypatch: pytest.MonkeyPatch, across_workers: Path) -> None:
    converted.install(monkeypatch, across_workers)


@pytest.fixture(autouse=True)
def exportable_pooling(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny encoder of clips pools halves of each axis, in a way that ONNX has operators for."""

    def forward(self: tiny.TinyClips, clip: Tensor) -> Tensor:
        halves = clip.unflatten(4, (2, -1)).unflatten(3, (2, -1)).unflatten(2, (2, -1))  # [B, 3, 2, t, 2, h, 2, w]
        return self.layer(halves.mean(dim=(3, 5, 7)).flatten(1))

    monkeypatch.setattr(tiny.TinyClips, "forward", forward)


def test_an_encoder_with_its_classes(run: Run, here: Path) -> None:
    answer = run("export", "tiny-clips", "--to", "onnx", "--check-on", "videos", "--clips", 4)
    assert answer.code == 0, answer.err
    assert "on 4 clips of videos" in answer.out and "same answers" in answer.out and "100.0%" in answer.out
    model = ExportedModel(here / "tiny-clips.onnx")
    assert len(model.classes) == 400 and model.config["clip"]["frames"] == 8
    assert "kinoscope export: tiny-clips.onnx: is there already" in run("export", "tiny-clips", "--to", "onnx").err


def test_parts_and_json(run: Run, here: Path) -> None:
    words = ("export", "tiny-frames", "--to", "onnx", "--part", "encoder", "--check-on", "videos/0.mp4", "--json")
    found = json.loads(run(*words, "--out", "out/frames.onnx").out)
    assert found["files"] == ["out/frames.onnx", "out/frames.onnx.json"]
    assert found["output"]["name"] == "features" and found["classes"] == []
    assert found["check"]["relative"] < 1e-4 and found["check"]["same_answers"] is None
    assert files_below(here / "out") == ["frames.onnx", "frames.onnx.json"]


def test_without_a_comparison(run: Run, here: Path) -> None:
    answer = run("export", "tiny-clips", "--to", "onnx", "--no-check")
    assert answer.code == 0 and "not compared with PyTorch" in answer.err and "tiny-clips.onnx" in answer.out


def test_a_file_that_disagrees_is_not_written(run: Run, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Off(nn.Module):
        def __init__(self, network: nn.Module) -> None:
            super().__init__()
            self.network = network

        def forward(self, clip: Tensor) -> Tensor:
            return 1.001 * self.network(clip)

    def otherwise(source: Exportable, path: Path, **more: int) -> None:
        write_onnx(replace(source, network=Off(source.network)), path, **more)

    monkeypatch.setattr(write, "write_onnx", otherwise)
    before = files_below(here)
    answer = run("export", "tiny-clips", "--to", "onnx", "--check-on", "videos")
    assert answer.code == 2 and "disagrees with PyTorch by 1.0e-03" in answer.err and "not written" in answer.err
    assert files_below(here) == before
    assert run("export", "tiny-clips", "--to", "onnx", "--check-on", "videos", "--tolerance", 0.01).code == 0


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("tiny-clips", "--to", "openvino", "--int8"), "--int8 needs real clips"),
        (("tiny-clips", "--to", "onnx", "--calibrate", "videos"), "--calibrate goes with --int8"),
        (("tiny-clips", "--to", "onnx", "--int8", "--calibrate", "videos"), "int8 is for OpenVINO"),
        (("tiny-clips", "--to", "onnx", "--no-check", "--check-on", "videos"), "contradict each other"),
        (("tiny-clips", "--to", "onnx", "--part", "head"), "has no head"),
        (("tiny-clips", "--to", "onnx", "--out", "model.pt"), "does not end in .onnx"),
        (("tiny-clips", "--to", "onnx", "--clips", "0"), "--clips is 0"),
        (("tiny-clips", "--to", "onnx", "--opset", "12"), "--opset is 12"),
        (("tiny-clips", "--to", "onnx", "--check-on", "nowhere"), "no such file or folder"),
        (("tiny-clip", "--to", "onnx"), "did you mean tiny-clips"),
        (("nowhere/run", "--to", "onnx"), "nothing is there"),
        (("tiny-clips", "--to", "tflite"), "tflite"),
    ],
)
def test_refusals(run: Run, here: Path, words: tuple[str, ...], problem: str) -> None:
    before = files_below(here)
    answer = run("export", *words)
    assert answer.code == 2 and problem in answer.err, answer.err
    assert files_below(here) == before


def test_a_recogniser_is_compared_on_its_own_videos(run: Run, here: Path) -> None:
    torch.manual_seed(0)
    options, eye = HeadOptions(heads=1), FeatureEye(FeatureSpec(12, 8.0, 2, 2, "tiny-change"), 3, device="cpu")
    classifier = build_classifier(options, 12, 3, 2)
    examples = ("videos/0.mp4", "videos/gone.mp4")
    TrainedRecognizer(classifier, ("sit", "stand"), eye, head=options, width=12, tokens=3, examples=examples).save(
        here / "run"
    )
    answer = run("export", "run", "--to", "onnx", "--check")
    assert answer.code == 0 and "clips of its own videos" in answer.out, answer.err
    assert ExportedModel(here / "run.onnx").classes == ("sit", "stand")
    assert run("export", "run", "--to", "onnx", "--part", "head").code == 0
    assert ExportedModel(here / "run-head.onnx").config["input"]["shape"] == ["batch", "tokens", 12]
    refused = run("export", "run", "--to", "onnx", "--fps", 3, "--out", "b.onnx")
    assert refused.code == 2 and "takes the clips of its training" in refused.err


def test_made_clips_stand_in_for_real_ones(run: Run, here: Path) -> None:
    answer = run("export", "tiny-clips", "--to", "onnx", "--clips", 3)
    assert answer.code == 0 and "3 made clips, for want of real ones" in answer.out


# --- an AR-Net -----------------------------------------------------------------------------------------------------


@pytest.fixture
def adaptive(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a tiny AR-Net that was tested on the videos."""
    made_arnet.install(monkeypatch)
    made_arnet.saved(here / "ar", examples=("videos/0.mp4", "videos/2.mp4", "gone.mp4"))
    return here


def test_an_adaptive_recogniser_becomes_a_folder(run: Run, adaptive: Path) -> None:
    answer = run("export", "ar", "--to", "onnx", "--check")
    assert answer.code == 0, answer.err
    for word in ("on frames of 2 of its own videos", "frames-0-tiny-48", "step", "whole videos", "100.0%", "ar-onnx"):
        assert word in answer.out
    assert sorted(path.name for path in (adaptive / "ar-onnx").iterdir())[:2] == ["README.md", "frames-0-tiny-48.onnx"]
    assert "ar-onnx: is there already" in run("export", "ar", "--to", "onnx").err
    words = ("export", "ar", "--to", "onnx", "--out", "ar-onnx", "--overwrite", "--check-on", "videos", "--json")
    found = json.loads(run(*words).out)
    assert found["folder"] == "ar-onnx" and found["kind"] == "arnet" and found["on"] == "videos of videos"
    assert found["check"]["loop"]["videos"] == 3 and found["check"]["loop"]["same_actions"] == 1
    assert found["check"]["programs"]["frames-1-tiny-40"]["logits"]["relative"] < 1e-4


def test_an_adaptive_recogniser_without_a_comparison(run: Run, adaptive: Path) -> None:
    answer = run("export", "ar", "--to", "onnx", "--no-check", "--out", "b")
    assert answer.code == 0 and "not compared" in answer.err and "check" in (adaptive / "b/model.json").read_text()


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--part", "head"), "is exported whole"),
        (("--fps", "3"), "takes the frames of its training"),
        (("--clips", "0"), "--clips is 0"),
        (("--out", "ar"), "is there already"),
        (("--out", "ar", "--overwrite"), "is no export"),
        (("--out", "ar.onnx"), "becomes a folder"),
        (("--int8", "--calibrate", "videos"), "int8 is for OpenVINO"),
        (("--check-on", "nowhere"), "no such file or folder"),
    ],
)
def test_refusals_for_an_adaptive_recogniser(run: Run, adaptive: Path, words: tuple[str, ...], problem: str) -> None:
    before = files_below(adaptive)
    answer = run("export", "ar", "--to", "onnx", *words)
    assert answer.code == 2 and problem in answer.err, answer.err
    assert files_below(adaptive) == before


@pytest.mark.slow
def test_an_adaptive_recogniser_in_eight_bits(run: Run, adaptive: Path) -> None:
    pytest.importorskip("openvino")
    pytest.importorskip("nncf")
    words = ("export", "ar", "--to", "openvino", "--int8", "--calibrate", "videos", "--least-agreement", "0")
    answer = run(*words)
    assert answer.code == 0 and "on frames of 1 videos of videos" in answer.out, answer.err
    assert (adaptive / "ar-int8" / "step.xml").is_file()
