"""Nearest videos and nearest moments: a library of features as an index on disk, and questions to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import attach

if TYPE_CHECKING:
    from .build import index_of as index_of
    from .build import write_index as write_index
    from .index import Index as Index
    from .index import open_index as open_index
    from .library import index_library as index_library
    from .nearest import Hit as Hit
    from .nearest import nearest_moments as nearest_moments
    from .nearest import nearest_videos as nearest_videos
    from .query import Query as Query
    from .query import find_query as find_query

_HOMES = {
    "Hit": "nearest",
    "Index": "index",
    "Query": "query",
    "find_query": "query",
    "index_library": "library",
    "index_of": "build",
    "nearest_moments": "nearest",
    "nearest_videos": "nearest",
    "open_index": "index",
    "write_index": "build",
}
__all__ = list(_HOMES)
__getattr__ = attach(__name__, _HOMES)
