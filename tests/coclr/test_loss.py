from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from kinoscope.coclr.loss import info_nce, multi_instance_nce, similarity_logits, uber_nce
from kinoscope.coclr.mining import positive_mask, same_as_row

CASES = ("infonce_hand_T1", "infonce_hand_T05", "infonce_unnormalised_T007", "infonce_saturated_T007")


def case(vectors, name: str) -> dict:
    return next(each for each in vectors("coclr")["cases"] if each["id"] == name)


def wide(rows: list) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def check(found: Tensor, expected: object, given: dict) -> None:
    torch.testing.assert_close(found, torch.tensor(expected, dtype=found.dtype), **given["tolerance"])


@pytest.mark.parametrize("name", CASES)
def test_infonce_vectors(vectors, name: str) -> None:
    given = case(vectors, name)
    inputs, expected = given["inputs"], given["expected"]
    query, key, queue = (wide(inputs[part]) for part in ("query", "key", "queue"))
    query, key = F.normalize(query, dim=1), F.normalize(key, dim=1)
    logits = similarity_logits(query, key, queue, inputs["temperature"])
    check(logits, expected["logits"], given)
    rows = info_nce(logits)
    assert (rows >= 0).all()
    check(rows, expected["loss_per_row"], given)
    check(rows.mean(), expected["loss"], given)


@pytest.mark.parametrize("name", ["milnce_logits_hand", "milnce_logits_batch", "milnce_extreme", "ubernce_logits_hand"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_vectors_on_logits_with_gradients(vectors, name: str, dtype: torch.dtype) -> None:
    given = case(vectors, name)
    logits = torch.tensor(given["inputs"]["logits"], dtype=dtype, requires_grad=True)
    positives = torch.tensor(given["inputs"]["mask"], dtype=torch.bool)
    rows = {"multi_instance_nce": multi_instance_nce, "ubernce": uber_nce}[given["op"]](logits, positives)
    rows.mean().backward()
    tolerance = given["tolerance"] if dtype == torch.float64 else {"rtol": 1e-6, "atol": 1e-6}
    for found, wanted in (
        (rows, given["expected"]["loss_per_row"]),
        (rows.mean(), given["expected"]["loss"]),
        (logits.grad, given["expected"]["grad_logits"]),
    ):
        torch.testing.assert_close(found, torch.tensor(wanted, dtype=dtype), **tolerance)


def test_ubernce_with_queue_labels(vectors) -> None:
    given = case(vectors, "ubernce_queue")
    inputs, expected = given["inputs"], given["expected"]
    parts = (wide(inputs[part]) for part in ("query", "key", "queue"))
    logits = similarity_logits(*parts, inputs["temperature"])
    same = same_as_row(torch.tensor(inputs["labels"]), torch.tensor(inputs["queue_labels"]))
    mask = positive_mask(same, torch.zeros_like(same))
    assert mask.int().tolist() == expected["mask"]
    check(logits, expected["logits"], given)
    check(uber_nce(logits, mask), expected["loss_per_row"], given)


def rows_and_masks(draw) -> tuple[list[float], list[bool]]:
    logits = draw(st.lists(st.floats(-300, 300), min_size=1, max_size=12))
    mask = draw(st.lists(st.booleans(), min_size=len(logits), max_size=len(logits)))
    mask[draw(st.integers(0, len(logits) - 1))] = True
    return logits, mask


@given(st.composite(rows_and_masks)())
@settings(max_examples=80, deadline=None)
def test_losses_equal_their_slow_twins(row: tuple[list[float], list[bool]]) -> None:
    """The twin sums exponentials of exact fractions, far from any underflow."""
    from decimal import Decimal, getcontext

    getcontext().prec = 60
    logits, mask = row
    weights = [Decimal(value).exp() for value in logits]
    positive = sum(w for w, m in zip(weights, mask, strict=True) if m)
    slow = float(-(positive / sum(weights)).ln())
    each = [float(-(w / sum(weights)).ln()) for w, m in zip(weights, mask, strict=True) if m]
    x, m = wide([logits]), torch.tensor([mask])
    assert multi_instance_nce(x, m).item() == pytest.approx(slow, rel=1e-9, abs=1e-12)
    assert uber_nce(x, m).item() == pytest.approx(sum(each) / len(each), rel=1e-9, abs=1e-9)
    assert uber_nce(x, m).item() >= multi_instance_nce(x, m).item() - 1e-9
    single = multi_instance_nce(x.float().requires_grad_(), m)
    assert math.isfinite(single.item())
    assert single.item() >= 0


def test_all_positive_rows_cost_nothing_and_their_gradient_is_zero() -> None:
    logits = torch.tensor([[3.0, -2.0, 90.0]], requires_grad=True)
    loss = multi_instance_nce(logits, torch.ones(1, 3, dtype=torch.bool))
    loss.sum().backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert logits.grad.abs().max() == 0


def test_half_precision_does_not_reach_the_loss() -> None:
    """At T = 0.07 a gap of 28.6 underflows in float16; here it comes out exact, under autocast too."""
    query = F.normalize(torch.tensor([[1.0, 0.0]], requires_grad=True), dim=1)
    key, queue = torch.tensor([[-1.0, 0.0]]), torch.tensor([[1.0, 0.0]])
    with torch.autocast("cpu", torch.bfloat16):
        logits = similarity_logits(query.bfloat16(), key.bfloat16(), queue.bfloat16(), 0.07)
        loss = info_nce(logits)
    assert logits.dtype == torch.float32
    assert loss.item() == pytest.approx(2 / 0.07, rel=1e-6)
