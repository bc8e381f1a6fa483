"""What every point of the pyramid should answer: its classes, and its distances to the segment's boundaries.

Source: ActionFormer (ECCV 2022), section 3.4; specification sections 1.4 and 1.5.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .options import ActionFormerOptions

SAME_LENGTH = 1e-3
"""Segments whose lengths differ by less than this, in grid units, share a point: all of their classes count."""


def pyramid_points(rows: int, options: ActionFormerOptions) -> list[Tensor]:
    """The points of every level over ``rows`` feature rows.

    Shape:
        returns per level [ceil(T / 2^l), 4]: grid position, shortest and longest distance it learns, stride; all in
        grid units.
    """
    levels = []
    for stride, (low, high) in zip(options.strides, options.ranges, strict=True):
        grid = torch.arange(0, rows, stride, dtype=torch.float32)
        rest = torch.tensor([low, high, stride]).expand(len(grid), 3)
        levels.append(torch.cat([grid[:, None], rest], dim=1))  # [T_l, 4]
    return levels


def assign_targets(
    points: Tensor,
    segments: Sequence[Tensor],
    labels: Sequence[Tensor],
    classes: int,
    radius: float = 1.5,
    *,
    causal: bool = False,
) -> tuple[Tensor, Tensor]:
    """Targets of a batch of videos that share their points.

    Args:
        points: [P, 4] from :func:`pyramid_points`, levels concatenated.
        segments: per video [N, 2], start and end in grid units; N may be 0.
        labels: per video [N], class numbers.
        classes: K.
        radius: only points within this many strides of a segment's centre are positive.
        causal: instead those within twice as many strides before its end, when most of it has been seen.

    Shape:
        returns class targets [B, P, K] in {0, 1} and offset targets [B, P, 2] in strides, 0 at negative points.
    """
    pairs = [_assign(points, a, b, classes, radius, causal) for a, b in zip(segments, labels, strict=True)]
    return torch.stack([classes for classes, _ in pairs]), torch.stack([offsets for _, offsets in pairs])


def _assign(
    points: Tensor, segments: Tensor, labels: Tensor, classes: int, radius: float, causal: bool
) -> tuple[Tensor, Tensor]:
    if not len(segments):
        return points.new_zeros(len(points), classes), points.new_zeros(len(points), 2)
    time, low, high, stride = (column[:, None] for column in points.unbind(1))  # each [P, 1]
    start, end = segments.to(points).unbind(1)  # each [N]

    offsets = torch.stack([time - start, end - time], dim=-1)  # [P, N, 2]
    centre = end - radius * stride if causal else (start + end) / 2
    left = torch.maximum(centre - radius * stride, start)
    right = torch.minimum(centre + radius * stride, end)
    inside = (left < time) & (time < right)
    farther = offsets.amax(-1)
    fits = inside & (low <= farther) & (farther <= high)  # [P, N]

    lengths = torch.where(fits, end - start, torch.inf)  # [P, N]
    shortest, winner = _first_minimum(lengths)
    sharing = fits & (lengths <= shortest[:, None] + SAME_LENGTH)
    one_hot = torch.nn.functional.one_hot(labels.to(points.device), classes).to(points)  # [N, K]
    targets = (sharing.to(points) @ one_hot).clamp(max=1)  # [P, K]

    chosen = offsets[torch.arange(len(points), device=points.device), winner] / stride  # [P, 2]
    return targets, chosen * fits.any(1, keepdim=True)


def _first_minimum(values: Tensor) -> tuple[Tensor, Tensor]:
    """Minimum over the last dimension and the first place where it stands (``Tensor.min`` promises no place)."""
    smallest = values.amin(-1)
    return smallest, (values == smallest[:, None]).to(torch.uint8).argmax(-1)
