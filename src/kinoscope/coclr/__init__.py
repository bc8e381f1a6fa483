"""CoCLR (NeurIPS 2020): an encoder from video without labels; two streams find positives for each other.

Reads like the paper: ``loss`` (section 3.1), ``mining`` (3.2), ``network``, ``queue``, ``task`` (one update),
``schedule`` (the stages). ``views`` are what it looks at, of the clips that :mod:`kinoscope.clips` reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import attach

if TYPE_CHECKING:
    from .pairs import PairedViews as PairedViews
    from .views import sample_views as sample_views

_HOMES = {
    "PairedViews": "pairs",
    "sample_views": "views",
}
__all__ = list(_HOMES)
__getattr__ = attach(__name__, _HOMES)
