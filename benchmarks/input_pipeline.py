"""The input pipeline of pretraining: samples per second by number of workers, and what the loader waits for.

    python -m benchmarks.input_pipeline [--write] [--videos 12] [--rounds 3]

A sample is what co-training takes: a pair of views, the query in RGB, the key in RGB and flow. Videos are the first of
UT-Interaction's first set. Every round takes all settings in turn, so that a busy machine slows all of them; medians.

Not measured: reading from a slow disk (what is cached fits in memory here), larger videos, a network that trains at the
same time and wants the cores, too.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from benchmarks.results import Section, data_folder, publish, table
from kinoscope.clips.footage import Effort
from kinoscope.clips.reader import ClipOptions, Clips
from kinoscope.coclr.views import sample_views
from kinoscope.encoders.folder import find_videos

SHAPES = ((16, 112), (32, 128))  # frames of a clip, and their side
WORKERS = (0, 1, 2)
BATCH = 4


class Samples(Dataset[Any]):
    """Pairs of views of all videos in turn; the round changes what is drawn."""

    def __init__(self, clips: Clips, turn: int, epochs: int) -> None:
        self.clips, self.turn, self.epochs = clips, turn, epochs

    def __len__(self) -> int:
        return len(self.clips) * self.epochs

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        rng = np.random.default_rng([self.turn, index])
        views = sample_views(self.clips, index % len(self.clips), rng, ("rgb",), ("rgb", "flow"))
        return {f"{role} {stream}": clip for role, streams in views.items() for stream, clip in streams.items()}


@dataclass
class Measured:
    """One library: seconds per sample of all rounds by number of workers, and where they go without any."""

    name: str
    clips: Clips
    epochs: int
    """In a round: more where they are quick, so that starting the workers weighs little."""
    seconds: dict[int, list[float]] = field(default_factory=lambda: {workers: [] for workers in WORKERS})
    shares: list[dict[str, float]] = field(default_factory=list)

    def round(self, turn: int) -> None:
        """All samples with each number of workers; the first round warms up and is not counted."""
        for workers in WORKERS:
            self.clips.effort = Effort()
            begin = time.perf_counter()
            count = sum(len(batch["query rgb"]) for batch in loader(Samples(self.clips, turn, self.epochs), workers))
            spent = time.perf_counter() - begin
            if turn:
                self.seconds[workers].append(spent / count)
            if turn and not workers:
                self.shares.append({part: value / spent for part, value in vars(self.clips.effort).items()})

    def rate(self, workers: int) -> float:
        """Median samples per second."""
        return 1 / median(self.seconds[workers])

    def share(self, part: str) -> float:
        """Median share of the time that one process spends on a part."""
        return median(each[part] for each in self.shares)


def loader(samples: Samples, workers: int) -> Iterator[dict[str, torch.Tensor]]:
    """Batches of uint8 clips, as training takes them."""
    return iter(DataLoader(samples, BATCH, num_workers=workers, worker_init_fn=_one_thread))


def _one_thread(_worker: int) -> None:
    torch.set_num_threads(1)


def measure(frames: int, size: int, videos: dict[str, Path], cache: Path, rounds: int) -> tuple[list[Measured], float]:
    """Both libraries, and the seconds that filling the cache takes per second of video."""
    options = ClipOptions(frames=frames, size=size)
    decoded, cached = (Clips(videos, ("rgb", "flow"), options, cache=each) for each in (None, cache))
    decoded.prepare(quiet=True)
    begin = time.perf_counter()
    cached.prepare(quiet=True)
    seconds = sum(cached.samples(i) for i in range(len(cached))) / options.fps
    filling = (time.perf_counter() - begin) / seconds
    both = [Measured("decoded each time", decoded, 1), Measured("from the cache", cached, 10)]
    for turn in range(rounds + 1):
        for each in both:
            each.round(turn)
    return both, filling


def rows(frames: int, size: int, both: list[Measured], filling: float) -> list[dict[str, object]]:
    """A line per library."""
    plain = both[0]
    lines: list[dict[str, object]] = []
    for each in both:
        line: dict[str, object] = {"clip": f"{frames} × {size}²", "frames": each.name}
        line |= {f"{workers} workers, samples/s": f"{each.rate(workers):.1f}" for workers in WORKERS}
        pairs = zip(plain.seconds[0], each.seconds[0], strict=True)
        line["× decoded"] = f"{median(slow / fast for slow, fast in pairs):.2f}"
        parts = {part: each.share(part) for part in ("decoding", "motion", "augmenting")}
        line |= {part: f"{100 * share:.0f} %" for part, share in parts.items()}
        line["else"] = f"{100 * (1 - sum(parts.values())):.0f} %"
        line["filling, s per video s"] = "" if each is plain else f"{filling:.2f}"
        lines.append(line)
    return lines


NOTE = """\
A sample is two views of one video: the query in RGB, the key in RGB and flow (DIS), as co-training takes them. "Decoded
each time" decodes the frames of both clips in one pass and computes flow for the key's alone; "from the cache" reads
both from files that `prepare` wrote once ("filling": seconds of one process per second of video). "× decoded" is the
ratio of times without workers, the median over rounds. The shares are of one process without workers: "decoding" is
reading where frames are cached, "else" is collecting batches. Starting the workers is counted."""


def main() -> None:
    """Print the table; ``--write`` puts it into the document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--videos", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    found = find_videos(data_folder() / "ut_interaction" / "set1")
    videos = dict(list(found.items())[: asked.videos])
    lines = []
    for frames, size in SHAPES:
        with tempfile.TemporaryDirectory() as cache:
            lines += rows(frames, size, *measure(frames, size, videos, Path(cache), asked.rounds))
    title, command = "The input pipeline of pretraining", "python -m benchmarks.input_pipeline --write"
    publish(Section("input_pipeline", title, command, table(lines), NOTE), write=asked.write)


if __name__ == "__main__":
    main()
