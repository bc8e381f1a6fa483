"""The one training loop. Every method brings a :class:`Task`; the loop brings order, devices, logs and resume.

Steps count batches; with accumulated gradients several of them make one update.

Not supported: several optimisers at different rates, iterable data sets.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer

from ..errors import Interrupted, KinoscopeError
from ..files import make_folder
from ..progress import progress
from .batches import batches_per_epoch, epoch_batches
from .interrupt import deferred_interrupt
from .metrics import MetricLog
from .options import LoopOptions
from .resume import claim, restore, save_run
from .seeds import seed_step
from .task import Task
from .unshared import Unshared


def fit(
    task: Task,
    folder: str | Path,
    options: LoopOptions,
    *,
    resume: bool = False,
    settings: Mapping[str, Any] | None = None,
    title: str = "Training",
) -> dict[str, float]:
    """Train ``task`` and leave in ``folder``: ``run.json``, ``metrics.jsonl``, ``tensorboard/``, a checkpoint.

    Args:
        settings: the method's own options; kept in ``run.json`` and compared on resume.
        resume: continue from the checkpoint in ``folder``. On CPU the result equals, to the last bit, that of a run
            that was never interrupted.

    Returns:
        The metrics of the last validation.

    Raises:
        OptionError: resumed with options that would give another result.
        OutputError: ``folder`` already holds a run and ``resume`` is off.
        KinoscopeError: the loss is no longer a finite number; the samples at fault are named.
    """
    folder = make_folder(folder)
    position = claim(folder, {"loop": options.identity(), "task": dict(settings or {})}, resume)
    fabric = Fabric(accelerator=options.accelerator, devices=options.devices, precision=options.precision)
    fabric.launch()
    for name, network in task.networks.items():
        learns = any(parameter.requires_grad for parameter in network.parameters())
        alone = fabric.world_size == 1
        task.networks[name] = fabric.setup_module(network) if learns or alone else Unshared(network, fabric)
    for name in task.optimizers:
        task.optimizers[name] = cast(Optimizer, fabric.setup_optimizers(task.optimizers[name]))
    base_rates = {
        name: [group["lr"] for group in optimizer.param_groups] for name, optimizer in task.optimizers.items()
    }
    if position:
        restore(folder, task)
    step, first_epoch = position.get("step", 0), position.get("epoch", 0)
    per_epoch = batches_per_epoch(task, options)
    total = per_epoch * options.epochs
    saved = step // options.checkpoint_every  # checkpoints of this kind that are behind

    def checkpoint(next_epoch: int) -> None:
        if fabric.is_global_zero:
            log.flush()
            _set_rates(task, base_rates, 1.0)  # kept without the schedule's factor of the moment
            save_run(folder, task, step=step, epoch=next_epoch, metrics=metrics)
        fabric.barrier()

    metrics: dict[str, float] = position.get("metrics", {})
    with (
        MetricLog(folder, from_step=step, enabled=fabric.is_global_zero) as log,
        progress(title, total, start=step, quiet=not fabric.is_global_zero) as report,
        deferred_interrupt() as interrupted,
    ):
        for epoch in range(first_epoch, options.epochs):
            for indices, batch in epoch_batches(task, fabric, options, epoch, skip=step - epoch * per_epoch):
                seed_step(options.seed, step)
                _set_rates(task, base_rates, task.schedule(step, total))
                several, due = _update_of(step % per_epoch, per_epoch, options.accumulate)
                losses = task.loss(fabric.to_device(batch))
                if "loss" in losses:
                    _check_finite(losses["loss"], task, indices, epoch)
                    fabric.backward(losses["loss"] / several)
                if "loss" in losses and due:
                    if options.clip_gradients is not None:
                        losses["gradient_norm"] = _clip(task, options.clip_gradients)
                    for optimizer in task.optimizers.values():
                        optimizer.step()
                        optimizer.zero_grad(set_to_none=True)
                task.after_step(step)
                step += 1
                values = {name: float(value.detach()) for name, value in losses.items()}
                if step % options.monitor_every == 0:
                    values |= task.monitor()
                log.write(step, epoch, values)
                shown = f" loss {values['loss']:.4f}" if "loss" in values else ""
                report(1, f"epoch {epoch + 1}/{options.epochs}{shown}")
                if not due:  # gradients on the way are in no checkpoint
                    continue
                if interrupted():
                    checkpoint(epoch)
                    cure = "run the same command with --resume to go on"
                    raise Interrupted(
                        f"interrupted after update {step} of {total}; it is saved", where=folder, cure=cure
                    )
                if step // options.checkpoint_every > saved and step % per_epoch:
                    checkpoint(epoch)
                    saved = step // options.checkpoint_every
            if _validation_due(epoch, options):
                metrics = _validate(task)
                log.write(step, epoch, metrics, kind="validation")
            checkpoint(epoch + 1)
    return metrics


def _update_of(batch: int, per_epoch: int, accumulate: int) -> tuple[int, bool]:
    """How many batches make the update that this batch of an epoch belongs to, and whether it is their last."""
    first = batch - batch % accumulate
    several = min(accumulate, per_epoch - first)
    return several, batch + 1 == first + several


def _validation_due(epoch: int, options: LoopOptions) -> bool:
    every = options.validate_every
    return every > 0 and ((epoch + 1) % every == 0 or epoch + 1 == options.epochs)


def _set_rates(task: Task, base_rates: Mapping[str, list[float]], factor: float) -> None:
    for name, optimizer in task.optimizers.items():
        for group, rate in zip(optimizer.param_groups, base_rates[name], strict=True):
            group["lr"] = rate * factor


def _clip(task: Task, largest: float) -> Tensor:
    parameters = [
        p for optimizer in task.optimizers.values() for group in optimizer.param_groups for p in group["params"]
    ]
    return nn.utils.clip_grad_norm_(parameters, largest)


def _check_finite(loss: Tensor, task: Task, indices: list[Any], epoch: int) -> None:
    if not torch.isfinite(loss):
        names = ", ".join(task.describe(index) for index in indices[:8])
        raise KinoscopeError(
            f"the loss became {float(loss.detach())} in epoch {epoch + 1}, in a batch of: {names}",
            cure="check these inputs, or lower the learning rate",
        )


def _validate(task: Task) -> dict[str, float]:
    modes = {name: network.training for name, network in task.networks.items()}
    for network in task.networks.values():
        network.eval()
    with torch.inference_mode():
        metrics = task.validate()
    for name, network in task.networks.items():
        network.train(modes[name])
    return metrics
