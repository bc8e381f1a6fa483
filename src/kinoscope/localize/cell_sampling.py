"""Fixed sampling of a sequence for every cell of a map: SGAlign (G-TAD) and the boundary-matching layer (BMN) as one.

Both read, for every cell and each of R bins, a fixed weighted sum of rows: out[n, r] = Σ_t A[n, r, t] · x[t], where A
follows from the geometry alone. What comes next in both networks contracts channels and bins. The two commute:

    Σ_c,r W[o, c, r] Σ_t A[n, r, t] x[c, t] = Σ_t,r A[n, r, t] y[t, r, o]   with   y[t, r, o] = Σ_c W[o, c, r] x[c, t]

so the channels are contracted first, and A, a sparse matrix that is built once, is applied to the small result. The
N × C × R samples, half a gigabyte for one window of THUMOS14, never exist. The gradient is A transposed.

Source: specification sections 2.2 and 3.2.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from .cells import CellMap, Window
from .intervals import Floats, Indices

_KEPT = 16
"""Matrices in the cache: a few per network and device."""


class Entries(NamedTuple):
    """The non-zero weights of A; those at the same place add up. All [M]."""

    cell: Indices
    bin: Indices
    row: Indices
    weight: Floats


@dataclass(frozen=True)
class CellSampling:
    """What is read for every cell of a map."""

    cells: CellMap
    rule: Literal["align", "matching"]
    """SGAlign, or boundary matching."""
    window: Window
    """Which convention of the window around a cell."""
    bins: int
    """R."""
    samples: int
    """Samples in each bin; 0, for ``align`` only: as many as the bin is rows long."""

    def entries(self) -> Entries:
        """The weights, cell by cell. SGAlign reads [0, 0] for cells that are no segments, boundary matching nothing."""
        windows, valid = self.cells.windows(self.window), self.cells.valid()
        if self.rule == "align":
            windows[~valid] = 0.0
            return align_entries(windows, self.bins, self.cells.rows, self.samples)
        found = matching_entries(windows[valid], self.bins, self.samples, self.cells.rows)
        return found._replace(cell=np.flatnonzero(valid)[found.cell])


def align_entries(windows: Floats, bins: int, rows: int, samples: int = 0) -> Entries:
    """SGAlign: every bin is the mean of G samples of the interpolated sequence, spread evenly over it.

    The sequence goes on for one row to either side as its first and last row, then as 0; samples there count in G.

    Args:
        windows: [N, 2].
        bins: R, of equal length.
        rows: T.
        samples: G; 0: the bin's length, rounded up.
    """
    length = np.maximum(windows[:, 1] - windows[:, 0], 1.0) / bins  # of a bin, [N]
    counts = np.full(len(windows), samples) if samples else np.ceil(length).astype(np.int64)
    parts = []
    for count in np.unique(counts):
        own = np.flatnonzero(counts == count)
        steps = np.arange(bins)[:, None] + (np.arange(count) + 0.5) / count  # [R, G], in bins
        places = windows[own, :1, None] + steps * length[own, None, None]  # [N', R, G]
        inside = (places >= -1) & (places <= rows)
        clipped = np.clip(places, 0, rows - 1)
        low = np.floor(clipped)
        parts += _split(own, low, np.minimum(low + 1, rows - 1), clipped - low, inside / count, rows)
    return Entries(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def matching_entries(windows: Floats, bins: int, samples: int, rows: int) -> Entries:
    """Boundary matching: R · S samples from end to end of the window, each bin the mean of S neighbouring ones.

    A sample between two rows is split toward zero (``trunc``) and up (``ceil``), and what falls outside the rows is
    lost: that is lopsided at the edges, and kept because weights are trained with it.

    Args:
        windows: [N, 2].
        bins: R.
        samples: S.
        rows: T.
    """
    steps = np.arange(bins * samples) / (bins * samples - 1)  # [R · S]
    places = windows[:, :1] + steps * (windows[:, 1:] - windows[:, :1])
    places = places.reshape(len(windows), bins, samples)
    low, share = np.trunc(places), np.full(places.shape, 1.0 / samples)
    parts = _split(np.arange(len(windows)), low, np.ceil(places), places - low, share, rows)
    return Entries(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _split(cells: Indices, low: Floats, high: Floats, part: Floats, weight: Floats, rows: int) -> list[Entries]:
    """Samples [N, R, G] between the rows ``low`` and ``high`` → entries, those without weight left out."""
    cell = np.broadcast_to(cells[:, None, None], low.shape)
    number = np.broadcast_to(np.arange(low.shape[1])[:, None], low.shape)
    found = []
    for row, value in ((low, (1 - part) * weight), (high, part * weight)):
        kept = (row >= 0) & (row < rows) & (value != 0)
        found.append(Entries(cell[kept], number[kept], row[kept].astype(np.int64), value[kept]))
    return found


@lru_cache(_KEPT)
def matrices(sampling: CellSampling, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """A as a sparse matrix [N, T · R], rows outer and bins inner, and its transpose."""
    entries, cells = sampling.entries(), sampling.cells
    columns = entries.row * sampling.bins + entries.bin
    shape = math.prod(cells.shape), cells.rows * sampling.bins
    with torch.inference_mode(False), torch.device("cpu"):  # kept beyond the mode of whoever asks first
        places, weights = torch.from_numpy(np.stack([entries.cell, columns])), torch.from_numpy(entries.weight)
        matrix = torch.sparse_coo_tensor(places, weights, shape, check_invariants=False).coalesce()
        return _rows_together(matrix, device, dtype), _rows_together(matrix.t().coalesce(), device, dtype)


def _rows_together(matrix: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        return matrix.to(dtype).to_sparse_csr().to(device)


class _Product(torch.autograd.Function):
    """A @ y for a constant A, whose transpose is at hand."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, matrix: Tensor, transposed: Tensor) -> Tensor:
        """[M, O] → [N, O]."""
        ctx.pair = transposed, matrix
        return matrix @ y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        """[N, O] → [M, O]."""
        return _product(gradients[0].contiguous(), *ctx.pair), None, None


