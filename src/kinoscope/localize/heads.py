"""The heads by name, and what the localiser and its training ask of each.

Every network takes features [B, T, C] and a mask [B, T], and holds its ``options``. Those that answer at points of
a pyramid share :class:`PointHead` and :class:`PointLoss`, those that score maps :class:`MapHead` and :class:`MapLoss`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .map_head import MapHead
from .map_loss import MapLoss
from .map_network import Bmn, GTad
from .map_options import BmnOptions, GTadOptions, MapOptions
from .network import ActionFormer
from .options import ActionFormerOptions, TriDetOptions
from .point_head import PointHead, PointLoss
from .train_options import LocalizeTrainOptions
from .tridet import TriDet, TriDetLoss

Network = ActionFormer | GTad | Bmn
HeadOptions = ActionFormerOptions | MapOptions

HEADS: dict[str, tuple[type[HeadOptions], Callable[[Any], Network]]] = {
    "actionformer": (ActionFormerOptions, ActionFormer),
    "gtad": (GTadOptions, GTad),
    "bmn": (BmnOptions, Bmn),
    "tridet": (TriDetOptions, TriDet),
}
"""Name → options and network."""


def list_heads() -> list[str]:
    """Names of all heads."""
    return list(HEADS)


def name_of(options: HeadOptions) -> str:
    """The name of the head that has these options."""
    return next(name for name, (kind, _) in HEADS.items() if type(options) is kind)


def build_network(options: HeadOptions) -> Network:
    """The untrained network of these options."""
    return HEADS[name_of(options)][1](options)


def head_of(network: Network) -> PointHead | MapHead:
    """What turns videos into candidates with ``network``."""
    return PointHead(network) if isinstance(network, ActionFormer) else MapHead(network)


def loss_of(network: Network, options: LocalizeTrainOptions) -> PointLoss | MapLoss:
    """What ``network`` is trained by."""
    head = network.options
    if isinstance(head, MapOptions):
        return MapLoss(head)
    return TriDetLoss(head, options) if isinstance(head, TriDetOptions) else PointLoss(head, options)
