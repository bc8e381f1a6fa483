from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from kinoscope.engine import fit
from kinoscope.engine.checkpoint import load_tree, same_tree
from kinoscope.engine.resume import CHECKPOINT
from kinoscope.errors import Interrupted, KinoscopeError, OptionError, OutputError, WeightError

from .toy import OPTIONS, ToyTask

TOY = Path(__file__).parent / "toy.py"


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "whole"
    fit(ToyTask(7), folder, OPTIONS)
    return folder


def _rows(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_a_killed_run_resumes_to_the_same_bits(tmp_path: Path, uninterrupted: Path) -> None:
    folder = tmp_path / "killed"
    process = subprocess.Popen([sys.executable, str(TOY), str(folder)], stderr=subprocess.DEVNULL)
    while process.poll() is None and not (folder / CHECKPOINT).exists():
        time.sleep(0.005)
    time.sleep(0.15)  # some updates past the checkpoint, in mid-epoch
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the run ended before it was killed: nothing is tested"
    killed_at = load_tree(folder / CHECKPOINT)["position"]["step"]
    assert 0 < killed_at < 18
    fit(ToyTask(7), folder, OPTIONS, resume=True)
    assert same_tree(load_tree(folder / CHECKPOINT), load_tree(uninterrupted / CHECKPOINT))
    assert _rows(folder) == _rows(uninterrupted)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_polite_stop_saves_the_update_and_resumes(tmp_path: Path, uninterrupted: Path, stop: signal.Signals) -> None:
    class Stopped(ToyTask):
        def after_step(self, step: int) -> None:
            super().after_step(step)
            if step == 8:
                os.kill(os.getpid(), stop)

    with pytest.raises(Interrupted, match="after update 9 of 18"):
        fit(Stopped(7), tmp_path / "run", OPTIONS)
    fit(ToyTask(7), tmp_path / "run", OPTIONS, resume=True)
    assert same_tree(load_tree(tmp_path / "run" / CHECKPOINT), load_tree(uninterrupted / CHECKPOINT))


def test_loader_workers_change_nothing(tmp_path: Path, uninterrupted: Path) -> None:
    fit(ToyTask(7), tmp_path / "run", replace(OPTIONS, workers=2))
    assert same_tree(load_tree(tmp_path / "run" / CHECKPOINT), load_tree(uninterrupted / CHECKPOINT))


def test_another_seed_gives_another_result(tmp_path: Path, uninterrupted: Path) -> None:
    fit(ToyTask(7), tmp_path / "run", replace(OPTIONS, seed=8))
    assert not same_tree(load_tree(tmp_path / "run" / CHECKPOINT), load_tree(uninterrupted / CHECKPOINT))


def test_resuming_a_finished_run_repeats_nothing(uninterrupted: Path) -> None:
    before = _rows(uninterrupted)
    fit(ToyTask(7), uninterrupted, OPTIONS, resume=True)
    assert _rows(uninterrupted) == before


def test_a_folder_with_a_run_is_not_overwritten(uninterrupted: Path) -> None:
    with pytest.raises(OutputError, match="already holds a run"):
        fit(ToyTask(7), uninterrupted, OPTIONS)


def test_resuming_with_other_options_names_them(uninterrupted: Path) -> None:
    with pytest.raises(OptionError, match="batch_size was 4, now 5"):
        fit(ToyTask(7), uninterrupted, replace(OPTIONS, batch_size=5), resume=True)


def test_a_loss_that_is_not_finite_stops_and_names_the_samples(tmp_path: Path) -> None:
    class Broken(ToyTask):
        def loss(self, batch: tuple[torch.Tensor, torch.Tensor]) -> dict[str, torch.Tensor]:
            return {"loss": super().loss(batch)["loss"] * float("nan")}

        def describe(self, index: int) -> str:
            return f"video-{index}.mp4"

    with pytest.raises(KinoscopeError, match=r"the loss became nan in epoch 1.*video-\d+\.mp4"):
        fit(Broken(7), tmp_path / "run", OPTIONS)


def test_metrics_are_json_lines_and_tensorboard_events(uninterrupted: Path) -> None:
    rows = _rows(uninterrupted)
    assert [row["step"] for row in rows if row["kind"] == "training"] == list(range(1, 19))
    assert [row["epoch"] for row in rows if row["kind"] == "validation"] == [0, 1, 2]
    assert list((uninterrupted / "tensorboard").glob("events.*"))


def test_resuming_with_another_network_is_told(uninterrupted: Path) -> None:
    other = ToyTask(7)
    other.networks["gate"] = torch.nn.Linear(5, 1)
    with pytest.raises(WeightError, match=r"does not fit this run(.|\n)*resume with the same inputs"):
        fit(other, uninterrupted, OPTIONS, resume=True)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"loop": 1, "task": {}}'])
def test_a_damaged_description_of_a_run_is_told(tmp_path: Path, uninterrupted: Path, text: str) -> None:
    shutil.copytree(uninterrupted, tmp_path / "run")
    (tmp_path / "run" / "run.json").write_text(text)
    with pytest.raises(OptionError, match=r"run\.json: is damaged"):
        fit(ToyTask(7), tmp_path / "run", OPTIONS, resume=True)


def test_a_run_that_ended_before_its_first_checkpoint_leaves_the_folder_free(
    tmp_path: Path, uninterrupted: Path
) -> None:
    class Broken(ToyTask):
        def loss(self, batch: tuple[torch.Tensor, torch.Tensor]) -> dict[str, torch.Tensor]:
            return {"loss": super().loss(batch)["loss"] * float("nan")}

    with pytest.raises(KinoscopeError, match="the loss became nan"):
        fit(Broken(7), tmp_path / "run", replace(OPTIONS, batch_size=3))
    fit(ToyTask(7), tmp_path / "run", OPTIONS)
    assert same_tree(load_tree(tmp_path / "run" / CHECKPOINT), load_tree(uninterrupted / CHECKPOINT))
    assert _rows(tmp_path / "run") == _rows(uninterrupted)


def test_a_run_is_not_resumed_on_other_data(tmp_path: Path) -> None:
    fit(ToyTask(7), tmp_path / "run", OPTIONS, settings={"data": "abc"})
    with pytest.raises(OptionError, match="data are not those"):
        fit(ToyTask(7), tmp_path / "run", OPTIONS, settings={"data": "abd"}, resume=True)


def test_a_negative_seed_is_told() -> None:
    with pytest.raises(OptionError, match="seed is -1"):
        replace(OPTIONS, seed=-1)
    with pytest.raises(OptionError, match="seed is -1"):
        ToyTask(-1)


def test_a_run_whose_options_are_lost_is_not_resumed(tmp_path: Path, uninterrupted: Path) -> None:
    """Nobody could say whether the options are still the same."""
    shutil.copytree(uninterrupted, tmp_path / "run")
    (tmp_path / "run" / "run.json").unlink()
    with pytest.raises(OptionError, match="damaged"):
        fit(ToyTask(7), tmp_path / "run", OPTIONS, resume=True)
    with pytest.raises(OutputError, match="already holds a run"):
        fit(ToyTask(7), tmp_path / "run", OPTIONS)
