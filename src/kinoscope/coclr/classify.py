"""Training a classifier of clips on a pretrained encoder: the encoder frozen, fine-tuned, or from scratch.

One clip per video and epoch, drawn anew. The weights that count are those of the epoch with the best accuracy on a
validation part carved from the training videos, or of the last epoch if there is none; test videos are never looked at.

Not supported: several streams in one network (their probabilities are averaged afterwards), mixup and the like.

Source: CoCLR sheet, sections 6 (evaluation training augmentation), 7 (linear probe end to end, fine-tune) and 9.9.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Adam, Optimizer

from ..clips.reader import Clips
from ..clips.windows import Crops, crop_window, read_windows
from ..encoders.trained import pooled
from ..engine import Task
from ..engine.best import BestWeights
from ..engine.seeds import seed_weights
from ..errors import OptionError
from ..video.augment import AugmentOptions, apply_view, draw_view
from ..video.streams import Stream, normalise
from .options import step_decay
from .window_features import WindowEncoder

Mode = Literal["linear", "finetune", "scratch"]

AUGMENTATION = AugmentOptions(jitter=0.3, grey=0.0, blur=0.0)
"""Random resized crop, colour jitter with probability 0.3, flip."""

_EPOCHS: dict[str, int] = {"linear": 100, "finetune": 500, "scratch": 500}
_DROPS = {"linear": (0.6, 0.8), "finetune": (0.8, 0.9), "scratch": (0.6, 0.8)}
"""The rate falls tenfold at these shares of the epochs: 60 and 80 of 100, 400 and 450 or 300 and 400 of 500."""
_RATE_LINEAR, _RATE_HEAD, _RATE_BACKBONE = 0.1, 1e-3, 1e-4
_CLIPS_AT_ONCE = 8


@dataclass(frozen=True)
class ClassifyOptions:
    """How a classifier of clips is trained; rates and the rest are the published ones."""

    mode: Mode = "finetune"
    """linear: the encoder stays as it is. finetune: all learns, the encoder ten times slower. scratch: all learns at
    one rate, from random weights."""
    epochs: int | None = None
    """Passes over the training videos; by default the published 100 (linear) or 500."""
    batch_size: int = 32
    """Clips per update; at most as many as there are videos."""
    dropout: float = 0.9
    """Before the last layer; linear has none."""
    weight_decay: float = 1e-3
    """Of SGD (linear) or Adam."""
    seed: int = 0
    """Everything random follows from it."""

    def __post_init__(self) -> None:
        if self.mode not in _EPOCHS:
            raise OptionError(f"mode is {self.mode!r}", cure="choose linear, finetune or scratch")
        for name, least in (("epochs", 1), ("batch_size", 2), ("seed", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise OptionError(f"{name} is {value}, but must be at least {least}")
        if not 0 <= self.dropout < 1:
            raise OptionError(f"dropout is {self.dropout}, but must lie from 0 to below 1", cure="0.9 is published")
        if not self.weight_decay >= 0:
            raise OptionError(f"weight_decay is {self.weight_decay}, but must be at least 0")

    @property
    def all_epochs(self) -> int:
        """Epochs, as given or as published."""
        return self.epochs or _EPOCHS[self.mode]


class ClipClassifier(nn.Module):
    """Clips → logits of classes.

    Args:
        encoder: normalised clips -> pooled features. Shape: [B, 3, T, H, W] -> [B, C].
        width: C.
        classes: K.
        mode: linear: L2 normalisation, batch norm, linear layer on a frozen encoder. Else: dropout, linear layer.
    """

    def __init__(self, encoder: nn.Module, width: int, classes: int, mode: Mode, dropout: float = 0.9) -> None:
        super().__init__()
        self.encoder, self.frozen = encoder.requires_grad_(mode != "linear"), mode == "linear"
        self.before: nn.Module = nn.BatchNorm1d(width) if self.frozen else nn.Dropout(dropout)
        self.last = nn.Linear(width, classes)
        nn.init.normal_(self.last.weight, std=0.01)
        nn.init.zeros_(self.last.bias)

    def forward(self, clip: Tensor) -> Tensor:
        """Shape: [B, 3, T, H, W] -> [B, K]."""
        feature = self.encoder(clip)  # [B, C]
        return self.last(self.before(F.normalize(feature, dim=1) if self.frozen else feature))

    def train(self, mode: bool = True) -> ClipClassifier:
        """As everywhere, but a frozen encoder stays in evaluation mode."""
        super().train(mode)
        if self.frozen:
            self.encoder.eval()
        return self


class ClassifyTask(Task):
    """Training of a :class:`ClipClassifier` on some videos of ``clips``.

    Args:
        clips: a library that holds all of ``train`` and ``validation``.
        labels: class of each video of the library. Shape: [number of videos].
        classes: K.
        encoder: where it begins; its weights are copied.
        options: the recipe.
        train: places in the library of the videos to learn from.
        validation: places of those on which the epoch is chosen; none takes the last epoch.
    """

    whole_batches = True  # batch norm has no variance in a batch of one

    def __init__(
        self,
        clips: Clips,
        labels: np.ndarray,
        classes: int,
        encoder: WindowEncoder,
        options: ClassifyOptions,
        *,
        train: Sequence[int],
        validation: Sequence[int] = (),
    ) -> None:
        self.clips, self.labels, self.options, self.encoder = clips, labels, options, encoder
        self.places, self.held = list(train), list(validation)
        seed_weights(options.seed)
        network = copy.deepcopy(encoder.network) if options.mode != "scratch" else pooled(encoder.spec)
        width = int(network.width)  # type: ignore[arg-type]  # every encoder has it
        self.classifier = ClipClassifier(network.cpu(), width, classes, options.mode, options.dropout)
        self.best = BestWeights(self.classifier)
        self.networks = {"classifier": self.classifier, "best": self.best}
        self.optimizers: dict[str, Optimizer] = {"classifier": _optimizer(self.classifier, options)}

    @property
    def answer(self) -> ClipClassifier:
        """The network that counts, in evaluation mode."""
        network = self.best.network if self.held else self.classifier
        assert isinstance(network, ClipClassifier)
        return network.eval()

    def __len__(self) -> int:
        return len(self.places)

    def describe(self, index: int) -> str:
        """The video's name."""
        return self.clips.names[self.places[index]]

    def sample(self, index: int, rng: np.random.Generator) -> tuple[np.ndarray, int]:
        """A clip from anywhere in a video, changed at random, and its class. Shape: [T, S, S, 3], uint8."""
        place, stream = self.places[index], self.encoder.spec.stream
        start = int(rng.integers(self.clips.starts(place)))
        view = draw_view(rng, self.clips.frame_size(place), AUGMENTATION, strong=True)
        clip = self.clips.read(place, [(start, (stream,))])[0][stream]
        return apply_view(clip, view, self.encoder.spec.size, stream=stream), int(self.labels[place])

    def collate(self, samples: list[tuple[np.ndarray, int]]) -> dict[str, Tensor]:
        """Shape: clips [B, T, S, S, 3], labels [B]."""
        clips, labels = zip(*samples, strict=True)
        return {"clips": torch.from_numpy(np.stack(clips)), "labels": torch.tensor(labels)}

    def loss(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Cross-entropy, and the accuracy on the batch."""
        logits = self.networks["classifier"](normalise(batch["clips"]))  # [B, K]
        right = (logits.argmax(dim=1) == batch["labels"]).float().mean()
        return {"loss": F.cross_entropy(logits, batch["labels"]), "accuracy": right}

    def schedule(self, step: int, total: int) -> float:
        """A tenth after each of the two drops."""
        return step_decay(step, total, _DROPS[self.options.mode])

    def validate(self) -> dict[str, float]:
        """Accuracy on the validation videos; the best weights are kept, of equally good ones the later."""
        if not self.held:
            return {}
        right = [
            int(average_logits(classify_video(self.classifier, self.clips, place, self.encoder.spec.stream)).argmax())
            == self.labels[place]
            for place in self.held
        ]
        accuracy = float(np.mean(right))
        self.best.keep(self.classifier, accuracy)
        return {"validation_accuracy": accuracy}

    def settings(self) -> dict[str, Any]:
        """What, beside the loop's options, decides the result."""
        videos = [[self.clips.names[place], int(self.labels[place])] for place in (*self.places, *self.held)]
        options = asdict(self.options) | {"epochs": self.options.all_epochs}
        return {
            **options,
            "clip": asdict(self.encoder.spec),
            "encoder": self.encoder.digest,
            "videos": videos,
            "held_out": len(self.held),
        }


@torch.inference_mode()
def classify_video(network: ClipClassifier, clips: Clips, index: int, stream: Stream, crops: Crops = 1) -> np.ndarray:
    """Logits of every crop of every window of a video. Shape: [V, W, K], float64.

    Raises:
        VideoError: the video cannot be read any more.
    """
    network.eval()
    device, size, share = network.last.weight.device, clips.options.size, clips.options.crop
    windows = []
    for window in read_windows(clips, index, (stream,)):
        views = torch.from_numpy(crop_window(window[stream], size, crops, stream, share))  # [V, T, S, S, 3]
        parts = [network(normalise(part.to(device))) for part in views.split(_CLIPS_AT_ONCE)]  # type: ignore[no-untyped-call]
        windows.append(torch.cat(parts).double().cpu().numpy())  # [V, K]
    return np.stack(windows, axis=1)  # [V, W, K]


def average_logits(logits: np.ndarray) -> np.ndarray:
    """Class probabilities of a video (see ``evaluate.clip_scores``). Shape: [V, W, K] -> [K]."""
    from ..evaluate.clip_scores import average_probabilities  # only scoring needs the evaluator

    return average_probabilities(logits)


def _optimizer(classifier: ClipClassifier, options: ClassifyOptions) -> Optimizer:
    head = [*classifier.before.parameters(), *classifier.last.parameters()]
    if options.mode == "linear":
        return SGD(head, _RATE_LINEAR, momentum=0.9, weight_decay=options.weight_decay)
    slow = _RATE_BACKBONE if options.mode == "finetune" else _RATE_HEAD
    groups = [{"params": head, "lr": _RATE_HEAD}, {"params": list(classifier.encoder.parameters()), "lr": slow}]
    return Adam(groups, _RATE_HEAD, weight_decay=options.weight_decay)
