"""Encoders that keep their time and places: what a head over tokens looks at, where a feature would be their mean."""

from __future__ import annotations

from torch import Tensor, nn

from ..errors import OptionError
from .backbones import PooledBackbone
from .encoder import Encoder, load_encoder
from .i3d import I3D
from .sampling import Runtime


class TokenNetwork(nn.Module):
    """Normalised clips → tokens with places. Shape: [B, 3, T, H, W] -> [B, N, H', W', C].

    Args:
        network: of an encoder that looks at clips.

    Raises:
        OptionError: an encoder of single frames.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone_of(network)

    def forward(self, clip: Tensor) -> Tensor:
        """Shape: [B, 3, T, H, W] -> [B, N, H', W', C]."""
        return self.backbone(clip).permute(0, 2, 3, 4, 1)


def backbone_of(network: nn.Module) -> nn.Module:
    """The part of an encoder's network that gives maps over time and place.

    Raises:
        OptionError: it has none: it looks at single frames.
    """
    if isinstance(network, PooledBackbone):
        return network.backbone
    if isinstance(network, I3D):
        return network.features
    raise OptionError("this encoder looks at single frames, not at clips", cure="use i3d-k400, or a trained encoder")


def load_token_encoder(name: str, *, device: str = "auto", runtime: Runtime = "auto") -> Encoder:
    """As :func:`kinoscope.load_encoder`, but calling it gives tokens with places. Shape: -> [B, N, H', W', C].

    Raises:
        OptionError, WeightError: see there; or an encoder of single frames.
    """
    from .openvino import OpenVinoNetwork

    encoder = load_encoder(name, device=device, runtime=runtime)
    if isinstance(encoder.network, OpenVinoNetwork):
        tokens = TokenNetwork(encoder.network.network)
        return Encoder(encoder.spec, OpenVinoNetwork(tokens, f"{encoder.network.name}-tokens")).eval()
    return Encoder(encoder.spec, TokenNetwork(encoder.network)).eval()
