"""What came of training a recogniser: scores on screen and in files, and a page of the worst mistakes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ..data.clip_parts import Parts
from ..data.labelled_clips import LabelledClip, LabelledClips
from ..evaluate.clip_map import clip_map, map_interval, truth_matrix
from ..evaluate.clip_scores import ClipScores, share_interval
from ..files import write_json
from ..report.mistakes import MistakesPage, write_mistakes_page
from ..report.strips import VideoStrips
from ..report.training import read_records, training_charts
from ..wording import plural
from .pages import circumstances
from .terminal import note, print_json, print_table, say

_SECONDS_BETWEEN = 20.0
"""Between two early looks: drawing them must not slow the training down."""
_TOP = 5
_REPLICATES = 500
_STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
"""Quantiles 0.975 of Student's t for the mean of 2, 3, … splits."""


class Calibrated(Protocol):
    """A recogniser, as far as its scores go."""

    temperature: float


class Trained(Protocol):
    """What came of training a recogniser, of whatever method."""

    @property
    def recognizer(self) -> Calibrated:
        """With the temperature of its logits."""

    @property
    def parts(self) -> Parts:
        """What it learned from and was scored on."""

    @property
    def validation(self) -> np.ndarray:
        """Logits of the validation clips. Shape: [M, K]."""

    @property
    def test(self) -> np.ndarray:
        """Probabilities of the test clips. Shape: [N, K]."""

    @property
    def parameters(self) -> int:
        """That learned."""

    @property
    def missing(self) -> Mapping[str, str]:
        """What could not be read, and why."""


def early_look(page: Path, parts: Parts, run: Path) -> Callable[[Tensor], None]:
    """Writes the page of mistakes on validation clips now and then; called with their logits [M, K]."""
    strips = _strips(parts.validation)
    last = time.monotonic()

    def look(logits: Tensor) -> None:
        nonlocal last
        if time.monotonic() - last < _SECONDS_BETWEEN:
            return
        probabilities = logits.softmax(dim=1).double().numpy()
        title, notes = "Training: mistakes on validation clips so far", ["The training is not over yet."]
        _write(page, title, parts.validation, clip_scores(probabilities, parts.validation, parts), strips, run, notes)
        last = time.monotonic()

    return look


def clip_scores(probabilities: np.ndarray, clips: Sequence[LabelledClip], parts: Parts) -> ClipScores:
    """Scores beside the truth; classes that no training clip has are there too, with no probability."""
    learned = parts.classes
    others = sorted({clip.label for clip in clips} - set(learned))
    classes = (*learned, *others)
    full = np.concatenate((probabilities, np.zeros((len(clips), len(others)))), axis=1)  # [N, K] -> [N, K']
    labels = np.array([classes.index(clip.label) for clip in clips], dtype=np.int64)
    return ClipScores(full, labels, classes)


