"""A network as an ONNX file that another program can use alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
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


@dataclass(frozen=True)
class Graph:
    """A network with all that tracing it takes."""

    what: str
    """For people."""
    network: nn.Module
    """In evaluation mode on the CPU."""
    example: tuple[Tensor, ...]
    """Its inputs, of a batch of two: a batch of one would be taken for a constant."""
    inputs: tuple[str, ...]
    """Their names."""
    outputs: tuple[str, ...]
    """Names of what it gives, in order."""
    config: Mapping[str, Any]
    """What the file says of itself."""
    free: Mapping[int, Any]
    """Axes of every input whose size is free, and how they are called."""


def graph_of(source: Exportable) -> Graph:
    """A part of a model whose batch, and tokens, are free."""
    axes: dict[int, Any] = {0: Dim("batch")}
    if source.most_tokens is not None and source.most_tokens > 1:
        axes[1] = Dim("tokens", min=1, max=source.most_tokens)
    return Graph(
        source.model, source.network, (source.example(),), (source.input,), (source.output,), source.config(), axes
    )


def write_onnx(source: Exportable, path: Path, *, opset: int = OPSET) -> None:
    """Trace a part of a model and write it; see :func:`write_graph`."""
    write_graph(graph_of(source), path, opset=opset)


def write_graph(source: Graph, path: Path, *, opset: int = OPSET) -> None:
    """Trace the network and write it, weights and all, into one file.

    Args:
        source: the network, an example of its inputs, and what goes into the metadata.
        path: of the file.
        opset: version of ONNX's operators.

    Raises:
        OptionError: the network does something that cannot be traced, or that ONNX has no operator for.
    """
    import onnx

    model = _without_traces(_converted(source, _traced(source), opset))
    onnx.helper.set_model_props(model, {METADATA: json.dumps(dict(source.config), ensure_ascii=False)})
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def _traced(source: Graph) -> torch.export.ExportedProgram:
    """The network as a graph. Strict: otherwise ``len(x)`` would fix the batch."""
    axes = tuple(dict(source.free) for _ in source.example)
    try:
        with quiet():
            return torch.export.export(source.network, source.example, dynamic_shapes=axes, strict=True)
    except Exception as error:  # tracing fails in many ways
        reason = " ".join(str(error).split())[:300]
        raise OptionError(f"{source.what} cannot be traced: {reason}", cure="please report this") from error


def _converted(source: Graph, program: torch.export.ExportedProgram, opset: int) -> Any:
    """The graph in ONNX's operators."""
    try:
        with quiet():
            written = torch.onnx.export(
                program,
                dynamo=True,
                verbose=False,
                opset_version=opset,
                input_names=list(source.inputs),
                output_names=list(source.outputs),
            )
    except torch.onnx.OnnxExporterError as error:
        reason = " ".join(str(error.__cause__ or error).split())[:300]
        raise OptionError(f"{source.what} has no form in ONNX: {reason}", cure="please report this") from error
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
