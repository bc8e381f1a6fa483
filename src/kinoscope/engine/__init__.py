"""One readable training loop, checkpoints that resume to the same bits, seeds, logs.

Names are imported when first used: reading a trained model must not wait for the training loop and its libraries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import attach

if TYPE_CHECKING:
    from .loop import fit as fit
    from .options import LoopOptions as LoopOptions
    from .task import Task as Task

_HOMES = {"LoopOptions": "options", "Task": "task", "fit": "loop"}
__all__ = list(_HOMES)
__getattr__ = attach(__name__, _HOMES)
