"""From a network to files that are kept: traced, converted, compared with PyTorch, and only then given their names."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import OptionError, OutputError
from ..files import make_folder, output_errors, require_writable, write_json
from ..progress import Progress, progress
from .check import LEAST_AGREEMENT, TOLERANCE, Agreement, compare, require_agreement
from .exportable import Exportable
from .onnx_file import OPSET, require_opset, write_onnx
from .openvino_file import write_openvino
from .packages import Format, require_packages

SUFFIXES: dict[Format, str] = {"onnx": ".onnx", "openvino": ".xml"}


@dataclass(frozen=True)
class Exported:
    """What was written."""

    files: tuple[Path, ...]
    """The file to load first."""
    bytes: int
    """Of all of them."""
    agreement: Agreement | None
    """With PyTorch; none if it was not asked for."""
    clips: dict[str, Any]
    """What the clips of the comparison were, and how many calibrated."""


def export_model(
    source: Exportable,
    out: str | Path,
    *,
    to: Format = "onnx",
    opset: int = OPSET,
    compared: Sequence[np.ndarray] = (),
    calibration: Sequence[np.ndarray] = (),
    tolerance: float = TOLERANCE,
    least_agreement: float = LEAST_AGREEMENT,
    overwrite: bool = False,
    quiet: bool = False,
) -> Exported:
    """Export a network, compare the file with PyTorch on real clips, and keep it only if both answer alike.

    Beside ``out`` lies a JSON file of the same name: what the file's own metadata says, and how the comparison went.

    Args:
        source: see :func:`.load_exportable`.
        out: the file, ending in ``.onnx`` or, for OpenVINO, in ``.xml`` (weights lie beside it in ``.bin``).
        to: the format.
        opset: version of ONNX's operators.
        compared: clips to compare on; without any nothing is compared. Shape of each: [T, S, S, 3], uint8.
        calibration: clips that int8 is calibrated with; without any the file computes in float32.
        tolerance: see :data:`.check.TOLERANCE`.
        least_agreement: see :data:`.check.LEAST_AGREEMENT`.
        overwrite: replace files that are there.
        quiet: show no progress.

    Raises:
        OptionError: a package is missing, or options that do not go together.
        OutputError: a file is there already or cannot be written.
        WeightError: the file disagrees with PyTorch; none is left.
    """
    out = Path(out)
    require_export(out, to, opset=opset, int8=bool(calibration), overwrite=overwrite)
    make_folder(out.parent)
    least = least_agreement if calibration else None
    with (
        output_errors(out),
        tempfile.TemporaryDirectory(dir=out.parent, prefix=".export-") as temporary,
        progress("Exporting", 2 + bool(calibration) + len(compared), quiet=quiet) as report,
    ):
        made = Path(temporary, out.name)
        _write(source, made, to, opset, calibration, report)
        found = None
        if compared:
            report(0, "comparing with PyTorch")
            found = compare(source, made, compared, report)
            require_agreement(found, out, tolerance=tolerance, least=least)
        clips = {"compared": len(compared), "calibrated": len(calibration)}
        note = {"agreement": asdict(found) if found else None, "clips": clips}
        precision = "int8" if calibration else "float32"
        write_json(_files(made)[-1], source.config() | {"precision": precision, "check": note})
        return _keep(made, out, found, clips)


def require_export(out: Path, to: Format, *, opset: int = OPSET, int8: bool = False, overwrite: bool = False) -> None:
    """Refuse at once what could only fail after long work; see :func:`export_model`."""
    if out.suffix != SUFFIXES[to]:
        raise OptionError(f"does not end in {SUFFIXES[to]}", where=out, cure=f"call it {out.stem}{SUFFIXES[to]}")
    if int8 and to != "openvino":
        raise OptionError("int8 is for OpenVINO", cure="add --to openvino")
    require_opset(opset)
    require_packages(to, int8=int8)
    for path in _files(out):
        if path.exists() and not overwrite:
            raise OutputError("is there already", where=path, cure="choose another --out, or add --overwrite")
        require_writable(path)


def _files(out: Path) -> list[Path]:
    """All that an export writes: the file that is loaded, what belongs to it, and last the description."""
    weights = [out.with_suffix(".bin")] if out.suffix == SUFFIXES["openvino"] else []
    return [out, *weights, out.with_name(f"{out.name}.json")]


def _write(
    source: Exportable, made: Path, to: Format, opset: int, calibration: Sequence[np.ndarray], report: Progress
) -> None:
    report(0, "tracing")
    onnx = made.with_suffix(".onnx")
    write_onnx(source, onnx, opset=opset)
    report(1)
    if to == "openvino":
        report(bool(calibration), "calibrating" if calibration else "converting")
        write_openvino(source, onnx, made, calibration=calibration)
        onnx.unlink()
    report(1)


def _keep(made: Path, out: Path, found: Agreement | None, clips: dict[str, Any]) -> Exported:
    """Give the files their names, the one that is loaded first at last."""
    for path, kept in reversed(list(zip(_files(made), _files(out), strict=True))):
        path.replace(kept)
    size = sum(path.stat().st_size for path in _files(out))
    return Exported(tuple(_files(out)), size, found, clips)
