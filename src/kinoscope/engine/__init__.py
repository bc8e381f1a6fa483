"""One readable training loop, checkpoints that resume to the same bits, seeds, logs."""

from .loop import LoopOptions, Task, fit

__all__ = ["LoopOptions", "Task", "fit"]
