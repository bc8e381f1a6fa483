"""Small encoders with random weights, and labelled videos that they can tell apart."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import torch
from torch import nn

from kinoscope.encoders.backbones import build_backbone
from kinoscope.encoders.trained import TrainedSpec, save_encoder
from kinoscope.video.streams import Stream


def encoder(folder: Path, stream: Stream = "rgb", *, seed: int = 0, clip_length: int = 8) -> Path:
    """A narrow S3D that sees clips of ``clip_length`` frames of 32 pixels, 10 per second."""
    torch.manual_seed(seed)
    spec = TrainedSpec("s3d", 0.125, "batch", stream, 10.0, clip_length, 32, 42, origin="a test")
    backbone = build_backbone("s3d", width=0.125)
    _wake(backbone, clip_length)
    save_encoder(folder, backbone, spec)
    return folder


def _wake(backbone: nn.Module, clip_length: int) -> None:
    """Give batch norm statistics; with its first ones, signals die out on the way through fresh weights."""
    norms = [each for each in backbone.modules() if isinstance(each, nn.BatchNorm3d)]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        tints = 1.5 * torch.randn(48, 3, 1, 1, 1)
        backbone.train()(tints + 0.05 * torch.randn(48, 3, clip_length, 32, 32))
    backbone.eval()


def videos(folder: Path, classes: int = 2, each: int = 5, frames: int = 20) -> dict[str, Path]:
    """``each`` videos per class, named ``class-number``; a class is a colour, and the noise of every video its own."""
    found = {}
    for label in range(classes):
        for number in range(each):
            name = f"{label}-{number}"
            found[name] = _film(folder / f"{name}.mp4", frames, label, seed=10 * label + number)
    return found


def _film(path: Path, frames: int, label: int, seed: int) -> Path:
    rng = np.random.default_rng(seed)
    tint = 200 * np.eye(3)[label % 3]
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for _ in range(frames):
            picture = np.clip(tint + rng.integers(0, 8, (6, 8, 3)), 0, 255).astype(np.uint8).repeat(8, 0).repeat(8, 1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")))
        container.mux(stream.encode())
    return path
