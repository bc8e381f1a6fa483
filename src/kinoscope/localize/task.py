"""What the training loop needs of the localiser: crops in, losses out, the average of the weights as the model.

Source: ActionFormer (ECCV 2022), section 3.4; specification sections 1.5 to 1.7. The recipe is ActionFormer's for every
head: those of G-TAD and BMN (Adam, steps of the rate, fixed windows; sections 2.4 and 3.3) are not offered.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import AdamW

from ..data.features import Features
from ..data.padding import pad
from ..data.segments import Segment
from ..engine import Task
from ..engine.seeds import seed_weights
from ..errors import OptionError
from .batches import crop
from .cell_sampling import SampledConv
from .heads import Network, build_network, head_of, loss_of
from .localizer import Localizer
from .options import DecodeOptions
from .train_options import LocalizeTrainOptions, rate_factor
from .training_data import TrainingData

Measure = Callable[[Mapping[str, Sequence[Segment]]], dict[str, float]]
"""Predictions by video name → named scores."""

_FINAL_RATE = 1e-8
_VIDEOS_AT_ONCE = 16


@dataclass(frozen=True)
class Validation:
    """What is scored now and then."""

    features: Mapping[str, Features]
    names: Sequence[str]
    """The videos to score."""
    measure: Measure


class HeadWithLoss(nn.Module):
    """The head and its losses as one module, so that a wrapper for several devices sees the whole forward pass."""

    def __init__(self, head: Network, options: LocalizeTrainOptions) -> None:
        super().__init__()
        self.head, self.loss = head, loss_of(head, options)

    def forward(
        self, features: Tensor, mask: Tensor, segments: list[Tensor], labels: list[Tensor]
    ) -> dict[str, Tensor]:
        """features [B, T, C], mask [B, T], per video segments [N, 2] in grid units and labels [N] → losses."""
        return self.loss.of(self.head(features, mask), mask, segments, labels)


class LocalizeTask(Task):
    """Training of a head on the features of ``data``; the moving average of its weights is the model.

    Args:
        data: the training videos.
        options: the recipe.
        decoding: how validation turns the head's output into segments.
        validation: what is scored now and then, and how; or none.
    """

    def __init__(
        self,
        data: TrainingData,
        options: LocalizeTrainOptions,
        *,
        decoding: DecodeOptions | None = None,
        validation: Validation | None = None,
    ) -> None:
        self.data, self.options, self.validation = data, options, validation
        seed_weights(options.seed)
        self.head = build_network(options.head_options(data.spec.width, len(data.classes), data.lengths))
        self.use = head_of(self.head)
        self.average = copy.deepcopy(self.head).eval()
        self.averaged: list[tuple[nn.Module, nn.Module]] = [(self.average, self.head)]
        self.localizer = Localizer(self.average, data.classes, data.spec, decoding)
        self.networks = {"head": HeadWithLoss(self.head, options), "average": self.average}
        self.optimizers = {"head": AdamW(decay_groups(self.head, options.weight_decay), lr=options.learning_rate)}

        self._report_too_long()

    def _report_too_long(self) -> None:
        """Segments that no crop shows enough of, or that are longer than the head can tell.

        Raises:
            OptionError: all of them are.
        """
        rows, lost, lengths = self.use.crop_length(self.options.max_length), 0, self.data.lengths
        for video in self.data.videos:
            own = video.segments[:, 1] - video.segments[:, 0]  # [N], in grid units
            hidden = (self.options.crop_keep * own > rows + 2 * video.reach) & (
                len(self.data.features[video.name]) > rows
            )
            lost += int((hidden | (own > self.use.longest)).sum())
        if not lost:
            return
        bound = f"up to {min(self.use.longest, rows):g} rows; the longest has {max(lengths):.0f}"
        problem = f"{lost} of {len(lengths)} training segments are too long for the head ({bound})"
        cure = "raise --max-length, choose another head or preset, or extract features with a larger stride"
        if lost == len(lengths):
            raise OptionError(f"{problem}: nothing can be learned", cure=cure)
        warnings.warn(f"{problem} and cannot be learned; {cure}", stacklevel=3)

    def __len__(self) -> int:
        return len(self.data.videos)

    def sample(self, index: int, rng: np.random.Generator) -> tuple[Any, ...]:
        """A random stretch of video ``index``: features [T, C], segments [N, 2] in grid units, labels [N]."""
        return self._stretch(self.data.features[self.data.videos[index].name].values, index, rng)

    def _stretch(self, rows: np.ndarray, index: int, rng: np.random.Generator) -> tuple[Any, Any, Any]:
        """A random stretch of the ``rows`` of video ``index``, whatever stands in them; see :func:`.batches.crop`."""
        video = self.data.videos[index]
        return crop(
            rows,
            video.segments,
            video.labels,
            max_length=self.use.crop_length(self.options.max_length),
            reach=video.reach,
            rng=rng,
            keep=self.options.crop_keep,
        )

    def collate(self, samples: list[Any]) -> dict[str, Any]:
        """Pad to the longest of the batch (an official head, and one that sees windows: to a fixed length)."""
        values, segments, labels = zip(*samples, strict=True)
        features, mask = pad(values, self.use.padded(max(map(len, values))))
        return {
            "features": features,
            "mask": mask,
            "segments": [torch.from_numpy(bounds).float() for bounds in segments],
            "labels": [torch.from_numpy(numbers) for numbers in labels],
        }

    def loss(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Losses of the head, and the number of positive points or cells."""
        losses: dict[str, Tensor] = self.networks["head"](**batch)
        return losses

    def schedule(self, step: int, total: int) -> float:
        """Linear warm-up, then cosine."""
        warmup = round(total * self.options.warmup / self.options.epochs)
        return rate_factor(step, total, warmup, _FINAL_RATE / self.options.learning_rate)

    @torch.no_grad()
    def after_step(self, step: int) -> None:
        """Move the averages of all tensors."""
        decay = self.options.average
        if self.options.average_warmup:
            decay = min(decay, (1 + step) / (10 + step))
        for average, network in self.averaged:
            for mean, value in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
                if mean.is_floating_point():  # batch norms also count
                    mean.lerp_(value, 1 - decay)

    def validate(self) -> dict[str, float]:
        """Score the averaged model on the validation videos."""
        if self.validation is None:
            return {}
        names, predictions = self.validation.names, dict[str, list[Segment]]()
        for first in range(0, len(names), _VIDEOS_AT_ONCE):
            part = names[first : first + _VIDEOS_AT_ONCE]
            found = self.localize([self.validation.features[name] for name in part])
            predictions.update(zip(part, found, strict=True))
        return self.validation.measure(predictions)

    def localize(self, videos: Sequence[Features]) -> list[list[Segment]]:
        """Segments of each video by the averaged model."""
        return self.localizer.localize_many(videos)

    def settings(self) -> dict[str, Any]:
        """What, beside the loop's options, decides the result."""
        spec, classes = self.data.spec, list(self.data.classes)
        options = {**asdict(self.options), "warmup_epochs": self.options.warmup}
        if self.options.head == "actionformer":
            del options["head"]  # so that runs from before there were other heads can be resumed
        return {**options, "encoder": spec.encoder, "classes": classes, "data": self.data.digest()}

    def describe(self, index: int) -> str:
        """The video's name."""
        return self.data.videos[index].name

    def save(self, folder: Path) -> Localizer:
        """Write the averaged model into ``folder``."""
        self.localizer.save(folder)
        return self.localizer


def decay_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weight decay for the weights of convolutions, none for biases, norms and scales."""
    kinds = (nn.Conv1d, nn.Conv2d, nn.Conv3d, SampledConv)
    decayed = [module.weight for module in network.modules() if isinstance(module, kinds)]
    chosen = {id(parameter) for parameter in decayed}
    rest = [parameter for parameter in network.parameters() if id(parameter) not in chosen]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": rest, "weight_decay": 0.0}]
