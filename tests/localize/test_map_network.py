"""The networks of G-TAD and BMN: their sizes, and what comes in."""

from __future__ import annotations

import pytest
import torch

from kinoscope.errors import FeatureError, OptionError
from kinoscope.localize.map_network import Bmn, GTad
from kinoscope.localize.map_options import BmnOptions, GTadOptions

NETWORKS = {
    "gtad": GTad(GTadOptions(4, 3, 16, 8, fit="windows", width=8, groups=2, graph_width=8, graph_groups=2)),
    "bmn": Bmn(BmnOptions(4, 3, 12, 12, width=8, groups=2, bins=4, samples=2)),
    "jjboy": Bmn(BmnOptions(4, 1, 12, 12, width=8, groups=2, bins=4, samples=2, convention="jjboy")),
}


@pytest.mark.parametrize(
    ("network", "options", "count"),
    [
        (GTad, GTadOptions.thumos(), 5_617_540),
        (GTad, GTadOptions.activitynet(), 5_563_268),
        (Bmn, BmnOptions.activitynet(), 4_978_564),
        (Bmn, BmnOptions(400, 1), 4_978_564),
    ],
)
def test_sizes_of_the_releases(network, options, count):
    with torch.device("meta"):
        model = network(options)
    assert sum(parameter.numel() for parameter in model.parameters()) == count
    assert sum(tensor.numel() for tensor in model.state_dict().values()) == count  # nothing else is saved


@pytest.mark.parametrize("name", NETWORKS)
def test_shapes_and_gradients(name):
    network = NETWORKS[name]
    options = network.options
    mask = torch.arange(12) < torch.tensor([12, 7])[:, None]
    maps = network(torch.randn(2, 12, 4), mask)
    assert maps.start.shape == maps.end.shape == (2, options.rows)
    assert maps.regression.shape == maps.overlap.shape == (2, *options.cells.shape)
    assert maps.classes.shape == (2, 0 if options.classes == 1 else 3, *options.cells.shape)
    assert maps.rows.tolist() == ([12, 7] if options.fit == "windows" else [12, 12])
    sum(part.sum() for part in maps[:5]).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize("name", NETWORKS)
def test_what_stands_at_the_padding_does_not_matter(name):
    network = NETWORKS[name].eval()
    x, mask = torch.randn(1, 12, 4), torch.arange(12)[None] < 7
    other = torch.where(mask[..., None], x, 5.0)
    for one, two in zip(network(x, mask), network(other, mask), strict=True):
        torch.testing.assert_close(one, two)


def test_resizing_keeps_the_edges():
    ramp = torch.arange(10.0)[:, None].expand(-1, 4) + 0.5  # the value is the place, counted from the edge
    resized = NETWORKS["bmn"]._resized(ramp)[0]
    inner = (torch.arange(12.0) + 0.5) * 10 / 12
    torch.testing.assert_close(resized, inner.clamp(0.5, 9.5))


def test_unfit_input():
    gtad, mask = NETWORKS["gtad"], torch.ones(1, 12).bool()
    with pytest.raises(FeatureError, match=r"wants \[B, T, 4\]"):
        gtad(torch.zeros(1, 12, 5), mask)
    with pytest.raises(FeatureError, match="a window has 16"):
        gtad(torch.zeros(1, 17, 4), torch.ones(1, 17).bool())
    with pytest.raises(FeatureError, match="mask"):
        gtad(torch.zeros(1, 12, 4), mask[:, :3])
    with pytest.raises(FeatureError, match="one true row"):
        gtad(torch.zeros(1, 12, 4), ~mask)


def test_small_windows_hold_the_longest_segment_and_very_long_ones_resize():
    for kind in (GTadOptions, BmnOptions):
        small = kind.small(7, 2, [3.0, 20.0])
        assert (small.fit, small.durations, small.rows) == ("windows", 23, 46)
        assert kind.small(7, 2, [500.0]).fit == "resize"
        assert kind.small(7, 2).durations >= 8


@pytest.mark.parametrize(
    "bad",
    [
        {"rows": 0},
        {"fit": "crop"},
        {"durations": 101},
        {"durations": 60, "fit": "windows"},
        {"width": 10},
        {"map_kernel": 2},
        {"boundary_cell": (1.0, 1.0)},
        {"guard": -1.0},
    ],
)
@pytest.mark.parametrize("kind", [GTadOptions, BmnOptions])
def test_impossible_options(kind, bad):
    with pytest.raises(OptionError):
        kind(4, 2, **bad)


def test_impossible_options_of_one_kind():
    for bad in ({"window": "jjboy"}, {"neighbours": 0}, {"graph_groups": 3}, {"samples": -1}):
        with pytest.raises(OptionError):
            GTadOptions(4, 2, **bad)
    for bad in ({"convention": "start"}, {"samples": 0}, {"bins": 1, "samples": 1}):
        with pytest.raises(OptionError):
            BmnOptions(4, 2, **bad)
