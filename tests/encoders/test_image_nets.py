"""Networks of single frames: layers of published checkpoints, their arithmetic, weights that fit and that do not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from kinoscope.encoders import image_nets
from kinoscope.encoders.catalog import encoder_spec
from kinoscope.encoders.image_nets import build_image_net, image_net, list_image_nets
from kinoscope.encoders.mobilenet_v2 import MobileNetV2
from kinoscope.encoders.resnet import ResNet
from kinoscope.errors import OptionError, WeightError

KEYS = Path(__file__).resolve().parents[3] / "shared" / "papers" / "official_keys" / "arnet.json"
PREFIXES = {
    "base_model_list.0.": "resnet50", "base_model_list.1.": "resnet34", "base_model_list.2.": "resnet18",
    "lite_backbone.": "mobilenet-v2",
}  # fmt: skip
WIDTHS = {"resnet50": 2048, "resnet34": 512, "resnet18": 512, "mobilenet-v2": 1280}


def unfilled(name: str) -> nn.Module:
    with torch.device("meta"):
        return image_net(name).build()


# --- layers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", PREFIXES)
def test_layers_are_those_of_the_release(prefix: str) -> None:
    if not KEYS.is_file():
        pytest.skip(f"names of released checkpoints not found at {KEYS}")
    official = {
        name.removeprefix(prefix): tuple(shape)
        for name, shape in json.loads(KEYS.read_text()).items()
        if name.startswith(prefix) and not name.removeprefix(prefix).startswith(("fc.", "classifier."))
    }
    own = {name: tuple(tensor.shape) for name, tensor in unfilled(PREFIXES[prefix]).state_dict().items()}
    assert own == official and len(own) > 100


@pytest.mark.parametrize("name", list_image_nets())
def test_every_network_tells_its_width(name: str) -> None:
    network = unfilled(name).eval()
    features = network(torch.empty(2, 3, 84, 84, device="meta"))
    assert features.shape == (2, network.width) and network.width == WIDTHS.get(name, network.width)


# --- arithmetic ----------------------------------------------------------------------------------------------------


def _norm(x: Tensor, state: dict[str, Tensor], name: str) -> Tensor:
    mean, var, weight, bias = (state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
    return F.batch_norm(x, mean, var, weight, bias, eps=1e-5)


def slow_resnet(x: Tensor, state: dict[str, Tensor], depth: int) -> Tensor:
    x = F.conv2d(x, state["conv1.weight"], stride=2, padding=3)
    x = F.max_pool2d(F.relu(_norm(x, state, "bn1")), 3, stride=2, padding=1)
    blocks = {18: [2, 2, 2, 2], 34: [3, 4, 6, 3], 50: [3, 4, 6, 3]}[depth]
    for stage, count in enumerate(blocks, 1):
        for block in range(count):
            name = f"layer{stage}.{block}"
            stride = 2 if stage > 1 and block == 0 else 1
            kinds = [(1, 1, 0), (2, stride, 1), (3, 1, 0)] if depth == 50 else [(1, stride, 1), (2, 1, 1)]
            y = x
            for number, by, padding in kinds:
                y = F.conv2d(y, state[f"{name}.conv{number}.weight"], stride=by, padding=padding)
                y = _norm(y, state, f"{name}.bn{number}")
                y = F.relu(y) if number < len(kinds) else y
            if f"{name}.downsample.0.weight" in state:
                x = F.conv2d(x, state[f"{name}.downsample.0.weight"], stride=stride)
                x = _norm(x, state, f"{name}.downsample.1")
            x = F.relu(x + y)
    return x.flatten(2).mean(2)


def slow_mobilenet(x: Tensor, state: dict[str, Tensor]) -> Tensor:
    def unit(x: Tensor, name: str, number: int, stride: int, padding: int, groups: int, act: bool = True) -> Tensor:
        weight = state[f"{name}.weight" if number < 0 else f"{name}.{number}.0.weight"]
        norm = f"{name.rpartition('.')[0]}.{int(name.rpartition('.')[2]) + 1}" if number < 0 else f"{name}.{number}.1"
        x = _norm(F.conv2d(x, weight, stride=stride, padding=padding, groups=groups), state, norm)
        return x.clamp(0, 6) if act else x

    x = unit(x, "features.0.0", -1, 2, 1, 1)
    at = 1
    for expansion, channels, repeats, stride in (
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
    ):  # fmt: skip
        for repeat in range(repeats):
            name, by, y, number = f"features.{at}.conv", stride if repeat == 0 else 1, x, 0
            if expansion > 1:
                y, number = unit(y, name, 0, 1, 0, 1), 1
            y = unit(y, name, number, by, 1, y.shape[1])
            y = unit(y, f"{name}.{number + 1}", -1, 1, 0, 1, act=False)
            x = x + y if by == 1 and x.shape[1] == channels else y
            at += 1
    return unit(x, f"features.{at}.0", -1, 1, 0, 1).flatten(2).mean(2)


def shaken(network: nn.Module) -> nn.Module:
    """In float64 and evaluation mode, with norms that do something."""
    generator = torch.Generator().manual_seed(0)
    for name, tensor in network.double().state_dict().items():
        if name.endswith("running_var") or (tensor.ndim == 1 and name.endswith("weight")):
            tensor.copy_(0.8 + 0.4 * torch.rand(tensor.shape, generator=generator))
        elif tensor.ndim == 1:
            tensor.copy_(0.2 * torch.randn(tensor.shape, generator=generator))
    return network.eval()


@pytest.mark.parametrize(
    ("build", "slow"),
    [
        (lambda: ResNet(18), lambda x, state: slow_resnet(x, state, 18)),
        (lambda: ResNet(34), lambda x, state: slow_resnet(x, state, 34)),
        (lambda: ResNet(50), lambda x, state: slow_resnet(x, state, 50)),
        (MobileNetV2, slow_mobilenet),
    ],
    ids=["resnet18", "resnet34", "resnet50", "mobilenet-v2"],
)
@pytest.mark.parametrize("size", [64, 45])
def test_the_slow_twin(
    build: Callable[[], nn.Module], slow: Callable[[Tensor, dict[str, Tensor]], Tensor], size: int
) -> None:
    torch.manual_seed(0)
    network = shaken(build())
    frames = torch.randn(2, 3, size, size, dtype=torch.float64)
    with torch.no_grad():
        expected = slow(frames, dict(network.state_dict()))
        assert float(expected.std()) > 1e-3
        torch.testing.assert_close(network(frames), expected, atol=1e-6, rtol=1e-6)


def test_other_depths() -> None:
    with pytest.raises(OptionError, match="depth is 101"):
        ResNet(101)


# --- pixels --------------------------------------------------------------------------------------------------------


def test_pixels_are_normalised_as_imagenet_wants_them() -> None:
    pixels = torch.randint(0, 256, (4, 5, 6, 3), dtype=torch.uint8)
    found = image_net("resnet18").prepare(pixels)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    expected = ((pixels / 255 - mean) / std).permute(0, 3, 1, 2)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert image_net("resnet18").prepare(pixels[None]).shape == (1, 4, 3, 5, 6)


def test_pixels_are_normalised_as_the_published_encoder_wants_them() -> None:
    spec = encoder_spec("efficientnet-lite0")
    pixels = torch.randint(0, 256, (2, 5, 6, 3), dtype=torch.uint8)
    expected = (pixels.float() - torch.as_tensor(spec.mean)) / torch.as_tensor(spec.std)
    torch.testing.assert_close(image_net("efficientnet-lite0").prepare(pixels), expected.permute(0, 3, 1, 2))


# --- weights -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def checkpoint() -> dict[str, Tensor]:
    torch.manual_seed(1)
    network = MobileNetV2()
    return {
        **network.state_dict(),
        "classifier.1.weight": torch.ones(1000, 1280),
        "classifier.1.bias": torch.ones(1000),
    }


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("wrap", ["", "module."])
def test_a_checkpoint_of_imagenet(checkpoint: dict[str, Tensor], tmp_path: Path, suffix: str, wrap: str) -> None:
    """Its classifier is left out, and counters of old files may be missing."""
    state = {f"{wrap}{name}": value for name, value in checkpoint.items() if "num_batches" not in name}
    path = tmp_path / f"w{suffix}"
    torch.save(state, path) if suffix == ".pth" else save_file(state, path)
    network = build_image_net("mobilenet-v2", path)
    assert torch.equal(network.state_dict()["features.0.0.weight"], checkpoint["features.0.0.weight"])
    assert network.eval()(torch.randn(1, 3, 64, 64)).isfinite().all()


def test_what_does_not_fit_is_told(checkpoint: dict[str, Tensor], tmp_path: Path) -> None:
    save_file(checkpoint, tmp_path / "w.safetensors")
    with pytest.raises(WeightError, match=r"does not fit the network(.|\n)*same network"):
        build_image_net("resnet18", tmp_path / "w.safetensors")
    with pytest.raises(WeightError, match="no such file"):
        build_image_net("resnet18", tmp_path / "gone.pth")
    for suffix in (".pth", ".safetensors"):
        (tmp_path / f"bad{suffix}").write_bytes(b"nothing")
        with pytest.raises(WeightError):
            build_image_net("resnet18", tmp_path / f"bad{suffix}")
    with pytest.raises(OptionError, match=r"unknown network 'resnet-50'(.|\n)*did you mean resnet50"):
        build_image_net("resnet-50")


def test_published_weights_are_filled_in(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(2)
    state = image_net("efficientnet-lite0").build().state_dict()
    asked = []
    monkeypatch.setattr(image_nets, "load_weights", lambda weights: (asked.append(weights), dict(state))[1])
    network = build_image_net("efficientnet-lite0")
    assert asked == [encoder_spec("efficientnet-lite0").weights]
    assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())
    assert image_net("efficientnet-lite0").weight_hash == asked[0].hash and image_net("resnet50").weight_hash == ""
