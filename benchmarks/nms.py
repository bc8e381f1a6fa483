"""Suppression of duplicates: groups side by side in NumPy against a plain loop in C++, and against one video at a time.

    OMP_NUM_THREADS=1 python -m benchmarks.nms [--write] [--rounds 9]

The loop is soft-NMS as the public code writes it: the best of the rest goes to the front, the others decay, what falls
below ``min_score`` is swapped out. It is compiled here with ``g++ -O3`` into a temporary folder, in double precision,
and stops after as many segments of a class as may be kept of a video. Its results are compared with ours first. Without
g++ this side is left out. Candidates are made: some around true segments, some anywhere.
"""

from __future__ import annotations

import argparse
import ctypes
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.results import Section, publish, table
from kinoscope.localize.intervals import Candidates, Floats, Indices
from kinoscope.localize.nms import suppress_many
from kinoscope.localize.options import DecodeOptions

_LOOP = """
#include <algorithm>
#include <cmath>
#include <vector>
extern "C" void soft_nms(const double* starts, const double* ends, const double* scores, const long* edges, long groups,
                         double sigma, double min_score, long most, long* kept, double* decayed, long* counts) {
  for (long g = 0; g < groups; g++) {
    long first = edges[g], last = edges[g + 1], n = last - first, i = 0;
    std::vector<double> a(starts + first, starts + last), b(ends + first, ends + last);
    std::vector<double> c(scores + first, scores + last);
    std::vector<long> id(n);
    for (long j = 0; j < n; j++) id[j] = j;
    for (; i < n && i < most; i++) {
      long best = i;
      for (long j = i + 1; j < n; j++)
        if (c[j] > c[best] || (c[j] == c[best] && (a[j] < a[best] || (a[j] == a[best] && id[j] < id[best])))) best = j;
      std::swap(a[i], a[best]); std::swap(b[i], b[best]); std::swap(c[i], c[best]); std::swap(id[i], id[best]);
      kept[first + i] = id[i];
      decayed[first + i] = c[i];
      double length = b[i] - a[i] + 1e-6;
      for (long j = i + 1; j < n;) {
        double overlap = std::max(0.0, std::min(b[i], b[j]) - std::max(a[i], a[j]));
        double iou = overlap / (length + (b[j] - a[j] + 1e-6) - overlap);
        c[j] *= std::exp(-(iou * iou) / sigma);
        if (c[j] < min_score) { n--; a[j] = a[n]; b[j] = b[n]; c[j] = c[n]; id[j] = id[n]; } else j++;
      }
    }
    counts[g] = i;
  }
}
"""

Loop = Callable[..., None]


@dataclass(frozen=True)
class Case:
    """Candidates of videos, and whether their classes compete."""

    name: str
    videos: int
    classes: int
    fewest: int
    most: int
    """Candidates of a class."""
    multiclass: bool = True


CASES = (
    Case("1 video, 20 classes of 600", 1, 20, 600, 600),
    Case("the same, all classes compete", 1, 20, 600, 600, multiclass=False),
    Case("100 videos, 20 classes of 200", 100, 20, 200, 200),
    Case("1,000 videos, 1 class of 100 to 200", 1000, 1, 100, 200),
)


def made(case: Case, seed: int = 0) -> list[Candidates]:
    """Videos of 200 s with one to seven true segments of each class; six of ten candidates lie around one of them."""
    rng = np.random.default_rng(seed)
    videos = []
    for _ in range(case.videos):
        parts: list[Candidates] = []
        for label in range(case.classes):
            count, true = int(rng.integers(case.fewest, case.most + 1)), int(rng.integers(1, 8))
            centres, lengths = rng.uniform(0, 200, true), rng.uniform(3, 40, true)
            of, near = rng.integers(0, true, count), rng.random(count) < 0.6
            around = centres[of] + rng.normal(0, 0.15, count) * lengths[of]
            centre = np.where(near, around, rng.uniform(0, 200, count))
            similar = lengths[of] * np.exp(rng.normal(0, 0.3, count))
            length = np.where(near, similar, rng.uniform(2, 60, count))
            score = np.where(near, rng.beta(1, 3, count), rng.beta(0.5, 10, count)).clip(0.001, 1)
            segments = np.stack([centre - length / 2, centre + length / 2], axis=1)
            parts.append((segments, score, np.full(count, label)))
        segments, scores, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        videos.append((segments, scores, labels))
    return videos


