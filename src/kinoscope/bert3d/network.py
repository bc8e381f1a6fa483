"""A head with its classifier, and a whole recogniser: clip in, logits out."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from .heads import HeadOptions, build_head
from .rivals import without_places


class TokenClassifier(nn.Module):
    """Tokens of a clip → logits: an optional reduction of channels, the head, dropout, a linear layer.

    Args:
        head: tokens [B, N, C], mask [B, N] -> feature [B, ``width``].
        classes: K.
        dropout: before the linear layer; 0.8 as published.
        reduce: channels (inputs, outputs) of a linear layer before the head.
    """

    def __init__(
        self, head: nn.Module, classes: int, dropout: float = 0.8, reduce: tuple[int, int] | None = None
    ) -> None:
        super().__init__()
        self.reduce: nn.Module = nn.Linear(*reduce) if reduce else nn.Identity()
        self.head, self.dropout = head, dropout
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
        feature, weights = self.head.attend(self._seen(tokens), mask)
        return self._classify(feature), weights[..., 0, :]

    def _seen(self, tokens: Tensor) -> Tensor:
        return self.reduce(tokens if getattr(self.head, "spatial", False) else without_places(tokens))

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
    return TokenClassifier(head, classes, options.dropout, (width, inner) if options.reduce else None)


class Recognizer(nn.Module):
    """A whole network: normalised clip → logits.

    Args:
        backbone: clip [B, 3, T, H, W] -> map [B, C, N, H', W'].
        classifier: of the tokens.
    """

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
