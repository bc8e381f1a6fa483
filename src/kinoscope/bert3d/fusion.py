"""Joining what several streams say of a video: the published rule, and averages of calibrated probabilities.

Source: specification sections 9 (two-stream), 11 (fusion) and 12 (vectors ``two_stream_fusion``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import OptionError

Rule = Literal["probabilities", "l2-logits"]


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
        temperatures: of the streams, see :func:`kinoscope.engine.calibration.calibrate`; not for ``"l2-logits"``,
            which no temperature changes.

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
