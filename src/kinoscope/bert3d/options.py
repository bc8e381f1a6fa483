"""What a head is and how a recogniser is trained; no PyTorch needed to read these."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from ..engine.presets import Preset, require_known, with_preset
from ..errors import OptionError
from ..video.streams import STREAMS, Stream

HeadName = Literal[
    "bert", "tgap", "wide", "concat", "concat-fc", "lstm", "convgru", "non-local", "attention-pool", "bert-late"
]
HEADS: tuple[HeadName, ...] = get_args(HeadName)
Initialization = Literal["bert5", "bert2"]
Positions = Literal["learned", "sinusoidal", "none"]
Readout = Literal["class-token", "mean"]
Optimizer = Literal["adamw", "sgd"]
Schedule = Literal["cosine", "plateau", "constant"]
Select = Literal["best", "last"]

_OFFICIAL_HEAD = {"dropout": 0.8, "initialization": "bert5", "normalize": False}
_OFFICIAL = {
    "epochs": 200,
    "batch_size": 8,
    "accumulate": 16,
    "learning_rate": 1e-5,
    "encoder_rate": 1.0,
    "schedule": "plateau",
    "warmup": 0.0,
    "decay_all": True,
}
_OFFICIAL_BASELINE = {"optimizer": "sgd", "learning_rate": 1e-2, "dampening": 0.9}
"""Of the mean over time, tgap."""
_OFFICIAL_I3D = {"dropout": 0.8}
"""I3D keeps normalised tokens and the positions that go with them (sheet, section 2)."""
_PLATEAU_FACTOR = 0.1
_MOST_LAYERS = 64
_REDUCED = 256
_WIDEST = 1 << 16


@dataclass(frozen=True)
class HeadOptions:
    """What makes a feature of the tokens of a clip, and how large it is."""

    head: HeadName = "bert"
    """bert; tgap: the mean over time; wide: the mean and a hidden layer; concat, concat-fc: all tokens in a row; lstm,
    convgru; non-local; attention-pool: a learned query; bert-late: one for each pathway of slowfast-50-late."""
    layers: int = 1
    """bert: transformer layers."""
    heads: int = 8
    """bert, attention-pool: attention heads."""
    hidden: int | None = None
    """Width of the hidden layer of the others; by default as many parameters as bert has."""
    reduce: int | None = None
    """Channels that a linear layer reduces tokens to, whatever the head; 0: none. By default 256 where features of a
    frozen encoder are wider."""
    normalize: bool = True
    """L2-normalise each token first, whatever the head: as the released I3D models do. On frozen features the head
    learns order far better with it (docs/results.md)."""
    slow_width: int = 512
    """bert-late: channels of the slow pathway; 2048 without a reduction."""
    initialization: Initialization = "bert2"
    """bert: bert2 as for I3D, with positions as large as normalised tokens; or bert5 as for the other backbones."""
    positions: Positions = "learned"
    """bert: learned, sinusoidal or none."""
    readout: Readout = "class-token"
    """bert: class-token, or mean of the tokens."""
    keep: float = 0.8
    """bert: in training each token can be looked at with this probability."""
    head_dropout: float = 0.1
    """bert: inside the head."""
    dropout: float = 0.5
    """Before the classifier; 0.8 is published."""

    def __post_init__(self) -> None:
        require_known(self, head=HeadName, initialization=Initialization, positions=Positions, readout=Readout)
        for name in ("layers", "heads", "hidden", "slow_width"):
            value = getattr(self, name)
            if value is not None and not 1 <= value <= _WIDEST:
                raise OptionError(f"{name} is {value}, but must lie between 1 and {_WIDEST}", cure="leave it out")
        if self.layers > _MOST_LAYERS:
            raise OptionError(f"layers is {self.layers}, but must be at most {_MOST_LAYERS}")
        if self.reduce is not None and not 0 <= self.reduce <= _WIDEST:
            raise OptionError(
                f"reduce is {self.reduce}, but must lie between 0 and {_WIDEST}", cure="0 reduces nothing"
            )
        for name, share in (("head_dropout", self.head_dropout), ("dropout", self.dropout)):
            if not 0 <= share < 1:
                raise OptionError(f"{name} is {share}, but must lie from 0 to below 1")
        if not 0 < self.keep <= 1:
            raise OptionError(f"keep is {self.keep}, but must be above 0 and at most 1", cure="0.8 is published")


def head_for_frozen(head: HeadOptions, width: int) -> HeadOptions:
    """The head's options for features of ``width`` channels: wide ones are reduced where nothing else is said."""
    return replace(head, reduce=_REDUCED) if head.reduce is None and width > _REDUCED else head


