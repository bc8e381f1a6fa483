"""Packages that only exporting needs: told by name, with the cure, where they are missing."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Literal

from ..errors import OptionError

Format = Literal["onnx", "openvino"]

_NEEDED: dict[str, tuple[str, ...]] = {
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
    "openvino": ("openvino",),
    "int8": ("nncf",),
}
_TALKATIVE = ("torch.onnx", "torch.export", "torch._guards", "torch._dynamo", "onnxscript", "onnx_ir", "nncf")


def require_packages(to: Format, *, int8: bool = False) -> None:
    """Refuse before any work what cannot be done here.

    Args:
        to: the format that is wanted; OpenVINO's is made from ONNX.
        int8: whether weights and activations become bytes.

    Raises:
        OptionError: a package is missing.
    """
    extras = ["onnx", *(["openvino"] if to == "openvino" else []), *(["int8"] if int8 else [])]
    missing = [package for extra in extras for package in _NEEDED[extra] if find_spec(package) is None]
    if missing:
        what = "export in int8" if int8 else f"export to {to}"
        names = ", ".join(missing)
        raise OptionError(f"{what} needs {names}", cure=f'pip install "kinoscope[{",".join(extras)}]"')


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the exporters' notes on their own internals."""
    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
