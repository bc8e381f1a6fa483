"""What ``kinoscope evaluate --compare`` tells of two files of predictions beside each other."""

from __future__ import annotations

from ..evaluate import DetectionResult
from ..evaluate.bootstrap import Comparison
from ..report.content import Chart, Line, Table
from .evaluated import Told


def compared(names: tuple[str, str], results: tuple[DetectionResult, DetectionResult], found: Comparison) -> Told:
    """What the comparison says."""
    a, b = results
    header = ["", *names, "difference"]
    rows: list[list[object]] = [
        [f"mAP at {threshold:g}", float(one), float(two), f"{two - one:+.4f}"]
        for threshold, one, two in zip(a.thresholds, a.map, b.map, strict=True)
    ]
    rows.append(["average mAP", a.average_map, b.average_map, f"{found.difference:+.4f}"])
    per_class = sorted(zip(a.classes, found.per_class.tolist(), strict=True), key=lambda pair: pair[1])
    classes = [[name, f"{value:+.4f}"] for name, value in per_class]
    tables = [
        Table("Two sets of predictions", header, rows, verdict(names, found)),
        Table("Average AP of each class, difference", ["class", "difference"], classes),
    ]
    content = {
        "files": list(names),
        "average_mAP": [a.average_map, b.average_map],
        "difference": found.difference,
        "interval": [found.low, found.high],
        "share_ahead": found.ahead,
        "per_class": dict(zip(a.classes, found.per_class.tolist(), strict=True)),
        "replicates": found.replicates,
        "seed": found.seed,
        "video_list_hash": a.video_list_hash,
        "video_list": a.basis()["video_list"],
        "classifier": [a.classifier, b.classifier],
        "reasons": [[reason.to_dict() for reason in each.reasons] for each in results],
    }
    lines = [Line(name, one.thresholds, one.map.tolist()) for name, one in zip(names, results, strict=True)]
    told = f"{names[0]} {a.average_map:.3f}, {names[1]} {b.average_map:.3f} on average"
    return Told(tables, content, [Chart("mAP by tIoU", "tIoU threshold", "mAP", lines, told)])


def verdict(names: tuple[str, str], found: Comparison) -> str:
    """Whether the second is really better, in a sentence."""
    spread = f"95 % interval {found.low:+.4f} to {found.high:+.4f} over videos drawn anew (paired)"
    ahead = f"ahead in {found.ahead:.0%} of {found.replicates} draws"
    if found.low > 0 or found.high < 0:
        better = names[1] if found.low > 0 else names[0]
        return f"{better} is better: {spread}; {names[1]} is {ahead}."
    return f"No difference is shown: {spread}; {names[1]} is {ahead}."
