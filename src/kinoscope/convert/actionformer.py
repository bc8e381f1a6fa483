"""Official ActionFormer releases (github happyharrycn/actionformer_release) → our network, or a localiser.

The names of the tensors are ours already, and sizes are read from their shapes. What no tensor tells stands in
:data:`RELEASES`: the reach of attention, the position code, the time of the features, how output becomes segments.

Source: specification sections 1.1, 1.9 and 1.10; the configurations beside the releases.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from ..data.feature_spec import FeatureSpec
from ..errors import OptionError, WeightError
from ..localize.network import ActionFormer
from ..localize.options import OPEN_END, ActionFormerOptions, DecodeOptions
from .matching import require_match, tensors_in

_CURE = "give an official ActionFormer checkpoint, for example the THUMOS14 release"
_THUMOS = (
    *("BaseballPitch", "BasketballDunk", "Billiards", "CleanAndJerk", "CliffDiving", "CricketBowling", "CricketShot"),
    *("Diving", "FrisbeeCatch", "GolfSwing", "HammerThrow", "HighJump", "JavelinThrow", "LongJump", "PoleVault"),
    *("Shotput", "SoccerPenalty", "TennisSwing", "ThrowDiscus", "VolleyballSpiking"),
)
_OWN_RATES = (4 / 30, 4 / 23.976)
"""Seconds between rows of THUMOS14's features, which follow the rate of each video."""


def _overlapping(levels: int) -> tuple[tuple[float, float], ...]:
    """(0, 4) (2, 8) (4, 16) …, the last one open."""
    first = [0.0, *(2.0**level for level in range(1, levels))]
    return tuple(zip(first, [*(2.0 ** (level + 2) for level in range(levels - 1)), OPEN_END], strict=True))


@dataclass(frozen=True)
class Release:
    """One of the released models."""

    name: str
    input_width: int
    width: int
    classes: int
    levels: int
    spec: FeatureSpec
    """Of the features that it takes."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of the network, where they are not those of the THUMOS14 release."""
    decoding: DecodeOptions = DecodeOptions()
    labels: tuple[str, ...] = ()
    """Names of the classes, where they are few enough to be known."""


_ACTIVITYNET = {"window": (7, 7, 7, 7, 7, 1), "max_length": 192, "fit": "resize", "position_code": True}
_EGO4D = {"window": 9, "max_length": 1024, "position_code": True}
_PROPOSALS = DecodeOptions(sigma=0.75, voting=0.9, max_segments=100, multiclass=False, min_length=0.001)
_MANY = DecodeOptions(candidates=5000, max_segments=2000, sigma=0.4)
_MOMENTS = DecodeOptions(candidates=5000, max_segments=2000, sigma=0.9)
RELEASES = (
    Release("THUMOS14", 2048, 512, 20, 6, FeatureSpec(2048, 30, 4, 16, steps=_OWN_RATES), labels=_THUMOS),
    Release("ActivityNet, TSP", 512, 256, 1, 6, FeatureSpec(512, 15, 16, 16), _ACTIVITYNET, _PROPOSALS, ("action",)),
    Release("ActivityNet, I3D", 2048, 256, 1, 6, FeatureSpec(2048, 25, 16, 16), _ACTIVITYNET, _PROPOSALS, ("action",)),
    *(
        Release(
            f"EPIC-Kitchens-100, {what}",
            *(2304, 512, classes, 6),
            FeatureSpec(2304, 30, 16, 32),
            {"window": 9, "ranges": _overlapping(6)},
            _MANY,
        )
        for what, classes in (("verbs", 97), ("nouns", 300))
    ),
    Release(
        "Ego4D, SlowFast",
        *(2304, 512, 110, 7),
        FeatureSpec(2304, 30, 16, 32),
        {**_EGO4D, "ranges": _overlapping(7)},
        _MOMENTS,
    ),
    Release(
        "Ego4D, EgoVLP",
        *(256, 384, 110, 8),
        FeatureSpec(256, 30, 16, 16),
        {**_EGO4D, "ranges": _overlapping(8)},
        _MOMENTS,
    ),
)


def release_of(options: ActionFormerOptions) -> Release | None:
    """The release that has these sizes."""
    sizes = (options.input_width, options.width, options.classes, options.levels)
    return next((each for each in RELEASES if (each.input_width, each.width, each.classes, each.levels) == sizes), None)


def load_actionformer(
    state_dict: Mapping[str, Any], *, heads: int = 4, window: int | tuple[int, ...] | None = None
) -> ActionFormer:
    """The network of an official checkpoint, in evaluation mode, computing what the official code computes.

    Args:
        state_dict: the tensors, or a whole checkpoint, of which ``state_dict_ema`` (what the official evaluation uses)
            is taken, else ``state_dict``. A prefix ``module.`` is dropped.
        heads: of attention; 4 in the releases.
        window: of attention; none: that of the release with these sizes, else 19, that of the THUMOS14 release.

    Raises:
        WeightError: tensors are missing, unknown or of another shape; they are named.
    """
    weights = tensors_in(state_dict, ("state_dict_ema", "state_dict"))
    try:
        options = _options(weights, heads, window)
    except OptionError as error:
        raise WeightError(f"no ActionFormer has these sizes: {error.problem}", cure=error.cure) from error
    network = ActionFormer(options)
    require_match({name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}, weights, _CURE)
    network.load_state_dict(weights)
    return network.eval()


def _options(weights: Mapping[str, Tensor], heads: int, window: int | tuple[int, ...] | None) -> ActionFormerOptions:
    try:
        width, input_width, kernel = weights["backbone.embd.0.conv.weight"].shape
        classes = len(weights["cls_head.cls_head.conv.weight"])
        hidden = len(weights["backbone.stem.0.mlp.0.weight"])
    except (KeyError, ValueError) as error:
        raise WeightError(
            f"not an ActionFormer checkpoint: {error} is missing or has another number of dimensions",
            cure=_CURE,
        ) from error
    sizes: dict[str, Any] = {
        "width": width,
        "heads": heads,
        "kernel": kernel,
        "embedding_convs": _count(weights, r"backbone\.embd\.(\d+)\.conv\.weight"),
        "stem_blocks": _count(weights, r"backbone\.stem\.(\d+)\.ln1\.weight"),
        "branch_blocks": _count(weights, r"backbone\.branch\.(\d+)\.ln1\.weight"),
        "mlp_ratio": hidden // width,
        "head_layers": 1 + _count(weights, r"cls_head\.head\.(\d+)\.conv\.weight"),
        "mask_clean": False,
    }
    release = release_of(ActionFormerOptions(input_width, classes, **sizes))
    told = dict(release.options) if release is not None else {}
    if window is not None:
        told["window"] = window
    return ActionFormerOptions(input_width, classes, **sizes, **told)


def _count(weights: Mapping[str, Tensor], pattern: str) -> int:
    return sum(re.fullmatch(pattern, name) is not None for name in weights)
