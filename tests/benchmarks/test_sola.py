"""What the benchmark of SoLa computes itself: stretches of labels, cells that survive, paired differences."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import sola
from benchmarks.sola import Cell
from benchmarks.sola_data import DATASETS, runs
from kinoscope.data.features import Features, FeatureTime


@given(st.lists(st.integers(0, 3), min_size=1, max_size=40))
def test_runs_put_together_are_the_labels(labels: list[int]) -> None:
    found = np.zeros(len(labels), int)
    last = (-1, 0)
    for begin, end, label in runs(np.array(labels)):
        assert begin < end and label != 0 and (begin > last[0] or label != last[1])
        found[begin:end], last = label, (end, label)
    np.testing.assert_array_equal(found, labels)


def cell(score: float, seed: int = 0) -> Cell:
    noise = np.random.default_rng(seed).normal(0, 0.01, 2000).astype(np.float32)
    names = (*sola.PROBE, "map")
    return Cell(dict.fromkeys([*names, "far_cosine", "rank"], score), dict.fromkeys(names, score + noise))


def test_a_cell_comes_back_as_it_was(tmp_path: Path) -> None:
    cell(0.5).save(tmp_path / "cells" / "a.npz")
    again = Cell.load(tmp_path / "cells" / "a.npz")
    assert again.scores == cell(0.5).scores
    np.testing.assert_array_equal(again.replicates["map"], cell(0.5).replicates["map"])


def test_cells_of_different_data_do_not_meet(tmp_path: Path) -> None:
    paths = {sola.cell_path(tmp_path, name, kind, seed) for name in DATASETS for kind in sola.KINDS for seed in (0, 1)}
    assert len(paths) == len(DATASETS) * len(sola.KINDS) * 2


def test_differences_are_paired() -> None:
    cells = {"raw": [cell(0.5)] * 3, "moving average": [cell(0.6)] * 3}
    raw, average = sola.rows(cells)
    assert average["mAP − raw"] == "+10.0 … +10.0" and raw["mAP − raw"] == ""
    assert average["95 %"] != "60.0 … 60.0" and average["each seed"] == "60.0, 60.0, 60.0"
    (line,) = sola.summary({"a": cells, "b": {"raw": [cell(0.5)] * 3, "moving average": [cell(0.4)] * 3}})
    assert line["mAP − raw"] == "+0.0" and line["better on (mAP − raw)"] == "1 of 2"


def test_the_first_stream_is_the_first_half() -> None:
    values = np.arange(12, dtype=np.float32).reshape(2, 6)
    half = sola.first_stream(Features(values, FeatureTime(8, 1, 2), "net-change"))
    np.testing.assert_array_equal(half.values, values[:, :3])
    assert half.encoder == "net"


@pytest.mark.parametrize("name", ["gtea", "50salads"])
def test_released_features_become_videos_with_times(shared_data: Path, tmp_path: Path, name: str) -> None:
    data = DATASETS[name](tmp_path)
    train, test = data.part("training"), data.part("testing")
    assert set(train) | set(test) == set(data.features) and not set(train) & set(test)
    for video, features in data.features.items():
        known = data.annotations.videos[video]
        assert known.duration is not None and known.duration == features.time.duration
        assert max((s.end for s in known.segments), default=0) <= known.duration
        assert abs(len(features) * features.time.step - known.duration) < features.time.step
