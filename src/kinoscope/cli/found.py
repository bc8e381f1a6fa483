"""What `kinoscope search` found, as a table, JSON, CSV and a page of pictures."""

from __future__ import annotations

import csv as csv_format
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import KinoscopeError
from ..files import write_json, write_text
from ..progress import progress
from ..report.contact_sheet import ContactSheet, Still, write_contact_sheet
from ..report.html import clock
from ..search.index import Index
from ..search.nearest import Hit
from ..search.query import Query
from ..search.stills import still
from .pages import circumstances
from .terminal import note, print_json, print_table

_COLUMNS = ("rank", "video", "time", "start", "end", "similarity", "file")
_DIGITS = 3  # of seconds


@dataclass(frozen=True)
class Wanted:
    """Where results go."""

    html: Path | None
    output: Path | None
    csv: Path | None
    json: bool
    """Print JSON instead of a table."""
    by_moment: bool
    """Results are moments; else whole videos."""


def show_found(query: Query, hits: Sequence[Hit], index: Index, wanted: Wanted, told: Sequence[str]) -> int:
    """Write, draw and print the results; ``told`` is what a reader must know of them. Returns the exit code."""
    content = {"query": _asked(query), "encoder": index.encoder, "notes": list(told), "results": _rows(hits)}
    if wanted.output is not None:
        write_json(wanted.output, content)
    if wanted.csv is not None:
        write_text(wanted.csv, _csv(_rows(hits)))
    if wanted.html is not None:
        write_contact_sheet(wanted.html, _sheet(query, hits, index, wanted, told))
    if wanted.json:
        print_json(content)
    else:
        header = ("rank", "video", "time [s]" if wanted.by_moment else "most alike at [s]", "similarity")
        rows = [(n, hit.video, f"{hit.time:.2f}", hit.similarity) for n, hit in enumerate(hits, 1)]
        print_table(_title(query, wanted), header, rows, note=". ".join(told) + ".")
    if written := [str(path) for path in (wanted.output, wanted.csv, wanted.html) if path is not None]:
        note("Written: " + ", ".join(written))
    return 0


def _title(query: Query, wanted: Wanted) -> str:
    what = "Moments" if wanted.by_moment else "Videos"
    return f"{what} most like {query.name}{_when(query)}"


def _when(query: Query) -> str:
    """Which part of the query was looked for."""
    if query.span is None:
        return ""
    begin, end = query.span
    return f" at {begin:g} s" if begin == end else f" from {begin:g} to {end:g} s"


def _asked(query: Query) -> dict[str, Any]:
    return {"name": query.name, "span": query.span, "in_index": query.video is not None}


def _rows(hits: Sequence[Hit]) -> list[dict[str, Any]]:
    rows = []
    for rank, hit in enumerate(hits, 1):
        times = {name: round(getattr(hit, name), _DIGITS) for name in ("time", "start", "end")}
        file = None if hit.path is None else hit.path.as_posix()
        rows.append({"rank": rank, "video": hit.video, **times, "similarity": round(hit.similarity, 6), "file": file})
    return rows


def _csv(rows: Sequence[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv_format.DictWriter(text, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _sheet(query: Query, hits: Sequence[Hit], index: Index, wanted: Wanted, told: Sequence[str]) -> ContactSheet:
    """The page; a result whose video cannot be read has no picture, and this is said."""
    missing: list[str] = []
    with progress("Drawing", len(hits) + 1) as report:
        asked = _still(query.name, query.path, query.time, missing, note=_when(query).strip() or "whole video")
        report(1, query.name)
        stills = []
        for hit in hits:
            part = f"{clock(hit.start)} – {clock(hit.end)}"
            stills.append(_still(hit.video, hit.path, hit.time, missing, note=part, similarity=hit.similarity))
            report(1, hit.video)
    notes = list(dict.fromkeys(missing))
    settings = {
        **circumstances(),
        "encoder": f"{index.encoder} (weights {index.weight_hash})",
        "search": ", ".join(told),
    }
    kind = "moments" if wanted.by_moment else "videos, each at the moment that is most alike"
    return ContactSheet(_title(query, wanted), asked, stills, kind, notes, settings)


def _still(
    name: str, path: Path | None, time: float, missing: list[str], *, note: str, similarity: float | None = None
) -> Still:
    picture = None
    try:
        picture = None if path is None else still(path, time)
    except KinoscopeError as error:
        missing.append(f"No picture of {name}: {error.problem}.")
    else:
        if path is None:
            missing.append(
                f"No picture of {name}: its file is not known. Name the folder of the videos with --library."
            )
    return Still(name, time, picture, path if picture else None, note, similarity)
