"""The building blocks of the head: masked convolution, norm over channels, scaled residual branch, transformer block.

Everything here works on [B, C, T] with a boolean mask [B, 1, T]. Attribute names are those of the official weights.
With ``clean`` every norm's output is zeroed at the padding, so that no layer ever reads it; without, padded steps carry
the norm's bias into their neighbours, as they do in the official release. With ``causal`` no step sees a later one.

Source: Zhang et al., "ActionFormer", ECCV 2022; specification sections 1.2, 1.3 and 8.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import local_attention


class MaskedConv(nn.Module):
    """Zero-padded Conv1d whose output is multiplied by the mask; with stride s the mask keeps every s-th step."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 3,
        *,
        stride: int = 1,
        groups: int = 1,
        bias: bool = False,
        causal: bool = False,
    ) -> None:
        super().__init__()
        self.stride, self.before = stride, kernel - 1 if causal else 0
        self.conv = nn.Conv1d(inputs, outputs, kernel, stride, 0 if causal else kernel // 2, groups=groups, bias=bias)
        if self.conv.bias is not None:
            nn.init.zeros_(self.conv.bias)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """[B, C, T], [B, 1, T] → [B, C', ceil(T / stride)]."""
        return self.conv(F.pad(x, (self.before, 0))) * mask[..., :: self.stride]  # type: ignore[no-any-return]


class ChannelNorm(nn.Module):
    """LayerNorm over the channels of each time step; weight and bias are stored as [1, C, 1]."""

    def __init__(self, width: int, *, clean: bool) -> None:
        super().__init__()
        self.clean = clean
        self.weight = nn.Parameter(torch.ones(1, width, 1))
        self.bias = nn.Parameter(torch.zeros(1, width, 1))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """[B, C, T], [B, 1, T] → [B, C, T]."""
        steps = x.transpose(1, 2)  # [B, T, C]
        y = F.layer_norm(steps, steps.shape[-1:], self.weight.flatten(), self.bias.flatten(), 1e-5).transpose(1, 2)
        return y * mask if self.clean else y  # [B, C, T]


class BranchScale(nn.Module):
    """Learned scale of a residual branch, and its removal for whole samples in training (LayerScale, DropPath)."""

    def __init__(self, width: int, drop: float, initial: float) -> None:
        super().__init__()
        self.drop = drop
        self.scale = nn.Parameter(torch.full((1, width, 1), initial))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, T] → [B, C, T]."""
        y = self.scale * x
        if not self.training or self.drop == 0:
            return y
        keep = torch.rand(len(x), 1, 1, device=x.device) >= self.drop
        return y * keep / (1 - self.drop)


class ConvAttention(nn.Module):
    """Local attention whose queries, keys and values pass a depthwise convolution first; it may halve the time."""

    def __init__(
        self, width: int, heads: int, window: int, *, stride: int, kernel: int, clean: bool, causal: bool = False
    ) -> None:
        super().__init__()
        self.heads, self.window, self.stride, self.causal = heads, window, stride, causal
        for name in ("query", "key", "value"):
            conv = MaskedConv(width, width, kernel, stride=stride, groups=width, causal=causal)
            self.add_module(f"{name}_conv", conv)
            self.add_module(f"{name}_norm", ChannelNorm(width, clean=clean))
            self.add_module(name, _pointwise(width, width))
        self.proj = _pointwise(width, width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """[B, C, T], [B, 1, T] → [B, C, ceil(T / stride)]."""
        after = mask[..., :: self.stride]
        query, key, value = (self._project(name, x, mask, after) for name in ("query", "key", "value"))
        out = local_attention(query, key, value, after[:, 0], self.window, causal=self.causal)  # [B, H, T', D]
        return self.proj(out.transpose(2, 3).flatten(1, 2)) * after  # type: ignore[no-any-return]

    def _project(self, name: str, x: Tensor, mask: Tensor, after: Tensor) -> Tensor:
        y = getattr(self, f"{name}_norm")(getattr(self, f"{name}_conv")(x, mask), after)
        y = getattr(self, name)(y)
        return y.unflatten(1, (self.heads, -1)).transpose(2, 3)  # type: ignore[no-any-return]  # [B, H, T', D]


class TransformerBlock(nn.Module):
    """Pre-norm block: local attention and an MLP, each added to its input; stride 2 halves the time by max pooling."""

    def __init__(
        self,
        width: int,
        heads: int,
        window: int,
        *,
        stride: int = 1,
        kernel: int = 3,
        hidden: int | None = None,
        drop_path: float = 0.0,
        branch_scale: float = 1e-4,
        clean: bool = True,
        causal: bool = False,
    ) -> None:
        super().__init__()
        self.stride, self.clean, self.causal = stride, clean, causal
        hidden = hidden or 4 * width
        self.ln1 = ChannelNorm(width, clean=clean)
        self.ln2 = ChannelNorm(width, clean=clean)
        self.attn = ConvAttention(width, heads, window, stride=stride, kernel=kernel, clean=clean, causal=causal)
        # Identity stands where the official network has its dropout of probability 0: the weights' names count it.
        self.mlp = nn.Sequential(_pointwise(width, hidden), nn.GELU(), nn.Identity(), _pointwise(hidden, width))
        self.drop_path_attn = BranchScale(width, drop_path, branch_scale)
        self.drop_path_mlp = BranchScale(width, drop_path, branch_scale)

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """[B, C, T], [B, 1, T] → [B, C, T'], [B, 1, T'] with T' = ceil(T / stride)."""
        after = mask[..., :: self.stride]
        x1 = self._skip(x, mask, after) + self.drop_path_attn(self.attn(self.ln1(x, mask), mask))
        return x1 + self.drop_path_mlp(self.mlp(self.ln2(x1, after)) * after), after

    def _skip(self, x: Tensor, mask: Tensor, after: Tensor) -> Tensor:
        if self.stride == 1:
            return x * after
        if self.clean:  # the padding must not win against negative values
            x = x.masked_fill(~mask, -torch.inf)
        if self.causal:
            return F.max_pool1d(F.pad(x, (2, 0), value=-torch.inf), 3, self.stride).masked_fill(~after, 0)
        return F.max_pool1d(x, 3, self.stride, 1).masked_fill(~after, 0)


def _pointwise(inputs: int, outputs: int) -> nn.Conv1d:
    conv = nn.Conv1d(inputs, outputs, 1)
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)
    return conv
