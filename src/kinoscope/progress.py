"""Progress that fits where it is shown: a bar on a terminal, a line now and then in a log file."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from .printable import printable

_SECONDS_BETWEEN_LINES = 10.0


class Progress(Protocol):
    """What long work reports to."""

    def __call__(self, advance: float = 1, note: str = "") -> None:
        """``advance`` more units are done; ``note`` says what is going on."""


@contextmanager
def progress(description: str, total: float | None, *, start: float = 0, quiet: bool = False) -> Iterator[Progress]:
    """Show the progress of ``total`` units of work on standard error, ``start`` of which are done already."""
    if quiet:
        yield _nothing
    elif sys.stderr.isatty():
        with _bar(description, total, start) as report:
            yield report
    else:
        yield _lines(description, total, start)


def _nothing(advance: float = 1, note: str = "") -> None:
    """Report to nobody."""


@contextmanager
def _bar(description: str, total: float | None, start: float) -> Iterator[Progress]:
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Bar(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(escape(description), total=total, completed=int(start), note="")

        def report(advance: float = 1, note: str = "") -> None:
            bar.update(task, advance=advance)
            if note:
                bar.update(task, note=escape(printable(note)))

        yield report


def _lines(description: str, total: float | None, start: float) -> Progress:
    done, last = start, time.monotonic()

    def report(advance: float = 1, note: str = "") -> None:
        nonlocal done, last
        done += advance
        finished = total is not None and done >= total * (1 - 1e-6)
        if finished or time.monotonic() - last >= _SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            share = f"{100 * done / total:3.0f} %" if total else f"{done:g}"
            print(f"{description}: {share} {printable(note)}".rstrip(), file=sys.stderr, flush=True)

    return report
