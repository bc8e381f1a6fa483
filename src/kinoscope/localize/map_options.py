"""What G-TAD and BMN look like and how they are trained; no PyTorch needed to read these.

Both answer for every segment that a map has a cell for. The options that they share stand in :class:`MapOptions`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..errors import OptionError
from .cells import Axes, CellMap, Window
from .options import at_least, between

_LONGEST = 128
"""Longest segment of a small head, in rows; with longer ones videos are resized as a whole."""


@dataclass(frozen=True)
class MapOptions:
    """A head that scores every cell of a map of segments; the defaults are the ActivityNet releases."""

    input_width: int
    """Channels of the features."""
    classes: int
    """Number of classes; with one class the head proposes segments of whatever is annotated, as in the papers."""
    rows: int = 100
    """Rows of the map: T."""
    durations: int = 100
    """Longest segment, in rows of the map."""
    fit: Literal["resize", "windows"] = "resize"
    """How a video comes to T rows: resized as a whole, or cut into windows that overlap by half."""
    width: int = 256
    """Channels of the convolutions over time."""
    groups: int = 4
    """Groups of the convolutions over time where the papers have them; divides ``input_width`` and ``width``."""
    map_width: int = 512
    """Channels of the map after sampling."""
    map_hidden: int = 128
    """Channels of the map after that."""
    map_kernel: int = 3
    """Kernel of the two convolutions over the map; odd."""
    bins: int = 32
    """Places inside a cell's window that are read."""
    boundary_cell: tuple[float, float] = (-0.5, 1.5)
    """What row i stands for when starts and ends are labelled: from i + the first to i + the second."""
    regression_weight: float = 10.0
    """Weight of the regression of tIoU in the sum of losses."""
    overlap_weight: float = 1.0
    """Weight of the classification of tIoU in the sum of losses."""
    class_weight: float = 1.0
    """Weight of the classes' loss in the sum of losses; without meaning for one class."""
    best_is_sure: bool = False
    """Ours: the best cell of a segment counts as sure to be one, also where rows are too coarse for a tIoU of 0.9."""
    guard: float = 0.0
    """Added to the numbers of positive and negative cells (THUMOS release of G-TAD: 10)."""
    published_sampling: bool = False
    """Regress with the weights of the releases where high cells outnumber others (specification section 7, item 6)."""
    boundary_score: bool = False
    """Multiply a cell's score by those of its start and its end."""
    peaks: bool = False
    """Propose only segments that start and end at a peak of the boundary scores, or where one is high."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "boundary_cell", tuple(float(edge) for edge in self.boundary_cell))  # JSON gives lists
        for name in (
            *("input_width", "classes", "rows", "durations", "width", "groups"),
            *("map_width", "map_hidden", "map_kernel", "bins"),
        ):
            at_least(name, getattr(self, name), 1)
        for name in ("regression_weight", "overlap_weight", "class_weight", "guard"):
            at_least(name, getattr(self, name), 0)
        if self.fit not in ("resize", "windows"):
            raise OptionError(f"fit is {self.fit!r}", cure="choose resize or windows")
        if self.durations > self.rows:
            raise OptionError(f"durations {self.durations} are more than rows {self.rows}", cure="lower durations")
        if self.fit == "windows" and 2 * self.durations > self.rows:
            problem = f"durations {self.durations} are more than half of rows {self.rows}: some segments fit no window"
            raise OptionError(problem, cure="raise rows, lower durations, or choose fit resize")
        for name in ("input_width", "width"):
            if getattr(self, name) % self.groups:
                problem = f"{name} {getattr(self, name)} is not a multiple of groups {self.groups}"
                raise OptionError(problem, cure="change one of them")
        if self.map_kernel % 2 == 0:
            raise OptionError(f"map_kernel is {self.map_kernel}, but must be odd", cure=f"take {self.map_kernel + 1}")
        low, high = self.boundary_cell
        if not low < high:
            raise OptionError(
                f"boundary_cell is {self.boundary_cell}, which is empty", cure="give the lower edge first"
            )

    @property
    def cells(self) -> CellMap:
        """The map."""
        return CellMap(self.rows, self.durations)


@dataclass(frozen=True)
class GTadOptions(MapOptions):
    """Size and behaviour of G-TAD (Xu et al., CVPR 2020)."""

    map_kernel: int = 1
    """Kernel of the two convolutions over the map; odd."""
    graph_width: int = 128
    """Channels inside a graph convolution."""
    graph_groups: int = 32
    """Groups inside a graph convolution; divides ``graph_width``."""
    neighbours: int = 3
    """Rows that a row is joined to in feature space, itself among them."""
    context_bins: int = 4
    """Places inside a cell's window at which the context is read."""
    samples: int = 0
    """Samples in each bin; 0: as many as the bin is rows long."""
    window: Window = "release"
    """The window around a cell: ``release``, or ``opentad``, which is a row longer at its end."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("graph_width", "graph_groups", "context_bins"):
            at_least(name, getattr(self, name), 1)
        at_least("samples", self.samples, 0)
        between("neighbours", self.neighbours, 1, self.rows)
        if self.graph_width % self.graph_groups:
            problem = f"graph_width {self.graph_width} is not a multiple of graph_groups {self.graph_groups}"
            raise OptionError(problem, cure="change one of them")
        if self.window not in ("release", "opentad"):
            raise OptionError(f"window is {self.window!r}", cure="choose release or opentad")

    @classmethod
    def activitynet(cls, input_width: int = 400, classes: int = 1) -> GTadOptions:
        """The network of the ActivityNet release."""
        return cls(input_width, classes, peaks=True)

    @classmethod
    def thumos(cls, input_width: int = 2048, classes: int = 1) -> GTadOptions:
        """The network of the THUMOS14 release, whose weights of both map losses are the reverse of the paper's."""
        return cls(
            input_width,
            classes,
            rows=256,
            durations=64,
            fit="windows",
            map_kernel=3,
            bins=16,
            context_bins=16,
            boundary_cell=(-0.5, 0.5),
            regression_weight=1.0,
            overlap_weight=10.0,
            guard=10.0,
        )

    @classmethod
    def small(cls, input_width: int, classes: int, lengths: Sequence[float] = ()) -> GTadOptions:
        """A head that tens of videos and two CPU cores can train; ``lengths`` of training segments, in grid units."""
        small = _small(lengths)
        return cls(input_width, classes, **small, bins=8, context_bins=4, graph_width=32, graph_groups=8, map_kernel=3)


