"""``kinoscope convert``: what it writes is read by the other commands and computes what the release did."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args, get_type_hints

import numpy as np
import pytest
import torch

import kinoscope as ks
from kinoscope.bert3d.recognizer import load_recognizer
from kinoscope.cli import convert as command
from kinoscope.cli.main import main
from kinoscope.convert.backbones import RELEASES, load_backbone
from kinoscope.convert.folders import read_classes
from kinoscope.convert.official import _SOURCES
from kinoscope.encoders.trained import load_trained, trained_spec
from kinoscope.errors import AnnotationError
from tests.convert.test_backbones import released
from tests.convert.test_bert3d import I3D, official
from tests.folders import names_in

CLIP = torch.randn(1, 3, 16, 40, 40, generator=torch.Generator().manual_seed(0))


def convert(file: Path, source: str, *more: str) -> int:
    return main(["convert", str(file), "--from", source, "--out", str(file.parent / "out"), *more])


def test_the_command_knows_every_source() -> None:
    assert set(get_args(get_type_hints(command.run)["from_"])) == set(_SOURCES)


@pytest.mark.parametrize(
    ("source", "size", "mean", "std", "epsilon"),
    [
        ("s3d-torchvision", 224, 0.394666, 0.22145, 1e-3),
        ("i3d-pytorch", 224, 0.5, 0.5, None),
    ],
)
def test_an_encoder_is_written(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    source: str,
    size: int,
    mean: float,
    std: float,
    epsilon: float | None,
) -> None:
    state = released(source)
    torch.save(state, tmp_path / "x.pth")
    assert convert(tmp_path / "x.pth", source, "--json") == 0
    told, out = json.loads(capsys.readouterr().out), tmp_path / "out"
    encoder, spec = ks.load_encoder(str(out), runtime="torch"), trained_spec(out)
    assert told["kind"] == "encoder" and told["classes"] is None and told["weights"] == encoder.spec.weights.hash
    assert (spec.size, spec.epsilon, spec.stream, spec.clip_length) == (
        size,
        epsilon,
        "rgb",
        RELEASES[source].diet.frames,
    )
    assert (spec.crop, encoder.spec.crop) == (7 / 8, 7 / 8)  # 112 of 128 pixels, or 224 of 256
    expected = load_backbone(state, source).backbone(CLIP).mean((2, 3, 4))  # type: ignore[operator,union-attr]
    torch.testing.assert_close(load_trained(out)(CLIP), expected)
    grey = encoder.prepare(np.full((2, 4, 4, 3), 51, np.uint8))
    assert float(grey[1].mean()) == pytest.approx((0.2 - mean) / std, abs=1e-5)
    assert convert(tmp_path / "x.pth", source) == 2 and "--overwrite" in capsys.readouterr().err


def test_motion_tells_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(released("i3d-pytorch", channels=2), tmp_path / "flow.pt")
    assert convert(tmp_path / "flow.pt", "i3d-pytorch", "--stream", "rgb") == 2
    assert "trained on flow" in capsys.readouterr().err and names_in(tmp_path) == ["flow.pt"]
    assert convert(tmp_path / "flow.pt", "i3d-pytorch", "--fps", "12.5") == 0
    spec = trained_spec(tmp_path / "out")
    assert (spec.stream, spec.fps, spec.mean) == ("flow", 12.5, (127.5, 127.5, 127.5))


def test_a_recogniser_is_written_with_its_encoder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = official(classes=3)
    torch.save({"state_dict": state}, tmp_path / "x.pth.tar")
    (tmp_path / "names.txt").write_text("kick ball\nwave\nhug\n")
    assert convert(tmp_path / "x.pth.tar", I3D, "--classes", str(tmp_path / "names.txt")) == 0
    assert "next: kinoscope recognize" in capsys.readouterr().out
    out = tmp_path / "out"
    spec = trained_spec(out)
    assert (spec.backbone, spec.reduction, spec.clip_length, spec.size) == ("i3d", "frmb", 64, 224)
    model = load_recognizer(out, runtime="torch")
    assert model.classes == ("kick ball", "wave", "hug")
    maps = load_trained(out).backbone(CLIP)
    tokens = maps.mean((3, 4)).transpose(1, 2)  # [B, N, C]
    torch.testing.assert_close(model.classifier(tokens), ks.load_official(tmp_path / "x.pth.tar", I3D)(CLIP))
    assert convert(tmp_path / "x.pth.tar", "i3d-pytorch", "--overwrite") == 2  # its encoder would stay
    assert "holds a recogniser" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a\nb\n", "names 2 classes, but the network has 3"),
        ("a\nb\na\n", "names.txt:3: 'a' is on line 1 already"),
        ("a\n\nb\n", "names.txt:2: no name"),
        ("", "names 0 classes"),
    ],
)
def test_names_of_classes_that_cannot_be_used(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "names.txt").write_text(text)
    with pytest.raises(AnnotationError) as caught:
        read_classes(tmp_path / "names.txt", 3)
    assert said in str(caught.value)


def test_names_of_classes_for_an_encoder_or_from_nowhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(AnnotationError, match="cannot be read"):
        read_classes(tmp_path / "none.txt", 3)
    assert convert(tmp_path / "x.pth", "s3d-torchvision", "--classes", "x.txt") == 2
    assert "no classes" in capsys.readouterr().err


def test_a_file_of_something_else_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"w": torch.zeros(2)}, tmp_path / "x.pth")
    for source in ("bert3d-r2plus1d34", "slowfast-50"):
        assert convert(tmp_path / "x.pth", source) == 2
        assert "x.pth" in capsys.readouterr().err and names_in(tmp_path) == ["x.pth"]
