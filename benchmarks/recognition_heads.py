"""What a head over tokens costs beside the mean over time: parameters, time, bytes held in training.

The tables are part of ``python -m benchmarks.recognition_speed``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor, nn

from kinoscope.bert3d.heads import looks_at_places
from kinoscope.bert3d.network import build_classifier
from kinoscope.bert3d.options import HEADS, HeadName, HeadOptions

CLASSES, HEAD_CLIPS, TOKENS, WIDTH, PLACES = 51, 8, 8, 512, 7  # tokens of R(2+1)D-34 for 64 frames
_PASSES = 10


@dataclass
class HeadCost:
    """One head with its classifier."""

    network: nn.Module
    tokens: Tensor
    forward: list[float]
    """Milliseconds, by round."""
    step: list[float]

    def round(self) -> None:
        """Measure both once more."""
        self.network.eval()
        with torch.inference_mode():
            self.forward.append(milliseconds(lambda: self.network(self.tokens), _PASSES))
        self.network.train()
        self.step.append(milliseconds(lambda: self.network(self.tokens).sum().backward(), _PASSES))

    def kept(self) -> int:
        """Bytes that a forward pass in training keeps for the backward pass, parameters aside."""
        own = {parameter.data_ptr() for parameter in self.network.parameters()} | {self.tokens.data_ptr()}
        kept: dict[int, int] = {}

        def pack(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in own:
                kept[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            output = self.network.train()(self.tokens)
        del output
        return sum(kept.values())


def head_cost(name: HeadName) -> HeadCost:
    """A head with random weights, and random tokens."""
    torch.manual_seed(0)
    options = HeadOptions(head=name)
    grid = PLACES if looks_at_places(options) else 1
    shape = (HEAD_CLIPS, TOKENS, *((PLACES, PLACES) if grid > 1 else ()), WIDTH)
    return HeadCost(build_classifier(options, WIDTH, TOKENS, CLASSES, grid), torch.randn(shape), [], [])


def head_costs(rounds: int) -> dict[HeadName, HeadCost]:
    """Every head, measured in turns; one more round before them warms up and is not counted."""
    costs = {name: head_cost(name) for name in HEADS if name != "bert-late"}  # it is for SlowFast alone
    for turn in range(rounds + 1):
        for cost in costs.values():
            cost.round()
            if not turn:
                cost.forward.clear()
                cost.step.clear()
    return costs


def head_rows(costs: Mapping[HeadName, HeadCost]) -> list[dict[str, object]]:
    """A line per head."""
    plain = costs["tgap"]
    rows: list[dict[str, object]] = []
    for name, cost in costs.items():
        line: dict[str, object] = {"head": name}
        line["parameters, M"] = f"{sum(p.numel() for p in cost.network.parameters()) / 1e6:.2f}"
        line["pass, ms"] = f"{median(cost.forward):.2f}"
        line["minus tgap, ms per clip"] = f"{difference(cost.forward, plain.forward) / HEAD_CLIPS:.2f}"
        line["training step, ms"] = f"{median(cost.step):.1f}"
        line["kept for backward, MB"] = f"{cost.kept() / 1e6:.2f}"
        rows.append(line)
    return rows


def difference(slow: Sequence[float], fast: Sequence[float]) -> float:
    """Median over rounds of paired differences."""
    return median(a - b for a, b in zip(slow, fast, strict=True))


def milliseconds(action: Callable[[], object], times: int) -> float:
    """Mean of ``times``."""
    begin = time.perf_counter()
    for _ in range(times):
        action()
    return 1e3 * (time.perf_counter() - begin) / times
