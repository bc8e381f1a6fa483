"""The linear probe on stored features: what it learns, that it repeats, and where its choices come from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from kinoscope.errors import FeatureError, OptionError
from kinoscope.evaluate.linear_probe import LinearProbeOptions, fits_of, linear_probe

QUICK = LinearProbeOptions(epochs=20, rates=(0.1, 1.0), decays=(1e-3,))


def blobs(count: int, seed: int, *, spread: float = 0.5, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    return 3 * np.eye(classes, 6)[labels] + spread * rng.normal(size=(count, 6)), labels


def test_it_learns_what_is_there_and_only_that() -> None:
    rows, labels = blobs(60, 0)
    test, truth = blobs(30, 1)
    found = linear_probe(rows, labels, test, 3, options=QUICK)
    assert (found.probabilities.argmax(axis=1) == truth).mean() > 0.95 and found.validation == 1
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1)
    noise = np.random.default_rng(2).normal(size=(60, 6))
    assert (linear_probe(noise, labels, test, 3, options=QUICK).probabilities.argmax(axis=1) == truth).mean() < 0.7


def test_it_repeats_and_leaves_the_global_generator_alone() -> None:
    rows, labels = blobs(20, 0)
    state = torch.get_rng_state()
    first, again, other = (linear_probe(rows, labels, rows, 3, seed=seed, options=QUICK) for seed in (0, 0, 1))
    assert (first.probabilities == again.probabilities).all() and (first.probabilities != other.probabilities).any()
    assert torch.equal(state, torch.get_rng_state())


def test_the_official_setting_is_the_published_recipe() -> None:
    """A twin written out: one batch per epoch, so that order does not matter."""
    rows, labels = blobs(12, 0)
    official = LinearProbeOptions(official=True, epochs=10)
    found = linear_probe(rows, labels, rows, 3, options=official)
    assert (found.rate, found.decay, found.validation) == (1.0, 1e-3, None) and fits_of(official) == 1
    x, y = torch.from_numpy(rows).float(), torch.from_numpy(labels)
    weight = torch.empty(3, 6)
    torch.nn.init.normal_(weight, std=0.01, generator=torch.Generator().manual_seed(0))
    parameters = [torch.ones(6), torch.zeros(6), weight, torch.zeros(3)]
    speed = [torch.zeros_like(each) for each in parameters]
    mean, variance = torch.zeros(6), torch.ones(6)
    for epoch in range(10):
        rate = 1.0 * 0.1 ** ((epoch >= 6) + (epoch >= 8))
        mean, variance = 0.9 * mean + 0.1 * x.mean(0), 0.9 * variance + 0.1 * x.var(0)
        for each in parameters:
            each.requires_grad_(True)
        scale, shift, weight, bias = parameters
        hidden = (x - x.mean(0)) / (x.var(0, unbiased=False) + 1e-5).sqrt() * scale + shift
        slopes = torch.autograd.grad(F.cross_entropy(hidden @ weight.T + bias, y), parameters)
        with torch.no_grad():
            speed = [0.9 * v + g + 1e-3 * p for v, g, p in zip(speed, slopes, parameters, strict=True)]
            parameters = [p - rate * v for p, v in zip(parameters, speed, strict=True)]
    scale, shift, weight, bias = parameters
    hidden = (x - mean) / (variance + 1e-5).sqrt() * scale + shift
    np.testing.assert_allclose(found.probabilities, (hidden @ weight.T + bias).softmax(1).numpy(), atol=1e-4)


def test_the_choice_never_sees_the_test_videos() -> None:
    rows, labels = blobs(30, 0, spread=2)
    first, second = (linear_probe(rows, labels, blobs(9, seed)[0], 3, options=QUICK) for seed in (1, 2))
    assert (first.rate, first.decay, first.validation) == (second.rate, second.decay, second.validation)


def test_classes_of_one_video_leave_nothing_to_choose_on() -> None:
    rows, labels = blobs(3, 0)
    done: list[None] = []
    found = linear_probe(rows, labels, rows, 3, options=QUICK, report=lambda: done.append(None))
    assert found.validation is None and len(done) == fits_of(QUICK) == 3


def test_a_last_batch_of_one_video_joins_the_one_before() -> None:
    rows, labels = blobs(9, 0)
    options = LinearProbeOptions(official=True, epochs=5, batch_size=4)
    assert np.isfinite(linear_probe(rows, labels, rows, 3, options=options).probabilities).all()


def test_what_is_refused() -> None:
    rows, labels = blobs(6, 0)
    for bad in (np.full_like(rows, np.nan), rows * np.inf):
        with pytest.raises(FeatureError, match="NaN or infinity"), np.errstate(invalid="ignore"):
            linear_probe(bad, labels, rows, 3)
    with pytest.raises(FeatureError, match="do not fit together"):
        linear_probe(rows, labels[1:], rows, 3)
    with pytest.raises(FeatureError, match="at least two"):
        linear_probe(rows[:1], labels[:1], rows, 3)
    for wrong in ({"epochs": 0}, {"batch_size": 1}, {"rates": ()}, {"rates": (0.0,)}, {"held_out": 1.0}):
        with pytest.raises(OptionError):
            LinearProbeOptions(**wrong)  # type: ignore[arg-type]
