"""A network as OpenVINO files, made from ONNX; in eight bits if real clips are there to calibrate with."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .exportable import Exportable
from .onnx_file import METADATA
from .packages import quiet

Prepare = Callable[[np.ndarray], np.ndarray]
"""A picture or clip as decoded → what a network wants."""


def write_openvino(source: Exportable, onnx: Path, path: Path, *, calibration: Sequence[np.ndarray] = ()) -> None:
    """Convert an ONNX file, and write ``path`` (.xml) with its weights (.bin) beside it.

    Args:
        source: what the ONNX file was made from.
        onnx: the file.
        path: of the result.
        calibration: clips as decoded; with them weights and activations become bytes. Shape of each: [T, S, S, 3].
    """

    def prepared(clip: np.ndarray) -> np.ndarray:
        return source.prepare(clip).contiguous().numpy()

    convert_onnx(onnx, path, source.config(), calibration=calibration, prepare=prepared)


def convert_onnx(
    onnx: Path, path: Path, config: Mapping[str, Any], *, calibration: Sequence[np.ndarray] = (), prepare: Prepare
) -> None:
    """Convert an ONNX file with one input if it is calibrated, any number if not.

    Args:
        onnx: the file.
        path: of the result.
        config: what the result says of itself.
        calibration: with it weights and activations become bytes.
        prepare: one of ``calibration`` → the input of the network.
    """
    import openvino

    model = openvino.Core().read_model(onnx)
    if calibration:
        model = quantized(model, calibration, prepare)
    said = dict(config) | {"precision": "int8" if calibration else "float32"}
    model.set_rt_info(json.dumps(said, ensure_ascii=False), [METADATA])
    openvino.save_model(model, path, compress_to_fp16=False)


def quantized(model: object, calibration: Sequence[np.ndarray], prepare: Prepare) -> object:
    """Static post-training quantisation: the ranges of activations are those that occur on ``calibration``.

    Only convolutions compute in eight bits: they are nearly all of the time. Products of matrices, of which heads and
    classifiers are made, stay in float32, because answers are decided there.
    """
    os.environ.setdefault("NNCF_CI", "1")  # read when it is imported: nothing is reported to its makers
    import nncf

    with quiet():
        data = nncf.Dataset(calibration, prepare)
        spared = nncf.IgnoredScope(types=["MatMul"], validate=False)  # there may be none
        preset = nncf.QuantizationPreset.MIXED  # activations that take both signs unevenly get a zero of their own
        return nncf.quantize(model, data, preset=preset, subset_size=len(calibration), ignored_scope=spared)
