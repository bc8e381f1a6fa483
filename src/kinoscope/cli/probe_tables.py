"""The tables of ``kinoscope probe-features``, and what their numbers show in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..evaluate import BoundaryProbe

_SHOWN = {
    "balanced_accuracy": "balanced accuracy",
    "auc": "AUC",
    "near_balanced_accuracy": "balanced accuracy near boundaries",
    "near_auc": "AUC near boundaries",
}
_FEW_VIDEOS = 20  # with fewer, a percentile interval is clearly too narrow

Result = Mapping[str, Any]
Numbers = Sequence[float]


def boundary_results(probes: Sequence[BoundaryProbe], replicates: int) -> list[dict[str, Any]]:
    """Each probe as plain values, with intervals and its differences from the first; no replicates: without."""
    results = []
    for probe in probes:
        result = probe.to_dict()
        if replicates:
            result["intervals"] = _known(probe.intervals(replicates))
        if replicates and probe is not probes[0]:
            result["minus_first"] = _known(probe.minus(probes[0], replicates))
        results.append(result)
    return results


def show_boundary(results: Sequence[Result]) -> None:
    """A row per folder of features, and one for its difference from the first; then a sentence for each."""
    from .terminal import note, print_table, say

    rows: list[list[object]] = []
    for result in results:
        intervals = result.get("intervals", {})
        rows.append([result["features"], *(_score(result["measures"][name], intervals.get(name)) for name in _SHOWN)])
        if gaps := result.get("minus_first"):
            rows.append(["  minus the first", *(_gap(gaps[name]) for name in _SHOWN)])
    first = results[0]
    count = {region: sum(first["snippets"][f"test_{region}"].values()) for region in ("all", "near")}
    within = f"within {first['options']['near']:g} s"
    title = f"action against background: {first['videos']['test']} test videos, {count['all']} snippets"
    header = ["features", *(text.replace("near boundaries", within) for text in _SHOWN.values())]
    print_table(f"{title}, {count['near']} of them {within} of a boundary", header, rows)
    for result in results:
        if gaps := result.get("minus_first"):
            say(f"{result['features']} against {first['features']}: {_verdict(gaps)}")
    if "intervals" in first:
        few = first["videos"]["test"] < _FEW_VIDEOS
        remark = ", too narrow because these are few" if few else ""
        note(f"- in brackets: 95 % intervals over the test videos{remark}")
    chosen = "; ".join(", ".join(f"{strength:g}" for strength in result["strengths"]) for result in results)
    note(f"- strength of the penalty, chosen on a part of the training videos: {chosen}")


def show_official(results: Sequence[Result]) -> None:
    """A row per folder of features."""
    from .terminal import note, print_table

    first = results[0]
    rows = [
        [
            result["features"],
            result["score"],
            f"{min(result['scores']):.3f} to {max(result['scores']):.3f}" if len(result["seeds"]) > 1 else "",
            "" if result is first else f"{result['score'] - first['score']:+.3f}",
        ]
        for result in results
    ]
    chunks = sum(first["chunks"]["test"].values())
    print_table(
        f"official linear evaluation: mean accuracy of epochs 6 to 15, on {chunks} test snippets in each",
        ["features", "accuracy", "over seeds", "minus the first"],
        rows,
    )
    note(f"- always answering the larger class scores {first['majority']:.3f}; a few tenths of a point are noise here")


def _verdict(gaps: Mapping[str, Numbers | None]) -> str:
    """What the intervals of the differences show, in words."""
    known = {name: gap for name in _SHOWN if (gap := gaps[name]) is not None}
    clear = {name: value for name, (value, low, high) in known.items() if low > 0 or high < 0}
    if not clear:
        return "no difference shown; the intervals of the differences hold 0"
    texts = [f"{_SHOWN[name]} is {'higher' if value > 0 else 'lower'}" for name, value in clear.items()]
    rest = "; of the rest no difference is shown, the intervals hold 0" if len(clear) < len(known) else ""
    return ", ".join(texts) + rest


def _known(measures: Mapping[str, Numbers]) -> dict[str, list[float] | None]:
    """For JSON, which has no NaN."""
    return {name: None if any(x != x for x in numbers) else list(numbers) for name, numbers in measures.items()}


def _score(value: float | None, interval: Numbers | None) -> str:
    if value is None:
        return "one class only"
    return f"{value:.3f}" + (f" ({interval[0]:.3f}–{interval[1]:.3f})" if interval else "")


def _gap(gap: Numbers | None) -> str:
    return "" if gap is None else f"{gap[0]:+.3f} ({gap[1]:+.3f} to {gap[2]:+.3f})"
