"""TriDet: ActionFormer's pyramid with convolutions in the place of attention, and boundaries sought among neighbours.

Source: Shi et al., "TriDet: Temporal Action Detection with Relative Boundary Modeling", CVPR 2023; specification
section 4. As released, the means and norms over time see the padding, so that everything depends on how much there is;
with ``mask_clean`` they do not.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import BranchScale, ChannelNorm, MaskedConv
from .loss import diou_loss, sigmoid_focal_loss, smooth_targets
from .network import ActionFormer, Backbone, ClassHead, OffsetHead
from .options import TriDetOptions
from .point_head import PointLoss
from .train_options import LocalizeTrainOptions


class TriDet(ActionFormer):
    """The whole head.

    Shape:
        as :class:`ActionFormer`, but every class has its own offsets: [B, T_l, K, 2].
    """

    def __init__(self, options: TriDetOptions) -> None:
        super().__init__(options)
        self.backbone, self.reg_head = SgpBackbone(options), TridentHead(options)


class SgpBackbone(Backbone):
    """Embedding convolutions, then SGP layers whose outputs form the pyramid."""

    def __init__(self, options: TriDetOptions) -> None:
        super().__init__(options)
        self.noise = options.noise
        self.stem = nn.ModuleList(SgpBlock(options, 1) for _ in range(options.stem_blocks))
        self.branch = nn.ModuleList(SgpBlock(options, 2) for _ in range(options.branch_blocks))

    def forward(self, x: Tensor, mask: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """[B, C, T], [B, 1, T] → levels [B, W, T_l], their masks [B, 1, T_l]."""
        if self.training and self.noise > 0:
            x = x + self.noise * torch.randn_like(x)
        return super().forward(x, mask)


class SgpBlock(nn.Module):
    """Scalable-granularity perception (section 3.2) and an MLP; stride 2 halves the time by max pooling first."""

    def __init__(self, options: TriDetOptions, stride: int) -> None:
        super().__init__()
        self.stride, self.clean = stride, options.mask_clean
        width, small = options.width, options.sgp_kernel
        self.ln = ChannelNorm(width, clean=self.clean)
        self.psi, self.convw = _depthwise(width, small, options.sgp_std), _depthwise(width, small, options.sgp_std)
        self.convkw = _depthwise(width, options.wide_kernel, options.sgp_std)
        self.fc, self.global_fc = _depthwise(width, 1, options.sgp_std), _depthwise(width, 1, options.sgp_std)
        self.gn = MaskedGroupNorm(options.norm_groups, width, clean=self.clean)
        self.mlp = nn.Sequential(
            nn.Conv1d(width, options.mlp_width, 1), nn.GELU(), nn.Conv1d(options.mlp_width, width, 1)
        )
        self.drop_path_out = BranchScale(width, options.drop_path, options.branch_scale)
        self.drop_path_mlp = BranchScale(width, options.drop_path, options.branch_scale)

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """[B, C, T], [B, 1, T] → [B, C, T'], [B, 1, T'] with T' = ceil(T / stride)."""
        if self.stride > 1:
            x = F.max_pool1d(x.masked_fill(~mask, -torch.inf) if self.clean else x, 3, self.stride, 1)
            mask = mask[..., :: self.stride]
            x = x.masked_fill(~mask, 0) if self.clean else x
        kept: Tensor | float = mask if self.clean else 1.0
        x = x * mask + self.drop_path_out(self._perceive(x, mask) * kept)
        return x + self.drop_path_mlp(self.mlp(self.gn(x, mask)) * kept), mask

    def _perceive(self, x: Tensor, mask: Tensor) -> Tensor:
        """The instant branch, gated by the whole sequence, the window branch, and the input."""
        z = self.ln(x, mask)
        mean = (
            z.sum(2, keepdim=True) / mask.sum(2, keepdim=True) if self.clean else z.mean(2, keepdim=True)
        )  # [B, C, 1]
        instant = self.fc(z) * F.relu(self.global_fc(mean))
        return instant + (self.convw(z) + self.convkw(z)) * self.psi(z) + z  # type: ignore[no-any-return]


class MaskedGroupNorm(nn.Module):
    """GroupNorm whose means and variances are those of the valid steps; without ``clean``, of all steps."""

    def __init__(self, groups: int, width: int, *, clean: bool) -> None:
        super().__init__()
        self.groups, self.clean = groups, clean
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """[B, C, T], [B, 1, T] → [B, C, T]."""
        if not self.clean:
            return F.group_norm(x, self.groups, self.weight, self.bias)
        parts = x.view(len(x), self.groups, -1, x.shape[2])  # [B, G, C / G, T]
        inside = mask[:, None]  # [B, 1, 1, T]
        count = inside.sum((2, 3), keepdim=True) * parts.shape[2]
        mean = (parts * inside).sum((2, 3), keepdim=True) / count
        variance = ((parts - mean).square() * inside).sum((2, 3), keepdim=True) / count
        y = ((parts - mean) * (variance + 1e-5).rsqrt()).view_as(x)
        return (y * self.weight[:, None] + self.bias[:, None]) * mask


