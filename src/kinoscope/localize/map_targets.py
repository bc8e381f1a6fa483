"""What every cell of a map, and every row, should answer.

All places are edges: row i reaches from i to i + 1 (see ``cells``).

Source: specification section 2.3; G-TAD (CVPR 2020) section 3.4, BMN (ICCV 2019) section 3.3.
"""

from __future__ import annotations

import torch
from torch import Tensor

FITS = 0.5
"""Least tIoU of a segment's best cell for it to stand for the segment."""
SAME_OVERLAP = 1e-3
"""Segments whose tIoU with a cell differs from the best by less than this share it: all of their classes count."""


def overlaps(cells: Tensor, segments: Tensor) -> Tensor:
    """tIoU of every cell with every segment; 0 with one that is empty. [N, 2], [S, 2] → [N, S]."""
    start, end = cells[:, None].unbind(2)  # [N, 1] each
    common = (torch.minimum(end, segments[:, 1]) - torch.maximum(start, segments[:, 0])).clamp(min=0)
    union = (end - start) + (segments[:, 1] - segments[:, 0]) - common
    return common / union.clamp(min=1e-9)


def cell_targets(cells: Tensor, segments: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """The largest tIoU of every cell with a segment, and the classes of the segments that it belongs to.

    Shape:
        cells [N, 2], segments [S, 2], labels [S] → [N] and [N, K] in {0, 1}.
    """
    if not len(segments):
        return cells.new_zeros(len(cells)), cells.new_zeros(len(cells), classes)
    iou = overlaps(cells, segments)  # [N, S]
    best = iou.amax(1)
    sharing = (iou > 0) & (iou >= best[:, None] - SAME_OVERLAP)
    one_hot = torch.nn.functional.one_hot(labels, classes).to(cells)  # [S, K]
    return best, (sharing.to(cells) @ one_hot).clamp(max=1)


def best_cells(cells: Tensor, segments: Tensor, valid: Tensor) -> Tensor:
    """Which cell fits a segment best, for any segment of which some valid cell covers half. [N, 2], [S, 2] → [N]."""
    found = torch.zeros_like(valid)
    if len(segments):
        iou = overlaps(cells, segments) * valid[:, None]  # [N, S]
        fits = iou.amax(0) > FITS
        found[iou.argmax(0)[fits]] = True
    return found


def boundary_targets(boundaries: Tensor, rows: int, cell: tuple[float, float] = (-0.5, 1.5)) -> Tensor:
    """How much of what row i stands for lies within 1.5 rows of the nearest of ``boundaries``. [S] → [T].

    Args:
        cell: row i stands for i + the first to i + the second: (−0.5, 1.5) for ActivityNet and in mmaction2,
            (−0.5, 0.5) in the THUMOS release of G-TAD, (0, 1) in OpenTAD.
    """
    if not len(boundaries):
        return boundaries.new_zeros(rows)
    row = torch.arange(rows, dtype=boundaries.dtype, device=boundaries.device)[:, None]  # [T, 1]
    right = torch.minimum(row + cell[1], boundaries + 1.5)
    left = torch.maximum(row + cell[0], boundaries - 1.5)
    return ((right - left).clamp(min=0) / (cell[1] - cell[0])).amax(1)
