"""Conversion takes seconds: a run of the tests converts equal networks once.

Only tracing and conversion are remembered. What is done with the result (metadata, checks, files) is done every time,
and :mod:`.test_parity` converts everything itself.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from kinoscope.export import onnx_file
from kinoscope.export.onnx_file import Graph

_traced, _converted = onnx_file._traced, onnx_file._converted


def install(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let this run's conversions be remembered in a folder."""
    import onnx

    def converted(source: Graph, _program: Graph, opset: int) -> Any:
        path = folder / f"{_key(source, opset)}.onnx"
        if not path.exists():
            made = folder / f"{path.stem}.{os.getpid()}"
            onnx.save(_converted(source, _traced(source), opset), made)
            made.replace(path)
        return onnx.load(path)

    monkeypatch.setattr(onnx_file, "_traced", lambda source: source)
    monkeypatch.setattr(onnx_file, "_converted", converted)


def _key(source: Graph, opset: int) -> str:
    """Of all that decides what the conversion makes of a network."""
    network = source.network
    kinds = [f"{type(module).__module__}.{type(module).__qualname__}" for module in network.modules()]
    shapes = [tuple(each.shape) for each in source.example]
    found = hashlib.sha256(repr((network, kinds, shapes, source.inputs, source.outputs, source.free, opset)).encode())
    for name, value in (*network.named_parameters(), *network.named_buffers()):
        found.update(name.encode() + repr((value.dtype, value.shape)).encode() + value.detach().numpy().tobytes())
    return found.hexdigest()
