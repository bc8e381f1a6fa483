"""The networks of a model as they compute on the machine at hand: PyTorch, or OpenVINO on a CPU."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec

import numpy as np
import torch
from torch import Tensor, nn

from ..encoders.encoder import choose_device
from ..encoders.image_nets import image_net
from ..encoders.sampling import Runtime
from ..errors import OptionError
from ..video.scaling import Frame
from .network import ArNet, FrameClassifier, Policy
from .options import ArNetOptions
from .pixels import Glass

Forward = Callable[[Tensor], Tensor]
"""A network of frames: [N, 3, S, S] -> [N, C]."""
_TIMED = 3


class Networks:
    """Pixels in, features of the policy or logits of a backbone out.

    Args:
        network: in evaluation mode; moved to the device.
        options: which networks see what.
        device: ``auto`` takes a GPU if there is one.
        runtime: what computes on a CPU; ``auto`` takes OpenVINO if it is installed.
        cache_names: for each view a name that changes with its weights; what OpenVINO converted is kept by it.
        replaced: networks that compute in the place of their own, by the number of the view; the last is the policy's.

    Raises:
        OptionError: a device that is not there, or a runtime that does not go with it.
    """

    def __init__(
        self,
        network: ArNet,
        options: ArNetOptions,
        *,
        device: str = "auto",
        runtime: Runtime = "auto",
        cache_names: tuple[str, ...] = (),
        replaced: Mapping[int, Forward] | None = None,
    ) -> None:
        self.device = choose_device(device)
        if runtime == "openvino" and self.device.type != "cpu":
            raise OptionError("runtime openvino computes on the CPU", cure="add --device cpu, or use runtime torch")
        if runtime == "auto":
            runtime = "openvino" if self.device.type == "cpu" and find_spec("openvino") else "torch"
        self.network, self.options, self.runtime = network.to(self.device), options, runtime
        self.actions = network.available
        self.names = tuple(f"{name}, {size} px" for name, size in options.views[:-1])
        self._prepare = [image_net(name).prepare for name, _ in options.views]
        self._sizes = [size for _, size in options.views]
        parts: list[FrameClassifier | Policy] = [*network.backbones, network.policy]  # type: ignore[list-item]
        nets = [(replaced or {}).get(number, part.net) for number, part in enumerate(parts)]
        self._nets: list[Forward] = [
            self._ready(net, cache_names[number] if cache_names else "") if isinstance(net, nn.Module) else net
            for number, net in enumerate(nets)
        ]
        self._latency: dict[int, float] = {}

    def look(self, views: Frame) -> Tensor:
        """Features of the policy. Shape: [N, S, S, 3] uint8 -> [N, C]."""
        return self.features(len(self._nets) - 1, views)

    def answer(self, number: int, views: Frame) -> Tensor:
        """Logits of a backbone. Shape: [N, S, S, 3] uint8 -> [N, K]."""
        backbone = self.network.backbones[number]
        return backbone.classify(self.features(number, views))  # type: ignore[operator]

    def features(self, number: int, views: Frame) -> Tensor:
        """Features of any network, the last is the policy's. Shape: [N, S, S, 3] uint8 -> [N, C]."""
        pixels = torch.from_numpy(views).to(self.device, non_blocking=True)
        return self._nets[number](self._prepare[number](pixels))

    def glass(self, stored: tuple[int, int], rotation: int) -> Glass:
        """What scales the frames of a video."""
        return Glass(stored, rotation, max(self._sizes), self.options.kernel, self.options.crop)

    @torch.inference_mode()
    def latency(self, number: int) -> float:
        """Seconds that a network takes for one frame here, measured when first asked for."""
        if number not in self._latency:
            blank = np.zeros((1, self._sizes[number], self._sizes[number], 3), np.uint8)
            self.features(number, blank)  # what is done once only is not counted
            took = []
            for _ in range(_TIMED):
                begin = time.perf_counter()
                self.features(number, blank).cpu()
                took.append(time.perf_counter() - begin)
            self._latency[number] = min(took)
        return self._latency[number]

    def warm(self) -> None:
        """Make every network ready, so that the first frame does not wait for it."""
        for number in range(len(self._nets)):
            self.latency(number)

    def _ready(self, net: nn.Module, name: str) -> Forward:
        if self.runtime == "openvino" and name:
            from ..encoders.openvino import OpenVinoNetwork

            return OpenVinoNetwork(net, name)
        return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's hints lack it
