"""The backbones: sizes of the papers, shapes of the sheets' tables, every normalisation; layers of official weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from kinoscope.encoders.backbones import PooledBackbone, build_backbone, list_backbones
from kinoscope.encoders.cost import count_parameters
from kinoscope.encoders.normalization import norm, scaled
from kinoscope.encoders.r2plus1d import between
from kinoscope.encoders.s3d import S3D, Channels, channels_of
from kinoscope.errors import OptionError

KEYS = Path(__file__).resolve().parents[3] / "shared" / "papers" / "official_keys"

# CoCLR's sheet, section 2 (S3D, exactly; 2D3D-ResNet-50, 31.7 million), Tran et al. 2018, table 1 (R(2+1)D-18, 31.3
# million); those of late temporal modelling are held against their own sheet's table in test_cost.py
PARAMETERS = {"s3d": 7_910_048, "s3d-g": 9_098_000, "resnet2d3d-50": 31_672_128, "r2plus1d-18": 31_300_125}
WIDTHS = {
    "s3d": 1024, "s3d-g": 1024, "i3d": 1024, "resnet2d3d-50": 2048, "resnext3d-101": 2048, "r2plus1d-18": 512,
    "r2plus1d-34": 512, "slowfast-50": 2304, "slowfast-50-late": 3072,
}  # fmt: skip
STRIDES = {  # of time and space; rounded up but for S3D, whose last pool drops an odd row
    "i3d": (8, 32), "resnet2d3d-50": (2, 32), "resnext3d-101": (16, 32), "r2plus1d-18": (8, 16), "r2plus1d-34": (8, 16),
    "slowfast-50": (8, 32), "slowfast-50-late": (8, 32),
}  # fmt: skip
OFFICIAL = {  # of the released checkpoints of late temporal modelling
    "r2plus1d34": ("r2plus1d-34", "none"), "resnext101-frab": ("resnext3d-101", "frab"),
    "resnext101-frmb": ("resnext3d-101", "frmb"), "i3d-frmb": ("i3d", "frmb"),
}  # fmt: skip
TABLE = {
    "Conv_1a": (64, 16, 64, 64),
    "MaxPool_2a": (64, 16, 32, 32),
    "Conv_2c": (192, 16, 32, 32),
    "MaxPool_3a": (192, 16, 16, 16),
    "Mixed_3b": (256, 16, 16, 16),
    "Mixed_3c": (480, 16, 16, 16),
    "MaxPool_4a": (480, 8, 8, 8),
    "Mixed_4b": (512, 8, 8, 8),
    "Mixed_4c": (512, 8, 8, 8),
    "Mixed_4d": (512, 8, 8, 8),
    "Mixed_4e": (528, 8, 8, 8),
    "Mixed_4f": (832, 8, 8, 8),
    "MaxPool_5a": (832, 4, 4, 4),
    "Mixed_5b": (832, 4, 4, 4),
    "Mixed_5c": (1024, 4, 4, 4),
}


@pytest.mark.parametrize("name", list_backbones())
def test_sizes_of_the_papers(name: str) -> None:
    with torch.device("meta"):
        network = build_backbone(name)
    assert network.width == WIDTHS[name]
    assert name not in PARAMETERS or count_parameters(network) == PARAMETERS[name]


@pytest.mark.parametrize("release", OFFICIAL)
def test_the_layers_are_those_of_the_official_weights(release: str) -> None:
    """In their order, with their shapes and the last parts of their names; the parts before are given by convert."""
    backbone, reduction = OFFICIAL[release]
    with torch.device("meta"):
        network = build_backbone(backbone, reduction=reduction)  # type: ignore[arg-type]
    path = KEYS / f"bert3d-{release}.json"
    if not path.is_file():
        pytest.skip(f"official tensors not found at {path}")
    told = json.loads(path.read_text(encoding="utf-8")).items()
    ours = [(name.split(".")[-1], list(tensor.shape)) for name, tensor in network.state_dict().items()]
    assert ours == [(name.split(".")[-1], shape) for name, shape in told if name.startswith(("features.", "mapper."))]


def test_batch_norms_have_the_epsilons_of_their_weights() -> None:
    def epsilons(name: str, epsilon: float | None = None) -> set[float]:
        network = build_backbone(name, width=0.125, epsilon=epsilon)
        return {layer.eps for layer in network.modules() if isinstance(layer, nn.BatchNorm3d)}

    assert epsilons("r2plus1d-34") == epsilons("i3d") == {1e-3}
    assert epsilons("r2plus1d-18") == epsilons("resnext3d-101") == epsilons("slowfast-50") == {1e-5}
    assert epsilons("r2plus1d-18", 1e-3) == {1e-3}


@pytest.mark.parametrize(
    ("name", "fan"), [("r2plus1d-34", 1), ("resnet2d3d-50", 1), ("resnext3d-101", 0), ("slowfast-50", 1)]
)
def test_every_convolution_begins_as_told(name: str, fan: int) -> None:
    torch.manual_seed(0)
    for layer in build_backbone(name, width=0.5).modules():
        if isinstance(layer, nn.Conv3d) and layer.weight.numel() > 2000:
            variance = 2 / nn.init._calculate_fan_in_and_fan_out(layer.weight)[fan]
            assert float(layer.weight.detach().var()) == pytest.approx(variance, rel=0.2)


def test_every_stage_has_the_shape_of_the_table() -> None:
    with torch.device("meta"):
        network, x = S3D().eval(), torch.empty(1, 3, 32, 128, 128)
        for name, layer in network.named_children():
            x = layer(x)
            assert name not in TABLE or x.shape[1:] == TABLE[name], name
    assert sum(p.numel() for p in network.parameters()) + 1_180_800 == 9_090_848  # with the head of section 2


def test_s3d_begins_as_the_sheet_says() -> None:
    torch.manual_seed(0)
    for layer in S3D().modules():
        if isinstance(layer, nn.Conv3d):
            assert layer.bias is None and float(layer.weight.detach().std()) == pytest.approx(0.01, rel=0.1)
        if isinstance(layer, nn.BatchNorm3d):
            assert (layer.eps, layer.momentum) == (1e-5, 0.1)
            assert layer.weight.eq(1).all() and layer.bias.eq(0).all()


@pytest.mark.parametrize("normalization", ["batch", "sync", "group"])
@pytest.mark.parametrize("name", list_backbones())
def test_every_backbone_forward_and_backward(name: str, normalization: str) -> None:
    torch.manual_seed(0)
    network = build_backbone(name, width=0.125, normalization=normalization)  # type: ignore[arg-type]
    clip = torch.randn(2, 3, 8, 40, 33, requires_grad=True)  # one step of time for most
    maps = network(clip)
    assert maps.shape[:2] == (2, network.width) and maps.ndim == 5
    torch.testing.assert_close(PooledBackbone(network.eval())(clip), network(clip).flatten(2).mean(2))
    maps.square().sum().backward()
    assert clip.grad is not None and clip.grad.abs().sum() > 0
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize("name", list_backbones())
@pytest.mark.parametrize(("frames", "size"), [(8, 32), (9, 47), (16, 64)])
def test_time_and_space_shrink_as_told(name: str, frames: int, size: int) -> None:
    with torch.device("meta"):
        maps = build_backbone(name, width=0.125).eval()(torch.empty(1, 3, frames, size, size))
    if name in STRIDES:
        time, space = STRIDES[name]
        assert maps.shape[2:] == (-(-frames // time), -(-size // space), -(-size // space))
    else:
        assert maps.shape[2:] == (-(-frames // 4) // 2, -(-size // 16) // 2, -(-size // 16) // 2)


def twins(name: str, first: str, second: str) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    a = build_backbone(name, width=0.125, normalization=first)  # type: ignore[arg-type]
    b = build_backbone(name, width=0.125, normalization=second)  # type: ignore[arg-type]
    b.load_state_dict(a.state_dict())
    return a, b


@pytest.mark.parametrize("name", list_backbones())
def test_sync_equals_batch_on_one_process(name: str) -> None:
    clip = torch.randn(3, 3, 8, 32, 32)
    a, b = twins(name, "batch", "sync")
    for _ in range(2):
        torch.testing.assert_close(a(clip), b(clip))
    torch.testing.assert_close(a.state_dict(), b.state_dict())
    torch.testing.assert_close(a.eval()(clip), b.eval()(clip))


@pytest.mark.parametrize("name", list_backbones())
def test_with_groups_a_clip_does_not_see_its_batch(name: str) -> None:
    torch.manual_seed(0)
    network, clip = build_backbone(name, width=0.125, normalization="group"), torch.randn(3, 3, 8, 32, 32)
    torch.testing.assert_close(network(clip)[:1], network(clip[:1]), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("channels", [*range(1, 70), 230, 460, 528])
def test_groups_divide_the_channels(channels: int) -> None:
    layer = norm("group", channels)
    assert isinstance(layer, nn.GroupNorm) and channels % layer.num_groups == 0 and layer.num_groups <= 32


def test_widths() -> None:
    assert Channels.of_width(1) == Channels()
    assert [scaled(64, width) for width in (0.01, 0.1, 0.25, 0.5, 1, 1.5)] == [8, 8, 16, 32, 64, 96]
    half = Channels.of_width(0.5)
    assert channels_of(S3D(half).state_dict()) == half
    assert [between(*pair) for pair in ((64, 64), (64, 128), (512, 512))] == [144, 230, 1152]
    for inputs, outputs in ((64, 64), (64, 128), (256, 512)):  # as many parameters as a 3×3×3 convolution
        middle = between(inputs, outputs)
        assert 0.98 < (9 * inputs * middle + 3 * middle * outputs) / (27 * inputs * outputs) <= 1


@pytest.mark.parametrize("options", [{"width": 0}, {"width": float("nan")}, {"width": 9}, {"normalization": "layer"}])
def test_impossible_options(options: dict[str, object]) -> None:
    with pytest.raises(OptionError, match="must be"):
        build_backbone("s3d", **options)  # type: ignore[arg-type]


def test_an_unknown_backbone_is_told_with_the_nearest() -> None:
    with pytest.raises(OptionError, match="unknown backbone 'resnet2d3d50'") as caught:
        build_backbone("resnet2d3d50")
    assert "did you mean resnet2d3d-50" in (caught.value.cure or "")


def slow_gate(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    gates = [
        [float(torch.sigmoid(bias[c] + sum(weight[c, d] * x[b, d].mean() for d in range(x.shape[1]))))
         for c in range(x.shape[1])]
        for b in range(len(x))
    ]  # fmt: skip
    return torch.stack([torch.stack([x[b, c] * gates[b][c] for c in range(x.shape[1])]) for b in range(len(x))])


def test_a_gate_is_a_sigmoid_of_the_means() -> None:
    from kinoscope.encoders.s3d import Gate

    gate, x = Gate(3), torch.randn(2, 3, 2, 2, 2)
    with torch.no_grad():
        torch.testing.assert_close(gate(x), slow_gate(x, gate.fc.weight, gate.fc.bias))
