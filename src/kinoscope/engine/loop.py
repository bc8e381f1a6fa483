"""The one training loop. Every method brings a :class:`Task`; the loop brings order, devices, logs and resume.

Not supported: gradient accumulation, several optimisers at different rates, iterable data sets.
"""

from __future__ import annotations

import json
import math
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, cast

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader, Dataset

from ..errors import KinoscopeError, OptionError, OutputError
from ..files import make_folder, write_json
from ..progress import progress
from .checkpoint import load_tree, save_tree
from .metrics import MetricLog
from .seeds import epoch_order, sample_rng, seed_step

CHECKPOINT = "checkpoint.safetensors"


class Task(Protocol):
    """What a method gives to the loop. Subclass it: what is not needed has a default."""

    networks: MutableMapping[str, nn.Module]
    """Networks by name. The loop replaces each by its wrapped self (device, precision, DDP): call them from here."""
    optimizers: MutableMapping[str, Optimizer]
    """Optimisers by name; all step once per batch."""

    def __len__(self) -> int:
        """Samples per epoch."""

    def sample(self, index: int, rng: np.random.Generator) -> Any:
        """Sample ``index``, made in a loader worker; everything random about it comes from ``rng``."""

    def collate(self, samples: list[Any]) -> Any:
        """Samples → batch (tensors in dicts, lists or tuples)."""

    def loss(self, batch: Any) -> dict[str, Tensor]:
        """Losses of a batch: ``"loss"`` is minimised, the others are logged."""

    def schedule(self, step: int, total: int) -> float:  # noqa: ARG002 - the default ignores both
        """Factor on every learning rate at update ``step`` of ``total``, both counted from 0."""
        return 1.0

    def after_step(self, step: int) -> None:  # noqa: ARG002 - the default does nothing
        """Called after each update (moving averages, queues)."""
        return

    def validate(self) -> dict[str, float]:
        """Metrics on held-out data; called at the end of an epoch. Must not draw from torch's generator."""
        return {}

    def describe(self, index: int) -> str:
        """Name of a sample, for messages."""
        return f"sample {index}"


