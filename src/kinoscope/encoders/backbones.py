"""The clip networks that can be pretrained, by name: clip in, map of features out."""

from __future__ import annotations

import math
from collections.abc import Callable
from difflib import get_close_matches

from torch import Tensor, nn

from ..errors import OptionError
from .normalization import Normalization
from .r2plus1d import R2Plus1d
from .resnet2d3d import ResNet2d3d
from .s3d import S3D, Channels

_WIDEST = 8.0

_BACKBONES: dict[str, Callable[[float, Normalization], nn.Module]] = {
    "s3d": lambda width, normalization: S3D(Channels.of_width(width), normalization=normalization),
    "s3d-g": lambda width, normalization: S3D(Channels.of_width(width), gating=True, normalization=normalization),
    "resnet2d3d-50": ResNet2d3d,
    "r2plus1d-18": R2Plus1d,
}


def list_backbones() -> list[str]:
    """Names that :func:`build_backbone` takes."""
    return list(_BACKBONES)


def build_backbone(name: str, *, width: float = 1.0, normalization: Normalization = "batch") -> nn.Module:
    """A backbone with fresh weights: normalised clips [B, 3, T, H, W] -> [B, C, T', H', W'], its C as ``.width``.

    Args:
        name: one of :func:`list_backbones`.
        width: multiplies the channels of every layer, rounded to multiples of 8; below 1 for small machines.
        normalization: ``"batch"``, ``"sync"`` (over all processes; the same on one) or ``"group"``.

    Raises:
        OptionError: an unknown name, or a width that makes no sense.
    """
    if name not in _BACKBONES:
        near = get_close_matches(name, _BACKBONES, 1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise OptionError(f"unknown backbone {name!r}", cure=f"{hint}one of: {', '.join(_BACKBONES)}")
    if not (math.isfinite(width) and 0 < width <= _WIDEST):
        raise OptionError(f"width is {width}, but must be above 0 and at most {_WIDEST:g}")
    return _BACKBONES[name](width, normalization)


class PooledBackbone(nn.Module):
    """A backbone and the mean of its map: the feature that everything after pretraining uses.

    Args:
        backbone: [B, 3, T, H, W] -> [B, C, T', H', W'], with its C as ``width``.
    """

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.width: int = backbone.width  # type: ignore[assignment]  # every backbone has it

    def forward(self, clip: Tensor) -> Tensor:
        """Shape: [B, 3, T, H, W] -> [B, C]."""
        return self.backbone(clip).mean(dim=(2, 3, 4))