def report_training(
    trained: Trained,
    labelled: LabelledClips,
    out: Path,
    page: Path,
    *,
    quiet: bool,
    run: Path | None = None,
    more: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write ``scores.json`` and the page, tell the rest; gives the figures.

    Args:
        run: the folder of the training whose curves are shown, if that is not ``out``.
        more: further figures; what is under ``remarks`` is told.
    """
    parts = trained.parts
    remarks = [*labelled.remarks, *parts.remarks, *(more or {}).get("remarks", ())]
    if trained.missing:
        remarks.append(f"{plural(len(trained.missing), 'video')} could not be read and are left out")
    tested = bool(parts.test)
    clips = parts.test if tested else parts.validation
    probabilities = trained.test if tested else _probabilities(trained)
    figures: dict[str, Any] = {
        "rule": parts.rule,
        "remarks": remarks,
        "train": len(parts.train),
        "classes": len(parts.classes),
        "parameters": trained.parameters,
        "missing": dict(trained.missing),
    }
    if clips:
        scores = clip_scores(probabilities, clips, parts)
        figures |= {"scored": "test" if tested else "validation", **_accuracy(scores, len(parts.classes))}
        figures |= {**several_labels(probabilities, clips, parts), **(more or {}), "remarks": remarks}
        write_json(out / "scores.json", {**figures, **scores.to_dict([clip.name for clip in clips])})
        title = f"Mistakes on {plural(len(clips), figures['scored'] + ' clip')}"
        _write(page, title, clips, scores, _strips(clips), run or out, remarks)
    if not quiet:
        _tell(figures, out, page)
    return figures


def report_splits(reports: Sequence[dict[str, Any]], splits: Sequence[int], out: Path, *, json: bool) -> int:
    """What several splits say together; the exit code."""
    scored = [report for report in reports if "accuracy" in report]
    summary: dict[str, Any] = {"splits": dict(zip(map(str, splits), reports, strict=True))}
    if len(scored) > 1:
        values = np.array([report["accuracy"] for report in scored])
        half = _STUDENT[min(len(values), len(_STUDENT)) - 2] * float(values.std(ddof=1)) / len(values) ** 0.5
        mean = float(values.mean())
        summary |= {"mean": mean, "interval": [mean - half, mean + half]}
        write_json(out / "splits.json", summary)
    if json:
        print_json(summary if len(reports) > 1 else reports[0])
    elif len(scored) > 1:
        rows = [
            (f"split {number}", report.get("accuracy", ""), plural(report["train"], "clip"))
            for number, report in zip(splits, reports, strict=True)
        ]
        rows.append(("mean", summary["mean"], f"± {half:.3f} (1.96 standard errors over splits)"))
        print_table("Accuracy on the official splits", ("split", "accuracy", "learned from"), rows)
    return 2 if any(report["missing"] for report in reports) else 0


def _tell(figures: dict[str, Any], out: Path, page: Path) -> None:
    for remark in figures["remarks"]:
        note(f"note: {remark}")
    for name, problem in figures["missing"].items():
        note(f"failed: {name}: {problem}")
    if "accuracy" in figures:
        low, high = figures["interval"]
        rows: list[tuple[object, ...]] = [("accuracy", figures["accuracy"], f"{low:.3f} – {high:.3f}")]
        if "top5" in figures:
            rows.append((f"truth among the {_TOP} most probable", figures["top5"], ""))
        rows.append(("mean over classes", figures["class_mean"], ""))
        if "map" in figures:
            rows.append(("mAP of several labels", figures["map"], "{:.3f} – {:.3f}".format(*figures["map_interval"])))
        title = f"{figures['scored'].capitalize()}: {plural(figures['clips'], 'clip')}, {figures['classes']} classes"
        print_table(title, ("", "score", "95 % interval"), rows, note=figures["rule"])
        say(f"Worst mistakes → {page}")
    say(f"{figures['parameters']:,} parameters learned → {out}. Use it: kinoscope recognize VIDEO --model {out}")


def several_labels(probabilities: np.ndarray, clips: Sequence[LabelledClip], parts: Parts) -> dict[str, Any]:
    """mAP over the classes that some clip shows, where a clip may show several; empty where none does."""
    if all(len(clip.labels) == 1 for clip in clips):
        return {}
    known = [[label for label in clip.labels if label in parts.classes] for clip in clips]
    truth = truth_matrix(known, parts.classes)
    low, high = map_interval(probabilities, truth, _REPLICATES)
    return {"map": clip_map(probabilities, truth).map_present / 100, "map_interval": [low / 100, high / 100]}


def _accuracy(scores: ClipScores, learned: int) -> dict[str, Any]:
    low, high = share_interval(int(scores.hits().sum()), len(scores.labels))
    each = [row["accuracy"] for row in scores.per_class() if row["accuracy"] is not None]
    top = {"top5": scores.accuracy(_TOP)} if learned > _TOP + 1 else {}
    return {
        "clips": len(scores.labels),
        "accuracy": scores.accuracy(),
        "interval": [low, high],
        "class_mean": float(np.mean(each)),
        **top,
    }


def _write(
    page: Path,
    title: str,
    clips: Sequence[LabelledClip],
    scores: ClipScores,
    strips: VideoStrips,
    run: Path,
    notes: Sequence[str],
) -> None:
    paths = [clip.path if clip.path.is_file() else None for clip in clips]
    names = [clip.name for clip in clips]
    charts = training_charts(read_records(run))
    content = MistakesPage(title, names, scores, strips, paths, charts=charts, notes=notes, settings=circumstances())
    write_mistakes_page(page, content)


def _strips(clips: Sequence[LabelledClip]) -> VideoStrips:
    spans = [None if clip.start is None or clip.end is None else (clip.start, clip.end) for clip in clips]
    return VideoStrips([clip.path for clip in clips], spans)


def _probabilities(trained: Trained) -> np.ndarray:
    """Of the validation clips, from their mean logits. Shape: [M, K]."""
    logits = torch.from_numpy(trained.validation).double()
    return (logits / trained.recognizer.temperature).softmax(dim=1).numpy()
