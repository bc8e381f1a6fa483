"""SGAlign and the boundary-matching layer: a sparse product after the contraction of channels, against other ways.

    OMP_NUM_THREADS=2 python -m benchmarks.map_heads [--write] [--rounds 5]

All sides compute the same map of one window, [512, cells] from [256, T], and are compared before they are timed. The
dense side is the arrangement of the releases, written anew: the sampling as a full matrix, applied to all channels, and
the samples of every cell contracted after that. The loop reads cell by cell, as the definition says. Sides take turns
in one process; memory is measured in a process of its own for each side, on Linux.

Not measured: the rest of the networks, GPUs, the making of the matrices, which happens once.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.results import Section, publish, table
from kinoscope.localize.cell_sampling import CellSampling, SampledConv
from kinoscope.localize.map_options import BmnOptions, GTadOptions

CHANNELS, OUTPUTS = 256, 512
GTAD, BMN = GTadOptions.thumos(), BmnOptions.activitynet()
LAYERS = {
    "SGAlign, THUMOS14 (T 256, D 64, 16 bins)": CellSampling(GTAD.cells, "align", GTAD.window, GTAD.bins, 0),
    "Boundary matching, ActivityNet (T 100, D 100, 32 bins)": CellSampling(
        BMN.cells, "matching", BMN.window, BMN.bins, BMN.samples
    ),
}
SIDES = ("ours", "dense", "loop")

Side = Callable[[Tensor], Tensor]


def layer(name: str) -> tuple[SampledConv, Tensor]:
    """The layer, and one window of features [1, C, T]."""
    torch.manual_seed(0)
    sampling = LAYERS[name]
    return SampledConv(CHANNELS, OUTPUTS, [sampling]), torch.randn(1, CHANNELS, sampling.cells.rows)


def dense_side(conv: SampledConv) -> Side:
    """The sampling as a full matrix [T, R · N]; every cell's samples are made, then contracted."""
    sampling = conv.samplings[0]
    rows, bins, shape = sampling.cells.rows, sampling.bins, sampling.cells.shape
    entries, count = sampling.entries(), shape[0] * shape[1]
    matrix = torch.zeros(rows, bins * count)
    places = torch.from_numpy(entries.bin * count + entries.cell)
    matrix.index_put_(
        (torch.from_numpy(entries.row), places), torch.from_numpy(entries.weight).float(), accumulate=True
    )

    def forward(x: Tensor) -> Tensor:
        samples = (x[0] @ matrix).view(-1, count)  # [C · R, N]
        out = conv.weight.flatten(1) @ samples + conv.bias[:, None]  # [O, N]
        return out.unflatten(1, shape)[None]

    return forward


def loop_side(conv: SampledConv) -> Side:
    """Cell by cell: the rows that it reads, weighted, then contracted."""
    sampling = conv.samplings[0]
    entries, shape = sampling.entries(), sampling.cells.shape
    order = np.argsort(entries.cell, kind="stable")
    cell, number, row, weight = (torch.from_numpy(column[order]) for column in entries)
    edges = torch.searchsorted(cell, torch.arange(shape[0] * shape[1] + 1)).tolist()
    weight = weight.float()

    def forward(x: Tensor) -> Tensor:
        flat = conv.weight.flatten(1)  # [O, C · R]
        outputs = []
        for first, last in pairwise(edges):
            samples = torch.zeros(CHANNELS, sampling.bins)
            samples.index_add_(1, number[first:last], x[0][:, row[first:last]] * weight[first:last])
            outputs.append(flat @ samples.flatten() + conv.bias)
        return torch.stack(outputs, dim=1).unflatten(1, shape)[None]

    return forward


def side_of(name: str, conv: SampledConv) -> Side:
    """The side called ``name``."""
    return {"ours": lambda: conv, "dense": lambda: dense_side(conv), "loop": lambda: loop_side(conv)}[name]()


def forward_only(side: Side, x: Tensor) -> None:
    """What inference does."""
    with torch.inference_mode():
        side(x)


def both_ways(side: Side, x: Tensor) -> None:
    """What training does."""
    side(x.clone().requires_grad_()).square().mean().backward()


def seconds(action: Callable[[], object]) -> float:
    """That one ``action`` takes."""
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


def memory_mark(key: str) -> float:
    """``VmRSS`` or ``VmHWM`` of this process, in MB."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:")) / 1024


def peak(name: str, side: str, train: bool) -> float:
    """Most memory of one pass, in MB: what the side keeps between passes, and what it makes in one."""
    conv, x = layer(name)
    before = memory_mark("VmRSS")
    made, action = side_of(side, conv), both_ways if train else forward_only
    action(made, x)  # matrices are made in the first pass
    conv.zero_grad(set_to_none=True)
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # the peak counts from here
    action(made, x)
    return memory_mark("VmHWM") - before


def alone(name: str, side: str, train: bool) -> float:
    """:func:`peak` in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(peak, name, side, train).result()


def rows_of(name: str, rounds: int) -> list[dict[str, object]]:
    """One layer: inference of all sides, training of all but the loop."""
    conv, x = layer(name)
    sides = {side: side_of(side, conv) for side in SIDES}
    with torch.inference_mode():
        wanted = sides["ours"](x)
        for side in sides.values():
            torch.testing.assert_close(side(x), wanted, atol=1e-4, rtol=1e-4)
    lines: list[dict[str, object]] = []
    for train in (False, True):
        action = both_ways if train else forward_only
        compared = [side for side in SIDES if not (train and side == "loop")]
        for side in compared:
            action(sides[side], x)  # warm
        times = [{side: seconds(partial(action, sides[side], x)) for side in compared} for _ in range(rounds)]
        memory = {side: alone(name, side, train) for side in compared}
        for side in compared:
            line: dict[str, object] = {
                "layer": name,
                "what": "forward and backward" if train else "forward",
                "side": side,
                "milliseconds": f"{1000 * float(np.median([t[side] for t in times])):.0f}",
                "× ours": f"**{np.median([t[side] / t['ours'] for t in times]):.1f}**",
                "peak [MB]": f"{memory[side]:.0f}",
                "MB × ours": f"**{memory[side] / memory['ours']:.1f}**",
            }
            lines.append(line)
    return lines


NOTE = """\
One window, float32. Times are medians over rounds in which the sides take turns, ratios the medians of the rounds' own.
Peak memory is that of a second pass in a fresh process, above what weights and input take: the sampling matrix (ours:
sparse, in both directions), what is made of it, the result, and in training the gradients. The loop is not trained."""


def main() -> None:
    """Measure and print; ``--write`` puts it into the document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put the section into docs/results.md")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    lines = [line for name in LAYERS for line in rows_of(name, asked.rounds)]
    command = "OMP_NUM_THREADS=2 python -m benchmarks.map_heads --write"
    title = "Sampling of maps: SGAlign and boundary matching"
    publish(Section("map_heads", title, command, table(lines), NOTE), write=asked.write)


if __name__ == "__main__":
    main()
