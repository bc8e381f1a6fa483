"""Joint training: SoLa inside the localiser, trained by the localiser's loss and by Similarity Matching.

    loss = loss of the head on adapted features + weight · Similarity Matching on one window of each training crop

Weight 0 is what the paper calls unified training (SoLa, CVPR 2023, in the ablations) and finds worse than the adapter
first and the head after it; the sum of both losses is not in the paper (specification, sections 7 and 14).

Not supported: several windows per crop, other recipes for the adapter than that for small data.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import AdamW

from ..data.features import Features
from ..data.segments import Segment
from ..sola import SimilarityMatching, SoLa, SolaOptions, SolaTraining
from ..sola.monitor import gauge
from ..sola.train import gate_apart
from ..sola.windows import place_window
from .localizer import ADAPTER, Localizer
from .options import DecodeOptions
from .task import HeadWithLoss, LocalizeTask, Validation
from .train_options import LocalizeTrainOptions
from .training_data import TrainingData


class JointNetwork(nn.Module):
    """Adapter, head and both losses as one module, so that a wrapper for several devices sees the whole forward pass.

    Args:
        matching: Similarity Matching; none: the adapter learns from the head's loss alone.
        weight: of Similarity Matching in the sum.
    """

    def __init__(
        self, adapter: SoLa, localization: HeadWithLoss, matching: SimilarityMatching | None, weight: float
    ) -> None:
        super().__init__()
        self.adapter, self.localization, self.matching, self.weight = adapter, localization, matching, weight
        self.seen: tuple[Tensor, Tensor, Tensor] | None = None
        """Rows of the last windows before and after the adapter, and which of them exist."""

    def forward(
        self,
        features: Tensor,
        mask: Tensor,
        segments: list[Tensor],
        labels: list[Tensor],
        rows: Tensor,
        valid: Tensor,
        seconds: Tensor,
    ) -> dict[str, Tensor]:
        """Losses of a batch: those of the head, and ``matching`` and ``above_floor``.

        Args:
            rows: where the rows of the similarity matrix stand in the crop. Shape: [B, N].
            valid: which of them exist. Shape: [B, N], bool.
            seconds: between neighbouring ones. Shape: [B].

        The rest is as in :meth:`HeadWithLoss.forward`.
        """
        adapted = self.adapter(features, mask=mask)  # [B, T, C]
        losses: dict[str, Tensor] = self.localization(adapted, mask, segments, labels)
        before, after = _take(features, rows), _take(adapted, rows)  # [B, T, C] -> [B, N, C]
        self.seen = (before, after.detach(), valid)
        if self.matching is None:
            return losses
        matching: dict[str, Tensor] = self.matching(after, valid, seconds)
        total = losses["loss"] + self.weight * matching["loss"]
        return {**losses, "loss": total, "matching": matching["loss"], "above_floor": matching["above_floor"]}


class JointTask(LocalizeTask):
    """Training of an adapter and a head as one; the moving averages of both are the model.

    With the same seed the head starts with the weights, and sees the crops, that it would have without the adapter.

    Args:
        data: the training videos, features not adapted.
        options: the recipe; its schedule and its average also act on the adapter.
        sola: the adapter and what it is trained to do.
        weight: of Similarity Matching; with 0 it is not computed at all.
        decoding: as for :class:`LocalizeTask`.
        validation: as for :class:`LocalizeTask`, features not adapted.
    """

    def __init__(
        self,
        data: TrainingData,
        options: LocalizeTrainOptions,
        sola: SolaOptions = SolaOptions(),
        weight: float = 1.0,
        *,
        decoding: DecodeOptions | None = None,
        validation: Validation | None = None,
    ) -> None:
        super().__init__(
            data, options, decoding=decoding, validation=validation
        )  # first: it seeds, then draws the head
        self.require_rows("SoLa inside the head")
        self.sola = sola
        self.adapter = SoLa(data.spec.width, sola)
        self.adapter_average = copy.deepcopy(self.adapter).eval()
        self.averaged.append((self.adapter_average, self.adapter))
        matching = SimilarityMatching(data.spec.width, sola) if weight > 0 else None
        self.joint = JointNetwork(self.adapter, HeadWithLoss(self.head, options), matching, weight)
        self.networks = {"joint": self.joint, "average": self.average, "adapter_average": self.adapter_average}
        # At the official rate the gate would hardly open in as few updates as a head on a few dozen videos gets.
        recipe = SolaTraining(recipe="small").resolve(len(data.videos))
        self.optimizers["adapter"] = AdamW(gate_apart(self.adapter, recipe))
        if matching is not None and sola.predictor:
            rate, decay = recipe.learning_rate or 0, recipe.weight_decay
            self.optimizers["predictor"] = AdamW(matching.parameters(), rate, weight_decay=decay)
        self._seconds = [data.features[video.name].time.step * sola.step for video in data.videos]

    def sample(self, index: int, rng: np.random.Generator) -> tuple[Any, ...]:
        """A stretch of a video as without an adapter, and a window in it.

        Shape: features [T, C], segments [S, 2], labels [S]; rows [N], which exist [N], seconds between them.
        """
        values, segments, labels = super().sample(index, rng)
        return values, segments, labels, *window_rows(len(values), self.sola, rng), self._seconds[self.places[index][0]]

    def collate(self, samples: list[Any]) -> dict[str, Any]:
        """Crops padded to the longest of the batch, windows stacked."""
        rows, valid, seconds = zip(*(sample[3:] for sample in samples), strict=True)
        return {
            **super().collate([sample[:3] for sample in samples]),
            "rows": torch.from_numpy(np.stack(rows)),  # [B, N]
            "valid": torch.from_numpy(np.stack(valid)),  # [B, N]
            "seconds": torch.tensor(seconds),  # [B]
        }

    def loss(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """The sum of both losses, and its parts."""
        losses: dict[str, Tensor] = self.networks["joint"](**batch)
        return losses

    def settings(self) -> dict[str, Any]:
        """What decides the result, the adapter's options and the weight included."""
        kind = "unified" if self.joint.matching is None else "joint"
        return {**super().settings(), "sola": kind, "sola_weight": self.joint.weight, **asdict(self.sola)}

    def monitor(self) -> dict[str, float]:
        """The gate, how much the adapter changes, and what it does to similarity; see ``sola.monitor.gauge``."""
        if self.joint.seen is None:
            return {}
        return {"gate": float(self.adapter.alpha.detach().tanh()), **gauge(*self.joint.seen)}

    def localize(self, videos: Sequence[Features]) -> list[list[Segment]]:
        """Segments of each video, whose features are not adapted, by the averaged adapter and head."""
        adapted = (self.adapter_average.adapt_rows(video.values) for video in videos)  # [T, C] each
        return super().localize([replace(video, values=rows) for video, rows in zip(videos, adapted, strict=True)])

    def save(self, folder: Path) -> Localizer:
        """Write the averaged head, which takes adapted features, and the averaged adapter beside it."""
        source = self.data.features[self.data.videos[0].name]
        self.adapter_average.save(folder / ADAPTER, source)
        labels, spec = self.adapter_average.labels(source), self.localizer.features
        self.localizer.features = replace(spec, encoder=labels["encoder"], weight_hash=labels["weight_hash"])
        return super().save(folder)


def window_rows(length: int, options: SolaOptions, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Where in a crop of ``length`` rows the rows of a random similarity matrix stand, and which of them exist.

    The same windows as ``sola.windows.draw_window`` draws, so with the same context; rows that do not exist stand at
    an end of the crop.

    Shape: [N], [N].
    """
    rows = place_window(length, options, rng) + np.asarray(options.positions)
    return rows.clip(0, length - 1), (rows >= 0) & (rows < length)


def _take(features: Tensor, rows: Tensor) -> Tensor:
    """[B, T, C], [B, N] -> [B, N, C]."""
    return features.gather(1, rows[..., None].expand(-1, -1, features.shape[-1]))
