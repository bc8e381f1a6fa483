"""Official recognisers: their forward by hand in float64, every wrapping, motion, and every kind of damage."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import kinoscope as ks
from kinoscope.convert.bert3d import RELEASES, load_bert3d
from kinoscope.errors import WeightError
from tests.convert.made import State, made
from tests.convert.slow_bert3d import slow_official

KEYS = Path(__file__).resolve().parents[3] / "shared" / "papers" / "official_keys"
I3D = "bert3d-i3d-frmb"
CLIP = torch.randn(2, 3, 16, 40, 40, generator=torch.Generator().manual_seed(1))


@cache
def shapes(source: str) -> dict[str, list[int]]:
    path = KEYS / f"{source}.json"
    if not path.is_file():
        pytest.skip(f"official names not found at {path}")
    return json.loads(path.read_text())


def official(source: str = I3D, *, classes: int = 51, tokens: int | None = None, channels: int = 3) -> State:
    """Made numbers under the official names."""
    wanted = {name: list(shape) for name, shape in shapes(source).items()}
    wanted["fc_action.weight"][0] = wanted["fc_action.bias"][0] = classes
    if tokens is not None:
        wanted["bert.embedding.learnedPosition.pe"][1] = tokens + 1
    next(iter(wanted.values()))[1] = channels
    return made(wanted)


def same(network: torch.nn.Module, source: str, state: State, clip: Tensor) -> None:
    found, expected = network(clip), slow_official(source, state, clip)
    assert found.dtype == torch.float32 and found.shape == (len(clip), len(state["fc_action.bias"]))
    torch.testing.assert_close(found, expected.float(), atol=1e-5 * float(expected.abs().max()), rtol=1e-5)


@pytest.mark.parametrize("source", RELEASES)
def test_the_official_network_computes_the_same(source: str) -> None:
    state = official(source, classes=7)
    network = load_bert3d(state, source)
    assert not network.training and not any(p.requires_grad for p in network.parameters())
    frames, height, width = (16, 32, 16) if "r2plus1d" in source else (40, 40, 24)
    clip = torch.randn(1, 3, frames, height, width, generator=torch.Generator().manual_seed(0))
    same(network, source, state, clip)


def test_64_frames_of_r2plus1d_have_eight_tokens() -> None:
    network = load_bert3d(official("bert3d-r2plus1d34", tokens=8), "bert3d-r2plus1d34")
    assert network.classifier.head.tokens == 8  # type: ignore[union-attr]


def test_an_official_file(tmp_path: Path) -> None:
    state = official()
    torch.save({"epoch": 3, "state_dict": {f"module.{name}": t for name, t in state.items()}}, tmp_path / "x.pth.tar")
    same(ks.load_official(tmp_path / "x.pth.tar", I3D), I3D, state, CLIP)


WRAPS: dict[str, Callable[[State], Any]] = {
    "as it is": lambda state: state,
    "checkpoint": lambda state: {"epoch": 3, "state_dict": state, "optimizer": {"state": {}}, "best_prec1": 0.5},
    "half": lambda state: {name: t.half() if t.is_floating_point() else t for name, t in state.items()},
    "without counters": lambda state: {name: t for name, t in state.items() if not name.endswith("tracked")},
}


@pytest.mark.parametrize("wrap", WRAPS)
def test_every_wrapping_computes_the_same(wrap: str) -> None:
    state = official(classes=3)
    network = load_bert3d(WRAPS[wrap](state), I3D)
    expected = state if wrap != "half" else {name: t.half().float() for name, t in state.items()}
    same(network, I3D, expected, CLIP[:1, :, :, :24, :24])


def test_motion_comes_with_two_channels_or_three() -> None:
    """Ours are a constant, v, u; the official ones are u, v."""
    state = official(classes=3, channels=2)
    network = load_bert3d(state, I3D)
    clip = CLIP[:1, :2, :, :32, :32]
    same(network, I3D, state, clip)
    ours = torch.stack((torch.full_like(clip[:, 0], 0.4), clip[:, 1], clip[:, 0]), dim=1)
    torch.testing.assert_close(network(ours), network(clip))


# --- what is refused -----------------------------------------------------------------------------------------------


def test_tensors_missing_left_over_or_of_another_shape_are_named() -> None:
    state = official()
    del state["features.5.b1b.bn.running_var"]
    state["features.5.extra"] = torch.zeros(1)
    state["bert.clsToken"] = torch.zeros(1, 1, 256)
    with pytest.raises(WeightError) as caught:
        load_bert3d(state, I3D)
    for part in ("3 tensors", "b1b.bn.running_var is missing", "extra is unknown", "is [1, 1, 256], but [1, 1, 512]"):
        assert part in caught.value.problem


@pytest.mark.parametrize("other", [source for source in RELEASES if source != I3D])
def test_the_file_of_another_network_is_refused(other: str) -> None:
    with pytest.raises(WeightError, match="cannot be used"):
        load_bert3d(official(), other)


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state.clear(),
        lambda state: state.pop("fc_action.weight"),
        lambda state: state.pop("bert.embedding.learnedPosition.pe"),
        lambda state: state.update({"fc_action.weight": torch.zeros(512)}),
        lambda state: state.update({"fc_action.weight": torch.zeros(0, 512)}),
        lambda state: state.update({"fc_action.weight": torch.zeros(()).expand(1 << 40, 512)}),
        lambda state: state.update({"fc_action.weight": torch.zeros(4, 512).to_sparse()}),
        lambda state: state.update({"bert.embedding.learnedPosition.pe": torch.zeros(1, 1, 512)}),
        lambda state: state.update({"bert.embedding.learnedPosition.pe": torch.zeros(1, 1).expand(1 << 20, 1 << 20)}),
        lambda state: state.update({"features.0.conv3d.weight": torch.zeros(64, 4, 7, 7, 7)}),
        lambda state: state.update({"features.0.conv3d.weight": torch.zeros(3, 2)}),
    ],
)
def test_something_else_is_no_recogniser(change: Callable[[State], Any]) -> None:
    state = official()
    change(state)
    with pytest.raises(WeightError):
        load_bert3d(state, I3D)
