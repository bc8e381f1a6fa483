"""What happens when: the script of each video, drawn from (seed, kind, index) alone.

Changing how many videos are made changes none of the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from kinoscope.data.segments import Segment

from .motions import CHANNELS, order_parts, phases, place
from .options import PlaygroundOptions
from .scene import Appearance, Marker, Rng, random_marker, random_sprite

Kind = Literal["clips", "order", "detail", "untrimmed"]
KINDS: tuple[Kind, ...] = ("clips", "order", "detail", "untrimmed")
Split = Literal["training", "validation", "testing"]

_GOLDEN, _ROOT_TWO = 0.6180339887498949, 0.4142135623730951
_FADE = 0.3  # seconds in which a resting actor comes or goes
_APART = 0.4  # seconds at least between two actors of an untrimmed video
_FILLED = 0.6  # most of an untrimmed video that actors may take


@dataclass(frozen=True)
class Plan:
    """The script of one video."""

    kind: Kind
    index: int
    split: Split
    size: tuple[int, int]
    frames: int
    label: str | None = None  # class of a clip
    segments: tuple[Segment, ...] = ()  # actions of an untrimmed video
    evidence: tuple[Segment, ...] = ()  # parts of an order clip, showings of the marker
    actors: tuple[Appearance, ...] = ()
    markers: tuple[Marker, ...] = ()
    look: int | None = None  # of a motion clip that shares its looks; None: its own

    @property
    def path(self) -> str:
        """Where the file lies in the playground; the name says nothing of the class."""
        return f"{self.kind}/{self.index:04d}.mp4"


def video_rng(options: PlaygroundOptions, kind: Kind, index: int, purpose: int) -> Rng:
    """The source of randomness of one video: purpose 0 its script, 1 its looks; 2 the actor of a shared look."""
    return np.random.default_rng([options.seed, KINDS.index(kind), index, purpose])


def plan_playground(options: PlaygroundOptions) -> list[Plan]:
    """The scripts of all videos, kind by kind."""
    plans: list[Plan] = []
    for kind, classes, per_class in (
        ("clips", options.motion_classes, options.clips_per_class),
        ("order", options.order_classes, options.orders_per_class),
        ("detail", options.detail_classes, options.details_per_class),
    ):
        script = {"clips": _motion_clip, "order": _order_clip, "detail": _detail_clip}[kind]
        plans += [script(options, index, classes) for index in range(per_class * len(classes))]
    return plans + [_untrimmed(options, index) for index in range(options.untrimmed_videos)]


def split_of(options: PlaygroundOptions, position: int) -> Split:
    """The split of the ``position``-th video or round of classes: golden-ratio steps keep every prefix balanced."""
    at = (position + 0.5) * _GOLDEN % 1
    training, validation, testing = options.split
    if at < training or validation == testing == 0:
        return "training"
    return "validation" if at < training + validation else "testing"


def _class_of(options: PlaygroundOptions, kind: Kind, index: int, classes: Sequence[str]) -> tuple[str, Split]:
    """Each round of len(classes) clips holds every class once, in random order, and goes to one split."""
    round_, seat = divmod(index, len(classes))
    order = np.random.default_rng([options.seed, KINDS.index(kind), round_]).permutation(len(classes))
    return classes[order[seat]], split_of(options, round_)


def _motion_clip(options: PlaygroundOptions, index: int, classes: Sequence[str]) -> Plan:
    rng = video_rng(options, "clips", index, 0)
    label, split = _class_of(options, "clips", index, classes)
    frames = _frames(rng, options.clip_seconds, options.fps)
    u = (np.arange(frames) + 0.5) / frames  # symmetric, so that a reversed clip is a clip of the reversed class
    places = place(phases(label, u, _rest(rng), frames / options.fps), _centre(rng))
    look = int(rng.integers(options.looks)) if options.looks else None
    of_actor = rng if look is None else video_rng(options, "clips", look, 2)
    actor = Appearance(random_sprite(of_actor), 0, places, np.ones(frames))
    return Plan("clips", index, split, options.size, frames, label, actors=(actor,), look=look)


def _order_clip(options: PlaygroundOptions, index: int, classes: Sequence[str]) -> Plan:
    rng = video_rng(options, "order", index, 0)
    label, split = _class_of(options, "order", index, classes)
    parts = order_parts(label)
    frames = _frames(rng, options.order_seconds, options.fps)
    # A pause before, between and after the parts; lengths are drawn without looking at the parts' names.
    shares = np.empty(2 * len(parts) + 1)
    shares[0::2], shares[1::2] = rng.uniform(0.05, 0.2, len(parts) + 1), rng.uniform(0.8, 1.2, len(parts))
    bounds = np.round(np.cumsum(shares / shares.sum()) * frames).astype(int)  # [2·parts + 1]
    rest, centre = _rest(rng), _centre(rng)
    places = np.repeat(place({key: np.array([value]) for key, value in rest.items()}, centre), frames, axis=0)
    evidence = []
    for part, first, end in zip(parts, bounds[0:-1:2], bounds[1::2], strict=True):
        places[first:end] = _moving(part, end - first, rest, centre, options.fps)
        evidence.append(_segment(first, end, options.fps, part))
    actor = Appearance(random_sprite(rng), 0, places, np.ones(frames))
    return Plan("order", index, split, options.size, frames, label, evidence=tuple(evidence), actors=(actor,))


def _detail_clip(options: PlaygroundOptions, index: int, classes: Sequence[str]) -> Plan:
    rng = video_rng(options, "detail", index, 0)
    label, split = _class_of(options, "detail", index, classes)
    frames = _frames(rng, options.detail_seconds, options.fps)
    lengths = [_frames(rng, options.marker_seconds, options.fps) for _ in range(rng.integers(1, 3))]
    starts = _spread(rng, lengths, frames)
    size = options.detail_size
    large = options.large_print
    markers = tuple(
        random_marker(rng, label, a, a + n, size, large=large) for a, n in zip(starts, lengths, strict=True)
    )
    evidence = tuple(_segment(marker.first, marker.end, options.fps, label) for marker in markers)
    return Plan("detail", index, split, size, frames, label, evidence=evidence, markers=markers)


def _untrimmed(options: PlaygroundOptions, index: int) -> Plan:
    rng = video_rng(options, "untrimmed", index, 0)
    frames = _frames(rng, options.untrimmed_seconds, options.fps)
    empty = (index + 0.5) * _ROOT_TWO % 1 < options.negative_fraction  # steps of √2: independent of the split's
    low, high = options.actions_per_video
    labels: list[str | None] = []
    if not empty:
        count = int(rng.integers(low, high + 1))
        while len(labels) < count:  # no class comes again before every other has come
            labels += [str(label) for label in rng.permutation(options.untrimmed_classes)]
        labels = labels[:count]
    labels += [None] * int(rng.integers(options.bystanders + 1))
    slots = _fitting([_slot(rng, label, options) for label in labels], _FILLED * frames)
    rng.shuffle(slots)  # type: ignore[arg-type]  # a list is shuffled in place
    starts = _spread(rng, [slot.frames for slot in slots], frames, apart=round(_APART * options.fps))
    actors = tuple(_actor(rng, slot, first, options.fps) for slot, first in zip(slots, starts, strict=True))
    segments = tuple(
        _segment(first + slot.lead, first + slot.lead + slot.moving, options.fps, slot.label)
        for slot, first in zip(slots, starts, strict=True)
        if slot.label is not None
    )
    split = split_of(options, index)
    return Plan("untrimmed", index, split, options.size, frames, segments=segments, actors=actors)


@dataclass(frozen=True)
class _Slot:
    """An actor's stay: it rests, moves (or, without a label, goes on resting), rests; lengths in frames."""

    label: str | None
    lead: int
    moving: int
    tail: int

    @property
    def frames(self) -> int:
        return self.lead + self.moving + self.tail


