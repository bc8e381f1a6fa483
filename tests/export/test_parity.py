"""Every head and every backbone gives the same numbers as a file, whatever the batch, and where it may, the tokens."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kinoscope.bert3d.head import UnbiasedLayerNorm
from kinoscope.bert3d.options import HEADS, HeadName
from kinoscope.encoders.backbones import list_backbones
from kinoscope.export.check import compare, require_agreement
from kinoscope.export.exportable import Exportable, folded, outputs_of
from kinoscope.export.onnx_file import METADATA, write_onnx
from kinoscope.export.openvino_file import write_openvino
from kinoscope.export.recognizer import FREE_LENGTH
from kinoscope.export.runtime import ExportedModel

from ..encoders import tiny
from . import made

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")


def _slow_but(one: str, names: Sequence[str]) -> list[Any]:
    """One in the fast tests, the others in those that take their time."""
    return [name if name == one else pytest.param(name, marks=pytest.mark.slow) for name in names]


def exported(source: Exportable, folder: Path) -> list[Path]:
    """The file in ONNX and, where OpenVINO is there, in its format."""
    write_onnx(source, folder / "made.onnx")
    try:
        import openvino  # noqa: F401
    except ImportError:
        return [folder / "made.onnx"]
    write_openvino(source, folder / "made.onnx", folder / "made.xml")
    return [folder / "made.onnx", folder / "made.xml"]


@pytest.mark.parametrize("name", _slow_but("bert", HEADS))
def test_heads(name: HeadName, tmp_path: Path) -> None:
    source = made.head(name, free=name in FREE_LENGTH)
    for path in exported(source, tmp_path):
        require_agreement(compare(source, path, made.clips(4)), path, tolerance=1e-5)
        model = ExportedModel(path)
        for batch, tokens in ((2, 1), (5, 3)) if name in FREE_LENGTH else ((5, made.TOKENS),):
            inputs = torch.randn(batch, tokens, made.WIDTH)
            np.testing.assert_allclose(model(inputs.numpy()), outputs_of(source, inputs), atol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["convgru", "non-local", "attention-pool"])
def test_heads_that_look_at_places(name: HeadName, tmp_path: Path) -> None:
    source = made.head(name, places=3)
    for path in exported(source, tmp_path):
        require_agreement(compare(source, path, made.clips(4)), path, tolerance=1e-5)


@pytest.mark.parametrize("name", _slow_but("tiny-8", ["tiny-8", *list_backbones()]))
def test_whole_recognisers(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.install_backbones(monkeypatch)
    source = made.whole(name, width={"slowfast": 0.125, "tiny": 0.2}.get(name.split("-")[0], 1 / 16))
    for path in exported(source, tmp_path):
        require_agreement(compare(source, path, made.clips(4)), path, tolerance=2e-5)


@pytest.fixture(scope="module")
def head_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The head of :func:`.made.head`, converted once."""
    path = tmp_path_factory.mktemp("head") / "made.onnx"
    write_onnx(made.head(), path)
    return path


def test_the_head_is_folded_and_its_gelu_keeps_the_tanh(head_file: Path) -> None:
    import onnx

    model = onnx.load(head_file)
    operators = Counter(node.op_type for node in model.graph.node)
    assert operators["LayerNormalization"] == 2 and "ReduceMean" not in operators
    gelus = [node for node in model.graph.node if node.op_type == "Gelu"]
    assert [attribute.s for node in gelus for attribute in node.attribute] == [b"tanh"]


def test_folding_leaves_the_original_alone() -> None:
    torch.manual_seed(0)
    norm = torch.nn.Sequential(UnbiasedLayerNorm(64))
    made.perturb(norm)
    copied = folded(norm)
    assert isinstance(norm[0], UnbiasedLayerNorm) and isinstance(copied[0], torch.nn.LayerNorm)  # type: ignore[index]
    for spread, tolerance in ((0.02, 3e-4), (0.03, 5e-5), (0.1, 5e-5), (1, 1e-5), (100, 5e-6)):
        x = spread * torch.randn(64, 64)
        torch.testing.assert_close(copied(x), norm(x), rtol=0, atol=tolerance)


def test_the_file_tells_what_it_is_and_nothing_of_this_machine(head_file: Path) -> None:
    import onnx

    model = onnx.load(head_file)
    config = json.loads({each.key: each.value for each in model.metadata_props}[METADATA])
    assert config == made.head().config() == ExportedModel(head_file).config
    assert tuple(config["classes"]) == made.CLASSES
    assert config["input"]["shape"] == ["batch", 4, 32]
    assert config["clip"]["mean"] == config["clip"]["std"] == [127.5] * 3
    content = head_file.read_bytes()
    assert b"site-packages" not in content and b".py" not in content
