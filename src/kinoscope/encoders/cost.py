"""What a network costs: its parameters, and its multiply-accumulates for one clip."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

_NORMS = (nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def count_parameters(network: nn.Module) -> int:
    """Numbers that training can change; running means and other buffers do not count."""
    return sum(parameter.numel() for parameter in network.parameters())


def count_macs(network: nn.Module, shape: tuple[int, ...]) -> int:
    """Multiply-accumulates for an input of ``shape``, clips [1, 3, T, H, W] or frames [1, 3, H, W]; papers say FLOPs.

    Convolutions, linear layers and attention count, and batch norms, two for each of their values (the statistics, then
    the weights): so counts the table of sheet section 4. Nothing is computed: only sizes go through the network, in
    evaluation mode, so that it takes neither time nor memory at any size.
    """
    from torch.utils.flop_counter import FlopCounterMode  # loads much of torch

    tensors = (*network.named_parameters(), *network.named_buffers())
    sizes = {name: tensor.detach().to("meta") for name, tensor in tensors}
    normalised = 0

    def count(_layer: nn.Module, _inputs: Any, output: Tensor) -> None:
        nonlocal normalised
        normalised += 2 * output.numel()

    modes = {layer: layer.training for layer in network.modules()}
    norms = [layer for layer in modes if isinstance(layer, _NORMS)]
    hooks = [layer.register_forward_hook(count) for layer in norms]
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            functional_call(network.eval(), sizes, (torch.empty(shape, device="meta"),))
    finally:
        for hook in hooks:
            hook.remove()
        for layer, training in modes.items():
            layer.training = training
    return counter.get_total_flops() // 2 + normalised  # it counts a multiplication and an addition as two
