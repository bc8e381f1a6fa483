"""How frames are made small, and what it does to recognition: area, bilinear, or the released nearest neighbour.

UNIFORM with frozen EfficientNet-Lite at 112 and at 84 px, a linear layer on features of 8 frames; the rate is one of
three, chosen on validation clips; UT-Interaction, three folds.

    python -m benchmarks.arnet_kernel --write
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import torch

from kinoscope.arnet.comparison import train_baselines
from kinoscope.arnet.options import ArNetOptions, Kernel
from kinoscope.arnet.train import Where, begin
from kinoscope.evaluate import hit_difference, hit_interval

from .arnet import SEEDS, TRAINING
from .arnet_data import parts_of
from .results import ROOT, Section, data_folder, publish, table

KERNELS: tuple[Kernel, ...] = get_args(Kernel)
_OPTIONS = ArNetOptions(
    backbones=("efficientnet-lite0",) * 3, sizes=(224, 112, 84), policy_size=64, hidden=16, segments=8
)
"""The largest is there because bilinear and nearest begin with it, as in the release."""


def hits_of(kernel: Kernel, seed: int, data: Path, cache: Path) -> dict[str, np.ndarray]:
    """Which test clips are right, for each size."""
    options = replace(_OPTIONS, kernel=kernel)
    parts, looks = parts_of("people", seed, data, cache), cache / "looks" / f"kernel-{kernel}"
    training = replace(TRAINING, seed=seed, views=1)
    run = begin(parts, cache / f"kernel-{kernel}-{seed}", options, training, looks=looks, where=Where(resume=True))
    found = {}
    truth = parts.numbers(parts.test)
    for network in train_baselines(run, ("uniform-2", "uniform-3")).values():
        number = network.which[0]  # type: ignore[index]
        views = [run.looks.evaluate(clip, options.segments)[number] for clip in parts.test]
        with torch.inference_mode():
            answers = network.eval()([torch.from_numpy(np.stack(views))]).argmax(dim=1).numpy()
        found[f"{options.sizes[number]} px"] = (answers == truth).astype(float)
    return found


def rows_of(hits: dict[Kernel, dict[str, np.ndarray]]) -> list[dict[str, str]]:
    """The table."""
    rows = []
    for size in hits["nearest"]:
        for kernel in KERNELS:
            right, base = hits[kernel][size], hits["nearest"][size]
            low, high = hit_interval(right)
            gap = hit_difference(right, base)
            rows.append(
                {
                    "size": size,
                    "kernel": kernel,
                    "accuracy, %": f"{100 * right.mean():.1f} ({100 * low:.0f} … {100 * high:.0f})",
                    "against nearest": f"{100 * gap.value:+.1f} ({100 * gap.low:+.1f} … {100 * gap.high:+.1f})",
                }
            )
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=ROOT / "results-cache" / "arnet")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args(arguments)
    data = data_folder()
    every = {kernel: [hits_of(kernel, seed, data, options.cache) for seed in SEEDS] for kernel in KERNELS}
    hits = {
        kernel: {size: np.concatenate([each[size] for each in several]) for size in several[0]}
        for kernel, several in every.items()
    }
    note = (
        "The same networks and clips; only the way from decoded frames to small ones differs. Bilinear and nearest "
        f"act on the central {_OPTIONS.sizes[0]} px, as in the release; area averages straight from the decoded frame."
    )
    command = "python -m benchmarks.arnet_kernel --write"
    section = Section("arnet_kernel", "AR-Net: how frames are made small", command, table(rows_of(hits)), note)
    publish(section, write=options.write)


if __name__ == "__main__":
    main()
