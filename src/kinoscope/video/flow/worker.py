"""One video's flow, in this process or in a worker of its own."""

from __future__ import annotations

import signal
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import DamagedVideoWarning, Interrupted, KinoscopeError, OutputError
from ...progress import Progress
from .files import FlowStats, write_flow
from .measure import FlowOptions
from .preview import write_preview


@dataclass(frozen=True)
class Task:
    """What is to be made of a video."""

    name: str
    source: Path
    target: Path
    options: FlowOptions
    measure: bool
    """Off where only the preview is missing."""
    preview: Path | None
    bytes: int
    """Of the source: its share of the progress."""


@dataclass(frozen=True)
class Outcome:
    """What became of it."""

    stats: FlowStats | None = None
    damage: str | None = None
    """What is missing in the source."""
    failure: str | None = None
    """Why there is no flow."""


_SHARED: dict[str, Any] = {}
"""What a worker process shares with the one that started it."""


def start(stop: Any, done: Any) -> None:
    """Prepare a worker process: Ctrl-C is for its parent, who says when to stop; one thread, as cores are shared."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _SHARED.update(stop=stop, done=done)
    try:
        import cv2
    except ImportError:  # only motion vectors are measured then
        return
    cv2.setNumThreads(1)


def work(task: Task) -> Outcome:
    """:func:`do` in a worker process."""

    def report(advance: float = 1, note: str = "") -> None:  # noqa: ARG001 - a Progress
        with _SHARED["done"].get_lock():
            _SHARED["done"].value += advance

    return do(task, report, _SHARED["stop"].is_set)


def do(task: Task, report: Progress, stopped: Callable[[], bool]) -> Outcome:
    """Make what is missing; a video that cannot be read is no reason to raise.

    Args:
        report: told of the source's bytes as they are done; in the end of all.
        stopped: whether to give up; asked at every frame.

    Raises:
        OutputError: a file cannot be written: others could not be, either.
        Interrupted: when it was stopped.
    """
    told, stats, failure = 0.0, None, None
    steps = task.measure + (task.preview is not None)

    def advance(share: float) -> None:
        nonlocal told
        if stopped():
            raise interrupted()
        told += share * task.bytes / steps
        report(share * task.bytes / steps)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DamagedVideoWarning)
        try:
            advance(0)
            if task.measure:
                stats = write_flow(task.source, task.target, task.options, report=advance)
            if task.preview is not None:
                write_preview(task.source, task.target, task.preview, report=advance)
        except (OutputError, Interrupted):
            raise
        except KinoscopeError as error:
            failure = error.problem
    report(task.bytes - told)
    damage = [str(each.message) for each in caught if issubclass(each.category, DamagedVideoWarning)]
    return Outcome(stats, damage[0].removeprefix(f"{task.source}: ") if damage else None, failure)


def interrupted() -> Interrupted:
    """What Ctrl-C ends in."""
    return Interrupted("stopped; finished videos are kept", cure="run the same command again to go on")
