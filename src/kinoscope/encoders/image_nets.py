"""Networks of single frames by name: what they want, and where weights for them come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import OptionError, WeightError
from .catalog import encoder_spec
from .efficientnet_lite import VARIANTS, EfficientNetLite
from .encoder import prepare_pixels
from .mobilenet_v2 import MobileNetV2
from .resnet import DEPTHS, ResNet
from .weights import load_weights, read_torch_state

_CLASSIFIERS = ("fc.", "classifier.")
"""Of ImageNet's classes, in checkpoints: not part of these networks."""


@dataclass(frozen=True)
class ImageNet:
    """One network of single frames: pixels in, a pooled feature out."""

    name: str
    build: Callable[[], nn.Module]
    """Without weights; it has ``width``, the channels of its features."""
    published: str | None = None
    """The encoder whose weights a fresh machine can have."""

    @property
    def weight_hash(self) -> str:
        """Of the published weights; empty where there are none."""
        return encoder_spec(self.published).weights.hash if self.published else ""

    def prepare(self, pixels: Tensor) -> Tensor:
        """Pixels 0 … 255 as the network wants them. Shape: [..., H, W, 3] -> [..., 3, H, W]."""
        spec = encoder_spec(self.published) if self.published else None
        mean, std = (spec.mean, spec.std) if spec else (None, None)
        return prepare_pixels(pixels.unsqueeze(-4), mean, std).squeeze(-3)


_NETS: dict[str, ImageNet] = {
    **{
        f"efficientnet-lite{variant}": ImageNet(
            f"efficientnet-lite{variant}", partial(EfficientNetLite, variant), f"efficientnet-lite{variant}"
        )
        for variant in reversed(VARIANTS)
    },
    **{f"resnet{depth}": ImageNet(f"resnet{depth}", partial(ResNet, depth)) for depth in reversed(DEPTHS)},
    "mobilenet-v2": ImageNet("mobilenet-v2", MobileNetV2),
}


def list_image_nets() -> list[str]:
    """Names that :func:`image_net` takes."""
    return list(_NETS)


def image_net(name: str) -> ImageNet:
    """A network by its name. Raises :class:`OptionError` for another name."""
    if name not in _NETS:
        near = get_close_matches(name, _NETS, 1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise OptionError(f"unknown network {name!r}", cure=f"{hint}one of: {', '.join(_NETS)}")
    return _NETS[name]


def build_image_net(name: str, weights: Path | None = None) -> nn.Module:
    """A network with its published weights, else with fresh ones; on the CPU.

    Args:
        name: one of :func:`list_image_nets`.
        weights: a checkpoint of ImageNet in torchvision's names (``.pth`` or ``.safetensors``), read as data alone; its
            classifier is left out.

    Raises:
        OptionError: another name.
        WeightError: weights that cannot be had, read, or do not fit.
    """
    net = image_net(name)
    if weights is not None:
        return _filled(net.build(), _read(weights), str(weights))
    if net.published is None:
        return net.build()
    with torch.device("meta"):
        network = net.build()
    return _filled(network, load_weights(encoder_spec(net.published).weights), net.published)


def _read(path: Path) -> Mapping[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise WeightError("no such file", where=path, cure="check the path")
    if path.suffix != ".safetensors":
        return read_torch_state(path)
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightError(f"cannot be read as weights: {error}", where=path, cure="copy it again") from error


def _filled(network: nn.Module, state: Mapping[str, Tensor], where: str) -> nn.Module:
    own = network.state_dict()
    state = {name.removeprefix("module."): value for name, value in state.items()}
    state = {name: value for name, value in state.items() if name in own or not name.startswith(_CLASSIFIERS)}
    for name, value in own.items():  # only training looks at it, and old files do not have it
        if name.endswith("num_batches_tracked") and not value.is_meta:
            state.setdefault(name, value)
    try:
        network.load_state_dict(state, assign=True)
    except RuntimeError as error:
        problem = f"does not fit the network: {str(error).splitlines()[-1].strip()[:200]}"
        raise WeightError(problem, where=where, cure="give the checkpoint of the same network") from error
    return network
