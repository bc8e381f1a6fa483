"""The adapter: frozen features in, temporally sensitive features of the same shape out (SoLa, section 3.1)."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..data.features import Features
from ..errors import FeatureError, OptionError, WeightError
from ..files import atomic_path, sha256_of, write_json
from .options import SolaOptions

ADAPTED = "+sola"
"""What the encoder's name of adapted features ends with."""

_ROWS_AT_ONCE = 4096


class SoLa(nn.Module):
    """y = x + tanh(α) · f(x) with f = conv(k) → ReLU → conv(1) → ReLU → conv(1).

    α starts at 0, so an untrained adapter is exactly the identity. Tensor names are those of the official release.

    Args:
        channels: C, width of the features.
    """

    def __init__(self, channels: int, options: SolaOptions = SolaOptions()) -> None:
        super().__init__()
        self.channels, self.options = channels, options
        self.source: dict[str, str] = {}
        """Encoder and weights of the features that it was trained on, once it was loaded."""
        hidden, kernel = options.hidden, options.kernel
        self.alpha = nn.Parameter(torch.zeros(1))
        self.conv_network = nn.Sequential(
            nn.Conv1d(channels, hidden, kernel, padding=kernel // 2),
            nn.ReLU(),
            nn.Conv1d(hidden, hidden, 1),
            nn.ReLU(),
            nn.Conv1d(hidden, channels, 1),
        )

    def forward(self, features: Tensor, rows: range | None = None) -> Tensor:
        """Adapted features: all, or only those of ``rows``, which costs only as much as they do.

        Args:
            rows: evenly spaced, and at least ``options.radius`` rows away from both ends.

        Shape: [B, T, C] -> [B, T, C], or [B, N, C] with ``rows``.
        """
        first, *rest = self.conv_network
        assert isinstance(first, nn.Conv1d)
        if rows is None:
            change = first(features.transpose(1, 2))  # [B, C, T] -> [B, hidden, T]
        else:
            radius = self.options.radius
            context = features[:, rows[0] - radius : rows[-1] + radius + 1].transpose(1, 2)
            change = F.conv1d(context, first.weight, first.bias, stride=rows.step)  # [B, hidden, N]
            features = features[:, rows.start : rows.stop : rows.step]
        for layer in rest:
            change = layer(change)
        return features + torch.tanh(self.alpha) * change.transpose(1, 2)

    @torch.inference_mode()
    def adapt(self, features: Features) -> Features:
        """Adapted features of one video, in pieces that overlap by what a row depends on: memory stays small.

        Raises:
            FeatureError: features of another width or encoder than the adapter's.
        """
        refuse_adapted(features)
        for what, ours in self.source.items():
            theirs = getattr(features, what)
            if ours and theirs and ours != theirs:
                cure = "adapt features of the encoder that it was trained on"
                raise FeatureError(f"features come from {theirs!r}, the adapter's from {ours!r}", cure=cure)
        if features.width != self.channels:
            cure = "adapt features of the encoder that it was trained on"
            problem = f"features have {features.width} channels, the adapter was trained on {self.channels}"
            raise FeatureError(problem, cure=cure)
        radius, rows = self.options.radius, len(features)
        values = np.empty_like(features.values)
        for begin in range(0, rows, _ROWS_AT_ONCE):
            end = min(begin + _ROWS_AT_ONCE, rows)
            left, right = max(begin - radius, 0), min(end + radius, rows)
            piece = torch.from_numpy(features.values[left:right])[None].to(self.alpha.device)  # [1, T, C]
            values[begin:end] = self(piece)[0, begin - left : end - left].cpu().numpy()
        weight_hash = hashlib.sha256(f"{features.weight_hash}+{self.fingerprint()}".encode()).hexdigest()[:16]
        return Features(values, features.time, f"{features.encoder}{ADAPTED}", weight_hash)

    def fingerprint(self) -> str:
        """SHA-256 of the weights."""
        digest = hashlib.sha256()
        for name, tensor in self.state_dict().items():
            digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def save(self, folder: str | Path, source: Features) -> None:
        """Write ``model.safetensors`` and ``config.json``; ``source`` are features like those it was trained on."""
        from safetensors.torch import save_file

        folder = Path(folder)
        with atomic_path(folder / "model.safetensors") as temporary:
            save_file(
                {name: tensor.detach().cpu().contiguous() for name, tensor in self.state_dict().items()}, temporary
            )
        time = {key: value for key, value in asdict(source.time).items() if key not in ("offset", "duration")}
        config = {
            "kind": "sola",
            "version": 1,
            "channels": self.channels,
            "options": asdict(self.options),
            "features": {"encoder": source.encoder, "weight_hash": source.weight_hash, **time},
            "weights": sha256_of(folder / "model.safetensors"),
        }
        write_json(folder / "config.json", config)

    @classmethod
    def load(cls, folder: str | Path) -> SoLa:
        """Read what :meth:`save` wrote, in evaluation mode. Raises :class:`WeightError` if it cannot be used."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        folder = Path(folder)
        try:
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            adapter = cls(int(config["channels"]), SolaOptions(**config["options"]))
            adapter.load_state_dict(load_file(folder / "model.safetensors"))
            adapter.source = {name: str(config["features"][name]) for name in ("encoder", "weight_hash")}
        except (OptionError, OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            raise WeightError(f"cannot be read as an adapter: {error}", where=folder, cure="train it again") from error
        return adapter.eval().requires_grad_(False)


def refuse_adapted(features: Features) -> None:
    """Raise :class:`FeatureError` for features that went through an adapter already."""
    if features.encoder.endswith(ADAPTED):
        cure = "give the features that kinoscope extract wrote"
        raise FeatureError(f"features of {features.encoder!r} are adapted already", cure=cure)


class Predictor(nn.Module):
    """Linear → ReLU → Linear on each row; part of the training only, thrown away after it."""

    def __init__(self, channels: int, hidden: int = 512) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels))

    def forward(self, z: Tensor) -> Tensor:
        """Shape: [B, N, C] -> [B, N, C]."""
        return self.layers(z)
