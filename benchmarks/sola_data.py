"""The data sets that SoLa is measured on, as annotations with a split and features; nothing here knows of SoLa.

GTEA and 50 Salads come as features of a CNN that was trained on split 1's training part, so only that split is honest
there. Their rows are pooled, to three a second and one in 0.8 s: SoLa's paper has two a second.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.results import data_folder
from benchmarks.urfd import read_dataset as read_urfd
from kinoscope.data.annotations import read_annotations
from kinoscope.data.feature_store import FeatureStore
from kinoscope.data.features import Features, FeatureTime
from kinoscope.data.playground import PlaygroundOptions, make_playground
from kinoscope.data.segments import Annotations, Segment, VideoAnnotation
from kinoscope.encoders import Sampling, extract_folder, load_encoder

GTEA_FPS, SALADS_FPS = 15.0, 2.5  # by count of rows; the releases do not state them
PLAYGROUND_ENCODER, PLAYGROUND_VIDEOS = "efficientnet-lite0-change", 60


@dataclass(frozen=True)
class Dataset:
    """Videos, what happens in them, and which of them are for training."""

    annotations: Annotations
    """Every video is in the subset ``training`` or ``testing``."""
    features: dict[str, Features]

    def part(self, subset: str) -> list[str]:
        """Names of the videos of a subset."""
        return list(self.annotations.subset(subset).videos)


def runs(labels: np.ndarray) -> list[tuple[int, int, int]]:
    """Maximal stretches of one label that is not 0, the background: (first row, row after the last, label)."""
    edges = np.flatnonzero(np.diff(labels)) + 1
    starts, ends = np.concatenate(([0], edges)), np.concatenate((edges, [len(labels)]))
    return [(int(a), int(b), int(labels[a])) for a, b in zip(starts, ends, strict=True) if labels[a] != 0]


def from_frames(folder: Path, fps: float, pool: int, encoder: str) -> Dataset:
    """A release of per-frame features and labels, split 1; rows are means of ``pool`` frames."""
    parts = {}
    for subset, name in (("training", "train"), ("testing", "test")):
        for line in (folder / "splits" / f"{name}.split1.txt").read_text(encoding="utf-8").split():
            parts[Path(line).stem] = subset
    videos, features = {}, {}
    for name, subset in parts.items():
        (path,) = (folder / "features").glob(f"*{name}.npz")  # 50 Salads: rgb-01-1.npz
        with np.load(path) as stored:
            rows, labels = stored["feat"].astype(np.float32), stored["label"]  # [T, C], [T]
        duration = len(rows) / fps
        segments = [Segment(a / fps, b / fps, f"action {label:02d}") for a, b, label in runs(labels)]
        videos[name] = VideoAnnotation(tuple(segments), duration=duration, subset=subset)
        whole = len(rows) // pool * pool
        pooled = rows[:whole].reshape(-1, pool, rows.shape[1]).mean(axis=1)  # [T, C] -> [T / pool, C]
        features[name] = Features(pooled, FeatureTime(fps, pool, pool, 0.0, duration), encoder)
    return Dataset(Annotations(videos, folder), features)


def urfd(encoder: str, cache: Path) -> Dataset:
    """UR Fall Detection, our own features."""
    return Dataset(*read_urfd(encoder, cache / "urfd"))


def playground(cache: Path) -> Dataset:
    """Made videos, our own features."""
    videos, home = cache / "playground" / "videos", cache / "playground" / PLAYGROUND_ENCODER
    if not (videos / "untrimmed.json").is_file():
        make_playground(videos, PlaygroundOptions.demo(seed=0, untrimmed_videos=PLAYGROUND_VIDEOS))
    extract_folder(videos, home, load_encoder(PLAYGROUND_ENCODER), Sampling())
    found = read_annotations(videos / "untrimmed.json")
    merged = {  # nothing is chosen on the validation part, so it trains too
        name: replace(each, subset="testing" if each.subset == "testing" else "training")
        for name, each in found.videos.items()
    }
    store = FeatureStore(home)
    return Dataset(Annotations(merged, found.source), {name: store[name] for name in merged})


DATASETS: dict[str, Callable[[Path], Dataset]] = {
    "gtea": lambda _cache: from_frames(data_folder() / "gtea", GTEA_FPS, 5, "spatial-cnn-gtea"),
    "50salads": lambda _cache: from_frames(data_folder() / "50salads", SALADS_FPS, 2, "spatial-cnn-50salads"),
    "urfd lite0-change": lambda cache: urfd("efficientnet-lite0-change", cache),
    "urfd i3d": lambda cache: urfd("i3d-k400", cache),
    "playground": playground,
}
