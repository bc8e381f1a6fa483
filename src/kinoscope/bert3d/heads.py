"""The heads by name, and how large each must be to have as many parameters as another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import nn

from ..errors import OptionError
from .head import BertHead, Initialization, Positions, Readout
from .rivals import AttentionPoolHead, ConcatHead, ConvGruHead, LstmHead, MeanHead, NonLocalHead

HeadName = Literal["bert", "tgap", "wide", "concat", "concat-fc", "lstm", "convgru", "non-local", "attention-pool"]
HEADS: tuple[HeadName, ...] = get_args(HeadName)

_SIZED = ("wide", "concat-fc", "lstm", "convgru", "non-local", "attention-pool")
"""Heads with a hidden layer whose width is free."""
_WIDEST = 1 << 16


@dataclass(frozen=True)
class HeadOptions:
    """What makes a feature of the tokens of a clip, and how large it is."""

    head: HeadName = "bert"
    """bert; tgap: the mean over time; wide: the mean and a hidden layer; concat, concat-fc: all tokens in a row; lstm,
    convgru; non-local; attention-pool: a learned query."""
    layers: int = 1
    """bert: transformer layers."""
    heads: int = 8
    """bert, attention-pool: attention heads."""
    hidden: int | None = None
    """Width of the hidden layer of the others; by default as many parameters as bert has."""
    reduce: int | None = None
    """Channels that a linear layer reduces tokens to, whatever the head; by default they stay as they are."""
    normalize: bool = True
    """L2-normalise each token first, whatever the head: as the released I3D models do. On frozen features the head
    learns order far better with it (docs/results.md)."""
    initialization: Initialization = "bert2"
    """bert: bert2 as for I3D, with positions as large as normalised tokens; or bert5 as for the other backbones."""
    positions: Positions = "learned"
    """bert: learned, sinusoidal or none."""
    readout: Readout = "class-token"
    """bert: class-token, or mean of the tokens."""
    keep: float = 0.8
    """bert: in training each token can be looked at with this probability."""
    head_dropout: float = 0.1
    """bert: inside the head."""
    dropout: float = 0.8
    """Before the classifier."""

    def __post_init__(self) -> None:
        if self.head not in HEADS:
            raise OptionError(f"head is {self.head!r}", cure=f"one of: {', '.join(HEADS)}")
        for name, value in (("layers", self.layers), ("heads", self.heads), ("hidden", self.hidden or 1)):
            if value < 1:
                raise OptionError(f"{name} is {value}, but must be at least 1")
        if self.reduce is not None and self.reduce < 1:
            raise OptionError(f"reduce is {self.reduce}, but must be at least 1", cure="512 is published")
        for name, share in (("head_dropout", self.head_dropout), ("dropout", self.dropout)):
            if not 0 <= share < 1:
                raise OptionError(f"{name} is {share}, but must lie from 0 to below 1")
        if not 0 < self.keep <= 1:
            raise OptionError(f"keep is {self.keep}, but must be above 0 and at most 1", cure="0.8 is published")


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
