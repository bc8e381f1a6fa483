"""How the releases train each head and suppress what it finds, behind ``--recipe official``.

Where we differ: no rows are lost at a video's tail, and windows are joined before suppression, which acts once. Seeds
stay the user's.

Source: specification sections 1.1, 1.9, 2.4, 3.3 and 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..engine.presets import Preset, with_preset
from ..errors import OptionError
from .options import DecodeOptions
from .train_options import LocalizeTrainOptions


@dataclass(frozen=True)
class Recipe:
    """What a release does with one head on one data set."""

    training: Mapping[str, Any]
    """Values of :class:`LocalizeTrainOptions`."""
    decoding: DecodeOptions = DecodeOptions()


_OF_POINTS = {"batch_size": 2, "learning_rate": 1e-4, "average_warmup": False, "normaliser": 100.0}
_OF_MAPS = {
    "optimizer": "adam",
    "weight_decay": 1e-4,
    "warmup_epochs": 0,
    "average": 0.0,
    "crops": "fixed",
}
RECIPES: dict[tuple[str, str], Recipe] = {
    ("actionformer", "thumos"): Recipe({**_OF_POINTS, "epochs": 35}),
    ("actionformer", "activitynet"): Recipe(
        {
            "epochs": 15,
            "batch_size": 16,
            "learning_rate": 1e-3,
            "average_warmup": False,
            "normaliser": 200.0,
            "smoothing": 0.1,
            "offset_weight": 2.0,
        },
        DecodeOptions(sigma=0.75, voting=0.9, max_segments=100, multiclass=False, min_length=0.001),
    ),
    ("tridet", "thumos"): Recipe(
        {**_OF_POINTS, "epochs": 40, "warmup_epochs": 20, "weight_decay": 0.025},
        DecodeOptions(max_segments=2000),
    ),
    ("gtad", "thumos"): Recipe(
        {**_OF_MAPS, "epochs": 10, "rate_falls": 5, "learning_rate": 4e-5, "batch_size": 8},
        DecodeOptions(sigma=0.46),
    ),
    ("gtad", "activitynet"): Recipe(
        {**_OF_MAPS, "epochs": 10, "rate_falls": 5, "learning_rate": 4e-3, "batch_size": 16, "clip_gradients": 0.0},
        DecodeOptions(sigma=0.8, max_segments=100),
    ),
    ("bmn", "activitynet"): Recipe(
        {**_OF_MAPS, "epochs": 9, "rate_falls": 7, "learning_rate": 1e-3, "batch_size": 16, "clip_gradients": 0.0},
        DecodeOptions(sigma=0.4, gate=(0.5, 0.4), max_segments=100),
    ),
}
"""By head and preset."""


def with_recipe(options: LocalizeTrainOptions, recipe: Preset) -> tuple[LocalizeTrainOptions, DecodeOptions | None]:
    """``options`` with the release's values where they are still the defaults, and how it suppresses.

    Raises:
        OptionError: another recipe, or the official one of a preset that no release has.
    """
    if recipe != "official":
        return with_preset(options, recipe, {}), None
    found = RECIPES.get((options.head, options.preset))
    if found is None:
        presets = " or ".join(preset for head, preset in RECIPES if head == options.head)
        problem = f"the recipe is the official one, but preset is {options.preset!r}"
        raise OptionError(problem, cure=f"choose preset {presets}, or leave the recipe out")
    return with_preset(options, recipe, found.training), found.decoding
