"""The heads by name, and how large each must be to have as many parameters as another."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from ..encoders.slowfast import FAST_STEPS
from ..errors import OptionError
from .head import BertHead
from .late_fusion import LateFusionHead
from .options import HeadOptions
from .rivals import AttentionPoolHead, ConcatHead, ConvGruHead, LstmHead, MeanHead, NonLocalHead

_SIZED = ("wide", "concat-fc", "lstm", "convgru", "non-local", "attention-pool")
"""Heads with a hidden layer whose width is free."""
_WIDEST = 1 << 16


def build_head(options: HeadOptions, width: int, tokens: int, classes: int, grid: int = 1) -> nn.Module:
    """A head with fresh weights: tokens [B, N, C], mask [B, N] -> feature [B, ``width``].

    Args:
        width: C, after any reduction.
        tokens: N.
        classes: K of the classifier after it, which counts where sizes are matched.
        grid: places along each side of a token, for heads that look at places.

    Raises:
        OptionError: sizes that do not go together.
    """
    hidden = options.hidden
    if hidden is None and options.head in _SIZED:
        target = parameters_with_classifier(lambda: _bert(options, width, tokens), classes)
        hidden = matched_hidden(lambda size: _rival(options, width, tokens, grid, size), classes, target)
    if options.head == "bert-late":
        return _late(options, width, tokens)
    return _bert(options, width, tokens) if options.head == "bert" else _rival(options, width, tokens, grid, hidden)


def looks_at_places(options: HeadOptions) -> bool:
    """Whether the head makes use of tokens that keep their places."""
    return options.head in ("convgru", "non-local", "attention-pool")


def _bert(options: HeadOptions, width: int, tokens: int) -> BertHead:
    return BertHead(
        width,
        tokens,
        layers=options.layers,
        heads=options.heads,
        dropout=options.head_dropout,
        keep=options.keep,
        initialization=options.initialization,
        positions=options.positions,
        readout=options.readout,
    )


def _late(options: HeadOptions, width: int, tokens: int) -> LateFusionHead:
    fast, rest = divmod(width - options.slow_width, FAST_STEPS)
    if fast < 1 or rest:
        problem = f"{width} channels are not {options.slow_width} slow ones and {FAST_STEPS} steps of fast ones"
        raise OptionError(problem, cure="bert-late goes with slowfast-50-late: give its --slow-width")
    return LateFusionHead(_bert(options, options.slow_width, tokens), _bert(options, fast, FAST_STEPS * tokens))


def _rival(options: HeadOptions, width: int, tokens: int, grid: int, hidden: int | None) -> nn.Module:
    size = hidden or 0
    makers: dict[str, Callable[[], nn.Module]] = {
        "tgap": lambda: MeanHead(width),
        "wide": lambda: MeanHead(width, size),
        "concat": lambda: ConcatHead(width, tokens),
        "concat-fc": lambda: ConcatHead(width, tokens, size),
        "lstm": lambda: LstmHead(width, size),
        "convgru": lambda: ConvGruHead(width, size, grid),
        "non-local": lambda: NonLocalHead(width, tokens, size),
        "attention-pool": lambda: AttentionPoolHead(width, tokens, size, options.heads),
    }
    return makers[options.head]()


def parameters_with_classifier(make: Callable[[], nn.Module], classes: int) -> int:
    """Parameters of a head and of the linear classifier after it; nothing is allocated."""
    with torch.device("meta"):
        head = make()
    width = int(head.width)  # type: ignore[arg-type]  # every head has it
    return sum(parameter.numel() for parameter in head.parameters()) + (width + 1) * classes


def matched_hidden(make: Callable[[int], nn.Module], classes: int, target: int) -> int:
    """The hidden width with which a head, classifier included, comes nearest to ``target`` parameters; at least 1."""
    low, high = 1, _WIDEST  # the number of parameters grows with the width
    while low < high:
        middle = (low + high) // 2
        if parameters_with_classifier(lambda: make(middle), classes) < target:  # noqa: B023 - called at once
            low = middle + 1
        else:
            high = middle
    sizes = [size for size in (low - 1, low) if size >= 1]
    return min(sizes, key=lambda size: abs(parameters_with_classifier(lambda: make(size), classes) - target))
