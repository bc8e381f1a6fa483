"""Options of pretraining; preset ``official`` has the values of the released code (specification, sections 2 to 6)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from ..errors import OptionError

Method = Literal["infonce", "ubernce", "coclr"]
Second = Literal["flow", "difference", "jitter"]
"""The second stream: optical flow, frame differences, or the same pictures in other colours."""

_PRESETS: dict[str, dict[str, Any]] = {
    "official": {
        "backbone": "s3d",
        "width": 1.0,
        "frames": 32,
        "fps": 25.0,
        "size": 128,
        "batch_size": 32,
        "epochs": 300,
        "cotrain_epochs": 100,
        "queue": 2048,
        "momentum": 0.999,
        "learning_rate": 1e-3,
    },
    "small": {
        "backbone": "s3d",
        "width": 0.25,
        "frames": 16,
        "fps": 12.5,
        "size": 64,
        "batch_size": 16,
        "epochs": 60,
        "cotrain_epochs": 20,
        "queue": 512,
        "momentum": 0.99,
        "learning_rate": 5e-4,
    },
}
_DROPS = {"init": (250 / 300, 280 / 300), "cotrain": (80 / 100,)}
"""Where in a stage the learning rate falls to a tenth, as shares of its epochs (specification, section 5)."""


@dataclass(frozen=True)
class PretrainOptions:
    """The network, the schedule and the loss."""

    preset: Literal["auto", "official", "small"] = "auto"
    """Fills what is not given. official: full S3D, 32 frames of 128 px at 25 per second, 300 and 100 epochs. small: S3D
    at a quarter of the width, 16 frames of 64 px at 12.5 per second, 60 and 20 epochs, half the learning rate. auto:
    official on a GPU, small on a CPU."""
    backbone: str | None = None
    """s3d, s3d-g, i3d, resnet2d3d-50, r2plus1d-18, …: s3d is the published one."""
    width: float | None = None
    """Factor on the channels of the backbone."""
    normalization: Literal["batch", "sync", "group"] = "batch"
    """Normalisation layers: batch norm (with keys shuffled between devices), the same over all devices, or group norm,
    which needs neither."""
    frames: int | None = None
    """Frames of a clip."""
    fps: float | None = None
    """Sampled frames per second of video."""
    size: int | None = None
    """Pixels: clips are size × size."""
    epochs: int | None = None
    """Epochs of each InfoNCE or UberNCE stage; an epoch is one pair of clips per video."""
    cotrain_epochs: int | None = None
    """Epochs of each co-training stage."""
    cycles: int = 2
    """Of co-training: in each, the second stream mines for RGB, then RGB for the second stream. A frozen encoder
    mines once."""
    batch_size: int | None = None
    """Videos per update, over all devices together."""
    learning_rate: float | None = None
    """Of Adam; falls to a tenth at 5/6 and 14/15 of an InfoNCE stage, at 4/5 of a co-training stage."""
    weight_decay: float = 1e-5
    """Of Adam."""
    temperature: float = 0.07
    """T, by which similarities are divided."""
    dim: int = 128
    """Channels of the projection that the loss compares."""
    head: Literal["plain", "centred"] = "plain"
    """The projection's network: the published one, or one with batch norm, whose projections cannot become equal."""
    momentum: float | None = None
    """Of the key encoder."""
    queue: int | None = None
    """Slots of the memory queue; at most as many as there are videos."""
    topk: int = 5
    """Positives that the other stream mines per clip; 0 mines none."""
    self_drop: float = 0.9
    """Probability per update that a clip's own key is no positive where it has others."""
    mutual: bool = False
    """Keep only mined positives that are also among the nearest in the trained stream."""
    seed: int = 0
    """Everything random follows from it."""

    def __post_init__(self) -> None:
        if self.preset not in ("auto", *_PRESETS):
            raise OptionError(f"preset is {self.preset!r}", cure="choose auto, official or small")
        if self.head not in ("plain", "centred"):
            raise OptionError(f"head is {self.head!r}", cure="choose plain or centred")
        least = {"frames": 8, "size": 32, "epochs": 1, "cotrain_epochs": 1, "cycles": 1, "batch_size": 1, "dim": 1}
        for name, bound in {**least, "queue": 1, "topk": 0, "seed": 0}.items():
            value = getattr(self, name)
            if value is not None and value < bound:
                raise OptionError(f"{name} is {value}, but must be at least {bound}")
        for name in ("width", "fps", "learning_rate", "temperature"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise OptionError(f"{name} is {value}, but must be a positive number")
        for name in ("self_drop", "momentum"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise OptionError(f"{name} is {value}, but must lie between 0 and 1")
        if not 0 <= self.weight_decay < math.inf:
            raise OptionError(f"weight_decay is {self.weight_decay}, but must be a number from 0 on")

    def resolve(self, videos: int, *, gpu: bool) -> PretrainOptions:
        """Every blank filled in, batch and queue cut to the number of videos.

        A queue with more slots than there are videos would hold most of them several times, so it is cut to the
        largest multiple of the batch that does not exceed the videos.
        """
        preset = self.preset if self.preset != "auto" else ("official" if gpu else "small")
        chosen = {name: value for name, value in _PRESETS[preset].items() if getattr(self, name) is None}
        filled = replace(self, preset=preset, **chosen)
        assert filled.batch_size is not None and filled.queue is not None
        batch = min(filled.batch_size, videos)
        slots = filled.queue if self.queue is not None else min(filled.queue, videos // batch * batch)
        return replace(filled, batch_size=batch, queue=slots)

    @classmethod
    def presets(cls) -> dict[str, dict[str, Any]]:
        """What each preset sets, for documents and tests."""
        return {name: dict(values) for name, values in _PRESETS.items()}

    def stage_identity(self, method: Method) -> dict[str, Any]:
        """The options that a stage's weights depend on, whatever the rest of the schedule is."""
        apart = {"preset", "cycles", "epochs", "cotrain_epochs", "batch_size", "seed"}  # of the plan, or of the loop
        if method != "coclr":
            apart |= {"topk", "self_drop", "mutual"}
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name not in apart}


def rate_factor(step: int, total: int, kind: Literal["init", "cotrain"]) -> float:
    """The learning rate of update ``step`` of ``total``, as a factor: a tenth for each drop that is behind it."""
    return step_decay(step, total, _DROPS[kind])


def step_decay(step: int, total: int, shares: Sequence[float]) -> float:
    """A tenth for each of the ``shares`` of ``total`` updates that lie behind update ``step``."""
    return 0.1 ** sum(step >= round(share * total) for share in shares)
