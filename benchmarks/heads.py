"""Does the BERT head know the order of things, and is that more than its parameters? All heads on the same features.

    python -m benchmarks.heads [--write] [--cache FOLDER] [--jobs 2]

Every head has as many parameters as BERT's (tgap and concat have fewer, and no way to have more; wide is the mean with
as many). Every head is tuned with the same effort: three learning rates, tokens L2-normalised or not, chosen on
validation clips out of the training part. Then five seeds learn from the whole training part; the weights are those of
the last epoch. Nothing is chosen on test clips.

Order: clips of the playground whose classes differ in the order of two motions alone; three pairs of motions, so that
who knows the motions and not their order is right half of the time. UT-Interaction: frozen I3D features over time; a
sequence is left out at a time, with what was chosen on the other set; or one set teaches and the other tests. UCF101:
stored features of 25 frames of 15 classes, official split 1.

Trainings are kept in the cache folder, one file each: an interrupted benchmark goes on.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.results import Section, data_folder, publish, table
from benchmarks.ut_interaction_clips import ut_interaction_clips
from kinoscope.bert3d.options import HEADS, HeadOptions, RecognizeOptions
from kinoscope.bert3d.train import Where, train_head
from kinoscope.data.clip_parts import Parts, folds, training_clips
from kinoscope.data.feature_store import FeatureStore
from kinoscope.data.features import Features, FeatureTime
from kinoscope.data.labelled_clips import LabelledClip, LabelledClips, read_labelled_clips
from kinoscope.data.playground import PlaygroundOptions, make_playground
from kinoscope.encoders import Sampling, load_encoder
from kinoscope.encoders.folder import extract_folder
from kinoscope.evaluate.clip_scores import hit_difference, hit_interval

SEEDS = range(5)
RATES, NORMALIZED = (3e-4, 1e-3, 3e-3), (True, False)
HEAD = HeadOptions(reduce=128, dropout=0.3)
RECIPES = {
    "order": RecognizeOptions(epochs=40, batch_size=32, select="last", validation_share=0.0),
    "ut": RecognizeOptions(epochs=40, batch_size=32, select="last", validation_share=0.0),
    "ucf": RecognizeOptions(epochs=10, batch_size=64, select="last", validation_share=0.0),
}
NAMES = tuple(name for name in HEADS if name != "bert-late")
VARIANTS: dict[str, dict[str, Any]] = {
    "bert, no positions": {"positions": "none"},
    "bert, fixed positions": {"positions": "sinusoidal"},
    "bert, mean of tokens read": {"readout": "mean"},
    "bert, two layers": {"layers": 2},
    "bert, one attention head": {"heads": 1},
    "bert, no tokens dropped": {"keep": 1.0},
    "bert as for the other backbones": {"initialization": "bert5"},
}
"""What BERT's head is made of, one thing changed at a time; only on the order clips."""
ORDER = PlaygroundOptions(seed=7, clips_per_class=0, details_per_class=0, untrimmed_videos=0, orders_per_class=100)


@dataclass(frozen=True)
class Task:
    """One training: what is learned from, what is tested, by which head."""

    data: str
    """order, ut or ucf."""
    part: str
    """Which parts of the data, see :func:`parts_of`."""
    head: HeadOptions
    options: RecognizeOptions

    @property
    def key(self) -> str:
        told = json.dumps([self.data, self.part, asdict(self.head), asdict(self.options)], sort_keys=True)
        return sha256(told.encode()).hexdigest()[:24]


# ---- data --------------------------------------------------------------------------------------------------------


def prepare(folder: Path) -> None:
    """Make and extract what is not in the cache yet."""
    sampling = Sampling(clip_length=16, stride=8)
    encoder = load_encoder("i3d-k400")
    make_playground(folder / "order", ORDER)
    extract_folder(folder / "order" / "order", folder / "order-features", encoder, replace(sampling, size=128))
    source = data_folder() / "ut_interaction"
    for name in ("set1", "set2"):
        extract_folder(source / name, folder / "ut-features" / name, encoder, replace(sampling, size=160))


@cache
def clips_and_features(data: str, folder: Path) -> tuple[LabelledClips, Mapping[str, Features]]:
    """Labelled clips with the features of each."""
    if data == "order":
        labelled = read_labelled_clips(folder / "order" / "order.csv")
        store = FeatureStore(folder / "order-features")
    elif data == "ut":
        labelled = ut_interaction_clips()
        store = FeatureStore(folder / "ut-features")
    else:
        return ucf101()
    return labelled, {clip.name: store[clip.name] for clip in labelled.clips}


