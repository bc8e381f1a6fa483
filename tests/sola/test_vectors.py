"""The specification's numeric cases, each held against our code in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from kinoscope.sola import Predictor, SoLa, SolaOptions, entropy_floor, similarity_matching, target_similarity

Cases = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def cases(vectors: Callable[[str], dict[str, Any]]) -> Cases:
    return {case["id"]: case for case in vectors("sola")["cases"]}


def _tensor(value: Any) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)


@pytest.mark.parametrize("case", ["target_L8_lambda16", "target_L4_lambda16", "target_L4_lambda1"])
def test_target(cases: Cases, case: str) -> None:
    given, expected = cases[case]["inputs"], cases[case]["expected"]
    torch.testing.assert_close(
        target_similarity(given["size"], given["lam"]), _tensor(expected["matrix"]), atol=1e-9, rtol=1e-9
    )


def test_floor(cases: Cases) -> None:
    assert entropy_floor(target_similarity(8, 16.0)) == pytest.approx(
        cases["loss_floor"]["expected"]["floor"], abs=1e-9
    )


def test_positions(cases: Cases) -> None:
    assert list(SolaOptions().positions) == cases["gather_index"]["expected"]["index"]
    assert SolaOptions().window == cases["gather_index"]["inputs"]["window"]


@pytest.mark.parametrize(
    "case", ["similarity_loss_lambda0", "similarity_loss_plain", "similarity_loss_hand", "similarity_loss_saturated"]
)
def test_loss(cases: Cases, case: str) -> None:
    given, expected = cases[case]["inputs"], cases[case]["expected"]
    z, p = _tensor(given["z"])[None].requires_grad_(), _tensor(given["p"])[None].requires_grad_()
    loss = similarity_matching(z, p, target_similarity(z.shape[1], given["lam"]))
    loss.backward()
    assert float(loss.detach()) == pytest.approx(expected["loss_clamp_both_sides"], abs=1e-9)
    assert z.grad is None, "the row role must be detached"
    if "grad_p" in expected:
        torch.testing.assert_close(p.grad, _tensor(expected["grad_p"])[None], atol=1e-8, rtol=1e-6)


def _module(case: dict[str, Any]) -> SoLa:
    given = case["inputs"]
    weights = {name: _tensor(value) for name, value in given["weights"].items()}
    ordered = sorted(weights)
    first = next(value for value in weights.values() if value.ndim == 3 and value.shape[2] > 1)
    options = SolaOptions(hidden=first.shape[0], kernel=first.shape[2])
    module = SoLa(first.shape[1], options).double()
    state = dict(zip(_names(ordered), (weights[name] for name in ordered), strict=True))
    module.load_state_dict({**state, "alpha": _tensor([given["alpha"]])})
    return module


def _names(ordered: list[str]) -> list[str]:
    official = {"b1": "0.bias", "b2": "2.bias", "b3": "4.bias", "w1": "0.weight", "w2": "2.weight", "w3": "4.weight"}
    return [f"conv_network.{official.get(name, name)}" for name in ordered]


@pytest.mark.parametrize("case", ["module_alpha_0p0", "module_alpha_0p5", "module_alpha_m2p0"])
def test_module(cases: Cases, case: str) -> None:
    output = _module(cases[case])(_tensor(cases[case]["inputs"]["x"])[None])[0]
    torch.testing.assert_close(output, _tensor(cases[case]["expected"]["y"]), atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("case", ["full_step_alpha_0p0", "full_step_alpha_0p5"])
def test_full_step(cases: Cases, case: str) -> None:
    given, expected = cases[case]["inputs"], cases[case]["expected"]
    module, predictor = _module(cases[case]), Predictor(2, 2).double()
    w1, b1, w2, b2 = (_tensor(given["predictor"][name]) for name in ("w1", "b1", "w2", "b2"))
    predictor.load_state_dict({"layers.0.weight": w1, "layers.0.bias": b1, "layers.2.weight": w2, "layers.2.bias": b2})
    z = F.normalize(module(_tensor(given["x"])[None])[:, given["gather_index"]], dim=-1)
    loss = similarity_matching(z, predictor(z), target_similarity(len(given["gather_index"]), given["lam"]))
    loss.backward()
    assert float(loss.detach()) == pytest.approx(expected["loss"], abs=1e-8)
    assert float(module.alpha.grad) == pytest.approx(expected["grad_alpha"], abs=1e-8)
    gradient = module.conv_network[0].weight.grad
    assert float(gradient.abs().max()) == pytest.approx(expected["grad_w1_max_abs"], abs=1e-8)
    torch.testing.assert_close(
        predictor.layers[0].weight.grad, _tensor(expected["grad_predictor_w1"]), atol=1e-8, rtol=1e-6
    )
