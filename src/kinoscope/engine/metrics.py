"""Metrics of a run: one JSON object per line, and the same numbers for TensorBoard."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from ..files import output_errors, write_text


class MetricLog:
    """Appends to ``metrics.jsonl`` and ``tensorboard/`` in a run's folder; use it in a ``with`` block.

    Args:
        from_step: lines of later steps, left by a run that died after its last checkpoint, are dropped.
        enabled: False writes nothing (processes other than the first).
    """

    def __init__(self, folder: Path, *, from_step: int = 0, enabled: bool = True) -> None:
        self.path, self.enabled, self.from_step = folder / "metrics.jsonl", enabled, from_step
        self._file: IO[str] | None = None
        self._board: Any = None

    def __enter__(self) -> MetricLog:
        if self.enabled:
            from torch.utils.tensorboard.writer import SummaryWriter

            if self.path.exists():
                lines = self.path.read_text(encoding="utf-8").splitlines(keepends=True)
                write_text(self.path, "".join(line for line in lines if _step_of(line) <= self.from_step))
            with output_errors(self.path):
                self._file = self.path.open("a", encoding="utf-8")
                self._board = SummaryWriter(str(self.path.parent / "tensorboard"), purge_step=self.from_step + 1)
        return self

    def write(self, step: int, epoch: int, values: Mapping[str, float], kind: str = "training") -> None:
        """Log ``values`` after update ``step`` in epoch ``epoch`` (counted from 0)."""
        if self._file is None or not values:
            return
        row = {"kind": kind, "step": step, "epoch": epoch, **{name: _finite(value) for name, value in values.items()}}
        with output_errors(self.path):
            self._file.write(json.dumps(row) + "\n")
        for name, value in values.items():
            self._board.add_scalar(f"{kind}/{name}", value, step)

    def flush(self) -> None:
        """Hand everything to the operating system."""
        if self._file is not None:
            with output_errors(self.path):
                self._file.flush()
            self._board.flush()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self.flush()
            self._file.close()
            self._board.close()


def _finite(value: float) -> float | None:
    return value if abs(value) < float("inf") else None  # strict JSON has neither NaN nor infinity


def _step_of(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")  # a line cut by a crash: drop it
