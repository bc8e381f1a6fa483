"""The official SoLa release → our adapter; the tensor names agree, the sizes are read off the shapes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..errors import WeightError
from ..sola import SoLa, SolaOptions

_FIRST = "conv_network.0.weight"


def load_sola(checkpoint: Mapping[str, Any]) -> SoLa:
    """The adapter of an official state dict (or of a checkpoint around one), in evaluation mode.

    ``m(features)`` computes [B, T, C] -> [B, T, C].

    Raises:
        WeightError: tensors are missing, left over, or of shapes that do not go together; they are named.
    """
    state = _adapter_state(checkpoint)
    first = state.get(_FIRST)
    if first is None or first.ndim != 3:
        raise WeightError(f"no tensor {_FIRST} of shape [hidden, C, k], so this is no SoLa adapter")
    hidden, channels, kernel = first.shape
    adapter = SoLa(channels, SolaOptions(hidden=hidden, kernel=kernel, margin=max(SolaOptions().margin, kernel // 2)))
    try:
        adapter.load_state_dict(state)
    except RuntimeError as error:
        raise WeightError(f"does not fit the SoLa adapter: {error}") from error
    return adapter.eval().requires_grad_(False)


def _adapter_state(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of the adapter, wherever in the checkpoint they lie, without the prefix of a wrapper."""
    nested = [value for value in checkpoint.values() if isinstance(value, Mapping)]
    for candidate in (checkpoint, *nested):
        for name in candidate:
            if str(name).endswith(_FIRST):
                prefix = str(name).removesuffix(_FIRST)
                inside = {str(key): value for key, value in candidate.items() if str(key).startswith(prefix)}
                return {key.removeprefix(prefix): value for key, value in inside.items() if isinstance(value, Tensor)}
    return {}
