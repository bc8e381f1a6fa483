"""What the clip networks share: normalisation, how convolutions begin, how channels shrink for small machines."""

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


def set_epsilon(network: nn.Module, epsilon: float) -> None:
    """Let every batch norm of ``network`` add ``epsilon`` to its variances; published weights were trained with it."""
    for layer in network.modules():
        if isinstance(layer, (nn.BatchNorm3d, nn.SyncBatchNorm)):
            layer.eps = epsilon


def initialize(network: nn.Module, mode: Literal["fan_in", "fan_out"] = "fan_out") -> None:
    """He et al.'s normal distribution over the fan in or out, for every convolution."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv3d) and not layer.weight.is_meta:  # where it takes seconds, for nothing
            nn.init.kaiming_normal_(layer.weight, mode=mode, nonlinearity="relu")


def scaled(channels: float, width: float) -> int:
    """``channels`` times ``width``, as a multiple of 8 and at least 8: vector units like these numbers."""
    return max(8, 8 * round(channels * width / 8))
