"""Sampling for maps: the vectors of SGAlign and boundary matching, slow twins, gradients, and that it commutes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kinoscope.localize.cell_sampling import (
    CellSampling,
    Entries,
    SampledConv,
    align_entries,
    matching_entries,
    matrices,
)
from kinoscope.localize.cells import CellMap

CPU = torch.device("cpu")


def dense(entries: Entries, count: int, bins: int, rows: int) -> np.ndarray:
    """[N, R, T]."""
    out = np.zeros((count, bins, rows))
    np.add.at(out, (entries.cell, entries.bin, entries.row), entries.weight)
    return out


def of(sampling: CellSampling) -> np.ndarray:
    """Weights of a sampling, [N, R, T]."""
    return dense(sampling.entries(), math.prod(sampling.cells.shape), sampling.bins, sampling.cells.rows)


def align_slowly(x: np.ndarray, window: np.ndarray, bins: int, samples: int = 0) -> np.ndarray:
    """SGAlign of one window as the sheet's formula says it, sample by sample: [C, T] → [C, R]."""
    rows = x.shape[1]
    height = max(window[1] - window[0], 1)
    count = samples or math.ceil(height / bins)

    def value(place: float) -> np.ndarray:
        if place < -1 or place > rows:
            return np.zeros(len(x))
        if place <= 0:
            return x[:, 0]
        low = math.floor(place)
        if low >= rows - 1:
            return x[:, rows - 1]
        return (1 - (place - low)) * x[:, low] + (place - low) * x[:, low + 1]

    width = height / bins
    columns = [
        sum(value(window[0] + number * width + (i + 0.5) * width / count) for i in range(count)) / count
        for number in range(bins)
    ]
    return np.stack(columns, axis=1)


