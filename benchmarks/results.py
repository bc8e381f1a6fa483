"""``docs/results.md``: every benchmark prints its section, and with ``--write`` replaces it there, and only it."""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from kinoscope.files import write_text

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs" / "results.md"

_HEADER = """\
# Results

Written by the scripts in `benchmarks/`; edit those, not this file. Each section says what made it and on what machine.
Times depend on the machine; the ratios in a row were measured in one run, in turns, and depend on it far less.
"""
_PACKAGES = (
    "kinoscope",
    "torch",
    "openvino",
    "onnxruntime",
    "nncf",
    "av",
    "numpy",
    "opencv-contrib-python-headless",
    "torchcodec",
)
_BUSY = f"load {os.getloadavg()[0]:.1f} before the start" if hasattr(os, "getloadavg") else "load not known"
"""Others' work on the machine, read when the benchmark starts."""


@dataclass(frozen=True)
class Section:
    """One benchmark's part of the document."""

    name: str
    """Of the script; marks the section in the document."""
    title: str
    command: str
    """What makes this section again, from the root of the repository."""
    body: str
    """Tables, in Markdown."""
    note: str
    """What the numbers mean, and what they do not."""

    def text(self) -> str:
        """The section in Markdown, without its markers."""
        today = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
        facts = f"{today}. {machine()}.\n\n```\n{self.command}\n```"
        return f"## {self.title}\n\n{facts}\n\n{self.body.strip()}\n\n{self.note.strip()}\n"


def publish(section: Section, *, write: bool) -> None:
    """Print a section; write it to the document if asked."""
    text = section.text()
    print(text)
    if write:
        before = DOCUMENT.read_text(encoding="utf-8") if DOCUMENT.is_file() else _HEADER
        write_text(DOCUMENT, replaced(before, section.name, text))


def replaced(document: str, name: str, text: str) -> str:
    """``document`` with the section ``name`` replaced, or added at the end; nothing else changes."""
    first, last = f"<!-- begin {name} -->\n", f"<!-- end {name} -->\n"
    block = f"{first}{text}{last}"
    before, found, rest = document.partition(first)
    if not found:
        return f"{document.rstrip()}\n\n{block}"
    _, closed, after = rest.partition(last)
    if not closed:
        raise ValueError(f"the section {name!r} of {DOCUMENT.name} has a beginning but no end")
    return f"{before}{block}{after}"


def table(rows: Sequence[Mapping[str, object]]) -> str:
    """Rows as a Markdown table; the columns are the keys, in the order in which they first appear."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = [columns, ["---"] * len(columns)]
    lines += [[str(row.get(column, "")).replace("|", "\\|") for column in columns] for row in rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def machine() -> str:
    """Processor, cores, versions, and how busy it was before the measurement, in one line."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    versions = [f"{name} {found}" for name in _PACKAGES if (found := _version(name))]
    return f"{_processor()}, {cores} cores, {_BUSY}; Python {platform.python_version()}, {', '.join(versions)}"


def data_folder() -> Path:
    """Where the real data lies: $KINOSCOPE_DATA, else beside the repository. Ends the script when it is missing."""
    folder = Path(os.environ.get("KINOSCOPE_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        raise SystemExit(f"the real data is not at {folder}: set KINOSCOPE_DATA")
    return folder


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []  # Linux only
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
