"""UR Fall Detection from pixels to mAP: raw features, SoLa, and a plain moving average, with the same head.

    OMP_NUM_THREADS=1 python -m benchmarks.urfd [--write] [--encoder NAME] [--seeds 0 1 2] [--cache FOLDER]

The path is that of the command line: ``extract``, ``adapt`` (trained on the training videos only), ``train localize``
with its default options, ``localize``, ``evaluate``. The saved model is read back before it is used. One seed governs
SoLa and the head; raw features and the moving average have only the head's.

Two kinds of uncertainty are shown: seeds (t-interval of the mean over seeds) and videos (bootstrap of the test videos,
the same draws for every seed and every kind, so that differences are paired).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.results import Section, data_folder, publish, table
from kinoscope.data.annotations import read_annotations
from kinoscope.data.feature_store import FeatureStore
from kinoscope.data.features import Features
from kinoscope.data.segments import Annotations
from kinoscope.encoders import Sampling, encoder_spec, extract_folder, load_encoder
from kinoscope.evaluate import DetectionResult, bootstrap_replicates, evaluate_detection
from kinoscope.localize.localizer import Localizer
from kinoscope.localize.train import train_localizer
from kinoscope.localize.train_options import LocalizeTrainOptions
from kinoscope.sola import MovingAverage, SolaTraining, train_adapter

SAMPLINGS = {
    "efficientnet-lite0-change": Sampling(),
    "i3d-k400": Sampling(clip_length=16, stride=4, size=160),  # falls last about a second
}
KINDS = ("raw", "SoLa", "moving average")
T_QUANTILE = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}  # 97.5 %, n - 1 degrees of freedom


@dataclass(frozen=True)
class Outcome:
    """What one kind of features came to: one result per seed."""

    results: tuple[DetectionResult, ...]

    @property
    def scores(self) -> np.ndarray:
        """Average mAP by seed. Shape: [S]."""
        return np.array([result.average_map for result in self.results])

    def replicates(self) -> np.ndarray:
        """Average mAP, mean over seeds, on resampled test videos. Shape: [B]."""
        return np.mean([bootstrap_replicates(result).map.mean(axis=1) for result in self.results], axis=0)


def read_dataset(encoder: str, cache: Path) -> tuple[Annotations, dict[str, Features]]:
    """Annotations, and features of every annotated video; the files are named ``<video>-cam0.mp4``."""
    source = data_folder() / "urfd"
    annotations = read_annotations(source / "annotations.json")
    report = extract_folder(source / "videos", cache / encoder, load_encoder(encoder), SAMPLINGS[encoder])
    assert not report.failed, report.failed
    store = FeatureStore(cache / encoder)
    return annotations, {name: store[f"{name}-cam0"] for name in annotations.videos}


def converted(
    kind: str, features: Mapping[str, Features], train: list[str], seed: int, folder: Path
) -> dict[str, Features]:
    """Features as the head sees them; SoLa learns from the videos ``train`` alone."""
    if kind == "raw":
        return dict(features)
    if kind == "moving average":
        average = MovingAverage(next(iter(features.values())).width)
        return {name: average.adapt(each) for name, each in features.items()}
    adapter = train_adapter({name: features[name] for name in train}, folder, training=SolaTraining(seed=seed))
    return {name: adapter.adapt(each) for name, each in features.items()}


def run(kind: str, annotations: Annotations, features: Mapping[str, Features], seed: int) -> DetectionResult:
    """One training and its score on the test videos."""
    train, test = (list(annotations.subset(part).videos) for part in ("training", "testing"))
    with tempfile.TemporaryDirectory() as temporary:
        used = converted(kind, features, train, seed, Path(temporary, "sola"))
        options = LocalizeTrainOptions(seed=seed, validate_every=0)  # nothing looks at the test videos before the end
        train_localizer(annotations, used, Path(temporary, "head"), options)
        model = Localizer.load(Path(temporary, "head"))
    found = dict(zip(test, model.localize_many([used[name] for name in test]), strict=True))
    return evaluate_detection(found, annotations, "own", subset="testing")


def seed_interval(scores: np.ndarray) -> tuple[float, float]:
    """The 95 % t-interval of the mean over seeds."""
    half = T_QUANTILE[len(scores)] * scores.std(ddof=1) / len(scores) ** 0.5
    return float(scores.mean() - half), float(scores.mean() + half)


def row(kind: str, outcome: Outcome, raw: Outcome) -> dict[str, object]:
    """One line of the table, in per cent."""
    first = outcome.results[0]
    by_threshold = np.mean([result.map for result in outcome.results], axis=0)  # [T]
    line: dict[str, object] = {"features": kind}
    line |= {f"@{tiou:g}": _percent(value) for tiou, value in zip(first.thresholds, by_threshold, strict=True)}
    line |= {"average": f"**{_percent(outcome.scores.mean())}**", "each seed": ", ".join(map(_percent, outcome.scores))}
    line["95 %, seeds"] = _range(seed_interval(outcome.scores))
    line["95 %, videos"] = _range(_middle(outcome.replicates()))
    difference = outcome.replicates() - raw.replicates()
    line["minus raw, 95 %, videos"] = "" if kind == "raw" else _range(_middle(difference), sign="+")
    by_class = np.mean([result.ap.mean(axis=1) for result in outcome.results], axis=0)  # [K]
    return line | {name: _percent(value) for name, value in zip(first.classes, by_class, strict=True)}


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _middle(replicates: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(replicates, [0.025, 0.975])
    return float(low), float(high)


def _range(interval: tuple[float, float], sign: str = "") -> str:
    return " … ".join(f"{100 * bound:{sign}.1f}" for bound in interval)


NOTE = """\
mAP in per cent at tIoU 0.3 to 0.7, mean over the seeds; the last columns are the average precision of the two classes.
"Seeds": t-interval of the mean over seeds, "videos": bootstrap over the test videos; neither contains the other.
"Minus raw": the same resampled videos scored with both; an interval that holds 0 shows no difference.