@dataclass(frozen=True)
class LoopOptions:
    """How long, how large, where."""

    epochs: int
    """Passes over the data."""
    batch_size: int
    """Samples per update, over all devices together."""
    seed: int = 0
    """Everything random follows from it."""
    workers: int = 0
    """Loader processes; changes speed only, never the result."""
    clip_gradients: float | None = None
    """Largest norm of the gradient of all networks together."""
    checkpoint_every: int = 100
    """Updates between checkpoints; one is also written at the end of each epoch and on Ctrl-C."""
    validate_every: int = 1
    """Epochs between validations (the last epoch is always validated); 0 never validates."""
    accelerator: str = "auto"
    """auto, cpu, cuda or mps: where to train."""
    devices: int = 1
    """Devices to train on; more than one uses DDP."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    """Arithmetic of the networks. On CPUs without bf16 units, bf16-mixed is many times slower."""

    def __post_init__(self) -> None:
        for name, least in (
            ("epochs", 1),
            ("batch_size", 1),
            ("workers", 0),
            ("checkpoint_every", 1),
            ("validate_every", 0),
            ("devices", 1),
        ):
            if getattr(self, name) < least:
                raise OptionError(f"{name} is {getattr(self, name)}, but must be at least {least}")
        there = {"auto": True, "cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
        if not there.get(self.accelerator):
            choices = ", ".join(name for name, usable in there.items() if usable)
            raise OptionError(f"device {self.accelerator!r} cannot be trained on here", cure=f"one of: {choices}")


_MAY_CHANGE = frozenset({"workers", "checkpoint_every", "accelerator", "devices"})  # they do not touch the numbers


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
    identity = {
        "loop": {k: v for k, v in asdict(options).items() if k not in _MAY_CHANGE},
        "task": dict(settings or {}),
    }
    position = _claim(folder, identity, resume)
    fabric = Fabric(accelerator=options.accelerator, devices=options.devices, precision=options.precision)
    fabric.launch()
    for name in task.networks:
        task.networks[name] = fabric.setup_module(task.networks[name])
    for name in task.optimizers:
        task.optimizers[name] = cast(Optimizer, fabric.setup_optimizers(task.optimizers[name]))
    base_rates = {
        name: [group["lr"] for group in optimizer.param_groups] for name, optimizer in task.optimizers.items()
    }
    if position:
        _restore(task, load_tree(folder / CHECKPOINT))
    step, first_epoch = position.get("step", 0), position.get("epoch", 0)
    per_epoch = math.ceil(len(task) / options.batch_size)
    total = per_epoch * options.epochs

    def checkpoint(next_epoch: int) -> None:
        if fabric.is_global_zero:
            log.flush()
            _save(folder / CHECKPOINT, task, base_rates, step, next_epoch, metrics)
        fabric.barrier()

    metrics: dict[str, float] = position.get("metrics", {})
    with (
        MetricLog(folder, from_step=step, enabled=fabric.is_global_zero) as log,
        progress(title, total, start=step, quiet=not fabric.is_global_zero) as report,
        _deferred_interrupt() as interrupted,
    ):
        for epoch in range(first_epoch, options.epochs):
            for indices, batch in _batches(task, fabric, options, epoch, skip=step - epoch * per_epoch):
                seed_step(options.seed, step)
                _set_rates(task, base_rates, task.schedule(step, total))
                losses = task.loss(fabric.to_device(batch))
                _check_finite(losses["loss"], task, indices, epoch)
                fabric.backward(losses["loss"])
                if options.clip_gradients is not None:
                    losses["gradient_norm"] = _clip(task, options.clip_gradients)
                for optimizer in task.optimizers.values():
                    optimizer.step()
                    optimizer.zero_grad(set_to_none=True)
                task.after_step(step)
                step += 1
                values = {name: float(value.detach()) for name, value in losses.items()}
                log.write(step, epoch, values)
                report(1, f"epoch {epoch + 1}/{options.epochs} loss {values['loss']:.4f}")
                if interrupted():
                    checkpoint(epoch)
                    cure = "run the same command with --resume to go on"
                    raise KinoscopeError(
                        f"interrupted after update {step} of {total}; it is saved", where=folder, cure=cure
                    )
                if step % options.checkpoint_every == 0 and step % per_epoch:
                    checkpoint(epoch)
            if _validation_due(epoch, options):
                metrics = _validate(task)
                log.write(step, epoch, metrics, kind="validation")
            checkpoint(epoch + 1)
    return metrics


@contextmanager
def _deferred_interrupt() -> Iterator[Callable[[], bool]]:
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


def _validation_due(epoch: int, options: LoopOptions) -> bool:
    every = options.validate_every
    return every > 0 and ((epoch + 1) % every == 0 or epoch + 1 == options.epochs)


class _EpochSamples(Dataset[Any]):
    """The samples of one epoch, each with its own generator."""

    def __init__(self, task: Task, seed: int, epoch: int) -> None:
        self.task, self.seed, self.epoch = task, seed, epoch

    def __len__(self) -> int:
        return len(self.task)

    def __getitem__(self, index: int) -> Any:
        return self.task.sample(index, sample_rng(self.seed, self.epoch, index))


def _batches(
    task: Task, fabric: Fabric, options: LoopOptions, epoch: int, skip: int
) -> Iterator[tuple[list[int], Any]]:
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


def _set_rates(task: Task, base_rates: Mapping[str, list[float]], factor: float) -> None:
    for name, optimizer in task.optimizers.items():
        for group, rate in zip(optimizer.param_groups, base_rates[name], strict=True):
            group["lr"] = rate * factor


def _clip(task: Task, largest: float) -> Tensor:
    parameters = [
        p for optimizer in task.optimizers.values() for group in optimizer.param_groups for p in group["params"]
    ]
    return nn.utils.clip_grad_norm_(parameters, largest)


def _check_finite(loss: Tensor, task: Task, indices: list[int], epoch: int) -> None:
    if not torch.isfinite(loss):
        names = ", ".join(task.describe(index) for index in indices[:8])
        raise KinoscopeError(
            f"the loss became {float(loss)} in epoch {epoch + 1}, in a batch of: {names}",
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


def _save(
    path: Path, task: Task, base_rates: Mapping[str, list[float]], step: int, epoch: int, metrics: Mapping[str, float]
) -> None:
    _set_rates(task, base_rates, 1.0)  # the schedule starts from the base rates again
    tree = {
        "position": {"step": step, "epoch": epoch, "metrics": dict(metrics)},
        "networks": {name: dict(network.state_dict()) for name, network in task.networks.items()},
        "optimizers": {name: optimizer.state_dict() for name, optimizer in task.optimizers.items()},
    }
    save_tree(path, tree)


def _restore(task: Task, tree: Mapping[str, Any]) -> None:
    for name, network in task.networks.items():
        network.load_state_dict(tree["networks"][name])
    for name, optimizer in task.optimizers.items():
        optimizer.load_state_dict(tree["optimizers"][name])


def _claim(folder: Path, identity: dict[str, Any], resume: bool) -> dict[str, Any]:
    """Take ``folder`` for this run; returns the position to continue from, empty for a fresh start."""
    description, saved = folder / "run.json", folder / CHECKPOINT
    if description.exists():
        if not resume:
            raise OutputError(
                "already holds a run", where=folder, cure="continue it with --resume, or choose another folder"
            )
        _compare(description, identity)
    else:
        write_json(description, identity)
    return dict(load_tree(saved)["position"]) if saved.exists() else {}


def _compare(description: Path, identity: dict[str, Any]) -> None:
    before, now = json.loads(description.read_text(encoding="utf-8")), json.loads(json.dumps(identity))
    changed = [
        f"{key} was {before.get(part, {}).get(key)!r}, now {now[part].get(key)!r}"
        for part in now
        for key in sorted({*before.get(part, {}), *now[part]})
        if before.get(part, {}).get(key) != now[part].get(key)
    ]
    if changed:
        raise OptionError(
            "resumed with other options: " + "; ".join(changed),
            where=description,
            cure="give the same options, or choose another folder",
        )
