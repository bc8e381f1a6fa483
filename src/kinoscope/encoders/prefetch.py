"""An iterator that works ahead in a thread of its own, and says who waits for whom."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

_ITEMS_AHEAD = 3


class Prefetch:
    """Runs an iterator in a thread of its own, a few items ahead; use it in a ``with`` block."""

    def __init__(self, items: Iterator[np.ndarray]) -> None:
        self._items = items
        self._queue: queue.Queue[Any] = queue.Queue(_ITEMS_AHEAD)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.working = 0.0
        """Seconds in which the iterator worked."""
        self.waiting = 0.0
        """Seconds in which the consumer waited."""

    def _run(self) -> None:
        end: Any = None
        try:
            while True:
                begin = time.perf_counter()
                item = next(self._items, None)
                self.working += time.perf_counter() - begin
                if item is None or not self._offer(item):
                    break
        except BaseException as error:  # handed to the consumer, whatever it is
            end = error
        self._offer(end)

    def _offer(self, item: Any) -> bool:
        while not self._stopped.is_set():
            try:
                self._queue.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def __iter__(self) -> Iterator[np.ndarray]:
        while True:
            begin = time.perf_counter()
            item = self._queue.get()
            self.waiting += time.perf_counter() - begin
            if isinstance(item, BaseException):
                raise item
            if item is None:
                return
            yield item

    def __enter__(self) -> Prefetch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()
