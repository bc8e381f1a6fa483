"""The figures that tell what training does to similarity, against plain loops; and that they are logged."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from kinoscope.data.features import Features, FeatureTime
from kinoscope.sola import SoLa, SolaOptions, SolaTraining, train_adapter
from kinoscope.sola.diagnostics import effective_rank
from kinoscope.sola.monitor import effect, gauge, mean_cosines


def test_mean_cosines_equal_their_slow_twin() -> None:
    rng = np.random.default_rng(0)
    rows, valid = rng.normal(size=(3, 5, 4)), rng.random((3, 5)) < 0.8
    slow = []
    for distance in range(1, 5):
        found = [
            float(rows[b, i] @ rows[b, i + distance])
            / float(np.linalg.norm(rows[b, i]) * np.linalg.norm(rows[b, i + distance]))
            for b in range(3)
            for i in range(5 - distance)
            if valid[b, i] and valid[b, i + distance]
        ]
        slow += [float(np.mean(found))] if found else []
    assert mean_cosines(torch.from_numpy(rows), torch.from_numpy(valid)) == pytest.approx(slow)


def test_the_gauge_of_an_untouched_batch() -> None:
    rows, valid = torch.randn(2, 4, 6), torch.ones(2, 4, dtype=torch.bool)
    figures = gauge(rows, rows, valid)
    assert figures["norm_ratio"] == 0 and figures["cosine_2"] == figures["cosine_before_2"]
    assert figures["effective_rank"] == pytest.approx(effective_rank(rows.reshape(8, 6).numpy()))
    assert gauge(rows, 1.5 * rows, valid)["norm_ratio"] == pytest.approx(0.5)


def test_training_logs_what_it_does_to_similarity(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    time = FeatureTime(8, 1, 1)
    videos = {
        f"v{n}": Features(rng.normal(size=(rows, 6)).cumsum(axis=0).astype(np.float32), time)
        for n, rows in enumerate((40, 30, 9))
    }
    options = SolaOptions(hidden=8, predictor=False, stop_gradient=False)
    train_adapter(videos, tmp_path, options, SolaTraining(epochs=1, batch_size=4), device="cpu")
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    told = [row for row in rows if "gate" in row]
    assert [row["step"] for row in told] == [10, 20, 30, 40, 50]
    wanted = {"norm_ratio", "effective_rank", *(f"cosine_{d}" for d in range(1, 8))}
    assert wanted <= told[0].keys() and told[-1]["gate"] != 0 and told[-1]["norm_ratio"] > 0
    untouched = effect(SoLa(6, options), videos)
    assert untouched.norm_ratio == 0 and untouched.before == untouched.after


def test_the_effect_counts_every_row() -> None:
    rng, time = np.random.default_rng(0), FeatureTime(8, 1, 1)
    videos = {f"v{n}": Features(rng.normal(size=(n, 6)).astype(np.float32), time) for n in (1, 14, 15, 40)}
    adapter = SoLa(6, SolaOptions(hidden=8))
    adapter.alpha.data.fill_(0.9)
    found = effect(adapter, videos)
    slow = {"before": [], "after": []}
    for each in (videos["v15"], videos["v40"]):  # the others are too short
        for name, rows in (("before", each.values), ("after", adapter.adapt(each).values)):
            unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
            slow[name].append(np.mean([unit[i] @ unit[i + 14] for i in range(len(unit) - 14)]))
    assert (found.before, found.after) == pytest.approx((np.mean(slow["before"]), np.mean(slow["after"])), abs=1e-5)
    assert found.norm_ratio > 0 and np.isnan(effect(adapter, {"v1": videos["v1"]}).before)
