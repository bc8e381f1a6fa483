"""Training a head on GTEA: epochs per second, and where the time goes. Localising from features: videos per second.

    OMP_NUM_THREADS=1 python -m benchmarks.localize_training [--write] [--epochs 20] [--rounds 5]

Every head trains with default options but fewer epochs, by the call that ``kinoscope train localize`` makes; the parts
of the loop are timed where they stand. Then the trained head localises in all videos, together and one after the other.

Not measured: reading feature files (GTEA's are in memory), GPUs, several workers.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import wraps
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from lightning_fabric import Fabric
from torch.optim import AdamW

from benchmarks.results import Section, publish, table
from benchmarks.sola_data import DATASETS, Dataset
from kinoscope.data.features import Features
from kinoscope.engine import loop
from kinoscope.engine.metrics import MetricLog
from kinoscope.localize import localizer, train
from kinoscope.localize.heads import list_heads
from kinoscope.localize.localizer import Localizer
from kinoscope.localize.task import LocalizeTask
from kinoscope.localize.train_options import LocalizeTrainOptions

TRAINING = {
    "waits for samples": [(LocalizeTask, "sample"), (LocalizeTask, "collate")],
    "forward": [(LocalizeTask, "loss")],
    "backward": [(Fabric, "backward")],
    "optimiser, average": [(loop, "_clip"), (AdamW, "step"), (LocalizeTask, "after_step")],
    "validation": [(LocalizeTask, "validate")],
    "checkpoints, log": [(loop, "save_run"), (MetricLog, "write")],
}
"""Part of the training loop → the functions that make it; none of them calls another."""

Timed = tuple[Any, str]
"""An object, and which of its functions is timed."""


class Clock:
    """Seconds by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """``function``, whose time is added to that of ``name``."""

        @wraps(function)
        def timed(*arguments: Any, **named: Any) -> Any:
            begin = time.perf_counter()
            try:
                return function(*arguments, **named)
            finally:
                self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begin

        return timed


@contextmanager
def clocked(parts: dict[str, list[Timed]]) -> Iterator[Clock]:
    """Time functions where they stand, as long as the block lasts."""
    clock = Clock()
    with ExitStack() as stack:
        for name, functions in parts.items():
            for owner, function in functions:
                stack.enter_context(patch.object(owner, function, clock.timed(name, getattr(owner, function))))
        yield clock


def train_head(head: str, data: Dataset, epochs: int) -> tuple[Localizer, dict[str, object]]:
    """The trained head, and its row."""
    options = LocalizeTrainOptions(head=head, epochs=epochs)  # type: ignore[arg-type]
    parts = {**TRAINING, "all": [(train, "fit")]}
    with tempfile.TemporaryDirectory() as folder, clocked(parts) as clock:
        model, _ = train.train_localizer(data.annotations, data.features, folder, options, accelerator="cpu")
    whole = clock.seconds.pop("all")
    line: dict[str, object] = {
        "head": head,
        "parameters": f"{sum(each.numel() for each in model.network.parameters()) / 1e6:.2f} M",
        "epochs per second": f"**{epochs / whole:.2f}**",
        "updates per second": f"{epochs * -(-len(data.part('training')) // options.batch_size) / whole:.1f}",
    }
    line |= {name: _share(clock.seconds[name], whole) for name in TRAINING}
    return model, line | {"rest": _share(whole - sum(clock.seconds.values()), whole)}


def localise(head: str, model: Localizer, videos: Sequence[Features], rounds: int) -> dict[str, object]:
    """A row: medians over rounds in which both ways take turns."""
    parts = {
        "network": [(model.network, "forward")],
        "look": [(model, "_look")],
        "suppression": [(localizer, "to_segments")],
        "all": [(model, "localize_many")],
    }
    model.localize_many(videos)  # warm
    together, ratios = [], []
    for _ in range(rounds):
        with clocked(parts) as clock:
            model.localize_many(videos)
        begin = time.perf_counter()
        for video in videos:
            model.localize_features(video)
        together.append(clock.seconds)
        ratios.append((time.perf_counter() - begin) / clock.seconds["all"])
    took = {name: float(np.median([each[name] for each in together])) for name in parts}
    seconds = sum(video.time.duration or 0.0 for video in videos)
    return {
        "head": head,
        "videos per second": f"**{len(videos) / took['all']:.0f}**",
        "hours of video per second": f"{seconds / 3600 / took['all']:.2f}",
        "network": _share(took["network"], took["all"]),
        "decoding": _share(took["look"] - took["network"], took["all"]),
        "suppression": _share(took["suppression"], took["all"]),
        "one at a time × together": f"{np.median(ratios):.2f}",
    }


def _share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f} %"


NOTE = """\
GTEA: 21 videos for training and 7 for validation, which comes every tenth epoch; 39 to 129 s long, three rows of 128
numbers a second; small presets, batches of four. "Waits for samples": crops are made in the process that trains, so
that all of it is waiting; nothing else is waited for. "Rest": the loop itself, its start, and the bar. Localising: all
28 videos, from features in memory to segments in seconds; "decoding" is what lies between the network and the
candidates, with the class scores of rows; medians over rounds in which both ways take turns. After so few epochs a head
says much that a better one would not, so that suppression has more to do."""


def main() -> None:
    """Measure and print; ``--write`` puts it into the document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put the section into docs/results.md")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--heads", nargs="+", choices=list_heads(), default=list_heads(), help="only these heads")
    asked = parser.parse_args()
    data = DATASETS["gtea"](Path())
    trained, used = [], []
    for head in asked.heads:
        model, line = train_head(head, data, asked.epochs)
        trained.append(line)
        used.append(localise(head, model, list(data.features.values()), asked.rounds))
    body = f"Training:\n\n{table(trained)}\n\nLocalising:\n\n{table(used)}"
    command = "OMP_NUM_THREADS=1 python -m benchmarks.localize_training --write"
    title = "Localisation heads: speed of training and use"
    publish(Section("localize_training", title, command, body, NOTE), write=asked.write)


if __name__ == "__main__":
    main()
