"""CoCLR against InfoNCE, UberNCE and random weights at one budget: R@1 and a linear probe, on made and on real videos.

    python -m benchmarks.coclr [playground|people] [--write] [--cache FOLDER] [--seeds 0,1,2] [--jobs 2]

Everything is trained by `kinoscope pretrain`, in processes of one thread each; what is done is kept in the cache, so
that a broken-off benchmark goes on. *playground*: made videos in which motion alone decides the class. *people*: set 1
of UT-Interaction and URFD, all without labels; then trained on set 1, tested on set 2.

Not compared: the published setting (32 frames of 128 px, full S3D, 500 epochs), for which a CPU is too slow.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from benchmarks.coclr_figure import draw_precision
from benchmarks.results import ROOT, Section, data_folder, publish, table
from kinoscope.clips.reader import ClipOptions, Clips
from kinoscope.coclr.window_features import load_window_encoder, window_features
from kinoscope.data.annotations import read_annotations, resolve_videos
from kinoscope.data.playground import PlaygroundOptions, make_playground
from kinoscope.encoders.backbones import build_backbone
from kinoscope.encoders.trained import TrainedSpec, save_encoder, trained_spec
from kinoscope.evaluate.bootstrap import Interval
from kinoscope.evaluate.clip_protocols import Parts, linear_outcomes, retrieval_outcomes
from kinoscope.evaluate.clip_scores import hit_difference, hit_interval
from kinoscope.evaluate.clip_split import split_clips
from kinoscope.evaluate.linear_probe import LinearProbeOptions
from kinoscope.evaluate.retrieval import video_feature
from kinoscope.video.augment import evaluation_view
from kinoscope.video.streams import normalise

MEASURES = {"retrieval": "R@1", "linear": "top-1"}
FIGURE = ROOT / "docs" / "figures" / "coclr_precision.svg"
Hits = dict[str, np.ndarray]


@dataclass(frozen=True)
class Budget:
    """Epochs: of the InfoNCE stages, of each co-training stage, and cycles."""

    init: int
    cotrain: int
    cycles: int = 2

    @property
    def rest(self) -> int:
        """What a stream is trained after its InfoNCE stage."""
        return self.cycles * self.cotrain

    @property
    def whole(self) -> int:
        """What a stream of CoCLR is trained in all; the others get it in one go."""
        return self.init + self.rest


@dataclass(frozen=True)
class Experiment:
    """Videos to learn from, labelled videos to be scored on, and how."""

    name: str
    unlabelled: Path
    labels: Path
    budget: Budget
    common: tuple[str, ...]
    """Options of every run."""
    arms: tuple[str, ...]
    root: Path | None = None


def arm_options(arm: str, budget: Budget) -> list[str]:
    """What makes the run of an arm; streams and budgets of all are alike."""
    whole = ["--epochs", str(budget.whole)]
    cotraining = ["--epochs", str(budget.init), "--cotrain-epochs", str(budget.cotrain), "--cycles", str(budget.cycles)]
    return {
        "InfoNCE, rgb": ["--method", "infonce", *whole],
        "InfoNCE, flow": ["--method", "infonce", "--stream", "flow", *whole],
        "UberNCE, rgb": [],  # of two runs, see pretrain
        "CoCLR": ["--method", "coclr", *cotraining],
        "CoCLR, motion vectors": ["--method", "coclr", "--algorithm", "motion-vectors", *cotraining],
    }[arm]


def folder_of(cache: Path, experiment: Experiment, arm: str, seed: int) -> Path:
    return cache / experiment.name / arm.lower().replace(", ", "-").replace(" ", "-") / str(seed)


def pretrain(experiment: Experiment, cache: Path, arm: str, seed: int) -> None:
    """One run, in a process of its own; it goes on where it stopped."""
    out = folder_of(cache, experiment, arm, seed)
    if (out / "done").exists():
        return
    source = experiment.labels if "UberNCE" in arm or experiment.name == "playground" else experiment.unlabelled
    frames = cache / experiment.name / ("vectors" if "vectors" in arm else "frames")
    steps = [(out, arm_options(arm, experiment.budget))]
    if "UberNCE" in arm:  # from random weights it stays where all features are equal
        first = out / "infonce"
        steps = [
            (first, ["--method", "infonce", "--epochs", str(experiment.budget.init)]),
            (out, ["--method", "ubernce", "--start", str(first), "--epochs", str(experiment.budget.rest)]),
        ]
    for folder, options in steps:
        command = [sys.executable, "-m", "kinoscope", "pretrain", str(source), "--out", str(folder), *options]
        command += [*experiment.common, "--cache", str(frames), "--seed", str(seed), "--resume"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{arm}, seed {seed}: {done.stderr[-2000:]}")
    (out / "done").touch()


def random_encoder(experiment: Experiment, like: Path, seed: int, cache: Path) -> Path:
    """Weights that never learned; only batch norm has seen some clips, without which its features would be noise."""
    out, spec = folder_of(cache, experiment, "random", seed), trained_spec(like)
    if not (out / "config.json").exists():
        torch.manual_seed(seed)
        backbone = build_backbone(spec.backbone, width=spec.width, normalization=spec.normalization)
        for batch in _some_clips(experiment, spec):
            backbone(batch)
        save_encoder(out, backbone, spec)
    return out


@torch.no_grad()
def _some_clips(experiment: Experiment, spec: TrainedSpec, batches: int = 40, size: int = 16) -> list[torch.Tensor]:
    options = ClipOptions(spec.clip_length, spec.fps, spec.size, spec.decode_size, spec.flow)
    annotations = read_annotations(experiment.labels)
    clips = Clips(resolve_videos(annotations, experiment.root or experiment.labels.parent), [spec.stream], options)
    rng, found = np.random.default_rng(0), []
    for _ in range(batches):
        chosen = rng.integers(len(clips), size=size).tolist()
        frames = [clips.read(i, [(int(rng.integers(clips.starts(i))), [spec.stream])])[0][spec.stream] for i in chosen]
        found.append(normalise(np.stack([evaluation_view(each, spec.size) for each in frames])))
    return found


def features_of(folders: Mapping[str, Path], experiment: Experiment, cache: Path) -> dict[str, dict[str, np.ndarray]]:
    """One feature per video of each encoder, by its name here. Shape of each: [C]."""
    annotations = read_annotations(experiment.labels)
    videos = resolve_videos(annotations, experiment.root or experiment.labels.parent)
    encoders = [load_window_encoder(folder) for folder in folders.values()]
    rows = window_features(videos, encoders, cache=cache / experiment.name / "features").rows
    return {
        name: {video: video_feature(each) for video, each in found.items()}
        for name, found in zip(folders, rows, strict=True)
    }


def score(features: Mapping[str, np.ndarray], experiment: Experiment) -> Hits:
    """Which test videos are right, by protocol. Shape of each: [N]."""
    split = split_clips(read_annotations(experiment.labels))
    parts = Parts(*(np.stack([features[name] for name in names]) for names in (split.train, split.test)))
    linear = linear_outcomes({"": parts}, split, LinearProbeOptions())
    outcomes = [*retrieval_outcomes({"": parts}, split, (1,)), *linear]
    return {each.protocol: np.asarray(each.hits[MEASURES[each.protocol]]) for each in outcomes}


def encoders_of(experiment: Experiment, seed: int, cache: Path) -> dict[str, Path]:
    """The encoder of every row of the table."""
    found = {}
    for arm in experiment.arms:
        folder = folder_of(cache, experiment, arm, seed)
        if not (folder / "done").exists():
            continue  # scored without it: see --jobs 0
        streams = {f"{arm}, {stream}": folder / stream for stream in ("rgb", "flow")}
        found |= streams if arm.startswith("CoCLR") else {arm: folder}
    if found:
        found["random weights, rgb"] = random_encoder(experiment, next(iter(found.values())), seed, cache)
    return found


def all_hits(experiment: Experiment, seeds: Sequence[int], cache: Path) -> dict[str, dict[str, np.ndarray]]:
    """By row and protocol, which test videos are right with each seed. Shape of each: [seeds, N]."""
    found: dict[str, list[Hits]] = {}
    for seed in seeds:
        encoders = encoders_of(experiment, seed, cache)
        for name, features in features_of(encoders, experiment, cache).items():
            found.setdefault(name, []).append(score(features, experiment))
    return {
        name: {each: np.stack([hits[each] for hits in seeds_]) for each in MEASURES} for name, seeds_ in found.items()
    }


def rows(hits: Mapping[str, Mapping[str, np.ndarray]]) -> list[dict[str, object]]:
    """A row per encoder: means over seeds, intervals over test videos, difference from InfoNCE on the same stream."""
    shown = []
    for name, by_protocol in hits.items():
        row: dict[str, object] = {"encoder": name}
        base = hits.get("InfoNCE, flow" if name.endswith("flow") else "InfoNCE, rgb")
        for protocol, title in (("retrieval", "R@1 %"), ("linear", "linear probe %")):
            found = by_protocol[protocol]  # [seeds, N]
            row[title] = _spread(found, hit_interval(found.mean(axis=0)))
            if base is not None and by_protocol is not base:
                gap, low, high = _gap(found.mean(axis=0), base[protocol].mean(axis=0))
                row[f"{title.removesuffix(' %')} minus InfoNCE"] = f"{gap:+.1f} ({low:+.1f} … {high:+.1f})"
        shown.append(row)
    return shown


def _spread(found: np.ndarray, interval: Interval) -> str:
    seeds = ", ".join(f"{100 * each:.1f}" for each in found.mean(axis=1))
    return f"{100 * found.mean():.1f} ({100 * interval.low:.1f} … {100 * interval.high:.1f}); seeds {seeds}"


def _gap(one: np.ndarray, other: np.ndarray) -> tuple[float, float, float]:
    interval = hit_difference(one, other)
    return 100 * float(one.mean() - other.mean()), 100 * interval.low, 100 * interval.high


def precision_curves(experiment: Experiment, seeds: Sequence[int], cache: Path) -> dict[str, list[list[float]]]:
    """By co-training run, the share of mined positives of the right class along it, for each seed."""
    found: dict[str, list[list[float]]] = {}
    for seed in seeds:
        stages = folder_of(cache, experiment, "CoCLR", seed) / "stages"
        if not (stages.parent / "done").exists():
            continue
        for cycle in range(1, experiment.budget.cycles + 1):
            for stream in ("rgb", "flow"):
                lines = (stages / f"cycle{cycle}-{stream}" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
                values = [each["mined_precision"] for line in lines if "mined_precision" in (each := json.loads(line))]
                miner = "flow mines for RGB" if stream == "rgb" else "RGB mines for flow"
                found.setdefault(f"cycle {cycle}: {miner}", []).append(values)
    return found


def precision_rows(curves: Mapping[str, Sequence[Sequence[float]]]) -> list[dict[str, object]]:
    """First and last quarter of each run, means over seeds."""
    shown = []
    for name, seeds in curves.items():
        quarters = [(np.mean(each[: len(each) // 4]), np.mean(each[-(len(each) // 4) :])) for each in seeds]
        first, last = np.mean(quarters, axis=0)
        each = ", ".join(f"{100 * end:.0f}" for _, end in quarters)
        shown.append(
            {
                "run": name,
                "first quarter %": f"{100 * first:.1f}",
                "last quarter %": f"{100 * last:.1f}",
                "last, by seed": each,
            }
        )
    return shown


def playground(cache: Path) -> Experiment:
    """Five motions, random looks; the whole motion fits into a clip."""
    folder = cache / "playground" / "videos"
    made = make_playground(folder, PLAYGROUND)
    assert made.clips is not None
    common = ("--preset", "small", "--frames", "8", "--fps", "8", "--size", "48", "--decode-size", "64", "--bound", "4")
    common += ("--flip", "0", "--area", "[0.8,1.0]", "--strong", "0", "--learning-rate", "5e-4")
    arms = ("CoCLR", "InfoNCE, rgb", "UberNCE, rgb", "InfoNCE, flow", "CoCLR, motion vectors")
    return Experiment("playground", folder, made.clips, Budget(20, 30), common, arms)


def people(cache: Path) -> Experiment:
    """UT-Interaction, set 1 → set 2."""
    data, folder = data_folder(), cache / "people"
    unlabelled = folder / "videos"
    for name, source in (
        ("set1", "ut_interaction/set1"),
        ("urfd", "urfd/videos"),
    ):
        (unlabelled / name).mkdir(parents=True, exist_ok=True)
        for path in (data / source).iterdir():
            link = unlabelled / name / path.name
            if path.is_file() and not link.exists():
                link.symlink_to(path)
    labels = folder / "labels.csv"
    lines = ["video,label,split"]
    for part, split in (("set1", "train"), ("set2", "test")):
        for path in sorted((data / "ut_interaction" / part).glob("*.avi")):
            lines.append(f"{part}/{path.name},{INTERACTIONS[int(path.stem.split('_')[2])]},{split}")
    labels.write_text("\n".join(lines) + "\n", encoding="utf-8")
    common = ("--preset", "small", "--bound", "8", "--learning-rate", "5e-4")
    arms = ("InfoNCE, rgb", "InfoNCE, flow", "CoCLR")
    return Experiment("people", unlabelled, labels, Budget(20, 10, cycles=1), common, arms, data / "ut_interaction")


PLAYGROUND = PlaygroundOptions(
    clips_per_class=150,
    motion_classes=("left-to-right", "fall", "clockwise", "grow", "shake"),
    looks=2,
    clip_seconds=(1.2, 1.2),
    orders_per_class=0,
    details_per_class=0,
    untrimmed_videos=0,
    split=(0.6, 0.0, 0.4),
    actor_scale=2.0,
    camera_shake=0.0,
    distractors=0,
    flicker=0.0,
)
INTERACTIONS = ("shake-hands", "hug", "kick", "point", "punch", "push")
NOTES = {
    "playground": """\
