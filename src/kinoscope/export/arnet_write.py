"""From an AR-Net to a folder of programs: traced, converted, compared with PyTorch, and only then given its name."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..arnet.model import AdaptiveRecognizer
from ..errors import OptionError, OutputError, WeightError
from ..files import make_folder, output_errors, require_writable, write_json, write_text
from ..progress import Progress, progress
from .arnet import Program, programs_of
from .arnet_check import LoopAgreement, compare_loop, compare_programs, frames_of, require_loop, told, worst
from .arnet_description import DESCRIPTION, README, describe, read_description, readme
from .check import LEAST_AGREEMENT, TOLERANCE, Agreement, require_agreement
from .onnx_file import OPSET, require_opset, write_graph
from .openvino_file import convert_onnx
from .packages import Format, require_packages
from .write import SUFFIXES

_COMPARED, _CALIBRATED = 24, 300
"""Frames for each network."""


@dataclass(frozen=True)
class ExportedAdaptive:
    """What was written."""

    folder: Path
    files: tuple[Path, ...]
    bytes: int
    """Of all of them."""
    programs: Mapping[str, Mapping[str, Agreement]]
    """With PyTorch, for each program and each of its outputs; empty if it was not asked for."""
    loop: LoopAgreement | None
    """Of the whole on videos; none if it was not asked for."""
    description: Mapping[str, Any]
    """What ``model.json`` says."""


def export_adaptive(
    recognizer: AdaptiveRecognizer,
    out: str | Path,
    *,
    name: str = "AR-Net",
    to: Format = "onnx",
    opset: int = OPSET,
    compared: Sequence[Path] = (),
    calibration: Sequence[Path] = (),
    tolerance: float = TOLERANCE,
    least_agreement: float = LEAST_AGREEMENT,
    overwrite: bool = False,
    quiet: bool = False,
) -> ExportedAdaptive:
    """Export a trained AR-Net as programs for another runtime; the folder is kept only if it does as PyTorch does.

    Args:
        recognizer: loaded with ``device="cpu"`` and ``runtime="torch"``.
        out: the folder.
        name: of the model, for people.
        to: the format.
        opset: version of ONNX's operators.
        compared: videos to compare on; without any nothing is compared.
        calibration: videos that int8 is calibrated with; without any the programs compute in float32.
        tolerance: see :data:`.check.TOLERANCE`.
        least_agreement: of int8: the least share of ``compared`` with the same answers, and the least cosine similarity
            of features.
        overwrite: replace an export that is there.
        quiet: show no progress.

    Raises:
        OptionError: a package is missing, or options that do not go together; or a model whose memory sees what it
            skips, with which the loop over the programs would skip nothing.
        OutputError: something is there already, or the folder cannot be written.
        VideoError: a video cannot be read.
        WeightError: the programs disagree with PyTorch; nothing is left.
    """
    out = Path(out)
    if recognizer.network.rule == "official":
        problem = "was trained with --state official: its memory sees what it skips, so nothing could be skipped"
        raise OptionError(problem, where=name, cure="export one that was trained with --state clean")
    require_folder(out, to, opset=opset, int8=bool(calibration), overwrite=overwrite)
    make_folder(out.absolute().parent)
    programs = programs_of(recognizer, name)
    least = least_agreement if calibration else None
    work = len(programs) * (1 + (to == "openvino") + _COMPARED * bool(compared)) + len(compared)
    with (
        output_errors(out),
        tempfile.TemporaryDirectory(dir=out.absolute().parent, prefix=".export-") as temporary,
        progress("Exporting", work, quiet=quiet) as report,
    ):
        made = Path(temporary, "made")
        made.mkdir()
        paths = _write(recognizer, programs, made, to, opset, calibration, report)
        says = [(path.name, program.graph.config) for path, program in zip(paths, programs, strict=True)]
        said = describe(recognizer, says, name, to, "int8" if calibration else "float32")
        write_json(made / DESCRIPTION, said)
        found: dict[str, dict[str, Agreement]] = {}
        loop = None
        if compared:
            report(0, "comparing with PyTorch")
            found = compare_programs(programs, paths, frames_of(compared, recognizer, _COMPARED), report)
            _require(found, out, tolerance, least)
            loop = compare_loop(recognizer, made, compared, report)
            require_loop(loop, out, tolerance=tolerance, least=least)
        said["check"] = told(found, loop)
        write_json(made / DESCRIPTION, said)
        write_text(made / README, readme(said))
        _keep(made, out, Path(temporary, "old"))
    files = tuple(sorted(out.iterdir()))
    return ExportedAdaptive(out, files, sum(path.stat().st_size for path in files), found, loop, said)


def require_folder(out: Path, to: Format, *, opset: int = OPSET, int8: bool = False, overwrite: bool = False) -> None:
    """Refuse at once what could only fail after long work; see :func:`export_adaptive`."""
    if int8 and to != "openvino":
        raise OptionError("int8 is for OpenVINO", cure="add --to openvino")
    if out.suffix in SUFFIXES.values():
        problem = f"ends in {out.suffix}, but an AR-Net becomes a folder of programs"
        raise OptionError(problem, where=out, cure=f"call it {out.stem}")
    require_opset(opset)
    require_packages(to, int8=int8)
    if not out.exists():
        require_writable(out)
    elif not out.is_dir() or any(out.iterdir()):
        if not overwrite:
            raise OutputError("is there already", where=out, cure="choose another --out, or add --overwrite")
        with suppress(WeightError):
            read_description(out)
            return
        raise OutputError("is no export, so it is not replaced", where=out, cure="choose another --out")


def _write(
    recognizer: AdaptiveRecognizer,
    programs: Sequence[Program],
    made: Path,
    to: Format,
    opset: int,
    calibration: Sequence[Path],
    report: Progress,
) -> list[Path]:
    """Every program's file."""
    views: list[np.ndarray] = []
    if calibration:
        report(0, "looking at videos to calibrate with")
        views = frames_of(calibration, recognizer, _CALIBRATED)
    paths = []
    for number, program in enumerate(programs):
        report(0, f"tracing {program.name}")
        onnx, path = made / f"{program.name}.onnx", made / f"{program.name}{SUFFIXES[to]}"
        write_graph(program.graph, onnx, opset=opset)
        report(1)
        if to == "openvino":
            answers = number < len(recognizer.network.backbones)  # what decides, the policy and its step, stays exact
            seen = list(views[number]) if answers and calibration else []
            report(0, f"{'calibrating' if seen else 'converting'} {program.name}")
            convert_onnx(onnx, path, program.graph.config, calibration=seen, prepare=lambda x: _one(program, x))  # noqa: B023
            onnx.unlink()
            report(1)
        paths.append(path)
    return paths


def _one(program: Program, pixels: np.ndarray) -> np.ndarray:
    """Shape: [S, S, 3] uint8 -> [1, 3, S, S]."""
    return program.prepare(pixels[None]).numpy()


def _require(found: Mapping[str, Mapping[str, Agreement]], out: Path, tolerance: float, least: float | None) -> None:
    """Refuse a program that answers otherwise than PyTorch; of int8 the features count, and the answers to videos."""
    for name, outputs in found.items():
        where = out / name
        if least is None:
            require_agreement(worst(outputs), where, tolerance=tolerance)
        elif "features" in outputs:
            require_agreement(outputs["features"], where, least=least)


def _keep(made: Path, out: Path, old: Path) -> None:
    """Give the folder its name; what was there goes with the temporary folder."""
    if out.exists():
        out.replace(old)
    made.replace(out)
