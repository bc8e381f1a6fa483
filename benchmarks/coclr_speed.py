"""One co-training update of CoCLR, decoding excluded, against the plain arrangement; in turns, in one process.

    python -m benchmarks.coclr_speed [--write] [--rounds 7] [--compile]

*Plain* is the arrangement of the published code on one device: RGB and flow of a view as one clip of twice the length,
in float32, normalised, for both views (of the query too, whose flow nothing looks at); networks and clips in PyTorch's
usual memory layout. *Ours*: bytes of the three clips that are needed, normalised where they are used, channels last.
Both make the same update: query forward and backward, momentum, key and sampler forward, mining, loss, queue, Adam.

Not measured here: a GPU, several devices; reading and augmenting, see `benchmarks.input_pipeline`.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from benchmarks.results import Section, publish, table
from kinoscope.coclr.loss import multi_instance_nce, similarity_logits
from kinoscope.coclr.mining import drop_self, mine
from kinoscope.coclr.network import ClipEncoder, Embedding, momentum_update
from kinoscope.coclr.options import PretrainOptions
from kinoscope.coclr.task import PretrainTask
from kinoscope.encoders.backbones import build_backbone
from kinoscope.video.streams import normalise

Step = Callable[[], None]


@dataclass(frozen=True)
class Setting:
    """Sizes of one row of the table."""

    name: str
    width: float
    batch: int
    frames: int
    size: int


SETTINGS = (Setting("small preset", 0.25, 16, 16, 64), Setting("official network and clips", 1.0, 2, 32, 128))


class NoViews:
    """Stands where videos would be; only their number matters here."""

    def __init__(self, count: int) -> None:
        self.sources, self.labels = np.arange(count), np.full(count, -1)

    def __len__(self) -> int:
        return len(self.sources)

    def sample(self, *_: object) -> dict[str, dict[str, np.ndarray]]:
        raise NotImplementedError

    def describe(self, index: int) -> str:
        return f"video {index}"


def make_task(setting: Setting, layout: torch.memory_format) -> PretrainTask:
    """The same weights in any layout."""
    torch.manual_seed(0)
    encoders = [ClipEncoder(build_backbone("s3d", width=setting.width)) for _ in range(2)]
    options = PretrainOptions(preset="official", queue=2048, batch_size=setting.batch, width=setting.width)
    sampler = Embedding(encoders[1]).to(memory_format=layout)  # type: ignore[call-overload]
    views = NoViews(2048)
    options = options.resolve(2048, gpu=False)
    task = PretrainTask(views, "rgb", "coclr", encoders[0], options, sampler=sampler, other_dim=128, layout=layout)  # type: ignore[arg-type]
    task.queue.sources.copy_(torch.arange(2048) + 10_000)  # full, of other videos
    return task


def made_batch(setting: Setting) -> dict[str, Tensor]:
    """Bytes of a batch. Shape of each clip: [B, T, S, S, 3]."""
    shape = (setting.batch, setting.frames, setting.size, setting.size, 3)
    rng, index = np.random.default_rng(0), torch.arange(setting.batch)
    clips = {
        name: torch.from_numpy(rng.integers(0, 256, shape, dtype=np.uint8)) for name in ("query", "key_rgb", "key_flow")
    }
    unknown = torch.full((setting.batch,), -1)
    return {**clips, "index": index, "key_index": index, "source": index, "label": unknown}


def ours(setting: Setting, *, compiled: bool = False) -> Step:
    """An update as the training loop makes it."""
    task, batch = make_task(setting, torch.channels_last_3d), made_batch(setting)
    if compiled:
        for network in task.networks.values():
            network.compile()

    def step() -> None:
        task.loss(batch)["loss"].backward()  # type: ignore[no-untyped-call]
        task.optimizers["query"].step()
        task.optimizers["query"].zero_grad(set_to_none=True)

    return step


def plain(setting: Setting) -> Step:
    """The same update in the plain arrangement."""
    task, batch = make_task(setting, torch.contiguous_format), made_batch(setting)
    query, key, sampler = task.query, task.key, copy.deepcopy(task.networks["sampler"])
    half, queue, options = setting.frames, task.queue, task.options

    def step() -> None:
        views = [(batch["query"], batch["key_flow"]), (batch["key_rgb"], batch["key_flow"])]
        joined = [normalise(torch.cat(view, dim=1)).contiguous() for view in views]  # [B, 3, 2T, S, S] each
        q = query(joined[0][:, :, :half].contiguous())
        momentum_update(key, query, options.momentum or 0.0)
        with torch.no_grad():
            k = key(joined[1][:, :, :half].contiguous())
            f = sampler(joined[1][:, :, half:].contiguous())
        logits = similarity_logits(q, k, queue.keys.clone(), options.temperature)
        positives = drop_self(mine(f, queue.others, batch["source"], queue.sources, options.topk))
        multi_instance_nce(logits, positives).mean().backward()  # type: ignore[no-untyped-call]
        queue.enqueue(k, batch["source"] + 10_000, others=f)
        task.optimizers["query"].step()
        task.optimizers["query"].zero_grad(set_to_none=True)

    return step


def in_turns(steps: dict[str, Step], rounds: int) -> dict[str, list[float]]:
    """Seconds of each, round by round, after one that does not count."""
    for step in steps.values():
        step()
    found: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            begin = time.perf_counter()
            step()
            found[name].append(time.perf_counter() - begin)
    return found


def rows(setting: Setting, rounds: int, *, compiled: bool) -> list[dict[str, object]]:
    """A row per arrangement: seconds, and how much faster than the plain one (median of the rounds' ratios)."""
    steps = {"plain": plain(setting), "ours": ours(setting)}
    if compiled:
        steps["ours, compiled"] = ours(setting, compiled=True)
    found = in_turns(steps, rounds)
    shown = []
    for name, seconds in found.items():
        ratios = sorted(a / b for a, b in zip(found["plain"], seconds, strict=True))
        middle = statistics.median(seconds)
        shown.append(
            {
                "setting": f"{setting.name}: batch {setting.batch}, {setting.frames} × {setting.size}²",
                "arrangement": name,
                "s per update": f"{middle:.3f}",
                "pairs per s": f"{setting.batch / middle:.1f}",
                "plain / this": f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} – {ratios[-1]:.2f})",
            }
        )
    return shown


NOTE = """\
Ratios are taken round by round; in brackets the smallest and the largest. The memory layout is nearly all of the gain:
convolutions over short axes with few channels are where PyTorch's usual layout is slow. bfloat16 is refused on CPUs
without units for it. Compiling took minutes on this machine and is off by default (`--compile`)."""


def main() -> None:
    """Print the table; ``--write`` puts it into the document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--compile", action="store_true")
    asked = parser.parse_args()
    body = [row for setting in SETTINGS for row in rows(setting, asked.rounds, compiled=asked.compile)]
    title, command = "CoCLR: one co-training update", "python -m benchmarks.coclr_speed --write"
    publish(Section("coclr_speed", title, command, table(body), NOTE), write=asked.write)


if __name__ == "__main__":
    main()
