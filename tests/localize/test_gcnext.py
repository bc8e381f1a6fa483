"""The graph convolution of G-TAD against its vectors and a slow twin."""

from __future__ import annotations

import pytest
import torch

from kinoscope.errors import OptionError
from kinoscope.localize.gcnext import GCNeXt, context, nearest_rows, take_rows


def test_graph_vector(vectors):
    group = vectors("localization")["vectors"]["knn_graph"]
    case = group["cases"][0]
    x, expected = torch.tensor(case["inputs"]["x"], dtype=torch.float64)[None], case["expected"]
    rows = nearest_rows(x, case["inputs"]["k"])
    assert rows[0].tolist() == expected["idx"]
    edges = torch.cat([take_rows(x, rows), x[..., None].expand(-1, -1, -1, 3)], dim=1)[0]
    wanted = torch.tensor(expected["edge_feature"], dtype=torch.float64)
    torch.testing.assert_close(edges, wanted, atol=group["tolerance"], rtol=0)
    wanted = torch.tensor(expected["context"], dtype=torch.float64)
    torch.testing.assert_close(context(x, 3)[0], wanted, atol=group["tolerance"], rtol=0)


def test_block_vector(vectors):
    group = vectors("localization")["vectors"]["gcnext"]
    inputs, expected = group["cases"][0]["inputs"], group["cases"][0]["expected"]
    weights = {name: torch.tensor(value, dtype=torch.float64) for name, value in inputs["weights"].items()}
    block = GCNeXt(2, 2, inputs["groups"], inputs["k"]).double()
    block.load_state_dict(weights)
    y = block(torch.tensor(inputs["x"], dtype=torch.float64)[None])[0]
    torch.testing.assert_close(y, torch.tensor(expected["y"], dtype=torch.float64), atol=group["tolerance"], rtol=0)


def test_splitting_the_edge_weights_changes_nothing():
    torch.manual_seed(0)
    block = GCNeXt(4, 8, 2, 3).double()
    x = torch.randn(2, 4, 7, dtype=torch.float64)
    edges = torch.cat([take_rows(x, nearest_rows(x, 3)), x[..., None].expand(-1, -1, -1, 3)], dim=1)
    slow = torch.relu(x + block.tconvs(x) + block.sconvs(edges).amax(3))
    torch.testing.assert_close(block(x), slow)


def test_nearest_rows_are_those_of_a_loop_and_begin_with_the_row_itself():
    x = torch.randn(2, 5, 9, generator=torch.Generator().manual_seed(0)) * 100  # so large that rounding shows
    for video, rows in zip(x, nearest_rows(x, 4), strict=True):
        for row in range(9):
            distance = [float((video[:, row] - video[:, other]).square().sum()) for other in range(9)]
            assert rows[row].tolist() == sorted(range(9), key=distance.__getitem__)[:4]
    assert nearest_rows(torch.zeros(1, 2, 5), 2)[0, :, 0].tolist() == list(range(5))


def test_gradient():
    torch.manual_seed(0)
    block = GCNeXt(2, 4, 2, 2).double()
    x = torch.randn(1, 2, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda y: block(y) + context(y, 2), x)


def test_more_neighbours_than_rows():
    with pytest.raises(OptionError, match="neighbours are 4, but there are 3 rows"):
        nearest_rows(torch.zeros(1, 2, 3), 4)
