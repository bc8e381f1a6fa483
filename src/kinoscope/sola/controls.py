"""Adapters that know nothing of time's meaning: what a gain of SoLa has to be measured against.

A smoother or a whitening that does as well as SoLa means that there is no gain (specification, section 11).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..data.features import Features
from ..engine.seeds import seed_weights
from ..errors import FeatureError, OptionError
from .adapter import Adapter
from .network import SoLa
from .options import SolaOptions

Control = Literal["identity", "moving-average", "random", "whitening"]

_ROWS_AT_ONCE = 8192


@dataclass(frozen=True)
class ControlOptions:
    """Options of the adapters that are not SoLa."""

    average_rows: int = 5
    """Rows of the moving average, odd; SoLa's first convolution sees 5."""
    variance: float = 0.99
    """Whitening keeps the principal components that explain this share of the variance."""

    def __post_init__(self) -> None:
        if self.average_rows < 1 or self.average_rows % 2 == 0:
            problem = f"average_rows is {self.average_rows}, but must be odd, to have a middle"
            raise OptionError(problem, cure="5 is as many rows as SoLa sees")
        if not 0 < self.variance <= 1:
            raise OptionError(f"variance is {self.variance}, but must be above 0 and at most 1")


class Identity(Adapter):
    """Features as they are."""

    kind = "identity"

    def forward(self, features: Tensor) -> Tensor:
        """Shape: [B, T, C] -> [B, T, C]."""
        return features


class MovingAverage(Adapter):
    """Each row replaced by the mean of those around it, as many as there are at the ends.

    Args:
        rows: how many, an odd number; SoLa's first convolution sees 5.
    """

    kind = "moving-average"

    def __init__(self, channels: int, rows: int = 5) -> None:
        super().__init__(channels)
        self.rows = ControlOptions(average_rows=rows).average_rows

    @property
    def tag(self) -> str:
        """What the encoder's name of adapted features ends with."""
        return f"+mean{self.rows}"

    @property
    def radius(self) -> int:
        """Rows to either side that an adapted row depends on."""
        return self.rows // 2

    def settings(self) -> dict[str, Any]:
        """The number of rows."""
        return {"rows": self.rows}

    def forward(self, features: Tensor) -> Tensor:
        """Shape: [B, T, C] -> [B, T, C]."""
        by_channel = features.transpose(1, 2)  # [B, T, C] -> [B, C, T]
        means = F.avg_pool1d(by_channel, self.rows, stride=1, padding=self.radius, count_include_pad=False)
        return means.transpose(1, 2)  # [B, C, T] -> [B, T, C]


class RandomAdapter(SoLa):
    """SoLa that nothing has trained, with its gate open: α = 1."""

    kind = "random"

    @classmethod
    def drawn(cls, channels: int, options: SolaOptions = SolaOptions(), seed: int = 0) -> RandomAdapter:
        """Weights from PyTorch's default initialisation; another seed gives others."""
        seed_weights(seed)
        adapter = cls(channels, options)
        with torch.no_grad():
            adapter.alpha.fill_(1)
        return adapter.eval().requires_grad_(False)


class Whitening(Adapter):
    """PCA whitening: centred, rotated to the principal components, each scaled to variance 1.

    Args:
        components: W, how many principal components are kept.
    """

    kind = "whitening"

    def __init__(self, channels: int, components: int) -> None:
        super().__init__(channels)
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("projection", torch.zeros(channels, components))

    @property
    def width(self) -> int:
        """W, the components kept."""
        return int(self.get_buffer("projection").shape[1])

    def settings(self) -> dict[str, Any]:
        """How many components."""
        return {"components": self.width}

    def forward(self, features: Tensor) -> Tensor:
        """Shape: [B, T, C] -> [B, T, W]."""
        return (features - self.get_buffer("mean")) @ self.get_buffer("projection")

    @classmethod
    def fitted(cls, videos: Iterable[Features], variance: float = 0.99) -> Whitening:
        """Components that explain a share ``variance`` of the variance of all rows of ``videos``; memory grows with C².

        Raises:
            FeatureError: all rows are the same.
        """
        count, mean, covariance = _moments(videos)
        values, vectors = np.linalg.eigh(covariance)  # ascending
        values, vectors = values[::-1].clip(min=0), vectors[:, ::-1]
        if values[0] <= 1e-12 * max(float(mean @ mean), 1e-300):
            raise FeatureError(f"all {count} rows are the same", cure="give features that change")
        explained = np.cumsum(values) / values.sum()
        # What lies below rounding is noise that whitening would blow up.
        kept = min(int(np.searchsorted(explained, variance - 1e-12)) + 1, int((values > 1e-9 * values[0]).sum()))
        adapter = cls(len(mean), kept)
        adapter.get_buffer("mean").copy_(torch.from_numpy(mean))
        adapter.get_buffer("projection").copy_(torch.from_numpy(vectors[:, :kept] / np.sqrt(values[:kept])))
        return adapter.eval()


def _moments(videos: Iterable[Features]) -> tuple[int, np.ndarray, np.ndarray]:
    """Number, mean [C] and covariance [C, C] of all rows; means are merged block by block, which keeps small variances.

    Source: Chan, Golub, LeVeque (1979), pairwise updates.
    """
    count, mean, scatter = 0, np.zeros(1), np.zeros((1, 1))
    for each in videos:
        for begin in range(0, len(each), _ROWS_AT_ONCE):
            block = np.asarray(each.values[begin : begin + _ROWS_AT_ONCE], dtype=np.float64)  # [n, C]
            centre = block.mean(axis=0)  # [C]
            away = block - centre
            shift, total = centre - mean, count + len(block)
            scatter = scatter + away.T @ away + np.multiply.outer(shift, shift) * (count * len(block) / total)
            mean = mean + shift * (len(block) / total)
            count = total
    return count, mean, scatter / max(count, 1)


def join_streams(first: Features, second: Features) -> Features:
    """Two streams side by side (RGB and motion): each row of ``first`` with the row of ``second`` nearest in time.

    Raises:
        FeatureError: the two do not cover the same stretch of time.
    """
    times = first.time.centers(len(first))
    place = np.rint(second.time.to_grid(times))  # [T]
    slack = max(first.time.step / second.time.step, 1.0) + 1  # rows at the ends may stick out by one
    if place.min() < -slack or place.max() > len(second) - 1 + slack:
        ends = [float(each.time.to_seconds(len(each) - 1)) for each in (first, second)]
        problem = f"one stream ends at {ends[0]:g} s, the other at {ends[1]:g} s"
        raise FeatureError(problem, cure="extract both streams from the same videos")
    rows = second.values[place.clip(0, len(second) - 1).astype(int)]
    values = np.concatenate((first.values, rows), axis=1, dtype=np.float32)  # [T, C1 + C2]
    names = [" & ".join(each) for each in ((first.encoder, second.encoder), (first.weight_hash, second.weight_hash))]
    return Features(values, first.time, *names)


def make_control(
    method: Control,
    videos: Mapping[str, Features],
    controls: ControlOptions = ControlOptions(),
    options: SolaOptions = SolaOptions(),
    seed: int = 0,
) -> Adapter:
    """The control ``method`` for features like those of ``videos``; whitening is fitted to them.

    Args:
        options: of the random adapter.
        seed: of the random adapter.
    """
    channels = next(iter(videos.values())).width
    if method == "identity":
        return Identity(channels)
    if method == "moving-average":
        return MovingAverage(channels, controls.average_rows)
    if method == "random":
        return RandomAdapter.drawn(channels, options, seed)
    return Whitening.fitted(videos.values(), controls.variance)
