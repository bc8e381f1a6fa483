"""Training and conversion of SoLa: reading windows of memory-mapped files against opening one whole file per sample.

    OMP_NUM_THREADS=2 python -m benchmarks.sola_speed [--write] [--videos 256] [--rounds 5]

The other side is the arrangement of the official code, written anew: each sample loads its ``.npy`` file whole and
cuts a window out, and the adapter computes all 23 rows of the window before 8 are taken. Both sides train the same
network on the same batch size, in turns, in one process. Files are made for the occasion, as long and wide as those of
HACS, and lie in the page cache after the first round: on a cold disk the other side has 14 times as much to read.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from benchmarks.results import Section, publish, table
from kinoscope.data.feature_store import FeatureStore
from kinoscope.data.features import FeatureTime
from kinoscope.engine import LoopOptions
from kinoscope.engine.batches import epoch_batches
from kinoscope.sola import SoLa, SolaOptions, SolaTraining, convert_folder
from kinoscope.sola.train import SolaTask

ROWS, WIDTH = 324, 2048  # HACS: the median length, and the width of I3D features
TIME = FeatureTime(2, 1, 1)

Batches = Iterator[tuple[Tensor, Tensor, Tensor]]


def make_files(folder: Path, videos: int) -> None:
    """``.npy`` files, which both sides read."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    for number in range(videos):
        np.save(folder / f"v{number}.npy", rng.standard_normal((ROWS, WIDTH), dtype=np.float32))


def task_of(folder: Path, batch: int) -> SolaTask:
    """Our training, as ``kinoscope adapt`` sets it up."""
    videos = FeatureStore(folder, TIME).read_alike()
    return SolaTask(videos, SolaOptions(), SolaTraining("small", batch_size=batch).resolve(len(videos)))


def mapped(task: SolaTask, batch: int) -> Batches:
    """Batches as the training loop draws them."""
    options = LoopOptions(epochs=1, batch_size=batch, accelerator="cpu")
    return (each for _, each in epoch_batches(task, Fabric(accelerator="cpu", devices=1), options, 0, 0))


def whole_files(folder: Path, batch: int) -> Batches:
    """Batches for which every sample opens its file."""
    paths, options, rng = sorted(folder.iterdir()), SolaOptions(), np.random.default_rng(0)
    valid, seconds = torch.ones(batch, options.size, dtype=torch.bool), torch.ones(batch)
    while True:
        windows = []
        for place in rng.integers(0, len(paths), batch):
            rows = np.load(paths[place])
            begin = int(rng.integers(0, len(rows) - options.window + 1))
            windows.append(torch.from_numpy(rows[begin : begin + options.window].copy()))
        yield torch.stack(windows), valid, seconds


def update(task: SolaTask, batch: tuple[Tensor, Tensor, Tensor], rows: range | None) -> None:
    """One update; ``rows``: the adapter computes these alone, or all if there are none."""
    windows, valid, seconds = batch
    positions = task.options.positions
    adapted = task.adapter(windows, rows) if rows else task.adapter(windows)[:, positions.start :: positions.step]
    task.networks["matching"](adapted[:, : task.options.size], valid, seconds)["loss"].backward()
    for optimizer in task.optimizers.values():
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def seconds_each(action: Callable[[], object], times: int) -> float:
    """Seconds that one ``action`` takes, mean of ``times``."""
    begin = time.perf_counter()
    for _ in range(times):
        action()
    return (time.perf_counter() - begin) / times


def training_rows(folder: Path, batch: int, rounds: int) -> list[dict[str, object]]:
    """Reading alone, and whole updates; medians over rounds of paired ratios."""
    task, times = task_of(folder, batch), max(2, 64 // batch)
    ours, theirs = mapped(task, batch), whole_files(folder, batch)
    sides: dict[str, dict[str, Callable[[], object]]] = {
        "reading": {"ours": lambda: next(ours), "other": lambda: next(theirs)},
        "update": {
            "ours": lambda: update(task, next(ours), task.options.positions),
            "other": lambda: update(task, next(theirs), None),
        },
    }
    lines: list[dict[str, object]] = []
    for what, side in sides.items():
        for action in side.values():
            action()  # warm
        measured = [{name: seconds_each(action, times) for name, action in side.items()} for _ in range(rounds)]
        line: dict[str, object] = {"batch": batch, "what": what}
        line |= {f"{name}, per second": f"{1 / np.median([m[name] for m in measured]):.2f}" for name in side}
        lines.append(line | {"ratio": f"**{np.median([m['other'] / m['ours'] for m in measured]):.1f}**"})
    return lines


def conversion_row(folder: Path, out: Path, rounds: int) -> dict[str, object]:
    """The whole conversion against the network alone on rows that are in memory already."""
    store, adapter = FeatureStore(folder, TIME), SoLa(WIDTH).eval().requires_grad_(False)
    piece = torch.from_numpy(store[next(iter(store))].values)[None]  # [1, T, C]
    shares, speeds = [], []
    for _ in range(rounds):
        network = seconds_each(lambda: adapter(piece), len(store))
        whole = seconds_each(lambda: convert_folder(adapter, store, out, overwrite=True), 1) / len(store)
        shares.append(network / whole)
        speeds.append(ROWS / whole)
    megabytes = np.median(speeds) * WIDTH * 4 / 1e6
    return {
        "rows per second": f"{np.median(speeds):.0f}",
        "MB per second": f"{megabytes:.0f}",
        "network alone / whole": f"{100 * np.median(shares):.0f} %",
    }


NOTE = """\
Medians over rounds; the sides take turns within a round, and "ratio" is the median of the rounds' own ratios.
"Reading": a batch of windows ready for the network, from files in the page cache. "Update": reading, forward, backward,
AdamW. On this CPU an update is the matrix product, so that reading can win little there, and what is won comes from
computing 8 of 23 rows; the ratio of "reading" is what a fast network sees. "Network alone / whole" is the share of the
conversion that the same rows take in the network when they are in memory: the rest is reading and writing."""


def main() -> None:
    """Measure and print; ``--write`` puts it into the document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put the section into docs/results.md")
    parser.add_argument("--videos", type=int, default=256, help="files; 2.7 MB each")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "npy")
        make_files(folder, arguments.videos)
        lines = [line for batch in (32, 256) for line in training_rows(folder, batch, arguments.rounds)]
        converted = conversion_row(folder, Path(temporary, "out"), max(2, arguments.rounds // 2))
    body = f"Training:\n\n{table(lines)}\n\nConversion:\n\n{table([converted])}"
    command = "OMP_NUM_THREADS=2 python -m benchmarks.sola_speed --write"
    publish(Section("sola_speed", "SoLa: training and conversion", command, body, NOTE), write=arguments.write)


if __name__ == "__main__":
    main()
