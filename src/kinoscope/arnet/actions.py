"""What the policy can choose for a frame: a resolution, its own answer, or to skip some frames.

Letters: T candidate frames, A actions.

Source: AR-Net sheet, section 2 (actions, skip semantics).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..errors import OptionError

Bools = npt.NDArray[np.bool_]
_LARGEST, _SMALLEST, _MOST_SKIPPED, _MOST = 1024, 32, 64, 16


@dataclass(frozen=True)
class Actions:
    """The actions in their order: one for each backbone, the policy's own answer, one for each number of skips."""

    sizes: tuple[int, ...] = (224, 168, 112)
    """Pixels of the side that each backbone sees, largest first."""
    policy_size: int = 84
    """Pixels of the side that the policy sees of every frame that it is asked about."""
    skips: tuple[int, ...] = (1, 2, 4)
    """Frames that each skip drops: the one that it was decided on, and those after it. May be empty."""

    def __post_init__(self) -> None:
        for size in (*self.sizes, self.policy_size):
            if not _SMALLEST <= size <= _LARGEST:
                raise OptionError(f"a resolution is {size}, but must lie between {_SMALLEST} and {_LARGEST} pixels")
        if not self.sizes or list(self.sizes) != sorted(set(self.sizes), reverse=True):
            cure = "give at least one, the largest first, none twice: 224,168,112"
            raise OptionError(f"the resolutions are {list(self.sizes)}", cure=cure)
        if list(self.skips) != sorted(set(self.skips)) or not all(1 <= each <= _MOST_SKIPPED for each in self.skips):
            cure = f"give numbers from 1 to {_MOST_SKIPPED}, ascending: 1,2,4"
            raise OptionError(f"the skips are {list(self.skips)}", cure=cure)
        if self.count > _MOST:
            raise OptionError(f"there are {self.count} actions, but {_MOST} are the most", cure="leave some out")

    @property
    def own(self) -> int:
        """The action that takes the policy's own answer."""
        return len(self.sizes)

    @property
    def answers(self) -> int:
        """How many actions give an answer; those after them skip."""
        return len(self.sizes) + 1

    @property
    def count(self) -> int:
        """A, how many actions there are."""
        return self.answers + len(self.skips)

    @property
    def names(self) -> tuple[str, ...]:
        """What each does, in words."""
        own = f"{self.policy_size} px (the policy's own answer)"
        return (*(f"{size} px" for size in self.sizes), own, *(f"skip {number}" for number in self.skips))

    def size_of(self, action: int) -> int | None:
        """The resolution of the answer that an action gives; none for a skip."""
        return (*self.sizes, self.policy_size)[action] if action < self.answers else None

    def dropped_by(self, action: int) -> int:
        """How many frames an action drops, the one that it was decided on among them; 0 for one that answers."""
        return self.skips[action - self.answers] if action >= self.answers else 0


def follow(asked: Sequence[int], actions: Actions) -> tuple[list[int], Bools]:
    """What happens when the policy would answer ``asked`` at each frame: the actions, and whether it was consulted.

    A skip drops the frame that it was decided on and those after it; until they are over no other action begins. A
    skip is cut off by the end. Shape: [T] -> [T], [T].
    """
    taken: list[int] = []
    consulted = np.zeros(len(asked), dtype=bool)
    remain = 0
    for frame, action in enumerate(asked):
        if remain == 0:
            consulted[frame], remain = True, actions.dropped_by(action)
            taken.append(action)
        else:
            taken.append(taken[-1])
        remain = max(remain - 1, 0)
    return taken, consulted
