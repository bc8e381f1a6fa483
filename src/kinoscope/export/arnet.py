"""What of an AR-Net is exported: each network of frames and the policy's step, as programs of their own.

The control loop stays outside of the files, in :mod:`.control_loop`: what it skips is to cost nothing.

Letters: N frames, B videos, C channels of a feature, D of the state, A actions, K classes.

Source: AR-Net sheet, section 11 (export).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim

from .. import __version__
from ..arnet.model import AdaptiveRecognizer
from ..arnet.network import FrameClassifier, Policy
from ..arnet.networks import Forward
from ..encoders.image_nets import image_net
from ..errors import WeightError
from .arnet_description import DESCRIPTION, KIND, read_description
from .exportable import FORMAT, VERSION
from .onnx_file import Graph
from .runtime import ExportedProgram


class _Answering(nn.Module):
    """A backbone with its classifier."""

    def __init__(self, part: FrameClassifier) -> None:
        super().__init__()
        self.part = part

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Shape: [N, 3, S, S] -> [N, C], [N, K]."""
        features = self.part.net(frames)
        return features, self.part.classify(features)


class _Seeing(nn.Module):
    """The policy's network of frames."""

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.net = policy.net

    def forward(self, frames: Tensor) -> tuple[Tensor]:
        """Shape: [N, 3, S, S] -> [N, C]."""
        return (self.net(frames),)


class _Stepping(nn.Module):
    """What the policy does with the features of one frame of each video."""

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.policy = policy

    def forward(self, features: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Shape: [B, C], two of [B, D] -> two of [B, D], [B, A], [B, K]."""
        (hidden, cell), actions, classes = self.policy.step(features, (hidden, cell))
        return hidden, cell, actions, classes


@dataclass(frozen=True)
class Program:
    """One of the files."""

    name: str
    """Of the file, without its ending."""
    graph: Graph
    net: str = ""
    """Of a network of frames; empty for the step."""

    def eager(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """What PyTorch computes."""
        with torch.inference_mode():
            return tuple(self.graph.network(*inputs))

    def prepare(self, views: np.ndarray) -> Tensor:
        """Pixels as the network of frames wants them. Shape: [N, S, S, 3] uint8 -> [N, 3, S, S]."""
        return image_net(self.net).prepare(torch.from_numpy(views)).contiguous()


def programs_of(recognizer: AdaptiveRecognizer, model: str) -> list[Program]:
    """The networks of frames in the order of ``options.views``, the policy's last, and after it the policy's step."""
    network = recognizer.network
    found, parts = [], [*map(_Answering, network.backbones), _Seeing(network.policy)]  # type: ignore[arg-type]
    for number, ((name, size), part) in enumerate(zip(recognizer.options.views, parts, strict=True)):
        role = "policy" if part is parts[-1] else f"frames-{number}"
        outputs = {"features": _width(recognizer, number)}
        if part is not parts[-1]:
            outputs["logits"] = network.classes
        example = torch.zeros(2, 3, size, size)
        graph = _graph(f"{role} of {model}", part, {"frames": example}, outputs)
        found.append(Program(f"{role}-{name}-{size}", graph, name))
    policy, hidden = network.policy, network.policy.rnn.hidden_size
    inputs = {"features": torch.zeros(2, policy.rnn.input_size)}
    inputs |= {name: torch.zeros(2, hidden) for name in ("hidden", "cell")}
    outputs = {"next_hidden": hidden, "next_cell": hidden, "action_logits": recognizer.actions.count}
    graph = _graph(f"step of {model}", _Stepping(policy), inputs, outputs | {"class_logits": network.classes})
    return [*found, Program("step", graph)]


def _graph(what: str, part: nn.Module, inputs: Mapping[str, Tensor], outputs: Mapping[str, int]) -> Graph:
    config = {
        "format": FORMAT,
        "version": VERSION,
        "kinoscope": __version__,
        "model": what,
        "kind": KIND,
        "inputs": [_value(name, list(x.shape[1:])) for name, x in inputs.items()],
        "outputs": [_value(name, [width]) for name, width in outputs.items()],
    }
    network = part.eval().requires_grad_(False)
    return Graph(what, network, tuple(inputs.values()), tuple(inputs), tuple(outputs), config, {0: Dim("batch")})


def _value(name: str, shape: list[int]) -> dict[str, Any]:
    return {"name": name, "shape": ["batch", *shape], "dtype": "float32"}


def _width(recognizer: AdaptiveRecognizer, number: int) -> int:
    return int((*recognizer.network.backbones, recognizer.network.policy)[number].net.width)  # type: ignore[union-attr,arg-type]


def exported_networks(folder: str | Path, *, threads: int | None = None) -> dict[int, Forward]:
    """The exported networks of frames, to compute in the place of PyTorch's in the real engine.

    Each takes normalised frames and gives the *features*, as :class:`kinoscope.arnet.networks.Networks` wants of what
    replaces its networks: classifiers and the policy's step, a thousandth of the work, stay in PyTorch there. (The
    files of backbones hold their classifiers too, and give logits as their second output.)

    >>> model = load_adaptive("runs/ar", replaced=exported_networks("ar-onnx"))  # doctest: +SKIP

    Args:
        folder: that ``kinoscope export`` wrote, of the same model.
        threads: of the processor, for each network; none leaves the choice to the runtime.

    Returns:
        By the number of the view (the policy's is the last): [N, 3, S, S] -> [N, C].

    Raises:
        WeightError: no such folder, or a damaged one.
        OptionError: the runtime is not installed.
    """
    said = read_description(folder)
    try:
        files = [str(each["file"]) for each in said["networks"]]
    except (KeyError, TypeError) as error:
        raise WeightError("names no networks", where=Path(folder) / DESCRIPTION, cure="export it again") from error
    return {number: _forward(ExportedProgram(Path(folder, file), threads=threads)) for number, file in enumerate(files)}


def _forward(program: ExportedProgram) -> Forward:
    def forward(frames: Tensor) -> Tensor:
        return torch.from_numpy(program.outputs(frames.cpu().numpy())[0]).to(frames.device)

    return forward
