"""What a playground class gives away, and to whom: the numbers of docs/playground.md.

``pytest tests/data/test_playground_leaks.py -rP`` prints every accuracy. Classifiers are fitted on four fifths of
the clips and read on the fifth left out; "chance" allows 3.5 standard errors of a guess.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import av
import numpy as np
import pytest

from kinoscope.data.playground import MOTIONS, ORDERS, PlaygroundOptions
from kinoscope.data.playground.make import render
from kinoscope.data.playground.options import LARGE_SIDE
from kinoscope.data.playground.plan import Plan, plan_playground

PER_CLASS = 40
PAIRS = [
    ("left-to-right", "right-to-left"),
    ("rise", "fall"),
    ("clockwise", "counter-clockwise"),
    ("grow", "shrink"),
]
ORDER_PAIRS = [("sweep-then-bob", "bob-then-sweep"), ("sweep-then-pulse", "pulse-then-sweep")]


def accuracy(features: np.ndarray, labels: np.ndarray) -> float:
    """Five-fold accuracy of ridge regression on standardised features, in its kernel form: quick at any width."""
    classes, target = np.unique(labels, return_inverse=True)
    features = features.reshape(len(features), -1).astype(np.float64)
    folds = np.random.default_rng(0).permutation(len(labels)) % 5
    right = 0
    for fold in range(5):
        test, train = folds == fold, folds != fold
        mean, spread = features[train].mean(0), features[train].std(0) + 1e-6
        x, y = (features[train] - mean) / spread, (features[test] - mean) / spread
        kernel = x @ x.T / x.shape[1] + 1
        weights = np.linalg.solve(kernel + 0.3 * np.eye(len(x)), np.eye(len(classes))[target[train]])
        right += int(((y @ x.T / x.shape[1] + 1) @ weights).argmax(1).__eq__(target[test]).sum())
    return right / len(labels)


def nearest(features: np.ndarray, labels: np.ndarray) -> float:
    """Leave-one-out accuracy of the nearest neighbour."""
    flat = features.reshape(len(features), -1).astype(np.float64)
    distance = (flat**2).sum(1)[:, None] + (flat**2).sum(1)[None] - 2 * flat @ flat.T
    np.fill_diagonal(distance, np.inf)
    return float(np.mean(labels[distance.argmin(1)] == labels))


def at_most_chance(measured: float, classes: int, count: int) -> bool:
    chance = 1 / classes
    return measured <= chance + 3.5 * np.sqrt(chance * (1 - chance) / count)


def small(video: np.ndarray) -> np.ndarray:
    """[T, 64, 64, 3] → [T, 16, 16, 3] by averaging."""
    return video.reshape(len(video), 16, 4, 16, 4, 3).mean((2, 4))


def trace(video: np.ndarray) -> np.ndarray:
    """Where the difference to the median picture lies and how much there is: [T, 64, 64, 3] → [T, 3]."""
    middle = np.sort(video[::3], axis=0)[len(video) // 6]  # the median picture; sorting bytes beats np.median
    change = np.abs(video.astype(np.int16) - middle).sum(-1).astype(np.float32)
    change = np.where(change > 60, change, 0) + 1e-3
    weight, grid = change.sum((1, 2)), np.arange(64) - 31.5
    y, x = (change.sum(2) * grid).sum(1) / weight, (change.sum(1) * grid).sum(1) / weight
    return np.stack([y, x, np.sqrt(weight)], axis=1)


@cache
def clips(kind: str) -> tuple[list[np.ndarray], np.ndarray]:
    """Rendered clips at 64 pixels with all nuisances, [T, 64, 64, 3] each, and their labels."""
    order = kind == "order"
    options = PlaygroundOptions(
        seed=11,
        size=(64, 64),
        fps=15,
        clips_per_class=0 if order else PER_CLASS,
        orders_per_class=PER_CLASS if order else 0,
        order_classes=ORDERS[:4],
        details_per_class=0,
        untrimmed_videos=0,
    )
    plans = plan_playground(options)
    videos = [np.stack(list(render(plan, options))) for plan in plans]
    return videos, np.array([plan.label for plan in plans])


@cache
def described(kind: str, describe: Callable[[np.ndarray], np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    videos, labels = clips(kind)
    return np.stack([describe(video) for video in videos]), labels


@cache
def traces(kind: str) -> list[np.ndarray]:
    return [trace(video) for video in clips(kind)[0]]


def one_frame(video: np.ndarray) -> np.ndarray:
    any_ = int(video[0, 0, 0, 0]) % len(video)  # chosen by the brightness of the first pixel
    return small(video[any_ : any_ + 1])


def colour_histogram(video: np.ndarray) -> np.ndarray:
    return np.stack([np.histogram(video[..., channel], 12, (0, 256))[0] for channel in range(3)]) / video.size


def bag_of_frames(video: np.ndarray) -> np.ndarray:
    """Statistics over time that do not depend on the frames' order: mean and spread of every pixel."""
    frames = small(video).mean(-1)
    return np.stack([frames.mean(0), frames.std(0)])


