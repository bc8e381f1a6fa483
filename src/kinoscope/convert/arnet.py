"""Official AR-Net releases of the ResNet family → our network: ResNet-50/34/18, MobileNetV2 and an LSTM as the policy.

Source: AR-Net sheet, sections 2 and 10.3. K and the width of the memory are read off the shapes. Not supported:
releases of the EfficientNet family, whose networks are others, and of the baselines, which lack some of the parts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..arnet.model import build_network
from ..arnet.network import ArNet
from ..arnet.options import ArNetOptions, StateRule
from ..encoders.image_nets import image_net
from ..errors import WeightError
from .matching import fill, rows_of, tensors_in

_CURE = "give an AR-Net checkpoint of the ResNet family (ResNet-50, -34, -18 and MobileNetV2), or its state dict"
_POLICY = {"net": "lite_backbone", "rnn": "rnn", "actions": "linear", "last": "lite_fc"}
_BACKBONE = {"net": "base_model_list", "last": "new_fc_list"}
_EFFICIENTNET = "._conv_stem.weight"
_MOST_HIDDEN = 1 << 14


def load_arnet(checkpoint: Mapping[str, Any]) -> ArNet:
    """The network of an official checkpoint (or state dict), in evaluation mode.

    ``m.policy(frames)`` computes [B, T, 3, 84, 84] -> policy logits [B, T, 7] and class logits [B, T, K], recurrent
    over every frame, nothing skipped; ``m.backbones[i](frames)`` computes [N, 3, S, S] -> class logits [N, K], for
    i = 0, 1, 2 and S = 224, 168, 112. Its rule for skipped frames is ``official``, that of its training.

    Raises:
        WeightError: tensors are missing, unknown or of another shape; they are named.
    """
    found = tensors_in(checkpoint)
    if any(name.startswith("base_model_list.") and name.endswith(_EFFICIENTNET) for name in found):
        raise WeightError("holds EfficientNets, and AR-Nets of that family are not supported", cure=_CURE)
    classes = rows_of(found, "lite_fc.weight", _CURE)
    options = official_options(_hidden(found), "official")
    with torch.device("meta"):  # sizes are compared before any memory is taken
        network = build_network(options, classes, [image_net(name).build() for name, _ in options.views])
    given: dict[str, Tensor] = {}
    for name, tensor in network.state_dict().items():  # what features are normalised by, which is ours alone
        if name.endswith((".center", ".scale")):
            given[name] = torch.full(tensor.shape, float(name.endswith("scale")))
    fill(network, found, _CURE, their_name, given)
    return network


def official_options(hidden: int, state: StateRule) -> ArNetOptions:
    """What the released networks see: sizes, skips, candidates and the nearest-neighbour kernel as published."""
    return ArNetOptions(family="resnet", hidden=hidden, kernel="nearest", state=state)


def their_name(name: str) -> str:
    """``backbones.0.net.conv1.weight`` → ``base_model_list.0.conv1.weight``."""
    part, rest = name.split(".", 1)
    if part == "policy":
        inner, rest = rest.split(".", 1)
        return f"{_POLICY[inner]}.{rest}"
    number, inner, rest = rest.split(".", 2)
    return f"{_BACKBONE[inner]}.{number}.{rest}"


def _hidden(found: Mapping[str, Tensor]) -> int:
    """D, width of the LSTM's state."""
    weight = found.get("rnn.weight_hh")
    if weight is None or weight.ndim != 2 or not 1 <= weight.shape[1] <= _MOST_HIDDEN:
        state = "is missing" if weight is None else f"is {list(weight.shape)}, not [4 D, D]"
        raise WeightError(f"rnn.weight_hh {state}, so this is another network", cure=_CURE)
    return weight.shape[1]
