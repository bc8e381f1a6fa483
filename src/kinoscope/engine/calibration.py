"""Probabilities that mean what they say, and the labels that they speak for.

Logits are divided by a temperature first.

Source: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, section 4.2.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import OptionError

_COLDEST, _HOTTEST = 1e-2, 1e2
_GOLDEN = (math.sqrt(5) - 1) / 2
_TOLERANCE = 1e-7  # of the logarithm of a temperature
_MOST_HEAT = 10.0


def temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """What logits are best divided by, as the validation clips tell; 1 where they tell nothing.

    A few clips that are all right would ask for certainty: then it is at least 1.
    """
    known = labels >= 0
    if known.sum() < 2:
        return 1.0
    logits, labels = logits[known], labels[known]
    least = 1.0 if (logits.argmax(axis=1) == labels).all() else 1 / _MOST_HEAT
    return min(max(calibrate(torch.from_numpy(logits), torch.from_numpy(labels)), least), _MOST_HEAT)


def calibrate(logits: Tensor, labels: Tensor) -> float:
    """The temperature with which softmax(logits / temperature) is likeliest to give the labels.

    It divides the logits of a network that is too sure of itself (above 1) or not sure enough (below 1). It never
    changes which class wins within a stream, but it makes streams comparable before :func:`fuse`. Where the best one
    lies beyond all bounds, because every label or none is right, it is the nearest of 0.01 and 100.

    Args:
        logits: of a *validation* set: on the training set a network looks better than it is. Shape: [N, K].
        labels: the true classes, whole numbers. Shape: [N].

    Raises:
        OptionError: no logits, none or more than one label for each, or one that is no class.
    """
    if logits.ndim != 2 or labels.shape != logits.shape[:1] or not len(labels):
        problem = f"logits are {list(logits.shape)} and labels {list(labels.shape)}, but must be [N, K] and [N]"
        raise OptionError(problem, cure="give one label for each of at least one video")
    if labels.is_floating_point() or not bool(((labels >= 0) & (labels < logits.shape[1])).all()):
        raise OptionError(f"labels must be whole numbers from 0 to {logits.shape[1] - 1}")
    exact = logits.detach().double()
    if not bool(exact.isfinite().all()):
        raise OptionError("logits are not all finite numbers", cure="look for the video where the network failed")

    def surprise(logarithm: float) -> float:
        return float(F.cross_entropy(exact / math.exp(logarithm), labels.long()))

    return math.exp(_lowest(surprise, math.log(_COLDEST), math.log(_HOTTEST)))


def _lowest(value: Callable[[float], float], low: float, high: float) -> float:
    """Where a function with one valley is lowest, by golden section: the surprise is convex in 1 / temperature."""
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_left, at_right = value(left), value(right)
    while high - low > _TOLERANCE:
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - _GOLDEN * (high - low)
            at_left = value(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + _GOLDEN * (high - low)
            at_right = value(right)
    return (low + high) / 2


def most_probable(
    probabilities: npt.NDArray[np.float64], classes: Sequence[str], count: int
) -> list[tuple[str, float]]:
    """Labels with their probabilities, the largest first; of equal ones the first. Shape: [K] -> ``count`` pairs."""
    order = np.argsort(-probabilities, kind="stable")[:count]
    return [(classes[k], float(probabilities[k])) for k in order]
