"""A network as OpenVINO files, made from ONNX; in eight bits if real clips are there to calibrate with."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .exportable import Exportable
from .onnx_file import METADATA
from .packages import quiet


def write_openvino(source: Exportable, onnx: Path, path: Path, *, calibration: Sequence[np.ndarray] = ()) -> None:
    """Convert an ONNX file, and write ``path`` (.xml) with its weights (.bin) beside it.

    Args:
        source: what the ONNX file was made from.
        onnx: the file.
        path: of the result.
        calibration: clips as decoded; with them weights and activations become bytes. Shape of each: [T, S, S, 3].
    """
    import openvino

    model = openvino.Core().read_model(onnx)
    if calibration:
        model = quantized(source, model, calibration)
    config = source.config() | {"precision": "int8" if calibration else "float32"}
    model.set_rt_info(json.dumps(config, ensure_ascii=False), [METADATA])
    openvino.save_model(model, path, compress_to_fp16=False)


def quantized(source: Exportable, model: object, calibration: Sequence[np.ndarray]) -> object:
    """Static post-training quantisation: the ranges of activations are those that occur on ``calibration``.

    Only convolutions compute in eight bits: they are nearly all of the time. Products of matrices, of which heads and
    classifiers are made, stay in float32, because answers are decided there.
    """
    os.environ.setdefault("NNCF_CI", "1")  # read when it is imported: nothing is reported to its makers
    import nncf

    def prepared(clip: np.ndarray) -> np.ndarray:
        return source.prepare(clip).contiguous().numpy()

    with quiet():
        data = nncf.Dataset(calibration, prepared)
        spared = nncf.IgnoredScope(types=["MatMul"], validate=False)  # there may be none
        preset = nncf.QuantizationPreset.MIXED  # activations that take both signs unevenly get a zero of their own
        return nncf.quantize(model, data, preset=preset, subset_size=len(calibration), ignored_scope=spared)