What this does not say: the split is **not official** (every third video is for testing), nothing keeps the actors and
rooms of the two parts apart, and falls are acted. The figures say that the path from pixels to segments works, not how
well the falls of other people in other rooms are found. Head and SoLa have their default options; nothing was chosen by
the test videos. The moving average is the control: what a mere smoother reaches, too, is no merit of SoLa."""


def measure(encoder: str, seeds: list[int], cache: Path) -> list[dict[str, object]]:
    """The table of one encoder; each run is told as it ends."""
    annotations, features = read_dataset(encoder, cache)
    outcomes = {}
    for kind in KINDS:
        results = []
        for seed in seeds:
            results.append(run(kind, annotations, features, seed))
            print(f"{encoder}, {kind}, seed {seed}: {results[-1].average_map:.4f}", file=sys.stderr, flush=True)
        outcomes[kind] = Outcome(tuple(results))
    return [row(kind, outcome, outcomes["raw"]) for kind, outcome in outcomes.items()]


def section(encoder: str, rows: list[dict[str, object]]) -> Section:
    """What the document says of one encoder."""
    spec = SAMPLINGS[encoder].resolve(encoder_spec(encoder))
    shown = f"{spec.fps:g} frames per second, clips of {spec.clip_length}, stride {spec.stride}, {spec.size} px"
    body = f"Input: {shown}; features of {spec.width} channels.\n\n{table(rows)}"
    command = f"OMP_NUM_THREADS=1 python -m benchmarks.urfd --encoder {encoder} --write"  # threads change last digits
    title = f"UR Fall Detection: pixels to segments with {encoder}"
    return Section(f"urfd {encoder}", title, command, body, NOTE)


def main() -> None:
    """Print a table for each encoder; ``--write`` puts it into the document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--encoder", choices=list(SAMPLINGS), help="only this one")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--cache", type=Path, help="folder that keeps features between runs")
    asked = parser.parse_args()
    if len(asked.seeds) not in T_QUANTILE:
        parser.error(f"--seeds: give {min(T_QUANTILE)} to {max(T_QUANTILE)} of them, for an interval")
    for encoder in [asked.encoder] if asked.encoder else SAMPLINGS:
        with tempfile.TemporaryDirectory() as temporary:
            rows = measure(encoder, asked.seeds, asked.cache or Path(temporary))
        publish(section(encoder, rows), write=asked.write)


if __name__ == "__main__":
    main()
