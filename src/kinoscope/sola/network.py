"""SoLa's network: frozen features in, temporally sensitive features of the same shape out (section 3.1)."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .adapter import Adapter
from .options import SolaOptions


class SoLa(Adapter):
    """y = x + tanh(α) · f(x) with f = conv(k) → ReLU → conv(1) → ReLU → conv(1).

    α starts at 0, so an untrained adapter is exactly the identity. Tensor names are those of the official release.

    Args:
        channels: C, width of the features.
    """

    kind = "sola"

    def __init__(self, channels: int, options: SolaOptions = SolaOptions()) -> None:
        super().__init__(channels)
        self.options = options
        hidden, kernel = options.hidden, options.kernel
        self.alpha = nn.Parameter(torch.zeros(1))
        self.conv_network = nn.Sequential(
            nn.Conv1d(channels, hidden, kernel, padding=options.radius, dilation=options.dilation),
            nn.ReLU(),
            nn.Conv1d(hidden, hidden, 1),
            nn.ReLU(),
            nn.Conv1d(hidden, channels, 1),
        )

    @property
    def radius(self) -> int:
        """Rows to either side that an adapted row depends on."""
        return self.options.radius

    def settings(self) -> dict[str, Any]:
        """All options, those of the training too: maps of the target are drawn from them."""
        return asdict(self.options)

    def forward(self, features: Tensor, rows: range | None = None, mask: Tensor | None = None) -> Tensor:
        """Adapted features: all, or only those of ``rows``, which costs only as much as they do.

        Args:
            rows: evenly spaced, and at least ``options.radius`` rows away from both ends.
            mask: which rows exist; the others are taken for zeros, as padding is, and come out as zeros, so that a
                padded video gives what it gives alone. Shape: [B, T], bool.

        Shape: [B, T, C] -> [B, T, C], or [B, N, C] with ``rows``.
        """
        if mask is not None:
            features = features * mask[..., None]
        adapted = self.kept(features, rows) + torch.tanh(self.alpha) * self.change(features, rows)
        return adapted if mask is None else adapted * self.kept(mask[..., None], rows)

    def change(self, features: Tensor, rows: range | None = None) -> Tensor:
        """f(x), before the gate. Shape: as :meth:`forward`."""
        first, *rest = self.conv_network
        assert isinstance(first, nn.Conv1d)
        if rows is None:
            change = first(features.transpose(1, 2))  # [B, C, T] -> [B, hidden, T]
        else:
            context = features[:, rows[0] - self.radius : rows[-1] + self.radius + 1].transpose(1, 2)
            change = F.conv1d(context, first.weight, first.bias, stride=rows.step, dilation=first.dilation)
        for layer in rest:
            change = layer(change)
        return change.transpose(1, 2)  # [B, C, N] -> [B, N, C]

    @staticmethod
    def kept(features: Tensor, rows: range | None) -> Tensor:
        """The rows that :meth:`forward` gives back. Shape: [B, T, C] -> [B, N, C]."""
        return features if rows is None else features[:, rows.start : rows.stop : rows.step]
