"""What a playground is made of."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields

from kinoscope.errors import OptionError

from .motions import DETAILS, LOOPS, MOTIONS, ORDERS, order_parts

MARKER_SIDE = 40  # pixels of the marker of the detail task, border included
LARGE_SIDE = 72  # the same in large print


@dataclass(frozen=True)
class PlaygroundOptions:
    """How many videos of which kind, how long, how hard. Lengths are in seconds, sizes in pixels (height, width).

    Raises:
        OptionError: for a value out of bounds, naming the field.
    """

    seed: int = 0
    """Another seed gives other videos of the same kind."""
    size: tuple[int, int] = (128, 128)
    """Height and width of all but the detail clips; even numbers."""
    fps: int = 25
    """Frames per second, constant."""
    split: tuple[float, float, float] = (0.6, 0.2, 0.2)
    """Shares of training, validation and testing; every class is shared out alike."""

    clips_per_class: int = 20
    """Motion clips (``clips.csv``); 0 makes none."""
    motion_classes: tuple[str, ...] = MOTIONS
    """Classes of the motion clips."""
    looks: int = 0
    """How many backgrounds and actors the motion clips share, drawn for each without regard to its class; 0: every clip
    has its own. With few, and clips of one length, little else than motion is left to learn."""
    clip_seconds: tuple[float, float] = (1.6, 2.4)
    """Shortest and longest motion clip; the motion fills it."""

    orders_per_class: int = 20
    """Order clips (``order.csv``); 0 makes none."""
    order_classes: tuple[str, ...] = ORDERS
    """Loops joined by ``-then-``: any two or more of ``sweep bob orbit pulse tremble``."""
    order_seconds: tuple[float, float] = (2.6, 3.4)
    """Shortest and longest order clip, pauses between the loops included."""

    details_per_class: int = 20
    """Detail clips (``detail.csv``); 0 makes none."""
    detail_classes: tuple[str, ...] = DETAILS
    """Fine textures of the marker."""
    detail_size: tuple[int, int] = (224, 224)
    """Height and width of the detail clips; the texture is legible only at this very size."""
    large_print: bool = False
    """A larger marker with wider lines: networks trained on photographs can read it as they are, though from near only;
    the usual one must be learned by networks that learn themselves."""
    detail_seconds: tuple[float, float] = (4.0, 6.0)
    """Shortest and longest detail clip."""
    marker_seconds: tuple[float, float] = (0.4, 0.7)
    """How long the marker shows, each of the one or two times."""

    untrimmed_videos: int = 30
    """Untrimmed videos (``untrimmed.json``, ``untrimmed.csv``); 0 makes none."""
    untrimmed_classes: tuple[str, ...] = MOTIONS
    """Actions of the untrimmed videos."""
    untrimmed_seconds: tuple[float, float] = (12.0, 28.0)
    """Shortest and longest untrimmed video."""
    actions_per_video: tuple[int, int] = (1, 4)
    """Fewest and most actions of a video that has any; fewer where they would fill over 60 % of it."""
    action_seconds: tuple[float, float] = (1.2, 3.5)
    """Shortest and longest action."""
    negative_fraction: float = 0.2
    """Share of untrimmed videos without any action."""
    actor_rests: bool = True
    """Whether actors fade in and rest before and after their action, so that being there says nothing; otherwise
    an actor is seen during its action only."""
    bystanders: int = 2
    """Most actors of an untrimmed video that come, rest and go without any action."""

    actor_scale: float = 1.0
    """Size of the actors against the usual radius of 6 to 14 % of the shorter side."""
    distractors: int = 2
    """Most small objects that drift slowly through every video."""
    camera_shake: float = 0.008
    """Standard deviation of the camera's shake, as a share of the shorter side."""
    flicker: float = 0.03
    """Standard deviation of the brightness over time, as a share."""

    def __post_init__(self) -> None:
        for name in ("clips_per_class", "orders_per_class", "details_per_class", "untrimmed_videos"):
            _within(name, getattr(self, name), 0, 10_000)
        _within("looks", self.looks, 0, 10_000)
        _within("seed", self.seed, 0, 2**63 - 1)
        _within("fps", self.fps, 5, 240)
        _within("bystanders", self.bystanders, 0, 10)
        _within("distractors", self.distractors, 0, 20)
        _within("negative_fraction", self.negative_fraction, 0, 1)
        _within("actor_scale", self.actor_scale, 0.5, 2)
        _within("camera_shake", self.camera_shake, 0, 0.05)
        _within("flicker", self.flicker, 0, 0.2)
        _range("actions_per_video", self.actions_per_video, 1, 50)
        for name in ("clip_seconds", "order_seconds", "detail_seconds", "action_seconds", "untrimmed_seconds"):
            _range(name, getattr(self, name), 0.8, 3600)
        _range("marker_seconds", self.marker_seconds, 1 / self.fps, self.detail_seconds[0] / 3)
        self._check_sizes()
        self._check_classes()
        if any(share < 0 for share in self.split) or not math.isclose(sum(self.split), 1, abs_tol=1e-6):
            raise OptionError(f"split = {self.split} must be three shares that sum to 1")
        if self.action_seconds[1] + 4 > self.untrimmed_seconds[0]:
            raise OptionError(
                f"action_seconds = {self.action_seconds} does not fit untrimmed_seconds = {self.untrimmed_seconds}",
                cure="make the shortest video at least 4 s longer than the longest action",
            )

    def _check_sizes(self) -> None:
        for name, smallest in (("size", 32), ("detail_size", 2 * MARKER_SIDE)):
            for pixels in getattr(self, name):
                _within(name, pixels, smallest, 4096)
                if pixels % 2:
                    raise OptionError(f"{name} = {getattr(self, name)} must be even numbers (yuv420p)")

    def _check_classes(self) -> None:
        _known("motion_classes", self.motion_classes, MOTIONS)
        _known("untrimmed_classes", self.untrimmed_classes, MOTIONS)
        _known("detail_classes", self.detail_classes, DETAILS)
        for label in self.order_classes:
            _known(f"order class {label!r}", order_parts(label), LOOPS)

    @classmethod
    def demo(cls, *, seed: int = 0, untrimmed_videos: int = 30) -> PlaygroundOptions:
        """A small, easy set for ``kinoscope demo``: untrimmed videos only, three actions, seen only while they act.

        Presence of the actor marks the segment, so that features of single frames suffice to say *when*;
        *which* of the three still needs the change over time.
        """
        return cls(
            seed=seed,
            untrimmed_videos=untrimmed_videos,
            clips_per_class=0,
            orders_per_class=0,
            details_per_class=0,
            untrimmed_classes=("grow", "shrink", "shake"),
            split=(0.7, 0.0, 0.3),
            negative_fraction=0.1,
            actions_per_video=(2, 4),
            action_seconds=(1.6, 3.5),
            actor_rests=False,
            bystanders=0,
            actor_scale=1.7,
            distractors=1,
            camera_shake=0.004,
            flicker=0.01,
        )

    def as_dict(self) -> dict[str, object]:
        """The fields as JSON has them (tuples become lists)."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:  # also refuses NaN
        raise OptionError(f"{name} = {value} must lie between {low:g} and {high:g}")


def _range(name: str, pair: tuple[float, float], low: float, high: float) -> None:
    if not (len(pair) == 2 and low <= pair[0] <= pair[1] <= high):
        raise OptionError(f"{name} = {pair} must be a shortest and a longest value between {low:g} and {high:g}")


def _known(name: str, given: Iterable[str], known: tuple[str, ...]) -> None:
    names = list(given)
    if not names or len(set(names)) < len(names):
        raise OptionError(f"{name}: {names} must name at least one, and none twice")
    if unknown := [label for label in names if label not in known]:
        raise OptionError(f"{name}: {unknown[0]!r} is unknown", cure=f"choose from {', '.join(known)}")
