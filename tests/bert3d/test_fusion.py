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
    ],
)
def test_nonsense_is_refused(call: Callable[[Tensor, Tensor], object]) -> None:
    with pytest.raises(OptionError):
        call(some_logits(0), some_logits(1))
