"""Numbers for tensors of given names and shapes, with which activations neither vanish nor explode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

State = dict[str, Tensor]


def made(shapes: Mapping[str, Sequence[int]], seed: int = 0) -> State:
    """A state dict: convolutions as He et al. begin them, norms near 1, tokens and positions that matter."""
    generator = torch.Generator().manual_seed(seed)

    def normal(shape: Sequence[int], spread: float) -> Tensor:
        return torch.randn(tuple(shape), generator=generator) * spread

    state: State = {}
    for name, shape in shapes.items():
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(7)
        elif name.endswith("running_var"):
            state[name] = torch.rand(tuple(shape), generator=generator) + 0.5
        elif len(shape) == 3:
            state[name] = normal(shape, 0.5)
        elif len(shape) > 1:
            state[name] = normal(shape, (2 / float(torch.tensor(shape[1:]).prod())) ** 0.5)
        else:
            state[name] = normal(shape, 0.2) + (0.8 if name.endswith(("weight", "a_2")) else 0)
    return state
