"""Temperatures: closed forms, the best on a grid, bounds, and what validation clips can tell."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from kinoscope.engine.calibration import calibrate, temperature
from kinoscope.errors import OptionError

SEEDS = st.integers(0, 10_000)


def some_logits(seed: int, rows: int = 6, classes: int = 5) -> Tensor:
    return torch.randn(rows, classes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 3


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


def test_the_temperature_makes_validation_answers_as_sure_as_they_are_right() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4000, 3))
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = (chances.cumsum(1) < rng.random((4000, 1))).sum(1)
    assert temperature(3 * logits, labels) == pytest.approx(3, rel=0.1)
    assert temperature(logits / 3, labels) == pytest.approx(1 / 3, rel=0.1)
    unknown = np.concatenate((labels, [-1, -1]))
    assert temperature(np.concatenate((logits, 1e3 * np.eye(3)[:2])), unknown) == temperature(logits, labels)


def test_what_few_clips_may_say_of_certainty() -> None:
    sure = np.array([[2.0, 0], [0, 3.0], [0, 2.0]])
    assert temperature(sure, np.array([0, 1, 1])) == 1.0, "all are right, which would ask for certainty"
    assert temperature(sure, np.array([1, 0, 0])) == 10.0, "all are wrong, which would ask for none at all"
    assert temperature(sure[:1], np.array([0])) == 1.0 and temperature(sure, np.array([-1, -1, 0])) == 1.0


@pytest.mark.parametrize(
    "call",
    [
        lambda a: calibrate(a, torch.zeros(3, dtype=torch.long)),
        lambda a: calibrate(a, torch.full((6,), 5)),
        lambda a: calibrate(a, torch.zeros(6)),
        lambda a: calibrate(a * math.nan, torch.zeros(6, dtype=torch.long)),
    ],
)
def test_nonsense_is_refused(call: Callable[[Tensor], object]) -> None:
    with pytest.raises(OptionError):
        call(some_logits(0))
