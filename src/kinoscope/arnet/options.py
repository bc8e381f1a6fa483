"""What an AR-Net is made of and how it is trained; no PyTorch needed to read these."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from ..engine.presets import Preset, require_known, with_preset
from ..errors import OptionError
from .actions import Actions

Family = Literal["efficientnet-lite", "resnet"]
Kernel = Literal["area", "bilinear", "nearest"]
UniformNorm = Literal["l2", "l1", "entropy"]
StateRule = Literal["clean", "official"]
Optimizer = Literal["adamw", "sgd"]
Schedule = Literal["cosine", "constant"]
Select = Literal["best", "last"]

FAMILIES: dict[Family, tuple[tuple[str, ...], str]] = {
    "efficientnet-lite": (("efficientnet-lite2", "efficientnet-lite1", "efficientnet-lite0"), "efficientnet-lite0"),
    "resnet": (("resnet50", "resnet34", "resnet18"), "mobilenet-v2"),
}
"""Backbones, largest first, and the network of the policy."""
_MOST_FRAMES = 256


@dataclass(frozen=True)
class ArNetOptions:
    """Which networks see which frames at which sizes."""

    family: Family = "efficientnet-lite"
    """efficientnet-lite: weights for it are fetched; resnet: ResNet-50/34/18 and MobileNetV2 as published, which begin
    with fresh weights unless --weights names checkpoints."""
    backbones: tuple[str, ...] | None = None
    """Networks of single frames, one for each size, if not the family's."""
    policy: str | None = None
    """The policy's network, if not the family's."""
    sizes: tuple[int, ...] = (224, 168, 112)
    """Pixels of the side for each backbone, largest first."""
    policy_size: int = 84
    """Pixels of the side that the policy sees."""
    skips: tuple[int, ...] = (1, 2, 4)
    """Frames that each skip action drops."""
    segments: int = 16
    """Candidate frames of a video, one in the middle of each of as many segments."""
    kernel: Kernel = "area"
    """How frames become small: area averages what a pixel covers; bilinear; nearest takes single ones, as released."""
    crop: float = 0.875
    """Share of the short side that the central square keeps; 224 of 256 is published, 1 keeps all of it."""
    state: StateRule = "clean"
    """What the policy remembers of frames that it skips: clean, nothing; official, as in the released code, where they
    leak into its memory, so that they would have to be looked at."""
    hidden: int = 256
    """Width of the policy's memory; 512 is published."""
    dropout: float = 0.5
    """Of features, in training."""

    def __post_init__(self) -> None:
        require_known(self, family=Family, kernel=Kernel, state=StateRule)
        self.actions  # noqa: B018 - checks the sizes and the skips
        if len(self.nets) != len(self.sizes):
            problem = f"{len(self.nets)} backbones ({', '.join(self.nets)}) for {len(self.sizes)} sizes"
            raise OptionError(problem, cure="name one backbone for each of --sizes: --backbones a,b")
        _within("segments", self.segments, 1, _MOST_FRAMES)
        _within("hidden", self.hidden, 1, 1 << 14)
        if not 0.1 <= self.crop <= 1:
            raise OptionError(f"crop is {self.crop}, but must lie from 0.1 to 1", cure="0.875 is published")
        if not 0 <= self.dropout < 1:
            raise OptionError(f"dropout is {self.dropout}, but must lie from 0 to below 1")

    @property
    def actions(self) -> Actions:
        """What the policy can choose."""
        return Actions(tuple(self.sizes), self.policy_size, tuple(self.skips))

    @property
    def nets(self) -> tuple[str, ...]:
        """Names of the backbones."""
        return tuple(self.backbones) if self.backbones else FAMILIES[self.family][0][: len(self.sizes)]

    @property
    def policy_net(self) -> str:
        """Name of the policy's network."""
        return self.policy or FAMILIES[self.family][1]

    @property
    def views(self) -> tuple[tuple[str, int], ...]:
        """(network, pixels) of every backbone and, last, of the policy."""
        return (*zip(self.nets, self.sizes, strict=True), (self.policy_net, self.policy_size))


