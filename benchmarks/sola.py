"""Is SoLa worth it? Every adapter and its controls, by boundary probe and by mAP of the same head, on five data sets.

    OMP_NUM_THREADS=1 python -m benchmarks.sola --cache FOLDER [--data NAME …] [--write]

One cell is one data set, one kind of features, one seed: adapter (trained on the training videos only) → boundary probe
→ ActionFormer head with default options → mAP on the test videos. A finished cell is kept in the cache, so that an
interrupted run goes on, two processes can share the data sets, and ``--write`` alone only draws the tables. Empty the
cache after a change of the code.

Two kinds of uncertainty are shown: seeds (each seed's score) and videos (bootstrap of the test videos, the same draws
for every kind and seed, so that differences are paired).
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.results import Section, publish, table
from benchmarks.sola_data import DATASETS, Dataset
from kinoscope.data.features import Features
from kinoscope.evaluate import bootstrap_replicates, boundary_probe, evaluate_detection
from kinoscope.evaluate.probe_counts import resample
from kinoscope.files import atomic_path
from kinoscope.localize.localizer import Localizer
from kinoscope.localize.train import train_localizer
from kinoscope.localize.train_options import LocalizeTrainOptions
from kinoscope.sola import (
    Adapter,
    Identity,
    MovingAverage,
    RandomAdapter,
    SoLa,
    SolaOptions,
    SolaTraining,
    Whitening,
    load_adapter,
    train_adapter,
)
from kinoscope.sola.diagnostics import cosine_by_distance, effective_rank

DIRECT = SolaOptions(predictor=False, stop_gradient=False)
VARIANTS = {
    "SoLa official": SolaOptions(),
    "SoLa direct": DIRECT,
}
JOINT = {"joint": 1.0, "unified": 0.0}
KINDS = ("raw", "moving average", "random", "whitening", *VARIANTS, *JOINT, "first stream")
TWO_STREAMS = ("playground", "urfd lite0-change")
SEEDS = (0, 1, 2)
EPOCHS = 30  # half of the default, for every kind: nine trainings a data set on two cores
PROBE = ("balanced_accuracy", "auc", "near_balanced_accuracy", "near_auc")

Videos = Mapping[str, Features]


@dataclass(frozen=True)
class Cell:
    """What one kind of features came to with one seed."""

    scores: dict[str, float]
    """Probe measures, ``map``, and what the features look like: ``far_cosine``, ``rank``, ``gate``."""
    replicates: dict[str, np.ndarray]
    """Of the probe measures and ``map``, on resampled test videos. Shape: [2000] each."""

    def save(self, path: Path) -> None:
        """Write the cell, atomically."""
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            kept = {f"r_{name}": values.astype(np.float32) for name, values in self.replicates.items()}
            np.savez(file, **kept, **{f"s_{name}": np.float64(value) for name, value in self.scores.items()})

    @classmethod
    def load(cls, path: Path) -> Cell:
        """Read what :meth:`save` wrote."""
        with np.load(path, allow_pickle=False) as stored:
            scores = {key[2:]: float(stored[key]) for key in stored.files if key.startswith("s_")}
            return cls(scores, {key[2:]: stored[key] for key in stored.files if key.startswith("r_")})


def make_adapter(kind: str, train: Videos, seed: int, folder: Path) -> Adapter:
    """The adapter of a kind that comes before the head, from the training videos alone."""
    channels = next(iter(train.values())).width
    makers: dict[str, Callable[[], Adapter]] = {
        "raw": lambda: Identity(channels),
        "moving average": lambda: MovingAverage(channels),
        "random": lambda: RandomAdapter.drawn(channels, seed=seed),
        "whitening": lambda: Whitening.fitted(train.values()),
    }
    if kind in makers:
        return makers[kind]()
    return train_adapter(train, folder, VARIANTS[kind], SolaTraining(seed=seed), device="cpu")


def measure(kind: str, data: Dataset, seed: int) -> Cell:
    """Adapter, probe, head, scores."""
    train, test = data.part("training"), data.part("testing")
    with tempfile.TemporaryDirectory() as temporary:
        home, run = Path(temporary, "sola"), Path(temporary, "head")
        options = LocalizeTrainOptions(epochs=EPOCHS, seed=seed, validate_every=0)  # the test videos are not looked at
        if kind in JOINT:
            how = "joint" if JOINT[kind] else "unified"
            train_localizer(data.annotations, data.features, run, options, sola=how, accelerator="cpu")
            adapter = load_adapter(run / "adapter")
            used = {name: adapter.adapt(each) for name, each in data.features.items()}
        elif kind == "first stream":
            adapter = Identity(next(iter(data.features.values())).width)
            used = {name: first_stream(each) for name, each in data.features.items()}
            train_localizer(data.annotations, used, run, options, accelerator="cpu")
        else:
            adapter = make_adapter(kind, {name: data.features[name] for name in train}, seed, home)
            used = {name: adapter.adapt(each) for name, each in data.features.items()}
            train_localizer(data.annotations, used, run, options, accelerator="cpu")
        model = Localizer.load(run)
    found = dict(zip(test, model.localize_many([used[name] for name in test]), strict=True))
    detection = evaluate_detection(found, data.annotations, "own", subset="testing")
    probe = boundary_probe(used, data.annotations, train=train, test=test, seed=seed)
    drawn = resample(probe.regions, 2000, 0)
    scores = {name: probe.measures[name] for name in PROBE} | {"map": detection.average_map}
    scores |= looks({name: used[name] for name in test})
    if isinstance(adapter, SoLa):
        scores["gate"] = float(adapter.alpha.detach().tanh())
    replicates = {name: drawn[name] for name in PROBE} | {"map": bootstrap_replicates(detection).map.mean(axis=1)}
    return Cell(scores, replicates)


def first_stream(features: Features) -> Features:
    """What a ``-change`` encoder says of the frames themselves, without their difference.

    Shape: [T, C] -> [T, C / 2].
    """
    half = np.ascontiguousarray(features.values[:, : features.width // 2])
    return replace(features, values=half, encoder=features.encoder.removesuffix("-change"))


def looks(videos: Videos) -> dict[str, float]:
    """Mean cosine 7 positions of SoLa's matrix apart, and effective rank of a video's rows; means over videos."""
    far = SolaOptions().step * (SolaOptions().size - 1)
    cosines = [cosine_by_distance(each.values, far)[far] for each in videos.values()]
    ranks = [effective_rank(each.values) for each in videos.values()]
    return {"far_cosine": float(np.nanmean(cosines)), "rank": float(np.mean(ranks))}


def cell_path(cache: Path, name: str, kind: str, seed: int) -> Path:
    """Where a cell is kept."""
    return cache / "cells" / f"{re.sub('[^a-z0-9]+', '-', f'{name} {kind}'.lower())}-{seed}.npz"


def run_dataset(name: str, cache: Path, kinds: tuple[str, ...], seeds: tuple[int, ...]) -> None:
    """Every missing cell of a data set; the first seed of all kinds first."""
    kinds = tuple(kind for kind in kinds if kind != "first stream" or name in TWO_STREAMS)
    missing = [(seed, kind) for seed in seeds for kind in kinds if not cell_path(cache, name, kind, seed).is_file()]
    data = DATASETS[name](cache) if missing else None
    for seed, kind in missing:
        assert data is not None
        cell = measure(kind, data, seed)
        cell.save(cell_path(cache, name, kind, seed))
        told = ", ".join(f"{key} {value:.3f}" for key, value in cell.scores.items())
        print(f"{name}, {kind}, seed {seed}: {told}", file=sys.stderr, flush=True)


def read_cells(name: str, cache: Path) -> dict[str, list[Cell]]:
    """Kind → cells of all seeds; kinds that are not complete are left out."""
    paths = {kind: [cell_path(cache, name, kind, seed) for seed in SEEDS] for kind in KINDS}
    return {k: [Cell.load(path) for path in each] for k, each in paths.items() if all(path.is_file() for path in each)}


def rows(cells: dict[str, list[Cell]]) -> list[dict[str, object]]:
    """The table of one data set, in per cent."""
    return [row(kind, cells[kind], cells["raw"], cells["moving average"]) for kind in cells]


def row(kind: str, own: list[Cell], raw: list[Cell], average: list[Cell]) -> dict[str, object]:
    """One line: means over seeds, paired intervals over videos against raw features and the moving average."""
    line: dict[str, object] = {"features": kind}
    for measure_name, title in (("balanced_accuracy", "probe"), ("near_balanced_accuracy", "near"), ("auc", "AUC")):
        line[title] = _percent(_mean(own, measure_name))
        if title == "near":
            line["near − raw"] = "" if kind == "raw" else _difference(own, raw, measure_name)
    line["mAP"] = f"**{_percent(_mean(own, 'map'))}**"
    line["each seed"] = ", ".join(_percent(cell.scores["map"]) for cell in own)
    line["95 %"] = _range(_replicates(own, "map"))
    line["mAP − raw"] = "" if kind == "raw" else _difference(own, raw, "map")
    line["mAP − moving average"] = "" if kind == "moving average" else _difference(own, average, "map")
    return line | {"far cosine": f"{_mean(own, 'far_cosine'):.2f}", "rank": f"{_mean(own, 'rank'):.1f}"}


def _mean(cells: list[Cell], name: str) -> float:
    return float(np.mean([cell.scores[name] for cell in cells]))


def _replicates(cells: list[Cell], name: str) -> np.ndarray:
    return np.mean([cell.replicates[name] for cell in cells], axis=0)


def _difference(own: list[Cell], other: list[Cell], name: str) -> str:
    return _range(_replicates(own, name) - _replicates(other, name), sign="+")


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _range(replicates: np.ndarray, sign: str = "") -> str:
    return " … ".join(f"{100 * bound:{sign}.1f}" for bound in np.nanquantile(replicates, [0.025, 0.975]))


def summary(everything: dict[str, dict[str, list[Cell]]]) -> list[dict[str, object]]:
    """Differences to raw features, averaged over the data sets: mAP, and probe accuracy near boundaries."""
    lines = []
    for kind in KINDS[1:]:
        held = [cells for cells in everything.values() if kind in cells and "raw" in cells]
        if len(held) < len(everything):
            continue
        line: dict[str, object] = {"features": kind}
        for name, title in (("map", "mAP − raw"), ("near_balanced_accuracy", "near − raw")):
            gaps = [_mean(cells[kind], name) - _mean(cells["raw"], name) for cells in held]
            drawn = np.mean([_replicates(c[kind], name) - _replicates(c["raw"], name) for c in held], axis=0)
            line |= {title: f"{100 * np.mean(gaps):+.1f}", f"{title}, 95 %": _range(drawn, sign="+")}
            line[f"better on ({title})"] = f"{sum(gap > 0 for gap in gaps)} of {len(gaps)}"
        lines.append(line)
    return lines


NOTE = """\
Per cent, means over seeds 0, 1, 2. "Probe": class-balanced accuracy of the action / background probe over every test
snippet; "near": within ±1 s of a boundary; AUC over every test snippet. mAP at tIoU 0.3 to 0.7 of the ActionFormer head
with default options but 30 epochs. Intervals: bootstrap over the test videos, the same draws in every row; "−": paired
differences, where an interval that holds 0 shows no difference. "Far cosine": mean cosine of rows 14 apart; "rank":
effective rank of a test video's rows. In the first table videos are drawn within each data set, and the differences
averaged.

