"""What the BERT head is compared with: other ways to make one feature of the tokens of a clip.

All take tokens [B, N, C] and a mask [B, N] (true where a token is real) and give a feature [B, ``width``]. Heads that
look at places too take tokens [B, N, H, W, C]; of pooled ones they see a single place.

Source: the alternatives of the paper's table (sheet, section 5); ConvGRU and the attention pool are additions of ours.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import OptionError
from .head import masked_mean

_LAYERS = 2  # of the LSTM, as published


class MeanHead(nn.Module):
    """The mean over time (TGAP), and after it, as a control of parameters, a hidden layer.

    Args:
        width: C.
        hidden: of the layer; 0: none.
    """

    def __init__(self, width: int, hidden: int = 0) -> None:
        super().__init__()
        self.width = hidden or width
        self.layer = nn.Sequential(nn.Linear(width, hidden), nn.GELU()) if hidden else nn.Identity()

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Shape: [B, N, C] -> [B, width]."""
        return self.layer(masked_mean(tokens, mask))


class ConcatHead(nn.Module):
    """All tokens in a row, and after them one linear layer without activation.

    Args:
        width: C.
        tokens: N; fewer are filled up with zeros.
        hidden: of the layer; 0: none.
    """

    def __init__(self, width: int, tokens: int, hidden: int = 0) -> None:
        super().__init__()
        self.tokens = tokens
        self.width = hidden or width * tokens
        self.layer = nn.Linear(width * tokens, hidden) if hidden else nn.Identity()

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Shape: [B, N, C] -> [B, width]. Raises :class:`OptionError` for more tokens than it was made for."""
        missing = self.tokens - tokens.shape[1]
        if missing < 0:
            cure = f"give at most {self.tokens} tokens, or train a head that takes any number: bert, lstm, tgap"
            raise OptionError(f"{tokens.shape[1]} tokens for a head of {self.tokens}", cure=cure)
        if mask is not None:
            tokens = tokens * mask.to(tokens)[..., None]
        return self.layer(F.pad(tokens, (0, 0, 0, missing)).flatten(1))


class LstmHead(nn.Module):
    """The state of a two-layer LSTM after the last real token.

    Args:
        width: C.
        hidden: units; 450 as published.
    """

    def __init__(self, width: int, hidden: int = 450) -> None:
        super().__init__()
        self.width = hidden
        self.lstm = nn.LSTM(width, hidden, _LAYERS, batch_first=True)

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Shape: [B, N, C] -> [B, width]."""
        states, _ = self.lstm(tokens)  # [B, N, width]
        if mask is None:
            return states[:, -1]
        last = mask.sum(dim=1).clamp_min(1) - 1  # [B]; padding comes after the real tokens
        return states[torch.arange(len(states), device=states.device), last]