def compiled(folder: Path) -> Loop | None:
    """The loop, or none where there is no g++."""
    if shutil.which("g++") is None:
        print("no g++ here: the compiled loop is left out", file=sys.stderr)
        return None
    source, library = folder / "loop.cpp", folder / "loop.so"
    source.write_text(_LOOP, encoding="utf-8")
    subprocess.run(["g++", "-O3", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    found: Loop = ctypes.CDLL(str(library)).soft_nms
    return found


class Prepared:
    """Arrays of the loop: candidates group after group, as ``made`` leaves them, and room for its results."""

    def __init__(self, loop: Loop, videos: Sequence[Candidates], options: DecodeOptions) -> None:
        self.videos, self.options, self.loop = videos, options, loop
        segments, self.scores, labels = (np.concatenate(arrays) for arrays in zip(*videos, strict=True))
        self.starts, self.ends = (np.ascontiguousarray(bound) for bound in segments.T)
        video = np.repeat(np.arange(len(videos)), [len(scores) for _, scores, _ in videos])
        new = np.diff(video) != 0
        if options.multiclass:
            new |= np.diff(labels) != 0
        self.edges = np.array([0, *(np.flatnonzero(new) + 1), len(video)], dtype=np.int64)
        self.video, self.labels, self.segments = video, labels, segments
        self.kept, self.decayed = np.zeros(len(video), np.int64), np.zeros(len(video))
        self.counts = np.zeros(len(self.edges) - 1, np.int64)

    def __call__(self) -> None:
        """All groups."""
        sizes = ctypes.c_long(len(self.counts)), ctypes.c_long(self.options.max_segments)
        rule = ctypes.c_double(self.options.sigma), ctypes.c_double(self.options.min_score)
        arrays = [_pointer(array) for array in (self.starts, self.ends, self.scores, self.edges)]
        results = [_pointer(array) for array in (self.kept, self.decayed, self.counts)]
        self.loop(*arrays, sizes[0], *rule, sizes[1], *results)

    def results(self) -> list[tuple[Floats, Floats]]:
        """Segments and scores of the kept of each video, best first."""
        first = self.edges[:-1]
        places = np.concatenate([np.arange(a, a + n) for a, n in zip(first, self.counts, strict=True)])
        index: Indices = self.kept[places] + np.repeat(first, self.counts)
        found = []
        for video in range(len(self.videos)):
            own, score = index[self.video[index] == video], self.decayed[places[self.video[index] == video]]
            best = np.lexsort((own, self.starts[own], -score))[: self.options.max_segments]
            found.append((self.segments[own[best]], score[best]))
        return found


def _pointer(array: np.ndarray) -> ctypes.c_void_p:
    return array.ctypes.data_as(ctypes.c_void_p)


def check(loop: Prepared, found: Sequence[Candidates]) -> None:
    """Raise unless the loop keeps the same segments with the same scores, to rounding."""
    loop()
    for (segments, scores, _), (theirs, their_scores) in zip(found, loop.results(), strict=True):
        np.testing.assert_array_equal(segments, theirs)
        np.testing.assert_allclose(scores, their_scores, rtol=1e-9)


def seconds(action: Callable[[], object]) -> float:
    """That one ``action`` takes."""
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


def row(case: Case, loop: Loop | None, rounds: int) -> dict[str, object]:
    """Medians over rounds in which the sides take turns, and of the rounds' own ratios."""
    videos, options = made(case), DecodeOptions(multiclass=case.multiclass)
    sides: dict[str, Callable[[], object]] = {
        "ours": lambda: suppress_many(videos, options),
        "single": lambda: [suppress_many([video], options) for video in videos],
    }
    if loop is not None:
        prepared = Prepared(loop, videos, options)
        check(prepared, suppress_many(videos, options))
        sides["C++"] = prepared
    times = [{name: seconds(side) for name, side in sides.items()} for _ in range(rounds)]
    boxes = sum(len(scores) for _, scores, _ in videos)
    ours = float(np.median([each["ours"] for each in times]))
    line: dict[str, object] = {
        "candidates": case.name,
        "boxes": f"{boxes:,}",
        "milliseconds": f"{1000 * ours:.1f}",
        "boxes per second": f"{boxes / ours / 1e6:.2f} M",
        "one video at a time × ours": f"{np.median([each['single'] / each['ours'] for each in times]):.1f}",
    }
    if loop is not None:
        line["C++, boxes per second"] = f"{boxes / np.median([each['C++'] for each in times]) / 1e6:.2f} M"
        line["C++ × ours"] = f"**{np.median([each['C++'] / each['ours'] for each in times]):.2f}**"
    return line


NOTE = """\
Gaussian soft-NMS at default options: sigma 0.5, 200 kept of a video, candidates below 0.001 dropped. "× ours": how many
times as long the other side takes; below 1 it is faster. Medians over rounds in which the sides take turns, ratios the
medians of the rounds' own. The C++ loop finds its groups ready, one after the other in memory, and ends with the kept
of each class; ours starts from the arrays of each video, groups them, and also merges the classes. Both keep the same
segments. Where classes share the 200, ours stops when no class can add to them, which the loop, class after class, can
not. Where every group has to be followed to its end, the compiled loop has less to do per box and wins."""


def main() -> None:
    """Measure and print; ``--write`` puts it into the document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put the section into docs/results.md")
    parser.add_argument("--rounds", type=int, default=9)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        loop = compiled(Path(folder))
        lines = [row(case, loop, asked.rounds) for case in CASES]
    command = "OMP_NUM_THREADS=1 python -m benchmarks.nms --write"
    publish(Section("nms", "Soft-NMS: boxes per second", command, table(lines), NOTE), write=asked.write)


if __name__ == "__main__":
    main()
