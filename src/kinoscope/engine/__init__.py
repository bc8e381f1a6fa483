"""One readable training loop, checkpoints that resume to the same bits, seeds, logs."""

from .loop import fit
from .options import LoopOptions
from .task import Task

__all__ = ["LoopOptions", "Task", "fit"]
