from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import kinoscope as ks
from kinoscope.coclr.options import PretrainOptions
from kinoscope.coclr.schedule import FROZEN, Pretraining, Stage, plan
from kinoscope.coclr.task import PretrainTask
from kinoscope.encoders.trained import TrainedSpec
from kinoscope.engine.checkpoint import load_tree, same_tree
from kinoscope.engine.resume import CHECKPOINT
from kinoscope.errors import Interrupted, OptionError

from ..encoders import tiny
from .small import MadeViews, small_options


@pytest.fixture(autouse=True, scope="module")
def tiny_backbone() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        tiny.install_backbones(patch)
        yield


def pretraining(folder: Path, *, cycles: int = 1, **changes: Any) -> Pretraining:
    options = small_options(
        backbone="tiny-4", width=0.05, frames=8, size=32, epochs=1, cotrain_epochs=2, cycles=cycles, **changes
    )
    spec = TrainedSpec("tiny-4", 0.05, "batch", "rgb", fps=12.5, clip_length=8, size=32, decode_size=42, origin="test")
    loop = {"accelerator": "cpu", "checkpoint_every": 1}
    return Pretraining(folder, plan("coclr", options), MadeViews(12), options, spec, loop)


def checkpoints(folder: Path) -> dict[str, Any]:
    return {path.parent.name: load_tree(path) for path in sorted(folder.glob(f"stages/*/{CHECKPOINT}"))}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pretraining")
    assert pretraining(folder).run() == [folder / "flow", folder / "rgb"]
    return folder


def test_the_plan_is_the_papers() -> None:
    options = PretrainOptions(epochs=300, cotrain_epochs=100, cycles=2)
    assert plan("coclr", options) == [
        Stage("infonce-rgb", "rgb", "infonce", 300),
        Stage("infonce-flow", "flow", "infonce", 300),
        Stage("cycle1-rgb", "rgb", "coclr", 100, "infonce-rgb", "infonce-flow"),
        Stage("cycle1-flow", "flow", "coclr", 100, "infonce-flow", "cycle1-rgb"),
        Stage("cycle2-rgb", "rgb", "coclr", 100, "cycle1-rgb", "cycle1-flow"),
        Stage("cycle2-flow", "flow", "coclr", 100, "cycle1-flow", "cycle2-rgb"),
    ]
    assert [stage.name for stage in plan("ubernce", options, stream="flow")] == ["ubernce-flow"]
    assert plan("coclr", options, second=None)[-1].sampler == FROZEN


def test_stages_begin_where_the_plan_says(uninterrupted: Path) -> None:
    """With a learning rate of nothing a stage ends with the weights that it began with."""
    found = checkpoints(uninterrupted)
    assert list(found) == ["cycle1-flow", "cycle1-rgb", "infonce-flow", "infonce-rgb"]
    sampler = {name: found[name]["networks"]["sampler"] for name in ("cycle1-rgb", "cycle1-flow")}
    assert same_tree(sampler["cycle1-rgb"], found["infonce-flow"]["networks"]["query"])
    assert same_tree(sampler["cycle1-flow"], found["cycle1-rgb"]["networks"]["query"])
    new = pretraining(uninterrupted).task(Stage("next", "rgb", "infonce", 1, "cycle1-rgb"))
    assert same_tree(dict(new.query.state_dict()), found["cycle1-rgb"]["networks"]["query"])
    assert same_tree(dict(new.key.state_dict()), found["cycle1-rgb"]["networks"]["query"])
    assert new.queue.filled == 0


@pytest.mark.parametrize("stop_at", [2, 7])
def test_a_stop_anywhere_resumes_to_the_same_bits(
    tmp_path: Path, uninterrupted: Path, stop_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the first stage, and in co-training while the queue is filling."""
    seen = 0

    def stop(_task: PretrainTask, _step: int) -> None:
        nonlocal seen
        seen += 1
        if seen == stop_at:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(PretrainTask, "after_step", stop)
        with pytest.raises(Interrupted):
            pretraining(tmp_path).run()
    pretraining(tmp_path).run()
    found, wanted = checkpoints(tmp_path), checkpoints(uninterrupted)
    assert found.keys() == wanted.keys()
    assert all(same_tree(found[name], wanted[name]) for name in wanted)
    for name in ("rgb", "flow"):
        assert (tmp_path / name / "model.safetensors").read_bytes() == (
            uninterrupted / name / "model.safetensors"
        ).read_bytes()


def test_what_is_done_is_not_repeated_and_cycles_can_be_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretraining(tmp_path).run()
    trained: list[str] = []
    run = Pretraining._run
    monkeypatch.setattr(
        Pretraining, "_run", lambda self, stage, title: (trained.append(stage.name), run(self, stage, title))
    )
    before = (tmp_path / "rgb" / "model.safetensors").read_bytes()
    pretraining(tmp_path).run()
    assert trained == []
    pretraining(tmp_path, cycles=2).run()
    assert trained == ["cycle2-rgb", "cycle2-flow"]
    assert (tmp_path / "rgb" / "model.safetensors").read_bytes() != before
    with pytest.raises(OptionError, match="topk was 2, now 1"):
        work = pretraining(tmp_path, cycles=3, topk=1)
        work._run(work.stages[2], "again")


def test_the_encoder_is_that_of_the_last_stage(uninterrupted: Path) -> None:
    encoder = ks.load_encoder(str(uninterrupted), device="cpu", runtime="torch")  # a run stands for its RGB encoder
    trained = load_tree(uninterrupted / "stages" / "cycle1-rgb" / CHECKPOINT)["networks"]["query"]
    state = {name.split("backbone.", 1)[1]: value for name, value in trained.items() if "backbone." in name}
    found = {name.split("backbone.", 1)[-1]: value for name, value in encoder.network.state_dict().items()}
    for name, value in state.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=0)
    config = json.loads((uninterrupted / "rgb" / "config.json").read_text())
    assert "co-training" in json.dumps(config)
