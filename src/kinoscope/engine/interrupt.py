"""Stopping politely."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def deferred_interrupt() -> Iterator[Callable[[], bool]]:
    """Let Ctrl-C (or a polite kill) wait until the update is done; a second one does not wait."""
    requested = False

    def request(number: int, _frame: Any) -> None:
        nonlocal requested
        if requested:
            raise KeyboardInterrupt(f"signal {number}")
        requested = True

    if threading.current_thread() is not threading.main_thread():  # only there can signals be handled
        yield lambda: False
        return
    before = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: requested
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
