"""The benchmark of boundaries: what it reads, and controls that are what they say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import boundaries
from kinoscope.evaluate.boundaries import DISTANCES


@pytest.fixture
def video(tmp_path: Path) -> boundaries.Video:
    labels = np.repeat([0, 3, 0, 1], [30, 30, 45, 15])
    rows = np.random.default_rng(0).normal(size=(4, 8))[np.repeat(np.arange(4), [30, 30, 45, 15])]
    np.savez(tmp_path / "a.npz", feat=rows.astype(np.float16), label=labels[:, None])
    return boundaries.read_video(tmp_path / "a.npz", 15.0)


def test_labels_become_boundaries(video: boundaries.Video) -> None:
    assert video.truth.duration == 8.0 and video.truth.raters == ((2.0, 4.0, 7.0),)
    assert boundaries.detected({"a": video})["a"] == pytest.approx([2.0, 4.0, 7.0])


def test_controls(video: boundaries.Video) -> None:
    like = {"a": [1.0, 2.0, 3.0, 4.0]}
    assert boundaries.even({"a": video}, like) == {"a": [1.0, 3.0, 5.0, 7.0]}
    assert boundaries.even({"a": video}, {"a": []}) == {"a": []}
    first, again, other = (boundaries.by_chance({"a": video}, like, seed)["a"] for seed in (0, 0, 1))
    assert first == again != other and len(first) == 4 and all(0 <= time <= 8 for time in first)


def test_a_row_of_the_table(video: boundaries.Video) -> None:
    found = boundaries.score({"a": video}, {"a": [2.0, 4.5]})
    assert boundaries.of_gebd(found).distances == DISTANCES
    line = boundaries.row("found", [found])
    assert line["per true one"] == "0.67" and line["@0.01"] == "40.0" and line["@0.1"] == "80.0"
    low, high = str(line["95 %, videos"]).split(" … ")
    assert line["mean 0.05 … 0.5"] == f"**{low}**" and low == high, "one video, resampled, is itself"
    assert "95 %, videos" not in boundaries.row("random", [found, found])


def test_the_kernel_is_chosen_among_those_offered(video: boundaries.Video) -> None:
    assert boundaries.best_options({"a": video}).kernel_seconds in boundaries.KERNELS
