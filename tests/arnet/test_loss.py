"""What training minimises: the specification's cases with gradients, slow twins, closed forms."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kinoscope.arnet.loss import efficiency_loss, flops_loss, frequencies, total_loss, uniform_loss

COSTS = torch.tensor([4.1103, 2.249, 0.4863, 0, 0, 0, 0], dtype=torch.float64)


def test_the_specifications_cases(vectors: Callable[[str], dict[str, Any]]) -> None:
    group = vectors("arnet")["vectors"]["losses"]
    near = {"abs": group["tolerance"]}
    for case in group["cases"]:
        inputs, expected = case["inputs"], case["expected"]
        taken = torch.tensor(inputs["r"], dtype=torch.float64, requires_grad=True)
        costs = torch.tensor(inputs["gflops_per_action"], dtype=torch.float64)
        efficiency, flops, uniform = efficiency_loss(taken, costs, inputs["uniform_weight"])
        assert frequencies(taken).tolist() == pytest.approx(expected["action_frequencies"], **near)
        assert float(flops.detach()) == pytest.approx(expected["flops_loss"], **near)
        assert float(uniform.detach()) == pytest.approx(expected["uniform_loss_l2"], **near)
        usage = frequencies(taken).detach()
        assert float(uniform_loss(usage, "l1")) == pytest.approx(expected["uniform_loss_l1_paper_form"], **near)
        assert float(uniform_loss(usage, "entropy")) == pytest.approx(expected["uniform_loss_entropy_variant"], **near)
        entropy = torch.tensor(inputs["cross_entropy"], dtype=torch.float64)
        total = total_loss(entropy, efficiency, inputs["alpha"])
        assert float(total.detach()) == pytest.approx(expected["total_loss"], **near)
        total.backward()
        assert taken.grad is not None
        for row in taken.grad.flatten(0, 1):
            assert row.tolist() == pytest.approx(expected["grad_of_efficiency_part_wrt_any_row_of_r"], **near)


def slow_efficiency(taken: list[list[list[float]]], costs: list[float], weight: float, norm: str) -> float:
    rows = [row for video in taken for row in video]
    count = len(costs)
    usage = [sum(row[k] for row in rows) / len(rows) for k in range(count)]
    flops = sum(f * c for f, c in zip(usage, costs, strict=True))
    away = [f - 1 / count for f in usage]
    uniform = {
        "l2": math.sqrt(sum(u * u for u in away)),
        "l1": sum(abs(u) for u in away),
        "entropy": math.log(count) - sum(-f * math.log(f) for f in usage if f > 0),
    }[norm]
    return flops + weight * uniform


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.sampled_from(["l2", "l1", "entropy"]), st.floats(0, 10))
def test_the_slow_twin(seed: int, norm: Any, weight: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    taken = torch.nn.functional.one_hot(torch.randint(7, (3, 5), generator=generator), 7).double()
    found, flops, uniform = efficiency_loss(taken, COSTS, weight, norm)
    assert float(found) == pytest.approx(slow_efficiency(taken.tolist(), COSTS.tolist(), weight, norm), abs=1e-12)
    assert float(found) == pytest.approx(float(flops) + weight * float(uniform))


@pytest.mark.parametrize("norm", ["l2", "l1", "entropy"])
def test_using_every_action_alike_costs_nothing_more(norm: Any) -> None:
    assert float(uniform_loss(torch.full((7,), 1 / 7, dtype=torch.float64), norm)) == pytest.approx(0, abs=1e-12)
    collapsed = torch.eye(7, dtype=torch.float64)[2]
    expected = {"l2": math.sqrt(6 / 7), "l1": 12 / 7, "entropy": math.log(7)}[norm]
    assert float(uniform_loss(collapsed, norm)) == pytest.approx(expected)


@pytest.mark.parametrize("norm", ["l1", "entropy"])
def test_the_other_norms_have_true_gradients(norm: Any) -> None:
    """The released code's entropy has none."""
    usage = torch.tensor([0.4, 0.3, 0.2, 0.1], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda each: uniform_loss(each, norm), (usage,))
    (gradient,) = torch.autograd.grad(uniform_loss(usage, norm), usage)
    slopes = {"l1": [1.0, 1.0, -1.0, -1.0], "entropy": [math.log(f) for f in usage.tolist()]}[norm]
    mean = sum(slope * f for slope, f in zip(slopes, usage.tolist(), strict=True))
    assert gradient.tolist() == pytest.approx([slope - mean for slope in slopes]), "shares sum to 1"


def test_the_cost_of_a_frame_is_that_of_what_is_used() -> None:
    """Half at the largest, half skipped."""
    usage = torch.tensor([0.5, 0, 0, 0, 0, 0, 0.5], dtype=torch.float64)
    assert float(flops_loss(usage, COSTS)) == pytest.approx(4.1103 / 2)
    one, two = torch.tensor(3.0), torch.tensor(5.0)
    assert float(total_loss(one, two, 0.0)) == 3 and float(total_loss(one, two, 0.25)) == pytest.approx(3.5)