"Direct": no predictor, no stop-gradient. "Joint": the adapter inside the head, with the official loss at weight 1;
"unified": the head's loss alone. "Random": an untrained f with α = 1. "First stream": without the frame differences,
which shows what the second stream gives. Adapters learn from the training videos alone, and no option was chosen by a
test video.

GTEA and 50 Salads: split 1, features of a CNN that was trained with the labels of its training part, a row in 0.33 s
and 0.8 s. urfd: our split, two encoders of ours, one trained on Kinetics, one on ImageNet with the difference of two
frames. Playground: made videos. The rates of GTEA and 50 Salads are not in their releases; they are taken for 15 and
2.5 frames a second, which matters for "near" alone."""


def main() -> None:
    """Run what is missing, then print the tables; ``--write`` puts them into the document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put the tables into docs/results.md")
    parser.add_argument("--cache", type=Path, required=True, help="folder for features and finished cells")
    parser.add_argument("--data", nargs="+", choices=DATASETS, default=list(DATASETS), help="only these data sets")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS), help="only these kinds")
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS), help="only these seeds")
    arguments = parser.parse_args()
    for name in arguments.data:
        run_dataset(name, arguments.cache, tuple(arguments.kinds), tuple(arguments.seeds))
    everything = {name: read_cells(name, arguments.cache) for name in DATASETS}
    everything = {name: cells for name, cells in everything.items() if {"raw", "moving average"} <= cells.keys()}
    if everything:
        publish(section(everything), write=arguments.write)


def section(everything: dict[str, dict[str, list[Cell]]]) -> Section:
    """What the document says."""
    body = "\n\n".join(
        [
            f"Over all {len(everything)} data sets:\n\n{table(summary(everything))}",
            *(f"**{name}**\n\n{table(rows(cells))}" for name, cells in everything.items()),
        ]
    )
    command = "OMP_NUM_THREADS=1 python -m benchmarks.sola --cache cache --write"  # threads change last digits
    return Section("sola", "SoLa against its controls", command, body, NOTE)


if __name__ == "__main__":
    main()
