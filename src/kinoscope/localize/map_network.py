"""G-TAD and BMN: features over time → how well every cell of a map fits a segment, and where segments start and end.

Source: G-TAD (Xu et al., CVPR 2020), BMN (Lin et al., ICCV 2019); specification sections 2.1 and 3.1. The papers only
propose segments, and leave the classes to a classifier of whole videos (:func:`.fusion.classify_segments`). With more
than one class a convolution over time answers for each at every row, and a cell has the mean of its rows, which is
ours: it tells which class a segment has, should it be one.

Differences: padded rows are zeros, as published, but cells that reach into them are neither trained nor proposed.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import FeatureError
from .cell_sampling import CellSampling, SampledConv
from .gcnext import GCNeXt, context
from .map_options import BmnOptions, GTadOptions, MapOptions


class Maps(NamedTuple):
    """What the network says of a batch. The map's shape is that of ``options.cells``: [D, T], or [T, T]."""

    start: Tensor
    """Probability that a segment starts at a row. Shape: [B, T]."""
    end: Tensor
    """Probability that a segment ends at a row. Shape: [B, T]."""
    regression: Tensor
    """Estimated tIoU with a segment. Shape: [B, *map]."""
    overlap: Tensor
    """Probability that the tIoU is high. Shape: [B, *map]."""
    classes: Tensor
    """Logits of the classes, or nothing if there is only one. Shape: [B, K or 0, *map]."""
    rows: Tensor
    """Rows of the map that hold input. Shape: [B]."""


