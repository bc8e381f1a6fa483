"""Clips of a library of videos: every video decoded once, then any stretch of it in any stream.

``library`` (which videos, and what is wrong with them), ``footage`` (frames of one), ``cache`` (frames on disk),
``motion`` (the second stream), ``reader`` (clips as networks see them), ``windows`` (what is looked at in a test).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import attach

if TYPE_CHECKING:
    from .reader import ClipOptions as ClipOptions
    from .reader import Clips as Clips

_HOMES = {"ClipOptions": "reader", "Clips": "reader"}
__all__ = list(_HOMES)
__getattr__ = attach(__name__, _HOMES)
