"""The clip networks that can be trained, by name: clip in, map of features out."""

from __future__ import annotations

import math
from collections.abc import Callable
from difflib import get_close_matches
from functools import partial

from torch import Tensor, nn

from ..errors import OptionError
from .i3d import I3DBackbone
from .normalization import Normalization, set_epsilon
from .r2plus1d import R2Plus1d
from .reduction import Reduction, require_reduction
from .resnet2d3d import ResNet2d3d
from .resnext3d import ResNeXt3d
from .s3d import S3D, Channels
from .slowfast import SlowFast

_WIDEST = 8.0


def _s3d(width: float, normalization: Normalization, reduction: Reduction, *, gating: bool = False) -> S3D:
    return S3D(Channels.of_width(width, reduction), gating=gating, normalization=normalization)


_BACKBONES: dict[str, Callable[[float, Normalization, Reduction], nn.Module]] = {
    "s3d": _s3d,
    "s3d-g": partial(_s3d, gating=True),
    "i3d": I3DBackbone,
    "resnet2d3d-50": ResNet2d3d,
    "resnext3d-101": ResNeXt3d,
    "r2plus1d-18": R2Plus1d,
    "r2plus1d-34": partial(R2Plus1d, deep=True),
    "slowfast-50": SlowFast,
    "slowfast-50-late": partial(SlowFast, late=True),
}


def list_backbones() -> list[str]:
    """Names that :func:`build_backbone` takes."""
    return list(_BACKBONES)


def build_backbone(
    name: str,
    *,
    width: float = 1.0,
    normalization: Normalization = "batch",
    reduction: Reduction = "none",
    epsilon: float | None = None,
) -> nn.Module:
    """A backbone with fresh weights: normalised clips [B, 3, T, H, W] -> [B, C, T', H', W'], its C as ``.width``.

    Args:
        name: one of :func:`list_backbones`.
        width: multiplies the channels of every layer, rounded to multiples of 8; below 1 for small machines.
        normalization: ``"batch"``, ``"sync"`` (over all processes; the same on one) or ``"group"``.
        reduction: ``"frmb"`` puts a narrower block in the place of the last one, ``"frab"`` adds it after the last one
            (:mod:`.reduction`).
        epsilon: what batch norms add to variances; None is the backbone's own.

    Raises:
        OptionError: an unknown name, or an option that makes no sense.
    """
    if name not in _BACKBONES:
        near = get_close_matches(name, _BACKBONES, 1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise OptionError(f"unknown backbone {name!r}", cure=f"{hint}one of: {', '.join(_BACKBONES)}")
    if not (math.isfinite(width) and 0 < width <= _WIDEST):
        raise OptionError(f"width is {width}, but must be above 0 and at most {_WIDEST:g}")
    require_reduction(reduction)
    network = _BACKBONES[name](width, normalization, reduction)
    if epsilon is not None:
        set_epsilon(network, epsilon)
    return network


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
