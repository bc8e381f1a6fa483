"""Official releases of 3D CNNs with the BERT head (github artest08/LateTemporalModeling3DCNN) → our recogniser.

Source: specification sections 2 and 4, and the released code. What differs between the sources: I3D's tokens are
L2-normalised before the head, those of the others are not; batch norms of I3D and R(2+1)D add 0.001 to their variances.
The number of tokens is read off the positions: R(2+1)D has 4 for 32 frames and 8 for 64.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..bert3d.network import Recognizer, build_classifier
from ..bert3d.options import HeadOptions
from ..encoders.backbones import build_backbone
from ..encoders.reduction import Reduction
from ..errors import WeightError
from .backbone_names import Naming, inception_place
from .backbones import I3D, R2PLUS1D, RESNEXT, Diet
from .flow_input import PublishedFlow, fill_either
from .matching import rows_of, tensors_in

_POSITIONS = "bert.embedding.learnedPosition.pe"
_LAYER = "bert.transformer_blocks."
_TOKENS = {"head.class_token": "bert.clsToken", "head.positions": _POSITIONS}
_IN_LAYER = {
    "query": "attention.linear_layers.0",
    "key": "attention.linear_layers.1",
    "value": "attention.linear_layers.2",
    "output": "attention.output_linear",
    "widen": "feed_forward.w_1",
    "narrow": "feed_forward.w_2",
}
_NORMS = {"norm1": "input_sublayer.norm", "norm2": "output_sublayer.norm"}
_NORM_PARTS = {"weight": "a_2", "bias": "b_2"}


@dataclass(frozen=True)
class Release:
    """One of the published networks."""

    backbone: str
    """See :func:`kinoscope.encoders.backbones.build_backbone`."""
    reduction: Reduction
    """See :mod:`kinoscope.encoders.reduction`."""
    diet: Diet
    """What it was fed."""
    step: int
    """Frames in one token."""
    head: HeadOptions
    """Its head."""


_HEAD_OF_RAW = HeadOptions(normalize=False, initialization="bert5")
_HEAD_OF_NORMALIZED = HeadOptions(normalize=True, initialization="bert2")

RELEASES: dict[str, Release] = {
    "bert3d-r2plus1d34": Release("r2plus1d-34", "none", R2PLUS1D, 8, _HEAD_OF_RAW),
    "bert3d-resnext101-frmb": Release("resnext3d-101", "frmb", RESNEXT, 16, _HEAD_OF_RAW),
    "bert3d-resnext101-frab": Release("resnext3d-101", "frab", RESNEXT, 16, _HEAD_OF_RAW),
    "bert3d-i3d-frmb": Release("i3d", "frmb", I3D, 8, _HEAD_OF_NORMALIZED),
}


def load_bert3d(checkpoint: Mapping[str, Any], source: str) -> Recognizer | PublishedFlow[Recognizer]:
    """The network of an official checkpoint, in evaluation mode: ``m(clip)`` → logits [B, K].

    A network of motion, whose first convolution has two channels, takes clips of two channels too and is in
    ``m.network``.

    Args:
        checkpoint: a state dict, or a checkpoint around one.
        source: a key of ``RELEASES``.

    Raises:
        WeightError: tensors are missing, unknown or of another shape; they are named.
    """
    release, found = RELEASES[source], tensors_in(checkpoint)
    cure = f"give an official checkpoint of {source}, or say what else it is"
    classes, tokens = rows_of(found, "fc_action.weight", cure), _tokens(found, cure)
    with torch.device("meta"):  # sizes are compared before any memory is taken
        backbone = build_backbone(release.backbone, reduction=release.reduction)
        width = int(backbone.width)  # type: ignore[arg-type]  # every backbone has it
        network = Recognizer(backbone, build_classifier(release.head, width, tokens, classes))
    first = _BACKBONES[release.backbone](next(iter(backbone.state_dict())))
    as_they_are = {"classifier.center": torch.zeros(width), "classifier.scale": torch.ones(width)}
    return fill_either(network, found, first, cure, their_name(release.backbone), as_they_are)


def their_name(backbone: str) -> Naming:
    """Our name of a tensor of the recogniser with ``backbone`` → its name in the official files."""

    def name_of(name: str) -> str:
        part, rest = name.split(".", 1)
        return _BACKBONES[backbone](rest) if part == "backbone" else _classifier_name(rest)

    return name_of


def _tokens(found: Mapping[str, Tensor], cure: str) -> int:
    positions = found.get(_POSITIONS)
    if positions is None or positions.ndim != 3 or positions.shape[1] < 2:
        state = "is missing" if positions is None else f"is {list(positions.shape)}, not [1, tokens + 1, channels]"
        raise WeightError(f"{_POSITIONS} {state}, so this is another network", cure=cure)
    return positions.shape[1] - 1


def _classifier_name(name: str) -> str:
    """``head.blocks.0.norm1.bias`` → ``bert.transformer_blocks.0.input_sublayer.norm.b_2``."""
    if name in _TOKENS:
        return _TOKENS[name]
    if name.startswith("last."):
        return name.replace("last", "fc_action")
    _, _, layer, module, part = name.split(".")
    if module in _NORMS:
        return f"{_LAYER}{layer}.{_NORMS[module]}.{_NORM_PARTS[part]}"
    return f"{_LAYER}{layer}.{_IN_LAYER[module]}.{part}"


def _r2plus1d_name(name: str) -> str:
    stage, rest = name.split(".", 1)
    return f"features.{0 if stage == 'stem' else stage[-1]}.{rest}"


def _resnext_name(name: str) -> str:
    stage, rest = name.split(".", 1)
    if stage == "layer4" and rest.startswith("3."):  # the block that FRAB adds
        return f"mapper.{rest.removeprefix('3.')}"
    place = {"conv1": 0, "bn1": 1}.get(stage)  # 2 and 3 are a ReLU and the pool
    return f"features.{place if place is not None else int(stage[-1]) + 3}.{rest}"


def _i3d_name(name: str) -> str:
    layer, rest = name.split(".", 1)
    return f"features.{inception_place(layer)}.{rest}"


_BACKBONES: dict[str, Naming] = {"r2plus1d-34": _r2plus1d_name, "resnext3d-101": _resnext_name, "i3d": _i3d_name}