def ucf101() -> tuple[LabelledClips, Mapping[str, Features]]:
    """15 classes of UCF101 as 25 frame features each, official split 1."""
    stored = np.load(data_folder() / "ucf101_15cls_vgg16" / "ucf101_15cls_vgg16_pca256.npz", allow_pickle=False)
    names = [str(name) for name in stored["video"]]
    classes = [str(name) for name in stored["classes"]]
    first = int(stored["label"].min())
    clips = tuple(
        LabelledClip(name, Path(name), classes[int(label) - first], subset="train" if subset == 1 else "test")
        for name, label, subset in zip(names, stored["label"], stored["subset"], strict=True)
    )
    time = FeatureTime(25.0, 1, 1)
    rows = stored["feat"].astype(np.float32)
    features = {name: Features(values, time) for name, values in zip(names, rows, strict=True)}
    return LabelledClips(clips), features


def parts_of(data: str, part: str, folder: Path) -> Parts:
    """The clips to learn from and to test on.

    ``order``: as marked, tested on ``test`` or on ``validation``. ``ucf``: official, or ``tune``. ``ut``: ``1-2`` (set
    1 teaches, set 2 tests), ``2-1``, ``tune-1``, ``tune-2`` (a part of the set tests), ``1#3`` (sequence 3 of set 1
    tests).
    """
    labelled, _ = clips_and_features(data, folder)
    if data == "order":
        parts = training_clips(labelled, 0, 0.0)
        return replace(parts, test=parts.validation if part == "tune" else parts.test, validation=())
    if data == "ucf":
        return _tuning(training_clips(labelled, 0, 0.2)) if part == "tune" else training_clips(labelled, 0, 0.0)
    chosen = part.removeprefix("tune-")[0]
    one = replace(labelled, clips=tuple(clip for clip in labelled.clips if clip.name.startswith(f"set{chosen}")))
    if "#" in part:
        return folds(one, "group", 0, 0.0)[int(part.partition("#")[2])]
    both = ut_interaction_clips(train=int(chosen))
    return _tuning(training_clips(both, 0, 0.2)) if part.startswith("tune") else training_clips(both, 0, 0.0)


def _tuning(parts: Parts) -> Parts:
    return replace(parts, test=parts.validation, validation=())


# ---- trainings ---------------------------------------------------------------------------------------------------


def outcome(task: Task, folder: Path) -> dict[str, Any]:
    """Hits on the test clips by name, cross-entropy, parameters; from the cache if it is there."""
    kept = folder / "trainings" / f"{task.key}.json"
    if kept.is_file():
        return dict(json.loads(kept.read_text()))
    torch.set_num_threads(1)
    parts = parts_of(task.data, task.part, folder)
    _, features = clips_and_features(task.data, folder)
    with tempfile.TemporaryDirectory() as run:
        where = Where(device="cpu")
        trained = train_head(parts, run, task.head, task.options, features=features, where=where)
    truth = parts.numbers(parts.test)
    right = trained.test.argmax(axis=1) == truth
    loss = float(-np.log(np.maximum(trained.test[np.arange(len(truth)), truth], 1e-12)).mean())
    names = [clip.name for clip in parts.test]
    found = {
        "hits": dict(zip(names, right.astype(int).tolist(), strict=True)),
        "loss": loss,
        "parameters": trained.parameters,
    }
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(found))
    return found


def tuned(data: str, part: str, head: HeadOptions, folder: Path) -> Task:
    """The rate and the normalisation with the most validation clips right, of equal ones the least loss."""

    def quality(task: Task) -> tuple[float, float]:
        found = outcome(task, folder)
        return float(np.mean(list(found["hits"].values()))), -found["loss"]

    return max(grid(data, part, head), key=quality)


def grid(data: str, part: str, head: HeadOptions) -> list[Task]:
    """The trainings that a choice is made from."""
    return [
        Task(data, part, replace(head, normalize=normalize), replace(RECIPES[data], learning_rate=rate))
        for rate, normalize in itertools.product(RATES, NORMALIZED)
    ]


def heads_of(data: str) -> dict[str, HeadOptions]:
    """The rows of a table."""
    found = {name: replace(HEAD, head=name) for name in NAMES}
    if data == "order":
        found |= {name: replace(HEAD, **changed) for name, changed in VARIANTS.items()}
    return found


TABLES: dict[str, tuple[str, list[tuple[str, str]]]] = {
    "order of two motions (playground)": ("order", [("test", "tune")]),
    "UT-Interaction, set 1, a sequence out": ("ut", [(f"1#{k}", "tune-2") for k in range(10)]),
    "UT-Interaction, set 2, a sequence out": ("ut", [(f"2#{k}", "tune-1") for k in range(10)]),
    "UT-Interaction, set 1 → set 2": ("ut", [("1-2", "tune-1")]),
    "UT-Interaction, set 2 → set 1": ("ut", [("2-1", "tune-2")]),
    "UCF101, 15 classes, split 1": ("ucf", [("test", "tune")]),
}
"""Title → data, and the parts that are tested with the part that tunes for each."""


