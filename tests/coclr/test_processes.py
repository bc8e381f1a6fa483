"""One process with a batch equals two with half of it each, when normalisation is frozen."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from kinoscope.coclr.gather import align, gather
from kinoscope.coclr.network import Embedding
from kinoscope.coclr.task import PretrainTask

from .small import MadeViews, small_options, tiny_encoder

STEPS, BATCH = 5, 4


def co_train(rank: int, processes: int, method: str) -> dict[str, torch.Tensor]:
    """A few updates of this process's share; what is left of queue and weights, and the losses."""
    sampler = Embedding(tiny_encoder(1)) if method == "coclr" else None
    options = small_options(self_drop=0.5)
    views = MadeViews(12)
    task = PretrainTask(views, "rgb", method, tiny_encoder(0), options, sampler=sampler, other="flow", other_dim=6)  # type: ignore[arg-type]
    for network in task.networks.values():
        network.eval()
    losses, masks = [], []
    for step in range(STEPS):
        batch = [(BATCH * step + i) % len(views) for i in range(BATCH)]
        share = task.shares(batch, processes, np.random.default_rng([1, step]))[rank]
        rngs = {i: [7, step, i] for i in batch}
        made = [
            task.sample(i, tuple(np.random.default_rng(rngs[j]) for j in i))
            if isinstance(i, tuple)
            else task.sample(i, np.random.default_rng(rngs[i]))
            for i in share
        ]
        torch.manual_seed(step)
        found = task.loss(task.collate(made))
        masks.append(gather(found["positives"].reshape(1)).mean())
        if "loss" in found:
            found["loss"].backward()
            for parameter in task.query.parameters():
                assert parameter.grad is not None
                parameter.grad = gather(parameter.grad[None]).mean(dim=0)
            task.optimizers["query"].step()
            task.optimizers["query"].zero_grad()
            losses.append(gather(found["loss"].reshape(1)).mean())
    state = dict(task.queue.state_dict())
    weights = {f"query.{name}": value for name, value in task.query.state_dict().items()}
    return {**state, **weights, "losses": torch.stack(losses), "positives": torch.stack(masks)}


def worker(rank: int, processes: int, folder: str, method: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=processes)
    rows = torch.arange(6).reshape(6, 1)[rank::processes]
    assert gather(rows).flatten().tolist() == list(range(6))
    torch.save(co_train(rank, processes, method), Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.parametrize("method", ["coclr", pytest.param("ubernce", marks=pytest.mark.slow)])
@pytest.mark.skipif(sys.platform == "win32", reason="gloo over a file")
def test_two_processes_equal_one(tmp_path: Path, method: str) -> None:
    alone = co_train(0, 1, method)
    mp.spawn(worker, (2, str(tmp_path), method), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    assert len(alone["losses"]) == (STEPS if method == "ubernce" else STEPS - 2)  # CoCLR waits for a full queue
    for name, value in alone.items():
        # Adam divides by the gradient's size, so that where it is tiny a sum in another order shows.
        near = {"rtol": 1e-3, "atol": 1e-4} if value.is_floating_point() else {"rtol": 0, "atol": 0}
        torch.testing.assert_close(first[name], value, **near, msg=lambda text, name=name: f"{name}: {text}")
        torch.testing.assert_close(second[name], first[name], rtol=0, atol=0)


def test_rows_come_back_in_the_order_that_is_wanted() -> None:
    rows, indices, wanted = torch.tensor([[3.0], [1.0], [2.0]]), torch.tensor([30, 10, 20]), torch.tensor([20, 30, 10])
    assert align(rows, indices, wanted).flatten().tolist() == [2, 3, 1]


def test_a_checkpoint_does_not_tell_how_many_processes_wrote_it() -> None:
    """Networks that do not learn have the same names in it with DDP and without."""
    from lightning_fabric import Fabric

    from kinoscope.coclr.queue import MemoryQueue
    from kinoscope.engine.unshared import Unshared

    queue = MemoryQueue(4, 2)
    wrapped = Unshared(queue, Fabric(accelerator="cpu", devices=1))
    assert wrapped.state_dict().keys() == queue.state_dict().keys()
    other = Unshared(MemoryQueue(4, 2), Fabric(accelerator="cpu", devices=1))
    other.load_state_dict(wrapped.state_dict())
    assert torch.equal(other.module.keys, queue.keys)
