"""Counts and lists of names in messages, worded alike everywhere."""

from __future__ import annotations

from collections.abc import Sequence

_SHOWN = 5


def plural(count: int, noun: str) -> str:
    """``1 video``, ``2 videos``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def some_of(names: Sequence[str], shown: int = _SHOWN) -> str:
    """The first names in quotes, and how many more there are: ``'a', 'b' and 3 more``."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(map(repr, names[:shown])) + more
