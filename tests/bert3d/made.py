"""Tokens, networks whose every parameter matters, and tiny labelled sets of which only the order tells the class."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kinoscope.bert3d.network import build_classifier
from kinoscope.bert3d.options import HeadOptions, RecognizeOptions
from kinoscope.bert3d.task import HeadTask
from kinoscope.bert3d.token_clips import read_token_clips
from kinoscope.bert3d.train import Trained, Where, train_head
from kinoscope.data.clip_parts import Parts
from kinoscope.data.features import Features, FeatureTime
from kinoscope.data.labelled_clips import LabelledClip

TIME = FeatureTime(fps=10, stride=5, clip_length=10)
CPU = Where(device="cpu", runtime="torch")
QUICK = RecognizeOptions(epochs=3, batch_size=8, learning_rate=3e-3)
WIDTH = 8
HEAD = HeadOptions(heads=2, dropout=0.1, keep=0.9, head_dropout=0.0)
LEARNING = RecognizeOptions(epochs=25, batch_size=8, learning_rate=5e-3)


def tokens(seed: int, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Normal numbers."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def perturbed(network: nn.Module, seed: int = 0) -> nn.Module:
    """The network in float64 and evaluation mode, no parameter the zero or the one it began as."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.double().parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return network.eval()


def lengths_mask(lengths: Sequence[int], most: int) -> Tensor:
    """True where a token is real. Shape: [B, N]."""
    return torch.arange(most) < torch.tensor(lengths)[:, None]


def clip(name: str, label: str, subset: str | None = None, span: tuple[float, float] | None = None) -> LabelledClip:
    """A labelled clip of a video that nothing opens."""
    start, end = span or (None, None)
    return LabelledClip(name, Path(f"{name.partition('#')[0]}.mp4"), label, start, end, subset)


def sequence(label: str, rng: np.random.Generator, rows: int) -> np.ndarray:
    """Two kinds of token, one after the other; all classes have as many of each. Shape: [T, C]."""
    kinds = np.arange(rows) >= rows // 2 if label == "rise" else np.arange(rows) < (rows + 1) // 2
    if label == "swing":
        kinds = np.arange(rows) % 2 == 0
    values = rng.normal(scale=0.2, size=(rows, WIDTH))
    values[kinds, 0] += 2
    values[~kinds, 1] += 2
    return values.astype(np.float32)


def ordered(
    counts: tuple[int, int, int] = (24, 8, 12), rows: Sequence[int] = (6,), labels: Sequence[str] = ("fall", "rise")
) -> tuple[Parts, dict[str, Features]]:
    """Clips to learn from, to choose on and to test on, whose classes differ in order alone; and their features."""
    rng, features, found = np.random.default_rng(0), {}, []
    for part, count in zip(("train", "validation", "test"), counts, strict=True):
        clips = []
        for number in range(count):
            label, name = labels[number % len(labels)], f"{part}{number:02d}"
            length = rows[number % len(rows)]
            features[name] = Features(sequence(label, rng, length), TIME, "net", "abc")
            clips.append(clip(name, label, part))
        found.append(tuple(clips))
    return Parts(*found, "made"), features


def same_weights(a: nn.Module, b: nn.Module) -> bool:
    """Whether two networks are equal to the last bit."""
    first, second = a.state_dict(), b.state_dict()
    return list(first) == list(second) and all(torch.equal(first[name], second[name]) for name in first)


def train(
    out: Path, options: RecognizeOptions = QUICK, head: HeadOptions = HEAD, *, resume: bool = False, **given: Any
) -> Trained:
    """A training on made clips, or on ``data``."""
    parts, features = given.pop("data", None) or ordered()
    where = replace(given.pop("where", CPU), resume=resume)
    return train_head(parts, out, head, options, features=given.pop("features", features), where=where, **given)


def rows(folder: Path, kind: str) -> list[dict[str, Any]]:
    """The records of one kind that a run left."""
    found = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [row for row in found if row["kind"] == kind]


def task_of(options: RecognizeOptions = QUICK, data: Any = None, **given: Any) -> HeadTask:
    """A task on made clips, outside of any loop."""
    parts, features = data or ordered()
    train_, held = (read_token_clips(part, features, parts.numbers(part)) for part in (parts.train, parts.validation))
    torch.manual_seed(0)
    classifier = build_classifier(given.pop("head", HEAD), WIDTH, 6, len(parts.classes))
    return HeadTask(classifier, HEAD, options, train_, held, given.pop("tokens", 6))
