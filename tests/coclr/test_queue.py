from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from kinoscope.coclr.mining import EMPTY
from kinoscope.coclr.network import momentum_update
from kinoscope.coclr.queue import MemoryQueue
from kinoscope.errors import OptionError

from .test_loss import case


def test_fifo_vector(vectors) -> None:
    given = case(vectors, "queue_fifo")
    inputs, expected = given["inputs"], given["expected"]
    queue = MemoryQueue(inputs["capacity"], 2)
    for step, batch in enumerate(inputs["batches"]):
        queue.enqueue(torch.randn(len(batch), 2), torch.tensor(batch))
        assert queue.sources.tolist() == expected["contents_after"][step]
        assert int(queue.pointer) == expected["pointer_after"][step]
        assert queue.full == expected["full_after"][step]


@given(st.integers(1, 7), st.lists(st.integers(1, 10), max_size=6))
@settings(max_examples=40, deadline=None)
def test_any_batch_goes_into_any_queue(slots: int, batches: list[int]) -> None:
    """Against a list that is written one row at a time: batches need not divide the queue, and may be larger."""
    queue, slow, pointer, number = MemoryQueue(slots, 1, 1), [EMPTY] * slots, 0, 0
    for count in batches:
        ids = torch.arange(number, number + count)
        queue.enqueue(ids[:, None].float(), ids, others=-ids[:, None].float(), labels=ids + 100)
        for each in ids.tolist():
            slow[pointer] = each
            pointer = (pointer + 1) % slots
        number += count
        assert queue.sources.tolist() == slow
        assert int(queue.pointer) == pointer
        filled = queue.sources != EMPTY
        assert (queue.keys[filled, 0] == queue.sources[filled]).all()
        assert (queue.others[filled, 0] == -queue.sources[filled]).all()
        assert (queue.labels[filled] == queue.sources[filled] + 100).all()
        assert queue.filled == sum(each != EMPTY for each in slow)


def test_it_begins_with_unit_vectors_and_survives_a_checkpoint() -> None:
    torch.manual_seed(0)
    queue, other = MemoryQueue(8, 4, 3), MemoryQueue(8, 4, 3)
    torch.testing.assert_close(queue.keys.norm(dim=1), torch.ones(8))
    queue.enqueue(F.normalize(torch.randn(3, 4), dim=1), torch.arange(3), others=torch.randn(3, 3))
    other.load_state_dict(queue.state_dict())
    assert other.filled == 3
    assert int(other.pointer) == 3
    assert torch.equal(other.others, queue.others)


def test_a_queue_without_slots_is_refused() -> None:
    with pytest.raises(OptionError, match="at least 1"):
        MemoryQueue(0, 4)


def test_momentum_vector(vectors) -> None:
    given = case(vectors, "momentum_update")
    inputs = given["inputs"]
    key, query = nn.Linear(2, 1, bias=False).double(), nn.Linear(2, 1, bias=False).double()
    key.weight.data[0] = torch.tensor(inputs["param_key"])
    query.weight.data[0] = torch.tensor(inputs["param_query"])
    for step in range(inputs["steps"]):
        momentum_update(key, query, inputs["momentum"])
        wanted = torch.tensor([given["expected"][f"after_{step + 1}"]], dtype=torch.float64)
        torch.testing.assert_close(key.weight.data, wanted, **given["tolerance"])


def test_running_statistics_are_not_averaged() -> None:
    key, query = nn.BatchNorm1d(2), nn.BatchNorm1d(2)
    query.running_mean += 5
    momentum_update(key, query, 0.5)
    assert key.running_mean.abs().max() == 0
