"""Published motion has two channels, u and v; a stream of ours has three: a constant, v, u.

See :func:`kinoscope.video.flow.encode_flow`. The first convolution of a converted network takes ours, with zeros where
the constant comes in, so that it works on any clip that Kinoscope makes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Generic, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .matching import fill

Network = TypeVar("Network", bound=nn.Module)


def for_our_channels(weight: Tensor) -> Tensor:
    """A first convolution of published motion, for ours. Shape: [O, 2, T, H, W] -> [O, 3, T, H, W]."""
    u, v = weight[:, :1], weight[:, 1:]
    return torch.cat((torch.zeros_like(u), v, u), dim=1)


class PublishedFlow(nn.Module, Generic[Network]):
    """A converted network of motion that takes clips as its authors did.

    Args:
        network: takes clips of three channels.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network: Network = network

    def forward(self, clip: Tensor) -> Tensor:
        """Shape: [B, 2, T, H, W], u before v, or three channels as ours -> what the network gives."""
        if clip.shape[1] == 2:
            clip = F.pad(clip.flip(1), (0, 0, 0, 0, 0, 0, 1, 0))  # [B, 2, T, H, W] -> [B, 3, T, H, W]
        return self.network(clip)


def fill_either(
    network: Network,
    found: Mapping[str, Tensor],
    first: str,
    cure: str,
    their_name: Callable[[str], str],
    given: Mapping[str, Tensor] = MappingProxyType({}),
) -> Network | PublishedFlow[Network]:
    """As :func:`.matching.fill`; if the file is of a network of motion, with the clips of its authors.

    Args:
        first: the name in the file of the first convolution.

    Raises:
        WeightError: the tensors do not fit.
    """
    if first not in found or found[first].ndim != 5 or found[first].shape[1] != 2:
        fill(network, found, cure, their_name, given)
        return network
    fill(network, {**found, first: for_our_channels(found[first])}, cure, their_name, given)
    return PublishedFlow(network)
