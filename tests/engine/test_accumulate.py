"""Accumulated gradients: several batches are one update, and no interruption changes a bit."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from kinoscope.engine import LoopOptions, Task, fit
from kinoscope.engine.checkpoint import load_tree, same_tree
from kinoscope.engine.resume import CHECKPOINT
from kinoscope.errors import Interrupted, OptionError

from .toy import OPTIONS, ToyTask


class Plain(Task):
    """Linear regression by SGD: nothing but the batches decides where it goes."""

    def __init__(self, length: int = 12) -> None:
        torch.manual_seed(0)
        self.length, self.updates = length, 0
        self.networks = {"line": nn.Linear(3, 1).double()}
        self.optimizers = {"line": torch.optim.SGD(self.networks["line"].parameters(), 0.1, momentum=0.5)}
        self.optimizers["line"].register_step_post_hook(self._count)

    def _count(self, *_: object) -> None:
        self.updates += 1

    def __len__(self) -> int:
        return self.length

    def sample(self, index: int, rng: object) -> torch.Tensor:
        return torch.tensor([index % 3, index % 4, index % 5], dtype=torch.float64) / 4

    def collate(self, samples: list[torch.Tensor]) -> torch.Tensor:
        return torch.stack(samples)

    def loss(self, batch: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"loss": (self.networks["line"](batch)[:, 0] - batch.sum(1)).square().mean()}


def weights(folder: Path, batch_size: int, accumulate: int, length: int = 12) -> tuple[torch.Tensor, int]:
    """The weights after three epochs, and how many updates led to them."""
    task = Plain(length)
    options = LoopOptions(epochs=3, batch_size=batch_size, accumulate=accumulate, accelerator="cpu")
    fit(task, folder / f"{batch_size}x{accumulate}", options)
    return torch.cat([p.detach().flatten() for p in task.networks["line"].parameters()]), task.updates


@pytest.mark.parametrize(("batch", "several"), [(2, 3), (1, 6), (3, 2), (1, 12), (2, 50)])
def test_small_batches_make_the_update_of_a_large_one(tmp_path: Path, batch: int, several: int) -> None:
    large, updates = weights(tmp_path, min(batch * several, 12), 1)
    small, same = weights(tmp_path, batch, several)
    torch.testing.assert_close(small, large, atol=1e-12, rtol=0)
    assert updates == same


def test_batches_left_over_at_the_end_of_an_epoch_make_a_whole_update(tmp_path: Path) -> None:
    """Eight samples: three batches of two are an update, and so is the one batch that is left."""
    large, updates = weights(tmp_path, 6, 1, 8)
    small, same = weights(tmp_path, 2, 3, 8)
    torch.testing.assert_close(small, large, atol=1e-12, rtol=0)
    assert updates == same == 6


@pytest.fixture(scope="module", params=[2, 3, 4])
def uninterrupted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[int, Path]:
    """How many batches are an update, and the folder of a run with that."""
    folder = tmp_path_factory.mktemp("whole")
    fit(ToyTask(7), folder / "run", replace(OPTIONS, accumulate=request.param))
    return request.param, folder / "run"


@pytest.mark.parametrize("after", [0, 1, 5, 7, 10])
def test_interrupted_in_the_middle_of_an_update(tmp_path: Path, uninterrupted: tuple[int, Path], after: int) -> None:
    """The update is finished first, as gradients on the way are in no checkpoint; the rest is equal to the last bit."""
    accumulate, whole = uninterrupted
    options = replace(OPTIONS, accumulate=accumulate)

    class Stopped(ToyTask):
        def after_step(self, step: int) -> None:
            super().after_step(step)
            if step == after:
                os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted):
        fit(Stopped(7), tmp_path / "run", options)
    stopped_at = load_tree(tmp_path / "run" / CHECKPOINT)["position"]["step"]
    assert stopped_at > after and (stopped_at % 6 % accumulate == 0 or stopped_at % 6 == 0)
    fit(ToyTask(7), tmp_path / "run", options, resume=True)
    assert same_tree(load_tree(tmp_path / "run" / CHECKPOINT), load_tree(whole / CHECKPOINT))


def test_it_is_part_of_what_a_run_is(tmp_path: Path) -> None:
    fit(ToyTask(7), tmp_path, OPTIONS)
    with pytest.raises(OptionError, match="accumulate was 1, now 2"):
        fit(ToyTask(7), tmp_path, replace(OPTIONS, accumulate=2), resume=True)
    with pytest.raises(OptionError, match="accumulate is 0"):
        replace(OPTIONS, accumulate=0)
