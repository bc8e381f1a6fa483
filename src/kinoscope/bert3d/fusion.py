"""Joining what several streams say of a video: the published rule, and averages of calibrated probabilities.

Source: specification sections 9 (two-stream), 11 (fusion) and 12 (vectors ``two_stream_fusion``); temperature scaling:
Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, section 4.2.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import OptionError

Rule = Literal["probabilities", "l2-logits"]

_COLDEST, _HOTTEST = 1e-2, 1e2
_GOLDEN = (math.sqrt(5) - 1) / 2
_TOLERANCE = 1e-7  # of the logarithm of a temperature


def fuse(
    streams: Sequence[Tensor],
    rule: Rule = "probabilities",
    *,
    weights: Sequence[float] | None = None,
    temperatures: Sequence[float] | None = None,
) -> Tensor:
    """Scores of the classes from the mean logits of each stream; the largest wins.

    Shape: each [..., K] -> [..., K]; probabilities that sum to 1, or with ``"l2-logits"`` scores that do not.

    Args:
        streams: one tensor of logits per stream, each the mean over clips and crops.
        rule: ``"probabilities"`` averages softmax(logits / temperature). ``"l2-logits"`` is the published rule: each
            stream's logits, divided by their L2 norm, are added. The two can name different classes.
        weights: how much each stream counts; only their ratio matters for probabilities. None: all the same.
        temperatures: of the streams, see :func:`calibrate`; not for ``"l2-logits"``, which no temperature changes.

    Raises:
        OptionError: an unknown rule, streams of different shapes, or numbers that do not go together.
    """
    if not streams or any(stream.shape != streams[0].shape or stream.ndim == 0 for stream in streams):
        shapes = ", ".join(str(list(stream.shape)) for stream in streams) or "none"
        raise OptionError(f"streams of logits have the shapes {shapes}, but must all have the same [..., K]")
    shares = _numbers("weights", weights, len(streams), zero=True)
    if rule == "l2-logits":
        if temperatures is not None:
            raise OptionError("temperatures do not change the rule 'l2-logits'", cure="leave them out")
        # [..., K] -> [..., K]; logits that are all zero stay so
        return torch.stack([w * F.normalize(z, dim=-1) for w, z in zip(shares, streams, strict=True)]).sum(0)
    if rule != "probabilities":
        raise OptionError(f"rule is {rule!r}", cure="choose 'probabilities' or 'l2-logits'")
    heats = _numbers("temperatures", temperatures, len(streams))
    parts = [w * (z / t).softmax(dim=-1) for w, z, t in zip(shares, streams, heats, strict=True)]
    return torch.stack(parts).sum(0) / sum(shares)  # [S, ..., K] -> [..., K]


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


def _numbers(name: str, values: Sequence[float] | None, count: int, *, zero: bool = False) -> list[float]:
    """One number for each stream, 1 by default, after a look whether they make sense."""
    if values is None:
        return [1.0] * count
    numbers = [float(value) for value in values]
    bound = "0 or more, and not all 0" if zero else "above 0"
    fine = all(math.isfinite(n) and (n > 0 or (zero and n == 0)) for n in numbers) and any(numbers)
    if len(numbers) != count or not fine:
        raise OptionError(f"{name} are {numbers}, but must be {count} numbers, {bound}")
    return numbers
