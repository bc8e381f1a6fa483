"""Trained networks as files for other programs: ONNX and OpenVINO, compared with PyTorch before they are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import attach

if TYPE_CHECKING:
    from .arnet import exported_networks as exported_networks
    from .arnet_write import ExportedAdaptive as ExportedAdaptive
    from .arnet_write import export_adaptive as export_adaptive
    from .check import Agreement as Agreement
    from .exportable import Exportable as Exportable
    from .exportable import load_exportable as load_exportable
    from .runtime import ExportedModel as ExportedModel
    from .runtime import ExportedProgram as ExportedProgram
    from .runtime import run_exported as run_exported
    from .write import Exported as Exported
    from .write import export_model as export_model

_HOMES = {
    "Agreement": "check",
    "Exportable": "exportable",
    "Exported": "write",
    "ExportedAdaptive": "arnet_write",
    "ExportedModel": "runtime",
    "ExportedProgram": "runtime",
    "export_adaptive": "arnet_write",
    "export_model": "write",
    "exported_networks": "arnet",
    "load_exportable": "exportable",
    "run_exported": "runtime",
}
__all__ = list(_HOMES)
__getattr__ = attach(__name__, _HOMES)