@pytest.mark.parametrize("describe", [one_frame, colour_histogram])
@pytest.mark.parametrize("kind", ["clips", "order"])
def test_a_single_frame_or_the_colours_do_not_tell_the_class(kind: str, describe: Callable) -> None:
    features, labels = described(kind, describe)
    classes = len(set(labels))
    for name, classify in (("linear", accuracy), ("nearest", nearest)):
        found = classify(features, labels)
        print(f"{kind}: {describe.__name__}, {name}: {found:.3f} (chance {1 / classes:.3f})")
        assert at_most_chance(found, classes, len(labels))


@pytest.mark.parametrize(
    ("kind", "pair"), [("clips", pair) for pair in PAIRS] + [("order", pair) for pair in ORDER_PAIRS]
)
def test_an_unordered_bag_of_frames_cannot_tell_a_pair(kind: str, pair: tuple[str, str]) -> None:
    features, labels = described(kind, bag_of_frames)
    chosen = np.isin(labels, pair)
    found = accuracy(features[chosen], labels[chosen])
    print(f"{pair[0]} / {pair[1]}: bag of frames: {found:.3f} (chance 0.500)")
    assert at_most_chance(found, 2, int(chosen.sum()))


def slopes(path: np.ndarray) -> np.ndarray:
    """How the trace changes over four equal parts of the clip, first halves against second; and its turning sense."""
    parts = np.stack([part.mean(0) for part in np.array_split(path, 4)])  # [4, 3]
    centred = path - path.mean(0)
    area = np.sum(centred[:-1, 1] * centred[1:, 0] - centred[1:, 1] * centred[:-1, 0])  # signed area swept
    return np.concatenate([parts[2] + parts[3] - parts[0] - parts[1], [area / 50]])


@pytest.mark.parametrize("pair", PAIRS)
def test_a_simple_motion_feature_tells_a_pair(pair: tuple[str, str]) -> None:
    features, labels = np.stack([slopes(path) for path in traces("clips")]), clips("clips")[1]
    chosen = np.isin(labels, pair)
    found = accuracy(features[chosen], labels[chosen])
    print(f"{pair[0]} / {pair[1]}: simple motion feature: {found:.3f} (chance 0.500)")
    assert found >= 0.85


def steps(path: np.ndarray) -> np.ndarray:
    """Short-term motion: how far the trace moves per frame in y, x and size, signed and unsigned; [T − 1, 6]."""
    change = np.clip(np.diff(path, axis=0), -6, 6)
    return np.concatenate([change, np.abs(change)], axis=1)


def averaged_steps(path: np.ndarray) -> np.ndarray:
    return steps(path).mean(0)


def ordered_steps(path: np.ndarray) -> np.ndarray:
    first, second = np.array_split(steps(path), 2)
    return np.log(first.mean(0)[3:] + 0.01) - np.log(second.mean(0)[3:] + 0.01)


@pytest.mark.parametrize("pair", ORDER_PAIRS)
def test_order_is_lost_by_averaging_motion_and_kept_by_its_halves(pair: tuple[str, str]) -> None:
    labels = clips("order")[1]
    chosen = np.isin(labels, pair)
    averaged, ordered = (
        accuracy(np.stack([feature(path) for path in traces("order")])[chosen], labels[chosen])
        for feature in (averaged_steps, ordered_steps)
    )
    print(f"{pair[0]} / {pair[1]}: motion averaged over time {averaged:.3f}, first half against second {ordered:.3f}")
    assert at_most_chance(averaged, 2, int(chosen.sum()))
    assert ordered >= 0.85


