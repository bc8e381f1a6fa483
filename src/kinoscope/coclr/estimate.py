"""How long a stage will take: a few clips are read and one update is made, and thrown away."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch

from .task import PretrainTask

_CLIPS = 4  # that are read, and that the first trial learns from
_PATIENCE = 3.0  # seconds that a second trial, with a whole batch, may take


@dataclass(frozen=True)
class Pace:
    """Seconds per clip pair."""

    reading: float
    """To decode (or read from the cache) and to augment, in one process."""
    learning: float
    """Forward, backward and update."""

    def seconds(self, pairs: int, workers: int) -> float:
        """For this many pairs: loader processes work beside the network, without them one waits for the other."""
        if workers == 0:
            return pairs * (self.reading + self.learning)
        return pairs * max(self.reading / workers, self.learning)


def measure(task: PretrainTask, device: torch.device) -> Pace:
    """Try updates of ``task``, which must not be used for anything else afterwards.

    A whole batch costs less per clip than a few clips, so it is tried too, unless it would take long.
    """
    count, whole = min(_CLIPS, len(task)), task.options.batch_size or _CLIPS
    rng = np.random.default_rng(0)
    task.sample(0, rng)  # opens files, loads libraries
    begin = time.perf_counter()
    batch = task.collate([task.sample(index, rng) for index in range(count)])
    reading = (time.perf_counter() - begin) / count
    for network in task.networks.values():
        network.to(device)
    task.queue.sources.zero_()  # full: co-training does not wait
    batch = {name: value.to(device) for name, value in batch.items()}
    _update(task, batch, device)
    learning = _update(task, batch, device) / count
    if learning * whole < _PATIENCE:
        rows = torch.arange(whole, device=device) % count
        learning = _update(task, {name: value[rows] for name, value in batch.items()}, device) / whole
    return Pace(reading, learning)


def _update(task: PretrainTask, batch: dict[str, torch.Tensor], device: torch.device) -> float:
    """Seconds of one update."""
    begin = time.perf_counter()
    task.loss(batch)["loss"].backward()  # type: ignore[no-untyped-call]
    task.optimizers["query"].step()
    _wait(device)
    return time.perf_counter() - begin


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
