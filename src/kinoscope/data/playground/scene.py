"""How a frame looks: background, sprites, camera shake and flicker, all random and none of it telling the class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .options import LARGE_SIDE, MARKER_SIDE, PlaygroundOptions

Array = npt.NDArray[np.float32]
Frame = npt.NDArray[np.uint8]
Rng = np.random.Generator

_SHAPES = ("disc", "square", "triangle", "ring", "cross", "star")
_TEXTURES = ("plain", "stripes", "checker", "shaded")
_BORDER = 4  # of the marker, in pixels; even, so that its blocks begin at even pixels
_SIGNAL, _MASK = 50, 70  # brightness of the marker's texture and of what hides it
_LARGE = 60  # both, in large print
_DRIFT = 0.06  # fastest distractor, shorter sides per second; actors move at 0.1 and more
_PERSISTENCE = 0.9  # of the camera shake from frame to frame


@dataclass(frozen=True)
class Sprite:
    """The look of one object."""

    shape: str
    texture: str
    colours: Array  # [2, 3] RGB in 0 … 255
    angle: float


@dataclass(frozen=True)
class Appearance:
    """One sprite's stay in a video, from frame ``first`` on."""

    sprite: Sprite
    first: int
    places: npt.NDArray[np.float64]  # [T, 3] y, x, radius in shorter sides from the frame's middle
    opacity: npt.NDArray[np.float64]  # [T] 0 … 1


@dataclass(frozen=True)
class Marker:
    """A small box with a fine texture, seen from frame ``first`` up to ``end`` (not included)."""

    first: int
    end: int
    pixels: Frame  # [S, S, 3]
    corner: tuple[int, int]  # y, x of its upper left pixel


def random_sprite(rng: Rng) -> Sprite:
    """A sprite of random shape, texture and colours; one colour is lively, so that it stands out."""
    lively = rng.permutation([rng.uniform(200, 255), rng.uniform(0, 255), rng.uniform(0, 60)])
    colours = np.stack([lively, rng.uniform(0, 255, 3)]).astype(np.float32)  # [2, 3]
    return Sprite(str(rng.choice(_SHAPES)), str(rng.choice(_TEXTURES)), colours, float(rng.uniform(0, 2 * np.pi)))