class ConvGruHead(nn.Module):
    """A gated recurrent unit whose products are convolutions over places; the mean of its last state.

    Args:
        width: C.
        hidden: channels of the state.
        grid: places along each side; at a single place the convolutions are 1×1.
    """

    spatial = True

    def __init__(self, width: int, hidden: int = 256, grid: int = 1) -> None:
        super().__init__()
        self.width = hidden
        kernel = 3 if grid > 1 else 1
        self.gates = nn.Conv2d(width + hidden, 2 * hidden, kernel, padding=kernel // 2)
        self.candidate = nn.Conv2d(width + hidden, hidden, kernel, padding=kernel // 2)

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Shape: [B, N, H, W, C] or [B, N, C] -> [B, width]."""
        x = with_places(tokens).movedim(-1, 2)  # [B, N, C, H, W]
        state = x.new_zeros(len(x), self.width, *x.shape[-2:])  # [B, width, H, W]
        for step in range(x.shape[1]):
            seen = x[:, step]
            update, reset = self.gates(torch.cat((seen, state), dim=1)).sigmoid().chunk(2, dim=1)
            new = self.candidate(torch.cat((seen, reset * state), dim=1)).tanh()
            following = (1 - update) * state + update * new
            state = following if mask is None else torch.where(mask[:, step, None, None, None], following, state)
        return state.mean(dim=(2, 3))


class NonLocalHead(nn.Module):
    """An embedded-Gaussian non-local block over all places and times; then the places' means, one after the other.

    Source: sheet, section 3 (the block) and section 5 (the row "non-local + concatenation + FC").

    Args:
        width: C.
        tokens: N; fewer are filled up with zeros.
        hidden: of the layer after the concatenation.
        scaling: of scores: ``none`` as in the definition, or ``positions`` (divided by the root of their number),
            the handicap of the released code.
    """

    spatial = True

    def __init__(
        self, width: int, tokens: int, hidden: int = 1000, scaling: Literal["none", "positions"] = "none"
    ) -> None:
        super().__init__()
        inner = max(1, width // 2)
        self.scaling = scaling
        self.theta, self.phi, self.value = nn.Linear(width, inner), nn.Linear(width, inner), nn.Linear(width, inner)
        self.output = nn.Linear(inner, width)
        nn.init.zeros_(self.output.weight)  # the block begins as the identity
        nn.init.zeros_(self.output.bias)
        self.concat = ConcatHead(width, tokens, hidden)
        self.width = self.concat.width

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Shape: [B, N, H, W, C] or [B, N, C] -> [B, width]."""
        maps = with_places(tokens)
        places = maps.shape[2] * maps.shape[3]
        x = maps.flatten(1, 3)  # [B, N·H·W, C]
        scores = self.theta(x) @ self.phi(x).transpose(1, 2)  # [B, P, P]
        if self.scaling == "positions":
            scores = scores / x.shape[1] ** 0.5
        if mask is not None:
            scores = scores.masked_fill(~mask.repeat_interleave(places, dim=1)[:, None], float("-inf"))
        x = x + self.output(scores.softmax(dim=-1) @ self.value(x))
        return self.concat(x.unflatten(1, (maps.shape[1], places)).mean(dim=2), mask)


class AttentionPoolHead(nn.Module):
    """A learned query attends over all places and times, then a feed-forward layer: an attentive probe with positions.

    Source: sheet, sections 11 and 13.

    Args:
        width: C, a multiple of ``heads``.
        tokens: N that time positions are learned for. Fewer tokens take the first; for more they are interpolated.
        hidden: of the feed-forward layer.
        heads: of the attention.
    """

    spatial = True

    def __init__(self, width: int, tokens: int, hidden: int = 512, heads: int = 8) -> None:
        super().__init__()
        if width % heads:
            raise OptionError(f"{heads} heads do not divide {width} channels", cure="choose a divisor, such as 8 or 4")
        self.heads, self.width = heads, width
        self.query = nn.Parameter(torch.empty(1, 1, width).normal_(std=0.02))
        self.positions = nn.Parameter(torch.empty(1, tokens, width).normal_(std=0.02))
        self.norm = nn.LayerNorm(width)
        self.key, self.value, self.output = nn.Linear(width, width), nn.Linear(width, width), nn.Linear(width, width)
        self.feed = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, hidden), nn.GELU(approximate="tanh"), nn.Linear(hidden, width)
        )

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Shape: [B, N, H, W, C] or [B, N, C] -> [B, C]."""
        return self.attend(tokens, mask)[0]

    def attend(self, tokens: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The feature, and the query's weights on the tokens. Shape: -> [B, C], [B, 1, heads, 1, N]."""
        maps = with_places(tokens)
        at: Tensor = self.positions  # [1, N', C]
        if maps.shape[1] <= at.shape[1]:  # the first ones, so that padding changes nothing
            at = at[:, : maps.shape[1]]
        else:
            at = F.interpolate(at.transpose(1, 2), maps.shape[1], mode="linear").transpose(1, 2)
        places = maps.shape[2] * maps.shape[3]
        x = self.norm((maps + at[:, :, None, None]).flatten(1, 3))  # [B, P, C]
        split = (self.heads, self.width // self.heads)
        query = self.query.view(1, 1, *split).transpose(1, 2)  # [1, heads, 1, C/heads]
        key, value = (layer(x).unflatten(-1, split).transpose(1, 2) for layer in (self.key, self.value))
        scores = query @ key.transpose(-2, -1) / split[1] ** 0.5  # [B, heads, 1, P]
        if mask is not None:
            scores = scores.masked_fill(~mask.repeat_interleave(places, dim=1)[:, None, None], float("-inf"))
        weights = scores.softmax(dim=-1)
        pooled = self.output((weights @ value).transpose(1, 2).flatten(2)).squeeze(1)  # [B, C]
        per_token = weights.unflatten(-1, (maps.shape[1], places)).sum(dim=-1)  # [B, heads, 1, N]
        return pooled + self.feed(pooled), per_token[:, None]


def with_places(tokens: Tensor) -> Tensor:
    """Tokens with their places; pooled ones have one. Shape: [B, N, C] -> [B, N, 1, 1, C]."""
    return tokens[:, :, None, None] if tokens.ndim == 3 else tokens


def without_places(tokens: Tensor) -> Tensor:
    """The mean over places. Shape: [B, N, H, W, C] -> [B, N, C]."""
    return tokens.mean(dim=(2, 3)) if tokens.ndim == 5 else tokens
