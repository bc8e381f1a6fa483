"""One function for many videos, in several processes; a video that fails is given back as its error."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from ..errors import Interrupted, KinoscopeError, VideoError

Result = TypeVar("Result")

_stop: Any = None
"""In a worker: set when nobody waits for its results any more."""


def in_parallel(
    function: Callable[..., Result], jobs: Mapping[str, tuple[Any, ...]], workers: int
) -> Iterator[tuple[str, Result | KinoscopeError]]:
    """Call ``function`` with the arguments of every job, and yield names with results, or errors, as they come.

    Args:
        function: of a module, so that other processes find it; where it takes long it calls
            :func:`stop_if_unwanted` now and then. Whoever leaves the loop early waits for no more than that.
        jobs: arguments by name.
        workers: processes; with fewer than two all happens in this one, in order.

    Raises:
        VideoError: a process was ended from outside.
    """
    if workers < 2 or len(jobs) < 2:
        for name, arguments in jobs.items():
            yield name, _attempt(function, arguments)
        return
    # Started afresh: a copy of this process could inherit locks that threads of decoders or torch hold.
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    pool = ProcessPoolExecutor(min(workers, len(jobs)), context, _start, (stop,))
    try:
        futures = {pool.submit(_attempt, function, arguments): name for name, arguments in jobs.items()}
        for done in as_completed(futures):
            yield futures[done], _result(done)
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


def stop_if_unwanted() -> None:
    """Raise :class:`Interrupted` in a worker whose results nobody waits for any more."""
    if _stop is not None and _stop.is_set():
        raise Interrupted("interrupted")


def _start(stop: Any) -> None:
    global _stop
    _stop = stop
    threading.Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all: the main process tells when to stop


def _end_with_parent() -> None:
    """A process whose parent was killed would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _attempt(function: Callable[..., Result], arguments: tuple[Any, ...]) -> Result | KinoscopeError:
    try:
        return function(*arguments)
    except KinoscopeError as error:
        return error


def _result(done: Future[Result | KinoscopeError]) -> Result | KinoscopeError:
    try:
        return done.result()
    except BrokenProcessPool as error:
        cure = "use fewer workers: the memory may not suffice for as many"
        raise VideoError("a process that decoded videos was ended from outside", cure=cure) from error
