"""Search: queries per second and space on disk, exact against faiss, on made rows.

    OMP_NUM_THREADS=1 python -m benchmarks.search [--write] [--rows 100000] [--width 1024]

The rows lie around a few thousand made directions in a space of 32 dimensions, as features of neighbouring moments do;
rows without any structure would be the worst case of an inverted file. Queries are rows with noise, asked one by one,
in turns. Recall counts how many of the ten nearest rows of the exact engine faiss finds.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.results import Section, publish, table
from kinoscope.data.feature_store import FeatureStore
from kinoscope.data.features import Features, FeatureTime, write_features
from kinoscope.search import Index, nearest_videos, open_index, write_index
from kinoscope.search.engines import Engine, choose_engine
from kinoscope.search.index import unit

QUERIES, NEAREST = 100, 10
_PER_VIDEO, _DIMENSIONS, _CENTRES, _STEP = 500, 32, 4000, 0.64


def rows(count: int, width: int, seed: int = 0) -> Iterator[np.ndarray]:
    """Videos of made features. Shape of each: [500, C]."""
    rng = np.random.default_rng(seed)
    space = rng.normal(size=(_DIMENSIONS, width)).astype(np.float32)
    centres = rng.normal(size=(_CENTRES, _DIMENSIONS)).astype(np.float32)
    for _ in range(count // _PER_VIDEO):
        shown = centres[np.repeat(rng.integers(0, _CENTRES, _PER_VIDEO // 10), 10)]  # ten rows each: [500, 32]
        inside = shown + 0.4 * rng.normal(size=shown.shape).astype(np.float32)
        noise = rng.normal(size=(_PER_VIDEO, width)).astype(np.float32)
        yield 3 + inside @ space + 0.5 * noise  # 3: what all videos share


def made_index(folder: Path, count: int, width: int) -> Index:
    """An index on disk of ``count`` rows."""
    clip = FeatureTime(25, 16, 32, 0.0, _PER_VIDEO * _STEP)
    for number, values in enumerate(rows(count, width)):
        write_features(folder / "feats" / f"{number:05d}.safetensors", Features(values, clip, "made", "0" * 16))
    write_index(folder / "index", FeatureStore(folder / "feats"))
    return open_index(folder / "index")


def asked(engine: Engine, vectors: np.ndarray) -> tuple[float, list[set[int]]]:
    """Median seconds of a query, and the nearest rows of each."""
    seconds, found = [], []
    for vector in vectors:
        begin = time.perf_counter()
        found.append({row for row, _ in islice(engine.ranked(vector), NEAREST)})
        seconds.append(time.perf_counter() - begin)
    return median(seconds), found


def measure(count: int, width: int) -> list[dict[str, object]]:
    """A row of the table for each engine, and one for whole videos."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        os.environ["KINOSCOPE_CACHE"] = str(folder / "cache")
        index = made_index(folder, count, width)
        rng = np.random.default_rng(1)
        noise = rng.normal(size=(QUERIES, width)).astype(np.float32)
        vectors = unit(index.moments[rng.integers(0, len(index.moments), QUERIES)] + 0.01 * noise)
        exact = choose_engine("exact", index)
        begin = time.perf_counter()
        faiss = choose_engine("faiss", index)
        built = time.perf_counter() - begin
        asked(exact, vectors[:5])  # reads the rows into the system's cache
        (slow, true), (fast, found) = asked(exact, vectors), asked(faiss, vectors)
        recall = sum(len(a & b) for a, b in zip(true, found, strict=True)) / (NEAREST * QUERIES)
        begin = time.perf_counter()
        for vector in vectors:
            nearest_videos(index, vector, NEAREST)
        whole = (time.perf_counter() - begin) / QUERIES
        sizes = [_megabytes(folder / "index"), _megabytes(folder / "cache")]
    return [
        _line("exact, moments", slow, slow, 1.0, 0.0, sizes[0]),
        _line("faiss, moments", fast, slow, recall, built, sizes[1]),
        _line(f"exact, {len(index.entries):,} whole videos", whole, slow, 1.0, 0.0, 0.0),
    ]


def _line(what: str, seconds: float, slow: float, recall: float, built: float, size: float) -> dict[str, object]:
    return {
        "engine": what,
        "queries/s": f"{1 / seconds:,.0f}",
        "ms a query": f"{1000 * seconds:.2f}",
        "× exact": f"{slow / seconds:.1f}",
        f"recall@{NEAREST}": f"{recall:.3f}",
        "built in [s]": f"{built:.1f}" if built else "",
        "on disk [MB]": f"{size:,.0f}" if size else "in the index",
    }


def _megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


NOTE = """\
One query at a time, medians, rows in the system's cache. The exact engine reads every row for a query, so its time
grows with rows × width; the index on disk is 4 bytes a number. faiss keeps its own copy in half precision in the user's
cache, built when it is first asked for; it looks into as many lists as a recall of 0.95 on rows of the index takes, and
what it finds is compared again exactly. `--engine auto` takes it above a million rows. "Whole videos" ranks one row per
video and finds the most similar moment of each result. The rows are made: real features can be easier or harder for
faiss, which is why `kinoscope search` prints the recall that it measured on the index at hand."""


def main() -> None:
    """Print the table; ``--write`` puts it into the document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--width", type=int, default=1024)
    given = parser.parse_args()
    title = f"Search: {given.rows:,} moments of {given.width:,} numbers"
    command = "OMP_NUM_THREADS=1 python -m benchmarks.search --write"
    section = Section("search", title, command, table(measure(given.rows, given.width)), NOTE)
    publish(section, write=given.write)


if __name__ == "__main__":
    main()