@dataclass(frozen=True)
class ArNetTraining:
    """The three stages. What is published is the preset official (sheet, sections 4 and 5)."""

    single_epochs: int = 20
    """Of the first stage: each backbone alone at its size. 10 is published."""
    joint_epochs: int = 50
    """Of the second: the policy and all backbones together. 50 is published."""
    tune_epochs: int = 20
    """Of the third: the backbones, while the policy stays as it is; 0 leaves it out. 50 is published."""
    passes: int | None = None
    """How often every video is seen in an epoch: 1 is published. By default often enough for 12 updates, so that few
    videos are learned from as thoroughly as many."""
    single_rate: float = 2e-3
    """Learning rate of the first stage; 0.02 is published, for SGD."""
    joint_rate: float = 1e-3
    """Of the second; 0.001 is published, for SGD."""
    tune_rate: float = 5e-4
    """Of the third; 0.0005 is published, for SGD."""
    batch_size: int = 32
    """Videos in a batch; 48 is published."""
    accumulate: int = 1
    """Batches whose gradients make one update."""
    alpha: float = 0.1
    """Weight of what saves computation, against accuracy: higher is cheaper. The released script has 0.05."""
    uniform_weight: float = 3.0
    """Weight of L_uni beside L_flops, so that the paper's beta is alpha times this: higher spreads the actions."""
    uniform_norm: UniformNorm = "l2"
    """Of L_uni: l2 as released, l1 as in the paper, entropy."""
    costs: Literal["relative", "gmac"] = "relative"
    """What L_flops counts: gmac, as published; relative, scaled so that the largest backbone counts as ResNet-50 does,
    and alpha means the same for every family."""
    tau: float = 5.0
    """Temperature of the Gumbel-Softmax in the first epoch of the second stage."""
    tau_end: float = 0.5513
    """And in its last epoch; in between it decays exponentially. 5 to 0.5513 in 50 epochs is published."""
    tune_choices: Literal["most-probable", "sampled"] = "most-probable"
    """What the backbones are tuned on in the third stage: what the policy will do when it is used, or draws of it, as
    published."""
    optimizer: Optimizer = "adamw"
    """adamw; or sgd with momentum 0.9, as published, whose rates suit backbones that learn."""
    weight_decay: float = 1e-4
    """Not of biases and norms."""
    head_multiplier: float = 1.0
    """Rates of linear layers are multiplied by it; biases by twice as much. 5 is published."""
    encoder_rate: float = 0.1
    """With --finetune: rates of the networks' convolutions are multiplied by it. 1 is published."""
    clip_gradients: float = 20.0
    """Largest norm of the gradient."""
    schedule: Schedule = "cosine"
    """Of each stage: cosine to zero, or constant, as published."""
    select: Select = "last"
    """Weights that a stage ends with: those of its last epoch, or those that are best on validation videos (published;
    of few videos they are often from before the policy had learned anything)."""
    views: int = 4
    """Of frozen networks: how often a training video is looked at, with other frames, crops and flips each time."""
    flip: float = 0.5
    """Probability that the frames of a training video are mirrored."""
    validation_share: float = 0.2
    """Of training videos that choose, where the labels mark none for it; the curve of costs is measured on them."""
    seed: int = 0
    """Everything random follows from it; 1007 is published."""

    def __post_init__(self) -> None:
        require_known(self, uniform_norm=UniformNorm, optimizer=Optimizer, schedule=Schedule, select=Select)
        if self.costs not in ("relative", "gmac") or self.tune_choices not in ("most-probable", "sampled"):
            raise OptionError(f"costs is {self.costs!r}, tune_choices {self.tune_choices!r}", cure="see --help")
        for name, least in (
            *(("single_epochs", 1), ("joint_epochs", 1), ("tune_epochs", 0), ("passes", 1)),
            *(("batch_size", 1), ("accumulate", 1), ("views", 1), ("seed", 0)),
        ):
            value = getattr(self, name)
            if value is not None and value < least:
                raise OptionError(f"{name} is {value}, but must be at least {least}")
        for name in (
            *("single_rate", "joint_rate", "tune_rate", "tau", "tau_end", "head_multiplier", "encoder_rate"),
            "clip_gradients",
        ):
            if not 0 < getattr(self, name) < math.inf:
                raise OptionError(f"{name} is {getattr(self, name)}, but must be a positive number")
        for name in ("uniform_weight", "weight_decay"):
            if not 0 <= getattr(self, name) < math.inf:
                raise OptionError(f"{name} is {getattr(self, name)}, but must be at least 0")
        if not 0 <= self.alpha < 1 or not 0 <= self.flip <= 1 or not 0 <= self.validation_share < 1:
            problem = f"alpha is {self.alpha}, flip {self.flip}, validation_share {self.validation_share}"
            raise OptionError(problem, cure="they are shares, from 0 to (alpha and validation_share: below) 1")

    def with_preset(self, preset: Preset) -> ArNetTraining:
        """These options, with the preset's values wherever they are still the defaults."""
        return with_preset(self, preset, _OFFICIAL)

    def resolved(self, videos: int) -> ArNetTraining:
        """With the passes of an epoch, where they are not given."""
        if self.passes is not None:
            return self
        return replace(self, passes=max(1, math.ceil(_LEAST_UPDATES * self.batch_size / videos)))

    def identity(self) -> dict[str, Any]:
        """What decides the result, beside the options of the loop."""
        return {name: value for name, value in asdict(self).items() if name not in ("batch_size", "seed", "accumulate")}


_LEAST_UPDATES = 12
"""Of an epoch."""
_OFFICIAL: dict[str, Any] = {
    "single_epochs": 10,
    "joint_epochs": 50,
    "tune_epochs": 50,
    "passes": 1,
    "batch_size": 48,
    "single_rate": 0.02,
    "joint_rate": 1e-3,
    "tune_rate": 5e-4,
    "costs": "gmac",
    "tune_choices": "sampled",
    "optimizer": "sgd",
    "head_multiplier": 5.0,
    "encoder_rate": 1.0,
    "schedule": "constant",
    "select": "best",
    "seed": 1007,
}
_OFFICIAL_NETS: dict[str, Any] = {"kernel": "nearest", "hidden": 512, "family": "resnet"}


def options_with_preset(options: ArNetOptions, preset: Preset) -> ArNetOptions:
    """The networks' options, with the preset's values wherever they are still the defaults."""
    return with_preset(options, preset, _OFFICIAL_NETS)


def _within(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise OptionError(f"{name} is {value}, but must lie between {low} and {high}")
