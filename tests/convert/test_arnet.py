"""The official AR-Net: its forward by hand in float64, every wrapping, the folder that `convert` writes, and damage."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

import kinoscope as ks
from kinoscope.arnet.actions import Actions
from kinoscope.arnet.model import load_adaptive
from kinoscope.cli.main import main
from kinoscope.convert.arnet import load_arnet
from kinoscope.errors import WeightError

from ..encoders import tiny
from ..folders import names_in
from .made import State, made
from .slow_arnet import slow_backbone, slow_policy

KEYS = Path(__file__).resolve().parents[3] / "shared" / "papers" / "official_keys" / "arnet.json"
_CLASSIFIERS = ("lite_fc", "new_fc_list.0", "new_fc_list.1", "new_fc_list.2")


@cache
def shapes() -> dict[str, list[int]]:
    if not KEYS.is_file():
        pytest.skip(f"official names not found at {KEYS}")
    return json.loads(KEYS.read_text())


def official(*, classes: int = 5, hidden: int = 12) -> State:
    """Made numbers under the official names; the tensors are those of every other call."""
    return dict(_official(classes, hidden))


@cache
def _official(classes: int, hidden: int) -> State:
    wanted = {name: list(shape) for name, shape in shapes().items()}
    for name in _CLASSIFIERS:
        wanted[f"{name}.weight"][0] = wanted[f"{name}.bias"][0] = classes
    for name in ("linear", "lite_fc"):
        wanted[f"{name}.weight"][1] = hidden
    wanted["rnn.weight_hh"] = [4 * hidden, hidden]
    wanted["rnn.weight_ih"][0] = wanted["rnn.bias_ih"][0] = wanted["rnn.bias_hh"][0] = 4 * hidden
    return made(wanted)


def close(found: Tensor, expected: Tensor) -> None:
    assert found.dtype == torch.float32 and found.shape == expected.shape
    torch.testing.assert_close(found, expected.float(), atol=1e-5 * float(expected.abs().max()), rtol=1e-5)


def frames(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def test_the_official_network_computes_the_same() -> None:
    state = official()
    network = load_arnet(state)
    assert not network.training and not any(p.requires_grad for p in network.parameters())
    assert network.available == Actions((224, 168, 112), 84, (1, 2, 4)) and network.rule == "official"
    seen = frames(2, 3, 3, 84, 84)
    for found, expected in zip(network.policy(seen), slow_policy(seen, state), strict=True):
        close(found, expected)
    assert network.policy(seen)[0].shape == (2, 3, 7)
    for number, size in enumerate((224, 168, 112)):
        seen = frames(2, 3, size, size)
        close(network.backbones[number](seen), slow_backbone(number, seen, state))


def test_names_and_shapes_of_the_release_fit(tmp_path: Path) -> None:
    state = made(shapes())
    torch.save({"epoch": 46, "state_dict": {f"module.{n}": t for n, t in state.items()}}, tmp_path / "x.pth.tar")
    network = ks.load_official(tmp_path / "x.pth.tar", "arnet")
    seen = frames(1, 2, 3, 84, 84)
    actions, classes = network.policy(seen)  # type: ignore[operator]
    assert actions.shape == (1, 2, 7) and classes.shape == (1, 2, 200)
    close(classes, slow_policy(seen, state)[1])


WRAPS: dict[str, Callable[[State], Any]] = {
    "checkpoint": lambda state: {"epoch": 3, "arch": "res50", "state_dict": state, "best_prec1": torch.tensor(0.5)},
    "prefix": lambda state: {f"module.{name}": t for name, t in state.items()},
    "half": lambda state: {name: t.half() if t.is_floating_point() else t for name, t in state.items()},
    "without counters": lambda state: {name: t for name, t in state.items() if not name.endswith("tracked")},
}


@pytest.mark.parametrize("wrap", WRAPS)
def test_every_wrapping_computes_the_same(wrap: str) -> None:
    state = official()
    network = load_arnet(WRAPS[wrap](state))
    expected = state if wrap != "half" else {name: t.half().float() for name, t in state.items()}
    seen = frames(1, 1, 3, 84, 84)
    close(network.policy(seen)[1], slow_policy(seen, expected)[1])
    close(network.backbones[2](seen[:, 0]), slow_backbone(2, seen[:, 0], expected))


def test_safetensors_are_read_too(tmp_path: Path) -> None:
    save_file(official(), tmp_path / "x.safetensors")
    assert ks.load_official(tmp_path / "x.safetensors", "arnet").classes == 5


# --- the folder ----------------------------------------------------------------------------------------------------


def convert(file: Path, *more: str) -> int:
    return main(["convert", str(file), "--from", "arnet", "--out", str(file.parent / "out"), *more])


def test_a_folder_is_written_that_looks_at_videos(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state, names = official(classes=3), ("jump", "run – far", "sit")
    torch.save({"state_dict": state}, tmp_path / "x.pth.tar")
    (tmp_path / "names.txt").write_text("\n".join(names), encoding="utf-8")
    assert convert(tmp_path / "x.pth.tar", "--classes", str(tmp_path / "names.txt"), "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["kind"] == "arnet" and told["classes"] == 3 and len(told["weights"]) == 16
    model = load_adaptive(tmp_path / "out", device="cpu", runtime="torch")
    assert model.classes == names and model.learned and model.curve == ()
    options = model.options
    assert (options.family, options.kernel, options.state, options.hidden) == ("resnet", "nearest", "clean", 12)
    assert model.network.rule == "clean"
    seen = frames(1, 2, 3, 84, 84)
    close(model.network.policy(seen)[0], slow_policy(seen, state)[0])
    answer = model.recognize(tiny.film(tmp_path / "a.mp4", 20))
    assert answer.probabilities.sum() == pytest.approx(1) and answer.spent.consulted >= 1
    assert convert(tmp_path / "x.pth.tar") == 2 and "--overwrite" in capsys.readouterr().err
    assert convert(tmp_path / "x.pth.tar", "--overwrite") == 0
    said = capsys.readouterr()
    assert "next: kinoscope recognize" in said.out and "class-0" in said.err
    assert load_adaptive(tmp_path / "out", device="cpu").classes == ("class-0", "class-1", "class-2")


@pytest.mark.parametrize("words", [("--fps", "5"), ("--stream", "flow")])
def test_what_single_frames_do_not_have(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    assert convert(tmp_path / "x.pth", *words) == 2
    assert "single frames in colours" in capsys.readouterr().err and names_in(tmp_path) == []


# --- what is refused -----------------------------------------------------------------------------------------------


def test_tensors_missing_left_over_or_of_another_shape_are_named() -> None:
    state = official()
    del state["base_model_list.1.layer3.2.bn1.running_var"]
    state["lite_backbone.extra"] = torch.zeros(1)
    state["linear.weight"] = torch.zeros(5, 12)
    with pytest.raises(WeightError) as caught:
        load_arnet(state)
    problem = caught.value.problem
    for part in (
        "3 tensors",
        "3.2.bn1.running_var is missing",
        "extra is unknown",
        "is [5, 12], but [7, 12] fits",
    ):
        assert part in problem


def test_the_efficientnet_family_is_told() -> None:
    state = official() | {"base_model_list.0._conv_stem.weight": torch.zeros(40, 3, 3, 3)}
    with pytest.raises(WeightError, match="EfficientNets, and AR-Nets of that family are not supported"):
        load_arnet(state)


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state.clear(),
        lambda state: state.pop("lite_fc.weight"),
        lambda state: state.pop("rnn.weight_hh"),
        lambda state: state.update({"rnn.weight_hh": torch.zeros(48)}),
        lambda state: state.update({"rnn.weight_hh": torch.zeros(0, 0)}),
        lambda state: state.update({"rnn.weight_hh": torch.zeros(48, 11)}),
        lambda state: state.update({"lite_fc.weight": torch.zeros(()).expand(1 << 40, 12)}),
        lambda state: state.update({"new_fc_list.1.weight": torch.zeros(5, 2048)}),
        lambda state: state.update({"base_model_list.3.conv1.weight": torch.zeros(64, 3, 7, 7)}),
        lambda state: [state.pop(name) for name in list(state) if name.startswith("lite_")],
    ],
)
def test_something_else_is_no_arnet(change: Callable[[State], Any]) -> None:
    state = official()
    change(state)
    with pytest.raises(WeightError):
        load_arnet(state)


def test_a_file_of_something_else_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"w": torch.zeros(2)}, tmp_path / "x.pth")
    assert convert(tmp_path / "x.pth") == 2
    assert "x.pth" in capsys.readouterr().err and names_in(tmp_path) == ["x.pth"]
