"""What stands between the convolutions of the clip networks, and how their channels shrink for small machines."""

from __future__ import annotations

from typing import Literal, get_args

from torch import nn

from ..errors import OptionError

Normalization = Literal["batch", "sync", "group"]

_MOST_GROUPS, _LEAST_PER_GROUP = 32, 4


def norm(normalization: Normalization, channels: int) -> nn.Module:
    """The layer that normalises ``channels`` channels of [B, C, T, H, W].

    ``"sync"`` shares the statistics of a batch among all processes and equals ``"batch"`` on one. ``"group"`` (Wu & He,
    ECCV 2018) knows no batch: nothing leaks between its clips, and two processes compute what one does.

    Raises:
        OptionError: another name.
    """
    if normalization == "batch":
        return nn.BatchNorm3d(channels)
    if normalization == "sync":
        return nn.SyncBatchNorm(channels)
    if normalization == "group":
        most = max(1, min(_MOST_GROUPS, channels // _LEAST_PER_GROUP))
        return nn.GroupNorm(max(g for g in range(1, most + 1) if channels % g == 0), channels)
    known = ", ".join(get_args(Normalization))
    raise OptionError(f"normalization is {normalization!r}, but must be one of: {known}")


def scaled(channels: int, width: float) -> int:
    """``channels`` times ``width``, as a multiple of 8 and at least 8: vector units like these numbers."""
    return max(8, 8 * round(channels * width / 8))
