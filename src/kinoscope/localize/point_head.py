"""ActionFormer and its like in training and in use: losses of a batch, candidates and class scores of videos.

Source: specification sections 1.5 to 1.8.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.padding import pad
from .batches import padded_length
from .decode import Seen, decode
from .loss import LocalizationLoss
from .network import ActionFormer, Levels, level_masks
from .options import ActionFormerOptions, DecodeOptions
from .pieces import can_be_cut, in_pieces
from .targets import assign_targets, pyramid_points
from .train_options import LocalizeTrainOptions

_ROWS_PER_BATCH = 8192


class PointLoss(LocalizationLoss):
    """Targets and losses of a batch."""

    def __init__(self, head: ActionFormerOptions, options: LocalizeTrainOptions) -> None:
        super().__init__(options.normaliser, smoothing=options.smoothing, offset_weight=options.offset_weight)
        self.head, self.radius = head, options.radius

    def of(self, levels: Levels, mask: Tensor, segments: list[Tensor], labels: list[Tensor]) -> dict[str, Tensor]:
        """Losses of a batch.

        Args:
            levels: from the network.
            mask: of its input, [B, T].
            segments: per video [N, 2] in grid units.
            labels: per video [N].
        """
        logits = torch.cat([logits for logits, _ in levels], dim=1)  # [B, P, K]
        offsets = torch.cat([offsets for _, offsets in levels], dim=1)  # [B, P, 2]
        valid = torch.cat(level_masks(mask.bool(), len(levels)), dim=1)  # [B, P]
        points = torch.cat(pyramid_points(mask.shape[1], self.head)).to(logits.device)  # [P, 4]
        targets = assign_targets(points, segments, labels, logits.shape[-1], self.radius, causal=self.head.causal)
        losses: dict[str, Tensor] = self(logits, offsets, valid, *targets)
        return losses


class PointHead:
    """What a localiser needs of a network that answers at the points of a pyramid."""

    def __init__(self, network: ActionFormer) -> None:
        self.network = network
        self.options = network.options

    @property
    def resized(self) -> int | None:
        """To how many rows whole videos come before anything else; none: they stay as they are."""
        return self.options.max_length if self.options.fit == "resize" else None

    def crop_length(self, longest: int) -> int:
        """Most rows of a training crop."""
        return longest

    @property
    def longest(self) -> float:
        """Rows of the longest segment that can be told; regression has no bound."""
        return math.inf

    def padded(self, rows: int) -> int:
        """To how many rows a training crop of ``rows`` is padded."""
        return padded_length(rows, self.options)

    def batches(self, lengths: Sequence[int]) -> Iterator[list[int]]:
        """Places of videos that fit together; an official head gets only videos that it pads to the same length."""
        batch: list[int] = []
        for place in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
            longest = self.padded(lengths[batch[0]]) if batch else 0
            alike = self.options.mask_clean or self.padded(lengths[place]) == longest
            if batch and not (alike and longest * (len(batch) + 1) <= _ROWS_PER_BATCH):
                yield batch
                batch = []
            batch.append(place)
        if batch:
            yield batch

    def look(self, videos: Sequence[NDArray[Any]], decoding: DecodeOptions) -> list[Seen]:
        """What the network says of videos [T, C] each."""
        outputs, mask = self._outputs(videos)
        found = decode(outputs, mask, self.options, decoding)
        scores = self._class_scores(outputs)  # [B, T, K]
        return [Seen(own, curve[: len(video)]) for own, curve, video in zip(found, scores, videos, strict=True)]

    def _outputs(self, videos: Sequence[NDArray[Any]]) -> tuple[Levels, Tensor]:
        """What the network says of a batch, and the mask [B, T]; a long video goes through it in pieces."""
        self.network.eval()  # the training loop may have switched the mode
        if len(videos) == 1 and len(videos[0]) > _ROWS_PER_BATCH and can_be_cut(self.network):
            return in_pieces(self.network, videos[0]), torch.ones(1, len(videos[0]), dtype=torch.bool)
        values, mask = pad(videos, self.padded(max(map(len, videos))))
        device = next(self.network.parameters()).device
        return self.network(values.to(device), mask.to(device)), mask

    def _class_scores(self, outputs: Levels) -> NDArray[np.float32]:
        """The largest score of any level at each row. Shape: [B, T, K]."""
        scores = torch.zeros_like(outputs[0][0])  # [B, T, K]
        for (logits, _), stride in zip(outputs, self.options.strides, strict=True):
            spread = logits.sigmoid().repeat_interleave(stride, dim=1)  # [B, T_l, K] -> [B, T_l · stride, K]
            scores = torch.maximum(scores, spread[:, : scores.shape[1]])
        return np.asarray(scores.cpu().numpy())
