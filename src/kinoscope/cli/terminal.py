"""What commands print: tables for people, JSON for programs. Names from files never reach the terminal raw."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..printable import printable


def plain(text: object) -> str:
    """``text`` without markup and control characters."""
    return escape(printable(text))


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[object]], *, note: str = "") -> None:
    """A table on standard output; cells that are numbers stand right."""
    table = Table(title=plain(title), title_justify="left")
    for column, name in enumerate(header):
        numeric = all(isinstance(row[column], (int, float)) or row[column] == "" for row in rows)
        table.add_column(plain(name), justify="right" if numeric and rows else "left", overflow="fold")
    for row in rows:
        table.add_row(*(plain(_cell(value)) for value in row))
    console().print(table)
    if note:
        console().print(plain(note), style="dim")


def console() -> Console:
    """Standard output; wide enough for a table where it is a file."""
    return Console(file=sys.stdout, width=None if sys.stdout.isatty() else 120, highlight=False)


def say(text: str) -> None:
    """One line for people on standard output."""
    console().print(plain(text))


def note(text: str) -> None:
    """One line for people on standard error, out of the way of results."""
    Console(file=sys.stderr, highlight=False, soft_wrap=True).print(plain(text))


def print_json(value: Any) -> None:
    """``value`` as strict JSON on standard output."""
    print(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False))


def _cell(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)
