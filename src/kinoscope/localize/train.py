"""Training a localisation head on features: the task for the training loop, and the one call that does it all.

Not supported: training through the encoder, external class scores, more than one feature file per video.

Source: ActionFormer (ECCV 2022), section 3.4; specification sections 1.5 to 1.7.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import AdamW

from ..data.feature_store import FeatureStore
from ..data.features import Features
from ..data.segments import Annotations, Segment
from ..engine import LoopOptions, Task, fit
from ..engine.seeds import seed_weights
from .batches import crop, pad, padded_length
from .localizer import Localizer
from .loss import LocalizationLoss
from .network import ActionFormer, level_masks
from .options import DecodeOptions
from .targets import assign_targets, pyramid_points
from .train_options import LocalizeTrainOptions, rate_factor
from .training_data import TrainingData, check_within, read_training_data, training_part

Measure = Callable[[Mapping[str, Sequence[Segment]]], dict[str, float]]
"""Predictions by video name → named scores."""

_FINAL_RATE = 1e-8
_VIDEOS_AT_ONCE = 16


class HeadWithLoss(nn.Module):
    """The head and its losses as one module, so that a wrapper for several devices sees the whole forward pass."""

    def __init__(self, head: ActionFormer, options: LocalizeTrainOptions) -> None:
        super().__init__()
        self.head, self.radius = head, options.radius
        self.loss = LocalizationLoss(
            options.normaliser, smoothing=options.smoothing, offset_weight=options.offset_weight
        )

    def forward(
        self, features: Tensor, mask: Tensor, segments: list[Tensor], labels: list[Tensor]
    ) -> dict[str, Tensor]:
        """features [B, T, C], mask [B, T], per video segments [N, 2] in grid units and labels [N] → losses."""
        levels = self.head(features, mask)
        logits = torch.cat([logits for logits, _ in levels], dim=1)  # [B, P, K]
        offsets = torch.cat([offsets for _, offsets in levels], dim=1)  # [B, P, 2]
        valid = torch.cat(level_masks(mask.bool(), len(levels)), dim=1)  # [B, P]
        points = torch.cat(pyramid_points(mask.shape[1], self.head.options)).to(features.device)  # [P, 4]
        targets = assign_targets(points, segments, labels, logits.shape[-1], self.radius)
        losses: dict[str, Tensor] = self.loss(logits, offsets, valid, *targets)
        return losses


class LocalizeTask(Task):
    """Training of an ActionFormer head on the features of ``data``; the moving average of its weights is the model.

    Args:
        data: the training videos.
        options: the recipe.
        decoding: how validation turns the head's output into segments.
        validation: features of the validation videos by name, and what scores the predictions; or none.
    """

    def __init__(
        self,
        data: TrainingData,
        options: LocalizeTrainOptions,
        *,
        decoding: DecodeOptions | None = None,
        validation: tuple[Mapping[str, Features], Sequence[str], Measure] | None = None,
    ) -> None:
        self.data, self.options, self.validation = data, options, validation
        seed_weights(options.seed)
        self.head = ActionFormer(options.head(data.spec.width, len(data.classes), data.lengths))
        self.average = copy.deepcopy(self.head).eval()
        self.localizer = Localizer(self.average, data.classes, data.spec, decoding)
        self.networks = {"head": HeadWithLoss(self.head, options), "average": self.average}
        self.optimizers = {"head": AdamW(_groups(self.head, options.weight_decay), lr=options.learning_rate)}

    def __len__(self) -> int:
        return len(self.data.videos)

    def sample(self, index: int, rng: np.random.Generator) -> tuple[Any, Any, Any]:
        """A random stretch of video ``index``: features [T, C], segments [N, 2] in grid units, labels [N]."""
        video = self.data.videos[index]
        return crop(
            self.data.features[video.name].values,
            video.segments,
            video.labels,
            max_length=self.options.max_length,
            reach=video.reach,
            rng=rng,
            keep=self.options.crop_keep,
        )

    def collate(self, samples: list[Any]) -> dict[str, Any]:
        """Pad to the longest of the batch (an official head: to its fixed length)."""
        values, segments, labels = zip(*samples, strict=True)
        features, mask = pad(values, padded_length(max(map(len, values)), self.head.options))
        return {
            "features": features,
            "mask": mask,
            "segments": [torch.from_numpy(bounds).float() for bounds in segments],
            "labels": [torch.from_numpy(numbers) for numbers in labels],
        }

    def loss(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Focal and boundary losses, and the number of positive points."""
        losses: dict[str, Tensor] = self.networks["head"](**batch)
        return losses

    def schedule(self, step: int, total: int) -> float:
        """Linear warm-up, then cosine."""
        warmup = round(total * self.options.warmup_epochs / self.options.epochs)
        return rate_factor(step, total, warmup, _FINAL_RATE / self.options.learning_rate)

    @torch.no_grad()
    def after_step(self, step: int) -> None:
        """Move the average of all tensors."""
        decay = self.options.average
        if self.options.average_warmup:
            decay = min(decay, (1 + step) / (10 + step))
        for mean, value in zip(self.average.state_dict().values(), self.head.state_dict().values(), strict=True):
            mean.lerp_(value, 1 - decay)

    def validate(self) -> dict[str, float]:
        """Score the averaged model on the validation videos."""
        if self.validation is None:
            return {}
        features, names, measure = self.validation
        predictions: dict[str, list[Segment]] = {}
        for first in range(0, len(names), _VIDEOS_AT_ONCE):
            part = names[first : first + _VIDEOS_AT_ONCE]
            found = self.localizer.localize_many([features[name] for name in part])
            predictions.update(zip(part, found, strict=True))
        return measure(predictions)

    def describe(self, index: int) -> str:
        """The video's name."""
        return self.data.videos[index].name