@cache
def marker_frames(large: bool = False) -> tuple[list[tuple[np.ndarray, Plan]], np.ndarray]:
    options = PlaygroundOptions(
        seed=5,
        large_print=large,
        details_per_class=PER_CLASS,
        clips_per_class=0,
        orders_per_class=0,
        untrimmed_videos=0,
        detail_seconds=(0.8, 0.8),
        marker_seconds=(0.1, 0.2),
    )
    plans = plan_playground(options)
    frames = [list(render(plan, options))[plan.markers[0].first] for plan in plans]
    return list(zip(frames, plans, strict=True)), np.array([plan.label for plan in plans])


def marker_texture(frame: np.ndarray, plan: Plan, side: int, way: str) -> np.ndarray:
    """Products of neighbouring pixels inside the marker, after scaling the frame to ``side``: what texture there is."""
    scaled = av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(side, side, interpolation=way).to_ndarray()
    scale, (top, left) = side / frame.shape[0], plan.markers[0].corner
    y, x, end = round((top + 4) * scale), round((left + 4) * scale), round((len(plan.markers[0].pixels) - 8) * scale)
    inside = scaled[y : y + end, x : x + end].astype(float).mean(-1)
    inside = (inside - inside.mean()) / (inside.std() + 1e-6)
    shifts = [(0, 1), (1, 0), (1, 1), (0, 2), (2, 0)]
    products = [np.mean(inside[dy:, dx:] * inside[: end - dy, : end - dx]) for dy, dx in shifts]
    diagonal = np.mean(inside[1:, :-1] * inside[:-1, 1:])
    return np.array([*products, diagonal, inside.std(0).std(), inside.std(1).std()])


@pytest.mark.parametrize("way", ["POINT", "BILINEAR", "AREA", "BICUBIC"])
@pytest.mark.parametrize("side", [224, 168, 112, 84])
def test_the_detail_is_legible_at_full_size_only(side: int, way: str) -> None:
    frames, labels = marker_frames()
    features = np.stack([marker_texture(frame, plan, side, way) for frame, plan in frames])
    found = accuracy(features, labels)
    print(f"detail at {side} px, {way.lower()}: {found:.3f} (chance 0.333)")
    if side == 224:
        assert found >= 0.99
    elif side <= 112:
        assert found <= 0.55


def test_large_print_is_larger_and_alike_in_all_blocks() -> None:
    frames, labels = marker_frames(large=True)
    assert {len(plan.markers[0].pixels) for _, plan in frames} == {LARGE_SIDE}
    for side in (224, 84):
        features = np.stack([marker_texture(frame, plan, side, "AREA") for frame, plan in frames])
        found = accuracy(features, labels)
        print(f"large print at {side} px, by a measure made for it: {found:.3f} (chance 0.333)")
        assert side == 84 or found >= 0.99
    rows = next(plan.markers[0].pixels for (_, plan), label in zip(frames, labels, strict=True) if label == "rows")
    block = rows[4:8, 4:-4, 0].astype(int)
    assert (block[:2].min(axis=0) > block[2:].max(axis=0)).all(), "every block has its bright line first"


def test_classes_of_this_file_are_those_of_the_playground() -> None:
    assert {label for pair in PAIRS for label in pair} == set(MOTIONS) - {"shake"}


def test_shared_looks_are_drawn_without_regard_to_the_class() -> None:
    options = PlaygroundOptions(
        clips_per_class=40, orders_per_class=0, details_per_class=0, untrimmed_videos=0, looks=3, clip_seconds=(1, 1)
    )
    plans = plan_playground(options)
    first = {look: next(iter(render(_of_look(plans, look), options))) for look in range(3)}
    for plan in plans[:12]:
        assert plan.look is not None
        same_look = _of_look(plans, plan.look)
        assert np.array_equal(plan.actors[0].sprite.colours, same_look.actors[0].sprite.colours)
        share = (next(iter(render(plan, options))) == first[plan.look]).all(axis=-1).mean()
        assert share > 0.5  # all but where the two actors are
    for label in options.motion_classes:
        counts = np.bincount([plan.look for plan in plans if plan.label == label], minlength=3)
        assert counts.min() >= 5


def _of_look(plans: list[Plan], look: int) -> Plan:
    return next(plan for plan in plans if plan.look == look)