def finals(data: str, parts: Iterable[tuple[str, str]], head: HeadOptions, folder: Path) -> list[list[Task]]:
    """For each seed the trainings whose tests together are one score."""
    chosen = {tune: tuned(data, tune, head, folder) for tune in dict.fromkeys(tune for _, tune in parts)}
    return [
        [Task(data, part, chosen[tune].head, replace(chosen[tune].options, seed=seed)) for part, tune in parts]
        for seed in SEEDS
    ]


def train_all(folder: Path, jobs: int, wanted: Iterable[str]) -> None:
    """Every training that is not in the cache, first those that are chosen from."""
    tables = [TABLES[name] for name in wanted]
    first = [
        task
        for data, parts in tables
        for head in heads_of(data).values()
        for tune in dict.fromkeys(tune for _, tune in parts)
        for task in grid(data, tune, head)
    ]
    _run(first, folder, jobs)
    second = [
        task
        for data, parts in tables
        for head in heads_of(data).values()
        for several in finals(data, parts, head, folder)
        for task in several
    ]
    _run(second, folder, jobs)


def _run(tasks: list[Task], folder: Path, jobs: int) -> None:
    todo = [task for task in dict.fromkeys(tasks) if not (folder / "trainings" / f"{task.key}.json").is_file()]
    with ProcessPoolExecutor(jobs) as pool:
        for done, _ in enumerate(pool.map(outcome, todo, itertools.repeat(folder)), 1):
            if done % 25 == 0 or done == len(todo):
                print(f"{done} of {len(todo)} trainings", flush=True)


# ---- tables ------------------------------------------------------------------------------------------------------


def rows(title: str, folder: Path) -> list[dict[str, object]]:
    """A table of heads, the best first after BERT's own rows are marked."""
    data, parts = TABLES[title]
    hits: dict[str, np.ndarray] = {}
    seeds: dict[str, np.ndarray] = {}
    parameters: dict[str, int] = {}
    chosen: dict[str, str] = {}
    for name, head in heads_of(data).items():
        runs = []
        for several in finals(data, parts, head, folder):
            found = [outcome(task, folder) for task in several]
            together = {clip: hit for each in found for clip, hit in each["hits"].items()}
            runs.append([together[clip] for clip in sorted(together)])
            parameters[name] = found[0]["parameters"]
            chosen[name] = f"{several[0].options.learning_rate:g}{', normalised' if several[0].head.normalize else ''}"
        hits[name], seeds[name] = np.mean(runs, axis=0), np.mean(runs, axis=1)  # [N], [seeds]
    table_rows: list[dict[str, object]] = []
    for name in sorted(hits, key=lambda name: -hits[name].mean()):
        low, high = hit_interval(hits[name])
        gap = hit_difference(hits["bert"], hits[name])
        ahead = "" if name == "bert" else f"{100 * gap.value:+.1f} ({100 * gap.low:+.1f} … {100 * gap.high:+.1f})"
        table_rows.append(
            {
                "head": f"**{name}**" if name == "bert" else name,
                "parameters": f"{parameters[name]:,}",
                "accuracy %": f"{100 * hits[name].mean():.1f}",
                "95 % over clips": f"{100 * low:.1f} – {100 * high:.1f}",
                "seeds": " ".join(f"{100 * each:.0f}" for each in seeds[name]),
                "BERT is ahead by": ahead,
                "rate": chosen[name],
            }
        )
    return table_rows


NOTE = """\
Parameters are of the head with its reduction to 128 channels and its classifier; all but tgap and concat are matched to
BERT's. "BERT is ahead by" is the paired difference over the same test clips, means over five seeds, with its 95 %
interval; where it holds 0, nothing is shown. "rate" is what validation clips chose. The order clips have six classes,
three pairs of motions: chance is 16.7 %, and knowing the motions without their order gives 50 %. UT-Interaction has six
classes and 60 clips per set: chance is 16.7 %, one clip is 1.7 points. Features are frozen and small; what heads gain
when the encoder learns too is not measured here."""


def main() -> None:
    """Train, print the tables; ``--write`` puts them into the document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--cache", type=Path, help="folder that keeps videos, features and trainings")
    parser.add_argument("--jobs", type=int, default=2, help="trainings at a time, one thread each")
    parser.add_argument("--tables", nargs="*", choices=list(TABLES), default=list(TABLES))
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.cache or Path(temporary)
        prepare(folder)
        train_all(folder, asked.jobs, asked.tables)
        body = "\n\n".join(f"**{title}**\n\n{table(rows(title, folder))}" for title in asked.tables)
    title = "Heads over time: is it more than parameters?"
    publish(Section("heads", title, "python -m benchmarks.heads --write", body, NOTE), write=asked.write)


if __name__ == "__main__":
    main()
