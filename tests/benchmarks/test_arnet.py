"""The report of AR-Net's benchmark: rows of several seeds become one, and figures are those of all clips together."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.arnet import report, rows_of


def cell(hits: list[int], seconds: float, places: int = 2) -> dict[str, Any]:
    def row(method: str, setting: str, right: list[int], took: float) -> dict[str, Any]:
        count = len(right)
        return {
            "method": method,
            "setting": setting,
            "hits": right,
            "gmac": [2.0] * count,
            "seconds": [took] * count,
            "shares": {"decode": 0.5 * took, "policy": 0.25 * took, "net": 0.25 * took},
        }

    rows = [row("AR-Net", "16 frames", hits, seconds)]
    rows += [row("AR-Net", f"{n} frames, bias {n}", hits, seconds) for n in range(places)]
    rows.append(row("UNIFORM, 224 px", "16 frames", [1] * len(hits), 1.0))
    choices = [{"evidence": True, "action": "224 px"}, {"evidence": False, "action": "skip 4"}]
    return {
        "clips": ["a"] * len(hits),
        "rows": rows,
        "sampled": [{"accuracy": 0.5, "gmac": 3.0}] * 2,
        "choices": choices,
    }


def test_rows_of_several_seeds_become_one() -> None:
    rows = rows_of([cell([1, 0], 0.5), cell([1, 1, 0], 0.25, places=3)])
    assert [(row.method, row.setting) for row in rows] == [
        *(("AR-Net", name) for name in ("16 frames", "setting 1 of its curve", "setting 2 of its curve")),
        ("UNIFORM, 224 px", "16 frames"),
    ], "a place that only one of the curves has is left out"
    assert rows[0].hits.tolist() == [1, 0, 1, 1, 0]
    np.testing.assert_allclose(rows[0].seconds.sum() / rows[-1].seconds.sum(), (2 * 0.5 + 3 * 0.25) / 5)


def test_the_report_tells_what_was_measured() -> None:
    text = report("details", [cell([1, 0], 0.5), cell([1, 1], 0.5)])
    assert "| AR-Net | 16 frames | 75.0 (" in text and "| 50 100 |" in text
    assert "| 0.50 |" in text and "50 / 25 / 25 %" in text
    assert "50.0 % ± 0.0" in text and "the detail is seen (2)" in text
