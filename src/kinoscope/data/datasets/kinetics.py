"""Kinetics 400, 600 and 700: CSV files of YouTube clips, and those clips that could still be downloaded.

Source: Kay et al. (2017) and its successors; columns ``label,youtube_id,time_start,time_end,split``. The clips are
trimmed files ``ID_000010_000020.mp4`` (the times padded to six digits), in folders of classes or all in one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from ...errors import AnnotationError
from ...wording import plural
from ..annotations_csv import table_rows
from ..annotations_text import read_text
from .listing import Listing, Row

_NEEDED = ("youtube_id", "time_start", "time_end")
_HEAD_BYTES = 4096


def tables(source: Path) -> list[Path]:
    """The files with Kinetics' columns: ``source`` itself, or those in it or in a folder in it, sorted."""
    if not source.is_dir():
        return [source] if _is_table(source) else []
    for pattern in ("*.csv", "*/*.csv"):
        if found := [path for path in sorted(source.glob(pattern)) if _is_table(path)]:
            return found
    return []


def list_clips(source: Path) -> Listing:
    """The clips of all tables; those without a label (tests whose labels are kept secret) are left out.

    Raises:
        AnnotationError: no table, or a row that cannot be read.
    """
    found = tables(source)
    if not found:
        cure = "the first line must be label,youtube_id,time_start,time_end,split"
        raise AnnotationError("no table of Kinetics", where=source, cure=cure)
    rows = [row for path in found for row in _rows(path)]
    labelled = tuple(row for row in rows if row.label)
    unknown = len(rows) - len(labelled)
    remarks = (f"left out, without a label: {plural(unknown, 'clip')}",) if unknown else ()
    return Listing(labelled, source, source if source.is_dir() else source.parent, remarks, tolerant=True)


def _is_table(path: Path) -> bool:
    if path.suffix.lower() != ".csv" or not path.is_file():
        return False
    with path.open("rb") as file:
        header = file.readline(_HEAD_BYTES).decode("utf-8-sig", "replace")
    return set(_NEEDED) <= set(_cells(header.split(",")))


def _rows(path: Path) -> Iterator[Row]:
    lines = table_rows(read_text(path), path, ",")
    header = _cells(next(lines)[1])
    for line, cells in lines:
        row = dict(zip(header, (cell.strip() for cell in cells), strict=False))
        where = f"{path}:{line}"
        identity, label = row.get("youtube_id", ""), row.get("label", "")
        if not identity or "/" in identity or "\\" in identity:
            raise AnnotationError(f"youtube_id is {identity!r}", where=where, cure="name the clip in this row")
        start, end = (_seconds(row.get(name, ""), name, where) for name in ("time_start", "time_end"))
        name = f"{label.replace('/', '_')}/{identity}_{start:06d}_{end:06d}"
        yield Row(name, f"{name}.mp4", label, row.get("split") or None, where=where)


def _seconds(cell: str, column: str, where: str) -> int:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not 0 <= value < 1e6:
        raise AnnotationError(f"{column} is {cell!r}", where=where, cure="give whole seconds, from 0 to 999999")
    return int(value)


def _cells(cells: list[str]) -> list[str]:
    return [cell.strip().strip('"').lower() for cell in cells]
