"""Made videos with known truth, on which the methods can be told apart: see ``docs/playground.md``.

The folder reads in this order: :mod:`.motions` (what a class is), :mod:`.scene` (how a frame looks),
:mod:`.plan` (what happens when in each video), :mod:`.make` (the files).
"""

from .make import PlaygroundPaths, make_playground
from .motions import DETAILS, LOOPS, MOTIONS, ORDERS
from .options import PlaygroundOptions

__all__ = ["DETAILS", "LOOPS", "MOTIONS", "ORDERS", "PlaygroundOptions", "PlaygroundPaths", "make_playground"]
