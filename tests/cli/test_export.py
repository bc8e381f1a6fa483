"""``kinoscope export``: what is said and written, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from torch import Tensor

from kinoscope.export import ExportedModel, write
from kinoscope.export.onnx_file import write_onnx

from ..encoders import tiny
from ..export import made
from ..folders import files_below
from .conftest import Run

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")


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
    assert found["files"] == ["out/frames.onnx", "out/frames.json"]
    assert found["output"]["name"] == "features" and found["classes"] == []
    assert found["check"]["relative"] < 1e-4 and found["check"]["same_answers"] is None
    assert files_below(here / "out") == ["frames.json", "frames.onnx"]


def test_without_a_comparison(run: Run, here: Path) -> None:
    answer = run("export", "tiny-clips", "--to", "onnx", "--no-check")
    assert answer.code == 0 and "not compared with PyTorch" in answer.err and "tiny-clips.onnx" in answer.out


def test_a_file_that_disagrees_is_not_written(run: Run, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def otherwise(source: object, path: Path, **more: int) -> None:
        write_onnx(made.whole(), path, **more)

    monkeypatch.setattr(write, "write_onnx", otherwise)
    before = files_below(here)
    answer = run("export", "tiny-clips", "--to", "onnx", "--check-on", "videos", "--clip-length", 16)
    assert answer.code == 2 and "not written" in answer.err
    assert files_below(here) == before


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


def test_made_clips_stand_in_for_real_ones(run: Run, here: Path) -> None:
    answer = run("export", "tiny-clips", "--to", "onnx", "--clips", 3)
    assert answer.code == 0 and "3 made clips, for want of real ones" in answer.out
