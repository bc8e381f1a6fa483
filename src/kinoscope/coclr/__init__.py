"""CoCLR (NeurIPS 2020): an encoder from video without labels; two streams find positives for each other.

Reads like the paper: ``loss`` (section 3.1), ``mining`` (3.2), ``network``, ``queue``, ``task`` (one update),
``schedule`` (the stages). ``clips`` and ``views`` are what it looks at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import attach

if TYPE_CHECKING:
    from .clips import ClipOptions as ClipOptions
    from .clips import Clips as Clips
    from .pairs import PairedViews as PairedViews
    from .views import sample_views as sample_views

_HOMES = {
    "ClipOptions": "clips",
    "Clips": "clips",
    "PairedViews": "pairs",
    "sample_views": "views",
}
__all__ = list(_HOMES)
__getattr__ = attach(__name__, _HOMES)
