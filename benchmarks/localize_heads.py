"""Which head localises best? Every head on raw features and with SoLa inside, on real sets and on made videos.

On falls also SoLa's comparison: frozen features, adapted ones, and the encoder's last block trained with the head.

    OMP_NUM_THREADS=1 python -m benchmarks.localize_heads --cache FOLDER [--data NAME …] [--write]

One cell is one data set, one head, one way, one seed: training with default options but fewer epochs, then mAP and
AR@100 on the test videos, of which nothing is chosen. "causal" is ActionFormer's head without a look ahead, on whole
videos; "online" the same head on a stream, whose segments are final when they are told. A finished cell is kept in the
cache, so that an interrupted run goes on and two processes can share the data sets.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.results import ROOT, Section, data_folder, publish, table
from benchmarks.sola_data import DATASETS, Dataset
from benchmarks.urfd import SAMPLINGS
from kinoscope.data.feature_store import FeatureStore
from kinoscope.encoders import extract_folder
from kinoscope.encoders.split import split_encoder
from kinoscope.evaluate import average_recall, bootstrap_replicates, evaluate_detection
from kinoscope.evaluate.result import DetectionResult
from kinoscope.files import write_json
from kinoscope.localize.end_to_end import EndToEnd, TunedFeatures
from kinoscope.localize.localizer import Localizer
from kinoscope.localize.online import OnlineLocalizer
from kinoscope.localize.train import train_localizer
from kinoscope.localize.train_options import LocalizeTrainOptions
from kinoscope.sola import load_adapter

HEADS = ("actionformer", "tridet", "gtad", "bmn", "causal")
WAYS = ("raw", "joint", "end-to-end")
WHOLE = {"urfd lite0-change": "efficientnet-lite0-change", "urfd i3d": "i3d-k400"}
"""Data sets whose encoder is trained, too, with ActionFormer."""
BLOCKS = 1
SEEDS = (0, 1, 2)
EPOCHS = 30


@dataclass(frozen=True)
class Cell:
    """What one training came to."""

    map: float
    ar: float
    """AR@100, every video the same number of proposals."""
    replicates: list[float]
    """mAP on resampled test videos. Shape: [2000]."""
    seconds: float
    """Of training."""
    delay: float = 0.0
    """Median seconds of the video from a segment's end to when it is told; of the online head."""


def measure(head: str, way: str, data: Dataset, seed: int, using: EndToEnd | None = None) -> dict[str, Cell]:
    """Train and score; the causal head also on a stream."""
    test = data.part("testing")
    options = LocalizeTrainOptions(epochs=EPOCHS, seed=seed, validate_every=0)
    name = "actionformer" if head == "causal" else head
    options = replace(options, head=name, causal=head == "causal")  # type: ignore[arg-type]
    with tempfile.TemporaryDirectory() as temporary:
        run, begin = Path(temporary, "head"), time.perf_counter()
        sola: Any = "joint" if way == "joint" else "none"
        train_localizer(data.annotations, data.features, run, options, sola=sola, end_to_end=using, accelerator="cpu")
        took = time.perf_counter() - begin
        model = Localizer.load(run)
        used = {each: data.features[each] for each in test}
        if way == "joint":
            adapter = load_adapter(run / "adapter")
            used = {each: adapter.adapt(features) for each, features in used.items()}
        if using is not None:  # what was saved is what its top now holds
            tuned = TunedFeatures(using.encoder.top, data.features, using)
            spec = model.features
            used = {each: replace(tuned[each], encoder=spec.encoder, weight_hash=spec.weight_hash) for each in test}
    whole = dict(zip(test, model.localize_many([used[each] for each in test]), strict=True))
    cells = {head: _scored(whole, data, took)}
    if head == "causal" and way == "raw":
        found, delays = {}, []
        for each in test:
            online = OnlineLocalizer(model, used[each].time)
            told = [*online.push(used[each].values), *online.finish()]
            found[each] = [one.segment for one in told]
            delays += [one.delay for one in told]
        cells["online"] = replace(_scored(found, data, 0.0), delay=float(np.median(delays)) if delays else 0.0)
    return cells


def _scored(found: dict[str, Any], data: Dataset, seconds: float) -> Cell:
    result: DetectionResult = evaluate_detection(found, data.annotations, "own", subset="testing")
    assert result.proposals is not None
    recall = average_recall(result.proposals, result.ground_truth, most=100, budget="top").at(100)
    drawn = bootstrap_replicates(result).map.mean(axis=1)
    return Cell(result.average_map, recall, np.round(drawn, 5).tolist(), seconds)


def parts_of(encoder: str, data: Dataset, cache: Path) -> EndToEnd:
    """The encoder with its last block apart, fresh, and the maps below it."""
    split = split_encoder(encoder, BLOCKS, SAMPLINGS[encoder], device="cpu")
    folder = cache / "urfd" / f"{encoder}-cut-{BLOCKS}"
    report = extract_folder(data_folder() / "urfd" / "videos", folder, split.trunk)
    assert not report.failed, report.failed
    store = FeatureStore(folder).mapped()
    return EndToEnd(split, {name: store[f"{name}-cam0"] for name in data.annotations.videos})


def cell_path(cache: Path, data: str, head: str, way: str, seed: int) -> Path:
    """Where a cell is kept."""
    return cache / "cells" / f"{re.sub('[^a-z0-9]+', '-', f'{data} {head} {way}'.lower())}-{seed}.json"