def random_marker(
    rng: Rng, texture: str, first: int, end: int, size: tuple[int, int], *, large: bool = False
) -> Marker:
    """A marker whose ``texture`` is legible at full resolution only.

    Its inside is made of blocks of 2 × 2 pixels, grey m with a random sign s: ``rows`` [[m+s, m+s], [m−s, m−s]],
    ``columns`` [[m+s, m−s], [m+s, m−s]], ``checks`` [[m+s, m−s], [m−s, m+s]]. Averaging over a block leaves m;
    taking one pixel of it leaves m ± s: random in both cases. Where a scaling cuts through blocks, the little that
    is left of s drowns in m, which is drawn alike for all classes.

    With ``large`` blocks have 4 × 4 pixels, lines 2, and s is the same in all of them: what networks trained on
    photographs can tell as they are, from near.
    """
    block = {"rows": [[1, 1], [-1, -1]], "columns": [[1, -1], [1, -1]], "checks": [[1, -1], [-1, 1]]}[texture]
    whole, line = (LARGE_SIDE, 2) if large else (MARKER_SIDE, 1)
    side = (whole - 2 * _BORDER) // (2 * line)  # blocks along one side
    kinds = np.ones((side, side)) if large else rng.choice([-1, 1], (side, side))
    signs = np.kron(np.kron(kinds, np.array(block)), np.ones((line, line)))  # [2 · side · line, 2 · side · line]
    greys = np.kron(rng.choice([-1, 1], (side, side)), np.ones((2 * line, 2 * line)))
    pixels = np.empty((whole, whole, 3), np.uint8)
    pixels[:] = np.where(rng.random(3) < 0.5, 255, 30)
    inside = slice(_BORDER, -_BORDER)
    signal, mask = (_LARGE, _LARGE) if large else (_SIGNAL, _MASK)
    pixels[inside, inside] = (128 + signal * signs + mask * greys)[..., None]
    y, x = (2 * int(rng.integers((extent - whole) // 2 + 1)) for extent in size)  # blocks begin at even pixels
    corner = (y, x)
    return Marker(first, end, pixels, corner)


class Scene:
    """Renders one video frame by frame.

    Args:
        rng: source of the background, the distractors, the shake and the flicker.
        size: height and width in pixels.
        length: number of frames.
        options: how much of each nuisance.
    """

    def __init__(self, rng: Rng, size: tuple[int, int], length: int, options: PlaygroundOptions) -> None:
        self._size, self._length, self._unit = size, length, min(size)
        self._shake = options.camera_shake * self._unit * _steady_walk(rng, length, 2)  # [T, 2] pixels
        self._gain = (1 + options.flicker * _steady_walk(rng, length, 1)[:, 0]).astype(np.float32)  # [T]
        self._margin = int(np.ceil(np.abs(self._shake).max())) + 1
        self._background = _random_background(rng, (size[0] + 2 * self._margin, size[1] + 2 * self._margin))
        count = int(rng.integers(options.distractors + 1))
        extent = np.array(size) / self._unit
        self._actor_scale = options.actor_scale
        self._distractors = [_random_distractor(rng, length, options.fps, extent) for _ in range(count)]

    def frames(self, actors: Sequence[Appearance], markers: Sequence[Marker] = ()) -> Iterator[Frame]:
        """Every frame in order.

        Shape: [H, W, 3] RGB each.
        """
        for index in range(self._length):
            canvas = self._camera(index)
            for scale, seen in self._cast(actors):
                step = index - seen.first
                if 0 <= step < len(seen.places) and seen.opacity[step] > 0:
                    place = seen.places[step] * (1, 1, scale)
                    self._paint(canvas, seen.sprite, place, self._shake[index], seen.opacity[step])
            canvas *= self._gain[index]
            frame = np.clip(canvas, 0, 255).astype(np.uint8)
            for marker in markers:
                if marker.first <= index < marker.end:
                    y, x = marker.corner
                    frame[y : y + len(marker.pixels), x : x + len(marker.pixels)] = marker.pixels
            yield frame

    def _cast(self, actors: Sequence[Appearance]) -> list[tuple[float, Appearance]]:
        """Everything that may be seen, from back to front, and how much to enlarge it."""
        return [(1.0, seen) for seen in self._distractors] + [(self._actor_scale, seen) for seen in actors]

    def _camera(self, index: int) -> Array:
        """The background as the shaken camera sees it, interpolated between pixels."""
        top, left = self._margin - self._shake[index]
        y, x = int(top), int(left)
        fy, fx = np.float32(top - y), np.float32(left - x)
        view = self._background[y : y + self._size[0] + 1, x : x + self._size[1] + 1]
        rows = view[:-1] + fy * (view[1:] - view[:-1])
        seen: Array = rows[:, :-1] + fx * (rows[:, 1:] - rows[:, :-1])  # [H, W, 3]
        return seen

    def _paint(
        self,
        canvas: Array,
        sprite: Sprite,
        place: npt.NDArray[np.float64],
        shake: npt.NDArray[np.float64],
        opacity: float,
    ) -> None:
        y, x = place[:2] * self._unit + np.array(self._size) / 2 + shake
        radius = place[2] * self._unit
        reach = 1.3 * radius + 1  # stars reach beyond their radius
        top, left = max(0, int(y - reach)), max(0, int(x - reach))
        patch = canvas[top : max(0, int(y + reach) + 2), left : max(0, int(x + reach) + 2)]
        if patch.size == 0:
            return
        down = ((np.arange(patch.shape[0]) + top + 0.5 - y) / radius).astype(np.float32)[:, None]
        right = ((np.arange(patch.shape[1]) + left + 0.5 - x) / radius).astype(np.float32)[None]
        cos, sin = np.float32(np.cos(sprite.angle)), np.float32(np.sin(sprite.angle))
        u, v = cos * right + sin * down, cos * down - sin * right  # [h, w] in the sprite's own axes
        cover = opacity * np.clip(0.5 - radius * _outside(sprite.shape, u, v), 0, 1)
        mix = _texture(sprite.texture, u, v)[..., None]
        paint = sprite.colours[0] * (1 - mix) + sprite.colours[1] * mix  # [h, w, 3]
        patch += cover[..., None].astype(np.float32) * (paint - patch)


def _outside(shape: str, u: Array, v: Array) -> Array:
    """Distance to the shape's outline in radii, negative inside.

    Shape: [h, w] → [h, w].
    """
    a, b, far = np.abs(u), np.abs(v), np.hypot(u, v)
    found: Array
    if shape == "square":
        found = np.maximum(a, b) - np.float32(0.85)
    elif shape == "triangle":
        found = np.maximum(a * np.float32(0.866) + v * np.float32(0.5), -v) - np.float32(0.6)
    elif shape == "cross":
        found = np.minimum(np.maximum(a - 1, b - np.float32(0.36)), np.maximum(b - 1, a - np.float32(0.36)))
    elif shape == "ring":
        found = np.abs(far - np.float32(0.72)) - np.float32(0.28)
    elif shape == "star":
        found = far - np.float32(0.8) - np.float32(0.28) * np.cos(5 * np.arctan2(v, u))
    else:
        found = far - np.float32(1)
    return found


def _texture(kind: str, u: Array, v: Array) -> Array:
    """Share of the second colour.

    Shape: [h, w] → [h, w].
    """
    if kind == "stripes":
        share = np.sin(9 * u) > 0
    elif kind == "checker":
        share = (np.sin(7 * u) > 0) ^ (np.sin(7 * v) > 0)
    elif kind == "shaded":
        share = np.clip(np.float32(0.35) + np.float32(0.35) * u, 0, 1)
    else:
        share = np.zeros_like(u)
    return share.astype(np.float32)


def _random_background(rng: Rng, size: tuple[int, int]) -> Array:
    """Soft clouds of random colours at two scales, on some backgrounds with a grating.

    Shape: → [H, W, 3].
    """
    picture = rng.uniform(60, 190, 3) + np.zeros((*size, 3))
    for cells, strength in ((3, 45), (int(rng.integers(8, 20)), rng.uniform(5, 25))):
        knots = rng.normal(0, strength, (3, cells + 1, cells + 1))
        clouds = _stretch(size[0], cells) @ knots @ _stretch(size[1], cells).T  # [3, H, W]
        picture += clouds.transpose(1, 2, 0)
    if rng.random() < 0.4:
        y, x = np.mgrid[: size[0], : size[1]] / min(size)
        angle, waves = rng.uniform(0, np.pi), rng.uniform(20, 70)
        picture += 14 * np.sin(waves * (np.cos(angle) * x + np.sin(angle) * y) + rng.uniform(0, 6))[..., None]
    return np.clip(picture, 0, 255).astype(np.float32)


def _stretch(pixels: int, cells: int) -> npt.NDArray[np.float64]:
    """Matrix of linear interpolation from ``cells`` + 1 knots to ``pixels``: [pixels, cells + 1]."""
    at = np.linspace(0, cells, pixels)
    weights: npt.NDArray[np.float64] = np.maximum(0, 1 - np.abs(at[:, None] - np.arange(cells + 1)))
    return weights


def _random_distractor(rng: Rng, length: int, fps: int, extent: npt.NDArray[np.float64]) -> Appearance:
    """A small object that drifts straight on and bounces off the borders: the same process forwards and backwards."""
    start, angle, speed = rng.uniform(0, 2, 2), rng.uniform(0, 2 * np.pi), rng.uniform(0.2, 1) * _DRIFT
    way = np.arange(length)[:, None] / fps * speed * np.array([np.sin(angle), np.cos(angle)]) / extent  # [T, 2]
    where = (np.abs((start + way) % 2 - 1) - 0.5) * extent
    radius = np.full((length, 1), rng.uniform(0.025, 0.05))
    return Appearance(random_sprite(rng), 0, np.concatenate([where, radius], axis=1), np.ones(length))


def _steady_walk(rng: Rng, length: int, width: int) -> npt.NDArray[np.float64]:
    """A stationary first-order random walk of unit variance, cut at ±2.5; reversed in time it has the same law.

    Shape: → [length, width].
    """
    walk = rng.normal(size=(length, width))
    fresh = np.sqrt(1 - _PERSISTENCE**2)
    for step in range(1, length):
        walk[step] = _PERSISTENCE * walk[step - 1] + fresh * walk[step]
    return np.clip(walk, -2.5, 2.5)
