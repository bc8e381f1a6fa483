"""Labels and losses of maps: the vectors, slow twins, and what happens where a group has no member."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kinoscope.localize.cells import CellMap
from kinoscope.localize.map_loss import (
    BOUNDARY,
    SURE,
    MapLoss,
    balanced_entropy,
    class_entropy,
    overlap_regression,
)
from kinoscope.localize.map_network import Bmn, GTad
from kinoscope.localize.map_options import BmnOptions, GTadOptions
from kinoscope.localize.map_targets import best_cells, boundary_targets, cell_targets


def tensors(values: dict, *names: str) -> list[torch.Tensor]:
    return [torch.tensor(values[name], dtype=torch.float64) for name in names]


@pytest.fixture
def losses(vectors):
    group = vectors("localization")["vectors"]["bm_losses"]
    return {case["name"]: case for case in group["cases"]}


def test_boundary_vector(losses):
    p, g = tensors(losses["tem_single"]["inputs"], "p", "g")
    loss = balanced_entropy(p, g, torch.ones_like(p).bool(), BOUNDARY)
    assert float(loss) == pytest.approx(losses["tem_single"]["expected"]["loss"], abs=1e-6)


@pytest.mark.parametrize(("name", "guard"), [("bmn", 0.0), ("gtad_thumos", 10.0)])
def test_overlap_vector(losses, name, guard):
    p, g, mask = tensors(losses["cls_map"]["inputs"], "p", "g", "mask")
    loss = balanced_entropy(p, g, mask.bool(), SURE, guard)
    assert float(loss) == pytest.approx(losses["cls_map"]["expected"][name], abs=1e-6)


def test_regression_vector(losses):
    case = losses["reg_bug_ratio_above_1"]
    p, g, mask = tensors(case["inputs"], "p", "g", "mask")
    for seed in range(3):
        draws = torch.rand(p.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        official = overlap_regression(p, g, mask.bool(), draws, published=True)
        assert float(official) == pytest.approx(case["expected"]["official"], abs=1e-6)
        ours = overlap_regression(p, g, mask.bool(), draws)
        assert float(ours) == pytest.approx(case["expected"]["intended_all_kept"], abs=1e-6)


def test_labels_vector(vectors):
    group = vectors("localization")["vectors"]["bm_labels"]
    inputs, expected = group["cases"][0]["inputs"], group["cases"][0]["expected"]
    rows, durations = inputs["T"], inputs["D"]
    segments = torch.tensor(inputs["gt"], dtype=torch.float64) * rows
    cells = torch.from_numpy(CellMap(rows, durations).segments())
    iou, _ = cell_targets(cells, segments, torch.zeros(2, dtype=torch.int64), 1)
    np.testing.assert_allclose(iou.view(durations, rows), expected["iou"], atol=group["tolerance"])
    for side, name in enumerate(("start", "end")):
        found = boundary_targets(segments[:, side], rows)
        np.testing.assert_allclose(found, expected[name], atol=group["tolerance"])


def entropy_slowly(p: list[float], g: list[float], threshold: float) -> float:
    """With the published coefficients."""
    positives = sum(target > threshold for target in g)
    ratio = len(g) / positives
    weights = [0.5 * ratio if target > threshold else 0.5 * ratio / (ratio - 1) for target in g]
    terms = [
        -w * math.log(x + 1e-6 if target > threshold else 1 - x + 1e-6)
        for w, x, target in zip(weights, p, g, strict=True)
    ]
    return sum(terms) / len(terms)


@given(st.lists(st.tuples(st.floats(0.01, 0.99), st.floats(0, 1)), min_size=2, max_size=12))
@settings(max_examples=60, deadline=None)
def test_balanced_entropy_is_its_slow_twin(pairs):
    p, g = zip(*pairs, strict=True)
    positives = sum(target > 0.5 for target in g)
    loss = balanced_entropy(torch.tensor(p).double(), torch.tensor(g).double(), torch.ones(len(p)).bool(), 0.5)
    assert math.isfinite(loss)
    if 0 < positives < len(g):
        assert float(loss) == pytest.approx(entropy_slowly(p, g, 0.5), rel=1e-5)


def test_sampling_keeps_groups_alike_and_ignores_what_is_invalid():
    generator = torch.Generator().manual_seed(0)
    target = torch.cat([torch.full((50,), 0.8), torch.full((200,), 0.5), torch.full((1000,), 0.1), torch.zeros(500)])
    valid = torch.ones(len(target)).bool()
    valid[-700:] = False
    kept = torch.zeros(len(target))
    for _ in range(200):
        draws = torch.rand(len(target), generator=generator)
        for group in (target > 0.7, (target > 0.3) & (target <= 0.7), (target > 0) & (target <= 0.3)):
            one = torch.where(group, target - 1, target)  # an error of one in this group, none elsewhere
            weight = torch.autograd.functional.jacobian(lambda p, d=draws: overlap_regression(p, target, valid, d), one)
            kept += (weight != 0).float()
    counts = [float(kept[:50].sum()), float(kept[50:250].sum()), float(kept[250:1050].sum())]
    assert counts == pytest.approx([50 * 200] * 3, rel=0.05)
    assert kept[1050:].sum() == 0


@pytest.mark.parametrize("published", [False, True])
def test_empty_groups_give_zero(published):
    p = torch.full((4,), 0.3, requires_grad=True)
    valid, draws = torch.ones(4).bool(), torch.full((4,), 0.4)
    for target, mask in ((torch.zeros(4), valid), (torch.full((4,), 0.5), valid), (torch.ones(4), ~valid)):
        losses = [
            overlap_regression(p, target, mask, draws, published=published and mask.any()),
            balanced_entropy(p, target, mask, 0.9),
            class_entropy(p[:, None], target[:, None], mask & (target > 0.5)),
        ]
        assert all(loss.isfinite() for loss in losses)
        assert losses[0] == 0
        (gradient,) = torch.autograd.grad(sum(losses), p)
        assert gradient.isfinite().all()


def test_classes_of_a_cell_are_those_of_the_segments_it_fits_best():
    cells = torch.tensor([[0.0, 4.0], [4.0, 8.0], [9.0, 10.0]])
    segments = torch.tensor([[0.0, 4.0], [0.0, 4.0], [4.0, 7.0], [5.0, 5.0]])
    iou, classes = cell_targets(cells, segments, torch.tensor([0, 2, 1, 1]), 3)
    assert iou.tolist() == [1.0, 0.75, 0.0]
    assert classes.tolist() == [[1, 0, 1], [0, 1, 0], [0, 0, 0]]


def test_the_best_cell_of_a_segment_is_sure_also_where_rows_are_coarse():
    map_ = CellMap(6, 3)
    cells, valid = torch.from_numpy(map_.segments()), torch.from_numpy(map_.valid())
    segments = torch.tensor([[0.4, 1.6], [2.0, 5.0], [0.0, 0.2], [0.0, 6.0]], dtype=torch.float64)
    found = {tuple(cell) for cell in cells[best_cells(cells, segments, valid)].tolist()}
    assert found == {(0.0, 2.0), (2.0, 5.0)}  # nothing stands for what is much shorter or is too long
    assert not best_cells(cells, segments[:0], valid).any()
    options = GTadOptions(4, 1, 6, 3, fit="windows", width=8, groups=1, graph_width=8, graph_groups=2)
    network, mask = GTad(options), torch.ones(1, 6).bool()
    maps = network(torch.randn(1, 6, 4), mask)
    given = [(segments[:1] - 0.5).float()], [torch.tensor([0])]
    published, ours = (
        MapLoss(replace(options, best_is_sure=sure)).of(maps, mask, *given)["overlap_loss"] for sure in (False, True)
    )
    assert ours > 1.5 * published  # no cell has a tIoU of 0.9: only ours has a positive


@pytest.mark.parametrize("cell", [(-0.5, 1.5), (-0.5, 0.5), (0.0, 1.0)])
def test_boundaries_are_those_of_a_loop(cell):
    boundaries = torch.tensor([2.3, 7.0], dtype=torch.float64)
    found = boundary_targets(boundaries, 10, cell)
    for row in range(10):
        shares = [
            max(min(row + cell[1], float(b) + 1.5) - max(row + cell[0], float(b) - 1.5), 0) / (cell[1] - cell[0])
            for b in boundaries
        ]
        assert float(found[row]) == pytest.approx(max(shares))
    assert boundary_targets(torch.zeros(0), 4).tolist() == [0] * 4


@pytest.mark.parametrize("network", [GTad(GTadOptions.small(6, 2)), Bmn(BmnOptions.small(6, 2))])
@pytest.mark.parametrize("count", [0, 2])
def test_losses_of_a_batch(network, count):
    torch.manual_seed(0)
    loss = MapLoss(network.options)
    rows = network.options.rows
    mask = torch.arange(rows) < torch.tensor([rows, 12])[:, None]
    segments = [torch.tensor([[2.0, 9.0], [11.0, 20.0]])[:count], torch.tensor([[1.0, 8.0], [3.0, 6.0]])[:count]]
    labels = [torch.tensor([0, 1])[:count]] * 2
    losses = loss.of(network(torch.randn(2, rows, 6), mask), mask, segments, labels)
    assert set(losses) == {
        *("loss", "boundary_loss", "regression_loss", "overlap_loss", "class_loss", "positives"),
    }
    assert all(value.isfinite() for value in losses.values())
    assert (losses["positives"] > 0) == (count > 0)
    losses["loss"].backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())


def test_a_perfect_answer_costs_little_in_both_fits():
    """Grid positions lie half a row from edges, and resized videos have their own scale."""
    for fit, rows in (("windows", 32), ("resize", 50)):
        options = GTadOptions(4, 1, rows=32, durations=16, fit=fit, width=8, groups=1, graph_width=8, graph_groups=2)
        loss = MapLoss(options)
        scale = 32 / rows
        start, end = 6 / scale - 0.5, 14 / scale - 0.5  # the cell from edge 6 to edge 14
        segments, labels = [torch.tensor([[start, end]])], [torch.tensor([0])]
        cells = loss.cells
        iou, _ = cell_targets(cells, torch.tensor([[6.0, 14.0]]), labels[0], 1)
        maps = GTad(options)(torch.randn(1, rows, 4), torch.ones(1, rows).bool())
        maps = maps._replace(
            regression=iou.view_as(maps.regression),
            overlap=(iou > 0.9).float().view_as(maps.overlap),
            start=(boundary_targets(torch.tensor([6.0]), 32) > 0.5).float()[None],
            end=(boundary_targets(torch.tensor([14.0]), 32) > 0.5).float()[None],
        )
        losses = loss.of(maps, torch.ones(1, rows).bool(), segments, labels)
        assert float(losses["loss"]) == pytest.approx(0, abs=1e-4)
