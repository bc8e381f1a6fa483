"""From a budget to knobs: the best setting of the model's curve that fits it, on this video and on this machine."""

from __future__ import annotations

import math
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import DamagedVideoWarning, OptionError
from ..video import Video, open_video
from ..video.sampling import IntArray
from .candidates import candidates
from .spending import Budget, Setting, Spending

if TYPE_CHECKING:
    from .model import AdaptiveRecognizer

_TRIED = 8  # frames that are decoded to learn how long decoding takes
_MARGIN = 0.9  # of a budget of time that is planned with; the rest is for what cannot be foreseen
_THRIFTY = 64.0  # λ times the cost of the largest backbone, where only the policy can be paid


def plan(model: AdaptiveRecognizer, path: Path, budget: Budget, part: tuple[float, float] | None = None) -> Spending:
    """The knobs for one video; the engine sees to it that the budget is never exceeded.

    Raises:
        OptionError: less than the least answer costs; what is possible is told.
        VideoError: the video cannot be read.
    """
    if budget.gmac is not None:
        return _by_operations(model, budget.gmac)
    assert budget.seconds is not None
    return _by_time(model, path, budget.seconds, part)


def _by_operations(model: AdaptiveRecognizer, gmac: float) -> Spending:
    least = model.costs.policy
    if gmac < least * (1 - 1e-9):
        told = f"{_upward(least):.3g} GMAC"
        raise OptionError(f"the budget of {gmac:g} GMAC cannot be met", cure=_possible(model, told))
    affordable = [setting for setting in model.curve if setting.gmac <= gmac]
    if affordable:
        return _spending(min(affordable, key=lambda setting: (setting.loss, setting.gmac)))
    return Spending(frames=max(1, int(gmac / least)), bias=_THRIFTY / max(model.costs.backbones))


def _by_time(model: AdaptiveRecognizer, path: Path, seconds: float, part: tuple[float, float] | None) -> Spending:
    networks, nets = model.networks, len(model.options.views)
    latency = [networks.latency(number) for number in range(nets)]
    with warnings.catch_warnings(), open_video(path) as video:
        warnings.simplefilter("ignore", DamagedVideoWarning)
        opening, each = _decoding(video)
        way = {count: _frames_to_decode(video, candidates(video, count, part)) for count in _counts(model)}
    least = opening + each + latency[-1]
    if seconds < least:
        told = f"the budget of {seconds:g} s cannot be met for this video here"
        raise OptionError(told, where=path, cure=_possible(model, f"about {_upward(least):.3g} s"))

    def expected(setting: Setting) -> float:
        decoding = way[setting.frames] * each * setting.consulted / setting.frames
        answers = sum(n * took for n, took in zip(setting.used, latency[:-1], strict=False))
        return opening + decoding + setting.consulted * latency[-1] + answers

    affordable = [setting for setting in model.curve if expected(setting) <= _MARGIN * seconds]
    if affordable:
        return _spending(min(affordable, key=lambda setting: (setting.loss, setting.gmac)))
    count = max(1, min(model.options.segments, int((seconds - opening) / (each + latency[-1]))))
    return Spending(frames=count, bias=_THRIFTY / max(model.costs.backbones))


def _counts(model: AdaptiveRecognizer) -> list[int]:
    return sorted({setting.frames for setting in model.curve})


def _spending(setting: Setting) -> Spending:
    return Spending(frames=setting.frames, bias=setting.bias)


def _upward(value: float) -> float:
    """Rounded up to three digits, so that what is told as enough is enough."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 2)
    return math.ceil(value / unit) * unit


def _possible(model: AdaptiveRecognizer, least: str) -> str:
    """What could be asked for instead."""
    told = f"the least is one look of the policy: {least} a video"
    if not model.curve:
        return told
    first, last = model.curve[0], model.curve[-1]
    reach = f"from {first.gmac:.3g} GMAC ({first.score:.0%} right) to {last.gmac:.3g} ({last.score:.0%})"
    return f"{told}; its curve reaches {reach}"


def _decoding(video: Video) -> tuple[float, float]:
    """Seconds to find out what is in the file, and to decode one frame of it; measured."""
    begin = time.perf_counter()
    frames = len(video)
    found = time.perf_counter()
    with video.picker() as pick:
        for position in range(min(_TRIED, frames)):
            pick(position)
        decoded = max(1, pick.decoded)
    return found - begin, (time.perf_counter() - found) / decoded


def _frames_to_decode(video: Video, positions: IntArray) -> int:
    """Frames on the way to some positions, ascending, where keyframes save what they can."""
    wanted = np.unique(positions)
    before = np.concatenate(([-1], wanted[:-1]))  # where the decoder stands
    keys = video.keyframes
    if len(keys):
        last_key = keys[np.maximum(np.searchsorted(keys, wanted, side="right") - 1, 0)]
        before = np.maximum(before, last_key - 1)
    return int((wanted - before).sum())
