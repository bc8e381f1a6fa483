"""An encoder in two parts: a trunk, whose maps are computed once, and top blocks that can be trained with a head.

The trunk is itself an encoder, whose feature is the map that the top takes, flattened; so extraction, with all that it
knows of damage and of going on after an interruption, serves it too.

Not supported: SlowFast, whose two paths are no sequence of blocks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..errors import OptionError
from .backbones import PooledBackbone
from .catalog import EncoderSpec, list_encoders
from .efficientnet_lite import EfficientNetLite, MeanOverPlaces
from .encoder import Encoder, load_encoder, placed
from .i3d import I3D, I3DBackbone, PairMean
from .r2plus1d import R2Plus1d
from .resnet2d3d import ResNet2d3d
from .resnext3d import ResNeXt3d
from .s3d import S3D
from .sampling import Runtime, Sampling
from .trained import folder_weights, save_encoder, trained_spec
from .tuned import TunedSpec, save_tuned, tuned_spec
from .weights import FolderWeights

_MAPS_AT_ONCE = 64
"""Maps whose activations are kept at a time while gradients are computed."""


class Flattened(nn.Module):
    """A network whose map becomes one row of numbers. Shape: -> [N, c·h·w]."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Shape: [N, 3, …] -> [N, M]."""
        return self.network(x).flatten(1)


class TopBlocks(nn.Module):
    """The last blocks of an encoder, and its pooling: maps → what its network gives.

    Batch norms keep their statistics, which a few videos would spoil. More than a few dozen maps go through in parts,
    whose activations are computed again for the gradient: memory does not grow with the length of a video.

    Args:
        blocks: the last ones.
        pool: the map of the last block → a feature.
        shape: of a map, without its batch.
    """

    def __init__(self, blocks: nn.Module, pool: nn.Module, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.blocks, self.pool, self.shape = blocks.requires_grad_(True), pool, shape
        self.eval()

    def train(self, mode: bool = True) -> TopBlocks:  # noqa: ARG002 - as nn.Module's
        """Stays in evaluation mode, see above."""
        super().train(False)
        return self

    def forward(self, maps: Tensor) -> Tensor:
        """Shape: [N, c·h·w] -> [N, C]."""
        parts = torch.split(maps.view(len(maps), *self.shape), _MAPS_AT_ONCE)
        if len(parts) == 1 or not torch.is_grad_enabled():
            return torch.cat([self._part(part) for part in parts])
        return torch.cat([checkpoint(self._part, part, use_reentrant=False) for part in parts])

    def _part(self, maps: Tensor) -> Tensor:
        return self.pool(self.blocks(maps))


@dataclass(frozen=True)
class SplitEncoder:
    """Both parts of an encoder."""

    whole: Encoder
    """On the CPU; it shares its last blocks with ``top``."""
    trunk: Encoder
    """Its feature is a map, flattened: of each frame, if the encoder looks at single frames, else of each clip."""
    top: TopBlocks
    blocks: int
    """How many of its blocks are in ``top``."""

    def save(self, folder: str | Path) -> FolderWeights:
        """Write the whole encoder, as it is now, so that ``kinoscope.load_encoder(folder)`` reads it.

        Raises:
            OutputError: the folder cannot be written.
        """
        network, name, size = self.whole.network, self.whole.spec.name, self.whole.spec.size
        if isinstance(network, PooledBackbone):
            spec = replace(trained_spec(name), size=size, origin=f"{self.blocks} blocks trained end to end")
            decoded = self.whole.spec.decode_size or spec.decode_size
            save_encoder(folder, network.backbone, replace(spec, decode_size=decoded))
        else:
            tuned = tuned_spec(name) if name not in list_encoders() else None
            save_tuned(folder, network, TunedSpec(tuned.encoder if tuned else name, size, self.blocks))
        return folder_weights(folder)


def split_encoder(
    name: str, blocks: int, sampling: Sampling = Sampling(), *, device: str = "auto", runtime: Runtime = "auto"
) -> SplitEncoder:
    """The encoder ``name`` with its last ``blocks`` apart; options as in :func:`kinoscope.load_encoder`.

    Args:
        sampling: what it looks at; the trunk's maps are of this size, and only of it.

    Raises:
        OptionError: it has not as many blocks, or no sequence of them.
        WeightError: see there.
    """
    whole = load_encoder(name, device="cpu", runtime="torch")
    whole.spec = sampling.resolve(whole.spec)
    steps, pool = _steps(whole)
    places = [place for place, step in enumerate(steps) if any(True for _ in step.parameters())]
    if type(blocks) is not int or not 1 <= blocks < len(places):
        problem = f"{blocks} blocks of {whole.spec.name} are to be trained"
        raise OptionError(problem, cure=f"choose from 1 to {len(places) - 1}; 1 or 2 are usual")
    cut = places[-blocks]
    below = Flattened(nn.Sequential(*steps[:cut])).eval()
    shape = _map_shape(below.network, whole.spec)
    spec = _trunk_spec(whole.spec, blocks, shape)
    top = TopBlocks(nn.Sequential(*steps[cut:]), pool, shape)
    network = placed(below, f"{whole.spec.weights.name}-cut-{blocks}", spec, device=device, runtime=runtime)
    return SplitEncoder(whole, Encoder(spec, network).eval(), top, blocks)


def _trunk_spec(spec: EncoderSpec, blocks: int, shape: tuple[int, ...]) -> EncoderSpec:
    width = int(torch.Size(shape).numel())
    trunk = replace(spec, name=f"{spec.tag} cut before block -{blocks}", own_size=spec.size, width=width, labels=None)
    return replace(trunk, clip_length=1, stride=1) if spec.per_frame else trunk


@torch.no_grad()
def _map_shape(below: nn.Module, spec: EncoderSpec) -> tuple[int, ...]:
    time = () if spec.per_frame else (spec.clip_length,)
    return tuple(below(torch.zeros(1, 3, *time, spec.size, spec.size)).shape[1:])


def _steps(encoder: Encoder) -> tuple[list[nn.Module], nn.Module]:
    """What the network does one after the other, and how it pools in the end."""
    network = encoder.network
    if isinstance(network, EfficientNetLite):
        return network.steps(), MeanOverPlaces((2, 3))
    if isinstance(network, I3D):
        return list(network.features), PairMean()
    backbone = network.backbone if isinstance(network, PooledBackbone) else None
    mean = MeanOverPlaces((2, 3, 4))
    if isinstance(backbone, (S3D, I3DBackbone)):
        return list(backbone), mean
    if isinstance(backbone, R2Plus1d):
        return [backbone.stem, *_blocks(backbone)], mean
    if isinstance(backbone, (ResNeXt3d, ResNet2d3d)):
        stem = nn.Sequential(backbone.conv1, backbone.bn1, nn.ReLU(inplace=True), backbone.pool)
        return [stem, *_blocks(backbone)], mean
    raise OptionError(f"{encoder.spec.name} is no sequence of blocks", cure="take another encoder, such as i3d-k400")


def _blocks(backbone: R2Plus1d | ResNeXt3d | ResNet2d3d) -> list[nn.Module]:
    return [*backbone.layer1, *backbone.layer2, *backbone.layer3, *backbone.layer4]
