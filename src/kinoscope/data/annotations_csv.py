"""Annotations as a table: ``video,label[,split]`` for clips, ``video,start,end,label[,split]`` for segments."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from ..errors import AnnotationError
from .annotations_checks import AnnotationBuilder

COLUMNS = ("video", "start", "end", "label", "score", "split", "duration", "region")
_OTHER_NAMES = {
    "subset": "split",
    # the names in the tables of TSP (Alwassel et al., ICCVW 2021), a common source of ActivityNet's ground truth
    "video-name": "video",
    "t-start": "start",
    "t-end": "end",
    "action-label": "label",
    "video-duration": "duration",
    "temporal-region-label": "region",
}
_EXPECTED = (
    "the first line must be video,label[,split] or video,start,end,label[,split], optionally with duration and score"
)

GUARDED = re.compile(r"'*[=+\-@\t\r]")
"""Cells that a spreadsheet would run as a formula; our writer puts one apostrophe before them."""


def read_table(text: str, path: Path, builder: AnnotationBuilder) -> None:
    """Feed every row of a CSV file to ``builder``; separators comma, semicolon and tab are told from the header.

    Raises:
        AnnotationError: no header, or one without the needed columns.
    """
    header_line = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = _delimiter(header_line)
    rows = table_rows(text, path, delimiter)
    line, header = next(rows, (1, []))
    columns = _columns(header, f"{path}:{line}", unlabelled=builder.unlabelled)
    for line, cells in rows:
        if len(cells) > len(header):
            problem = f"{len(cells)} cells, but the header names {len(header)} columns"
            builder.flaw("cells", line, problem, "put text that holds the separator in double quotes")
            continue
        row = {name: cells[index].strip() if index < len(cells) else "" for name, index in columns.items()}
        _read_row(row, line, builder, decimal_comma=delimiter == ";")


def _read_row(row: dict[str, str], line: int, builder: AnnotationBuilder, *, decimal_comma: bool) -> None:
    if decimal_comma:  # spreadsheets that separate by semicolon write 1,5
        row |= {name: row[name].replace(",", ".") for name in ("start", "end", "score", "duration") if name in row}
    name, label = unguard(row["video"]), unguard(row.get("label", ""))
    draft = builder.video(name, line, duration=row.get("duration"), subset=row.get("split"))
    if draft is None:
        return
    if row.get("region", "").lower() == "no action":  # TSP lists the stretches between actions too
        builder.leave_out("marked 'No action'", line)
        return
    if "start" not in row:
        builder.clip(draft, label, line)
    elif not (row["start"] or row["end"] or label):
        draft.known_empty = line
    else:
        builder.segment(draft, row["start"], row["end"], label, row.get("score") or None, line)


def unguard(cell: str) -> str:
    """Take away the apostrophe that :func:`guard` put before a cell."""
    return cell[1:] if cell.startswith("'") and GUARDED.match(cell) else cell


def guard(cell: str) -> str:
    """Keep a spreadsheet from running a cell as a formula; :func:`unguard` is the inverse."""
    return f"'{cell}" if GUARDED.match(cell) else cell


def locate(path: Path) -> Callable[[object], str]:
    """Places of this file as ``file:line``."""
    return lambda line: f"{path}:{line}"


def table_rows(text: str, path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Records with the line on which each begins, counted as an editor counts; blank lines are skipped."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    begins = 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield begins, cells
            begins = reader.line_num + 1
    except csv.Error as error:
        cure = "close every double quote; write a quote inside a cell twice"
        raise AnnotationError(f"not a readable table: {error}", where=f"{path}:{begins}", cure=cure) from error


def _delimiter(header: str) -> str:
    def known(delimiter: str) -> int:
        return sum(_canonical(cell) in COLUMNS for cell in header.split(delimiter))

    return max(",;\t", key=known)


def _columns(header: list[str], where: str, *, unlabelled: bool) -> dict[str, int]:
    """Column name → index. A column under its own name goes before another name for it.

    Segments that may be ``unlabelled`` need no column for labels.
    """
    found: dict[str, int] = {}
    for index, cell in enumerate(header):
        name = _canonical(cell)
        if name in found and cell.strip().lower() == name:
            raise AnnotationError(f"two columns are named {name}", where=where, cure="keep one of them")
        if name in COLUMNS:
            found.setdefault(name, index)
    needed = ("video", "label", "start", "end") if {"start", "end"} & found.keys() else ("video", "label")
    missing = [name for name in needed if name not in found and not (unlabelled and name == "label")]
    if missing:
        shown = ", ".join(repr(cell.strip()) for cell in header[:12])
        raise AnnotationError(
            f"no column {' or '.join(missing)}; the header has {shown}"[:300], where=where, cure=_EXPECTED
        )
    return found


def _canonical(cell: str) -> str:
    name = cell.strip().strip('"').lower()
    return _OTHER_NAMES.get(name, name)
