"""``kinoscope bench arnet``: accuracy against operations and against seconds, beside the baselines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.labelled_clips import Dataset, Missing
from ..encoders.sampling import Runtime
from ..errors import AnnotationError, OptionError

if TYPE_CHECKING:
    from ..arnet.comparison import Measured
    from ..data.clip_parts import Parts

EXAMPLES = """\
  kinoscope bench arnet runs/ar --data labels.csv
  kinoscope bench arnet runs/ar --data labels.csv --methods uniform,lstm --html bench.html --svg bench.svg
"""
_REPLICATES = 500


def run(
    model: Path,
    *,
    data: Path,
    out: Path | None = None,
    methods: tuple[str, ...] = ("uniform", "uniform-2", "uniform-3", "lstm", "random", "multi-scale", "scsampler"),
    videos: Path | None = None,
    dataset: Dataset = "auto",
    split: int = 1,
    groups: str | None = None,
    missing: Missing = "auto",
    looks: Path | None = None,
    most: int | None = None,
    html: Path | None = None,
    svg: Path | None = None,
    workers: int = 0,
    device: str = "auto",
    runtime: Runtime = "auto",
    json: bool = False,
) -> int:
    """Measure an AR-Net beside UNIFORM, LSTM, RANDOM, Multi-Scale and SCSampler, from file to label, in turns.

    Baselines learn from the same looks at the same training videos; the learning rate of each is the best of three on
    the validation videos. Then every test video is looked at by every method. Trainings that are done are kept in OUT.

    Args:
        model: Folder that `kinoscope train arnet` wrote.
        data: The labels that it was trained on.
        out: Folder for the baselines and the figures, by default MODEL/bench.
        methods: Baselines, with commas between; uniform-2 and uniform-3 take the second and third backbone.
        videos: Folder of the videos, where the labels lie elsewhere.
        dataset: What the labels are, where that is not told rightly.
        split: Official split of UCF101 or HMDB51.
        groups: Regular expression: clips in whose names it finds the same text are never parted.
        missing: Videos that are not there are an error, or left out (skip).
        looks: Folder for what was seen of the videos, by default that of the model.
        most: Measure on so many test videos at most.
        html: Page with the curves, by default OUT/bench.html.
        svg: Picture of the curves, for papers and slides.
        workers: Loader processes.
        device: cpu, cuda, ...; auto takes a GPU if there is one.
        runtime: What computes on a CPU; auto takes OpenVINO if it is installed.
        json: Print the figures as JSON.
    """
    from ..arnet.baselines import BASELINES, Baseline
    from ..arnet.comparison import contestants, measure, train_baselines
    from ..arnet.model import load_adaptive
    from ..arnet.train import Where, begin, read_recipe
    from ..data.clip_parts import training_clips
    from ..data.labelled_clips import read_labelled_clips
    from ..files import write_json
    from .outputs import check_writable
    from .terminal import print_json

    if unknown := [each for each in methods if each not in BASELINES]:
        raise OptionError(f"there is no baseline {unknown[0]!r}", cure=f"choose from {', '.join(BASELINES)}")
    if most is not None and most < 1:
        raise OptionError(f"most is {most}, but must be at least 1")
    folder = out or model / "bench"
    check_writable((html, svg))
    recognizer = load_adaptive(model, device=device, runtime=runtime)
    training, finetune, weights = read_recipe(model)
    labelled = read_labelled_clips(data, videos=videos, dataset=dataset, split=split, missing=missing, groups=groups)
    parts = training_clips(labelled, training.seed, training.validation_share)
    if parts.classes != recognizer.classes:
        raise AnnotationError("the model learned other classes", where=data, cure="give the labels of its training")
    where = Where(resume=True, workers=workers, device=device, runtime=runtime)
    seen = looks or model / "looks"
    options = recognizer.options
    task = begin(parts, folder, options, training, finetune=finetune, weights=weights, looks=seen, where=where)
    test = (task.parts.test or task.parts.validation)[:most]
    if not test:
        raise AnnotationError("there is nothing to measure on", where=data, cure="mark some videos as test")
    lacking = [each for each in methods if each.startswith("uniform-") and int(each[8:]) > len(options.sizes)]
    if lacking and len(methods) < len(BASELINES):
        raise OptionError(f"{lacking[0]} needs a backbone that the model does not have", cure="leave it out")
    chosen: list[Baseline] = [each for each in BASELINES if each in methods]
    several = contestants(recognizer, train_baselines(task, chosen), task)
    found = measure(several, test)
    figures = _figures(found, task.parts, test)
    content = {"rule": task.parts.rule, "test": len(test), "methods": figures}
    write_json(folder / "bench.json", content)
    page = html or folder / "bench.html"
    _draw(figures, page, svg, recognizer.several, task.parts.rule)
    if json:
        print_json(content)
    else:
        _tell(figures, page, svg, several=recognizer.several)
    return 2 if task.missing else 0


def _figures(found: Sequence[Measured], parts: Parts, test: Sequence[Any]) -> list[dict[str, Any]]:
    from ..evaluate import hit_interval
    from .recognize_scores import several_labels

    truth = parts.numbers(test)
    rows = []
    for each in found:
        hits = (each.logits.argmax(axis=1) == truth).astype(np.float64)
        low, high = hit_interval(hits)
        row: dict[str, Any] = {
            "method": each.method,
            "setting": each.setting,
            "accuracy": float(hits.mean()),
            "interval": [low, high],
            "gmac": each.gmac,
            "seconds": float(each.seconds.mean()),
            "seconds_p50": float(np.median(each.seconds)),
            "seconds_p95": float(np.quantile(each.seconds, 0.95)),
            "shares": each.shares,
        }
        powers = np.exp(each.logits - each.logits.max(axis=1, keepdims=True))
        rows.append(row | several_labels(powers / powers.sum(axis=1, keepdims=True), test, parts))
    return rows


def _draw(figures: Sequence[dict[str, Any]], page: Path, svg: Path | None, several: bool, rule: str) -> None:
    from ..report.tradeoff import Curve, Point, TradeoffPage, tradeoff_page, tradeoff_svg
    from .pages import circumstances

    curves: dict[str, list[Point]] = {}
    for row in figures:
        first = row["method"] not in curves
        shares = row["shares"] if first else {}
        score, (low, high) = row.get("map", row["accuracy"]), row.get("map_interval", row["interval"])
        point = Point(row["gmac"], row["seconds"], score, low, high, row["setting"], shares)
        curves.setdefault(row["method"], []).append(point)
    lines = [Curve(name, sorted(points, key=lambda point: point.gmac)) for name, points in curves.items()]
    kind = "mAP" if several else "Accuracy"
    content = TradeoffPage(f"{kind} against cost", lines, y_label=kind, notes=[rule], settings=circumstances())
    tradeoff_page(page, content)
    if svg is not None:
        tradeoff_svg(svg, content)


def _tell(figures: Sequence[dict[str, Any]], page: Path, svg: Path | None, *, several: bool) -> None:
    from .terminal import print_table, say

    rows = [
        (
            row["method"],
            row["setting"],
            row["map"] if several and "map" in row else row["accuracy"],
            "{:.2f} – {:.2f}".format(*(row["map_interval"] if several and "map" in row else row["interval"])),
            f"{row['gmac']:.3g}",
            f"{1000 * row['seconds_p50']:.0f}",
            f"{1000 * row['seconds_p95']:.0f}",
        )
        for row in figures
    ]
    header = ("method", "setting", "mAP" if several else "accuracy", "95 %", "GMAC", "ms p50", "ms p95")
    print_table("From file to label, a video", header, rows)
    say(f"Curves → {page}" + (f", {svg}" if svg is not None else ""))
