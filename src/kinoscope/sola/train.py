"""Training of the adapter on a folder of features, without labels, and conversion of the folder.

Not here yet: the variants of the loss, joint training with a localisation head, training from memory-mapped files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..data.feature_store import ADAPTER_FOLDER, FeatureStore, feature_path
from ..data.features import Features, data_digest, write_features
from ..engine import LoopOptions, Task, fit
from ..engine.seeds import seed_weights
from ..errors import OutputError
from ..files import require_writable
from ..progress import progress
from .loss import entropy_floor, similarity_matching, target_similarity
from .network import Predictor, SoLa, refuse_adapted
from .options import SolaOptions, SolaTraining

_STEPS_PER_EPOCH = 50  # of the small recipe


class SolaTask(Task):
    """Similarity Matching on random windows.

    Args:
        rows: features of each video. Shape of each: [T, C].
        training: resolved, see :meth:`SolaTraining.resolve`.
    """

    def __init__(self, rows: Mapping[str, np.ndarray], options: SolaOptions, training: SolaTraining) -> None:
        self.names, self.rows = list(rows), list(rows.values())
        self.options, self.training = options, training
        channels = self.rows[0].shape[1]
        seed_weights(training.seed)
        self.adapter, predictor = SoLa(channels, options), Predictor(channels)
        self.networks = {"adapter": self.adapter, "predictor": predictor}
        self.optimizers = {
            name: torch.optim.AdamW(
                network.parameters(), training.learning_rate or 0, weight_decay=training.weight_decay
            )
            for name, network in self.networks.items()
        }
        self.target = target_similarity(options.size, options.lam)  # [N, N]
        self.floor = entropy_floor(self.target)

    def __len__(self) -> int:
        if self.training.recipe == "official":
            return len(self.rows)
        return _STEPS_PER_EPOCH * (self.training.batch_size or 1)

    def sample(self, index: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """A random window of a video, and which of its rows exist. Shapes: [window, C], [N]."""
        rows = self.rows[index % len(self.rows)]
        window = self.options.window
        begin = int(rng.integers(0, max(len(rows) - window, 0) + 1))
        piece = rows[begin : begin + window]
        missing = window - len(piece)  # of a video shorter than a window; it is put in the middle
        padded = np.pad(piece, ((missing // 2, missing - missing // 2), (0, 0)))
        position = np.asarray(self.options.positions)
        return padded, (position >= missing // 2) & (position < missing // 2 + len(piece))

    def collate(self, samples: list[tuple[np.ndarray, np.ndarray]]) -> tuple[Tensor, Tensor]:
        """Shapes: [B, window, C], [B, N]."""
        windows, valid = zip(*samples, strict=True)
        return torch.from_numpy(np.stack(windows)), torch.from_numpy(np.stack(valid))

    def loss(self, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        """One step of section 3.2."""
        windows, valid = batch
        adapted = self.networks["adapter"](windows, self.options.positions)  # [B, N, C]
        z = F.normalize(adapted, dim=-1)
        loss = similarity_matching(z, self.networks["predictor"](z), self.target, valid)
        far = (z[:, 0] * z[:, -1]).sum(dim=-1).mean()  # raw cosine of the rows furthest apart
        return {"loss": loss, "above_floor": loss - self.floor, "gate": self.adapter.alpha.tanh()[0], "far_cosine": far}

    def describe(self, index: int) -> str:
        """Name of the video."""
        return self.names[index % len(self.names)]


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
    """
    training = training.resolve(len(features))
    refuse_adapted(next(iter(features.values())))
    task = SolaTask({name: each.values for name, each in features.items()}, options, training)
    loop = LoopOptions(
        epochs=training.epochs or 1,
        batch_size=training.batch_size or 1,
        seed=training.seed,
        validate_every=0,
        accelerator=device,
    )
    source = next(iter(features.values()))
    settings = {"method": "sola", **asdict(options), **asdict(training), "videos": len(features)}
    settings |= {"channels": source.width, "encoder": source.encoder, "data": data_digest(features)}
    fit(task, folder, loop, resume=resume, settings=settings, title="Training SoLa")
    task.adapter.save(folder, source)
    return task.adapter.eval().requires_grad_(False).cpu()


def convert_folder(adapter: SoLa, store: FeatureStore, out: str | Path, *, overwrite: bool = False) -> int:
    """Write the adapted features of every video in ``store`` to ``out``; returns how many."""
    if not overwrite:
        require_free(store, out)
    with progress("Adapting", len(store)) as report:
        for name in store:
            write_features(feature_path(out, name), adapter.adapt(store[name]))
            report(1, name)
    return len(store)


def require_free(store: FeatureStore, out: str | Path) -> None:
    """Raise :class:`OutputError` unless the adapted features of every video in ``store`` can be written to ``out``."""
    for name in store:
        path = feature_path(out, name)
        if path.exists():
            raise OutputError("already holds features", where=path, cure="choose another --out, or add --overwrite")
        require_writable(path)


def adapter_folder(out: str | Path) -> Path:
    """Where the adapter lies that made the features in ``out``."""
    return Path(out) / ADAPTER_FOLDER
