"""Training state in one safetensors file: tensors as tensors, everything around them as JSON. No pickle.

A tree is made of dicts, lists, tuples, tensors, strings, numbers, booleans and None: all that the state of
networks and optimisers consists of. It comes back equal to the last bit, keys and tuples included.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..errors import WeightError
from ..files import atomic_path


def save_tree(path: str | Path, tree: Any) -> None:
    """Write ``tree`` to ``path``, atomically."""
    tensors: dict[str, Tensor] = {}
    outline = json.dumps(_pack(tree, tensors))
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata={"tree": outline})


def load_tree(path: str | Path, *branch: str) -> Any:
    """Read what :func:`save_tree` wrote, tensors on the CPU. Raises :class:`WeightError` if the file is damaged.

    Args:
        branch: keys that lead to the part wanted; only its tensors are read.
    """
    try:
        with safe_open(path, framework="pt") as file:
            node = json.loads(file.metadata()["tree"])
            for key in branch:
                node = dict(node["dict"]).get(key)
                if node is None:
                    raise WeightError(f"holds no {key!r}", where=path, cure="give a checkpoint of the same kind of run")
            return _unpack(node, file.get_tensor)
    except FileNotFoundError as error:
        raise WeightError("no such checkpoint", where=path) from error
    except (SafetensorError, OSError, TypeError, KeyError, ValueError) as error:
        raise WeightError(
            f"not a checkpoint that can be read: {error}", where=path, cure="start the run anew"
        ) from error


def _pack(node: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(node, Tensor):
        name = f"t{len(tensors)}"
        tensors[name] = node.detach().cpu().contiguous().clone()  # clone: safetensors refuses shared memory
        return {"tensor": name}
    if isinstance(node, dict):
        return {"dict": [[key, _pack(value, tensors)] for key, value in node.items()]}
    if isinstance(node, (list, tuple)):
        return {type(node).__name__: [_pack(value, tensors) for value in node]}
    if node is None or isinstance(node, (str, bool, int, float)):
        return {"value": node}
    raise TypeError(f"a checkpoint cannot hold a {type(node).__name__}")


def _unpack(node: Any, tensor: Any) -> Any:
    ((kind, value),) = node.items()
    if kind == "tensor":
        return tensor(value)
    if kind == "dict":
        return {key: _unpack(item, tensor) for key, item in value}
    if kind in ("list", "tuple"):
        items = [_unpack(item, tensor) for item in value]
        return tuple(items) if kind == "tuple" else items
    return value


def same_tree(a: Any, b: Any) -> bool:
    """Whether two trees are equal to the last bit."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict) and isinstance(b, dict):
        return list(a) == list(b) and all(same_tree(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)) and type(a) is type(b):
        return len(a) == len(b) and all(map(same_tree, a, b))
    return type(a) is type(b) and bool(a == b)
