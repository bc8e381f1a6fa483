"""The BERT head: a class token attends over the tokens of a clip, and the answer is read from it.

Source: Kalfaoglu, Kalkan, Alatan, "Late Temporal Modeling in 3D CNN Architectures with BERT for Action Recognition"
(ECCV workshops 2020), section 3; exactly as in the released code (sheet, section 2). No masked prediction is trained.

Letters: B clips, N tokens, C channels, H heads, L layers. Position 0 of a sequence is the class token.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import OptionError
from .options import Initialization, Positions, Readout

_STD = 0.02


class UnbiasedLayerNorm(nn.Module):
    """(x − mean) / (std + 1e-6) · w + b, with the unbiased std: the layer norm of the released code.

    Args:
        width: C.
    """

    def __init__(self, width: int, epsilon: float = 1e-6) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        """Shape: [..., C] -> [..., C]."""
        std = x.std(dim=-1, keepdim=True)
        return self.weight * (x - x.mean(dim=-1, keepdim=True)) / (std + self.epsilon) + self.bias

    def folded(self) -> nn.LayerNorm:
        """The same function as a standard layer norm, but for the place of the epsilon."""
        width = len(self.weight)
        norm = nn.LayerNorm(width, self.epsilon**2).to(self.weight)
        with torch.no_grad():
            norm.weight.copy_(self.weight * ((width - 1) / width) ** 0.5)
            norm.bias.copy_(self.bias)
        return norm


class Block(nn.Module):
    """One transformer encoder layer, normalised before each part and not after the last.

    Args:
        width: C, a multiple of ``heads``.
        heads: H.
        dropout: on attention weights, on both sub-layers, inside the feed-forward part, and on the output.
        norm: makes the two layer norms.
    """

    def __init__(self, width: int, heads: int, dropout: float = 0.1, norm: type[nn.Module] = UnbiasedLayerNorm) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.norm1, self.norm2 = norm(width), norm(width)
        self.query, self.key, self.value = nn.Linear(width, width), nn.Linear(width, width), nn.Linear(width, width)
        self.output = nn.Linear(width, width)
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor, keep: Tensor | None = None) -> Tensor:
        """One layer by fused attention.

        Args:
            x: [B, S, C].
            keep: which tokens are keys and values for others, [B, S]; a token that is not still keeps its own path.

        Shape: -> [B, S, C].
        """
        query, key, value = self._projected(self.norm1(x))  # each [B, H, S, C/H]
        mask = keep[:, None, None, :] if keep is not None else None  # [B, 1, 1, S]
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(query, key, value, mask, dropout)
        return self._after_attention(x, mixed)

    def attend(self, x: Tensor, keep: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """As :meth:`forward` in evaluation mode, with the attention weights. Shape: -> [B, S, C], [B, H, S, S]."""
        query, key, value = self._projected(self.norm1(x))
        scores = query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5  # [B, H, S, S]
        if keep is not None:
            scores = scores.masked_fill(~keep[:, None, None, :], float("-inf"))
        weights = scores.softmax(dim=-1)
        return self._after_attention(x, weights @ value), weights

    def _projected(self, x: Tensor) -> list[Tensor]:
        split = (self.heads, x.shape[-1] // self.heads)
        return [layer(x).unflatten(-1, split).transpose(1, 2) for layer in (self.query, self.key, self.value)]

    def _after_attention(self, x: Tensor, mixed: Tensor) -> Tensor:
        x = x + self._drop(self.output(mixed.transpose(1, 2).flatten(2)))  # [B, S, C]
        hidden = self._drop(F.gelu(self.widen(self.norm2(x)), approximate="tanh"))  # [B, S, 4C]
        x = x + self._drop(self.narrow(hidden))
        return self._drop(x)

    def _drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout, self.training)


class BertHead(nn.Module):
    """Tokens → the feature of the class token.

    Args:
        width: C.
        tokens: N that positions are learned for. Fewer tokens take the first positions; for more they are interpolated.
        layers: transformer layers.
        heads: attention heads; they divide C.
        dropout: everywhere inside the head.
        keep: in training each token stays a key and a value with this probability; the class token always does.
        initialization: ``bert5`` (most backbones): class token and positions N(0, 0.02), linear layers as the framework
            has them. ``bert2`` (I3D): class token and positions N(0, C^-1/2), linear layers N(0, 0.02) without bias.
        positions: ``learned``, ``sinusoidal`` (fixed), or ``none``: then the head cannot know the order.
        readout: ``class-token``; or ``mean`` of the tokens, without a class token.
        standard_norm: the framework's layer norm instead of the released code's.

    Raises:
        OptionError: sizes that do not go together.
    """

    class_token: nn.Parameter | None
    positions: nn.Parameter | None

    def __init__(
        self,
        width: int,
        tokens: int,
        *,
        layers: int = 1,
        heads: int = 8,
        dropout: float = 0.1,
        keep: float = 0.8,
        initialization: Initialization = "bert5",
        positions: Positions = "learned",
        readout: Readout = "class-token",
        standard_norm: bool = False,
    ) -> None:
        super().__init__()
        if width % heads:
            raise OptionError(f"{heads} heads do not divide {width} channels", cure="choose a divisor, such as 8 or 4")
        if tokens < 1 or layers < 1:
            raise OptionError(f"tokens is {tokens} and layers {layers}, but both must be at least 1")
        self.width, self.tokens, self.keep, self.dropout = width, tokens, keep, dropout
        self.sinusoidal = positions == "sinusoidal"
        self.lead = int(readout == "class-token")
        self.class_token = nn.Parameter(torch.empty(1, 1, width)) if self.lead else None
        self.positions = nn.Parameter(torch.empty(1, self.lead + tokens, width)) if positions == "learned" else None
        norm = nn.LayerNorm if standard_norm else UnbiasedLayerNorm
        self.blocks = nn.ModuleList(Block(width, heads, dropout, norm) for _ in range(layers))
        self._initialize(initialization)

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """The clip's feature.

        Args:
            tokens: [B, N, C].
            mask: true where a token is real, [B, N]; none: all are.

        Shape: -> [B, C].
        """
        x, keep = self._embedded(tokens, mask)
        for block in self.blocks:
            x = block(x, keep)
        return self._read(x, mask)

    def attend(self, tokens: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """As :meth:`forward`, with the attention weights of all layers.

        Shape: -> [B, C], [B, L, H, S, S] with S = N + 1 (N without a class token); rows are queries and sum to 1.
        """
        x, keep = self._embedded(tokens, mask)
        found = []
        for block in self.blocks:
            x, weights = block.attend(x, keep)  # type: ignore[operator]  # they are Blocks
            found.append(weights)
        return self._read(x, mask), torch.stack(found, dim=1)

    def _embedded(self, tokens: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """The sequence with positions, and who is a key for others. Shape: -> [B, S, C], [B, S]."""
        x = tokens
        if self.class_token is not None:
            x = torch.cat((self.class_token.expand(len(x), -1, -1), x), dim=1)  # [B, N, C] -> [B, 1 + N, C]
        if (positions := self._positions(tokens.shape[1], x)) is not None:
            x = x + positions
        keep = mask
        if self.training and self.keep < 1:
            drawn = torch.rand(tokens.shape[:2], device=x.device) < self.keep  # [B, N]
            keep = drawn if mask is None else drawn & mask
        if keep is not None and self.lead:
            keep = F.pad(keep, (1, 0), value=True)  # [B, N] -> [B, 1 + N]
        elif keep is not None:  # without a class token somebody must be left to attend to
            keep = keep | ~keep.any(dim=1, keepdim=True)
        return F.dropout(x, self.dropout, self.training), keep

    def _positions(self, tokens: int, x: Tensor) -> Tensor | None:
        """What is added to the sequence. Shape: [1, S, C]."""
        if self.sinusoidal:
            return sinusoids(self.lead + tokens, self.width).to(x)
        if self.positions is None:
            return None
        if tokens <= self.tokens:
            return self.positions[:, : self.lead + tokens]
        own, rest = self.positions[:, : self.lead], self.positions[:, self.lead :]
        stretched = F.interpolate(rest.transpose(1, 2), tokens, mode="linear").transpose(1, 2)  # [1, N, C]
        return torch.cat((own, stretched), dim=1)

    def _read(self, x: Tensor, mask: Tensor | None) -> Tensor:
        return x[:, 0] if self.lead else masked_mean(x, mask)

    def _initialize(self, kind: Initialization) -> None:
        spread = _STD if kind == "bert5" else self.width**-0.5
        for parameter in (self.class_token, self.positions):
            if parameter is not None:
                nn.init.normal_(parameter, std=spread)
        if kind == "bert2":
            for layer in (module for module in self.modules() if isinstance(module, nn.Linear)):
                nn.init.normal_(layer.weight, std=_STD)
                nn.init.zeros_(layer.bias)


def masked_mean(tokens: Tensor, mask: Tensor | None) -> Tensor:
    """Mean over the tokens that are real. Shape: [B, N, C], [B, N] -> [B, C]."""
    if mask is None:
        return tokens.mean(dim=1)
    weights = mask.to(tokens)[..., None]  # [B, N, 1]
    return (tokens * weights).sum(dim=1) / weights.sum(dim=1).clamp_min(1)


def sinusoids(length: int, width: int) -> Tensor:
    """Fixed positions: sines and cosines of geometrically spaced wavelengths. Shape: [1, S, C]."""
    at = torch.arange(length)[:, None]  # [S, 1]
    rates = torch.exp(torch.arange(0, width, 2) * (-torch.log(torch.tensor(10000.0)) / width))  # [⌈C/2⌉]
    angles = at * rates
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1)[None, :, :width]
