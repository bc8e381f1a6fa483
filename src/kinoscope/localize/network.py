"""ActionFormer: features over time → for every point of a time pyramid, class logits and distances to both boundaries.

Source: Zhang et al., "ActionFormer: Localizing Moments of Actions with Transformers", ECCV 2022; specification
sections 1.2 to 1.4 and 1.10. The names of all weights equal the official ones.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import FeatureError
from .layers import ChannelNorm, MaskedConv, TransformerBlock
from .options import ActionFormerOptions

Levels = list[tuple[Tensor, Tensor]]
"""Per level: class logits [B, T_l, K] and offsets [B, T_l, 2] ≥ 0 in strides of the level; T_l = ceil(T / 2^l)."""


class ActionFormer(nn.Module):
    """The whole head.

    Shape:
        features [B, T, C] with T ≥ 1, mask [B, T] (true where there is input) → list over levels of
        (class logits [B, T_l, K], offsets [B, T_l, 2] ≥ 0 in strides of the level). Both are 0 at the padding.

    Raises:
        FeatureError: when the features are not [B, T, C] of the width that the network was built for.
    """

    def __init__(self, options: ActionFormerOptions) -> None:
        super().__init__()
        self.options = options
        self.backbone = Backbone(options)
        self.neck = Neck(options)
        self.cls_head = ClassHead(options)
        self.reg_head = OffsetHead(options)

    def forward(self, features: Tensor, mask: Tensor) -> Levels:
        """[B, T, C], [B, T] → per level ([B, T_l, K], [B, T_l, 2])."""
        mask = self._checked_mask(features, mask)
        x = features.transpose(1, 2)  # [B, C, T]
        levels, masks = self.backbone(x, mask[:, None])
        levels = self.neck(levels, masks)
        logits, offsets = self.cls_head(levels, masks), self.reg_head(levels, masks)
        return [(a.transpose(1, 2), b.transpose(1, 2)) for a, b in zip(logits, offsets, strict=True)]

    def _checked_mask(self, features: Tensor, mask: Tensor) -> Tensor:
        wanted = self.options.input_width
        if features.ndim != 3 or features.shape[-1] != wanted or features.shape[1] < 1:
            raise FeatureError(
                f"features have shape {tuple(features.shape)}, but the model wants [B, T, {wanted}], T at least 1",
                cure="extract the features with the encoder that the model was trained on",
            )
        if mask.shape != features.shape[:2]:
            raise FeatureError(
                f"mask has shape {tuple(mask.shape)}, but the features need {tuple(features.shape[:2])}",
                cure="give one truth value for every row",
            )
        return mask.bool()


class Backbone(nn.Module):
    """Embedding convolutions, then transformer blocks whose outputs form the pyramid."""

    def __init__(self, options: ActionFormerOptions) -> None:
        super().__init__()
        self.clean = options.mask_clean
        widths = [options.input_width] + [options.width] * options.embedding_convs
        self.embd = nn.ModuleList(MaskedConv(a, b, options.kernel, causal=options.causal) for a, b in pairwise(widths))
        self.embd_norm = nn.ModuleList(_norm(options) for _ in range(options.embedding_convs))
        self.position_code = PositionCode(options.width, options.max_length) if options.position_code else None
        windows = options.windows
        self.stem = nn.ModuleList(_block(options, windows[0], 1) for _ in range(options.stem_blocks))
        self.branch = nn.ModuleList(_block(options, window, 2) for window in windows[1:])

    def forward(self, x: Tensor, mask: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """[B, C, T], [B, 1, T] → levels [B, W, T_l], their masks [B, 1, T_l]."""
        if self.clean:
            x = x.masked_fill(~mask, 0)
        for conv, norm in zip(self.embd, self.embd_norm, strict=True):
            x = F.relu(norm(conv(x, mask), mask))
        if self.position_code is not None:
            x = x + self.position_code(x.shape[2]) * mask
        for block in self.stem:
            x, mask = block(x, mask)
        levels, masks = [x], [mask]
        for block in self.branch:
            x, mask = block(x, mask)
            levels.append(x)
            masks.append(mask)
        return levels, masks


class PositionCode(nn.Module):
    """Sines and cosines of each row's place, of wavelengths from 2π to 10,000 · 2π rows, divided by √width."""

    code: Tensor

    def __init__(self, width: int, rows: int) -> None:
        super().__init__()
        channel = np.arange(width)[:, None]
        angle = np.arange(rows) / 10000 ** (2 * (channel // 2) / width)  # [W, T]; two channels share a wavelength
        code = np.where(channel % 2 == 0, np.sin(angle), np.cos(angle)) / math.sqrt(width)
        self.register_buffer("code", torch.from_numpy(code).float()[None], persistent=False)  # [1, W, T]

    def forward(self, rows: int) -> Tensor:
        """Of the first ``rows``; more than there are share the code of all. Shape: [1, W, rows]."""
        if rows > self.code.shape[2]:
            return F.interpolate(self.code, rows, mode="linear")
        return self.code[..., :rows]


class Neck(nn.Module):
    """One norm per level (the official "identity" pyramid)."""

    def __init__(self, options: ActionFormerOptions) -> None:
        super().__init__()
        self.fpn_norms = nn.ModuleList(_norm(options) for _ in range(options.levels))

    def forward(self, levels: list[Tensor], masks: list[Tensor]) -> list[Tensor]:
        """Levels of [B, W, T_l] → the same."""
        return [norm(x, mask) for norm, x, mask in zip(self.fpn_norms, levels, masks, strict=True)]


class _Trunk(nn.Module):
    """The convolutions that a head applies to every level before its output."""

    def __init__(self, options: ActionFormerOptions) -> None:
        super().__init__()
        self.head = nn.ModuleList(
            MaskedConv(options.width, options.width, options.kernel, causal=options.causal)
            for _ in range(options.head_layers - 1)
        )
        self.norm = nn.ModuleList(_norm(options) for _ in range(options.head_layers - 1))

    def trunk(self, x: Tensor, mask: Tensor) -> Tensor:
        """[B, W, T] → [B, W, T]."""
        for conv, norm in zip(self.head, self.norm, strict=True):
            x = F.relu(norm(conv(x, mask), mask))
        return x


class ClassHead(_Trunk):
    """Class logits, the same weights at every level; the bias starts at the logit of the prior (focal loss paper)."""

    def __init__(self, options: ActionFormerOptions) -> None:
        super().__init__(options)
        self.cls_head = MaskedConv(options.width, options.classes, options.kernel, bias=True, causal=options.causal)
        assert self.cls_head.conv.bias is not None
        nn.init.constant_(self.cls_head.conv.bias, -math.log((1 - options.prior) / options.prior))

    def forward(self, levels: list[Tensor], masks: list[Tensor]) -> list[Tensor]:
        """Levels of [B, W, T_l] → [B, K, T_l]."""
        return [self.cls_head(self.trunk(x, mask), mask) for x, mask in zip(levels, masks, strict=True)]


class OffsetHead(_Trunk):
    """Distances to the start and the end, in level strides; the same weights at every level but for one factor."""

    def __init__(self, options: ActionFormerOptions) -> None:
        super().__init__(options)
        self.scale = nn.ModuleList(LevelScale() for _ in range(options.levels))
        self.offset_head = MaskedConv(options.width, 2, options.kernel, bias=True, causal=options.causal)
        assert self.offset_head.conv.bias is not None
        nn.init.constant_(self.offset_head.conv.bias, options.offset_bias)

    def forward(self, levels: list[Tensor], masks: list[Tensor]) -> list[Tensor]:
        """Levels of [B, W, T_l] → [B, 2, T_l], ≥ 0."""
        outputs = (self.offset_head(self.trunk(x, mask), mask) for x, mask in zip(levels, masks, strict=True))
        return [F.relu(scale(x)) for scale, x in zip(self.scale, outputs, strict=True)]


class LevelScale(nn.Module):
    """One learned factor."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, x: Tensor) -> Tensor:
        """Any shape → the same."""
        return x * self.scale


def level_masks(mask: Tensor, levels: int) -> list[Tensor]:
    """Which points of each level see input: [B, T] → per level [B, ceil(T / 2^l)]."""
    return [mask[:, :: 2**level] for level in range(levels)]


def _norm(options: ActionFormerOptions) -> ChannelNorm:
    return ChannelNorm(options.width, clean=options.mask_clean)


def _block(options: ActionFormerOptions, window: int, stride: int) -> TransformerBlock:
    return TransformerBlock(
        options.width,
        options.heads,
        window,
        stride=stride,
        kernel=options.kernel,
        hidden=options.mlp_ratio * options.width,
        drop_path=options.drop_path,
        branch_scale=options.branch_scale,
        clean=options.mask_clean,
        causal=options.causal,
    )
