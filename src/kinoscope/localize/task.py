"""What the training loop needs of the localiser: crops in, losses out, the average of the weights as the model.

By default the recipe is ActionFormer's for every head; those of the releases stand in :mod:`.recipes`.

Source: ActionFormer (ECCV 2022), section 3.4; specification sections 1.5 to 1.7.
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
from torch.optim import Adam, AdamW

from ..data.features import Features
from ..data.padding import pad
from ..data.segments import Segment
from ..engine import Task
from ..engine.seeds import seed_weights
from ..errors import OptionError
from .batches import crop, cut, holds_a_segment
from .cell_sampling import SampledConv
from .heads import Network, build_network, head_of, loss_of
from .localizer import Localizer
from .options import DecodeOptions
from .point_head import PointHead
from .train_options import LocalizeTrainOptions, rate_factor
from .training_data import TrainingData, TrainingVideo, resized_data

Measure = Callable[[Mapping[str, Sequence[Segment]]], dict[str, float]]
"""Predictions by video name → named scores."""

_FINAL_RATE = 1e-8
_VIDEOS_AT_ONCE = 16
_LATER = {"optimizer": "adamw", "rate_falls": None, "crops": "random"}
"""Options that runs of earlier versions did not have, and what they did."""


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
        if self.use.resized is not None:
            self.data = resized_data(data, self.use.resized)
        self.average = copy.deepcopy(self.head).eval()
        self.averaged: list[tuple[nn.Module, nn.Module]] = [(self.average, self.head)]
        self.localizer = Localizer(self.average, data.classes, data.spec, decoding)
        self.networks = {"head": HeadWithLoss(self.head, options), "average": self.average}
        self.optimizers = {"head": _optimizer(self.head, options)}
        self._report_too_long()
        self.places = self._places()
        """What a sample is: the number of a video, and the piece of it; none is drawn anew each time."""

    def require_rows(self, what: str) -> None:
        """Raise :class:`OptionError` for ``what``, which needs the rows of the features as they are."""
        if self.use.resized is not None:
            problem = f"{what} does not go with preset {self.options.preset!r}, to which videos are resized as a whole"
            raise OptionError(problem, cure="choose another preset")

    def _places(self) -> list[tuple[int, slice | None]]:
        if self.options.crops == "random" or isinstance(self.use, PointHead):
            return [(number, None) for number in range(len(self.data.videos))]
        places: list[tuple[int, slice | None]] = [
            (number, piece)
            for number, video in enumerate(self.data.videos)
            for piece in self.use.pieces(len(self.data.features[video.name]))
            if holds_a_segment(video.segments, piece)
        ]
        if not places:
            problem = f"none of the head's windows of {self.use.options.rows} rows holds a whole training segment"
            raise OptionError(problem, cure="choose crops random, another preset, or features with a larger stride")
        return places

    def _report_too_long(self) -> None:
        """Segments that no crop shows enough of, or that are longer than the head can tell.

        Raises:
            OptionError: all of them are.
        """
        rows, lengths = self.use.crop_length(self.options.max_length), self.data.lengths
        lost, left, first = 0, set[int](), ""
        for video in self.data.videos:
            own = video.segments[:, 1] - video.segments[:, 0]  # [N], in grid units
            hidden = (self.options.crop_keep * own > rows + 2 * video.reach) & (
                len(self.data.features[video.name]) > rows
            )
            hidden |= own > self.use.longest
            first = first or (video.name if hidden.any() else "")
            lost += int(hidden.sum())
            left |= {*video.labels[~hidden].tolist()}
        if not lost:
            return
        bound = f"up to {min(self.use.longest, rows):g} rows; the longest has {max(lengths):.0f}"
        are = "is" if lost == 1 else "are"
        problem = (
            f"{lost} of {len(lengths)} training segments {are} too long for the head, first of {first!r} ({bound})"
        )
        cure = "choose another head or preset, or extract features with a larger stride"
        if rows == self.options.max_length:
            cure = f"raise --max-length, {cure}"
        if lost == len(lengths):
            raise OptionError(f"{problem}: nothing can be learned", cure=cure)
        gone = [label for number, label in enumerate(self.data.classes) if number not in left]
        nothing = f"; nothing is left of {', '.join(map(repr, gone))}" if gone else ""
        warnings.warn(f"{problem} and cannot be learned{nothing}; {cure}", stacklevel=3)

    def __len__(self) -> int:
        return len(self.places)

    def video(self, index: int) -> TrainingVideo:
        """That sample ``index`` is of."""
        return self.data.videos[self.places[index][0]]

    def sample(self, index: int, rng: np.random.Generator) -> tuple[Any, ...]:
        """A stretch of a video: features [T, C], segments [N, 2] in grid units, labels [N]."""
        return self._stretch(self.data.features[self.video(index).name].values, index, rng)

    def _stretch(self, rows: np.ndarray, index: int, rng: np.random.Generator) -> tuple[Any, Any, Any]:
        """Sample ``index`` of the ``rows`` of its video, whatever stands in them; see :mod:`.batches`."""
        video, piece = self.video(index), self.places[index][1]
        if piece is not None:
            return cut(rows, video.segments, video.labels, piece)
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
        """Linear warm-up, then a cosine or a step."""
        options = self.options
        warmup = round(total * options.warmup / options.epochs)
        falls = None if options.rate_falls is None else round(total * options.rate_falls / options.epochs)
        return rate_factor(step, total, warmup, _FINAL_RATE / options.learning_rate, falls)

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
        for name, usual in _LATER.items():
            if options[name] == usual:
                del options[name]
        return {**options, "encoder": spec.encoder, "classes": classes, "data": self.data.digest()}

    def describe(self, index: int) -> str:
        """The video's name."""
        return self.video(index).name

    def save(self, folder: Path) -> Localizer:
        """Write the averaged model into ``folder``."""
        self.localizer.save(folder)
        return self.localizer


def _optimizer(head: nn.Module, options: LocalizeTrainOptions) -> torch.optim.Optimizer:
    if options.optimizer == "adam":
        return Adam(head.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay)
    return AdamW(decay_groups(head, options.weight_decay), lr=options.learning_rate)


def decay_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weight decay for the weights of convolutions, none for biases, norms and scales."""
    kinds = (nn.Conv1d, nn.Conv2d, nn.Conv3d, SampledConv)
    decayed = [module.weight for module in network.modules() if isinstance(module, kinds)]
    chosen = {id(parameter) for parameter in decayed}
    rest = [parameter for parameter in network.parameters() if id(parameter) not in chosen]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": rest, "weight_decay": 0.0}]
