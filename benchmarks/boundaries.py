"""Event boundaries without training, against chance: GTEA and 50 Salads, truth from their frame labels.

    OMP_NUM_THREADS=1 python -m benchmarks.boundaries [--write]

The features are those that the data comes with, one row per frame; a true boundary is every change of the label, to and
from background included. The detector has its default options, which were chosen on the training videos of GTEA alone.
Controls place as many boundaries as the detector found, or as there are: evenly, or by chance (mean of 20 draws).
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.results import Section, data_folder, publish, table
from benchmarks.sola_data import GTEA_FPS, SALADS_FPS
from kinoscope.data.boundary_truth import BoundaryTruth
from kinoscope.data.features import Features, FeatureTime
from kinoscope.evaluate import BoundaryResult, bootstrap_mean_f1, evaluate_boundaries
from kinoscope.evaluate.boundaries import DISTANCES
from kinoscope.localize.boundaries import BoundaryOptions, find_boundaries
from kinoscope.sola import MovingAverage

RATES = {"gtea": GTEA_FPS, "50salads": SALADS_FPS}
FINE = (0.005, 0.01)  # relative distances below GEBD's, at which chance finds little
KERNELS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)  # seconds, to choose from where the data may tell
DRAWS = 20
Places = Mapping[str, list[float]]


@dataclass(frozen=True)
class Video:
    """One video: what the detector sees, and where the labels change."""

    features: Features
    truth: BoundaryTruth


def read_videos(name: str, part: str) -> dict[str, Video]:
    """Videos of a data set that are (``test``) or are not (``train``) in the test part of split 1."""
    folder = data_folder() / name
    lines = (folder / "splits" / "test.split1.txt").read_text(encoding="utf-8").split("\n")
    test = {line.split()[0] for line in lines if line.strip()}
    paths = {path.stem.removeprefix("rgb-"): path for path in sorted((folder / "features").glob("*.npz"))}
    assert test < paths.keys(), test - paths.keys()
    chosen = test if part == "test" else paths.keys() - test
    return {video: read_video(paths[video], RATES[name]) for video in sorted(chosen)}


def read_video(path: Path, rate: float) -> Video:
    """Features [T, C] and the times between rows at which the labels [T] change."""
    with np.load(path, allow_pickle=False) as file:
        rows, labels = file["feat"].astype(np.float32), file["label"].ravel()
    duration = len(rows) / rate
    times = (np.flatnonzero(np.diff(labels)) + 1) / rate
    features = Features(rows, FeatureTime(rate, 1, 1, 0.0, duration))
    return Video(features, BoundaryTruth(duration, (tuple(times.tolist()),)))


def detected(videos: Mapping[str, Video], options: BoundaryOptions = BoundaryOptions()) -> Places:
    return {name: [found.time for found in find_boundaries(video.features, options)] for name, video in videos.items()}


def best_options(videos: Mapping[str, Video]) -> BoundaryOptions:
    """The kernel that suits ``videos`` best at the finer distances, with all else as it is."""
    choices = [BoundaryOptions(width) for width in KERNELS]
    return max(
        choices, key=lambda options: sum(s.f1 for s in score(videos, detected(videos, options)).scores[: len(FINE)])
    )


def smoothed(videos: Mapping[str, Video]) -> Places:
    """As detected, after a moving average over five rows."""
    average = MovingAverage(next(iter(videos.values())).features.width, 5)
    return {name: [b.time for b in find_boundaries(average.adapt(video.features))] for name, video in videos.items()}


def even(videos: Mapping[str, Video], like: Places) -> Places:
    """As many boundaries as ``like`` has, at equal distances."""
    return {
        name: ((np.arange(len(like[name])) + 0.5) / max(len(like[name]), 1) * video.truth.duration).tolist()
        for name, video in videos.items()
    }


def by_chance(videos: Mapping[str, Video], like: Places, seed: int) -> Places:
    """As many boundaries as ``like`` has, anywhere."""
    rng = np.random.default_rng(seed)
    return {name: rng.uniform(0, video.truth.duration, len(like[name])).tolist() for name, video in videos.items()}


def score(videos: Mapping[str, Video], places: Places) -> BoundaryResult:
    return evaluate_boundaries(places, {name: video.truth for name, video in videos.items()}, (*FINE, *DISTANCES))


def row(name: str, results: list[BoundaryResult]) -> dict[str, object]:
    """One line of the table: F1 in per cent, mean over ``results``; an interval where there is one result."""
    f1 = np.mean([[each.f1 for each in result.scores] for result in results], axis=0)  # [D]
    counts = np.mean([(result.scores[0].predicted, result.scores[0].true) for result in results], axis=0)
    line: dict[str, object] = {"boundaries": name, "per true one": f"{counts[0] / counts[1]:.2f}"}
    line |= {f"@{d:g}": f"{100 * value:.1f}" for d, value in zip(results[0].distances, f1, strict=True) if d <= 0.1}
    line["mean 0.05 … 0.5"] = f"**{100 * f1[len(FINE) :].mean():.1f}**"
    if len(results) == 1:
        low, high = bootstrap_mean_f1(of_gebd(results[0]))
        line["95 %, videos"] = f"{100 * low:.1f} … {100 * high:.1f}"
    return line


def of_gebd(result: BoundaryResult) -> BoundaryResult:
    """The result at GEBD's own distances."""
    first = len(FINE)
    counts, means = result.counts[:, first:], result.mean_counts[:, first:]
    return replace(result, distances=result.distances[first:], counts=counts, mean_counts=means)


