"""What the benchmarks compute themselves: probes, intervals, repeated files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from benchmarks import decode, urfd, ut_interaction
from benchmarks.localize_speed import repeat
from benchmarks.ut_interaction import Clips, each_left_out, interval, predict
from kinoscope.video import open_video


def clips(seed: int = 0, noise: float = 0.3) -> Clips:
    """Six classes that lie apart, each once in every sequence."""
    rng = np.random.default_rng(seed)
    centres, labels = np.random.default_rng(7).normal(size=(6, 20)), np.tile(np.arange(6), 5)
    rows = centres[labels] + noise * rng.normal(size=(30, 20))
    return Clips(torch.tensor(rows, dtype=torch.float32), torch.from_numpy(labels), np.repeat(np.arange(5), 6))


def test_the_probe_tells_apart_what_is_apart() -> None:
    assert each_left_out(clips(), 1e-3).all()
    assert (predict(clips(0), clips(1), 1e-3) == clips(1).labels).all()


def test_the_probe_finds_nothing_in_shuffled_labels() -> None:
    made = clips(noise=3.0)
    order = torch.randperm(30, generator=torch.Generator().manual_seed(0))
    assert each_left_out(replace(made, labels=made.labels[order]), 1e-2).mean() < 0.5


def test_a_fit_reaches_the_minimum() -> None:
    made, penalty = clips(noise=1.0), 1e-2
    layer = ut_interaction.fit(made.features, made.labels, penalty)
    loss = torch.nn.functional.cross_entropy(layer(made.features), made.labels)
    (loss + penalty / 2 * layer.weight.square().sum()).backward()
    assert layer.weight.grad is not None and layer.weight.grad.norm() < 2e-3


def test_interval_by_sequence() -> None:
    sequences = np.repeat(np.arange(10), 6)
    assert interval(np.ones(60, bool), sequences) == (1.0, 1.0)
    low, high = interval(np.arange(60) % 2 == 0, sequences)
    assert low == high == 0.5  # every sequence is half right: resampling sequences changes nothing
    low, high = interval(sequences < 5, sequences)
    assert low < 0.3 and high > 0.7


def test_seed_interval() -> None:
    low, high = urfd.seed_interval(np.array([0.1, 0.2, 0.3]))
    assert (low, high) == pytest.approx((0.2 - 4.303 * 0.1 / 3**0.5, 0.2 + 4.303 * 0.1 / 3**0.5))


def test_a_repeated_file_is_as_long_and_still_decodes(tmp_path: Path) -> None:
    source = decode.made(tmp_path, frames=40)
    length = repeat(source, tmp_path / "long.mp4", 3.5)
    with open_video(source) as short, open_video(tmp_path / "long.mp4") as long:
        assert len(long) == 3 * len(short) and long.duration == pytest.approx(length, abs=1e-3)
        first, again = (long.frames_by_index([n]).frames[0].astype(int) for n in (7, 7 + 2 * len(short)))
        assert np.abs(first - again).max() == 0
        assert long.check() is None
    with av.open(str(tmp_path / "long.mp4")) as container:
        assert container.streams.video[0].frames == 120
