"""Official CoCLR releases (github TengdaHan/CoCLR), InfoNCE ones too → our network.

Source: sheet section 2. The query encoder is ``encoder_q``: 0 is the backbone, 2 and 4 the convolutions of the head.
The official file holds every layer twice, under its name (``Conv_1a``) and under its block (``block1.0``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from ..coclr.network import ClipEncoder
from ..encoders.s3d import S3D, Channels, channels_of
from ..errors import WeightError
from .matching import fill, tensors_in

_CURE = "give an official checkpoint of CoCLR or InfoNCE, or its state dict"
_QUERY = "encoder_q."
_FIRST = "Conv_1a.conv1.weight"
_IN_BLOCK = {  # block, then place in it → layer; the places between are pools
    "block1": {0: "Conv_1a"},
    "block2": {1: "Conv_2b", 2: "Conv_2c"},
    "block3": {1: "Mixed_3b", 2: "Mixed_3c"},
    "block4": {1: "Mixed_4b", 2: "Mixed_4c", 3: "Mixed_4d", 4: "Mixed_4e", 5: "Mixed_4f"},
    "block5": {1: "Mixed_5b", 2: "Mixed_5c"},
}
_HEAD = {"2": "head.0", "4": "head.2"}


def load_coclr_s3d(checkpoint: Mapping[str, Any]) -> ClipEncoder:
    """The query encoder of an official checkpoint (or state dict), in evaluation mode.

    ``m(clip)`` computes pooled features [B, 3, T, H, W] -> [B, 1024]; ``m.project(clip)`` the projection before L2
    normalisation [B, 128], unless the file holds the backbone alone. Both variants, with gating and without, and any
    number of channels are recognised by the tensors.

    Raises:
        WeightError: tensors are missing, left over, of another shape, or told twice with different values; they are
            named.
    """
    state = _query(checkpoint)
    try:
        channels = channels_of({name.removeprefix("backbone."): tensor for name, tensor in state.items()})
    except (KeyError, TypeError) as error:
        raise WeightError(f"not an S3D of CoCLR: {error} is missing or has no rows", cure=_CURE) from error
    if 0 in (*channels.stem, *chain.from_iterable(channels.mixed)):
        raise WeightError("not an S3D of CoCLR: a layer has no channels", cure=_CURE)
    gating = any(".gating_b" in name for name in state)
    with torch.device("meta"):  # sizes are compared before any memory is taken
        network = ClipEncoder(S3D(channels, gating=gating), _projected(state))
    fill(network, state, _CURE)
    return network


def width_of(network: ClipEncoder) -> float:
    """The multiplier that gives an S3D the channels of ``network``.

    Raises:
        WeightError: none does.
    """
    channels = channels_of(network.backbone.state_dict())
    for width in (1.0, *(k / 64 for k in range(1, 513))):
        if Channels.of_width(width) == channels:
            return width
    raise WeightError("its channels are no multiple of those of S3D", cure="use it from Python: load_official")


def _projected(state: Mapping[str, Tensor]) -> int | None:
    """Channels of the projection; None without a head."""
    if not any(name.startswith("head.") for name in state):
        return None
    last = state.get("head.2.weight")
    return len(last) if last is not None and last.ndim else 128


def _query(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of the query encoder in our names, each once."""
    nested = [value for value in checkpoint.values() if isinstance(value, Mapping)]
    for candidate in (checkpoint, *nested):
        tensors = tensors_in(candidate, nested=())
        if any(name.startswith(_QUERY) for name in tensors):
            tensors = {name.removeprefix(_QUERY): t for name, t in tensors.items() if name.startswith(_QUERY)}
        renamed = {name: _our_name(name) for name in tensors}
        if f"backbone.{_FIRST}" in renamed.values():
            return _each_once(tensors, renamed)
    problem = f"no tensor {_FIRST} under encoder_q.0, so this is no S3D of CoCLR"
    raise WeightError(problem, cure=_CURE)


def _our_name(name: str) -> str:
    """``0.block2.2.conv1.weight`` → ``backbone.Conv_2c.conv1.weight``; ``2.bias`` → ``head.0.bias``."""
    if (head := re.fullmatch(r"([24])\.(weight|bias)", name)) is not None:
        return f"{_HEAD[head[1]]}.{head[2]}"
    name = re.sub(r"^(0|backbone)\.", "", name)
    if (found := re.match(r"(block\d)\.(\d)\.", name)) is not None:
        layer = _IN_BLOCK.get(found[1], {}).get(int(found[2]))
        name = f"{layer}.{name[found.end() :]}" if layer is not None else name
    return f"backbone.{name}"


def _each_once(tensors: Mapping[str, Tensor], renamed: Mapping[str, str]) -> dict[str, Tensor]:
    """Drop what the file holds twice, after a look whether it is the same."""
    state: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        ours = renamed[name]
        if ours in state and not torch.equal(state[ours], tensor):
            twin = next(other for other in tensors if renamed[other] == ours)
            problem = f"{twin} and {name} are one layer, but hold different values"
            raise WeightError(problem, cure="the file was changed after training: get it again")
        state.setdefault(ours, tensor)
    return state
