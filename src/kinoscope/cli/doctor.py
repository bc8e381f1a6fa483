"""``kinoscope doctor``: is this machine ready, and what can it do."""

from __future__ import annotations

import os
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from typing import Any

EXAMPLES = """\
  kinoscope doctor
  kinoscope doctor --json
"""

_NEEDED = ("torch", "av", "numpy", "safetensors", "lightning-fabric", "jsonargparse", "rich", "tensorboard")
_OPTIONAL = {
    "openvino": "makes encoders several times faster on CPUs",
    "onnxruntime": "is needed to export to ONNX: kinoscope[onnx]",
    "nncf": "is needed to export in eight bits: kinoscope[int8]",
    "faiss-cpu": "makes search in very large libraries faster",
}
_LEAST_FREE = 2 << 30


def run(json: bool = False) -> int:
    """Check this machine: packages, devices, cache, weights; list the encoders. Exit code 1 if something is amiss.

    Args:
        json: Print JSON instead of tables.
    """
    from .terminal import print_json, print_table, say

    found = examine()
    if json:
        print_json(found)
    else:
        print_table("This machine", ("what", "found"), list(found["machine"].items()))
        print_table("Packages", ("package", "version"), list(found["packages"].items()))
        rows = [tuple(encoder.values()) for encoder in found["encoders"]]
        header = ("encoder", "what it is", "frames/s", "clip", "stride", "pixels", "channels", "weights")
        print_table("Encoders", header, rows, note="Weights are downloaded when an encoder is first used.")
        for problem in found["problems"]:
            say(f"✗ {problem}")
        for advice in found["advice"]:
            say(f"· {advice}")
        if not found["problems"]:
            say("✓ ready")
    return 1 if found["problems"] else 0


def examine() -> dict[str, Any]:
    """Everything that ``doctor`` prints."""
    import torch

    from ..encoders import encoder_spec, list_encoders
    from ..encoders.encoder import fast_bfloat16
    from ..encoders.package_files import cache_folder

    packages = {name: _version(name) for name in (*_NEEDED, *_OPTIONAL)}
    problems = [f"package {name} is missing: pip install {name}" for name in _NEEDED if packages[name] == "missing"]
    advice = [f"pip install {name} {why}" for name, why in _OPTIONAL.items() if packages[name] == "missing"]
    cache = cache_folder()
    existing = next(folder for folder in (cache, *cache.parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    if not os.access(existing, os.W_OK):
        problems.append(f"the cache {cache} cannot be written: set KINOSCOPE_CACHE to a folder that can")
    if free < _LEAST_FREE:
        problems.append(f"only {free / 2**30:.1f} GiB are free for the cache {cache}: set KINOSCOPE_CACHE")
    problems += _check_decoding()
    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none"
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    machine = {
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": os.cpu_count() or 1,
        "threads used": torch.get_num_threads(),
        "GPU": gpu,
        "bfloat16": "fast" if fast_bfloat16(device) else "not worth it here",
        "cache": f"{cache} ({free / 2**30:.0f} GiB free)",
    }
    encoders = []
    for name in list_encoders():
        spec = encoder_spec(name)
        there = "here" if any(cache.glob(f"weights/*-{spec.weights.hash}.safetensors")) else "to be downloaded"
        shape = {"fps": spec.fps, "clip_length": spec.clip_length, "stride": spec.stride, "size": spec.size}
        encoders.append({"name": name, "summary": spec.summary, **shape, "width": spec.width, "weights": there})
    return {"machine": machine, "packages": packages, "encoders": encoders, "problems": problems, "advice": advice}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def _check_decoding() -> list[str]:
    """Encode and decode a small film in memory."""
    import io

    import av
    import numpy as np

    try:
        target = io.BytesIO()
        with av.open(target, "w", format="mp4") as container:
            stream = container.add_stream("mpeg4", rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for _ in range(3):
                container.mux(
                    stream.encode(av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24"))
                )
            container.mux(stream.encode())
        target.seek(0)
        with av.open(target) as container:
            frames = sum(1 for _ in container.decode(video=0))
    except av.FFmpegError as error:
        return [f"PyAV cannot decode: {error}: reinstall the package av"]
    return [] if frames == 3 else [f"PyAV decoded {frames} of 3 frames: reinstall the package av"]
