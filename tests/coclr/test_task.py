from __future__ import annotations

import copy
import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from kinoscope.coclr.loss import multi_instance_nce, similarity_logits
from kinoscope.coclr.mining import drop_self, mine
from kinoscope.coclr.network import ClipEncoder, Embedding
from kinoscope.coclr.options import PretrainOptions, rate_factor
from kinoscope.coclr.task import PretrainTask, key_similarity
from kinoscope.engine.seeds import seed_step
from kinoscope.errors import OptionError
from kinoscope.video.streams import normalise

from .small import MadeViews, TinyBackbone, small_options, tiny_encoder
from .test_loss import case


def make_task(method: str = "infonce", **changes: object) -> PretrainTask:
    sampler = Embedding(tiny_encoder(1)) if method == "coclr" else None
    options = small_options(**changes)
    return PretrainTask(
        MadeViews(12), "rgb", method, tiny_encoder(0), options, sampler=sampler, other="flow", other_dim=6
    )  # type: ignore[arg-type]


def batch_of(task: PretrainTask, indices: range) -> dict[str, Tensor]:
    return task.collate([task.sample(i, np.random.default_rng([5, i])) for i in indices])


def test_a_co_training_step_is_the_sheet_read_aloud() -> None:
    """Section 4, in its order, in plain sight: two batches fill the queue, the third learns."""
    task = make_task("coclr", self_drop=1.0)
    query, key = copy.deepcopy(task.query), copy.deepcopy(task.key)
    sampler = copy.deepcopy(task.networks["sampler"]).eval()
    queue, other_queue, ids = task.queue.keys.clone(), task.queue.others.clone(), torch.full((8,), -1)
    for step in range(3):
        batch = batch_of(task, range(4 * step, 4 * step + 4))
        found = task.loss(batch)
        q = F.normalize(query.encoder.project(normalise(batch["query"])), dim=1)
        for slow, fast in zip(key.parameters(), query.parameters(), strict=True):
            slow.data = 0.9 * slow.data + 0.1 * fast.data
        with torch.no_grad():
            k = F.normalize(key.encoder.project(normalise(batch["key_rgb"])), dim=1)
            f = F.normalize(sampler.encoder.project(normalise(batch["key_flow"])), dim=1)
        logits = similarity_logits(q, k, queue, task.options.temperature)
        mask = drop_self(mine(f, other_queue, batch["source"], ids, 2))
        wanted = multi_instance_nce(logits, mask).mean()
        assert ("loss" in found) == (step == 2)  # before, slots are empty: nothing is mined, nothing learns
        if step == 2:
            torch.testing.assert_close(found["loss"], wanted)
            assert (mask.sum(dim=1) == 2).all()
        slots = torch.arange(4) + 4 * step
        queue[slots % 8], other_queue[slots % 8], ids[slots % 8] = k, f, batch["source"]
        torch.testing.assert_close(task.queue.keys, queue)
        torch.testing.assert_close(task.queue.others, other_queue)
        assert torch.equal(task.queue.sources, ids)
        query.encoder.backbone.norm.load_state_dict(task.query.encoder.backbone.norm.state_dict())


def test_the_sampler_never_moves() -> None:
    task = make_task("coclr")
    before = {name: value.clone() for name, value in task.networks["sampler"].state_dict().items()}
    for step in range(4):
        losses = task.loss(batch_of(task, range(4 * (step % 3), 4 * (step % 3) + 4)))
        if "loss" in losses:
            losses["loss"].backward()
            task.optimizers["query"].step()
    after = task.networks["sampler"].state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(parameter.grad is None for parameter in task.networks["sampler"].parameters())


def test_self_drop_follows_the_step_alone() -> None:
    """One draw per update for the whole batch, the same in every process and on every resume."""
    task, dropped = make_task("coclr", self_drop=0.5), []
    for step in range(24):
        seed_step(3, step)
        dropped.append(bool(torch.rand(()) < task.options.self_drop))
    assert dropped == [_draws(step) for step in range(24)]
    assert 4 < sum(dropped) < 20


