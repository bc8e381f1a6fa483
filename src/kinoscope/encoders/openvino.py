"""Networks on OpenVINO: the same numbers to float32 rounding, faster on many CPUs (docs/results.md has the ratios)."""

from __future__ import annotations

import contextlib
import io
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import OptionError
from ..files import make_folder, output_errors
from .package_files import cache_folder


class OpenVinoNetwork(nn.Module):
    """A drop-in for a network in evaluation mode, compiled once per input shape (any batch size).

    Args:
        network: with weights loaded, on the CPU.
        name: names the converted model in the cache; it must change with the weights.
    """

    def __init__(self, network: nn.Module, name: str) -> None:
        super().__init__()
        try:
            import openvino
        except ImportError as error:
            raise OptionError("runtime openvino needs the package openvino", cure="pip install openvino") from error
        self.network, self.name = network, name
        self._openvino = openvino
        self._compiled: dict[tuple[int, ...], Any] = {}

    def forward(self, x: Tensor) -> Tensor:
        """Same shapes as the wrapped network."""
        key = tuple(x.shape[1:])
        if key not in self._compiled:
            self._compiled[key] = self._compile(x)
        return torch.from_numpy(self._compiled[key](x.contiguous().numpy())[0].copy())  # its buffer is used again

    def classify(self, features: Tensor) -> Tensor:
        """Logits; too small to be worth compiling."""
        return self.network.classify(features)  # type: ignore[operator]  # as in Encoder

    def _compile(self, x: Tensor) -> Any:
        settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": torch.get_num_threads()}
        core = self._openvino.Core()
        return core.compile_model(core.read_model(self._converted(x)), "CPU", settings)

    def _converted(self, x: Tensor) -> Path:
        """The model in OpenVINO's format, from the cache or freshly exported (seconds)."""
        shape = "x".join(map(str, x.shape[1:]))
        version = self._openvino.__version__.split("-")[0]
        folder = cache_folder() / "openvino" / f"{self.name}-{shape}-{version}-{torch.__version__}"
        if not (folder / "model.xml").is_file():
            make_folder(folder.parent)
            with output_errors(folder), tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
                self._openvino.save_model(self._export(x), Path(temporary) / "model.xml", compress_to_fp16=False)
                with contextlib.suppress(OSError):  # another process was faster: its model is as good
                    Path(temporary).rename(folder)
                    Path(temporary).mkdir()  # for TemporaryDirectory to remove
        return folder / "model.xml"

    def _export(self, x: Tensor) -> Any:
        example = x[:1].repeat(2, *[1] * (x.ndim - 1))  # a batch of one would be taken for a constant
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")  # the exporter's notes on its own internals
            program = torch.export.export(self.network, (example,), dynamic_shapes=({0: torch.export.Dim("batch")},))
            return self._openvino.convert_model(program)
