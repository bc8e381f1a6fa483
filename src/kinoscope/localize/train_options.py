"""How a localisation head is trained."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Literal, get_args

from ..engine.presets import require_known
from ..errors import OptionError
from ..sola.options import SolaOptions
from .map_options import BmnOptions, GTadOptions, MapOptions
from .options import ActionFormerOptions, HeadName, TriDetOptions, at_least, between, levels_for

SolaMode = Literal["none", "two-stage", "joint", "unified"]
"""Where SoLa is trained: nowhere (features as they are); before the head; with the head by both losses; with the head
by the head's loss alone, which the paper calls unified."""

_PRESETS = {
    "actionformer": ("small", "thumos", "activitynet"),
    "gtad": ("small", "thumos", "activitynet"),
    "bmn": ("small", "activitynet"),
    "tridet": ("small", "thumos"),
}
_OF_POINTS = ("levels", "radius", "smoothing", "offset_weight", "normaliser")
"""Options without meaning for heads that score maps."""
_WARMUP = 5  # epochs


@dataclass(frozen=True)
class LocalizeTrainOptions:
    """Training of the head; the defaults are for tens of videos and a few minutes on two CPU cores."""

    head: HeadName = "actionformer"
    """actionformer and tridet look for segments of any length around points of a pyramid; gtad and bmn score a map of
    segments that begin and end at feature rows."""
    preset: Literal["small", "thumos", "activitynet"] = "small"
    """The head's size: up to a million parameters; or that of the official release for a data set."""
    width: int | None = None
    """Channels inside the head; none: the preset's."""
    levels: int | None = None
    """Levels of the pyramid; none: as many as the lengths of the training segments ask for (``small``), or 6."""
    causal: bool = False
    """The head sees no later row than the one it answers at, so that a stream can be followed; actionformer, small."""
    epochs: int = 60
    """Passes over the training videos, warm-up included."""
    batch_size: int = 4
    """Videos per update."""
    optimizer: Literal["adamw", "adam"] = "adamw"
    """adamw decays the weights of convolutions by themselves; adam makes the decay of all parameters part of the
    gradient, as G-TAD's and BMN's releases do."""
    learning_rate: float = 1e-3
    """Largest rate; linear warm-up, then a cosine down to nearly 0."""
    rate_falls: int | None = None
    """Instead of the cosine: the rate stays, and falls to a tenth after this many epochs."""
    warmup_epochs: int | None = None
    """Epochs in which the rate rises; none: 5, or half of the epochs where these are fewer than 10."""
    weight_decay: float = 0.05
    """See optimizer."""
    average: float = 0.999
    """Decay of the moving average of the weights; the average is the model that is kept."""
    average_warmup: bool = True
    """Start with a short average: the decay is at most (1 + k) / (10 + k) after update k, which short runs need."""
    clip_gradients: float = 1.0
    """Largest norm of the gradient; 0: any."""
    max_length: int = 2304
    """Most rows of a training crop."""
    crops: Literal["random", "fixed"] = "random"
    """What an epoch shows: a random stretch of each video; or all windows that the head looks through in use (where it
    resizes videos: each video) and that hold nine tenths of a segment; gtad and bmn."""
    crop_keep: float = 0.5
    """A segment stays in a crop if this share of it is in view."""
    radius: float = 1.5
    """Points within this many strides of a segment's centre learn it."""
    smoothing: float = 0.0
    """Label smoothing."""
    offset_weight: float = 1.0
    """Weight of the boundary loss; 0 or less balances both losses."""
    normaliser: float = 20.0
    """Initial guess of the positive points per batch, by which losses are divided."""
    validate_every: int = 10
    """Epochs between validations."""
    seed: int = 0
    """Everything random follows from it."""

    def __post_init__(self) -> None:
        if self.head not in _PRESETS:
            raise OptionError(f"head is {self.head!r}", cure=f"choose {', '.join(_PRESETS)}")
        if self.preset not in _PRESETS[self.head]:
            problem = f"preset is {self.preset!r}, but head is {self.head!r}"
            raise OptionError(problem, cure=f"choose {' or '.join(_PRESETS[self.head])}")
        for name in ("epochs", "batch_size", "max_length"):
            at_least(name, getattr(self, name), 1)
        require_known(self, optimizer=Literal["adamw", "adam"], crops=Literal["random", "fixed"])
        for name in ("weight_decay", "validate_every", "clip_gradients"):
            at_least(name, getattr(self, name), 0)
        for name in ("learning_rate", "normaliser", "radius"):
            at_least(name, getattr(self, name), 1e-12)
        between("average", self.average, 0, 1)
        between("crop_keep", self.crop_keep, 0, 1)
        between("smoothing", self.smoothing, 0, 1)
        at_least("warmup_epochs", self.warmup, 0)
        if self.warmup >= self.epochs:
            raise OptionError(
                f"warmup_epochs {self.warmup} leave nothing of epochs {self.epochs}",
                cure="lower warmup_epochs or raise epochs",
            )
        if self.rate_falls is not None:
            between("rate_falls", self.rate_falls, self.warmup, self.epochs)
        if self.crops == "fixed" and self.head not in ("gtad", "bmn"):
            cure = "choose random, or gtad or bmn"
            raise OptionError(f"crops is 'fixed', but head is {self.head!r}, which takes any stretch", cure=cure)
        if self.causal and (self.head, self.preset) != ("actionformer", "small"):
            problem = f"causal is given, but head is {self.head!r} and preset {self.preset!r}"
            raise OptionError(problem, cure="only actionformer in its small preset can be causal")
        if self.width is not None:
            at_least("width", self.width, 4)
        if self.levels is not None:
            between("levels", self.levels, 1, 12)
            if self.preset == "activitynet":
                raise OptionError("levels is given, but preset activitynet has 6", cure="leave it out")
        defaults = {field.name: field.default for field in fields(self)}
        changed = [name for name in _OF_POINTS if getattr(self, name) != defaults[name]]
        if self.head in ("gtad", "bmn") and changed:
            problem = f"{', '.join(changed)} {'are' if len(changed) > 1 else 'is'} given, but head is {self.head!r}"
            raise OptionError(problem, cure="leave it out, or choose another head")

    @property
    def warmup(self) -> int:
        """Epochs in which the rate rises, also where none were given."""
        return min(_WARMUP, self.epochs // 2) if self.warmup_epochs is None else self.warmup_epochs

    def head_options(self, input_width: int, classes: int, lengths: list[float]) -> ActionFormerOptions | MapOptions:
        """The head for features of ``input_width`` and training segments of these ``lengths``, in grid units."""
        if self.head in ("gtad", "bmn"):
            return self._map_options(input_width, classes, lengths)
        kind = TriDetOptions if self.head == "tridet" else ActionFormerOptions
        if self.preset == "activitynet":
            options = kind.activitynet(input_width, classes)
            return replace(options, width=self.width or options.width)
        if self.preset == "thumos":
            width, levels = self.width or 512, self.levels or 6
            options = kind.thumos(input_width, classes)
            return replace(options, width=width, branch_blocks=levels - 1, ranges=(), max_length=self.max_length)
        levels = self.levels or levels_for(lengths)
        return replace(kind.small(input_width, classes, levels=levels, width=self.width or 128), causal=self.causal)

    def _map_options(self, input_width: int, classes: int, lengths: list[float]) -> MapOptions:
        kind = GTadOptions if self.head == "gtad" else BmnOptions
        if self.preset != "small" and input_width % kind.groups:
            problem = (
                f"features have {input_width} channels, but the released {self.head} takes multiples of {kind.groups}"
            )
            raise OptionError(problem, cure="choose preset small, or features of another encoder")
        if self.preset == "small":
            options: MapOptions = kind.small(input_width, classes, lengths)
        elif self.preset == "thumos":
            options = GTadOptions.thumos(input_width, classes)
        else:
            options = kind.activitynet(input_width, classes)
        if options.fit == "windows" and self.max_length != type(self).max_length:
            problem = f"max_length is given, but {self.head} looks through windows of {options.rows} rows"
            raise OptionError(problem, cure="leave it out")
        return replace(options, width=self.width or options.width)


def rate_factor(step: int, total: int, warmup: int, floor: float, falls: int | None = None) -> float:
    """The learning rate of update ``step``, as a factor on the base rate (specification section 1.7).

    Linear from 0, reached at step ``warmup`` − 1 and again at ``warmup``; then a cosine to ``floor`` at ``total``, or,
    if it ``falls`` at a step, 1 and a tenth from there on.
    """
    if step < warmup:
        return step / max(warmup - 1, 1)
    if falls is not None:
        return 1.0 if step < falls else 0.1
    progress = (step - warmup) / max(total - warmup, 1)
    return floor + 0.5 * (1 - floor) * (1 + math.cos(math.pi * progress))


def check_sola(mode: SolaMode, options: SolaOptions, weight: float, *, end_to_end: bool = False) -> None:
    """Raise :class:`OptionError` for a mode that does not exist, and for options that the mode has no use for.

    Args:
        end_to_end: the encoder learns, too; SoLa is for frozen features.
    """
    if mode not in get_args(SolaMode):
        raise OptionError(f"sola is {mode!r}", cure=f"choose {', '.join(get_args(SolaMode))}")
    if end_to_end and mode != "none":
        raise OptionError(f"the encoder is trained end to end, but sola is {mode!r}", cure="choose one of the two")
    changed = [field.name for field in fields(SolaOptions) if getattr(options, field.name) != field.default]
    if mode == "none" and changed:
        problem = f"{', '.join(changed)} {'belong' if len(changed) > 1 else 'belongs'} to SoLa, but sola is 'none'"
        raise OptionError(problem, cure="choose a sola (two-stage, joint or unified), or leave these away")
    if not 0 <= weight < math.inf:
        raise OptionError(f"sola_weight is {weight}, but must be a number from 0 on")
    if mode != "joint" and weight != 1:
        cure = "choose sola joint, or leave sola_weight away"
        raise OptionError(f"sola_weight weighs losses that are trained together, but sola is {mode!r}", cure=cure)
