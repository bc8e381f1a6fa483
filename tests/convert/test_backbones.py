"""Public backbones: names as their code gives them, their sizes, and their forward by hand in float64."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import kinoscope as ks
from kinoscope.convert.backbone_names import Naming, hassony2_i3d, slowfast_facebook
from kinoscope.convert.backbones import RELEASES, BackboneClassifier, load_backbone
from kinoscope.encoders.backbones import build_backbone
from kinoscope.encoders.i3d import I3D
from kinoscope.errors import WeightError
from tests.convert.made import State, made
from tests.convert.slow_backbones import slow_released

PUBLISHED = {  # classes and parameters, as their authors tell; of the first two torchvision's documentation
    "r2plus1d-18-torchvision": (400, 31_505_325),
    "s3d-torchvision": (400, 8_320_048),
    "r2plus1d-34-ig65m": (359, 63_676_000),
    "slowfast-50": (400, 34_566_000),
    "i3d-pytorch": (400, 12_697_000),
}
NAMES = {  # some of every kind, as the public code makes them
    "r2plus1d-18-torchvision": """stem.4.running_var layer1.0.conv1.0.0.weight layer1.1.conv2.0.1.bias
        layer2.0.conv1.1.weight layer2.0.downsample.1.running_mean layer4.1.conv2.0.3.weight fc.bias""",
    "s3d-torchvision": """features.0.0.0.weight features.0.1.1.running_mean features.2.0.weight features.2.1.bias
        features.3.1.0.weight features.5.branch0.0.weight features.5.branch0.1.running_var features.6.branch1.0.1.bias
        features.12.branch2.1.0.0.weight features.12.branch2.1.1.1.num_batches_tracked features.15.branch3.1.0.weight
        classifier.1.weight classifier.1.bias""",
    "r2plus1d-34-ig65m": "stem.0.weight layer3.5.conv2.0.3.weight layer2.0.conv2.0.0.weight fc.weight",
    "resnext3d-101-kinetics": """conv1.weight bn1.running_mean layer1.0.downsample.0.weight layer3.22.conv2.weight
        layer4.2.bn3.bias fc.weight""",
    "slowfast-50": """blocks.0.multipathway_blocks.1.conv.weight blocks.0.multipathway_blocks.0.norm.bias
        blocks.0.multipathway_fusion.conv_fast_to_slow.weight blocks.3.multipathway_fusion.norm.running_var
        blocks.1.multipathway_blocks.0.res_blocks.0.branch1_conv.weight
        blocks.2.multipathway_blocks.1.res_blocks.0.branch1_norm.weight
        blocks.4.multipathway_blocks.1.res_blocks.2.branch2.conv_c.weight
        blocks.3.multipathway_blocks.0.res_blocks.5.branch2.norm_b.running_mean blocks.6.proj.weight""",
    "i3d-pytorch": """Conv3d_1a_7x7.conv3d.weight Conv3d_2c_3x3.bn.bias Mixed_3b.b0.conv3d.weight
        Mixed_4f.b1b.bn.running_var Mixed_5c.b3b.conv3d.weight logits.conv3d.weight logits.conv3d.bias""",
}
OTHER_NAMES: dict[Naming, str] = {
    slowfast_facebook: """s1.pathway0_stem.conv.weight s1.pathway1_stem.bn.bias s1_fuse.conv_f2s.weight
        s4_fuse.bn.running_mean s2.pathway0_res0.branch1.weight s3.pathway1_res0.branch1_bn.weight
        s4.pathway0_res5.branch2.b.weight s5.pathway1_res2.branch2.c_bn.running_var head.projection.bias""",
    hassony2_i3d: """conv3d_1a_7x7.conv3d.weight conv3d_2c_3x3.batch3d.running_mean mixed_3b.branch_0.conv3d.weight
        mixed_4f.branch_1.0.batch3d.bias mixed_4f.branch_2.1.conv3d.weight mixed_5c.branch_3.1.batch3d.weight
        conv3d_0c_1x1.conv3d.weight conv3d_0c_1x1.conv3d.bias""",
}
_TWINS = {"slowfast-50": slowfast_facebook}
"""The names that the network by hand knows, where it does not know the first."""
CLIP = torch.randn(1, 3, 32, 40, 40, generator=torch.Generator().manual_seed(0))


def shapes(source: str, naming: Naming | None = None, *, classes: int = 5, channels: int = 3) -> dict[str, list[int]]:
    """Names and shapes of a release, in the order of our network."""
    release = RELEASES[source]
    with torch.device("meta"):
        network = BackboneClassifier(build_backbone(release.backbone), classes)
    found = {(naming or release.namings[0])(name): list(t.shape) for name, t in network.state_dict().items()}
    next(iter(found.values()))[1] = channels
    return {name: [*shape, 1, 1, 1] if release.pairs and len(shape) == 2 else shape for name, shape in found.items()}


def released(source: str, naming: Naming | None = None, *, channels: int = 3) -> State:
    """Made numbers under the names of a release; the same whatever the names."""
    return made(shapes(source, naming, channels=channels))


@pytest.mark.parametrize("source", RELEASES)
def test_the_names_are_those_of_the_public_code(source: str) -> None:
    names = set(shapes(source))
    assert set(NAMES[source].split()) <= names
    for naming in RELEASES[source].namings[1:]:
        others = set(shapes(source, naming))
        assert len(others) == len(names) and set(OTHER_NAMES[naming].split()) <= others


@pytest.mark.parametrize("source", PUBLISHED)
def test_the_sizes_are_published(source: str) -> None:
    classes, parameters = PUBLISHED[source]
    with torch.device("meta"):
        network = BackboneClassifier(build_backbone(RELEASES[source].backbone), classes)
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count == parameters if parameters % 1000 else abs(count - parameters) < 1000


def same(network: nn.Module, expected: Tensor, clip: Tensor = CLIP) -> None:
    found = network(clip)
    torch.testing.assert_close(found, expected.float(), atol=1e-5 * float(expected.abs().max()), rtol=1e-5)


_LARGE = ("r2plus1d-34-ig65m", "resnext3d-101-kinetics")  # their layers are in test_bert3d.py too


@pytest.mark.parametrize(
    "source", [pytest.param(source, marks=[pytest.mark.slow] * (source in _LARGE)) for source in RELEASES]
)
def test_a_release_computes_what_it_did(source: str) -> None:
    network = load_backbone(released(source), source)
    assert not network.training and not any(p.requires_grad for p in network.parameters())
    clip = CLIP[:, :, :16, :24, :24] if source.startswith("r2plus1d") else CLIP
    same(network, slow_released(source, released(source, _TWINS.get(source)), clip), clip)
    assert network.backbone(clip).shape[:2] == (1, network.backbone.width)  # type: ignore[operator,union-attr]


def test_a_released_file(tmp_path: Path) -> None:
    state = released("s3d-torchvision")
    torch.save({"state_dict": {f"module.{name}": tensor for name, tensor in state.items()}}, tmp_path / "x.pth")
    network = ks.load_official(tmp_path / "x.pth", "s3d-torchvision")
    same(network, slow_released("s3d-torchvision", state, CLIP))


@pytest.mark.parametrize(("source", "naming"), [(s, naming) for s in RELEASES for naming in RELEASES[s].namings[1:]])
def test_the_other_names_of_a_release_mean_the_same(source: str, naming: Naming) -> None:
    first = load_backbone(released(source), source)
    second = load_backbone({"model_state": released(source, naming), "epoch": 9}, source)
    small = CLIP[:, :, :, :32, :32]
    torch.testing.assert_close(second(small), first(small), atol=0, rtol=0)


def test_motion_of_i3d_has_two_channels() -> None:
    state = released("i3d-pytorch", channels=2)
    network = load_backbone(state, "i3d-pytorch")
    same(network, slow_released("i3d-pytorch", state, CLIP[:, :2]), CLIP[:, :2])


def test_i3d_is_the_one_in_the_catalogue() -> None:
    """The same weights under the names of both; that one is checked against the published scores of a real clip."""
    state = released("i3d-pytorch")
    ours = I3D(classes=5).eval()
    own = {(f"features.{n}" if "logits" not in n else n.replace("conv3d.", "")): t for n, t in state.items()}
    ours.load_state_dict(own)
    torch.testing.assert_close(load_backbone(state, "i3d-pytorch")(CLIP), ours.classify(ours(CLIP)))


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state.clear(),
        lambda state: state.pop("layer4.2.bn3.bias"),
        lambda state: state.update({"layer4.3.bn3.bias": torch.zeros(2048)}),
        lambda state: state.update({"conv1.weight": torch.zeros(64, 3, 3, 7, 7)}),
        lambda state: state.update({"fc.weight": torch.zeros(4)}),
    ],
)
def test_something_else_is_named(change: Callable[[State], object]) -> None:
    state = {name: torch.zeros(shape) for name, shape in shapes("resnext3d-101-kinetics").items()}
    change(state)
    with pytest.raises(WeightError, match=r"fc\.weight|layer4|conv1"):
        load_backbone(state, "resnext3d-101-kinetics")


def test_the_file_of_another_backbone_is_refused() -> None:
    with pytest.raises(WeightError, match=r"logits\.conv3d\.weight is missing"):
        load_backbone({name: torch.zeros(1) for name in shapes("r2plus1d-18-torchvision")}, "i3d-pytorch")
