"""Charts of a run, from its metrics as the engine writes them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kinoscope.engine.metrics import MetricLog
from kinoscope.report.training import read_records, training_charts


@pytest.fixture
def run(tmp_path: Path) -> Path:
    with MetricLog(tmp_path) as log:
        for step in range(4):
            log.write(step + 1, step // 2, {"loss": 4.0 - step, "gradient_norm": 9.0})
            if step % 2:
                log.write(step + 1, step // 2, {"loss": 3.0, "accuracy": 0.25 * (1 + step)}, kind="validation")
    return tmp_path


def test_training_is_averaged_over_epochs_and_held_out_stands_at_their_ends(run: Path) -> None:
    loss, accuracy = training_charts(read_records(run))
    assert (loss.title, accuracy.title) == ("Loss", "Accuracy")
    lines = {line.label: (list(line.x), list(line.y)) for line in (*loss.lines, *accuracy.lines)}
    assert lines == {
        "training loss": ([0.5, 1.5], [3.5, 1.5]),
        "held-out loss": ([1.0, 2.0], [3.0, 3.0]),
        "held-out accuracy": ([1.0, 2.0], [0.5, 1.0]),
    }
    assert "training loss from 3.5 to 1.5" in loss.alternative and loss.notes and not accuracy.notes


def test_the_prefix_of_a_kind_is_not_said_twice() -> None:
    (chart,) = training_charts([{"kind": "validation", "step": 1, "epoch": 0, "validation_accuracy": 0.5}])
    assert [line.label for line in chart.lines] == ["held-out accuracy"]


def test_damage_and_absence_give_what_there_is(run: Path, tmp_path: Path) -> None:
    good = len(read_records(run))
    with (run / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"kind": "training", "epoch": 1, "loss": null}\n[1]\n{"epoch": "x"}\n{"kind": "trai')
    records = read_records(run)
    assert len(records) == good + 1
    assert training_charts(records)[0].lines[0].y == [3.5, 1.5]
    assert read_records(tmp_path / "nowhere") == [] and training_charts([]) == []
    json.dumps(records)