@dataclass(frozen=True)
class BmnOptions(MapOptions):
    """Size and behaviour of BMN (Lin et al., ICCV 2019)."""

    samples: int = 3
    """Samples in each bin."""
    convention: Literal["standard", "jjboy"] = "standard"
    """Axes and windows: duration and start (OpenTAD, mmaction2); or start and end, with wider windows (JJBOY)."""
    boundary_score: bool = True
    """Multiply a cell's score by those of its start and its end."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least("samples", self.samples, 1)
        at_least("bins · samples", self.bins * self.samples, 2)
        if self.convention not in ("standard", "jjboy"):
            raise OptionError(f"convention is {self.convention!r}", cure="choose standard or jjboy")

    @property
    def cells(self) -> CellMap:
        """The map, by the convention."""
        axes: Axes = "duration_start" if self.convention == "standard" else "start_end"
        return CellMap(self.rows, self.durations, axes)

    @property
    def window(self) -> Window:
        """The window around a cell."""
        return "release" if self.convention == "standard" else "jjboy"

    @classmethod
    def activitynet(cls, input_width: int = 400, classes: int = 1) -> BmnOptions:
        """The network of the PyTorch release by JJBOY."""
        return cls(input_width, classes, convention="jjboy")

    @classmethod
    def small(cls, input_width: int, classes: int, lengths: Sequence[float] = ()) -> BmnOptions:
        """A head that tens of videos and two CPU cores can train; ``lengths`` of training segments, in grid units."""
        return cls(input_width, classes, **_small(lengths), bins=12, samples=2)


def _small(lengths: Sequence[float]) -> dict[str, Any]:
    """Windows twice as long as the longest segment, so that some window holds it whole; or resized videos."""
    longest = int(max(lengths, default=16.0) * 1.1) + 1
    size = {"width": 64, "groups": 1, "map_width": 64, "map_hidden": 32, "best_is_sure": True}
    if longest > _LONGEST:
        return {**size, "rows": _LONGEST, "durations": _LONGEST, "fit": "resize"}
    durations = max(longest, 8)
    return {**size, "rows": max(2 * durations, 32), "durations": durations, "fit": "windows"}
