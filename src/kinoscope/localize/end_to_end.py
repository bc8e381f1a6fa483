"""End-to-end training: the last blocks of the encoder learn with the head, from its loss.

SoLa's paper compares frozen features, adapted ones and this (CVPR 2023, section 4). What lies below those blocks stays
as it is, and its maps are computed once; crops, losses, schedule and average are those of training on features.

Not supported: changes of the pixels (crops, mirror images), which maps that are kept do not allow.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import AdamW

from ..data.features import Features
from ..encoders.split import SplitEncoder, TopBlocks
from ..errors import FeatureError, OptionError
from ..video import clip_samples
from ..video.sampling import IntArray
from .localizer import ENCODER, Localizer
from .options import DecodeOptions
from .task import HeadWithLoss, LocalizeTask, Validation, decay_groups
from .train_options import LocalizeTrainOptions
from .training_data import TrainingData

Pool = Callable[[Tensor], Tensor]
"""Shape: [N, L, C] -> [N, C']."""

_MAPS_AT_ONCE = 256
_UNLIKE = 0.1
"""Features of other pixels differ by more than this share, those of another runtime by far less."""


@dataclass(frozen=True)
class EndToEnd:
    """What is trained beside the head."""

    encoder: SplitEncoder
    maps: Mapping[str, Features]
    """Of its trunk, by video name."""
    rate: float = 1e-4
    """Largest learning rate of the encoder's blocks; it warms up and falls with the head's."""

    def __post_init__(self) -> None:
        if not 0 < self.rate < math.inf:
            raise OptionError(f"the encoder's rate is {self.rate}, but must be a positive number")

    @property
    def pool(self) -> Pool | None:
        """Makes a row of several maps' features; none where a row has a map of its own."""
        return self.encoder.whole.pool if self.encoder.whole.spec.per_frame else None

    def rows(self, name: str, length: int) -> IntArray:
        """Which maps each of the ``length`` rows of a video is made of. Shape: [T, L].

        Raises:
            FeatureError: maps and rows are not of the same video.
        """
        spec, maps = self.encoder.whole.spec, len(self.maps[name])
        rows = np.arange(maps)[:, None]
        if spec.per_frame:
            rows = clip_samples(maps, length=spec.clip_length, stride=spec.stride)
        if len(rows) != length:
            problem = f"{name!r} has {length} rows of features, but its video gives {len(rows)}"
            raise FeatureError(problem, cure="extract the features again, from the same videos")
        return rows

    @torch.no_grad()
    def require_same(self, name: str, features: Features) -> None:
        """Raise :class:`FeatureError` unless the blocks, as they are now, make ``features`` of the maps."""
        row = len(features) // 2
        needed = self.rows(name, len(features))[row]  # [L]
        maps = torch.from_numpy(np.array(self.maps[name].values[needed]))  # [L, M]
        device = next(self.encoder.top.parameters()).device
        made = pooled(self.encoder.top(maps.to(device)), torch.arange(len(needed), device=device)[None], self.pool)
        wanted = torch.from_numpy(np.array(features.values[row], np.float32))
        if (made[0].cpu() - wanted).norm() > _UNLIKE * wanted.norm():
            cure = "extract the features again, from the same videos and with the same encoder"
            raise FeatureError(f"the features of {name!r} are not those of its video", cure=cure)


class EndToEndNetwork(nn.Module):
    """Blocks of the encoder, head and losses as one module, so that a wrapper for several devices sees the whole pass.

    Args:
        pool: see :attr:`EndToEnd.pool`.
    """

    def __init__(self, top: TopBlocks, pool: Pool | None, localization: HeadWithLoss) -> None:
        super().__init__()
        self.top, self.pool, self.localization = top, pool, localization

    def forward(
        self, maps: Tensor, rows: Tensor, mask: Tensor, segments: list[Tensor], labels: list[Tensor]
    ) -> dict[str, Tensor]:
        """Losses of a batch.

        Args:
            maps: of all its videos. Shape: [N, M].
            rows: which maps each row is made of. Shape: [B, T, L].

        The rest is as in :meth:`HeadWithLoss.forward`.
        """
        features = pooled(self.top(maps), rows.flatten(0, 1), self.pool)  # [B·T, C]
        features = features.view(*rows.shape[:2], -1)  # [B, T, C]
        losses: dict[str, Tensor] = self.localization(features * mask[..., None], mask, segments, labels)
        return losses


def pooled(frames: Tensor, rows: Tensor, pool: Pool | None) -> Tensor:
    """Features of rows from those of frames or clips. Shape: [N, C], [T, L] -> [T, C']."""
    return frames[rows[:, 0]] if pool is None else pool(frames[rows])


class TunedFeatures(Mapping[str, Features]):
    """Features by video name as the blocks are now, computed each time they are asked for."""

    def __init__(self, top: TopBlocks, raw: Mapping[str, Features], using: EndToEnd) -> None:
        self.top, self.raw, self.using = top, raw, using

    @torch.no_grad()
    def __getitem__(self, name: str) -> Features:
        raw, values = self.raw[name], self.using.maps[name].values  # [N, M]
        device = next(self.top.parameters()).device
        parts = [
            self.top(torch.from_numpy(np.array(values[first : first + _MAPS_AT_ONCE])).to(device))
            for first in range(0, len(values), _MAPS_AT_ONCE)
        ]
        rows = torch.from_numpy(self.using.rows(name, len(raw))).to(device)
        return replace(raw, values=pooled(torch.cat(parts), rows, self.using.pool).cpu().numpy())

    def __iter__(self) -> Iterator[str]:
        return iter(self.raw)

    def __len__(self) -> int:
        return len(self.raw)


class EndToEndTask(LocalizeTask):
    """Training of a head and of the last blocks of the encoder as one; the moving averages of both are the model.

    With the same seed the head starts with the weights, and sees the crops, that it would have on frozen features.

    Args:
        data: the training videos, with the features that the encoder makes before it is trained.
        options: the recipe; its schedule, weight decay and average also act on the encoder's blocks.
        using: the encoder in its two parts, and the maps of all videos.
        decoding: as for :class:`LocalizeTask`.
        validation: as for :class:`LocalizeTask`, features as in ``data``.
    """

    def __init__(
        self,
        data: TrainingData,
        options: LocalizeTrainOptions,
        using: EndToEnd,
        *,
        decoding: DecodeOptions | None = None,
        validation: Validation | None = None,
    ) -> None:
        super().__init__(data, options, decoding=decoding, validation=validation)
        self.require_rows("end-to-end training")
        self.using, top = using, using.encoder.top
        self.top_average = copy.deepcopy(top)
        self.averaged.append((self.top_average, top))
        network = EndToEndNetwork(top, using.pool, HeadWithLoss(self.head, options))
        self.networks = {"end_to_end": network, "average": self.average, "top_average": self.top_average}
        self.optimizers["encoder"] = AdamW(decay_groups(top, options.weight_decay), lr=using.rate)
        self.rows = [using.rows(video.name, len(data.features[video.name])) for video in data.videos]
        for video in data.videos:
            using.require_same(video.name, data.features[video.name])
        if validation is not None:
            tuned = TunedFeatures(self.top_average, validation.features, using)
            self.validation = replace(validation, features=tuned)

    def sample(self, index: int, rng: np.random.Generator) -> tuple[Any, ...]:
        """A stretch of a video: maps [N, M], which of them each row needs [T, L], segments, labels."""
        stretch, segments, labels = self._stretch(self.rows[self.places[index][0]], index, rng)
        first, last = int(stretch.min()), int(stretch.max())
        maps = self.using.maps[self.video(index).name].values
        return np.array(maps[first : last + 1]), stretch - first, segments, labels

    def collate(self, samples: list[Any]) -> dict[str, Any]:
        """Maps of all crops one after the other; rows padded as features are."""
        maps, rows, segments, labels = zip(*samples, strict=True)
        before = np.cumsum([0, *map(len, maps[:-1])])
        rows = tuple(each + first for each, first in zip(rows, before, strict=True))
        batch = super().collate(list(zip(rows, segments, labels, strict=True)))
        batch["rows"] = batch.pop("features").long()  # padded as float32, which holds whole numbers below 2²⁴
        batch["maps"] = torch.from_numpy(np.concatenate(maps))
        return batch

    def loss(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Losses of the head, and the number of positive points or cells."""
        losses: dict[str, Tensor] = self.networks["end_to_end"](**batch)
        return losses

    def settings(self) -> dict[str, Any]:
        """What decides the result, the encoder's blocks and their rate included."""
        encoder = self.using.encoder
        return {**super().settings(), "trained_blocks": encoder.blocks, "encoder_rate": self.using.rate}

    def save(self, folder: Path) -> Localizer:
        """Write the averaged head, and beside it the whole encoder with the averages of its blocks."""
        self.using.encoder.top.load_state_dict(self.top_average.state_dict())
        weights = self.using.encoder.save(folder / ENCODER)
        name = (folder / ENCODER).as_posix()
        self.localizer.features = replace(self.localizer.features, encoder=name, weight_hash=weights.hash)
        return super().save(folder)
