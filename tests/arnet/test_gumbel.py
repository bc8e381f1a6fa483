"""Discrete choices with gradients: the specification's cases, and what noise and temperature do."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kinoscope.arnet.gumbel import gumbel_noise, gumbel_softmax, log_probabilities, one_hot, temperature

Vectors = Callable[[str], dict[str, Any]]


def _tensor(value: Any) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64)


def test_choices_and_their_gradients(vectors: Vectors) -> None:
    group = vectors("arnet")["vectors"]["gumbel_softmax"]
    for case in group["cases"]:
        inputs, expected = case["inputs"], case["expected"]
        log_probs, noise = _tensor(inputs["log_probs"]).requires_grad_(), _tensor(inputs["gumbel_noise"])
        hard = gumbel_softmax(log_probs, noise, inputs["tau"])
        assert hard.tolist() == expected["hard"], "one-hot to the last bit"
        hard.backward(_tensor(inputs["upstream_grad"]))
        soft = ((log_probs + noise) / inputs["tau"]).softmax(0).tolist()
        assert soft == pytest.approx(expected["soft"], abs=group["tolerance"])
        assert log_probs.grad is not None
        assert log_probs.grad.tolist() == pytest.approx(expected["grad_log_probs"], abs=group["tolerance"])


def test_temperatures(vectors: Vectors) -> None:
    group = vectors("arnet")["vectors"]["tau_schedule"]
    for case in group["cases"]:
        given_ = case["inputs"]
        found = [temperature(epoch, given_["init_tau"], given_["decay"]) for epoch in given_["epochs"]]
        assert found == pytest.approx(case["expected"]["tau"], abs=group["tolerance"])
        assert found == [temperature(epoch) for epoch in given_["epochs"]], "these are the defaults"


def test_log_probabilities_have_a_floor(vectors: Vectors) -> None:
    group = vectors("arnet")["vectors"]["policy_log_prob"]
    for case in group["cases"]:
        found = log_probabilities(_tensor(case["inputs"]["z"])).tolist()
        assert found == pytest.approx(case["expected"]["log_probs"], abs=group["tolerance"])


@settings(deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([1e-3, 0.1, 1.0, 50.0]), st.sampled_from([torch.float32, torch.float64]))
def test_always_one_hot_of_the_largest_whatever_the_temperature(seed: int, tau: float, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(seed)
    log_probs = log_probabilities(torch.randn(4, 3, 7, generator=generator, dtype=dtype))
    noise = torch.randn(4, 3, 7, generator=generator, dtype=dtype)
    found = gumbel_softmax(log_probs, noise, tau)
    assert found.dtype == dtype and set(found.unique().tolist()) == {0.0, 1.0} and bool((found.sum(-1) == 1).all())
    assert torch.equal(found.argmax(-1), (log_probs + noise).argmax(-1))


def test_a_low_temperature_is_no_certainty() -> None:
    """p = (0.6, 0.4): at any temperature the second is drawn in two of five cases."""
    torch.manual_seed(0)
    log_probs = _tensor([0.6, 0.4]).log().expand(20_000, 2)
    drawn = gumbel_softmax(log_probs, gumbel_noise(log_probs), 1e-6)
    assert float(drawn[:, 1].mean()) == pytest.approx(0.4, abs=0.015)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_noise_is_that_of_gumbel(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    noise = gumbel_noise(torch.zeros(200_000, dtype=dtype))
    assert noise.dtype == dtype and bool(noise.isfinite().all())
    assert float(noise.mean()) == pytest.approx(0.57722, abs=0.01)
    assert float(noise.var()) == pytest.approx(math.pi**2 / 6, abs=0.03)


def test_of_equal_ones_the_first() -> None:
    assert one_hot(_tensor([[1.0, 2.0, 2.0], [0.0, 0.0, 0.0]])).tolist() == [[0, 1, 0], [1, 0, 0]]
