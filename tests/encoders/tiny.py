"""Encoders that compute in no time and need no download, and small real videos to feed them."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kinoscope.encoders import Encoder, EncoderSpec, backbones, catalog, encoder
from kinoscope.encoders.efficientnet_lite import EfficientNetLite
from kinoscope.encoders.package_files import PackageFile
from kinoscope.encoders.weights import FolderWeights, Weights, load_weights


class TinyFrames(nn.Module):
    """[N, 3, H, W] -> [N, 6]."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(12, 6)

    def forward(self, frames: Tensor) -> Tensor:
        return self.layer(F.adaptive_avg_pool2d(frames, 2).flatten(1))


class TinyClips(nn.Module):
    """[B, 3, T, H, W] -> [B, 5], with a classifier of 400 classes."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.classifier = nn.Linear(24, 5), nn.Linear(5, 400)

    def forward(self, clip: Tensor) -> Tensor:
        return self.layer(F.adaptive_avg_pool3d(clip, 2).flatten(1))

    def classify(self, features: Tensor) -> Tensor:
        return 9 * self.classifier(features)  # far enough apart for segments


class Lite(EfficientNetLite):
    """A real network, with weights that leave something of its input."""

    def __init__(self) -> None:
        super().__init__()
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d) and not layer.weight.is_meta:
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")


class TinyBackbone(nn.Module):
    """[B, 3, T, H, W] -> [B, width, T / frames, H / 16, W / 16]: clips are cut into blocks, nothing else."""

    def __init__(self, width: int = 8, frames: int = 4) -> None:
        super().__init__()
        self.width = width
        block = (frames, 16, 16)
        self.conv, self.norm = nn.Conv3d(3, width, block, block), nn.BatchNorm3d(width)

    def forward(self, clip: Tensor) -> Tensor:
        return self.norm(self.conv(clip)).relu()


def _spec(name: str, network: type[nn.Module], width: int, **values: object) -> EncoderSpec:
    weights = Weights(PackageFile(f"{name}==1", "0" * 64, f"{name}/{name}.pth", name[5:6] * 64, "MIT"), dict)
    return EncoderSpec(
        name,
        name,
        network,
        weights,
        width,
        size=32,
        mean=127.5,
        std=127.5,
        **values,  # type: ignore[arg-type]
    )


FRAMES = _spec("tiny-frames", TinyFrames, 6, fps=8.0, clip_length=1, stride=1, per_frame=True)
CHANGE = _spec("tiny-change", TinyFrames, 12, fps=8.0, clip_length=2, stride=1, per_frame=True)
CLIPS = _spec("tiny-clips", TinyClips, 5, fps=10.0, clip_length=8, stride=4, labels="kinetics400")
LITE = _spec("tiny-lite", Lite, 2560, fps=8.0, clip_length=2, stride=1, per_frame=True)
"""For what looks into a network."""
SPECS = {spec.name: spec for spec in (FRAMES, CHANGE, CLIPS, LITE)}


def built(spec: EncoderSpec, seed: int = 0) -> Encoder:
    """The encoder with random weights."""
    torch.manual_seed(seed)
    return Encoder(spec, spec.network()).eval().requires_grad_(False)


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the tiny encoders into the catalogue; no other can be loaded."""

    def weights(wanted: Weights | FolderWeights) -> dict[str, Tensor]:
        if isinstance(wanted, FolderWeights):
            return load_weights(wanted)  # an encoder that the test trained
        spec = next((each for each in SPECS.values() if each.weights == wanted), None)
        assert spec is not None, "a test wants to download weights"
        return built(spec).network.state_dict()

    for spec in SPECS.values():
        monkeypatch.setitem(catalog._ENCODERS, spec.name, spec)
    monkeypatch.setattr(encoder, "load_weights", weights)
    monkeypatch.setattr(encoder, "find_spec", lambda _name: None)  # no OpenVINO: its compilation takes longer


def install_backbones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the tiny backbone known as ``tiny-4`` and ``tiny-8``, by the frames of its blocks; of width 0.05 it has 8
    channels."""
    for frames in (4, 8):
        monkeypatch.setitem(
            backbones._BACKBONES,
            f"tiny-{frames}",
            lambda width, _normalization, _reduction, frames=frames: TinyBackbone(round(160 * width), frames),
        )


def film(path: Path, frames: int = 30, *, rate: int = 10, size: tuple[int, int] = (48, 64), seed: int = 0) -> Path:
    """A real video of drifting noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    noise = np.kron(rng.integers(0, 255, (size[0] // 8, size[1] // 8 + frames, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4" if path.suffix != ".gif" else "gif", rate=rate)
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p" if path.suffix != ".gif" else "rgb8"
        for number in range(frames):
            picture = np.ascontiguousarray(noise[:, 4 * number : 4 * number + size[1]])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path
