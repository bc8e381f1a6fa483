"""A video in pieces gives what a single pass gives, and the stated reach is not larger than it must be."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kinoscope.data.feature_spec import FeatureSpec
from kinoscope.data.features import Features, FeatureTime
from kinoscope.localize import point_head as module
from kinoscope.localize.localizer import Localizer
from kinoscope.localize.network import ActionFormer
from kinoscope.localize.options import ActionFormerOptions
from kinoscope.localize.pieces import can_be_cut, in_pieces


def head(levels: int, window: int = 5, **changes: int) -> ActionFormer:
    torch.manual_seed(levels)
    options = ActionFormerOptions(
        6, 3, width=8, heads=2, branch_blocks=levels - 1, window=window, branch_scale=1.0, **changes
    )
    network = ActionFormer(options).eval()
    for parameter in network.parameters():  # no bias and no scale may stay 0 and hide a difference
        torch.nn.init.normal_(parameter, std=0.5)
    return network


def rows(length: int) -> np.ndarray:
    return np.random.default_rng(length).normal(size=(length, 6)).astype(np.float32)


@pytest.mark.parametrize("levels", [1, 2, 4])
@pytest.mark.parametrize("length", [1, 15, 16, 17, 200, 333])
@torch.inference_mode()
def test_equal_to_a_single_pass(levels: int, length: int) -> None:
    network, values = head(levels), rows(length)
    whole = network(torch.from_numpy(values)[None], torch.ones(1, length, dtype=torch.bool))
    for (logits, offsets), (a, b) in zip(in_pieces(network, values, rows=16), whole, strict=True):
        torch.testing.assert_close(logits, a, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(offsets, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("changes", [{}, {"kernel": 1}, {"kernel": 5, "head_layers": 2}, {"stem_blocks": 1}])
def test_nothing_beyond_the_reach_matters(changes: dict[str, int]) -> None:
    network = head(3, **changes)
    reach, length = network.options.reach, 400
    values = torch.from_numpy(rows(length))[None].requires_grad_()
    logits, _ = network(values, torch.ones(1, length, dtype=torch.bool))[-1]
    point = length // 2 // 4
    (slope,) = torch.autograd.grad(logits[0, point].sum(), values)
    touched = torch.nonzero(slope.abs().sum(dim=(0, 2))).flatten() - 4 * point
    assert touched.abs().max() <= reach
    assert touched.abs().max() >= reach - 4  # a stated reach far above the real one would waste time


def test_a_localizer_cuts_long_videos_only(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Localizer(head(3), ["a", "b", "c"], FeatureSpec(6, 8, 1, 1))
    video = Features(rows(300), FeatureTime(8, 1, 1, 0.0, 37.5))
    segments, scores = model.localize_features(video), model.class_scores(video)
    cut: list[int] = []
    real = module.in_pieces
    monkeypatch.setattr(module, "in_pieces", lambda network, values: cut.append(1) or real(network, values, rows=32))
    monkeypatch.setattr(module, "_ROWS_PER_BATCH", 299)
    np.testing.assert_allclose(model.class_scores(video), scores, atol=1e-4)
    again = model.localize_features(video)
    assert len(cut) == 2
    assert [s.label for s in again[:20]] == [s.label for s in segments[:20]]
    np.testing.assert_allclose(
        [(s.start, s.end) for s in again[:20]], [(s.start, s.end) for s in segments[:20]], atol=1e-3
    )


def test_global_attention_and_leaking_padding_are_not_cut() -> None:
    assert can_be_cut(head(2))
    assert not can_be_cut(head(2, window=1))
    assert not can_be_cut(ActionFormer(ActionFormerOptions(6, 3, width=8, mask_clean=False)))
