"""The losses of G-TAD and BMN: boundaries, tIoU of cells as a number and as yes or no, and classes, which are ours.

Source: specification sections 2.3 and 3.3; G-TAD (CVPR 2020) section 3.4, BMN (ICCV 2019) section 3.3. Computed in
float32 also under mixed precision.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .map_network import Maps
from .map_options import MapOptions
from .map_targets import best_cells, boundary_targets, cell_targets

BOUNDARY, HIGH, LOW, SURE = 0.5, 0.7, 0.3, 0.9
"""Positive boundaries are above the first; high cells, and low ones up to; cells sure to be segments."""
_EPS = 1e-6
_OF_A_SEGMENT = 0.5
"""tIoU above which a cell learns the class of its segment."""


def balanced_entropy(predicted: Tensor, target: Tensor, valid: Tensor, threshold: float, guard: float = 0.0) -> Tensor:
    """Binary cross entropy in which positives and negatives weigh the same; any shape → scalar.

    The published coefficients, N / 2N⁺ and N / 2N⁻ in a sum divided by N, are half the mean of either group. A group
    without members gives 0.

    Args:
        threshold: targets above it are positive.
        guard: added to the size of either group.
    """
    predicted, positive = predicted[valid], target[valid] > threshold
    groups = (-(predicted[positive] + _EPS).log(), -(1 - predicted[~positive] + _EPS).log())
    halves = [group.sum() / max(len(group) + guard, 1) for group in groups]
    return 0.5 * (halves[0] + halves[1])


def overlap_regression(
    predicted: Tensor, target: Tensor, valid: Tensor, draws: Tensor, *, published: bool = False
) -> Tensor:
    """Half of the weighted squared error of the tIoU; any shape → scalar, 0 where there is no high cell.

    All high cells count. Of the medium and of the low ones, each that has ``draws`` of at least 1 − min(1, high / size
    of its group) does, so that the groups weigh alike.

    Args:
        draws: uniform random numbers in [0, 1), one per cell.
        published: as the releases: where high cells outnumber a group, every cell of the map, invalid ones too, counts
            once more for it.
    """
    groups = [
        valid & (target > HIGH),
        valid & (target > LOW) & (target <= HIGH),
        valid & (target > 0) & (target <= LOW),
    ]
    high, *others = groups
    weight = high.to(predicted)
    for group in others:
        ratio = high.sum() / group.sum().clamp(min=1)
        if published:
            weight = weight + (draws * group > 1 - ratio)
        else:
            weight = weight + (group & (draws >= 1 - ratio.clamp(max=1)))
    return 0.5 * ((weight * (predicted - target)) ** 2).sum() / weight.sum().clamp(min=1)


def class_entropy(logits: Tensor, target: Tensor, positive: Tensor) -> Tensor:
    """Cross entropy of independent classes, summed over these, mean of the positive cells; 0 without any.

    Shape:
        logits and target [M, K], positive [M] → scalar.
    """
    entropy = F.binary_cross_entropy_with_logits(logits[positive], target[positive], reduction="sum")
    return entropy / max(int(positive.sum()), 1)


class MapLoss(nn.Module):
    """The sum of all losses of a batch."""

    cells: Tensor
    valid: Tensor

    def __init__(self, options: MapOptions) -> None:
        super().__init__()
        self.options = options
        cells = torch.from_numpy(options.cells.segments()).float()
        self.register_buffer("cells", cells, persistent=False)  # [N, 2]
        self.register_buffer("valid", torch.from_numpy(options.cells.valid()), persistent=False)  # [N]

    def of(self, maps: Maps, mask: Tensor, segments: list[Tensor], labels: list[Tensor]) -> dict[str, Tensor]:
        """Losses of a batch.

        Args:
            maps: from the network.
            mask: of its input, [B, T'].
            segments: per video [S, 2] in grid units of the input.
            labels: per video [S].

        Returns:
            ``loss`` to minimise, its parts, and ``positives``, the number of high cells; scalars.
        """
        options = self.options
        edges = [(own.to(self.cells) + 0.5) * scale for own, scale in zip(segments, self._scales(mask), strict=True)]
        pairs = [
            cell_targets(self.cells, own, number.to(self.cells.device), options.classes)
            for own, number in zip(edges, labels, strict=True)
        ]
        iou, classes = (torch.stack(parts) for parts in zip(*pairs, strict=True))  # [B, N], [B, N, K]
        valid = self.valid & (self.cells[:, 1] <= maps.rows[:, None])  # [B, N]
        sure = iou
        if options.best_is_sure:
            best = [best_cells(self.cells, own, cells) for own, cells in zip(edges, valid, strict=True)]
            sure = torch.where(torch.stack(best), 1.0, iou)  # [B, N]
        regression, overlap = (part.flatten(1).float() for part in (maps.regression, maps.overlap))  # [B, N]
        parts = {
            "boundary_loss": self._boundaries(maps, edges),
            "regression_loss": overlap_regression(
                regression, iou, valid, torch.rand_like(iou), published=options.published_sampling
            ),
            "overlap_loss": balanced_entropy(overlap, sure, valid, SURE, options.guard),
        }
        total = (
            parts["boundary_loss"]
            + options.regression_weight * parts["regression_loss"]
            + options.overlap_weight * parts["overlap_loss"]
        )
        if options.classes > 1:
            logits = maps.classes.flatten(2).transpose(1, 2).float()  # [B, K, *map] -> [B, N, K]
            positive = (valid & (iou > _OF_A_SEGMENT)).flatten()
            parts["class_loss"] = class_entropy(logits.flatten(0, 1), classes.flatten(0, 1), positive)
            total = total + options.class_weight * parts["class_loss"]
        return {"loss": total, **parts, "positives": (valid & (iou > HIGH)).sum().float()}

    def _scales(self, mask: Tensor) -> list[float]:
        """Rows of the map per row of the input, of each video."""
        if self.options.fit == "windows":
            return [1.0] * len(mask)
        return [self.options.rows / rows for rows in mask.sum(1).tolist()]

    def _boundaries(self, maps: Maps, edges: list[Tensor]) -> Tensor:
        rows, cell = self.options.rows, self.options.boundary_cell
        valid = torch.arange(rows, device=maps.rows.device) < maps.rows[:, None]  # [B, T]
        losses = []
        for side, predicted in enumerate((maps.start, maps.end)):
            target = torch.stack([boundary_targets(own[:, side], rows, cell) for own in edges])
            losses.append(balanced_entropy(predicted.float(), target, valid, BOUNDARY))
        return losses[0] + losses[1]