class TridentHead(OffsetHead):
    """Distances to both boundaries, for every class, as expected places in bins beside each point (section 3.3)."""

    def __init__(self, options: TriDetOptions) -> None:
        super().__init__(options)
        self.offset_head = MaskedConv(options.width, 2 * (options.bins + 1), options.kernel, bias=True)
        self.start_head, self.end_head = ClassHead(options), ClassHead(options)

    def forward(self, levels: list[Tensor], masks: list[Tensor]) -> list[Tensor]:
        """Levels of [B, W, T_l] → [B, K, T_l, 2], ≥ 0, in strides of the level."""
        centres = super().forward(levels, masks)  # [B, 2 · (bins + 1), T_l] each
        fixed = [x.detach() for x in levels]  # boundaries do not shape the features, as published
        starts, ends = self.start_head(fixed, masks), self.end_head(fixed, masks)  # [B, K, T_l] each
        return [
            trident_offsets(start, end, centre.transpose(1, 2)) * mask[..., None]
            for start, end, centre, mask in zip(starts, ends, centres, masks, strict=True)
        ]


def trident_offsets(start: Tensor, end: Tensor, centre: Tensor) -> Tensor:
    """Expected distances to the start and the end, in points.

    Of the points t − B … t each may be the start, with a probability that its response and what t says of it give; the
    end is sought in t … t + B. Beyond the sequence the response is 0.

    Shape:
        start and end [B, K, T], centre [B, T, 2 · (bins + 1)], the start's first → [B, K, T, 2].
    """
    bins = centre.shape[2] // 2 - 1
    left, right = centre[:, None].chunk(2, dim=3)  # [B, 1, T, bins + 1] each
    before = F.pad(start, (bins, 0)).unfold(2, bins + 1, 1) + left  # [B, K, T, bins + 1]: t − bins … t
    after = F.pad(end, (0, bins)).unfold(2, bins + 1, 1) + right  # t … t + bins
    steps = torch.arange(bins + 1, dtype=centre.dtype, device=centre.device)
    return torch.stack([before.softmax(3) @ steps.flip(0), after.softmax(3) @ steps], dim=3)


class TriDetLoss(PointLoss):
    """As ActionFormer's, with offsets for every class; the better they fit, the more the class loss weighs."""

    def __init__(self, head: TriDetOptions, options: LocalizeTrainOptions) -> None:
        super().__init__(head, options)
        self.power, self.gradient = head.quality_power, head.quality_gradient

    def forward(
        self, logits: Tensor, offsets: Tensor, mask: Tensor, class_targets: Tensor, offset_targets: Tensor
    ) -> dict[str, Tensor]:
        """As :class:`LocalizationLoss`, but offsets [B, P, K, 2]."""
        entry = (class_targets > 0) & mask[..., None]  # [B, P, K]
        count = entry.any(-1).sum()
        if self.training:
            self._count(count)
        norm = self.normaliser.clone()  # the next call changes it in place, maybe before backward
        predicted, target = offsets[entry], offset_targets[:, :, None].expand_as(offsets)[entry]  # [M, 2] each
        entropy = sigmoid_focal_loss(logits, smooth_targets(class_targets, self.smoothing))  # [B, P, K]
        quality = intersection_over_union(predicted, target) ** self.power
        weight = torch.ones_like(entropy)
        weight[entry] = (quality if self.gradient else quality.detach()).to(weight)
        class_loss = (entropy * weight)[mask].sum() / norm
        offset_loss = diou_loss(predicted, target).sum() / norm
        total = class_loss + self._weight(class_loss, offset_loss) * offset_loss
        return {"loss": total, "class_loss": class_loss, "offset_loss": offset_loss, "positives": count.float()}


def intersection_over_union(predicted: Tensor, target: Tensor) -> Tensor:
    """IoU of two intervals around the same point, at least 1e-8: its powers have no slope at 0. [..., 2] → [...]."""
    common = torch.minimum(predicted, target).sum(-1)
    union = torch.maximum(predicted, target).sum(-1)
    return (common / union.clamp(min=1e-8)).clamp(min=1e-8)


class Scaling(nn.Conv1d):
    """A factor and a summand for each channel.

    As a depthwise convolution, on one core, PyTorch would compute one channel after the other.
    """

    def __init__(self, width: int) -> None:
        super().__init__(width, width, 1, groups=width)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, T] → the same."""
        return x * self.weight[:, 0] + self.bias[:, None]  # type: ignore[index]


def _depthwise(width: int, kernel: int, std: float) -> nn.Conv1d:
    conv = Scaling(width) if kernel == 1 else nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
    nn.init.normal_(conv.weight, std=std)
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)
    return conv
