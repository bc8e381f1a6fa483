"""How long a stage will take: a few clips are read and one update is made, and thrown away."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch

from .task import PretrainTask

_CLIPS = 4  # of a trial; a batch costs in proportion


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
    """Try an update of ``task``, which must not be used for anything else afterwards."""
    count = min(_CLIPS, len(task))
    rng = np.random.default_rng(0)
    task.sample(0, rng)  # opens files, loads libraries
    begin = time.perf_counter()
    batch = task.collate([task.sample(index, rng) for index in range(count)])
    reading = (time.perf_counter() - begin) / count
    for network in task.networks.values():
        network.to(device)
    task.queue.sources.zero_()  # full: co-training does not wait
    batch = {name: value.to(device) for name, value in batch.items()}
    task.loss(batch)["loss"].backward()  # type: ignore[no-untyped-call]
    _wait(device)
    begin = time.perf_counter()
    task.loss(batch)["loss"].backward()  # type: ignore[no-untyped-call]
    task.optimizers["query"].step()
    _wait(device)
    return Pace(reading, (time.perf_counter() - begin) / count)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
