"""The solver against automatic differentiation, closed forms, and each fit alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from kinoscope.evaluate import logistic
from kinoscope.evaluate.logistic import fit_logistic


def problem(
    rows: int, width: int, *, signal: float = 1.0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Correlated rows, classes, the importance of each row in three fits, and the fits' strengths."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(rows, width)) @ (rng.normal(size=(width, width)) * np.arange(1, width + 1) ** -1.0)
    values /= values.std(axis=0)
    positive = values[:, 0] * signal + rng.normal(size=rows) > 0.8
    positive[:2] = True, False
    importance = rng.uniform(0, 1, (rows, 3)) * (rng.random((rows, 3)) < 0.8) + 1e-3
    return values.astype(np.float32), positive, importance / importance.sum(axis=0), np.array([1e-3, 0.1, 3.0])


def objective(rows: np.ndarray, positive: np.ndarray, importance: np.ndarray, strength: float) -> object:
    values, target = torch.from_numpy(rows).double(), torch.from_numpy(positive).double()

    def of(weights: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        losses = F.binary_cross_entropy_with_logits(values @ weights + bias, target, reduction="none")
        return (torch.from_numpy(importance) * losses).sum() + strength / 2 * weights.square().sum()

    return of


@pytest.mark.parametrize(("rows", "width", "signal"), [(300, 8, 1), (50, 80, 1), (400, 5, 100)])
def test_the_optimum_is_that_of_automatic_differentiation(rows: int, width: int, signal: float) -> None:
    values, positive, importance, strengths = problem(rows, width, signal=signal)
    found = fit_logistic(values, positive, importance, strengths)
    for fit, strength in enumerate(strengths):
        of = objective(values, positive, importance[:, fit], strength)
        weights, bias = torch.zeros(width, dtype=torch.float64), torch.zeros((), dtype=torch.float64)
        optimizer = torch.optim.LBFGS(
            [weights.requires_grad_(), bias.requires_grad_()],
            max_iter=2000,
            tolerance_grad=1e-12,
            tolerance_change=0,
            line_search_fn="strong_wolfe",
        )

        def loss() -> torch.Tensor:
            optimizer.zero_grad()  # noqa: B023 - called within this turn
            value = of(weights, bias)  # type: ignore[operator]  # noqa: B023
            value.backward()
            return value

        optimizer.step(loss)
        weights, bias = weights.detach(), bias.detach()
        np.testing.assert_allclose(found.weights[:, fit], weights, atol=2e-4)
        assert found.bias[fit] == pytest.approx(float(bias), abs=2e-4)
        ours = of(torch.from_numpy(found.weights[:, fit]), torch.tensor(found.bias[fit]))  # type: ignore[operator]
        assert float(ours) == pytest.approx(float(of(weights, bias)), abs=1e-9)  # type: ignore[operator]


def test_without_information_the_bias_is_the_log_odds() -> None:
    positive = np.arange(10) < 3
    found = fit_logistic(np.zeros((10, 2), np.float32), positive, np.full((10, 1), 0.1), np.ones(1))
    assert found.bias[0] == pytest.approx(np.log(3 / 7), abs=1e-6) and not found.weights.any()


@settings(max_examples=20, deadline=None)
@given(st.integers(4, 60), st.integers(1, 12), st.integers(0, 1000))
def test_the_gradient_vanishes(rows: int, width: int, seed: int) -> None:
    values, positive, importance, strengths = problem(rows, width, seed=seed)
    found = fit_logistic(values, positive, importance, strengths)
    share = 1 / (1 + np.exp(-found.logits(values)))  # [N, F]
    gradient = values.T.astype(np.float64) @ (importance * (share - positive[:, None])) + strengths * found.weights
    assert np.abs(gradient).max() < 1e-6


def test_fits_do_not_disturb_each_other_and_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    values, positive, importance, strengths = problem(200, 7)
    together = fit_logistic(values, positive, importance, strengths)
    again = fit_logistic(values, positive, importance, strengths)
    assert (again.weights == together.weights).all(), "the same bits"
    monkeypatch.setattr(logistic, "_BLOCK", 33)
    for fit in range(3):
        alone = fit_logistic(values, positive, importance[:, [fit]], strengths[[fit]])
        np.testing.assert_allclose(alone.weights[:, 0], together.weights[:, fit], atol=1e-5)


def test_rows_of_no_importance_do_not_count() -> None:
    values, positive, importance, strengths = problem(100, 4)
    importance[50:] = 0
    importance /= importance.sum(axis=0)
    found = fit_logistic(values, positive, importance, strengths)
    rest = fit_logistic(values[:50], positive[:50], importance[:50], strengths)
    np.testing.assert_allclose(found.weights, rest.weights, atol=1e-5)


def test_a_walk_that_ends_early_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logistic, "_MOST_STEPS", 1)
    with pytest.warns(UserWarning, match="has not converged after 1 steps"):
        fit_logistic(*problem(100, 4))
