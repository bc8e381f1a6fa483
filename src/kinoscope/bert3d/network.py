"""A head with its classifier, and a whole recogniser: clip in, logits out."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .heads import build_head
from .options import HeadOptions
from .rivals import without_places


class TokenClassifier(nn.Module):
    """Tokens of a clip → logits: standardised, reduced, normalised where wanted; the head, dropout, a linear layer.

    Args:
        head: tokens [B, N, C], mask [B, N] -> feature [B, ``width``].
        width: C of the tokens.
        classes: K.
        dropout: before the linear layer; 0.8 as published.
        reduce: channels that tokens are reduced to by a linear layer before the head.
        normalize: L2-normalise the tokens that the head sees.
    """

    center: Tensor
    scale: Tensor
    reduce: nn.Module
    head: nn.Module
    last: nn.Linear

    def __init__(
        self,
        head: nn.Module,
        width: int,
        classes: int,
        dropout: float = 0.8,
        *,
        reduce: int | None = None,
        normalize: bool = False,
    ) -> None:
        super().__init__()
        self.register_buffer("center", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))
        self.reduce = nn.Linear(width, reduce) if reduce else nn.Identity()
        self.head, self.dropout, self.normalize = head, dropout, normalize
        self.last = nn.Linear(int(head.width), classes)  # type: ignore[arg-type]  # every head has it
        nn.init.xavier_uniform_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Shape: [B, N, C] or, with places, [B, N, H, W, C]; mask [B, N] -> [B, K]."""
        return self._classify(self.head(self._seen(tokens), mask))

    def attend(self, tokens: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Logits, and how much each token was looked at; none from heads without attention.

        Shape: -> [B, K], [B, L, H, N + 1] of the class token (its weight on itself first), or [B, L, H, N].
        """
        if not hasattr(self.head, "attend"):
            return self(tokens, mask), None
        feature, weights = self.head.attend(self._seen(tokens), mask)  # type: ignore[operator]  # it has one
        return self._classify(feature), weights[..., 0, :]

    @torch.no_grad()
    def standardize(self, center: Tensor, deviation: Tensor) -> None:
        """Have tokens shifted and scaled, channel by channel, before all else. Shape of both: [C].

        Channels that hardly vary are not blown up: a thousandth of the mean deviation is the least.
        """
        self.center.copy_(center)
        self.scale.copy_(1 / deviation.clamp_min(1e-3 * float(deviation.mean()) + 1e-12))

    def _seen(self, tokens: Tensor) -> Tensor:
        tokens = tokens if getattr(self.head, "spatial", False) else without_places(tokens)
        tokens = self.reduce((tokens - self.center) * self.scale)
        return F.normalize(tokens, dim=-1) if self.normalize else tokens

    def _classify(self, feature: Tensor) -> Tensor:
        return self.last(F.dropout(feature, self.dropout, self.training))


def build_classifier(options: HeadOptions, width: int, tokens: int, classes: int, grid: int = 1) -> TokenClassifier:
    """A classifier of tokens with fresh weights.

    Args:
        width: C of the tokens.
        tokens: N of a clip.
        classes: K.
        grid: places along each side of a token.

    Raises:
        OptionError: sizes that do not go together.
    """
    inner = options.reduce or width
    head = build_head(options, inner, tokens, classes, grid)
    return TokenClassifier(head, width, classes, options.dropout, reduce=options.reduce, normalize=options.normalize)


class Recognizer(nn.Module):
    """A whole network: normalised clip → logits.

    Args:
        backbone: clip [B, 3, T, H, W] -> map [B, C, N, H', W'].
        classifier: of the tokens.
    """

    backbone: nn.Module
    classifier: TokenClassifier

    def __init__(self, backbone: nn.Module, classifier: TokenClassifier) -> None:
        super().__init__()
        self.backbone, self.classifier = backbone, classifier

    def forward(self, clip: Tensor) -> Tensor:
        """Shape: [B, 3, T, H, W] -> [B, K]."""
        return self.classifier(self.tokens(clip))

    def attend(self, clip: Tensor) -> tuple[Tensor, Tensor | None]:
        """See :meth:`TokenClassifier.attend`."""
        return self.classifier.attend(self.tokens(clip))

    def tokens(self, clip: Tensor) -> Tensor:
        """Shape: [B, 3, T, H, W] -> [B, N, C], or [B, N, H', W', C] for a head that looks at places."""
        maps = self.backbone(clip).permute(0, 2, 3, 4, 1)  # [B, C, N, H', W'] -> [B, N, H', W', C]
        return maps if getattr(self.classifier.head, "spatial", False) else without_places(maps)