class _MapHead(nn.Module):
    """What the two networks share: input of any length to T rows, and the convolutions over the map."""

    def __init__(self, options: MapOptions) -> None:
        super().__init__()
        self.options = options
        channels, hidden, kernel = options.map_width, options.map_hidden, options.map_kernel
        self.classify = CellMeans(options) if options.classes > 1 else None
        self.map_convs = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(channels, hidden, 1),
            nn.ReLU(),
            nn.Conv2d(hidden, hidden, kernel, padding=kernel // 2),
            nn.ReLU(),
            nn.Conv2d(hidden, hidden, kernel, padding=kernel // 2),
            nn.ReLU(),
            nn.Conv2d(hidden, 2, 1),
        )

    def forward(self, features: Tensor, mask: Tensor) -> Maps:
        """[B, T', C], [B, T'] → maps over T rows; T' is at most T where windows are cut, and anything else."""
        self._check(features, mask)
        lengths = mask.sum(1)  # [B]
        if self.options.fit == "resize":
            x = torch.stack([self._resized(x[:n]) for x, n in zip(features, lengths.tolist(), strict=True)])
            lengths = torch.full_like(lengths, self.options.rows)
        else:
            x = (features * mask[..., None]).transpose(1, 2)  # [B, C, T']
            x = F.pad(x, (0, self.options.rows - x.shape[2]))  # [B, C, T]
        rows, start, end, sampled = self._sequence(x)
        out = self.map_convs(sampled)  # [B, 2, *map]
        regression, overlap = out[:, 0].sigmoid(), out[:, 1].sigmoid()
        classes = out[:, 2:] if self.classify is None else self.classify(rows)
        return Maps(start[:, 0], end[:, 0], regression, overlap, classes, lengths)

    def _sequence(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """[B, C, T] → rows [B, W, T], starts [B, 1, T], ends [B, 1, T], the sampled map [B, map_width, *map]."""
        raise NotImplementedError

    def _resized(self, rows: Tensor) -> Tensor:
        """One video of any length to T rows, so that its edges stay its edges. [T', C] → [C, T]."""
        return F.interpolate(rows.T[None], self.options.rows, mode="linear")[0]

    def _check(self, features: Tensor, mask: Tensor) -> None:
        wanted = self.options.input_width
        if features.ndim != 3 or features.shape[-1] != wanted or features.shape[1] < 1:
            problem = f"features have shape {tuple(features.shape)}, but the model wants [B, T, {wanted}], T at least 1"
            raise FeatureError(problem, cure="extract the features with the encoder that the model was trained on")
        if mask.shape != features.shape[:2] or not mask.any(1).all():
            problem = f"mask has shape {tuple(mask.shape)}, but the features need {tuple(features.shape[:2])}"
            raise FeatureError(problem, cure="give one truth value for every row, and one true row in every video")
        if self.options.fit == "windows" and features.shape[1] > self.options.rows:
            problem = f"features have {features.shape[1]} rows, but a window has {self.options.rows}"
            raise FeatureError(problem, cure="cut the video into windows, as Localizer does")


class CellMeans(nn.Module):
    """Logits of every class at every row; each cell has the mean of the rows in it."""

    first: Tensor
    last: Tensor

    def __init__(self, options: MapOptions) -> None:
        super().__init__()
        self.shape = options.cells.shape
        self.rows = nn.Conv1d(options.width, options.classes, 3, padding=1)
        edges = torch.from_numpy(options.cells.segments()).long().clamp(0, options.rows)
        for name, column in (("first", 0), ("last", 1)):
            self.register_buffer(name, edges[:, column], persistent=False)  # [N]

    def forward(self, x: Tensor) -> Tensor:
        """[B, W, T] → [B, K, *map]; 0 for cells without rows."""
        sums = F.pad(self.rows(x).float().cumsum(2), (1, 0))  # [B, K, T + 1]
        count = (self.last - self.first).clamp(min=1)
        means = (sums[..., self.last] - sums[..., self.first]) / count  # [B, K, N]
        return means.view(*means.shape[:2], *self.shape)


class GTad(_MapHead):
    """G-TAD: graph convolutions over time, and SGAlign of their output and of each row's context in the graph."""

    def __init__(self, options: GTadOptions) -> None:
        super().__init__(options)
        self.neighbours, width = options.neighbours, options.width
        self.embed = nn.Conv1d(options.input_width, width, 3, padding=1, groups=options.groups)
        self.base, self.starts, self.ends, self.graph = (
            GCNeXt(width, options.graph_width, options.graph_groups, options.neighbours) for _ in range(4)
        )
        self.start_out, self.end_out = nn.Conv1d(width, 1, 1), nn.Conv1d(width, 1, 1)
        inner, around = (
            CellSampling(options.cells, "align", options.window, bins, options.samples)
            for bins in (options.bins, options.context_bins)
        )
        self.align = SampledConv(width, options.map_width, [inner, around])

    def _sequence(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        x = self.base(F.relu(self.embed(x)))  # [B, W, T]
        start, end = self.start_out(self.starts(x)).sigmoid(), self.end_out(self.ends(x)).sigmoid()  # [B, 1, T]
        y = self.graph(x)
        return x, start, end, self.align(y, context(y, self.neighbours))


class Bmn(_MapHead):
    """BMN: convolutions over time, and the boundary-matching layer."""

    def __init__(self, options: BmnOptions) -> None:
        super().__init__(options)
        width, groups = options.width, options.groups
        self.base = nn.Sequential(
            nn.Conv1d(options.input_width, width, 3, padding=1, groups=groups),
            nn.ReLU(),
            nn.Conv1d(width, width, 3, padding=1, groups=groups),
            nn.ReLU(),
        )
        self.starts, self.ends = (
            nn.Sequential(nn.Conv1d(width, width, 3, padding=1, groups=groups), nn.ReLU(), nn.Conv1d(width, 1, 1))
            for _ in range(2)
        )
        self.proposal = nn.Sequential(nn.Conv1d(width, width, 3, padding=1), nn.ReLU())
        sampling = CellSampling(options.cells, "matching", options.window, options.bins, options.samples)
        self.matching = SampledConv(width, options.map_width, [sampling])

    def _sequence(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        x = self.base(x)  # [B, W, T]
        return x, self.starts(x).sigmoid(), self.ends(x).sigmoid(), self.matching(self.proposal(x))
