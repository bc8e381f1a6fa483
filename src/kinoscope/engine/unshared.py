"""Networks that do not learn, when there are several processes: DDP refuses to wrap them."""

from __future__ import annotations

from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn


class Unshared(nn.Module):
    """A network on this process's device, run in the run's precision; each process keeps its own."""

    def __init__(self, network: nn.Module, fabric: Fabric) -> None:
        super().__init__()
        self.module = fabric.to_device(network)
        self._autocast = fabric.autocast

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """What the network gives, in float32."""
        with self._autocast():
            output = self.module(*inputs, **named)
        return output.float() if isinstance(output, Tensor) and torch.is_floating_point(output) else output

    def state_dict(self, *inputs: Any, **named: Any) -> dict[str, Any]:  # type: ignore[override]  # as given
        """That of the network: a checkpoint does not tell how many processes wrote it."""
        return self.module.state_dict(*inputs, **named)

    def load_state_dict(self, *inputs: Any, **named: Any) -> Any:
        """Into the network."""
        return self.module.load_state_dict(*inputs, **named)
