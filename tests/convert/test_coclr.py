"""Official CoCLR checkpoints: a forward by hand from the sheet's table, every wrapping, and every kind of damage."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import kinoscope as ks
from kinoscope.cli.main import main
from kinoscope.coclr.network import ClipEncoder
from kinoscope.convert.coclr import load_coclr_s3d
from kinoscope.encoders.s3d import S3D, Channels
from kinoscope.encoders.trained import load_trained, trained_spec
from kinoscope.errors import OptionError, WeightError

State = dict[str, Tensor]
KEYS = Path(__file__).resolve().parents[3] / "shared" / "papers" / "official_keys" / "coclr-s3d.json"

# The table of the sheet once more, as a program: what each line of it does to a clip.
BLOCKS = {
    "block1": ["Conv_1a"],
    "block2": [((1, 3, 3), (1, 2, 2), (0, 1, 1)), "Conv_2b", "Conv_2c"],
    "block3": [((1, 3, 3), (1, 2, 2), (0, 1, 1)), "Mixed_3b", "Mixed_3c"],
    "block4": [(3, 2, 1), "Mixed_4b", "Mixed_4c", "Mixed_4d", "Mixed_4e", "Mixed_4f"],
    "block5": [(2, 2, 0), "Mixed_5b", "Mixed_5c"],
}


def slow_unit(x: Tensor, w: State, conv: str, norm: str, stride: Any = 1, pad: Any = 0) -> Tensor:
    """Convolution, batch norm and ReLU written out."""
    x = F.conv3d(x, w[f"{conv}.weight"], None, stride, pad)
    centred = x - w[f"{norm}.running_mean"][:, None, None, None]
    scale = w[f"{norm}.weight"] / (w[f"{norm}.running_var"] + 1e-5).sqrt()
    return (centred * scale[:, None, None, None] + w[f"{norm}.bias"][:, None, None, None]).clamp(min=0)


def slow_separable(x: Tensor, w: State, name: str, k: int, s: int = 1) -> Tensor:
    x = slow_unit(x, w, f"{name}.conv1", f"{name}.bn1", (1, s, s), (0, k // 2, k // 2))
    return slow_unit(x, w, f"{name}.conv2", f"{name}.bn2", (s, 1, 1), (k // 2, 0, 0))


def slow_mixed(x: Tensor, w: State, name: str) -> Tensor:
    branches = [slow_unit(x, w, f"{name}.branch0.0.conv", f"{name}.branch0.0.bn")]
    for b in (f"{name}.branch1", f"{name}.branch2"):
        branches.append(slow_separable(slow_unit(x, w, f"{b}.0.conv", f"{b}.0.bn"), w, f"{b}.1", 3))
    pooled = F.max_pool3d(x, 3, 1, 1)
    branches.append(slow_unit(pooled, w, f"{name}.branch3.1.conv", f"{name}.branch3.1.bn"))
    for number, branch in enumerate(branches):
        if (gate := f"{name}.gating_b{number}.fc") + ".weight" in w:
            factor = torch.sigmoid(branch.mean((2, 3, 4)) @ w[f"{gate}.weight"].T + w[f"{gate}.bias"])
            branches[number] = branch * factor[:, :, None, None, None]
    return torch.cat(branches, 1)


def slow_forward(official: State, clip: Tensor) -> tuple[Tensor, Tensor | None]:
    """Pooled feature and projection, straight from an official state dict of ``encoder_q``, by its block names."""
    w = {name.removeprefix("encoder_q.0."): tensor for name, tensor in official.items()}
    x = clip
    for block, lines in BLOCKS.items():
        for place, line in enumerate(lines):
            name = f"{block}.{place}"
            if not isinstance(line, str):
                x = F.max_pool3d(x, *line)
            elif line == "Conv_2b":
                x = slow_unit(x, w, f"{name}.conv", f"{name}.bn")
            elif line.startswith("Conv"):
                x = slow_separable(x, w, name, *((7, 2) if line == "Conv_1a" else (3, 1)))
            else:
                x = slow_mixed(x, w, name)
    feature = x.mean((2, 3, 4))
    if "encoder_q.2.weight" not in official:
        return feature, None
    first, second = ({k: official[f"encoder_q.{n}.{k}"] for k in ("weight", "bias")} for n in (2, 4))
    hidden = (feature @ first["weight"].flatten(1).T + first["bias"]).clamp(min=0)
    return feature, hidden @ second["weight"].flatten(1).T + second["bias"]


def filled(shapes: dict[str, Any], seed: int = 0) -> State:
    """Numbers that keep the size of the activations; a layer under both of its names has the same ones."""
    state: State = {}
    generator = torch.Generator().manual_seed(seed)
    layers = {f"{b}.{p}.": f"{line}." for b, lines in BLOCKS.items() for p, line in enumerate(lines) if line in NAMES}
    for name, shape in shapes.items():
        block = next((each for each in layers if f".{each}" in name), None)
        twin = name.replace(block, layers[block]) if block else name
        if twin != name and twin in state:
            state[name] = state[twin]
        elif name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(7)
        elif name.endswith("running_var"):
            state[name] = torch.rand(shape, generator=generator) + 0.5
        elif len(shape) > 1:
            fan_in = float(torch.tensor(shape[1:]).prod())
            state[name] = torch.randn(shape, generator=generator) * (2 / fan_in) ** 0.5
        else:
            state[name] = torch.randn(shape, generator=generator) * 0.2 + (0.8 if "bn" in name else 0)
    return state


NAMES = {line for lines in BLOCKS.values() for line in lines if isinstance(line, str)}


def small_official(*, gating: bool = False, head: bool = True, seed: int = 0) -> State:
    """As the official code would save it, with few channels: every layer twice."""
    network = ClipEncoder(S3D(Channels.of_width(0.125), gating=gating), 16 if head else None)
    named = {k.removeprefix("backbone."): v.shape for k, v in network.backbone.state_dict().items()}
    shapes = {f"encoder_q.0.{name}": list(shape) for name, shape in named.items()}
    for block, lines in BLOCKS.items():
        for place, line in enumerate(lines):
            own = {n: s for n, s in named.items() if isinstance(line, str) and n.startswith(f"{line}.")}
            shapes |= {f"encoder_q.0.{block}.{place}.{n.removeprefix(f'{line}.')}": list(s) for n, s in own.items()}
    if head:
        width = network.width
        shapes |= {"encoder_q.2.weight": [width, width, 1, 1, 1], "encoder_q.2.bias": [width]}
        shapes |= {"encoder_q.4.weight": [16, width, 1, 1, 1], "encoder_q.4.bias": [16]}
    return filled(shapes, seed)


CLIP = torch.randn(2, 3, 9, 40, 33, generator=torch.Generator().manual_seed(1))


def same(network: ClipEncoder, official: State, clip: Tensor = CLIP) -> None:
    feature, projection = slow_forward(official, clip)
    torch.testing.assert_close(network(clip), feature, atol=1e-5, rtol=1e-4)
    if projection is not None:
        torch.testing.assert_close(network.project(clip), projection, atol=1e-5, rtol=1e-4)


# --- what is taken -------------------------------------------------------------------------------------------------


def test_the_official_names_and_shapes(tmp_path: Path) -> None:
    if not KEYS.is_file():
        pytest.skip(f"official names not found at {KEYS}")
    official = filled(json.loads(KEYS.read_text()))
    torch.save({"epoch": 182, "state_dict": {f"module.{n}": t for n, t in official.items()}}, tmp_path / "c.pth.tar")
    network = ks.load_official(tmp_path / "c.pth.tar", "coclr-s3d")
    assert not network.training and not any(p.requires_grad for p in network.parameters())
    clip = torch.randn(1, 3, 8, 48, 48, generator=torch.Generator().manual_seed(0))
    assert network(clip).shape == (1, 1024) and network.project(clip).shape == (1, 128)  # type: ignore[operator]
    same(network, official, clip)  # type: ignore[arg-type]


def with_others(state: State) -> State:
    """A file of co-training: other networks and queues beside the query encoder."""
    others = {f"{to}{n.removeprefix('encoder_q')}": t + 1 for n, t in state.items() for to in ("encoder_k", "sampler")}
    return {**others, **state, "queue": torch.zeros(16, 4), "queue_ptr": torch.zeros(1), "queue_label": torch.ones(4)}


WRAPS: dict[str, Callable[[State], Any]] = {
    "as it is": lambda state: state,
    "module.": lambda state: {f"module.{name}": tensor for name, tensor in state.items()},
    "checkpoint": lambda state: {"epoch": 3, "state_dict": state, "optimizer": {"state": {}}, "best_acc": 0.5},
    "co-training": with_others,
    "co-training checkpoint": lambda state: {"state_dict": {f"module.{n}": t for n, t in with_others(state).items()}},
    "layers only": lambda state: {name: tensor for name, tensor in state.items() if ".block" not in name},
    "blocks only": lambda state: {
        name: t for name, t in state.items() if ".Conv_" not in name and ".Mixed" not in name
    },
    "half": lambda state: {name: t.half() if t.is_floating_point() else t for name, t in state.items()},
}


@pytest.mark.parametrize("gating", [False, True])
@pytest.mark.parametrize("wrap", WRAPS)
def test_every_wrapping_computes_the_same(wrap: str, gating: bool) -> None:
    official = small_official(gating=gating)
    wrapped = WRAPS[wrap](official)
    network = load_coclr_s3d(wrapped)
    expected = official if wrap != "half" else {n: t.half().float() for n, t in official.items()}
    same(network, expected)


@pytest.mark.parametrize("prefix", ["encoder_q.0.", "0.", "backbone.", ""])
def test_a_backbone_alone_has_no_projection(prefix: str) -> None:
    official = small_official(head=False)
    network = load_coclr_s3d({n.replace("encoder_q.0.", prefix): t for n, t in official.items()})
    same(network, official)
    with pytest.raises(OptionError, match="no projection head"):
        network.project(CLIP)


def test_channels_that_no_width_gives() -> None:
    branches = tuple((3, 5, 2, 1, 4, 6 + k) for k in range(9))
    network = ClipEncoder(S3D(Channels((5, 7, 9), branches)), 4).eval()  # type: ignore[arg-type]
    state = {n.replace("backbone.", "encoder_q.0."): t for n, t in network.state_dict().items()}
    state = {n.replace("head.0", "encoder_q.2").replace("head.2", "encoder_q.4"): t for n, t in state.items()}
    loaded = load_coclr_s3d(state)
    assert torch.equal(loaded.project(CLIP), network.project(CLIP)) and loaded.width == 3 + 2 + 4 + 14


# --- what is refused -----------------------------------------------------------------------------------------------


def test_twins_that_differ_are_refused() -> None:
    official = small_official()
    official["encoder_q.0.block4.3.branch1.1.conv2.weight"] = torch.zeros(1)
    with pytest.raises(WeightError, match=r"Mixed_4d\.branch1\.1\.conv2\.weight and .*block4\.3.* different values"):
        load_coclr_s3d(official)


def test_tensors_missing_left_over_or_of_another_shape_are_named() -> None:
    official = {name: tensor for name, tensor in small_official().items() if ".block" not in name}
    del official["encoder_q.0.Mixed_5b.branch1.1.bn2.running_var"]
    official["encoder_q.0.Mixed_5b.extra"] = torch.zeros(1)
    official["encoder_q.4.bias"] = torch.zeros(3)
    with pytest.raises(WeightError) as caught:
        load_coclr_s3d(official)
    for part in ("3 tensors", "5b.branch1.1.bn2.running_var is missing", "extra is unknown", "is [3], but [16] fits"):
        assert part in caught.value.problem


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"w": torch.zeros(1)},
        {"state_dict": {"encoder_q.0.conv1.weight": torch.zeros(2)}},
        {"encoder_q.0.Conv_1a.conv1.weight": torch.zeros(())},
        {"encoder_q.0.Conv_1a.conv1.weight": torch.zeros(8, 3, 1, 7, 7)},
        {**small_official(head=False), "encoder_q.0.Conv_2b.conv.weight": torch.zeros(0, 8, 1, 1, 1)},
    ],
)
def test_something_else_is_no_coclr(broken: Any) -> None:
    with pytest.raises(WeightError):
        load_coclr_s3d({n: t for n, t in broken.items() if ".block" not in str(n)})


# --- the command ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("gating", "name"), [(False, "s3d"), (True, "s3d-g")])
def test_the_command_writes_an_encoder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], gating: bool, name: str
) -> None:
    official = small_official(gating=gating)
    torch.save(official, tmp_path / "x.pth.tar")
    out = tmp_path / "enc"
    argv = ["convert", str(tmp_path / "x.pth.tar"), "--from", "coclr-s3d", "--stream", "flow", "--out", str(out)]
    assert main([*argv, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    spec = trained_spec(out)
    assert (spec.backbone, spec.width, spec.stream, spec.fps, spec.clip_length) == (name, 0.125, "flow", 25.0, 32)
    assert spec.crop == 224 / 240
    assert told["backbone"] == name and told["weights"] == ks.load_encoder(str(out), runtime="torch").spec.weights.hash
    torch.testing.assert_close(load_trained(out)(CLIP), slow_forward(official, CLIP)[0], atol=1e-5, rtol=1e-4)
    assert main(argv) == 2 and "--overwrite" in capsys.readouterr().err  # nothing is lost by a second run
    assert main([*argv, "--overwrite"]) == 0 and "next: kinoscope extract" in capsys.readouterr().out


@pytest.mark.parametrize(("source", "said"), [("sola", "needs no conversion"), ("actionformer", "cannot be read")])
def test_other_sources_are_told_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], source: str, said: str
) -> None:
    (tmp_path / "x.pt").write_bytes(b"")
    assert main(["convert", str(tmp_path / "x.pt"), "--from", source, "--out", str(tmp_path / "out")]) == 2
    assert said in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_a_file_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.pt").write_bytes(b"hello")
    assert main(["convert", str(tmp_path / "x.pt"), "--from", "coclr-s3d", "--out", str(tmp_path / "out")]) == 2
    assert "x.pt" in capsys.readouterr().err and not (tmp_path / "out").exists()
