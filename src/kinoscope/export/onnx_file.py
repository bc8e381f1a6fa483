"""A network as an ONNX file that another program can use alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch.export import Dim

from ..errors import OptionError
from .exportable import Exportable
from .packages import quiet

OPSET, LEAST_OPSET, MOST_OPSET = 20, 20, 23
"""From 20 on, ONNX has a GELU of its own, with the tanh form that the head uses."""
METADATA = "kinoscope"
"""The entry of the file's metadata that holds :meth:`.Exportable.config` as JSON."""


def require_opset(opset: int) -> None:
    """Raise :class:`OptionError` for versions of ONNX's operators that the export was not tested with."""
    if not LEAST_OPSET <= opset <= MOST_OPSET:
        raise OptionError(f"--opset is {opset}, but must be from {LEAST_OPSET} to {MOST_OPSET}")


def write_onnx(source: Exportable, path: Path, *, opset: int = OPSET) -> None:
    """Trace the network and write it, weights and all, into one file.

    Args:
        source: the network, an example of its input, and what goes into the metadata.
        path: of the file.
        opset: version of ONNX's operators.

    Raises:
        OptionError: the network does something that cannot be traced, or that ONNX has no operator for.
    """
    import onnx

    model = _without_traces(_converted(source, _traced(source), opset))
    onnx.helper.set_model_props(model, {METADATA: json.dumps(source.config(), ensure_ascii=False)})
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def _traced(source: Exportable) -> torch.export.ExportedProgram:
    """The network as a graph whose batch, and tokens, are free. Strict: otherwise ``len(x)`` would fix the batch."""
    axes: dict[int, Any] = {0: Dim("batch")}
    if source.most_tokens is not None and source.most_tokens > 1:
        axes[1] = Dim("tokens", min=1, max=source.most_tokens)
    try:
        with quiet():
            return torch.export.export(source.network, (source.example(),), dynamic_shapes=(axes,), strict=True)
    except Exception as error:  # tracing fails in many ways
        reason = " ".join(str(error).split())[:300]
        raise OptionError(f"{source.model} cannot be traced: {reason}", cure="please report this") from error


def _converted(source: Exportable, program: torch.export.ExportedProgram, opset: int) -> Any:
    """The graph in ONNX's operators."""
    try:
        with quiet():
            written = torch.onnx.export(
                program,
                dynamo=True,
                verbose=False,
                opset_version=opset,
                input_names=[source.input],
                output_names=[source.output],
            )
    except torch.onnx.OnnxExporterError as error:
        reason = " ".join(str(error.__cause__ or error).split())[:300]
        raise OptionError(f"{source.model} has no form in ONNX: {reason}", cure="please report this") from error
    assert written is not None  # it is, with dynamo
    return written.model_proto


def _without_traces(model: Any) -> Any:
    """The model without notes on where in the source code of this machine its nodes came from."""
    graphs = [model.graph, *model.functions]
    for graph in graphs:
        for node in graph.node:
            del node.metadata_props[:]
            node.doc_string = ""
        for value in (*graph.value_info, *getattr(graph, "initializer", ())):
            del value.metadata_props[:]
        for value in (*graph.input, *graph.output):
            if hasattr(value, "metadata_props"):  # those of functions are mere names
                del value.metadata_props[:]
        del graph.metadata_props[:]
    return model
