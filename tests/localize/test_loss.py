"""The losses against the vectors, closed forms, and each other."""

from __future__ import annotations

import math

import pytest
import torch

from kinoscope.localize.loss import LocalizationLoss, diou_loss, sigmoid_focal_loss, smooth_targets


def test_diou_vector(vectors):
    group = vectors("localization")["vectors"]["diou_1d"]
    inputs, expected = group["cases"][0]["inputs"], group["cases"][0]["expected"]
    predicted, target = (torch.tensor(inputs[name], dtype=torch.float64) for name in ("pred", "target"))
    loss = diou_loss(predicted, target)
    assert loss.tolist() == pytest.approx(expected["diou"], abs=group["tolerance"])
    assert loss.sum().item() == pytest.approx(expected["sum_diou"], abs=1e-8)


def test_diou_of_intervals_by_their_definition():
    left, right, left_target, right_target = torch.rand(4, 200, dtype=torch.float64) + 0.01
    loss = diou_loss(torch.stack([left, right], -1), torch.stack([left_target, right_target], -1))
    a, b, c, d = -left, right, -left_target, right_target
    iou = (torch.minimum(b, d) - torch.maximum(a, c)) / (torch.maximum(b, d) - torch.minimum(a, c))
    centres = ((a + b) / 2 - (c + d) / 2) / (torch.maximum(b, d) - torch.minimum(a, c))
    torch.testing.assert_close(loss, 1 - iou + centres**2)


def test_focal_vector(vectors):
    group = vectors("localization")["vectors"]["sigmoid_focal"]
    inputs, expected = group["cases"][0]["inputs"], group["cases"][0]["expected"]
    logits, targets = (torch.tensor(inputs[name], dtype=torch.float64) for name in ("logits", "targets"))
    loss = sigmoid_focal_loss(logits, targets)
    assert loss.tolist() == pytest.approx(expected["loss"], abs=group["tolerance"])
    assert loss.sum().item() == pytest.approx(expected["sum"], abs=1e-8)


def test_focal_at_even_odds_is_a_quarter_of_weighted_log_two():
    loss = sigmoid_focal_loss(torch.zeros(2), torch.tensor([0.0, 1.0]))
    assert loss.tolist() == pytest.approx([0.75 * 0.25 * math.log(2), 0.25 * 0.25 * math.log(2)])


def test_normaliser_and_smoothing_vectors(vectors):
    normaliser, smoothing = vectors("localization")["vectors"]["loss_assembly"]["cases"]
    loss = LocalizationLoss(normaliser["inputs"]["init"]).double()
    for positives, expected in zip(normaliser["inputs"]["num_pos"], normaliser["expected"]["norm"], strict=True):
        loss(*_inputs(positives))
        assert loss.normaliser.item() == pytest.approx(expected, abs=1e-12)
    targets = torch.tensor(smoothing["inputs"]["t"], dtype=torch.float64)[:, None]
    smoothed = smooth_targets(targets, smoothing["inputs"]["e"])
    assert smoothed.flatten().tolist() == pytest.approx(smoothing["expected"]["t"], abs=1e-12)


def _inputs(positives: int, points: int = 64, classes: int = 2):
    targets = torch.zeros(1, points, classes)
    targets[0, :positives, 1] = 1
    offsets = torch.rand(1, points, 2)
    return (
        torch.randn(1, points, classes),
        offsets,
        torch.ones(1, points, dtype=torch.bool),
        targets,
        offsets.roll(1, 1),
    )


def test_total_is_the_sum_over_valid_and_positive_points_by_the_normaliser():
    logits, offsets, mask, targets, offset_targets = _inputs(5)
    mask[0, 3] = mask[0, 60] = False  # one positive and one negative point are padding
    loss = LocalizationLoss(10.0, smoothing=0.1, offset_weight=2.0).eval()
    result = loss(logits, offsets, mask, targets, offset_targets)
    classes = sum(
        sigmoid_focal_loss(logits[0, p], smooth_targets(targets[0, p], 0.1)).sum() for p in range(64) if mask[0, p]
    )
    boundaries = sum(diou_loss(offsets[0, p], offset_targets[0, p]) for p in (0, 1, 2, 4))
    assert result["positives"] == 4
    assert result["loss"].item() == pytest.approx((classes / 10 + 2 * boundaries / 10).item(), rel=1e-5)
    assert loss.normaliser.item() == 10.0  # evaluation leaves the running count alone


def test_no_positive_point_gives_a_finite_loss_and_zero_offset_gradient():
    logits, offsets, mask, targets, offset_targets = _inputs(0)
    offsets = offsets.requires_grad_()
    result = LocalizationLoss(1.0)(logits, offsets, mask, targets, offset_targets)
    result["loss"].backward()
    assert torch.isfinite(result["loss"])
    assert result["offset_loss"] == 0
    assert offsets.grad is None or not offsets.grad.any()


def test_balanced_weight_makes_both_parts_equal():
    result = LocalizationLoss(10.0, offset_weight=0.0)(*_inputs(20))
    assert result["loss"].item() == pytest.approx(2 * result["class_loss"].item(), rel=1e-5)


def test_normaliser_is_saved_with_the_weights():
    loss = LocalizationLoss()
    loss(*_inputs(7))
    other = LocalizationLoss()
    other.load_state_dict(loss.state_dict())
    assert torch.equal(other.normaliser, loss.normaliser)


def test_float32_under_autocast():
    logits, offsets, mask, targets, offset_targets = _inputs(5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = LocalizationLoss(10.0)(logits.bfloat16(), offsets.bfloat16(), mask, targets, offset_targets)
    assert result["loss"].dtype == torch.float32