def measure(name: str) -> list[dict[str, object]]:
    """The table of one data set's test videos."""
    videos = read_videos(name, "test")
    found, true = detected(videos), {key: list(video.truth.raters[0]) for key, video in videos.items()}
    tuned = best_options(read_videos(name, "train"))
    chosen = f"found, kernel of {tuned.kernel_seconds:g} s, chosen on the training videos"
    rows = [
        row("found", [score(videos, found)]),
        row(chosen, [score(videos, detected(videos, tuned))]),
        row("found after a moving average", [score(videos, smoothed(videos))]),
    ]
    for like, how in ((found, "found"), (true, "true")):
        rows.append(row(f"evenly spaced, as many as {how}", [score(videos, even(videos, like))]))
        draws = [score(videos, by_chance(videos, like, seed)) for seed in range(DRAWS)]
        rows.append(row(f"random, as many as {how}", draws))
    return rows


def facts(name: str) -> str:
    """How much there is of a data set, and how long it lasts."""
    videos = read_videos(name, "test").values()
    seconds = [video.truth.duration for video in videos]
    count = sum(len(video.truth.raters[0]) for video in videos)
    return f"{len(seconds)} test videos of {np.mean(seconds):.0f} s in the mean, {count} true boundaries"


TITLES = {"gtea": "GTEA", "50salads": "50 Salads"}
NOTE = """\
F1 in per cent at relative distances (at 0.05 a boundary counts as found when a prediction lies within 5 % of the
video's length), counted as in the GEBD challenge. "Per true one": predicted boundaries for each true one. The interval
is of the mean, by bootstrap over the test videos. The moving average spans five rows.

What this does not say: in videos of so many actions 5 % of the length span several of them, so **chance does well at
GEBD's distances**; the finer columns tell a detector from marks at equal distances. The features come from networks
trained with the labels of the training videos, so they know these actions; the detector does not. Its default options
were chosen on the training videos of GTEA, where the features know the labels by heart. The actions of 50 Salads last
several times longer: the default finds the movements inside of them, and how long events are has to be said with
`--kernel-seconds`. The rate of 50 Salads, 2.5 rows a second, is about right; only the kernel's widths depend on it."""


def main() -> None:
    """Print one table per data set; ``--write`` puts them into the document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    body = "\n\n".join(f"**{title}**: {facts(name)}.\n\n{table(measure(name))}" for name, title in TITLES.items())
    command = "OMP_NUM_THREADS=1 python -m benchmarks.boundaries --write"
    section = Section("boundaries", "Event boundaries without training, against chance", command, body, NOTE)
    publish(section, write=asked.write)


if __name__ == "__main__":
    main()
