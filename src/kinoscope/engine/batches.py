"""Batches of one epoch, in the order and with the randomness that the position alone decides."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from lightning_fabric import Fabric
from torch.utils.data import DataLoader, Dataset

from ..errors import OptionError
from .options import LoopOptions
from .seeds import batch_rng, epoch_order, sample_rng
from .task import Task


class _EpochSamples(Dataset[Any]):
    """The samples of one epoch, each with its own generator."""

    def __init__(self, task: Task, seed: int, epoch: int) -> None:
        self.task, self.seed, self.epoch = task, seed, epoch

    def __len__(self) -> int:
        return len(self.task)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, tuple):
            return self.task.sample(index, tuple(sample_rng(self.seed, self.epoch, each) for each in index))
        return self.task.sample(index, sample_rng(self.seed, self.epoch, index))


def epoch_batches(
    task: Task, fabric: Fabric, options: LoopOptions, epoch: int, skip: int
) -> Iterator[tuple[list[Any], Any]]:
    """Batches of ``epoch`` after the first ``skip``, each with the indices of its samples."""
    order = epoch_order(options.seed, epoch, len(task)).tolist()
    count = batches_per_epoch(task, options)
    batches = [order[number * options.batch_size :][: options.batch_size] for number in range(skip, count)]
    mine = [
        task.shares(batch, fabric.world_size, batch_rng(options.seed, epoch, skip + number))[fabric.global_rank]
        for number, batch in enumerate(batches)
    ]
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


def batches_per_epoch(task: Task, options: LoopOptions) -> int:
    """How many updates an epoch takes.

    Raises:
        OptionError: the task wants whole batches, and has not enough samples for one.
    """
    if not task.whole_batches:
        return math.ceil(len(task) / options.batch_size)
    if len(task) < options.batch_size:
        problem = f"batch_size is {options.batch_size}, but there are only {len(task)} samples"
        raise OptionError(problem, cure=f"choose a batch of at most {len(task)}")
    return len(task) // options.batch_size


def _one_thread(_worker: int) -> None:
    torch.set_num_threads(1)
