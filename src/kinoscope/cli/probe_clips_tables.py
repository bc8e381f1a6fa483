"""The tables of ``kinoscope probe-features --data``, and what their numbers show in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_TITLES = {
    "linear": "linear probe: accuracy",
    "knn": "nearest neighbours: accuracy of the vote of k",
    "retrieval": "retrieval: one of the k nearest training videos has the label",
    "finetune": "fine-tuning: accuracy",
}
_MOST_CLASSES = 60  # of the table by class
_FEW_VIDEOS = 20  # with fewer, a percentile interval is clearly too narrow

Result = Mapping[str, Any]


def show_clips(everything: Result) -> None:
    """A table per protocol, one by class for the first result that has it, and a sentence per comparison."""
    from .terminal import note

    videos = everything["videos"]
    for protocol in everything["protocols"]:
        results = [each for each in everything["results"] if each["protocol"] == protocol]
        _show_protocol(f"{_TITLES[protocol]}, {videos['test']} test videos", results)
    _show_classes(everything["results"])
    if any("intervals" in each for each in everything["results"]):
        few = ", too narrow because these are few" if videos["test"] < _FEW_VIDEOS else ""
        note(f"- in brackets: 95 % intervals over the test videos{few}")


def _show_protocol(title: str, results: Sequence[Result]) -> None:
    from .terminal import print_table, say

    first = results[0]
    measures = list(first["measures"])
    rows: list[list[object]] = []
    for result in results:
        intervals = result.get("intervals", {})
        scores = [_score(result["measures"][name], intervals.get(name)) for name in measures]
        rows.append([result["source"], result["stream"], *scores])
        if gaps := result.get("minus_first"):
            rows.append(["  minus the first", "", *(_gap(gaps[name]) for name in measures)])
    print_table(title, ["source", "stream", *measures], rows)
    for result in results:
        if gaps := result.get("minus_first"):
            say(f"{_name(result)} against {_name(first)}: {_verdict(gaps)}")


def _show_classes(results: Sequence[Result]) -> None:
    """How often each class was told right, of the first result with one answer per video."""
    from .terminal import print_table

    found = next((each for each in results if "per_class" in each), None)
    if found is None or len(found["per_class"]) > _MOST_CLASSES:
        return
    rows = [
        [
            row["class"],
            row["videos"],
            row["right"],
            "" if row["accuracy"] is None else row["accuracy"],
            row["others_called_so"],
        ]
        for row in found["per_class"]
    ]
    title = f"by class: {found['protocol']}, {_name(found)}"
    print_table(title, ["class", "test videos", "right", "share", "others called so"], rows)


def _name(result: Result) -> str:
    return f"{result['source']} ({result['stream']})"


def _verdict(gaps: Mapping[str, Sequence[float]]) -> str:
    """What the intervals of the differences show, in words."""
    clear = {name: value for name, (value, low, high) in gaps.items() if low > 0 or high < 0}
    if not clear:
        return "no difference shown; the intervals of the differences hold 0"
    texts = [f"{name} is {'higher' if value > 0 else 'lower'}" for name, value in clear.items()]
    rest = "; of the rest no difference is shown, the intervals hold 0" if len(clear) < len(gaps) else ""
    return ", ".join(texts) + rest


def _score(value: float, interval: Sequence[float] | None) -> str:
    return f"{value:.3f}" + (f" ({interval[0]:.3f}–{interval[1]:.3f})" if interval else "")


def _gap(gap: Sequence[float]) -> str:
    return f"{gap[0]:+.3f} ({gap[1]:+.3f} to {gap[2]:+.3f})"
