"""What ``kinoscope evaluate`` tells of predicted segments: tables, JSON, a page; each metric a part of all three."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import OptionError
from ..evaluate import DetectionResult
from ..evaluate.bootstrap import Interval, bootstrap_map
from ..evaluate.boundary_error import boundary_errors
from ..evaluate.diagnosis import KINDS, Buckets, diagnose
from ..evaluate.frames import frame_labels, overlapping_segments, score_frames
from ..evaluate.proposals import Budget, average_recall, recall_at_kx
from ..report.content import Chart, Line, Table
from ..report.evaluation import EvaluationPage, Stack, write_evaluation_page
from ..wording import plural

METRICS = ("map", "ar", "recall", "boundaries", "error-analysis", "frames")
WITHOUT_LABELS = frozenset({"ar", "recall"})
"""Metrics that proposals can be scored by, which have no labels."""
_OF_LABELS = frozenset({"unknown_label", "label_names", "class_without_prediction"})
"""Reasons that do not touch these."""
_RECALLS = np.linspace(0, 1, 101)
_AR_AT = (1, 5, 10, 50, 100)
_MULTIPLES = (1, 2, 3, 5)


@dataclass
class Told:
    """What one metric says: for people, for programs, for the page."""

    tables: list[Table] = field(default_factory=list)
    content: dict[str, Any] = field(default_factory=dict)
    charts: list[Chart] = field(default_factory=list)
    stacks: list[Stack] = field(default_factory=list)


def chosen_metrics(text: str) -> list[str]:
    """``map,ar`` as names; raises :class:`OptionError` for one that is none, with the nearest."""
    names = [name.strip().lower() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in METRICS:
            near = get_close_matches(name, METRICS, n=1)
            cure = f"did you mean {near[0]}?" if near else f"known: {', '.join(METRICS)}"
            raise OptionError(f"there is no metric {name!r}", cure=cure)
    if not names:
        raise OptionError("--metrics names none", cure=f"known: {', '.join(METRICS)}")
    return list(dict.fromkeys(names))


def tell(
    result: DetectionResult, metrics: Sequence[str], *, bootstrap: int, seed: int, most: float, fps: float | None
) -> tuple[Told, Interval | None]:
    """All metrics, and the interval of the average mAP if that is asked for."""
    whole, interval = Told(content=result.basis()), None
    if bootstrap and "map" in metrics:
        interval = bootstrap_map(result, bootstrap, seed)
    for name in metrics:
        if name == "map":
            part = _map(result, interval)
        elif name == "ar":
            part = _ar(result, most)
        elif name == "recall":
            part = _recall(result)
        elif name == "boundaries":
            part = _boundaries(result)
        elif name == "error-analysis":
            part = _errors(result)
        else:
            part = _frames(result, fps, bootstrap, seed)
        for mine, theirs in zip(vars(whole).values(), vars(part).values(), strict=True):
            mine.update(theirs) if isinstance(mine, dict) else mine.extend(theirs)
    return whole, interval


def without_labels(result: DetectionResult, metrics: Sequence[str]) -> DetectionResult:
    """The result without the reasons that ``metrics`` do not care for, if these score proposals alone."""
    if not WITHOUT_LABELS.issuperset(metrics) or not (result.class_agnostic or "recall" not in metrics):
        return result
    return replace(result, reasons=tuple(each for each in result.reasons if each.kind not in _OF_LABELS))


def basis(result: DetectionResult) -> str:
    """What the numbers rest on, in a line: which videos, and what gave the segments their labels."""
    rules = result.protocol
    videos = f"{plural(len(result.scored_videos), 'video')} (hash {result.video_list_hash})"
    named = f"names {rules.listed}" if rules.listed else "takes those of the file"
    blocked = f" and blocks {', '.join(rules.blocked)}" if rules.blocked else ""
    return f"Video list: {videos}; {rules.name} {named}{blocked}. Classifier of videos: {result.classifier}."


def headline(result: DetectionResult, told: Told, interval: Interval | None) -> str:
    """The one number in a sentence."""
    recall = told.content.get("average_recall")
    if recall is not None and "average_mAP" not in told.content:
        most = recall["proportional"]["most"]
        return f"AR@{most:g} {recall['proportional'][f'AR@{most:g}']:.4f}, whatever the proposals are called"
    text = f"average mAP {result.average_map:.4f}"
    if interval is None:
        return text
    text += f", 95 % interval over videos {interval[0]:.4f} to {interval[1]:.4f}"
    if interval[0] <= result.average_map <= interval[1]:
        return text
    return f"{text} (beside the score: where a class has few videos, drawing some of them twice raises its AP)"


def write_page(path: Path, name: str, result: DetectionResult, told: Told, interval: Interval | None) -> None:
    """The page of one evaluation."""
    from .pages import circumstances  # knows of encoders, which take seconds to load

    protocol = ", ".join(
        f"{key} {value}" for key, value in result.protocol.to_dict().items() if value not in ((), None)
    )
    settings = {
        "protocol": protocol,
        "subset": result.subset or "everything",
        "numbers rest on": basis(result),
        **circumstances(),
    }
    page = EvaluationPage(
        f"How good {name} is",
        headline(result, told, interval),
        told.charts,
        told.stacks,
        told.tables,
        [reason.sentence for reason in result.reasons],
        settings,
    )
    write_evaluation_page(path, page)


# --- metrics -------------------------------------------------------------------------------------------------------


def _map(result: DetectionResult, interval: Interval | None) -> Told:
    header = ["class", "segments", *(f"{threshold:g}" for threshold in result.thresholds), "average"]
    rows = [[row["class"], row["segments"], *(row[name] for name in header[2:])] for row in result.table()]
    subset_text = f", subset {result.subset}" if result.subset else ""
    title = f"AP by tIoU threshold, protocol {result.protocol.name}{subset_text}, {len(result.scored_videos)} videos"
    curves = result.precision_curves(_RECALLS)
    shown = sorted({0, len(result.thresholds) // 2, len(result.thresholds) - 1})
    lines = [Line(f"tIoU {result.thresholds[n]:g}", _RECALLS.tolist(), curves[n].tolist()) for n in shown]
    by_threshold = ", ".join(f"{v:.3f} at {t:g}" for t, v in zip(result.thresholds, result.map, strict=True))
    charts = [
        Chart(
            "mAP by tIoU", "tIoU threshold", "mAP", [Line("mAP", result.thresholds, result.map.tolist())], by_threshold
        ),
        Chart(
            "Precision against recall",
            "recall",
            "precision, interpolated, mean over classes",
            lines,
            "; ".join(
                f"{line.label}: precision {line.y[0]:.2f} at recall 0, {line.y[50]:.2f} at 0.5" for line in lines
            ),
        ),
    ]
    content = {**result.to_dict(), **({"average_mAP_interval": list(interval)} if interval else {})}
    return Told([Table(title, header, rows)], content, charts)


def _ar(result: DetectionResult, most: float) -> Told:
    assert result.proposals is not None
    budgets: tuple[Budget, ...] = ("proportional", "top")
    found = {each: average_recall(result.proposals, result.ground_truth, most=most, budget=each) for each in budgets}
    at = sorted({number for number in (*_AR_AT, most) if number <= most})
    header = ["proposals of a video", *(f"AR@{number:g}" for number in at), "AUC"]
    names = {"proportional": "as large a share of its own (published)", "top": "the same number"}
    rows = [[names[name], *(each.at(number) for number in at), each.auc] for name, each in found.items()]
    foreign = found["top"].foreign
    note = f"Class-agnostic; on average up to {most:g} proposals of a video. Mean over tIoU 0.5 … 0.95."
    note += f" {plural(foreign, 'proposal')} on videos without true segments left out." if foreign else ""
    lines = [Line(names[name], each.number.tolist(), each.average_recall.tolist()) for name, each in found.items()]
    told = "; ".join(f"{names[name]}: {each.at(most):.3f} at {most:g}" for name, each in found.items())
    content = {
        "average_recall": {
            name: {**{f"AR@{number:g}": each.at(number) for number in at}, "AUC": each.auc, "most": most}
            for name, each in found.items()
        }
    }
    title = "Average recall of proposals"
    chart = Chart(title, "average number of proposals", "average recall", lines, told)
    return Told([Table(title, header, rows, note)], content, [chart])


def _recall(result: DetectionResult) -> Told:
    guess, truth = result.predictions, result.ground_truth
    if result.class_agnostic and result.proposals is not None:  # all classes are one, as for average recall
        alike = (result.proposals, truth)
        guess, truth = (replace(table, label=np.zeros(len(table), np.int64)) for table in alike)
    values = recall_at_kx(guess, truth, multiples=_MULTIPLES, thresholds=result.thresholds)  # [k's, T]
    header = [
        "predictions" if result.class_agnostic else "predictions of a class",
        *(f"{threshold:g}" for threshold in result.thresholds),
    ]
    rows = [[f"{k} × true segments", *row] for k, row in zip(_MULTIPLES, values.tolist(), strict=True)]
    keys = [f"{threshold:g}" for threshold in result.thresholds]
    content: dict[str, Any] = {
        f"Recall@{k}x": dict(zip(keys, row, strict=True)) for k, row in zip(_MULTIPLES, values.tolist(), strict=True)
    }
    note = "One prediction may serve several true segments; "
    note += "labels were not looked at: all are of one kind." if result.class_agnostic else "mean over classes."
    content |= {"class_agnostic": result.class_agnostic}
    return Told([Table("Recall@kx by tIoU threshold", header, rows, note)], {"recall": content})


def _boundaries(result: DetectionResult) -> Told:
    found = boundary_errors(result)
    header = ["tIoU", "found", "of", "start: mean [s]", "median", "bias", "end: mean [s]", "median ", "bias "]
    rows = [[f"{each.threshold:g}", *list(vars(each).values())[1:]] for each in found]
    note = "Of true segments that are found at the threshold. A bias above 0 is late."
    content = {"boundary_errors": [each.to_dict() for each in found]}
    return Told([Table("How far boundaries are off", header, rows, note)], content)


def _errors(result: DetectionResult) -> Told:
    edges: Buckets = "thumos14" if result.protocol.name.startswith(("thumos", "multithumos")) else "activitynet"
    found = diagnose(result, result.durations, edges)
    blocks = enumerate(found.profile.tolist(), 1)
    ranges = [(f"best {n} × N" if n == 1 else f"up to {n} × N", row) for n, row in blocks if any(row)]
    stack = Stack(
        "What predictions are, from the highest scores on",
        KINDS,
        ranges,
        "N is the number of true segments of a class; a bar holds the next N predictions of every class.",
    )
    told = "at tIoU " + ", ".join(f"{threshold:g}" for threshold in found.thresholds)
    left_out = (
        f" Not looked at: {plural(found.left_out, 'true segment')} longer than the video, or without length."
        if found.left_out
        else ""
    )
    gains = Table(
        "mAP_N if a kind of mistake were gone",
        ["kind", "gain"],
        [[name, value] for name, value in found.gain.items()],
        f"average mAP_N is {found.map_n:.4f}, {told}: mAP as if all classes had the same number of true segments; "
        f"gains do not add up.{left_out}",
    )
    buckets = Table(
        "By what true segments are like",
        ["characteristic", "size", "above", "up to", "segments", "mAP_N", "missed"],
        [
            [
                each.characteristic,
                each.name,
                f"{each.low:g}",
                f"{each.high:g}",
                each.segments,
                *_known(each.map_n, each.missed),
            ]
            for each in found.buckets
        ],
        "".join(
            [
                "Coverage is the share of the video; "
                if any(each.characteristic == "coverage" for each in found.buckets)
                else "Coverage is left out, as the ground truth tells no durations; ",
                "length in seconds; instances of the class in the video. mAP_N is that of these segments alone, ",
                "without predictions that found others; missed is the share that nothing finds.",
            ]
        ),
    )
    return Told([gains, buckets], {"error_analysis": found.to_dict()}, stacks=[stack])


def _known(*values: float) -> list[object]:
    return ["–" if math.isnan(value) else value for value in values]


def _frames(result: DetectionResult, fps: float | None, bootstrap: int, seed: int) -> Told:
    if fps is None:
        cure = "add --fps: 15 for GTEA, 30 for 50 Salads"
        raise OptionError("a score of frame labels needs their rate", cure=cure)
    scores = score_frames(*frame_labels(result, fps))
    values = scores.to_dict()
    intervals = scores.intervals(bootstrap, seed) if bootstrap else {}
    rows = [
        [name, value, f"{intervals[name].low:.2f} to {intervals[name].high:.2f}" if name in intervals else "–"]
        for name, value in values.items()
        if name != "videos"
    ]
    note = f"Percent, at {fps:g} frames per second; the prediction with the highest score labels a frame."
    overlapping = overlapping_segments(result)
    if overlapping:
        note += (
            f" {plural(overlapping, 'true segment')} overlap another of the video, and a frame has one label, that of"
        )
        note += " the one that begins last: even perfect predictions may score below 100."
    table = Table("Frame labels", ["score", "value", "95 % interval"], rows, note)
    content = {**values, "intervals": {name: list(each) for name, each in intervals.items()}, "fps": fps}
    content |= {"overlapping_true_segments": overlapping}
    return Told([table], {"frames": content})