@dataclass(frozen=True)
class RecognizeOptions:
    """The recipe. What is published is the preset official (sheet, section 8)."""

    epochs: int = 60
    """Passes over the training clips."""
    batch_size: int = 32
    """Clips per batch."""
    accumulate: int = 1
    """Batches whose gradients make one update."""
    optimizer: Optimizer = "adamw"
    """adamw; or sgd with momentum 0.9."""
    dampening: float = 0.0
    """Of sgd: the published baseline has 0.9, which makes its steps ten times smaller."""
    learning_rate: float = 1e-3
    """Of the head."""
    encoder_rate: float = 0.05
    """Of a fine-tuned encoder, as a share of the head's."""
    weight_decay: float = 1e-3
    """Decoupled, of weight matrices and kernels."""
    decay_all: bool = False
    """Weight decay also for norms, biases, positions and class token."""
    schedule: Schedule = "cosine"
    """cosine to zero; plateau: a tenth after ``patience`` epochs without a better validation loss; constant."""
    warmup: float = 0.05
    """Share of the updates in which the rate rises from zero."""
    patience: int = 5
    """Epochs of plateau."""
    smoothing: float = 0.0
    """Of labels."""
    select: Select = "best"
    """Keep the weights of the epoch that is best on validation clips, or the last; without validation the last."""
    validation_share: float = 0.2
    """Of training clips that choose the epoch, where the labels mark none for it."""
    seed: int = 0
    """Everything random follows from it."""

    def __post_init__(self) -> None:
        require_known(self, optimizer=Optimizer, schedule=Schedule, select=Select)
        for name, least in (("epochs", 1), ("batch_size", 1), ("accumulate", 1), ("patience", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise OptionError(f"{name} is {getattr(self, name)}, but must be at least {least}")
        for name in ("learning_rate", "encoder_rate"):
            if not 0 < getattr(self, name) < math.inf:
                raise OptionError(f"{name} is {getattr(self, name)}, but must be a positive number")
        for name in ("dampening", "warmup", "smoothing", "validation_share"):
            if not 0 <= getattr(self, name) < 1:
                raise OptionError(f"{name} is {getattr(self, name)}, but must lie from 0 to below 1")
        if not 0 <= self.weight_decay < math.inf:
            raise OptionError(f"weight_decay is {self.weight_decay}, but must be at least 0")

    def with_preset(self, preset: Preset, head: HeadName = "bert") -> RecognizeOptions:
        """These options, with the preset's values for a ``head`` wherever they are still the defaults."""
        return with_preset(self, preset, _OFFICIAL | (_OFFICIAL_BASELINE if head == "tgap" else {}))

    def identity(self) -> dict[str, Any]:
        """What decides the result, beside the options of the loop."""
        return {name: value for name, value in asdict(self).items() if name not in ("epochs", "batch_size", "seed")}


@dataclass(frozen=True)
class ClipTraining:
    """What clips a fine-tuned encoder sees; the encoder's own where nothing is given."""

    frames: int | None = None
    """Samples in a clip; 64 for i3d-k400."""
    clip_fps: float | None = None
    """Samples per second."""
    clip_size: int | None = None
    """Side of what the network sees, in pixels."""
    stream: Stream = "rgb"
    """What of a clip a fresh backbone sees; an encoder has its own."""
    width: float = 1.0
    """Of a fresh backbone: its channels are multiplied by it."""
    reduction: Literal["none", "frmb", "frab"] = "none"
    """frmb: a narrower block in the place of the encoder's last; frab: after it; of i3d-k400 and fresh backbones."""

    def __post_init__(self) -> None:
        if self.stream not in STREAMS:
            raise OptionError(f"stream is {self.stream!r}", cure=f"one of: {', '.join(STREAMS)}")
        for name in ("frames", "clip_fps", "clip_size", "width"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise OptionError(f"{name} is {value}, but must be a positive number", cure="leave it out")


def head_with_preset(head: HeadOptions, preset: Preset, backbone: str = "") -> HeadOptions:
    """The head's options, with the preset's values for a ``backbone`` wherever they are still the defaults."""
    return with_preset(head, preset, _OFFICIAL_I3D if backbone.startswith("i3d") else _OFFICIAL_HEAD)


def warm_cosine(step: int, total: int, warmup: float, schedule: Schedule) -> float:
    """Factor on the rates at update ``step`` of ``total``: a linear rise, then half a cosine (or no change)."""
    rising = max(1, round(warmup * total)) if warmup > 0 else 0
    factor = min(1.0, (step + 1) / rising) if rising else 1.0
    if schedule != "cosine":
        return factor
    return factor * 0.5 * (1 + math.cos(math.pi * max(0, step - rising) / max(1, total - rising)))


def plateau_factor(drops: int) -> float:
    """Factor on the rates after so many plateaus."""
    return _PLATEAU_FACTOR**drops
