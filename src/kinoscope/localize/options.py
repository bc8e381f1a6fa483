"""What a localisation head looks like and how its output becomes segments; no PyTorch needed to read these."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any, Literal, TypeVar

import numpy as np

from ..errors import OptionError

OPEN_END = 10000.0
"""Upper end of the topmost regression range, in grid units: longer than any segment."""

HeadName = Literal["actionformer", "gtad", "bmn", "tridet"]
"""Heads that can be trained; their networks stand in ``heads.HEADS``."""

_Options = TypeVar("_Options")


@dataclass(frozen=True)
class ActionFormerOptions:
    """Size and behaviour of an ActionFormer head (Zhang et al., ECCV 2022); the defaults are the THUMOS14 release."""

    input_width: int
    """Channels of the features."""
    classes: int
    """Number of classes."""
    width: int = 512
    """Channels inside the network."""
    heads: int = 4
    """Attention heads; divides ``width``."""
    kernel: int = 3
    """Kernel of every temporal convolution; odd."""
    embedding_convs: int = 2
    """Convolutions that bring the features to ``width``."""
    stem_blocks: int = 2
    """Transformer blocks at full time resolution; the last one's output is level 0."""
    branch_blocks: int = 5
    """Transformer blocks that halve the time resolution; each gives one more level."""
    window: int | tuple[int, ...] = 19
    """Tokens that one token attends to, per level or for all; even w acts as w + 1; 1 or less is global attention."""
    mlp_ratio: int = 4
    """Width of the hidden layer of a block's MLP, as a multiple of ``width``."""
    head_layers: int = 3
    """Convolutions of each prediction head, the output included."""
    ranges: tuple[tuple[float, float], ...] = ()
    """Per level, which distances to the farther boundary it learns, in grid units; empty: doubling from (0, 4)."""
    mask_clean: bool = True
    """Keep padding out of every layer, so that padded and unpadded input agree; off to match official weights."""
    drop_path: float = 0.1
    """Probability of dropping a block's branch for a sample, in training."""
    branch_scale: float = 1e-4
    """Initial factor of every residual branch (LayerScale)."""
    prior: float = 0.01
    """Probability that an untrained class head gives to every class."""
    offset_bias: float = 0.0
    """Initial bias of the offsets, in level strides; above 0 it keeps their ReLU alive from the first step."""
    max_length: int = 2304
    """Rows to which input is padded when ``mask_clean`` is off (the official training length)."""
    fit: Literal["rows", "resize"] = "rows"
    """Every row of a video is looked at; or it comes to ``max_length`` rows as a whole (ActivityNet release)."""
    position_code: bool = False
    """Sinusoids tell each row its place among ``max_length`` ones (ActivityNet and Ego4D releases)."""
    causal: bool = False
    """No output depends on later rows, so that a stream can be followed; points near a segment's end answer for it."""

    def __post_init__(self) -> None:
        # JSON gives lists where tuples are meant.
        if not isinstance(self.window, int):
            object.__setattr__(self, "window", tuple(int(window) for window in self.window))
        ranges = self.ranges or doubling_ranges(self.levels)
        object.__setattr__(self, "ranges", tuple((float(low), float(high)) for low, high in ranges))
        self._check()

    def _check(self) -> None:
        for name in ("input_width", "classes", "width", "heads", "kernel", "stem_blocks", "mlp_ratio", "head_layers"):
            at_least(name, getattr(self, name), 1)
        at_least("embedding_convs", self.embedding_convs, 1)
        at_least("branch_blocks", self.branch_blocks, 0)
        if self.width % self.heads:
            raise OptionError(f"width {self.width} is not a multiple of heads {self.heads}", cure="change one of them")
        if self.kernel % 2 == 0:
            raise OptionError(f"kernel is {self.kernel}, but must be odd", cure=f"take {self.kernel + 1}")
        for name in ("window", "ranges"):
            value = getattr(self, name)
            if isinstance(value, tuple) and len(value) != self.levels:
                raise OptionError(
                    f"{name} has {len(value)} entries, but the pyramid has {self.levels} levels",
                    cure=f"give {self.levels} entries, or leave {name} out",
                )
        if self.fit not in ("rows", "resize"):
            raise OptionError(f"fit is {self.fit!r}", cure="choose rows or resize")
        whole = self.fit == "resize" or self.position_code
        if self.causal and not (self.mask_clean and min(self.windows) > 1 and not whole):
            problem = "a causal head wants local attention, mask_clean, and neither a position code nor resized videos"
            raise OptionError(problem, cure="leave causal out, or choose a window above 1 and mask_clean")
        between("drop_path", self.drop_path, 0.0, 0.99)
        between("prior", self.prior, 1e-6, 0.5)

    @property
    def levels(self) -> int:
        """Levels of the pyramid."""
        return self.branch_blocks + 1

    @property
    def strides(self) -> tuple[int, ...]:
        """Grid units between neighbouring points of each level."""
        return tuple(2**level for level in range(self.levels))

    @property
    def windows(self) -> tuple[int, ...]:
        """Attention window of each level, in tokens of that level."""
        return self.window if isinstance(self.window, tuple) else (self.window,) * self.levels

    @property
    def reach(self) -> int:
        """Rows to either side (a causal head: before it) that an output can depend on, when attention is local."""
        radius, windows = self.kernel - 1 if self.causal else self.kernel // 2, self.windows
        rows = self.embedding_convs * radius + self.stem_blocks * (radius + windows[0] // 2)
        for level in range(1, self.levels):  # the convolutions and the pooling that halve time see the finer level
            rows += max(radius, 2 if self.causal else 1) * 2 ** (level - 1) + windows[level] // 2 * 2**level
        return rows + self.head_layers * radius * self.strides[-1]

    @classmethod
    def thumos(cls, input_width: int = 2048, classes: int = 20) -> ActionFormerOptions:
        """The official THUMOS14 network, padding leaks included: fits the released weights."""
        return cls(input_width, classes, mask_clean=False)

    @classmethod
    def activitynet(cls, input_width: int = 512, classes: int = 1) -> ActionFormerOptions:
        """The official ActivityNet network (specification section 1.9), which proposes segments of any class."""
        return cls(
            input_width,
            classes,
            width=256,
            window=(7, 7, 7, 7, 7, 1),
            mask_clean=False,
            max_length=192,
            fit="resize",
            position_code=True,
        )

    @classmethod
    def small(cls, input_width: int, classes: int, *, levels: int = 5, width: int = 128) -> ActionFormerOptions:
        """A head of about a million parameters that tens of videos and two CPU cores can train."""
        return cls(
            input_width,
            classes,
            width=width,
            stem_blocks=1,
            branch_blocks=levels - 1,
            window=9,
            mlp_ratio=2,
            branch_scale=0.1,
            offset_bias=1.0,
        )


@dataclass(frozen=True)
class TriDetOptions(ActionFormerOptions):
    """Size and behaviour of TriDet (Shi et al., CVPR 2023): ActionFormer's pyramid with other layers and boundaries.

    ``heads``, ``window`` and ``mlp_ratio`` belong to attention and have no meaning here.
    """

    bins: int = 16
    """Points before and after a point among which its boundaries are sought: the farthest is this many strides away."""
    sgp_kernel: int = 1
    """Kernel of the small convolutions of a layer (the paper's w); odd."""
    sgp_ratio: float = 5.0
    """The wide convolution's kernel is (``sgp_kernel`` + 1) times this, rounded up to an odd number."""
    sgp_std: float = 0.1
    """Spread of the initial kernels; at 0, as released, they multiply one another and none ever learns."""
    mlp_width: int = 768
    """Channels of the hidden layer of a block's MLP."""
    norm_groups: int = 16
    """Groups of the norm before the MLP; divides ``width``."""
    noise: float = 0.0
    """Spread of Gaussian noise on the features, in training (release: 5e-4)."""
    quality_power: float = 0.2
    """A positive point's class loss is weighed by its IoU to this power."""
    quality_gradient: bool = False
    """Let that weight's gradient, infinite at an IoU of 0, reach the boundaries, as released."""

    def _check(self) -> None:
        super()._check()
        for name in ("bins", "sgp_kernel", "mlp_width", "norm_groups"):
            at_least(name, getattr(self, name), 1)
        for name in ("sgp_ratio", "sgp_std", "noise", "quality_power"):
            at_least(name, getattr(self, name), 0)
        if self.sgp_kernel % 2 == 0:
            raise OptionError(f"sgp_kernel is {self.sgp_kernel}, but must be odd", cure=f"take {self.sgp_kernel + 1}")
        if self.width % self.norm_groups:
            problem = f"width {self.width} is not a multiple of norm_groups {self.norm_groups}"
            raise OptionError(problem, cure="change one of them")

    @property
    def windows(self) -> tuple[int, ...]:
        """Every level sees the whole sequence, through a mean over time: as global attention."""
        return (1,) * self.levels

    @property
    def wide_kernel(self) -> int:
        """Kernel of a layer's wide convolution; odd."""
        return round((self.sgp_kernel + 1) * self.sgp_ratio) // 2 * 2 + 1

    @classmethod
    def thumos(cls, input_width: int = 2048, classes: int = 20) -> TriDetOptions:
        """The THUMOS14 release, padding leaks and dead kernels included."""
        return cls(input_width, classes, mask_clean=False, sgp_std=0.0, noise=5e-4, quality_gradient=True)

    @classmethod
    def small(cls, input_width: int, classes: int, *, levels: int = 5, width: int = 128) -> TriDetOptions:
        """A head that tens of videos and two CPU cores can train."""
        return cls(
            input_width,
            classes,
            width=width,
            stem_blocks=1,
            branch_blocks=levels - 1,
            branch_scale=0.1,
            bins=8,
            mlp_width=2 * width,
            norm_groups=math.gcd(16, width),
        )


@dataclass(frozen=True)
class DecodeOptions:
    """From the head's output to scored segments (section 1.8 of the specification); defaults as for THUMOS14."""

    threshold: float = 0.001
    """Candidates must score higher than this."""
    candidates: int = 2000
    """Candidates kept per level and video."""
    min_length: float = 0.05
    """Shorter candidates are dropped, in grid units."""
    method: Literal["hard", "zero", "linear", "gaussian"] = "gaussian"
    """Suppression: ``hard`` removes, the others are soft-NMS."""
    iou_threshold: float = 0.1
    """tIoU from which ``hard``, ``zero`` and ``linear`` act; ``gaussian`` always acts."""
    sigma: float = 0.5
    """Width of the Gaussian decay."""
    min_score: float = 0.001
    """Segments that decay below this are dropped; ``hard`` looks at higher ones only."""
    max_segments: int = 200
    """Segments kept per video, and per class before that."""
    multiclass: bool = True
    """Suppress within each class only; off: all classes compete."""
    voting: float | None = None
    """tIoU from which candidates of the same class vote on a segment's boundaries; none: no voting."""
    voting_weight: Literal["score", "score_iou"] = "score_iou"
    """Weight of a vote: the candidate's score, or that times its tIoU."""
    gate: tuple[float, float] | None = None
    """(a, b): ``gaussian`` acts only from a tIoU of a + b · the chosen segment's share of the video (BMN)."""

    def __post_init__(self) -> None:
        if self.method not in ("hard", "zero", "linear", "gaussian"):
            raise OptionError(f"method is {self.method!r}", cure="choose hard, zero, linear or gaussian")
        if self.voting_weight not in ("score", "score_iou"):
            raise OptionError(f"voting_weight is {self.voting_weight!r}", cure="choose score or score_iou")
        between("threshold", self.threshold, 0.0, 1.0)
        between("iou_threshold", self.iou_threshold, 0.0, 1.0)
        between("sigma", self.sigma, 1e-6, 1e6)
        between("min_length", self.min_length, 0.0, OPEN_END)
        at_least("candidates", self.candidates, 1)
        at_least("max_segments", self.max_segments, 1)
        if self.voting is not None:
            between("voting", self.voting, 1e-6, 1.0)
        if self.gate is not None:
            object.__setattr__(self, "gate", tuple(float(bound) for bound in self.gate))  # JSON gives a list
            self._check_gate()

    def _check_gate(self) -> None:
        if self.method != "gaussian" or self.voting is not None:
            raise OptionError(
                f"gate goes with method gaussian and without voting, not with {self.method} and {self.voting}",
                cure="leave one of them out",
            )


def doubling_ranges(levels: int, first: float = 4.0) -> tuple[tuple[float, float], ...]:
    """(0, 4) (4, 8) (8, 16) …, the last one open: every level learns distances of two to four of its strides."""
    edges = [0.0, *(first * 2**level for level in range(levels - 1)), OPEN_END]
    return tuple(pairwise(edges))


def levels_for(lengths: Sequence[float], *, fewest: int = 3, most: int = 8) -> int:
    """How many levels the pyramid needs for segments of these ``lengths``, in grid units.

    A point at a segment's centre is half the segment away from its boundaries, and level l learns distances up to
    4 · 2^l. The top level is the first that reaches the 95th percentile of the half lengths: fewer levels would have to
    regress long segments from a small field of view, more would see hardly any training segment.
    """
    if not len(lengths):
        return fewest
    reach = float(np.percentile(np.asarray(lengths, dtype=np.float64), 95)) / 2
    needed = 1 + int(np.ceil(np.log2(max(reach, 1e-9) / 4.0)))
    return int(np.clip(needed, fewest, most))


def options_from_dict(kind: type[_Options], values: Mapping[str, Any]) -> _Options:
    """Build the options ``kind`` from a mapping; raises :class:`OptionError` on unknown or missing keys."""
    known = [item.name for item in fields(kind)]  # type: ignore[arg-type]
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            cure = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
            raise OptionError(f"unknown option {key!r} for {kind.__name__}", cure=cure)
    try:
        return kind(**values)
    except (TypeError, ValueError) as error:
        raise OptionError(
            f"{kind.__name__}: {error}", cure="give every required option, with a value of its type"
        ) from error


def at_least(name: str, value: float, bound: float) -> None:
    """Raise :class:`OptionError` unless ``value`` ≥ ``bound``."""
    if not value >= bound:
        raise OptionError(f"{name} is {value}, but must be at least {bound:g}", cure=f"raise {name}")


def between(name: str, value: float, low: float, high: float) -> None:
    """Raise :class:`OptionError` unless ``low`` ≤ ``value`` ≤ ``high``."""
    if not low <= value <= high:
        raise OptionError(f"{name} is {value}, but must lie between {low:g} and {high:g}", cure=f"change {name}")
