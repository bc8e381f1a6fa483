"""Reduction blocks: their sizes in the paper, their place in every backbone, what stays of the weights before them."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import nn

from kinoscope.encoders.backbones import build_backbone, list_backbones
from kinoscope.encoders.cost import count_parameters
from kinoscope.encoders.i3d import inception
from kinoscope.encoders.reduction import Bottleneck3d, end_with
from kinoscope.encoders.s3d import Channels
from kinoscope.errors import OptionError

WIDTHS = {
    "s3d": 512, "s3d-g": 512, "i3d": 512, "resnet2d3d-50": 512, "resnext3d-101": 512, "r2plus1d-18": 256,
    "r2plus1d-34": 256, "slowfast-50": 512 + 128, "slowfast-50-late": 512 + 4 * 256,
}  # fmt: skip
CLIP = (1, 3, 16, 64, 64)


def test_the_block_of_the_paper() -> None:
    assert count_parameters(Bottleneck3d(2048, 512, "batch", groups=32)) == 1_762_304  # sheet section 12
    slow, fast = Bottleneck3d(2048, 512, "batch"), Bottleneck3d(256, 128, "batch")
    assert (slow.conv1.out_channels, slow.conv2.groups, slow.conv2.stride) == (256, 1, (1, 1, 1))
    assert fast.conv1.out_channels == 64 and fast(torch.randn(2, 256, 1, 3, 3)).shape == (2, 128, 1, 3, 3)
    torch.manual_seed(0)
    for layer in Bottleneck3d(2048, 512, "batch").modules():
        if isinstance(layer, nn.Conv3d):  # He's normal over the fan in, as the authors' code
            fan = layer.in_channels * layer.weight[0, 0].numel()
            assert layer.bias is None and float(layer.weight.detach().var()) == pytest.approx(2 / fan, rel=0.05)
        if isinstance(layer, nn.BatchNorm3d):
            assert layer.weight.eq(1).all() and layer.bias.eq(0).all()


def test_a_block_without_a_change_of_size_has_no_projection() -> None:
    block = Bottleneck3d(16, 16, "batch", groups=32).eval()
    assert count_parameters(block.downsample) == 0 and block.conv2.groups == 8
    x = torch.rand(1, 16, 2, 3, 3)
    with torch.no_grad():
        block.bn3.weight.zero_()
        torch.testing.assert_close(block(x), x)


@cache
def full(name: str) -> tuple[nn.Module, torch.Tensor]:
    """A backbone without reduction, and its map of :data:`CLIP`."""
    with torch.device("meta"):
        network = build_backbone(name)
        return network, network(torch.empty(CLIP))


@pytest.mark.parametrize("name", list_backbones())
@pytest.mark.parametrize("reduction", ["frmb", "frab"])
def test_every_backbone_is_narrowed(name: str, reduction: str) -> None:
    plain, before = full(name)
    with torch.device("meta"):
        reduced = build_backbone(name, reduction=reduction)  # type: ignore[arg-type]
        maps = reduced(torch.empty(CLIP))
    assert reduced.width == WIDTHS[name] == maps.shape[1] and maps.shape[2:] == before.shape[2:]
    told, found = plain.state_dict(), reduced.state_dict()
    kept = [key for key, tensor in told.items() if key in found and found[key].shape == tensor.shape]
    if reduction == "frab":  # all pretrained weights stay
        assert kept == list(told) and count_parameters(reduced) > count_parameters(plain)
    else:  # those of the last block go
        lost = {key.rsplit(".", 1)[0] for key in told if key not in kept}
        assert lost and all(layer.startswith(_last_blocks(name)) for layer in lost)
        assert count_parameters(reduced) < count_parameters(plain)


def _last_blocks(name: str) -> tuple[str, ...]:
    if name.startswith("slowfast"):
        return ("slow.3.2.",) if name.endswith("late") else ("slow.3.2.", "fast.3.2.")
    return {"r2plus1d-18": ("layer4.1.",)}.get(name, ("Mixed_5c.", "layer4.2."))


@pytest.mark.parametrize("name", list_backbones())
@pytest.mark.parametrize("reduction", ["frmb", "frab"])
def test_they_learn_at_any_width(name: str, reduction: str) -> None:
    torch.manual_seed(0)
    network = build_backbone(name, width=0.02, reduction=reduction)  # type: ignore[arg-type]
    maps = network(torch.randn(2, 3, 8, 32, 32))
    assert maps.shape[:2] == (2, network.width)
    maps.square().sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_ends_of_a_stage() -> None:
    stage = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1))
    end_with(stage, "frmb", nn.Identity())
    assert [type(layer) for layer in stage] == [nn.Linear, nn.Identity] and list(stage._modules) == ["0", "1"]
    end_with(stage, "frab", nn.Identity())
    assert [type(layer) for layer in stage] == [nn.Linear, nn.Identity, nn.Identity]


def test_inception_modules() -> None:
    assert inception(reduction="frmb")["Mixed_5c"] == inception(reduction="frab")["Mixed_5d"]
    assert "Mixed_5d" not in inception(reduction="frmb") and len(inception(reduction="frab")) == 10
    assert sum(inception(reduction="frmb")["Mixed_5c"][i] for i in (0, 2, 4, 5)) == 512
    assert Channels.of_width(1, "frab").mixed[:-1] == Channels().mixed


def test_an_unknown_reduction() -> None:
    with pytest.raises(OptionError, match="reduction is 'half'") as caught:
        build_backbone("i3d", reduction="half")  # type: ignore[arg-type]
    assert "frmb" in (caught.value.cure or "")
