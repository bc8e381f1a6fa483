"""A run's folder: whose it is, where the run stands, and how it goes on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import OptionError, OutputError, WeightError
from ..files import write_json
from .checkpoint import load_tree, save_tree
from .task import Task

CHECKPOINT = "checkpoint.safetensors"


def save_run(folder: Path, task: Task, *, step: int, epoch: int, metrics: Mapping[str, float]) -> None:
    """Write the checkpoint: ``step`` updates are done, ``epoch`` is the one to go on in."""
    tree = {
        "position": {"step": step, "epoch": epoch, "metrics": dict(metrics)},
        "networks": {name: dict(network.state_dict()) for name, network in task.networks.items()},
        "optimizers": {name: optimizer.state_dict() for name, optimizer in task.optimizers.items()},
    }
    save_tree(folder / CHECKPOINT, tree)


def restore(folder: Path, task: Task) -> None:
    """Put the checkpoint's weights and optimiser states into ``task``; :class:`WeightError` if they do not fit."""
    path = folder / CHECKPOINT
    tree = load_tree(path)
    try:
        for name, network in task.networks.items():
            network.load_state_dict(tree["networks"][name])
        for name, optimizer in task.optimizers.items():
            optimizer.load_state_dict(tree["optimizers"][name])
    except (KeyError, RuntimeError, ValueError) as error:  # the inputs are not those that the run began with
        problem = f"does not fit this run: {str(error).splitlines()[-1].strip()[:200]}"
        raise WeightError(problem, where=path, cure="resume with the same inputs, or start anew") from error


def claim(folder: Path, identity: dict[str, Any], resume: bool) -> dict[str, Any]:
    """Take ``folder`` for this run; returns the position to continue from, empty for a fresh start.

    A run that ended before its first checkpoint has left nothing to lose: its folder is free.
    """
    require_free(folder, resume)
    if (folder / CHECKPOINT).exists():
        check_identity(folder, identity)
    else:
        write_json(folder / "run.json", identity)
    return run_position(folder)


def require_free(folder: Path, resume: bool) -> None:
    """Raise :class:`OutputError` if ``folder`` holds a run that is not to be continued."""
    if (folder / CHECKPOINT).exists() and not resume:
        cure = "continue it with --resume, or delete this folder, or choose another"
        raise OutputError("already holds a run", where=folder, cure=cure)


def run_position(folder: Path) -> dict[str, Any]:
    """Where the run in ``folder`` stands: ``step``, ``epoch``, ``metrics``; empty if it has no checkpoint."""
    saved = folder / CHECKPOINT
    return dict(load_tree(saved, "position")) if saved.exists() else {}


def check_identity(folder: Path, identity: dict[str, Any]) -> None:
    """Raise :class:`OptionError` if the run in ``folder`` was begun with other options or data."""
    description = folder / "run.json"
    try:
        before = {part: dict(json.loads(description.read_text(encoding="utf-8"))[part]) for part in identity}
    except (OSError, ValueError, KeyError, TypeError) as error:
        cure = "start the run anew in another folder"
        raise OptionError("is damaged, so the run cannot be resumed", where=description, cure=cure) from error
    now = json.loads(json.dumps(identity))
    changed = [
        _difference(key, before[part].get(key), now[part].get(key))
        for part in now
        for key in sorted({*before[part], *now[part]})
        if before[part].get(key) != now[part].get(key)
    ]
    if changed:
        raise OptionError(
            "resumed differently: " + "; ".join(dict.fromkeys(changed)),
            where=description,
            cure="give the same options and data, or delete this folder, or choose another",
        )


def _difference(key: str, before: Any, now: Any) -> str:
    if key == "data":  # a fingerprint, which tells people nothing
        return "the data are not those that the run began with"
    if isinstance(before, dict) and isinstance(now, dict):
        changed = [name for name in {**before, **now} if before.get(name) != now.get(name)]
        return "; ".join(_difference(f"{key}.{name}", before.get(name), now.get(name)) for name in changed)
    return f"{key} was {before!r}, now {now!r}"
