"""Logistic regression to its optimum: many weightings and strengths of regularisation in one walk over the rows.

Newton's method; each step is solved by conjugate gradients with the covariance of the rows as the preconditioner, so
that correlated channels cost nothing. All fits advance together, because a pass over the rows is what costs time, and
one pass serves them all. Rows stay in float32 and are taken to float64 a block at a time.
Letters: N rows, n rows of a block, C channels, F fits. Parameters θ are [C + 1, F]: the weights, then the bias.

Not supported: more than two classes, sparse rows.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from .matching import Bools, Floats
from .snippets import Rows

_BLOCK = 512  # rows taken to float64 together: they should fit into the cache
_MOST_STEPS = 60
_MOST_DIRECTIONS = 200  # of conjugate gradients, in one step
_TOLERANCE = 1e-7  # length of the gradient at the optimum, relative to where the walk began
_NOTHING = 1e-12  # a gradient of rounding errors alone, where rows say nothing from the start
_TINY = 1e-300  # keeps fits that have arrived from dividing 0 by 0


@dataclass(frozen=True)
class Logistic:
    """Linear classifiers: the logit of fit f is ``rows @ weights[:, f] + bias[f]``."""

    weights: Floats
    """[C, F]"""
    bias: Floats
    """[F]"""

    def logits(self, rows: Rows) -> Floats:
        """Shape: [N, C] -> [N, F]."""
        return np.concatenate([block @ self.weights for _, block in blocks(rows)]) + self.bias


def fit_logistic(rows: Rows, positive: Bools, importance: Floats, strengths: Floats) -> Logistic:
    """Minimise, for every fit, Σ importance · softplus(∓logit) + strength / 2 · |weights|². The bias is not penalised.

    Args:
        rows: of comparable scale in all channels. Shape: [N, C].
        positive: the class of each row; the logit is to be positive where it is true. Shape: [N].
        importance: of each row in each fit; every column sums to 1, with some of both classes. Shape: [N, F].
        strengths: of each fit, above 0. Shape: [F].

    Returns:
        The optimum, where the gradient is 10⁷ times shorter than at zero; warns if a fit ends before.
    """
    problem = _Problem(rows, np.where(positive, 1.0, -1.0)[:, None], importance, strengths)
    values, axes = _principal_axes(rows)  # [C], [C, C]
    theta = np.zeros((rows.shape[1] + 1, len(strengths)))
    logits = np.zeros_like(importance)  # [N, F]
    begin = np.linalg.norm(problem.gradient(theta, logits), axis=0)  # [F]
    for _ in range(_MOST_STEPS):
        gradient = problem.gradient(theta, logits)
        length = np.linalg.norm(gradient, axis=0)
        moving = length > _TOLERANCE * begin + _NOTHING
        if not moving.any():
            break
        curvature = problem.curvature(logits)
        inverse = _nearly_inverse(values, axes, curvature.sum(axis=0), strengths)
        accuracy = length * np.minimum(0.1, np.sqrt(length / np.maximum(begin, _TINY)))  # loose at first, then fine
        target = np.where(moving, accuracy, np.inf)
        direction = _conjugate_gradients(partial(problem.second, curvature), -gradient, inverse, target)
        change = Logistic(direction[:-1], direction[-1]).logits(rows)
        scale = _step_size(problem, theta, logits, direction, change, (gradient * direction).sum(axis=0))
        theta += scale * direction
        logits += scale * change
    else:
        warnings.warn(f"logistic regression has not converged after {_MOST_STEPS} steps", stacklevel=2)
    return Logistic(theta[:-1], theta[-1])


@dataclass(frozen=True)
class _Problem:
    """The objective of every fit and its derivatives; ``logits`` [N, F] are those of ``theta``, known already."""

    rows: Rows
    sign: Floats  # [N, 1]
    importance: Floats  # [N, F]
    strengths: Floats  # [F]

    def value(self, theta: Floats, logits: Floats) -> Floats:
        """Shape: [F]."""
        loss = (self.importance * np.logaddexp(0, -self.sign * logits)).sum(axis=0)
        return loss + 0.5 * self.strengths * (theta[:-1] ** 2).sum(axis=0)

    def gradient(self, theta: Floats, logits: Floats) -> Floats:
        """Shape: [C + 1, F]."""
        pull = -self.sign * self.importance * _sigmoid(-self.sign * logits)  # [N, F]
        total = np.zeros_like(theta[:-1])
        for place, block in blocks(self.rows):
            total += block.T @ pull[place]
        return np.vstack([total + self.strengths * theta[:-1], pull.sum(axis=0)])

    def curvature(self, logits: Floats) -> Floats:
        """Second derivative of each row's loss by its logit. Shape: [N, F]."""
        share = _sigmoid(logits)
        return self.importance * share * (1 - share)

    def second(self, curvature: Floats, v: Floats, fits: Bools) -> Floats:
        """Second derivatives of the objective of ``fits`` times ``v``, [C + 1, f], in one pass over the rows.

        In float32: a step needs no exact direction, only the gradient and the logits must be exact.
        """
        weights, bias = v[:-1].astype(np.float32), v[-1].astype(np.float32)
        bent = curvature[:, fits].astype(np.float32)  # [N, f]
        total = np.zeros_like(weights)
        for first in range(0, len(self.rows), _BLOCK):
            block = self.rows[first : first + _BLOCK]  # [n, C]
            bent[first : first + _BLOCK] *= block @ weights + bias
            total += block.T @ bent[first : first + _BLOCK]
        return np.vstack([total + self.strengths[fits] * v[:-1], bent.sum(axis=0, dtype=np.float64)])


