"""The two losses of a point-based head and how they are added.

Source: ActionFormer (ECCV 2022), section 3.4; focal loss: Lin et al., ICCV 2017; DIoU: Zheng et al., AAAI 2020;
specification section 1.6. Both are computed in float32 also under mixed precision.
"""

from __future__ import annotations

import torch
import torch.distributed
import torch.nn.functional as F
from torch import Tensor, nn


def sigmoid_focal_loss(logits: Tensor, targets: Tensor, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """Cross entropy of independent classes, easy ones weighted down; targets may be soft. Any shape → the same."""
    logits, targets = _at_least_float32(logits), _at_least_float32(targets)
    probability = logits.sigmoid()
    entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    agreement = probability * targets + (1 - probability) * (1 - targets)
    weight = alpha * targets + (1 - alpha) * (1 - targets)
    return weight * entropy * (1 - agreement) ** gamma


def diou_loss(predicted: Tensor, target: Tensor, eps: float = 1e-8) -> Tensor:
    """1 − IoU + squared distance of the centres, of two intervals around the same point; [..., 2] → [...].

    Both are given as non-negative distances to the left and to the right. The hull is the union here, so a generalised
    IoU would equal the IoU; the centre term is what still pulls at a prediction of no extent.
    """
    left, right = _at_least_float32(predicted).unbind(-1)
    left_target, right_target = _at_least_float32(target).unbind(-1)
    intersection = torch.minimum(left, left_target) + torch.minimum(right, right_target)
    union = left + right + left_target + right_target - intersection
    hull = torch.maximum(left, left_target) + torch.maximum(right, right_target)
    centre = ((right - left) - (right_target - left_target)) / 2
    return 1 - intersection / union.clamp(min=eps) + (centre / hull.clamp(min=eps)) ** 2


def smooth_targets(targets: Tensor, smoothing: float) -> Tensor:
    """Move class targets towards 1 / (K + 1), as the official code does although it has no background class."""
    return targets * (1 - smoothing) + smoothing / (targets.shape[-1] + 1)


class LocalizationLoss(nn.Module):
    """Focal loss over all valid points plus DIoU over the positive ones, both divided by a running count of positives.

    The running count is a buffer: it is saved with a checkpoint, and averaged over processes. In training mode it moves
    by ``norm ← 0.9 · norm + 0.1 · max(positives, 1)`` before it is used.
    """

    normaliser: Tensor

    def __init__(self, normaliser: float = 100.0, *, smoothing: float = 0.0, offset_weight: float = 1.0) -> None:
        super().__init__()
        self.smoothing, self.offset_weight = smoothing, offset_weight
        self.register_buffer("normaliser", torch.tensor(float(normaliser)))

    def forward(
        self, logits: Tensor, offsets: Tensor, mask: Tensor, class_targets: Tensor, offset_targets: Tensor
    ) -> dict[str, Tensor]:
        """All levels together: logits [B, P, K], offsets [B, P, 2], mask [B, P], targets as from ``assign_targets``.

        Returns:
            ``loss`` to minimise, its parts ``class_loss`` and ``offset_loss``, and ``positives``; scalars.
        """
        positive = (class_targets > 0).any(-1) & mask  # [B, P]
        count = positive.sum()
        if self.training:
            self._count(count)
        norm = self.normaliser.clone()  # the next call changes it in place, maybe before backward
        smoothed = smooth_targets(class_targets, self.smoothing)
        class_loss = sigmoid_focal_loss(logits[mask], smoothed[mask]).sum() / norm
        offset_loss = diou_loss(offsets[positive], offset_targets[positive]).sum() / norm
        total = class_loss + self._weight(class_loss, offset_loss) * offset_loss
        return {"loss": total, "class_loss": class_loss, "offset_loss": offset_loss, "positives": count.float()}

    def _weight(self, class_loss: Tensor, offset_loss: Tensor) -> float | Tensor:
        """A weight of 0 or less balances the two losses (official behaviour)."""
        if self.offset_weight > 0:
            return self.offset_weight
        return class_loss.detach() / offset_loss.detach().clamp(min=0.01)

    @torch.no_grad()
    def _count(self, positives: Tensor) -> None:
        mean = positives.to(self.normaliser)
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.all_reduce(mean)
            mean /= torch.distributed.get_world_size()
        self.normaliser.mul_(0.9).add_(0.1 * mean.clamp(min=1))


def _at_least_float32(tensor: Tensor) -> Tensor:
    return tensor if tensor.dtype == torch.float64 else tensor.float()
