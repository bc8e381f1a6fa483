"""What every converter does: find the tensors in a checkpoint, compare them with a network's, and hand them over."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import WeightError
from ..wording import plural

_LISTED = 8
_NESTED = ("state_dict", "model_state", "model_state_dict", "model")
_COUNTER = "num_batches_tracked"
"""Of a batch norm: only training looks at it, and files of old frameworks do not have it."""


def tensors_in(checkpoint: Mapping[str, Any], nested: Iterable[str] = _NESTED) -> dict[str, Tensor]:
    """The tensors of a state dict, or of the one inside a checkpoint; a prefix ``module.`` is dropped.

    Args:
        nested: where a checkpoint may hold its state dict; the first that it has counts.

    Raises:
        WeightError: a tensor claims more numbers than the file holds.
    """
    inner = next((checkpoint[key] for key in nested if isinstance(checkpoint.get(key), Mapping)), checkpoint)
    found = {str(name).removeprefix("module."): value for name, value in inner.items() if isinstance(value, Tensor)}
    for name, tensor in found.items():
        if not _is_stored(tensor):
            problem = f"{name} is {list(tensor.shape)}, but the file does not hold that many numbers"
            raise WeightError(problem, cure="get the file again, from its authors")
    return found


def _is_stored(tensor: Tensor) -> bool:
    """Whether every number of a tensor has its own place in memory: others grow when they are copied."""
    if tensor.layout is not torch.strided or tensor.is_meta:
        return False
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()


def require_match(expected: Mapping[str, tuple[int, ...]], found: Mapping[str, Tensor], cure: str) -> None:
    """Raise :class:`WeightError` that names the tensors which are missing, unknown or of another shape."""
    problems = [f"{name} is missing" for name in expected if name not in found]
    problems += [f"{name} is unknown" for name in found if name not in expected]
    problems += [
        f"{name} is {list(found[name].shape)}, but {list(shape)} fits"
        for name, shape in expected.items()
        if name in found and tuple(found[name].shape) != tuple(shape)
    ]
    problems += [f"{name} holds NaN or infinity" for name in expected if name in found and not _is_finite(found[name])]
    if problems:
        rest = f" and {len(problems) - _LISTED} more" if len(problems) > _LISTED else ""
        tensors = plural(len(problems), "tensor")
        raise WeightError(f"{tensors} cannot be used: {'; '.join(problems[:_LISTED])}{rest}", cure=cure)


def _is_finite(tensor: Tensor) -> bool:
    return tensor.is_meta or not tensor.is_floating_point() or bool(tensor.isfinite().all())


def rows_of(found: Mapping[str, Tensor], name: str, cure: str) -> int:
    """Rows of a weight: the number of classes of a classifier.

    Raises:
        WeightError: it is missing, or has none.
    """
    weight = found.get(name)
    if weight is None or weight.ndim < 2 or 0 in weight.shape:
        state = "is missing" if weight is None else f"is {list(weight.shape)}"
        raise WeightError(f"{name} {state}, so this is another network", cure=cure)
    return len(weight)


def fill(
    network: nn.Module,
    found: Mapping[str, Tensor],
    cure: str,
    their_name: Callable[[str], str] = str,
    given: Mapping[str, Tensor] = MappingProxyType({}),
) -> None:
    """Give a network that was built on the meta device the tensors of a file, as float32; evaluation mode, frozen.

    Args:
        network: built on the meta device, so that sizes are compared before any memory is taken.
        found: all tensors of the file, by their names.
        cure: what to do if they do not fit.
        their_name: our name of a tensor → its name in the file.
        given: tensors that no file has, by our names.

    Raises:
        WeightError: see :func:`require_match`.
    """
    own = network.state_dict()
    theirs = {name: their_name(name) for name in own if name not in given}
    complete = {name: torch.tensor(0) for name in theirs.values() if name.endswith(_COUNTER)} | dict(found)
    require_match({their: tuple(own[name].shape) for name, their in theirs.items()}, complete, cure)
    state = {name: complete[their].to(own[name].dtype) for name, their in theirs.items()}
    network.load_state_dict({**state, **given}, assign=True)
    network.eval().requires_grad_(False)