def _slot(rng: Rng, label: str | None, options: PlaygroundOptions) -> _Slot:
    lead, tail = (_frames(rng, (0.5, 1.5), options.fps) for _ in range(2))
    moving = _frames(rng, options.action_seconds, options.fps)
    return _Slot(label, lead, moving, tail) if options.actor_rests else _Slot(label, 0, moving, 0)


def _fitting(slots: list[_Slot], room: float) -> list[_Slot]:
    """As many of the first slots as fit; always one, which `PlaygroundOptions` made sure fits the video."""
    ends = np.cumsum([slot.frames for slot in slots])
    return slots[: max(1, int(np.sum(ends <= room)))]


def _actor(rng: Rng, slot: _Slot, first: int, fps: int) -> Appearance:
    rest, centre = _rest(rng), _centre(rng)
    moving = np.repeat(place({key: np.array([value]) for key, value in rest.items()}, centre), slot.moving, axis=0)
    before = after = moving[0]
    if slot.label is not None:
        before = _moving(slot.label, slot.moving, rest, centre, fps, start=True)[0]
        moving = _moving(slot.label, slot.moving, rest, centre, fps)
        after = moving[-1]
    places = np.concatenate([np.tile(before, (slot.lead, 1)), moving, np.tile(after, (slot.tail, 1))])  # [T, 3]
    opacity = np.ones(slot.frames)
    fade = min(round(_FADE * fps), slot.lead, slot.tail)
    opacity[:fade] = np.arange(1, fade + 1) / (fade + 1)
    opacity[slot.frames - fade :] = np.arange(fade, 0, -1) / (fade + 1)
    return Appearance(random_sprite(rng), first, places, opacity)


def _moving(
    name: str, frames: int, rest: dict[str, float], centre: npt.NDArray[np.float64], fps: int, *, start: bool = False
) -> npt.NDArray[np.float64]:
    """Places of a motion of ``frames`` steps, the first of which already differs from the rest; [frames, 3].

    With ``start`` the place before the first step is given instead, [1, 3].
    """
    u = np.zeros(1) if start else np.arange(1, frames + 1) / frames
    return place(phases(name, u, rest, frames / fps), centre)


def _rest(rng: Rng) -> dict[str, float]:
    return dict(zip(CHANNELS, rng.random(len(CHANNELS)).tolist(), strict=True))


def _centre(rng: Rng) -> npt.NDArray[np.float64]:
    return rng.uniform(-0.05, 0.05, 2)


def _frames(rng: Rng, seconds: tuple[float, float], fps: int) -> int:
    return max(1, round(rng.uniform(*seconds) * fps))


def _segment(first: int, end: int, fps: int, label: str) -> Segment:
    return Segment(round(int(first) / fps, 6), round(int(end) / fps, 6), label)


def _spread(rng: Rng, lengths: Sequence[int], frames: int, apart: int = 1) -> list[int]:
    """Random first frames for stretches of the given lengths, in order, ``apart`` from each other and the borders."""
    gaps = len(lengths) + 1
    free = frames - sum(lengths) - gaps * apart
    cuts = np.floor(np.cumsum(rng.dirichlet(np.ones(gaps)))[:-1] * free).astype(int) + apart * np.arange(1, gaps)  # [N]
    before = np.cumsum([0, *lengths])[:-1]  # [N]
    return [int(cut + offset) for cut, offset in zip(cuts, before, strict=True)]
