"""Running an exported file: by ONNX Runtime (``.onnx``) or by OpenVINO (``.xml``). No PyTorch in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import OptionError, WeightError
from .onnx_file import METADATA

Array = npt.NDArray[np.float32]
_MAKE_ANEW = "export it again: kinoscope export"


class ExportedProgram:
    """A file that ``kinoscope export`` wrote, loaded and ready; any number of inputs and outputs.

    Args:
        path: ending in ``.onnx`` or ``.xml``.
        threads: of the processor; none leaves the choice to the runtime.

    Raises:
        OptionError: the runtime is not installed, or the ending is another.
        WeightError: no such file, a damaged one, or one that Kinoscope did not write.
    """

    def __init__(self, path: str | Path, *, threads: int | None = None) -> None:
        path = Path(path)
        if not path.is_file():
            raise WeightError("no such file", where=path, cure="give a file that kinoscope export wrote")
        if path.suffix not in _OPENERS:
            raise OptionError(f"ends in {path.suffix!r}, not in .onnx or .xml", where=path)
        try:
            self._run, found = _OPENERS[path.suffix](path, threads)
        except ImportError as error:
            name = "onnx" if path.suffix == ".onnx" else "openvino"
            problem = f"running it needs the package {error.name}"
            raise OptionError(problem, where=path, cure=f'pip install "kinoscope[{name}]"') from error
        except Exception as error:  # each runtime has kinds of its own
            problem = f"cannot be read: {' '.join(str(error).split())[:200]}"
            raise WeightError(problem, where=path, cure=_MAKE_ANEW) from error
        if found is None:
            raise WeightError("holds no description by Kinoscope", where=path, cure=_MAKE_ANEW)
        self.path = path
        self.config: dict[str, Any] = json.loads(found)

    def outputs(self, *inputs: Array) -> list[Array]:
        """All outputs for a batch, in order."""
        return self._run([np.ascontiguousarray(each, np.float32) for each in inputs])


class ExportedModel(ExportedProgram):
    """A file with one input and one output: a part of a recogniser or an encoder; see :class:`ExportedProgram`."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Of the logits, in order; empty where the outputs are features."""
        return tuple(self.config["classes"])

    def __call__(self, inputs: npt.ArrayLike) -> Array:
        """The outputs for a batch. Shape: [B, ...] as ``config["input"]["shape"]`` says -> [B, ...].

        Raises:
            OptionError: another shape.
        """
        values = np.ascontiguousarray(inputs, np.float32)
        wanted = self.config["input"]["shape"]
        fits = values.ndim == len(wanted) and all(
            isinstance(w, str) or w == size for w, size in zip(wanted, values.shape, strict=True)
        )
        if not fits:
            problem = f"the input is of shape {list(values.shape)}, but must be {wanted}"
            raise OptionError(problem.replace("'", ""), where=self.path)
        return self.outputs(values)[0]


def run_exported(path: str | Path, inputs: npt.ArrayLike) -> Array:
    """Load a file and run it once; for more than once, keep an :class:`ExportedModel`."""
    return ExportedModel(path)(inputs)


Opened = tuple[Callable[[list[Array]], list[Array]], str | None]


def _open_onnx(path: Path, threads: int | None) -> Opened:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]

    def run(inputs: list[Array]) -> list[Array]:
        return session.run(None, dict(zip(names, inputs, strict=True)))

    return run, session.get_modelmeta().custom_metadata_map.get(METADATA)


def _open_openvino(path: Path, threads: int | None) -> Opened:
    import openvino

    core = openvino.Core()
    model = core.read_model(path)
    found = model.get_rt_info([METADATA]).astype(str) if model.has_rt_info([METADATA]) else None
    settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32"}  # what is not in eight bits stays exact
    if threads:
        settings["INFERENCE_NUM_THREADS"] = threads
    compiled = core.compile_model(model, "CPU", settings)

    def run(inputs: list[Array]) -> list[Array]:
        found = compiled(inputs)
        return [found[number].copy() for number in range(len(compiled.outputs))]  # its buffers are used again

    return run, found


_OPENERS: dict[str, Callable[[Path, int | None], Opened]] = {".onnx": _open_onnx, ".xml": _open_openvino}
