"""A tiny AR-Net to export, and what its policy is made to do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from kinoscope.arnet.model import AdaptiveRecognizer, build_network
from kinoscope.arnet.options import ArNetOptions
from kinoscope.arnet.spending import Setting
from kinoscope.encoders import image_nets
from kinoscope.encoders.image_nets import ImageNet

CLASSES = ("sit down", "stand up", "hand – shake", "\u5012\u308c\u308b")


class TinyNet(nn.Module):
    """[N, 3, S, S] -> [N, 8], with a pattern of a few pixels that tells frames apart."""

    width = 8

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.norm = nn.Conv2d(3, 8, 5, 4, bias=False), nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 8, 3, 2)

    def forward(self, frames: Tensor) -> Tensor:
        return 4 * self.conv2(self.norm(self.conv1(frames)).relu()).relu().mean(dim=(2, 3))


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the tiny network known."""
    monkeypatch.setitem(image_nets._NETS, "tiny", ImageNet("tiny", TinyNet))


def recognizer(*, examples: Sequence[str] = (), seed: int = 2, kernel: str = "area") -> AdaptiveRecognizer:
    """Random weights, with which the policy does various things."""
    torch.manual_seed(seed)
    options = ArNetOptions(
        backbones=("tiny", "tiny"),
        policy="tiny",
        sizes=(48, 40),
        policy_size=32,
        skips=(1, 2),
        segments=10,
        hidden=6,
        kernel=kernel,  # type: ignore[arg-type]
    )
    network = build_network(options, len(CLASSES), [TinyNet() for _ in range(3)])
    with torch.no_grad():
        for part in (*network.backbones, network.policy):
            part.center.normal_(std=0.1)  # type: ignore[operator,union-attr]
            part.scale.uniform_(0.05, 0.1)  # type: ignore[operator,union-attr]
            part.last.weight.normal_()  # type: ignore[union-attr,operator]
            part.net.norm.running_var.uniform_(0.1, 0.3)  # type: ignore[union-attr,operator]
        network.policy.actions.weight.normal_(std=6)
    curve = [Setting(frames=5, bias=0.5, score=0.5, loss=1.0, gmac=0.001, consulted=3.0, used=(1.0, 1.0, 1.0))]
    return AdaptiveRecognizer(
        network,
        options,
        CLASSES,
        learned=True,
        temperature=1.5,
        curve=curve,
        curve_of="a test",
        examples=examples,
        device="cpu",
        runtime="torch",
    )


def saved(folder: Path, **more: object) -> AdaptiveRecognizer:
    """The same in a folder."""
    made = recognizer(**more)  # type: ignore[arg-type]
    made.save(folder)
    return made
