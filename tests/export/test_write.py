"""What is kept, and what is not: a file that disagrees, one that would replace another, one that cannot be made."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from kinoscope.errors import OptionError, OutputError, WeightError
from kinoscope.export import ExportedModel, export_model, onnx_file, packages, run_exported, write
from kinoscope.export.check import agreement, require_agreement
from kinoscope.export.exportable import Exportable, outputs_of

from ..folders import files_below
from . import converted, made

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")


@pytest.fixture(autouse=True)
def converted_once(monkeypatch: pytest.MonkeyPatch, across_workers: Path) -> None:
    converted.install(monkeypatch, across_workers)


@pytest.fixture(scope="module")
def source() -> Exportable:
    return made.head()


def test_the_file_and_its_description(source: Exportable, tmp_path: Path) -> None:
    written = export_model(source, tmp_path / "a" / "head.onnx", compared=made.clips(4), quiet=True)
    assert [path.name for path in written.files] == ["head.onnx", "head.onnx.json"]
    assert sorted(files_below(tmp_path)) == ["a/head.onnx", "a/head.onnx.json"]
    assert written.agreement is not None and written.agreement.clips == 4 and written.agreement.same_answers == 1
    described = json.loads((tmp_path / "a" / "head.onnx.json").read_text())
    assert described["check"]["agreement"]["difference"] == written.agreement.difference
    assert described["precision"] == "float32"
    inputs = source.example()
    np.testing.assert_allclose(run_exported(written.files[0], inputs.numpy()), outputs_of(source, inputs), atol=1e-5)


def test_one_that_disagrees_is_not_written(source: Exportable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = replace(source, network=made.head(seed=1).network)
    monkeypatch.setattr(write, "write_onnx", lambda _source, path, **more: onnx_file.write_onnx(other, path, **more))
    with pytest.raises(WeightError, match="disagrees with PyTorch by") as error:
        export_model(source, tmp_path / "head.onnx", compared=made.clips(3), quiet=True)
    assert "not written" in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_keeps_the_file_that_was_there(
    source: Exportable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "head.onnx").write_text("precious")
    with pytest.raises(OutputError, match="is there already"):
        export_model(source, tmp_path / "head.onnx", quiet=True)
    other = replace(source, network=made.head(seed=1).network)
    monkeypatch.setattr(write, "write_onnx", lambda _source, path, **more: onnx_file.write_onnx(other, path, **more))
    with pytest.raises(WeightError):
        export_model(source, tmp_path / "head.onnx", compared=made.clips(1), overwrite=True, quiet=True)
    assert (tmp_path / "head.onnx").read_text() == "precious" and len(list(tmp_path.iterdir())) == 1


def test_nothing_beside_the_file_is_replaced(source: Exportable, tmp_path: Path) -> None:
    for name in ("head.json", "head.onnx.json"):
        (tmp_path / name).write_text("precious")
    with pytest.raises(OutputError, match=r"head\.onnx\.json: is there already"):
        export_model(source, tmp_path / "head.onnx", quiet=True)
    export_model(source, tmp_path / "head.onnx", overwrite=True, quiet=True)
    assert (tmp_path / "head.json").read_text() == "precious"


def test_without_a_comparison(source: Exportable, tmp_path: Path) -> None:
    written = export_model(source, tmp_path / "head.onnx", quiet=True)
    assert written.agreement is None
    assert json.loads((tmp_path / "head.onnx.json").read_text())["check"]["agreement"] is None


@pytest.mark.parametrize(
    ("out", "options", "problem"),
    [
        ("a.xml", {}, "does not end in .onnx"),
        ("a.onnx", {"to": "openvino"}, "does not end in .xml"),
        ("a.onnx", {"opset": 9}, "--opset is 9"),
        ("a.onnx", {"calibration": [np.zeros(1)]}, "int8 is for OpenVINO"),
    ],
)
def test_options_that_do_not_go_together(
    source: Exportable, tmp_path: Path, out: str, options: dict[str, object], problem: str
) -> None:
    with pytest.raises(OptionError, match=problem):
        export_model(source, tmp_path / out, quiet=True, **options)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_is_named_with_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "find_spec", lambda name: None if name == "nncf" else name)
    packages.require_packages("openvino")
    with pytest.raises(OptionError, match=r"needs nncf(.|\n)*kinoscope\[onnx,openvino,int8\]"):
        packages.require_packages("openvino", int8=True)


def test_what_cannot_be_traced(source: Exportable, tmp_path: Path) -> None:
    class Moody(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(OptionError, match="cannot be traced"):
        export_model(replace(source, network=Moody()), tmp_path / "a.onnx", quiet=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_int8_is_calibrated_and_asked_for_answers(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    pytest.importorskip("nncf")
    source = made.whole()
    options = {"to": "openvino", "calibration": made.clips(4), "compared": made.clips(6, seed=1), "quiet": True}
    written = export_model(source, tmp_path / "a.xml", least_agreement=0.0, **options)  # type: ignore[arg-type]
    assert [path.suffix for path in written.files] == [".xml", ".bin", ".json"]
    found = written.agreement
    assert found is not None and found.relative > 1e-4 and found.cosine > 0.9, "in eight bits, and near"
    model = ExportedModel(tmp_path / "a.xml")
    assert model.config["precision"] == "int8" and model.classes == made.CLASSES
    with pytest.raises(WeightError, match="int8: on 6 clips only"):
        export_model(source, tmp_path / "b.xml", least_agreement=1.01, **options)  # type: ignore[arg-type]
    assert not list(tmp_path.glob("b.*"))


def test_agreement_in_numbers() -> None:
    expected = torch.tensor([[2.0, 0.0], [0.0, 4.0]])
    found = agreement(expected, expected, torch.tensor([[1.0, 0.0], [0.0, 4.0]]), logits=True)
    assert (found.clips, found.scale, found.difference, found.relative) == (2, 4.0, 1.0, 0.25)
    assert found.same_answers == 1.0 and found.cosine == pytest.approx(1.0)
    sigmoid = torch.sigmoid(torch.tensor([2.0, 1.0]))
    assert found.probability == pytest.approx(float(sigmoid[0] - sigmoid[1]), abs=1e-6)
    assert agreement(expected, -expected, logits=True).same_answers == 0.0
    features = agreement(expected, 2 * expected, logits=False)
    assert features.probability is features.same_answers is None and features.cosine == pytest.approx(1.0)


@pytest.mark.parametrize("logits", [False, True])
def test_outputs_that_are_no_numbers_never_agree(logits: bool) -> None:
    broken = agreement(torch.ones(2, 3), torch.full((2, 3), torch.nan), logits=logits)
    for least in (None, 0.0 if logits else -0.5):
        with pytest.raises(WeightError):
            require_agreement(broken, Path("a.onnx"), least=least if least is None else max(least, 1e-9))


def test_the_runtime_refuses_what_it_cannot_run(source: Exportable, tmp_path: Path) -> None:
    export_model(source, tmp_path / "head.onnx", quiet=True)
    model = ExportedModel(tmp_path / "head.onnx")
    with pytest.raises(OptionError, match=r"is of shape \[1, 4, 17\], but must be \[batch, 4, 32\]"):
        model(np.zeros((1, 4, 17), np.float32))
    with pytest.raises(WeightError, match="no such file"):
        ExportedModel(tmp_path / "other.onnx")
    (tmp_path / "broken.onnx").write_bytes((tmp_path / "head.onnx").read_bytes()[:500])
    with pytest.raises(WeightError, match="cannot be read"):
        ExportedModel(tmp_path / "broken.onnx")
    with pytest.raises(OptionError, match=r"not in \.onnx or \.xml"):
        ExportedModel(tmp_path / "head.onnx.json")


def test_a_file_of_another_program_is_refused(tmp_path: Path) -> None:
    import onnx

    onnx_file.write_onnx(made.head(), tmp_path / "head.onnx")
    model = onnx.load(tmp_path / "head.onnx")
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(WeightError, match="no description by Kinoscope"):
        ExportedModel(tmp_path / "other.onnx")
