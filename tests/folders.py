"""What is in a folder, for tests that nothing is left behind."""

from __future__ import annotations

from pathlib import Path


def names_in(folder: Path) -> list[str]:
    """Names directly in a folder, hidden ones included."""
    return sorted(path.name for path in folder.iterdir())


def files_below(folder: Path) -> list[str]:
    """Every file below a folder, hidden ones included, relative to it."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
