"""How a training went: loss and accuracy over the epochs, from a run's ``metrics.jsonl``."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .content import Chart, Line

_NAMES = {"training": "training", "validation": "held-out"}
_MEAN = "Training values are means over an epoch, drawn at its middle; held-out values stand at its end."


def read_records(folder: str | Path) -> list[dict[str, Any]]:
    """The records of a run that can be read; none where there is no ``metrics.jsonl``. A line cut off is left out."""
    try:
        lines = (Path(folder) / "metrics.jsonl").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return [record for line in lines if (record := _record(line)) is not None]


def training_charts(records: Iterable[Mapping[str, Any]]) -> list[Chart]:
    """Charts of loss, accuracy and mAP, each if there is any; training beside held-out.

    Args:
        records: as :class:`kinoscope.engine.metrics.MetricLog` writes them.
    """
    lines = _lines(records)
    groups = {
        "Loss": [line for name, line in lines if "loss" in name],
        "Accuracy": [line for name, line in lines if "accuracy" in name or name.startswith("top")],
        "mAP": [line for name, line in lines if name.endswith("map")],
    }
    return [
        Chart(title, "epoch", "", group, _in_words(title, group), (_MEAN,) if _mixed(group) else ())
        for title, group in groups.items()
        if group
    ]


def _record(line: str) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and isinstance(record.get("epoch"), int) else None


def _lines(records: Iterable[Mapping[str, Any]]) -> list[tuple[str, Line]]:
    """Every measure of either kind over the epochs; with its name, for sorting."""
    values: dict[tuple[str, str], dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        for name, value in record.items():
            if name not in ("kind", "step", "epoch") and isinstance(value, int | float) and math.isfinite(value):
                values[record.get("kind", "training"), name][record["epoch"]].append(float(value))
    lines = []
    for (kind, name), epochs in values.items():
        place = 0.5 if kind == "training" else 1.0
        means = {epoch + place: sum(each) / len(each) for epoch, each in sorted(epochs.items())}
        short = name.removeprefix(f"{kind}_").replace("_", " ")
        lines.append((name, Line(f"{_NAMES.get(kind, kind)} {short}", list(means), list(means.values()))))
    return lines


def _mixed(lines: list[Line]) -> bool:
    return any(line.label.startswith(_NAMES["training"]) for line in lines)


def _in_words(title: str, lines: list[Line]) -> str:
    told = (f"{line.label} from {line.y[0]:.3g} to {line.y[-1]:.3g}" for line in lines)
    return f"{title} over the epochs: {', '.join(told)}."
