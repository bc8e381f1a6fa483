"""The benchmark of recognisers: what it counts, and the default that follows from what it measured."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from benchmarks.recognition_heads import HeadCost, difference, head_cost
from benchmarks.recognition_speed import RUNTIMES, advice, overhead, ratio


def times(*factors: float) -> dict[str, list[float]]:
    """Two rounds, the second of which was slower throughout."""
    return {name: [100 / factor, 150 / factor] for name, factor in zip(RUNTIMES, factors, strict=True)}


def test_ratios_are_paired_by_round() -> None:
    assert ratio(times(1, 2, 3, 4, 5), "OpenVINO") == pytest.approx(4)
    assert difference([5.0, 9.0, 7.0], [1.0, 2.0, 5.0]) == 4.0


def test_the_default_is_the_fastest_that_answers_as_pytorch() -> None:
    exact = dict.fromkeys(RUNTIMES, 1.0)
    assert "**OpenVINO int8**: 9.0 times" in advice([times(1, 1, 2, 3, 9)], exact)
    text = advice([times(1, 1, 2, 2, 9), times(1, 1, 2, 8, 9)], exact | {"OpenVINO int8": 0.95})
    assert "**OpenVINO**: 4.0 times" in text and "OpenVINO int8 reaches 9.0 times and gives 95 %" in text
    assert "**PyTorch**: 1.0 times" in advice([times(1, 0.5, 0.5, 0.5, 0.5)], exact)


def test_what_the_head_adds_is_told_beside_the_cheapest_backbone() -> None:
    network, tokens = nn.Identity(), torch.zeros(1)
    heads = {"bert": HeadCost(network, tokens, [9.0, 17.0], []), "tgap": HeadCost(network, tokens, [1.0, 1.0], [])}
    text = overhead(heads, {"large": {"PyTorch": [500.0]}, "small": {"PyTorch": [90.0, 110.0]}})
    assert text == "The BERT head adds 1.50 ms to a clip: 1.5 % of what small takes in PyTorch."


def test_bytes_that_wait_for_the_backward_pass() -> None:
    tokens = torch.randn(8, 4, 16)
    squares = HeadCost(nn.Sequential(nn.Linear(16, 32), nn.Tanh()), tokens, [], [])
    assert squares.kept() == 8 * 4 * 32 * 4, "the output of tanh; input and weights are there anyway"
    assert head_cost("tgap").kept() < head_cost("bert").kept()
