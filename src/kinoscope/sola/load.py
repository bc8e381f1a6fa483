"""From a folder (or an official release) to the adapter in it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..data.feature_store import ADAPTER_FOLDER
from ..errors import KinoscopeError, WeightError
from .adapter import Adapter
from .controls import Identity, MovingAverage, RandomAdapter, Whitening
from .network import SoLa
from .options import SolaOptions

_BUILDERS: dict[str, Callable[[int, Mapping[str, Any]], Adapter]] = {
    "sola": lambda channels, options: SoLa(channels, SolaOptions(**options)),
    "random": lambda channels, options: RandomAdapter(channels, SolaOptions(**options)),
    "identity": lambda channels, _options: Identity(channels),
    "moving-average": lambda channels, options: MovingAverage(channels, int(options["rows"])),
    "whitening": lambda channels, options: Whitening(channels, int(options["components"])),
}


def load_adapter(folder: str | Path) -> Adapter:
    """What ``Adapter.save`` wrote, in evaluation mode.

    Args:
        folder: the adapter's own, or that of features it has converted.

    Raises:
        WeightError: not an adapter, or one that cannot be used.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    folder = adapter_folder(folder) if adapter_folder(folder).is_dir() else Path(folder)
    if not (folder / "config.json").is_file():
        cure = "give a folder that kinoscope adapt wrote"
        raise WeightError("cannot be read as an adapter: it has no config.json", where=folder, cure=cure)
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        adapter = _BUILDERS[config["kind"]](int(config["channels"]), config["options"])
        adapter.load_state_dict(load_file(folder / "model.safetensors"))
        adapter.source = {name: str(config["features"][name]) for name in ("encoder", "weight_hash")}
    except (KinoscopeError, OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise WeightError(f"cannot be read as an adapter: {error}", where=folder, cure="train it again") from error
    return adapter.eval().requires_grad_(False)


def adapter_folder(out: str | Path) -> Path:
    """Where the adapter lies that made the features in ``out``."""
    return Path(out) / ADAPTER_FOLDER