def matching_slowly(window: tuple[float, float], bins: int, samples: int, rows: int) -> np.ndarray:
    """Weights of one window as the sheet's formula says it: [T, R]."""
    out = np.zeros((rows, bins))
    for i in range(bins * samples):
        place = window[0] + i * (window[1] - window[0]) / (bins * samples - 1)
        part = place - math.trunc(place)
        for row, weight in ((math.trunc(place), 1 - part), (math.ceil(place), part)):
            if 0 <= row <= rows - 1:
                out[row, i // samples] += weight / samples
    return out


@pytest.mark.parametrize("place", [0, 1, 2])
def test_sgalign_vector(vectors, place):
    group = vectors("localization")["vectors"]["sgalign"]
    inputs, expected = group["cases"][place]["inputs"], group["cases"][place]["expected"]
    x, windows = np.array(inputs["x"]), np.array(inputs["rois"])
    entries = align_entries(windows, inputs["resolution"], x.shape[1], inputs.get("sampling_ratio", 0))
    weights = dense(entries, len(windows), inputs["resolution"], x.shape[1])
    np.testing.assert_allclose(np.einsum("nrt,ct->ncr", weights, x), expected["out"], atol=group["tolerance"])
    if "weights" in expected:
        np.testing.assert_allclose(weights, expected["weights"], atol=group["tolerance"])


def test_anchors_vector(vectors):
    case = vectors("localization")["vectors"]["gtad_anchors"]["cases"][0]
    cells = CellMap(case["inputs"]["T"], case["inputs"]["D"])
    for kind, name in (("release", "gtad"), ("opentad", "opentad_start_major")):
        windows = cells.windows(kind)
        windows[~cells.valid()] = 0
        by_start = windows.reshape(*cells.shape, 2).transpose(1, 0, 2).reshape(-1, 2)  # the vector's start is outer
        assert by_start.tolist() == case["expected"][name]


@pytest.mark.parametrize("place", [0, 1, 2])
def test_matching_bins_vector(vectors, place):
    group = vectors("localization")["vectors"]["bmn_mask"]
    inputs, expected = group["cases"][place]["inputs"], group["cases"][place]["expected"]
    window = np.array([[inputs["xmin"], inputs["xmax"]]])
    weights = dense(matching_entries(window, inputs["N"], inputs["S"], inputs["T"]), 1, inputs["N"], inputs["T"])[0]
    np.testing.assert_allclose(weights.T, expected["weights_T_by_N"], atol=group["tolerance"])
    np.testing.assert_allclose(weights.sum(1), expected["column_sums"], atol=group["tolerance"])


@pytest.mark.parametrize(
    ("name", "axes", "window"),
    [
        ("jjboy_T_N_start_end", "start_end", "jjboy"),
        ("standard_T_N_duration_start", "duration_start", "release"),
    ],
)
def test_both_conventions_of_matching_vector(vectors, name, axes, window):
    group = vectors("localization")["vectors"]["bmn_mask"]
    case = next(case for case in group["cases"] if case["name"] == "full_T4_N3_S2")
    rows, bins, samples = (case["inputs"][key] for key in ("T", "N", "S"))
    sampling = CellSampling(CellMap(rows, rows, axes), "matching", window, bins, samples)
    weights = of(sampling).reshape(rows, rows, bins, rows).transpose(3, 2, 0, 1)
    np.testing.assert_allclose(weights, case["expected"][name], atol=group["tolerance"])


def test_a_cell_of_activitynet_vector(vectors):
    group = vectors("localization")["vectors"]["bmn_mask"]
    case = next(case for case in group["cases"] if case["name"] == "anet_scale_sample")
    inputs, expected = case["inputs"], case["expected"]
    sampling = CellSampling(CellMap(inputs["T"], inputs["T"]), "matching", "release", inputs["N"], inputs["S"])
    entries = sampling.entries()
    own = entries.cell == inputs["duration_index"] * inputs["T"] + inputs["start"]
    assert [entries.row[own].min(), entries.row[own].max()] == expected["nonzero_rows"]
    assert entries.weight[own].sum() == pytest.approx(expected["total"], abs=1e-6)
    first = np.zeros(inputs["T"])
    np.add.at(first, entries.row[own & (entries.bin == 0)], entries.weight[own & (entries.bin == 0)])
    np.testing.assert_allclose(first[expected["col0_rows"]], expected["col0"], atol=group["tolerance"])


@given(
    st.lists(st.tuples(st.floats(-9, 12), st.floats(-2, 15)), min_size=1, max_size=5),
    st.integers(1, 5),
    st.integers(0, 3),
    st.integers(1, 8),
)
@settings(max_examples=60, deadline=None)
def test_align_is_its_slow_twin(windows, bins, samples, rows):
    windows = np.array([[start, start + length] for start, length in windows])
    x = np.random.default_rng(0).normal(size=(2, rows))
    weights = dense(align_entries(windows, bins, rows, samples), len(windows), bins, rows)
    slow = [align_slowly(x, window, bins, samples) for window in windows]
    np.testing.assert_allclose(np.einsum("nrt,ct->ncr", weights, x), slow, atol=1e-9)
    assert (weights >= 0).all() and (weights.sum(2) <= 1 + 1e-9).all()


@given(st.floats(-9, 12), st.floats(0, 15), st.integers(1, 5), st.integers(2, 3), st.integers(1, 8))
@settings(max_examples=60, deadline=None)
def test_matching_is_its_slow_twin(start, length, bins, samples, rows):
    window = (start, start + length)
    weights = dense(matching_entries(np.array([window]), bins, samples, rows), 1, bins, rows)[0]
    np.testing.assert_allclose(weights.T, matching_slowly(window, bins, samples, rows), atol=1e-9)


SAMPLINGS = {
    "gtad": [
        CellSampling(CellMap(9, 4), "align", "release", 3, 0),
        CellSampling(CellMap(9, 4), "align", "release", 2, 0),
    ],
    "gtad, equal bins": [CellSampling(CellMap(9, 4), "align", "opentad", 3, 2)] * 2,
    "bmn": [CellSampling(CellMap(6, 6), "matching", "release", 3, 2)],
    "jjboy": [CellSampling(CellMap(5, 5, "start_end"), "matching", "jjboy", 3, 2)],
}


@pytest.mark.parametrize("name", SAMPLINGS)
def test_contraction_before_sampling_changes_nothing(name):
    samplings = SAMPLINGS[name]
    torch.manual_seed(0)
    conv = SampledConv(4, 5, samplings).double()
    sources = [torch.randn(2, 4, samplings[0].cells.rows, dtype=torch.float64) for _ in samplings]
    read = [torch.einsum("nrt,bct->bcnr", torch.from_numpy(of(s)), x) for s, x in zip(samplings, sources, strict=True)]
    slow = torch.einsum("ocr,bcnr->bon", conv.weight, torch.cat(read, dim=3)) + conv.bias[:, None]
    torch.testing.assert_close(conv(*sources), slow.unflatten(2, samplings[0].cells.shape))


@pytest.mark.parametrize("name", SAMPLINGS)
def test_gradients(name):
    samplings = SAMPLINGS[name]
    torch.manual_seed(0)
    conv = SampledConv(2, 3, samplings).double()
    sources = [torch.randn(2, 2, samplings[0].cells.rows, dtype=torch.float64, requires_grad=True) for _ in samplings]

    def loss(weight: torch.Tensor, bias: torch.Tensor, *x: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(conv, {"weight": weight, "bias": bias}, x)

    inputs = (conv.weight.detach().requires_grad_(), conv.bias.detach().requires_grad_(), *sources)
    assert torch.autograd.gradcheck(loss, inputs)
    assert torch.autograd.gradgradcheck(loss, inputs)


def test_matrices_are_built_once_and_are_no_weights():
    sampling = SAMPLINGS["bmn"][0]
    with torch.inference_mode():  # who asks first must not spoil them for training
        matrices.cache_clear()
        first = matrices(sampling, CPU, torch.float32)
    assert matrices(sampling, CPU, torch.float32) is first
    assert first[0].shape == (36, 18) and first[1].shape == (18, 36)
    conv = SampledConv(2, 3, [sampling])
    conv(torch.randn(1, 2, 6)).sum().backward()
    assert set(conv.state_dict()) == {"weight", "bias"}
    assert conv.weight.grad.isfinite().all()


def test_cells():
    both = CellMap(5, 3), CellMap(5, 3, "start_end")
    kept = [{tuple(segment) for segment in cells.segments()[cells.valid()].tolist()} for cells in both]
    assert kept[0] == kept[1] == {(s, e) for s in range(5) for e in range(s + 1, min(s + 3, 5) + 1)}
    assert (both[0].shape, both[1].shape) == ((3, 5), (5, 5))
