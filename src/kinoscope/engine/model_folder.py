"""A trained model on disk: a folder with ``model.safetensors`` and ``config.json``; no pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from ..errors import WeightError
from ..files import atomic_path, write_json

WEIGHTS, CONFIG = "model.safetensors", "config.json"
MAKE_ANEW = "train it again, or copy the whole folder again"


def save_model(folder: str | Path, network: nn.Module, config: Mapping[str, Any]) -> None:
    """Write both files, each atomically, the weights first.

    Raises:
        OutputError: the folder cannot be written.
    """
    save_weights(folder, network)
    write_json(Path(folder) / CONFIG, config)


def save_weights(folder: str | Path, network: nn.Module) -> None:
    """Write the weights alone, atomically. Raises :class:`OutputError` if the folder cannot be written."""
    from safetensors.torch import save_file

    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    with atomic_path(Path(folder) / WEIGHTS) as temporary:
        save_file(weights, temporary)


def read_config(folder: str | Path, kind: str, version: int, give: str) -> Mapping[str, Any]:
    """What ``config.json`` says of a model of this ``kind``.

    Args:
        give: the cure, where there is no such model.

    Raises:
        WeightError: missing or damaged, of another kind or of another version.
    """
    path = Path(folder) / CONFIG
    config = peek_config(path)
    if config is None and not path.is_file():
        raise WeightError("no such file", where=path, cure=give)
    found = config.get("kind") if isinstance(config, dict) else type(config).__name__
    if not isinstance(config, dict) or found != kind:
        raise WeightError(f"holds a model of kind {found!r}, not {kind!r}", where=path, cure=give)
    if config.get("version") != version:
        problem = f"has version {config.get('version')!r}, but this program reads version {version}"
        raise WeightError(problem, where=path, cure="update Kinoscope")
    return config


def peek_config(path: Path) -> Any:
    """What a ``config.json`` holds, whatever that is; none without a file. Raises :class:`WeightError` if damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise WeightError(f"cannot be read: {error}", where=path, cure=MAKE_ANEW) from error


def load_weights(folder: str | Path, network: nn.Module) -> None:
    """Put the folder's weights into ``network``, which may be on the meta device.

    Raises:
        WeightError: missing or damaged, or of another network.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = Path(folder) / WEIGHTS
    try:
        weights = load_file(path)
    except FileNotFoundError as error:
        raise WeightError("no such file", where=path, cure=MAKE_ANEW) from error
    except (SafetensorError, OSError) as error:
        raise WeightError(f"cannot be read as weights: {error}", where=path, cure=MAKE_ANEW) from error
    try:
        network.load_state_dict(weights, assign=True)
    except RuntimeError as error:
        raise WeightError(f"does not fit {CONFIG}: {error}", where=path, cure=MAKE_ANEW) from error