def _draws(step: int) -> bool:
    seed_step(3, step)
    return bool(torch.rand(()) < 0.5)


def test_infonce_ignores_siblings_and_ubernce_takes_the_class() -> None:
    infonce, ubernce = make_task("infonce"), make_task("ubernce")
    for task in (infonce, ubernce):
        for first in (0, 4):
            task.loss(batch_of(task, range(first, first + 4)))
    batch = batch_of(infonce, range(8, 12))
    assert int(infonce.loss(batch)["positives"]) == 1
    same = (batch["label"][:, None] == ubernce.queue.labels).sum(dim=1)
    assert float(ubernce.loss(batch)["positives"]) == pytest.approx(1 + same.float().mean().item())


def test_what_the_monitor_says() -> None:
    task = make_task("coclr", topk=8)
    for first in (0, 4, 8):
        task.loss(batch_of(task, range(first, first + 4)))
    figures = task.monitor()
    assert figures["queue_filled"] == 1
    queue_labels, labels = np.arange(8) % 3, np.arange(8, 12) % 3  # all slots are mined
    assert figures["mined_precision"] == pytest.approx((labels[:, None] == queue_labels).mean())
    assert 0 <= figures["positive_mass"] <= 1


def test_keys_are_shuffled_between_processes_by_index() -> None:
    task = make_task("infonce")
    batch = list(range(8))
    shares = task.shares(batch, 2, np.random.default_rng(0))
    pairs = list(itertools.chain(*shares))
    assert [len(share) for share in shares] == [4, 4]
    assert sorted(query for query, _ in pairs) == sorted(key for _, key in pairs) == batch
    assert any(query != key for query, key in pairs)
    apart = task.sample((2, 5), (np.random.default_rng(1), np.random.default_rng(2)))
    of_key = task.sample(5, np.random.default_rng(2))
    assert apart["index"] == 2
    assert apart["key_index"] == 5
    assert np.array_equal(apart["key"]["rgb"], of_key["key"]["rgb"])
    assert make_task("infonce", normalization="group").shares(batch, 2, np.random.default_rng(0))[0] == [0, 2, 4, 6]


def test_learning_rate_vector(vectors) -> None:
    given = case(vectors, "lr_schedule")
    found = [given["inputs"]["base"] * rate_factor(epoch, 300, "init") for epoch in given["inputs"]["epochs"]]
    np.testing.assert_allclose(found, given["expected"]["lr"], **given["tolerance"])
    assert rate_factor(79, 100, "cotrain") == 1
    assert rate_factor(80, 100, "cotrain") == pytest.approx(0.1)


def test_options_are_filled_by_the_preset_and_cut_to_the_videos() -> None:
    auto = PretrainOptions()
    assert auto.resolve(10_000, gpu=True).queue == 2048
    assert auto.resolve(10_000, gpu=True).preset == "official"
    small = auto.resolve(50, gpu=False)
    assert (small.preset, small.batch_size, small.queue) == ("small", 16, 48)
    assert auto.resolve(5, gpu=False).batch_size == 5
    assert PretrainOptions(queue=2048).resolve(50, gpu=False).queue == 2048  # what is asked for stays


@pytest.mark.parametrize(
    ("name", "value"),
    [("frames", 4), ("width", 0.0), ("temperature", float("nan")), ("self_drop", 1.5), ("preset", "big"), ("topk", -1)],
)
def test_impossible_options_are_named(name: str, value: object) -> None:
    with pytest.raises(OptionError, match=name):
        PretrainOptions(**{name: value})  # type: ignore[arg-type]


def test_a_centred_head_cannot_make_all_clips_equal() -> None:
    torch.manual_seed(0)
    plain, centred = (ClipEncoder(TinyBackbone(), 6, head) for head in ("plain", "centred"))  # type: ignore[arg-type]
    clip = 5 + 0.01 * torch.randn(16, 3, 8, 32, 32)  # clips that hardly differ
    similar = [key_similarity(Embedding(encoder)(clip).detach()) for encoder in (plain, centred)]
    assert similar[0] > 0.5
    assert similar[1] < 0.1
