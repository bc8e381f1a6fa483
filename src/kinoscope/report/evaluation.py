"""How good predictions are, as one page: curves, what false positives are, and every figure in a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..files import write_text
from .chart import chart_figure
from .content import Chart, Table
from .html import summary_table, text
from .marks import part_key, part_style, stacked_bar
from .page import scriptless_page, styles


@dataclass(frozen=True)
class Stack:
    """Wholes, each divided into the same parts."""

    title: str
    parts: Sequence[str]
    rows: Sequence[tuple[str, Sequence[float]]]
    """What each whole is, and the share of every part in it, from 0 to 1."""
    note: str = ""


@dataclass(frozen=True)
class EvaluationPage:
    """What the page shows."""

    title: str
    headline: str
    """The one number, in a sentence."""
    charts: Sequence[Chart] = ()
    stacks: Sequence[Stack] = ()
    tables: Sequence[Table] = ()
    notes: Sequence[str] = ()
    """What changed the score or was left out of it."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """What made the page, and what fixes the numbers on it."""


def write_evaluation_page(path: str | Path, page: EvaluationPage) -> None:
    """Write ``page`` as one HTML file, atomically.

    Raises:
        OutputError: the file cannot be written.
    """
    write_text(path, render_evaluation_page(page))


def render_evaluation_page(page: EvaluationPage) -> str:
    """The page's HTML."""
    charts = "\n".join(chart_figure(number, chart) for number, chart in enumerate(page.charts))
    parts = [f'<div class="charts">{charts}</div>'] if page.charts else []
    parts += [_stack(stack) for stack in page.stacks]
    parts += [summary_table(table) for table in page.tables]
    return scriptless_page(
        page.title,
        page.headline,
        "\n".join(parts),
        style=styles("charts", "parts", "tradeoff"),
        notes=page.notes,
        settings=page.settings,
        leads="it can be kept and sent as it is",
    )


def _stack(stack: Stack) -> str:
    keys = "".join(f"<li>{part_key(part_style(n))}{text(name)}</li>" for n, name in enumerate(stack.parts))
    rows = []
    for label, shares in stack.rows:
        told = [f"{name}: {share:.1%}" for name, share in zip(stack.parts, shares, strict=True)]
        parts = [(part_style(n), share, told[n]) for n, share in enumerate(shares)]
        bar = stacked_bar(parts, 1.0, f"{label}: {', '.join(told)}")
        rows.append(f"<li><span>{text(label)}</span>{bar}<span></span></li>")
    note = f'<p class="table-note">{text(stack.note)}</p>' if stack.note else ""
    return (
        f'<div class="card"><h2>{text(stack.title)}</h2><ul class="keys" aria-label="Parts">{keys}</ul>'
        f'<ul class="stacks">{"".join(rows)}</ul>{note}</div>'
    )
