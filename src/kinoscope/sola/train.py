"""Training of the adapter on features, without labels (section 3.2; recipe from the official code).

Not supported: a projector between adapter and loss (the official configuration has none), several windows per video
and update.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.optim import AdamW

from ..data.features import Features, data_digest
from ..engine import LoopOptions, Task, fit
from ..engine.seeds import seed_weights
from .adapter import refuse_adapted
from .loss import SimilarityMatching
from .monitor import gauge
from .network import SoLa
from .options import SolaOptions, SolaTraining
from .windows import draw_window

_STEPS_PER_EPOCH = 50  # of the small recipe

Sample = tuple[np.ndarray, np.ndarray, float]


class SolaTask(Task):
    """Similarity Matching on random windows.

    Args:
        videos: features of each; only the windows that are drawn are read when they are memory-mapped.
        training: resolved, see :meth:`SolaTraining.resolve`.
    """

    def __init__(self, videos: Mapping[str, Features], options: SolaOptions, training: SolaTraining) -> None:
        self.videos, self.options, self.training = videos, options, training
        self.names = list(videos)
        if training.recipe == "official":  # section 4: longer files only; where there are none, they are padded
            self.names = [name for name in videos if len(videos[name]) > options.window] or self.names
        channels = videos[self.names[0]].width
        seed_weights(training.seed)
        self.adapter, matching = SoLa(channels, options), SimilarityMatching(channels, options)
        self.networks = {"adapter": self.adapter, "matching": matching}
        self.optimizers = {"adapter": AdamW(gate_apart(self.adapter, training))}
        if options.predictor:
            decay = training.weight_decay
            self.optimizers["predictor"] = AdamW(matching.parameters(), training.learning_rate or 0, weight_decay=decay)
        self._seen: tuple[Tensor, Tensor, Tensor] | None = None

    def __len__(self) -> int:
        if self.training.recipe == "official":
            return len(self.names)
        return _STEPS_PER_EPOCH * (self.training.batch_size or 1)

    def sample(self, index: int, rng: np.random.Generator) -> Sample:
        """A random window of a video, which of its rows exist, and seconds between these. Shapes: [window, C], [N]."""
        video = self.videos[self.describe(index)]
        window, valid = draw_window(video.values, self.options, rng)
        return window, valid, video.time.step * self.options.step

    def collate(self, samples: list[Sample]) -> tuple[Tensor, Tensor, Tensor]:
        """Shapes: [B, window, C], [B, N], [B]."""
        windows, valid, seconds = zip(*samples, strict=True)
        return torch.from_numpy(np.stack(windows)), torch.from_numpy(np.stack(valid)), torch.tensor(seconds)

    def loss(self, batch: tuple[Tensor, Tensor, Tensor]) -> dict[str, Tensor]:
        """One step of section 3.2."""
        windows, valid, seconds = batch
        adapted = self.networks["adapter"](windows, self.options.positions)  # [B, window, C] -> [B, N, C]
        losses: dict[str, Tensor] = self.networks["matching"](adapted, valid, seconds)
        self._seen = (SoLa.kept(windows, self.options.positions), adapted.detach(), valid)
        return losses

    def monitor(self) -> dict[str, float]:
        """The gate, how much it changes, and what it does to similarity; see :func:`.monitor.gauge`."""
        if self._seen is None:
            return {}
        return {"gate": float(self.adapter.alpha.detach().tanh()), **gauge(*self._seen)}

    def describe(self, index: int) -> str:
        """Name of the video."""
        return self.names[index % len(self.names)]


def gate_apart(adapter: SoLa, training: SolaTraining) -> list[dict[str, object]]:
    """Parameters for AdamW: α with a rate and a decay of its own, and the rest."""
    rest = [parameter for name, parameter in adapter.named_parameters() if name != "alpha"]
    decay = training.weight_decay
    return [
        {"params": rest, "lr": training.learning_rate, "weight_decay": decay},
        {"params": [adapter.alpha], "lr": training.gate_rate, "weight_decay": decay if training.gate_decay else 0.0},
    ]


def train_adapter(
    features: Mapping[str, Features],
    folder: str | Path,
    options: SolaOptions = SolaOptions(),
    training: SolaTraining = SolaTraining(),
    *,
    resume: bool = False,
    device: str = "auto",
) -> SoLa:
    """Train an adapter on ``features`` and save it in ``folder``.

    Args:
        features: of all videos, alike (see ``FeatureStore.read_alike``).
        resume: continue an interrupted training.

    Raises:
        FeatureError: features that are adapted already.
        OutputError: ``folder`` already holds a run and ``resume`` is off.
    """
    training = training.resolve(len(features))
    source = next(iter(features.values()))
    refuse_adapted(source)
    task = SolaTask(features, options, training)
    loop = LoopOptions(
        epochs=training.epochs or 1,
        batch_size=training.batch_size or 1,
        seed=training.seed,
        validate_every=0,
        accelerator=device,
    )
    settings = {"method": "sola", **asdict(options), **asdict(training), "videos": len(features)}
    settings |= {"channels": source.width, "encoder": source.encoder, "data": data_digest(features)}
    fit(task, folder, loop, resume=resume, settings=settings, title="Training SoLa")
    adapter = task.adapter.eval().requires_grad_(False).cpu()
    adapter.save(folder, source)
    return adapter