def _step_size(
    problem: _Problem, theta: Floats, logits: Floats, direction: Floats, change: Floats, slope: Floats
) -> Floats:
    """1, halved in each fit until the objective falls enough (Armijo). Shape: [F]."""
    scale, begin = np.ones_like(slope), problem.value(theta, logits)
    slack = 1e-14 * np.maximum(1, begin)  # at the optimum the fall is below rounding
    for _ in range(40):
        short = problem.value(theta + scale * direction, logits + scale * change) > begin + 1e-4 * scale * slope + slack
        if not short.any():
            break
        scale[short] /= 2
    return scale


def _conjugate_gradients(
    product: Callable[[Floats, Bools], Floats], wanted: Floats, inverse: Callable[[Floats], Floats], target: Floats
) -> Floats:
    """Solve ``product(x) = wanted`` in each column until its residual is no longer than ``target``."""
    x, residual = np.zeros_like(wanted), wanted.copy()
    direction = inverse(residual)
    steep = (residual * direction).sum(axis=0)  # [F]
    for _ in range(_MOST_DIRECTIONS):
        fits = np.linalg.norm(residual, axis=0) > target  # [F]; those that have arrived cost nothing more
        if not fits.any():
            break
        turned = product(direction[:, fits], fits)  # [C + 1, f]
        rate = steep[fits] / np.maximum((direction[:, fits] * turned).sum(axis=0), _TINY)
        x[:, fits] += rate * direction[:, fits]
        residual[:, fits] -= rate * turned
        eased = inverse(residual)
        before, steep = steep, (residual * eased).sum(axis=0)
        direction = eased + steep / np.maximum(before, _TINY) * direction
    return x


def _principal_axes(rows: Rows) -> tuple[Floats, Floats]:
    """Eigenvalues [C] and vectors [C, C] of the rows' second moments; float32 sums do for a preconditioner."""
    values, axes = np.linalg.eigh((rows.T @ rows).astype(np.float64) / len(rows))
    return values.clip(0), axes


def _nearly_inverse(values: Floats, axes: Floats, curvature: Floats, strengths: Floats) -> Callable[[Floats], Floats]:
    """The inverse of the second derivatives if every row had its fit's mean ``curvature`` [F]."""
    spread = values[:, None] * curvature + strengths  # [C, F]
    return lambda v: np.vstack([axes @ ((axes.T @ v[:-1]) / spread), v[-1:] / np.maximum(curvature, _TINY)])


def blocks(rows: Rows) -> Iterator[tuple[slice, Floats]]:
    """Rows in float64, a block at a time, and where they stand."""
    for first in range(0, len(rows), _BLOCK):
        yield slice(first, first + _BLOCK), rows[first : first + _BLOCK].astype(np.float64)


def _sigmoid(x: Floats) -> Floats:
    small = np.exp(-np.abs(x))  # never overflows
    return np.where(x >= 0, 1, small) / (1 + small)