Motion decides the class; which of two backgrounds and actors is seen is drawn without regard to it. Chance is 20 %. 450
videos to learn from, 300 to be tested on, 8 frames of 48 px, S3D at a quarter of the width, batch 16, queue 448. Every
row has had the same number of epochs on its stream (UberNCE: InfoNCE first, then labels, because from random weights it
stays where all features are equal). Mirroring is off, because it would turn one direction into another. Intervals are
over test videos, of the mean over seeds; rows with fewer seeds had no more time. Co-training helped RGB
much with the first seed, little with the third; with the second it lost what InfoNCE had learned and then mined badly
for flow. R@1 of random weights is high because two clips of one look and place are near duplicates: read the
linear probe beside it.

Where every clip has a look of its own, no network on RGB left that plateau in 2,000 updates, UberNCE excepted:
positives that share a motion share nothing that the network can see yet, and co-training then makes its features equal.
The published schedule has some 75,000 updates of four times this batch.""",
    "people": """\
Pretrained without labels on 130 videos (set 1 and URFD), 16 frames of 64 px, S3D at a quarter of the width, 20 epochs
of InfoNCE and 10 of co-training; a linear layer or the nearest neighbour then learns from set 1 and is tested on set 2,
another place. Chance is 16.7 %; frozen I3D, which saw 240,000 labelled videos, reaches 78.3 % (`ut_interaction` above).
CoCLR is ahead of InfoNCE, and neither is ahead of random weights: this budget is far too small for real video. The
published setting is some thousand times this compute.""",
}


def main() -> None:
    """Print the tables; ``--write`` puts them into the document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", nargs="?", choices=("playground", "people"))
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--cache", type=Path, default=ROOT / "results-cache" / "coclr")
    parser.add_argument("--seeds", type=lambda text: [int(each) for each in text.split(",")], default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time; 0 scores what the cache holds")
    asked = parser.parse_args()
    cache = asked.cache.resolve()
    makers: dict[str, Callable[[Path], Experiment]] = {"playground": playground, "people": people}
    for name in [asked.experiment] if asked.experiment else makers:
        experiment = makers[name](cache)
        arms, seeds = zip(*((arm, seed) for arm in experiment.arms for seed in asked.seeds), strict=True)
        if asked.jobs:
            with ThreadPoolExecutor(asked.jobs) as pool:
                list(pool.map(partial(pretrain, experiment, cache), arms, seeds))
        publish(section(experiment, asked.seeds, cache), write=asked.write)


def section(experiment: Experiment, seeds: Sequence[int], cache: Path) -> Section:
    """What goes into the document."""
    body = table(rows(all_hits(experiment, seeds, cache)))
    note = NOTES[experiment.name]
    if experiment.name == "playground":
        curves = precision_curves(experiment, seeds, cache)
        body += "\n\nShare of mined positives that have the row's class (chance 20 %):\n\n" + table(
            precision_rows(curves)
        )
        draw_precision(FIGURE, curves)
        note += "\n\n![Share of mined positives of the right class](figures/coclr_precision.svg)"
    title = {"playground": "CoCLR on made videos", "people": "CoCLR on real videos of people"}[experiment.name]
    return Section(
        f"coclr_{experiment.name}", title, f"python -m benchmarks.coclr {experiment.name} --write", body, note
    )


if __name__ == "__main__":
    main()