def run_dataset(name: str, cache: Path, seeds: tuple[int, ...], heads: tuple[str, ...], ways: tuple[str, ...]) -> None:
    """Every missing cell of a data set; the first seed of all first."""
    wanted = [(seed, head, way) for seed in seeds for head in heads for way in _ways(name, head) if way in ways]
    missing = [each for each in wanted if not cell_path(cache, name, each[1], each[2], each[0]).is_file()]
    data = DATASETS[name](cache) if missing else None
    for seed, head, way in missing:
        assert data is not None
        using = parts_of(WHOLE[name], data, cache) if way == "end-to-end" else None
        for kind, cell in reversed(
            measure(head, way, data, seed, using).items()
        ):  # the one that is looked for is kept last
            path = cell_path(cache, name, kind, way, seed)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, vars(cell))
            told = f"mAP {cell.map:.3f}, AR@100 {cell.ar:.3f}, {cell.seconds:.0f} s"
            print(f"{name}, {kind}, {way}, seed {seed}: {told}", file=sys.stderr, flush=True)


def _ways(name: str, head: str) -> tuple[str, ...]:
    if head == "causal":
        return ("raw",)
    return WAYS if head == "actionformer" and name in WHOLE else WAYS[:2]


def rows(name: str, cache: Path) -> list[dict[str, str]]:
    """The table of one data set, in per cent; only what has all seeds."""
    found: dict[tuple[str, str], list[Cell]] = {}
    for head in (*HEADS, "online"):
        for way in WAYS:
            paths = [cell_path(cache, name, head, way, seed) for seed in SEEDS]
            if all(path.is_file() for path in paths):
                found[head, way] = [Cell(**json.loads(path.read_text(encoding="utf-8"))) for path in paths]
    base = found.get(("actionformer", "raw"))
    return [_row(*key, cells, base, found.get((key[0], "raw"))) for key, cells in found.items()]


def _row(head: str, way: str, cells: list[Cell], base: list[Cell] | None, raw: list[Cell] | None) -> dict[str, str]:
    drawn = np.mean([cell.replicates for cell in cells], axis=0)  # [2000]
    line = {
        "head": head,
        "features": {"raw": "raw", "joint": "SoLa, joint", "end-to-end": "end to end"}[way],
        "mAP": f"**{100 * np.mean([cell.map for cell in cells]):.1f}**",
        "each seed": ", ".join(f"{100 * cell.map:.1f}" for cell in cells),
        "95 %": _range(drawn),
        "AR@100": f"{100 * np.mean([cell.ar for cell in cells]):.1f}",
        "− ActionFormer, raw": "",
        "− raw": "",
        "delay, s": f"{np.mean([cell.delay for cell in cells]):.2f}" if head == "online" else "",
    }
    if base is not None and (head, way) != ("actionformer", "raw"):
        line["− ActionFormer, raw"] = _range(drawn - np.mean([cell.replicates for cell in base], axis=0), "+")
    if raw is not None and way != "raw":
        line["− raw"] = _range(drawn - np.mean([cell.replicates for cell in raw], axis=0), "+")
    return line


def _range(drawn: np.ndarray, sign: str = "") -> str:
    return " … ".join(f"{100 * bound:{sign}.1f}" for bound in np.nanquantile(drawn, [0.025, 0.975]))


NOTE = """\
Per cent, means over seeds 0, 1, 2; mAP at tIoU 0.3 to 0.7, AR@100 with the same number of proposals for every video.
Default options but 30 epochs, one core. Intervals: bootstrap over the test videos, the same draws in every row; "−":
paired differences, where an interval that holds 0 shows no difference; "− raw": from the same head on raw features.
"Online": segments of the causal head as they are told on a stream, never taken back; "delay": median seconds of video
from a segment's end until then. Data sets as in the table of SoLa: GTEA and 50 Salads with features of a CNN that saw
the labels of the training part. What has no row was not run; how long training takes stands in the section on training.
G-TAD and BMN train as the others do, not by their papers' recipes. An adapter inside a head also adds layers to it; a
control without Similarity Matching was not run here. "End to end": the encoder's last block (a 1×1 convolution of
EfficientNet-Lite0) learns with the head, at a tenth of its rate."""


def main() -> None:
    """Run what is missing, then print the tables; ``--write`` puts them into the document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put the tables into docs/results.md")
    parser.add_argument("--cache", type=Path, default=ROOT / "results-cache" / "localize", help="features and cells")
    parser.add_argument("--data", nargs="*", choices=DATASETS, default=list(DATASETS), help="only these data sets")
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS), help="only these seeds")
    parser.add_argument("--heads", nargs="+", choices=HEADS, default=list(HEADS), help="only these heads")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS), help="only these ways")
    arguments = parser.parse_args()
    for name in arguments.data:
        chosen = (tuple(each) for each in (arguments.seeds, arguments.heads, arguments.ways))
        run_dataset(name, arguments.cache, *chosen)
    tables = {name: rows(name, arguments.cache) for name in DATASETS}
    body = "\n\n".join(f"### {name}\n\n{table(found)}" for name, found in tables.items() if found)
    if body:
        command = "OMP_NUM_THREADS=1 python -m benchmarks.localize_heads --cache FOLDER --write"
        publish(Section("localize_heads", "Localisation heads", command, body, NOTE), write=arguments.write)


if __name__ == "__main__":
    main()