def _product(y: Tensor, matrix: Tensor, transposed: Tensor) -> Tensor:
    return _Product.apply(y, matrix, transposed)  # type: ignore[no-untyped-call]


class SampledConv(nn.Module):
    """Samples every cell and contracts channels and bins; the samples themselves are never stored.

    Args:
        inputs: C, channels of each source.
        outputs: O.
        samplings: of each source; the same map for all.

    Shape:
        one [B, C, T] for each sampling → [B, O, *cells.shape]. Weight [O, C, R], the bins of all sources in turn.
    """

    def __init__(self, inputs: int, outputs: int, samplings: Sequence[CellSampling]) -> None:
        super().__init__()
        self.samplings = tuple(samplings)
        bins = sum(sampling.bins for sampling in samplings)
        bound = 1 / math.sqrt(inputs * bins)  # as PyTorch's convolutions
        self.weight = nn.Parameter(torch.empty(outputs, inputs, bins).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(outputs).uniform_(-bound, bound))

    def forward(self, *sources: Tensor) -> Tensor:
        """[B, C, T] each → [B, O, *cells.shape]."""
        x = torch.stack(sources).transpose(2, 3)  # [Q, B, T, C]; Q sources
        weights = torch.split(self.weight.permute(1, 2, 0), [sampling.bins for sampling in self.samplings], dim=1)
        videos = [self._sample(x[:, video], weights) for video in range(x.shape[1])]  # [N, O] each
        out = torch.stack(videos).view(len(videos), *self.samplings[0].cells.shape, -1)  # [B, *shape, O]
        return out.permute(0, 3, 1, 2) + self.bias[:, None, None]

    def _sample(self, x: Tensor, weights: Sequence[Tensor]) -> Tensor:
        """One video: [Q, T, C], per source [C, R, O] → [N, O]. Sources that are sampled alike are added before."""
        contracted: dict[CellSampling, Tensor] = {}
        for sampling, rows, weight in zip(self.samplings, x, weights, strict=True):
            y = (rows @ weight.flatten(1)).view(-1, weight.shape[2])  # [T, R · O] -> [T · R, O]
            contracted[sampling] = contracted[sampling] + y if sampling in contracted else y
        parts = [_product(y, *matrices(key, y.device, y.dtype)) for key, y in contracted.items()]
        return torch.stack(parts).sum(0) if len(parts) > 1 else parts[0]
