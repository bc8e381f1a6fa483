"""A sequence as a graph: every row is joined to the rows next to it in time and to those that look most like it.

Source: G-TAD (Xu et al., CVPR 2020) section 3.2; specification section 2.1. The names of weights are the official ones.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import OptionError


def nearest_rows(x: Tensor, k: int) -> Tensor:
    """The ``k`` rows nearest to each row by squared distance of features: itself, then the others, nearest first.

    Shape:
        [B, C, T] → [B, T, k].
    """
    if not 1 <= k <= x.shape[2]:
        raise OptionError(f"neighbours are {k}, but there are {x.shape[2]} rows", cure="lower neighbours")
    square = x.square().sum(1)  # [B, T]
    distance = square[:, :, None] + square[:, None] - 2 * x.transpose(1, 2) @ x  # [B, T, T]
    itself = torch.eye(x.shape[2], dtype=torch.bool, device=x.device)
    return distance.masked_fill(itself, -torch.inf).topk(k, largest=False).indices  # rounding must not move it


def take_rows(x: Tensor, rows: Tensor) -> Tensor:
    """[B, C, T], [B, T, k] → [B, C, T, k]."""
    index = rows.flatten(1)[:, None].expand(-1, x.shape[1], -1)  # [B, C, T · k]
    return x.gather(2, index).view(*x.shape[:2], *rows.shape[1:])


def context(x: Tensor, k: int) -> Tensor:
    """The mean of each row's ``k`` nearest rows, itself among them. [B, C, T] → the same."""
    return take_rows(x, nearest_rows(x.detach(), k)).mean(3)


class GCNeXt(nn.Module):
    """Graph convolution: ReLU(x + over time(x) + the largest over the neighbours in feature space).

    Args:
        width: C.
        hidden: channels inside both branches.
        groups: of their middle convolution.
        neighbours: k, the row itself among them; found anew from the features that come in.
    """

    def __init__(self, width: int, hidden: int = 128, groups: int = 32, neighbours: int = 3) -> None:
        super().__init__()
        self.neighbours = neighbours
        self.tconvs = nn.Sequential(
            nn.Conv1d(width, hidden, 1),
            nn.ReLU(),
            nn.Conv1d(hidden, hidden, 3, padding=1, groups=groups),
            nn.ReLU(),
            nn.Conv1d(hidden, width, 1),
        )
        self.sconvs = nn.Sequential(
            nn.Conv2d(2 * width, hidden, 1),
            nn.ReLU(),
            nn.Conv2d(hidden, hidden, 1, groups=groups),
            nn.ReLU(),
            nn.Conv2d(hidden, width, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, T] → [B, C, T]."""
        return F.relu(x + self.tconvs(x) + self._semantic(x))

    def _semantic(self, x: Tensor) -> Tensor:
        """Edge features are [neighbour; centre]: each half meets its half of the weights before they are joined."""
        first = self.sconvs[0]
        assert isinstance(first, nn.Conv2d)
        neighbour, centre = first.weight[..., 0].chunk(2, dim=1)  # [H, C, 1] each
        rows = nearest_rows(x.detach(), self.neighbours)
        edges = take_rows(F.conv1d(x, neighbour), rows) + F.conv1d(x, centre, first.bias)[..., None]  # [B, H, T, k]
        return self.sconvs[1:](edges).amax(3)  # [B, C, T]
