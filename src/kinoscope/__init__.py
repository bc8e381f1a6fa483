"""Kinoscope tells what happens in video, and when.

The names below are the public surface; each is imported when first used, so that ``import kinoscope`` is instant.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "KinoscopeError": "errors",
    "Segment": "data.segments",
    "open_video": "video",
}

__all__ = [*_HOMES, "__version__"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module 'kinoscope' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


if TYPE_CHECKING:
    from .data.segments import Segment as Segment
    from .errors import KinoscopeError as KinoscopeError
