from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from kinoscope.coclr.loss import multi_instance_nce, similarity_logits
from kinoscope.coclr.mining import EMPTY, drop_self, mine, nearest, same_as_row

from .test_loss import case, check, wide

CASES = (
    "coclr_L1_flow_mines_for_rgb",
    "coclr_L2_rgb_mines_for_flow",
    "coclr_queue_not_full",
    "coclr_topk0",
    "coclr_few_eligible",
)


@pytest.mark.parametrize("name", CASES)
def test_vectors(vectors, name: str) -> None:
    given = case(vectors, name)
    inputs, expected = given["inputs"], given["expected"]
    query, key, queue, other, other_queue = (
        wide(inputs[part]) for part in ("query", "key", "queue", "other_key", "other_queue")
    )
    sources, queue_sources = torch.tensor(inputs["source_ids"]), torch.tensor(inputs["queue_source_ids"])
    logits = similarity_logits(query, key, queue, inputs["temperature"])
    mask = mine(other, other_queue, sources, queue_sources, inputs["topk"])
    check(logits, expected["logits"], given)
    assert mask.int().tolist() == expected["mask"]
    assert drop_self(mask).int().tolist() == expected["mask_self_dropped"]
    for which, used in (("keep", mask), ("drop", drop_self(mask))):
        rows = multi_instance_nce(logits, used)
        check(rows, expected[f"loss_per_row_{which}_self"], given)
        check(rows.mean(), expected[f"loss_{which}_self"], given)


def test_of_equal_similarities_the_lower_slot_is_taken() -> None:
    queue = torch.tensor([[0.0, 1.0], [1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    chosen = nearest(torch.tensor([[1.0, 0.0]]), queue, torch.ones(1, 4, dtype=torch.bool), 2)
    assert chosen.tolist() == [[False, True, True, False]]


def test_a_batch_from_one_source_mines_nothing_and_keeps_its_own_key() -> None:
    features = F.normalize(torch.randn(3, 4), dim=1)
    queue = F.normalize(torch.randn(6, 4), dim=1)
    mask = mine(features, queue, torch.zeros(3).long(), torch.zeros(6).long(), 5)
    assert mask.all()  # slots of the same source are positives, none is mined
    assert drop_self(mask)[:, 0].sum() == 0


def test_mutual_neighbours_are_those_of_both_streams() -> None:
    queue = torch.eye(4)
    other, own = torch.tensor([[0.9, 0.8, 0.1, 0.0]]), torch.tensor([[0.9, 0.0, 0.8, 0.1]])
    ids = (torch.tensor([9]), torch.arange(4))
    assert mine(other, queue, *ids, 2).tolist() == [[True, True, True, False, False]]
    assert mine(other, queue, *ids, 2, own=own, own_queue=queue).tolist() == [[True, True, False, False, False]]


@st.composite
def problems(draw):
    rows, slots, topk = draw(st.integers(1, 4)), draw(st.integers(1, 9)), draw(st.integers(0, 12))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10**6)))
    whole = st.integers(-2, 2)  # whole numbers: many ties
    other = torch.tensor(draw(st.lists(st.lists(whole, min_size=2, max_size=2), min_size=rows, max_size=rows)))
    queue = torch.randint(-2, 3, (slots, 2), generator=generator)
    sources = torch.randint(0, 4, (rows,), generator=generator)
    least = draw(st.sampled_from([EMPTY, 0]))
    queue_sources = torch.randint(least, 4, (slots,), generator=generator)
    return other.double(), queue.double(), sources, queue_sources, topk


@given(problems())
@settings(max_examples=120, deadline=None)
def test_mining_equals_its_slow_twin(problem) -> None:
    other, queue, sources, queue_sources, topk = problem
    full = bool((queue_sources != EMPTY).all())
    slow = []
    for row, source in zip(other.tolist(), sources.tolist(), strict=True):
        positives = [True]
        candidates = []
        for slot, (vector, origin) in enumerate(zip(queue.tolist(), queue_sources.tolist(), strict=True)):
            positives.append(origin == source)
            if origin != source:
                candidates.append((-(row[0] * vector[0] + row[1] * vector[1]), slot))
        for _, slot in sorted(candidates)[:topk] if full else []:
            positives[1 + slot] = True
        slow.append(positives)
    mask = mine(other, queue, sources, queue_sources, topk)
    assert mask.tolist() == slow
    dropped = drop_self(mask)
    assert dropped.any(dim=1).all()  # never a row without a positive
    assert (dropped[:, 1:] == mask[:, 1:]).all()


def test_empty_slots_share_no_source() -> None:
    assert not same_as_row(torch.tensor([EMPTY]), torch.tensor([EMPTY, 3])).any()
