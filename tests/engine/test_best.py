"""The best weights: kept when they are at least as good, told by several numbers, never when these are NaN."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from kinoscope.engine.best import BestWeights


def network(value: float) -> nn.Module:
    """A layer and a norm whose numbers are all ``value``, buffers too."""
    layers = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    with torch.no_grad():
        for tensor in layers.state_dict().values():
            tensor.fill_(value)
    return layers


def value(best: BestWeights) -> float:
    """The number in the kept network."""
    (found,) = {float(x) for tensor in best.network.state_dict().values() for x in tensor.flatten()}
    return found


def test_the_best_stay_and_of_equal_ones_the_later() -> None:
    best = BestWeights(network(0))
    for number, score, kept in ((1, 0.5, True), (2, 0.4, False), (3, 0.5, True), (4, 0.6, True), (5, 0.59, False)):
        assert best.keep(network(number), score) == kept
    assert value(best) == 4 and best.score.tolist() == [pytest.approx(0.6)]


def test_scores_are_equal_to_themselves_as_they_are_kept() -> None:
    best = BestWeights(network(0))
    for score in (0.1, 1 / 3, 0.7, 0.9):  # none of them is a float32
        assert best.keep(network(1), score) and best.keep(network(2), score)


def test_later_figures_decide_among_equals() -> None:
    best = BestWeights(network(0), figures=2)
    assert best.keep(network(1), 0.5, -2.0) and best.keep(network(2), 0.5, -1.0)
    assert not best.keep(network(3), 0.5, -1.5) and not best.keep(network(4), 0.4, 0.0)
    assert best.keep(network(5), 0.6, -9.0) and value(best) == 5


@pytest.mark.parametrize("score", [(math.nan, 0.0), (1.0, math.nan), (math.inf, 0.0), (0.9, -math.inf)])
def test_what_is_no_number_is_not_the_best(score: tuple[float, float]) -> None:
    best = BestWeights(network(0), figures=2)
    assert not best.keep(network(1), *score) and best.keep(network(2), 0.1, -1.0)
    assert not best.keep(network(3), *score) and value(best) == 2


def test_the_copy_is_its_own_and_does_not_learn() -> None:
    learning = network(1)
    best = BestWeights(learning)
    best.keep(learning, 1.0)
    with torch.no_grad():
        learning[0].weight.fill_(7)  # type: ignore[index]
    assert value(best) == 1 and not any(parameter.requires_grad for parameter in best.parameters())


def test_it_goes_through_a_checkpoint() -> None:
    best = BestWeights(network(0), figures=2)
    best.keep(network(3), 0.7, -0.2)
    other = BestWeights(network(9), figures=2)
    other.load_state_dict(best.state_dict())
    assert value(other) == 3 and not other.keep(network(4), 0.7, -0.3) and other.keep(network(4), 0.7, -0.2)