def train_localizer(
    annotations: Annotations,
    features: Mapping[str, Features] | str | Path,
    out: str | Path,
    options: LocalizeTrainOptions | None = None,
    *,
    decoding: DecodeOptions | None = None,
    train_subset: str | None = None,
    validation_subset: str | None = None,
    protocol: str = "own",
    resume: bool = False,
    workers: int = 0,
    accelerator: str = "auto",
) -> tuple[Localizer, dict[str, float]]:
    """Train a head on annotated features and leave the model and the run's records in ``out``.

    Without ``train_subset`` the videos marked ``train`` (or ``training``) are used, or all if none is marked. Those
    marked ``test``, else ``validation``, are scored now and then; nothing is chosen by that score: the model is always
    the average of the weights after the last update.

    Args:
        annotations: segments in seconds.
        features: by video name, or the folder that ``kinoscope extract`` wrote.
        out: the run's folder.
        protocol: how validation is scored, see ``kinoscope.evaluate``.
        resume: continue the run in ``out``.

    Returns:
        The model, and the scores of the last validation (``average_map``; empty without validation videos).

    Raises:
        AnnotationError, FeatureError, OptionError: what cannot be trained on, with the cure.
        OutputError: ``out`` cannot be written, or already holds a run.
    """
    from ..evaluate import get_protocol  # as in the measure below: only validation needs the evaluator

    get_protocol(protocol)  # a wrong name is told before hours of training, not after
    options = options or LocalizeTrainOptions()
    features = FeatureStore(features) if isinstance(features, (str, Path)) else features
    data = read_training_data(training_part(annotations, train_subset), features)
    validation = _validation(annotations, features, data, validation_subset, protocol)
    task = LocalizeTask(data, options, decoding=decoding, validation=validation)
    loop = LoopOptions(
        epochs=options.epochs,
        batch_size=options.batch_size,
        seed=options.seed,
        workers=workers,
        clip_gradients=options.clip_gradients,
        validate_every=options.validate_every,
        accelerator=accelerator,
    )
    settings = {**asdict(options), "encoder": data.spec.encoder, "classes": list(data.classes), "data": data.digest()}
    metrics = fit(task, out, loop, resume=resume, settings=settings, title="Training the localiser")
    task.localizer.save(out)
    return task.localizer, metrics


def _validation(
    annotations: Annotations, features: Mapping[str, Features], data: TrainingData, subset: str | None, protocol: str
) -> tuple[Mapping[str, Features], Sequence[str], Measure] | None:
    """The held-out videos that have features, and the measure; none if there are no such videos."""
    trained = {video.name for video in data.videos}
    wanted = [subset] if subset else ["test", "testing", "validation", "val", "valid"]
    parts = (annotations.subset(name).videos for name in wanted)
    held_out = next((part for part in parts if part), {})
    # Videos without features stay in the truth: their segments count as missed.
    truth = Annotations({name: video for name, video in held_out.items() if name not in trained}, annotations.source)
    names = [name for name in truth.videos if name in features]
    if not names or not any(video.segments for video in truth.videos.values()):
        return None
    for name in names:
        check_within(truth, name, features[name])
        data.spec.check(features[name], name)  # before hours of training, not after

    def measure(predictions: Mapping[str, Sequence[Segment]]) -> dict[str, float]:
        from ..evaluate import evaluate_detection  # only validation needs the evaluator

        result = evaluate_detection(predictions, truth, protocol, subset="all")
        return {"average_map": result.average_map}

    return features, names, measure


def _groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weight decay for the weights of convolutions, none for biases, norms and scales."""
    decayed = [module.weight for module in network.modules() if isinstance(module, nn.Conv1d)]
    chosen = {id(parameter) for parameter in decayed}
    rest = [parameter for parameter in network.parameters() if id(parameter) not in chosen]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": rest, "weight_decay": 0.0}]
