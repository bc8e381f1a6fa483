"""What every adapter has: features in, features out, whole folders in constant memory, and a folder that keeps it.

SoLa is one adapter; the others are the controls that a gain has to be measured against (:mod:`.controls`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..data.features import Features
from ..errors import FeatureError
from ..files import atomic_path, sha256_of, write_json

_TAGS = re.compile(r"\+(sola|identity|random|whitening|mean\d+)$")
_ROWS_AT_ONCE = 4096


class Adapter(nn.Module):
    """Features [B, T, C] → features [B, T, W]; a subclass says how.

    Args:
        channels: C, width of the features.
    """

    kind = ""
    """Names the class in ``config.json``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.source: dict[str, str] = {}
        """Encoder and weights of the features that it was made for, once it was loaded."""

    @property
    def tag(self) -> str:
        """What the encoder's name of adapted features ends with."""
        return f"+{self.kind}"

    @property
    def width(self) -> int:
        """W, width of adapted features."""
        return self.channels

    @property
    def radius(self) -> int:
        """Rows to either side that an adapted row depends on."""
        return 0

    def settings(self) -> dict[str, Any]:
        """What, beside the tensors, makes it again; kept in ``config.json``."""
        return {}

    def forward(self, features: Tensor) -> Tensor:
        """Shape: [B, T, C] -> [B, T, W]."""
        raise NotImplementedError

    def adapt(self, features: Features) -> Features:
        """Adapted features of one video.

        Raises:
            FeatureError: features of another width or encoder than the adapter's, or adapted already.
        """
        self.check(features)
        return Features(self.adapt_rows(features.values), features.time, **self.labels(features))

    def adapt_rows(self, values: np.ndarray) -> np.ndarray:
        """Adapted rows of one video, unchecked. Shape: [T, C] -> [T, W]."""
        adapted = np.empty((len(values), self.width), dtype=np.float32)
        begin = 0
        for block in self.blocks(values):
            adapted[begin : begin + len(block)] = block
            begin += len(block)
        return adapted

    def check(self, features: Features) -> None:
        """Raise :class:`FeatureError` unless ``features`` are like those that the adapter was made for."""
        refuse_adapted(features)
        cure = "adapt features of the encoder that it was trained on"
        for what, ours in self.source.items():
            theirs = getattr(features, what)
            if ours and theirs and ours != theirs:
                raise FeatureError(f"features come from {theirs!r}, the adapter's from {ours!r}", cure=cure)
        if features.width != self.channels:
            problem = f"features have {features.width} channels, the adapter was trained on {self.channels}"
            raise FeatureError(problem, cure=cure)

    def labels(self, features: Features, fingerprint: str | None = None) -> dict[str, str]:
        """Encoder and weights of the adapted ``features``; give the ``fingerprint`` when there are many videos."""
        weights = f"{features.weight_hash}+{fingerprint or self.fingerprint()}"
        weights = hashlib.sha256(weights.encode()).hexdigest()[:16]
        return {"encoder": f"{features.encoder}{self.tag}", "weight_hash": weights}

    @torch.inference_mode()
    def blocks(self, values: np.ndarray, rows: int = _ROWS_AT_ONCE) -> Iterator[np.ndarray]:
        """Adapted rows of one video, ``rows`` at a time, each computed with the context that it depends on.

        Equal to one pass to float32 rounding; memory does not grow with T. Shape: [T, C] -> blocks [≤ rows, W].
        """
        device = next((tensor.device for tensor in self.state_dict().values()), torch.device("cpu"))
        for begin in range(0, len(values), rows):
            end = min(begin + rows, len(values))
            left, right = max(begin - self.radius, 0), min(end + self.radius, len(values))
            piece = np.array(values[left:right], dtype=np.float32)  # a copy: memory-mapped files are read-only
            adapted = self(torch.from_numpy(piece)[None].to(device))  # [1, T', C] -> [1, T', W]
            yield adapted[0, begin - left : end - left].cpu().numpy()

    def fingerprint(self) -> str:
        """SHA-256 of what it computes: its kind, settings and weights."""
        digest = hashlib.sha256(f"{self.kind}{sorted(self.settings().items())}".encode())
        for name, tensor in self.state_dict().items():
            digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def save(self, folder: str | Path, source: Features) -> None:
        """Write ``model.safetensors`` and ``config.json``; ``source`` are features like those it was trained on."""
        from safetensors.torch import save_file

        folder = Path(folder)
        with atomic_path(folder / "model.safetensors") as temporary:
            weights = {name: tensor.detach().cpu().contiguous() for name, tensor in self.state_dict().items()}
            save_file(weights, temporary)
        time = {key: value for key, value in asdict(source.time).items() if key not in ("offset", "duration")}
        config = {
            "kind": self.kind,
            "version": 1,
            "channels": self.channels,
            "options": self.settings(),
            "features": {"encoder": source.encoder, "weight_hash": source.weight_hash, **time},
            "weights": sha256_of(folder / "model.safetensors"),
        }
        write_json(folder / "config.json", config)


def is_adapted(encoder: str) -> bool:
    """Whether features with this encoder's name went through an adapter."""
    return _TAGS.search(encoder) is not None


def raw_encoder(encoder: str) -> str:
    """The encoder's name without the adapter's tag."""
    return _TAGS.sub("", encoder)


def refuse_adapted(features: Features) -> None:
    """Raise :class:`FeatureError` for features that went through an adapter already."""
    if is_adapted(features.encoder):
        cure = "give the features that kinoscope extract wrote"
        raise FeatureError(f"features of {features.encoder!r} are adapted already", cure=cure)
