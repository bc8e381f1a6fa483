"""Which rows are most like a vector: all of them compared, exactly, or the promising ones alone, with faiss."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Literal, Protocol

import numpy as np

from ..errors import OptionError
from .index import Index

EngineName = Literal["auto", "exact", "faiss"]

LARGE = 1_000_000
"""Moments from which ``auto`` takes faiss, if it is installed."""

_BLOCK = 1 << 15  # rows that are multiplied at once
_FIRST, _GROWTH = 256, 8  # how many of the best are ranked first, and how many times more each time
_DIGITS = 6
"""Similarities are rounded: equal rows must tie, but processors sum in an order that depends on where a row lies."""


class Engine(Protocol):
    """Ranks the moments of an index by their similarity to a vector."""

    @property
    def summary(self) -> str:
        """What it is and how far it can be trusted, for people."""

    def ranked(self, vector: np.ndarray) -> Iterator[tuple[int, float]]:
        """(row, similarity) from the most to the least alike; the lower row first where two are equal.

        Shape of ``vector``: [C].
        """


def choose_engine(name: EngineName, index: Index) -> Engine:
    """The engine ``name`` over the moments of ``index``.

    Raises:
        OptionError: faiss is asked for, but not installed.
    """
    installed = find_spec("faiss") is not None
    if name == "faiss" and not installed:
        cure = 'install it: pip install "kinoscope[faiss]", or leave --engine out'
        raise OptionError("--engine faiss needs the package faiss", cure=cure)
    if name == "faiss" or (name == "auto" and installed and len(index.moments) > LARGE):
        from .faiss_engine import FaissEngine

        return FaissEngine(index)
    return Exact(index.moments)


class Exact:
    """Compares with every row; memory holds one number per row.

    Args:
        rows: may be mapped from disk. Shape: [N, C] float32.
    """

    def __init__(self, rows: np.ndarray) -> None:
        self.rows = rows

    @property
    def summary(self) -> str:
        """See :class:`Engine`."""
        return f"exact, {len(self.rows):,} moments"

    def ranked(self, vector: np.ndarray) -> Iterator[tuple[int, float]]:
        """See :class:`Engine`."""
        found = similarities(self.rows, vector[None])[0]  # [N]
        given, wanted = 0, _FIRST
        while given < len(found):
            order = best(found, wanted)
            yield from zip(order[given:].tolist(), found[order[given:]].tolist(), strict=True)
            given, wanted = len(order), wanted * _GROWTH


def similarities(rows: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Rounded products of every vector with every row, block by block. Shape: [N, C], [Q, C] -> [Q, N]."""
    found = np.empty((len(vectors), len(rows)), np.float32)
    for begin in range(0, len(rows), _BLOCK):
        found[:, begin : begin + _BLOCK] = vectors @ rows[begin : begin + _BLOCK].T  # [Q, B]
    return np.round(found, _DIGITS)


def best(found: np.ndarray, count: int) -> np.ndarray:
    """The ``count`` highest, highest first, the lower index first where two are equal. Shape: [N] -> [min(count, N)].

    All that equal the last of them take part before it is decided which are left out.
    """
    if count < len(found):
        border = np.partition(found, len(found) - count)[len(found) - count]
        candidates = np.flatnonzero(found >= border)
    else:
        candidates = np.arange(len(found))
    order = np.argsort(-found[candidates], kind="stable")[:count]
    return candidates[order]
