"""Batches of one epoch, in the order and with the randomness that the position alone decides."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from lightning_fabric import Fabric
from torch.utils.data import DataLoader, Dataset

from .options import LoopOptions
from .seeds import epoch_order, sample_rng
from .task import Task


class _EpochSamples(Dataset[Any]):
    """The samples of one epoch, each with its own generator."""

    def __init__(self, task: Task, seed: int, epoch: int) -> None:
        self.task, self.seed, self.epoch = task, seed, epoch

    def __len__(self) -> int:
        return len(self.task)

    def __getitem__(self, index: int) -> Any:
        return self.task.sample(index, sample_rng(self.seed, self.epoch, index))


def epoch_batches(
    task: Task, fabric: Fabric, options: LoopOptions, epoch: int, skip: int
) -> Iterator[tuple[list[int], Any]]:
    """Batches of ``epoch`` after the first ``skip``, each with the indices of its samples."""
    order = epoch_order(options.seed, epoch, len(task)).tolist()
    batches = [order[i : i + options.batch_size] for i in range(0, len(order), options.batch_size)][skip:]
    # Every process takes its share of the same batch; one left without any repeats the first sample.
    mine = [batch[fabric.global_rank :: fabric.world_size] or batch[:1] for batch in batches]
    loader = DataLoader(
        _EpochSamples(task, options.seed, epoch),
        batch_sampler=mine,
        num_workers=options.workers,
        collate_fn=task.collate,
        pin_memory=fabric.device.type == "cuda",
        worker_init_fn=_one_thread,
        generator=torch.Generator(),  # workers' base seed: not drawn from the global generator
    )
    return zip(mine, loader, strict=True)


def _one_thread(_worker: int) -> None:
    torch.set_num_threads(1)
