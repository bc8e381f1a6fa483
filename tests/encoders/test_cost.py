"""Parameters and multiply-accumulates: counted by hand, and the table of late temporal modelling's sheet."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from kinoscope.bert3d.head import BertHead
from kinoscope.encoders.backbones import build_backbone
from kinoscope.encoders.cost import count_macs, count_parameters
from kinoscope.encoders.resnext3d import ResNeXt3d

CLASSES = 51
KINETICS = 2304 * 400 + 400  # the sheet's SlowFast with heads still holds the classifier that it no longer uses

# backbone, reduction, frames, pixels, (width, tokens) of its heads → millions of parameters, billions of multiply-adds
TABLE = [
    ("resnext3d-101", "none", 64, 112, [], 47.63, 38.5),
    ("resnext3d-101", "frmb", 64, 112, [(512, 4)], 47.38, 38.3),
    ("resnext3d-101", "frab", 64, 112, [(512, 4)], 52.47, 38.6),
    ("r2plus1d-34", "none", 32, 112, [], 63.52, 152.8),
    ("r2plus1d-34", "none", 32, 112, [(512, 4)], 66.67, 152.8),
    ("r2plus1d-34", "none", 64, 112, [(512, 8)], 66.68, 305.5),
    ("i3d", "none", 64, 224, [], 12.34, 111.3),
    ("i3d", "none", 64, 224, [(1024, 8)], 24.95, 111.4),
    ("i3d", "frab", 64, 224, [(512, 8)], 16.40, 111.7),
    ("i3d", "frmb", 64, 224, [(512, 8)], 13.54, 110.6),
    ("slowfast-50", "none", 64, 224, [], 33.76, 50.6),
    ("slowfast-50", "frab", 64, 224, [(640, 8)], 43.17, 52.3),
    ("slowfast-50-late", "frab", 64, 224, [(512, 8), (256, 32)], 42.04, 52.0),
]


def cost(
    backbone: nn.Module, width: int, clip: tuple[int, ...], heads: list[tuple[int, int]], unused: int = 0
) -> tuple[float, float]:
    """Millions of parameters and billions of multiply-accumulates of backbone, heads and classifier."""
    parameters, macs = count_parameters(backbone) + unused, count_macs(backbone, clip)
    for channels, tokens in heads:
        head = BertHead(channels, tokens)
        parameters, macs = parameters + count_parameters(head), macs + count_macs(head, (1, tokens, channels))
    return (parameters + (width + 1) * CLASSES) / 1e6, (macs + width * CLASSES) / 1e9


@pytest.mark.parametrize(("name", "reduction", "frames", "size", "heads", "millions", "billions"), TABLE)
def test_the_table_of_the_sheet(
    name: str, reduction: str, frames: int, size: int, heads: list[tuple[int, int]], millions: float, billions: float
) -> None:
    with torch.device("meta"):
        backbone = build_backbone(name, reduction=reduction)  # type: ignore[arg-type]
    width = sum(channels for channels, _ in heads) or int(backbone.width)  # type: ignore[arg-type]
    unused = KINETICS if "slowfast" in name and heads else 0
    parameters, macs = cost(backbone, width, (1, 3, frames, size, size), heads, unused)
    assert (round(parameters, 2), round(macs, 1)) == (millions, billions)


@pytest.mark.parametrize(
    ("reduction", "width", "heads", "millions", "billions"),
    [("none", 2048, [], 47.60, 34.1), ("frmb", 512, [(512, 4)], 47.36, 33.9)],
)
def test_the_networks_for_flow_see_two_channels(
    reduction: str, width: int, heads: list[tuple[int, int]], millions: float, billions: float
) -> None:
    with torch.device("meta"):
        backbone = ResNeXt3d(reduction=reduction, channels=2)  # type: ignore[arg-type]
    parameters, macs = cost(backbone, width, (1, 2, 64, 112, 112), heads)
    assert (round(parameters, 2), round(macs, 1)) == (millions, billions)


def test_counted_by_hand() -> None:
    network = nn.Sequential(nn.Conv3d(3, 8, (1, 3, 3), padding=(0, 1, 1), groups=1), nn.BatchNorm3d(8))
    outputs = 8 * 4 * 5 * 6
    assert count_parameters(network) == 8 * 3 * 9 + 8 + 2 * 8
    assert count_macs(network, (1, 3, 4, 5, 6)) == outputs * 3 * 9 + 2 * outputs
    assert count_macs(network, (2, 3, 4, 5, 6)) == 2 * count_macs(network, (1, 3, 4, 5, 6))
    grouped = nn.Conv3d(8, 8, 3, stride=2, padding=1, groups=4, bias=False)
    assert count_macs(grouped, (1, 8, 4, 4, 4)) == 8 * 2**3 * 2 * 27
    assert count_macs(nn.Linear(7, 5), (3, 7)) == 3 * 7 * 5


def test_counting_changes_nothing() -> None:
    network = build_backbone("r2plus1d-18", width=0.125).train()
    network.layer1.eval()  # type: ignore[union-attr,operator]  # a part that is frozen
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    modes = [layer.training for layer in network.modules()]
    assert count_macs(network, (1, 3, 8, 32, 32)) > 0
    assert modes == [layer.training for layer in network.modules()]
    torch.testing.assert_close(network.state_dict(), before, rtol=0, atol=0)
    assert not any(layer._forward_hooks for layer in network.modules())
    with pytest.raises(RuntimeError):
        count_macs(network, (1, 4, 8, 32, 32))
    assert modes == [layer.training for layer in network.modules()]
