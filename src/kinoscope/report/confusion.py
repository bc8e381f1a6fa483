"""Which classes are taken for which: the confusion matrix, the pairs confused most, and every class by itself.

Letters: K classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .html import text
from .marks import share_bar

MOST_NAMED = 60
"""Classes up to which the matrix is a table with names; beyond, it is a picture."""

_ROOMY = 16  # classes up to which the cells of the table are large
_SHADES = 9  # in the style sheet
_PAIRS = 20
_SMALLEST = 160  # mistakes side by side in the picture: they are drawn this large at least, or nobody would see them

Counts = NDArray[np.integer]


def confusion_section(table: Counts, classes: Sequence[str]) -> str:
    """The matrix and the pairs confused most, as HTML.

    Args:
        table: how often each true class (row) was called each class (column). Shape: [K, K].
        classes: their names. Shape: [K].
    """
    drawing = _named_matrix(table, classes) if len(classes) <= MOST_NAMED else _picture(table, classes)
    return (
        '<div class="beside"><section class="card matrix"><h2>Confusion matrix</h2><p class="hint">A row for each true '
        "class, a column for each answer; the colour is stronger for a larger share of the row.</p>"
        f"{drawing}</section>\n{_confused_pairs(table, classes)}</div>"
    )


def class_table(rows: Sequence[Mapping[str, Any]], table: Counts) -> str:
    """Every class with its share of right answers, the worst first.

    Args:
        rows: of :meth:`kinoscope.evaluate.ClipScores.per_class`. Shape: [K].
        table: the confusion matrix. Shape: [K, K].
    """
    ranks = sorted(range(len(rows)), key=lambda k: _badness(rows[k]))
    body = "\n".join(_class_row(rows[k], _favourite_mistake(table[k], k, rows)) for k in ranks)
    header = '<th scope="col">Class</th><th scope="col" class="num">Videos</th><th scope="col" class="num">Right</th>'
    header += (
        '<th scope="col"></th><th scope="col" class="num">Others called so</th><th scope="col">Mostly taken for</th>'
    )
    return (
        f'<section class="card"><h2>Classes</h2><div class="wide tall" tabindex="0" role="group" aria-label="Classes">'
        f'<table class="classes"><thead><tr>{header}</tr></thead><tbody>\n{body}\n</tbody></table></div></section>'
    )


def _named_matrix(table: Counts, classes: Sequence[str]) -> str:
    heads = "".join(f'<th scope="col" title="{text(name)}"><bdi>{text(name)}</bdi></th>' for name in classes)
    head = (
        f'<thead><tr><td class="corner">truth ↓ answer →</td>{heads}<th scope="col"><bdi>videos</bdi></th></tr></thead>'
    )
    rows = "\n".join(_matrix_row(row, k, classes) for k, row in enumerate(table))
    dense = "" if len(classes) <= _ROOMY else " dense"
    return (
        '<div class="wide" tabindex="0" role="group" aria-label="Confusion matrix">'
        f'<table class="confusion{dense}">{head}<tbody>\n{rows}\n</tbody></table></div>'
    )


def _matrix_row(row: Counts, k: int, classes: Sequence[str]) -> str:
    total, name = int(row.sum()), text(classes[k])
    cells = "".join(_matrix_cell(count, total, k, answer, classes) for answer, count in enumerate(row.tolist()))
    return f'<tr><th scope="row" title="{name}"><bdi>{name}</bdi></th>{cells}<td>{total}</td></tr>'


def _matrix_cell(count: int, total: int, truth: int, answer: int, classes: Sequence[str]) -> str:
    kind = "right" if truth == answer else "wrong"
    if not count:
        return '<td class="right"></td>' if truth == answer else "<td></td>"
    shade = f"shade-{max(1, round(count / total * _SHADES))}"
    return f'<td class="{kind} {shade}" title="{_pair(classes, truth, answer)}: {count} of {total}">{count}</td>'


def _picture(table: Counts, classes: Sequence[str]) -> str:
    """Every cell that is not empty, as SVG; its names stand in its tooltip."""
    count, totals = len(classes), table.sum(axis=1)
    side = max(1.0, count / _SMALLEST)
    places = np.argwhere(table > 0).tolist()
    right = [_dot(table, totals, classes, truth, answer, 1.0) for truth, answer in places if truth == answer]
    wrong = [_dot(table, totals, classes, truth, answer, side) for truth, answer in places if truth != answer]
    larger = " Mistakes are drawn larger than a cell." if side > 1 else ""
    return (
        f'<svg class="picture" viewBox="0 0 {count} {count}" role="img" aria-label="Confusion matrix of {count} '
        f'classes">{"".join(right + wrong)}</svg><p class="table-note">{count} classes in their order, the first at '
        f"the top left; rest the pointer on a cell for its names.{larger}</p>"
    )


def _dot(table: Counts, totals: Counts, classes: Sequence[str], truth: int, answer: int, side: float) -> str:
    count, total = int(table[truth, answer]), int(totals[truth])
    kind = "right" if truth == answer else "wrong"
    x, y = answer + (1 - side) / 2, truth + (1 - side) / 2
    place = f'x="{x:g}" y="{y:g}" width="{side:g}" height="{side:g}" fill-opacity="{0.25 + 0.75 * count / total:.2f}"'
    return f'<rect class="{kind}" {place}><title>{_pair(classes, truth, answer)}: {count} of {total}</title></rect>'


def _confused_pairs(table: Counts, classes: Sequence[str]) -> str:
    """The mistakes that were made most often; nothing where there is none."""
    wrong = np.where(np.eye(len(table), dtype=bool), 0, table)
    totals = table.sum(axis=1)
    pairs = sorted(np.argwhere(wrong > 0).tolist(), key=lambda pair: (-wrong[tuple(pair)], totals[pair[0]], pair))
    if not pairs:
        return ""
    rows = "\n".join(
        f"<tr><td><bdi>{text(classes[truth])}</bdi></td><td><bdi>{text(classes[answer])}</bdi></td>"
        f'<td class="num">{wrong[truth, answer]} of {totals[truth]}</td>'
        f'<td class="share-cell">{share_bar(wrong[truth, answer] / totals[truth])}</td></tr>'
        for truth, answer in pairs[:_PAIRS]
    )
    more = f'<p class="table-note">{_PAIRS} of {len(pairs)} pairs.</p>' if len(pairs) > _PAIRS else ""
    header = '<th scope="col">Truth</th><th scope="col">Taken for</th><th scope="col" class="num">Videos</th><th></th>'
    return (
        '<section class="card confused"><h2>Confused most</h2><div class="wide tall" tabindex="0" role="group" '
        f'aria-label="Confused most"><table class="pairs"><thead><tr>{header}</tr></thead><tbody>\n{rows}\n'
        f"</tbody></table></div>{more}</section>"
    )


def _badness(row: Mapping[str, Any]) -> tuple[bool, float, int]:
    """The worst first, of equally bad ones the larger; classes without a video last."""
    return row["accuracy"] is None, row["accuracy"] or 0.0, -row["videos"]


def _favourite_mistake(row: Counts, k: int, rows: Sequence[Mapping[str, Any]]) -> str:
    others = row.copy()
    others[k] = 0
    best = int(others.argmax())
    return f"{rows[best]['class']} ({others[best]})" if others[best] else ""


def _class_row(row: Mapping[str, Any], mistake: str) -> str:
    accuracy = row["accuracy"]
    right = "–" if accuracy is None else f"{row['right']} · {100 * accuracy:.0f} %"
    bar = "" if accuracy is None else share_bar(accuracy, "right")
    return (
        f'<tr><td><bdi>{text(row["class"])}</bdi></td><td class="num">{row["videos"]}</td><td class="num">{right}</td>'
        f'<td class="share-cell">{bar}</td><td class="num">{row["others_called_so"]}</td>'
        f"<td><bdi>{text(mistake)}</bdi></td></tr>"
    )


def _pair(classes: Sequence[str], truth: int, answer: int) -> str:
    return text(f"{classes[truth]} → {classes[answer]}")
