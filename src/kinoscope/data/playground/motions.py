"""The classes: what moves, along which path.

An actor has five *channels*: where it is on a horizontal and on a vertical line, where on a small circle, how
large it is, and where in a fast sideways tremble. Each holds a phase in [0, 1). A motion drives one channel; the
other four rest at a phase drawn uniformly. A driven channel spends equal time at every phase, so any single frame
of any class has exactly the same distribution: only the change over time can tell the class.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Path = Callable[[Array, float, float], Array]

CHANNELS = ("x", "y", "turn", "size", "tremble")

TRAVEL = 0.36  # length of the straight lines; all lengths are fractions of the frame's shorter side
ORBIT = 0.12  # radius of the circle
TREMBLE = 0.035  # amplitude of the tremble
RADII = (0.06, 0.14)  # smallest and largest radius of an actor
TREMBLE_RATE = 4.0  # cycles per second


def _forward(u: Array, _rest: float, _seconds: float) -> Array:
    return u


def _backward(u: Array, _rest: float, _seconds: float) -> Array:
    return 1 - u


def _turn(u: Array, rest: float, _seconds: float) -> Array:
    return rest + u


def _turn_back(u: Array, rest: float, _seconds: float) -> Array:
    return rest - u


def _tremble(u: Array, rest: float, seconds: float) -> Array:
    return rest + u * max(1, round(TREMBLE_RATE * seconds))


def _there_and_back(u: Array, rest: float, _seconds: float) -> Array:
    return np.abs((rest + 2 * u) % 2 - 1)  # one period of a triangle wave: a closed loop from anywhere


# Name → (channel, path). A path gives the channel's phase at the elapsed shares u in [0, 1] of the motion.
# Each motion but `shake` has its time reversal in the list; `shake` is its own.
_MOTION_PATHS: dict[str, tuple[str, Path]] = {
    "left-to-right": ("x", _forward),
    "right-to-left": ("x", _backward),
    "rise": ("y", _backward),  # y counts downwards
    "fall": ("y", _forward),
    "clockwise": ("turn", _turn),
    "counter-clockwise": ("turn", _turn_back),
    "grow": ("size", _forward),
    "shrink": ("size", _backward),
    "shake": ("tremble", _tremble),
}

# Loops end where they began, so that the order of several leaves no trace in positions or sizes.
_LOOP_PATHS: dict[str, tuple[str, Path]] = {
    "sweep": ("x", _there_and_back),
    "bob": ("y", _there_and_back),
    "orbit": ("turn", _turn),
    "pulse": ("size", _there_and_back),
    "tremble": ("tremble", _tremble),
}

MOTIONS: tuple[str, ...] = tuple(_MOTION_PATHS)
LOOPS: tuple[str, ...] = tuple(_LOOP_PATHS)
ORDERS: tuple[str, ...] = (
    "sweep-then-bob",
    "bob-then-sweep",
    "sweep-then-pulse",
    "pulse-then-sweep",
    "bob-then-pulse",
    "pulse-then-bob",
)
DETAILS: tuple[str, ...] = ("rows", "columns", "checks")


def order_parts(label: str) -> tuple[str, ...]:
    """The loops that an order class names, in order: ``sweep-then-bob`` → ``("sweep", "bob")``."""
    return tuple(label.split("-then-"))


def phases(name: str, u: Array, rest: dict[str, float], seconds: float) -> dict[str, Array]:
    """The phase of every channel while the motion or loop ``name`` runs.

    Args:
        name: one of :data:`MOTIONS` or :data:`LOOPS`.
        u: elapsed share of the motion at each frame, in [0, 1].
        rest: the resting phase of each channel.
        seconds: how long the motion takes.

    Shape: ``u`` [T] → each channel [T].
    """
    channel, path = _MOTION_PATHS.get(name) or _LOOP_PATHS[name]
    still = {key: np.full(len(u), value) for key, value in rest.items()}
    # A loop must start where the actor rests; there-and-back does so only if asked for its own phase.
    start = 1 + rest[channel] if path is _there_and_back else rest[channel]
    return still | {channel: path(u, start, seconds)}


def place(phase: dict[str, Array], centre: Array) -> Array:
    """From phases to where an actor is seen and how large.

    Shape: each channel [T], ``centre`` [2] (y, x) → [T, 3] of y, x, radius, in shorter sides of the frame.
    """
    angle = 2 * np.pi * phase["turn"]
    y = centre[0] + TRAVEL * (phase["y"] - 0.5) + ORBIT * np.sin(angle)  # y counts downwards: clockwise on screen
    x = centre[1] + TRAVEL * (phase["x"] - 0.5) + ORBIT * np.cos(angle) + TREMBLE * np.sin(2 * np.pi * phase["tremble"])
    radius = RADII[0] * (RADII[1] / RADII[0]) ** phase["size"]
    return np.stack([y, x, radius], axis=1)  # [T, 3]
