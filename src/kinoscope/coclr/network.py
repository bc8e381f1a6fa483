"""The network of one stream: backbone, global average pool, projection head (specification, section 2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..encoders.backbones import PooledBackbone
from ..errors import OptionError

Head = Literal["plain", "centred"]


class ClipEncoder(PooledBackbone):
    """Clip → pooled feature; and, while there is a head, the projection that the losses compare.

    Args:
        backbone: [B, 3, T, H, W] -> [B, C, T', H', W'], with its C as ``width``.
        dim: channels of the projection; None builds no head (it is thrown away for everything but pretraining).
        head: see :func:`projection_head`.
    """

    def __init__(self, backbone: nn.Module, dim: int | None = 128, head: Head = "plain") -> None:
        super().__init__(backbone)
        self.head = projection_head(self.width, dim, head) if dim is not None else None

    def project(self, clip: Tensor) -> Tensor:
        """The projection before L2 normalisation. Shape: [B, 3, T, H, W] -> [B, D].

        Raises:
            OptionError: the encoder came without its head.
        """
        if self.head is None:
            raise OptionError(
                "this encoder has no projection head, which only pretraining needs", cure="use its pooled features"
            )
        return self.head(self(clip)[:, :, None, None, None]).flatten(1)  # [B, C, 1, 1, 1] -> [B, D]


class Embedding(nn.Module):
    """The unit vectors that the losses compare; a module of its own so that DDP sees its forward."""

    def __init__(self, encoder: ClipEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, clip: Tensor) -> Tensor:
        """Shape: [B, 3, T, H, W] -> [B, D], rows of length 1, float32."""
        return F.normalize(self.encoder.project(clip).float(), dim=1)


class FrozenEmbedding(nn.Module):
    """A frozen image or clip encoder in the place of the other stream's network: its features, as unit vectors.

    Args:
        network: normalised clips -> features. Shape: [B, 3, T, H, W] -> [B, C].
        prepare: uint8 clips -> what ``network`` takes. Shape: [B, T, H, W, 3] -> [B, 3, T, H', W'].
    """

    def __init__(self, network: nn.Module, prepare: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.network, self.prepare = network, prepare

    def forward(self, frames: Tensor) -> Tensor:
        """Shape: [B, T, H, W, 3], uint8 -> [B, C], rows of length 1, float32."""
        return F.normalize(self.network(self.prepare(frames)).float(), dim=1)


def projection_head(width: int, dim: int, head: Head = "plain") -> nn.Sequential:
    """Two 1×1×1 convolutions with a ReLU between them.

    ``plain`` is the published one: no batch norm. ``centred`` has batch norm after both, as in MoCo v3: projections
    then have mean 0 over a batch, so that they cannot all become equal.

    Shape: [B, C, 1, 1, 1] -> [B, D, 1, 1, 1].
    """
    if head == "plain":
        return nn.Sequential(nn.Conv3d(width, width, 1), nn.ReLU(inplace=True), nn.Conv3d(width, dim, 1))
    first, last = nn.Conv3d(width, width, 1, bias=False), nn.Conv3d(width, dim, 1, bias=False)
    return nn.Sequential(first, nn.BatchNorm3d(width), nn.ReLU(inplace=True), last, nn.BatchNorm3d(dim, affine=False))


@torch.no_grad()
def momentum_update(key: nn.Module, query: nn.Module, momentum: float) -> None:
    """key ← momentum · key + (1 − momentum) · query, for parameters only.

    Running statistics of batch norm are not averaged: the key encoder gathers its own.
    """
    for slow, fast in zip(key.parameters(), query.parameters(), strict=True):
        slow.lerp_(fast.to(slow.dtype), 1 - momentum)
