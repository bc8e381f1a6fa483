"""Optical flow: what a minute of video costs by algorithm, in seconds and in bytes, and how near each is to TV-L1.

    python -m benchmarks.flow [--write] [--rounds 3] [VIDEOS ...]

One core, at the usual working size. Every round runs all algorithms in turn, so that a busy machine slows all of them;
times are medians over the rounds. TV-L1, the paper's choice, takes too long for whole clips: it is timed on a few pairs
of frames, spread over the clip, and its whole cost is put together from parts. The same pairs are where the others are
compared with it: TV-L1 is no truth, only what the paper used.

Not measured: flow networks, GPUs, several cores.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import get_args

import numpy as np

from benchmarks.results import Section, data_folder, publish, table
from kinoscope.video import open_video
from kinoscope.video.flow import Algorithm, FlowOptions, compute_flow, measure_flow, working_size, write_flow

CLIPS = ("clips/mmaction2_demo_armwrestling.mp4", "clips/v_BaseballPitch_g01_c01.avi", "ut_interaction/set1/0_1_4.avi")
PAIRS = 6  # of frames for TV-L1, a second each
ALGORITHMS: tuple[Algorithm, ...] = get_args(Algorithm)


class Clip:
    """A clip at its working size: its frames in memory, and some pairs of neighbours."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with open_video(path, threads=1) as video:
            self.minutes = video.duration / 60
            self.size = working_size(video.size, FlowOptions().size)
        self.frames = np.stack(list(self.decoded()))  # [T, H, W, 3]
        self.places = np.linspace(0, len(self.frames) - 2, PAIRS).astype(int)

    def decoded(self) -> list[np.ndarray]:
        with open_video(self.path, threads=1) as video:
            return [frame for frame, _ in video.stream(size=None if self.size == video.size else self.size)]

    def at_pairs(self, algorithm: Algorithm) -> np.ndarray:
        """Flow at the chosen places. Shape: [PAIRS, H, W, 2]."""
        if algorithm == "motion-vectors":
            flow = measure_flow(self.path, FlowOptions(algorithm), threads=1)
            return np.stack([each for place, (each, _) in enumerate(flow) if place in self.places])
        return np.concatenate([compute_flow(self.frames[p : p + 2], algorithm) for p in self.places])


def seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def measured(clip: Clip, algorithm: Algorithm, decoding: float) -> float:
    """Seconds for all motions of a clip, without decoding its frames."""
    if algorithm == "tvl1":
        return seconds(lambda: clip.at_pairs(algorithm)) * (len(clip.frames) - 1) / PAIRS
    if algorithm == "motion-vectors":  # cannot be had without decoding: what it takes beyond that
        flow = measure_flow(clip.path, FlowOptions(algorithm), threads=1)
        return max(0.0, seconds(lambda: sum(1 for _ in flow)) - decoding)
    return seconds(lambda: compute_flow(clip.frames, algorithm))


def compare(path: Path, rounds: int) -> list[dict[str, object]]:
    """A row for each algorithm."""
    clip = Clip(path)
    bare: dict[str, list[float]] = {name: [] for name in ALGORITHMS}
    whole: dict[str, list[float]] = {name: [] for name in ALGORITHMS}
    sizes: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(rounds):
            decoding = seconds(clip.decoded)
            for algorithm in np.roll(np.array(ALGORITHMS), turn).tolist():
                bare[algorithm].append(measured(clip, algorithm, decoding))
                if algorithm != "tvl1":
                    stats = write_flow(path, Path(folder) / "flow.mkv", FlowOptions(algorithm), threads=1)
                    whole[algorithm].append(stats.work_seconds)
                    sizes[algorithm] = stats.bytes
            whole["tvl1"].append(bare["tvl1"][-1] + whole["dis"][-1] - bare["dis"][-1])
    near = clip.at_pairs("tvl1")
    motion = float(np.linalg.norm(near, axis=-1).mean())
    rows: list[dict[str, object]] = []
    for algorithm in ALGORITHMS:
        away = float(np.linalg.norm(clip.at_pairs(algorithm) - near, axis=-1).mean())
        ratio = median(np.divide(whole["tvl1"], whole[algorithm]).tolist())
        rows.append(
            {
                "clip": f"{path.name}, {clip.size[1]} x {clip.size[0]}",
                "algorithm": algorithm,
                "measuring s/min": f"{median(bare[algorithm]) / clip.minutes:.1f}",
                "in all s/min": f"{median(whole[algorithm]) / clip.minutes:.1f}",
                "times faster than TV-L1": "1" if algorithm == "tvl1" else f"{ratio:.0f}",
                "MB/min": f"{sizes[algorithm] / 1e6 / clip.minutes:.1f}" if algorithm in sizes else "",
                "from TV-L1 px": "" if algorithm == "tvl1" else f"{away:.2f}",
                "motion px": f"{motion:.2f}" if algorithm == "tvl1" else "",
            }
        )
    return rows


NOTE = """\
Per minute of video. "Measuring" leaves out decoding (for motion vectors: what they take beyond decoding); "in all" also
decodes, encodes and writes the lossless file, whose size is "MB/min". "Times faster" is the median over rounds of the
ratio in a round, in all. "From TV-L1" is the mean end-point distance to TV-L1's flow at the same pairs of frames, in
pixels per frame; "motion" is how long TV-L1's own vectors are there. TV-L1 is timed on those pairs only."""


def main() -> None:
    """Print the table; ``--write`` puts it into the document."""
    import cv2

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="*", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    paths = options.videos or [data_folder() / name for name in CLIPS]
    rows = [row for path in paths for row in compare(path, options.rounds)]
    publish(
        Section("flow", "Optical flow, one core", "python -m benchmarks.flow --write", table(rows), NOTE),
        write=options.write,
    )


if __name__ == "__main__":
    main()
