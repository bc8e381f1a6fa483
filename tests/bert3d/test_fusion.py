"""Joining streams: the specification's cases, closed forms, and what every rule must keep."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from kinoscope.bert3d.fusion import fuse
from kinoscope.engine.calibration import calibrate
from kinoscope.errors import OptionError

SEEDS = st.integers(0, 10_000)


def some_logits(seed: int, rows: int = 6, classes: int = 5) -> Tensor:
    return torch.randn(rows, classes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 3


def test_the_published_rule_and_the_average(vectors: Callable[[str], dict[str, Any]]) -> None:
    for case in vectors("bert3d")["vectors"]["two_stream_fusion"]["cases"]:
        inputs, expected = case["inputs"], case["expected"]
        streams = [torch.tensor(inputs[name], dtype=torch.float64) for name in ("rgb_logits", "flow_logits")]
        for rule, name in (("l2-logits", "official"), ("probabilities", "softmax")):
            scores = fuse(streams, rule)  # type: ignore[arg-type]
            key = "official_scores" if name == "official" else "softmax_average"
            assert scores.tolist() == pytest.approx(expected[key], abs=1e-10)
            assert int(scores.argmax()) == expected[f"{name}_argmax"]


@settings(deadline=None)
@given(SEEDS)
def test_probabilities_sum_to_one_and_weights_tell_only_by_their_ratio(seed: int) -> None:
    streams = [some_logits(seed), some_logits(seed + 1)]
    fused = fuse(streams, weights=(2, 1), temperatures=(0.5, 3))
    torch.testing.assert_close(fused.sum(-1), torch.ones(6, dtype=torch.float64))
    torch.testing.assert_close(fused, fuse(streams, weights=(4, 2), temperatures=(0.5, 3)))
    torch.testing.assert_close(fuse(streams, weights=(1, 0)), streams[0].softmax(-1))


@settings(deadline=None)
@given(SEEDS, st.floats(0.01, 50))
def test_the_published_rule_does_not_see_the_size_of_logits(seed: int, factor: float) -> None:
    a, b = some_logits(seed), some_logits(seed + 1)
    torch.testing.assert_close(fuse([a, b], "l2-logits"), fuse([factor * a, b], "l2-logits"))


def test_logits_of_zero_are_no_vote() -> None:
    zero, one = torch.zeros(3), torch.tensor([0.0, 2.0, 0.0])
    assert fuse([zero, one], "l2-logits").tolist() == [0, 1, 0]


@settings(deadline=None)
@given(SEEDS, st.floats(0.2, 8))
def test_calibration_finds_how_much_the_logits_were_stretched(seed: int, stretch: float) -> None:
    logits = some_logits(seed, rows=60)
    labels = torch.distributions.Categorical(logits=logits / 2).sample()
    own = calibrate(logits, labels)
    if 0.1 < own < 10 and 0.1 < own * stretch < 10:
        assert calibrate(logits * stretch, labels) == pytest.approx(own * stretch, rel=1e-4)


def test_calibration_is_the_best_on_a_grid() -> None:
    logits = some_logits(3, rows=200)
    labels = torch.where(torch.arange(200) % 3 == 0, torch.arange(200) % 5, logits.argmax(1))
    best = calibrate(logits, labels)

    def surprise(temperature: float) -> float:
        return float(-(logits / temperature).log_softmax(1)[torch.arange(200), labels].mean())

    grid = [math.exp(k / 200) for k in range(-600, 601)]
    assert surprise(best) <= min(map(surprise, grid)) + 1e-12


def test_two_classes_have_a_closed_form() -> None:
    """Logits ±g/2 that are right in three of four cases: sigmoid(g / T) = 3/4."""
    logits = torch.tensor([[2.0, -2.0]]).repeat(4, 1)
    assert calibrate(logits, torch.tensor([0, 0, 0, 1])) == pytest.approx(4 / math.log(3), rel=1e-5)


def test_calibration_that_has_no_end_stops_at_a_bound() -> None:
    logits = torch.tensor([[2.0, -2.0]] * 3)
    assert calibrate(logits, torch.zeros(3, dtype=torch.long)) < 0.1
    assert calibrate(logits, torch.ones(3, dtype=torch.long)) == pytest.approx(100, rel=1e-3)


@pytest.mark.parametrize(
    "call",
    [
        lambda a, b: fuse([]),
        lambda a, b: fuse([a, b[:, :2]]),
        lambda a, b: fuse([a, b], "max"),  # type: ignore[arg-type]
        lambda a, b: fuse([a, b], weights=(1,)),
        lambda a, b: fuse([a, b], weights=(0, 0)),
        lambda a, b: fuse([a, b], weights=(1, math.nan)),
        lambda a, b: fuse([a, b], temperatures=(1, 0)),
        lambda a, b: fuse([a, b], "l2-logits", temperatures=(1, 2)),
        lambda a, b: calibrate(a, torch.zeros(3, dtype=torch.long)),
        lambda a, b: calibrate(a, torch.full((6,), 5)),
        lambda a, b: calibrate(a, torch.zeros(6)),
        lambda a, b: calibrate(a * math.nan, torch.zeros(6, dtype=torch.long)),
    ],
)
def test_nonsense_is_refused(call: Callable[[Tensor, Tensor], object]) -> None:
    with pytest.raises(OptionError):
        call(some_logits(0), some_logits(1))
