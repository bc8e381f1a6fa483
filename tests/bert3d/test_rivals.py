"""What the BERT head is compared with: shapes, padding, slow twins, and sizes of equal numbers of parameters."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from kinoscope.bert3d.heads import build_head, looks_at_places, matched_hidden, parameters_with_classifier
from kinoscope.bert3d.late_fusion import LateFusionHead
from kinoscope.bert3d.options import HEADS, HeadName, HeadOptions
from kinoscope.bert3d.rivals import (
    AttentionPoolHead,
    ConcatHead,
    ConvGruHead,
    LstmHead,
    MeanHead,
    NonLocalHead,
    with_places,
    without_places,
)
from kinoscope.errors import OptionError

from .made import lengths_mask, perturbed, tokens

SIZED: tuple[HeadName, ...] = ("wide", "concat-fc", "lstm", "convgru", "non-local", "attention-pool")
SPATIAL: tuple[HeadName, ...] = ("convgru", "non-local", "attention-pool")
OPTIONS = HeadOptions(heads=2, slow_width=8)


def head_of(name: HeadName, width: int = 16, most: int = 6, grid: int = 1, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return perturbed(build_head(replace(OPTIONS, head=name), width, most, 3, grid), seed)


# --- all heads -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", HEADS)
def test_forward_and_backward(name: HeadName) -> None:
    head = head_of(name)  # in evaluation mode: no token is dropped
    x = tokens(0, 4, 6, 16).requires_grad_()
    feature = head(x)
    assert feature.shape == (4, head.width) and feature.isfinite().all()  # type: ignore[comparison-overlap]
    feature.square().sum().backward()
    assert x.grad is not None and bool((x.grad.abs().sum((0, 2)) > 0).all()), "every moment counts"
    assert all(p.grad is not None and p.grad.isfinite().all() for p in head.parameters())


@pytest.mark.parametrize("name", HEADS)
@settings(deadline=None, max_examples=8)
@given(seed=st.integers(0, 99), lengths=st.lists(st.integers(1, 6), min_size=2, max_size=4))
def test_padding_changes_nothing(name: HeadName, seed: int, lengths: list[int]) -> None:
    head = head_of(name, seed=seed)
    x = 3 * tokens(seed, len(lengths), max(lengths), 16)
    together = head(x, lengths_mask(lengths, max(lengths)))
    for row, length in enumerate(lengths):
        torch.testing.assert_close(together[row], head(x[row : row + 1, :length])[0], atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("name", SPATIAL)
def test_padding_changes_nothing_of_tokens_with_places(name: HeadName) -> None:
    head, x, lengths = head_of(name, grid=2), tokens(1, 3, 5, 2, 2, 16), [5, 2, 3]
    together = head(x, lengths_mask(lengths, 5))
    for row, length in enumerate(lengths):
        torch.testing.assert_close(together[row], head(x[row : row + 1, :length])[0], atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("name", SPATIAL)
def test_places_count(name: HeadName) -> None:
    """A pooled token is one with a single place; with places the answer is another than that of their mean."""
    head, x = head_of(name), tokens(2, 2, 4, 16)
    torch.testing.assert_close(head(x), head(with_places(x)))
    assert looks_at_places(replace(OPTIONS, head=name)) and getattr(head, "spatial", False)
    head, places = head_of(name, grid=3), tokens(3, 2, 4, 3, 3, 16)
    assert (head(places) - head(with_places(without_places(places)))).abs().max() > 1e-4
    torch.testing.assert_close(without_places(places), places.flatten(2, 3).mean(2))


@pytest.mark.parametrize("name", ["bert", "attention-pool"])
def test_attention_sums_to_one(name: HeadName) -> None:
    head, x, mask = head_of(name), tokens(4, 3, 6, 16), lengths_mask([6, 1, 4], 6)
    feature, weights = head.attend(x, mask)  # type: ignore[operator]
    torch.testing.assert_close(feature, head(x, mask))
    assert weights.shape[:3] == (3, 1, 2) and weights.shape[-1] == 6 + (name == "bert")
    torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]))
    assert not weights[..., 0, -6:].masked_select(~mask[:, None, None]).any()


@pytest.mark.parametrize("name", ["tgap", "wide"])
def test_the_mean_does_not_know_the_order(name: HeadName) -> None:
    head, x = head_of(name), tokens(5, 2, 6, 16)
    torch.testing.assert_close(head(x), head(x.flip(1)))


@pytest.mark.parametrize("name", [name for name in HEADS if name not in ("tgap", "wide")])
def test_all_others_do(name: HeadName) -> None:
    head, x = head_of(name), tokens(5, 2, 6, 16)
    assert (head(x) - head(x.flip(1))).abs().max() > 1e-4


@pytest.mark.parametrize("name", [name for name in HEADS if name not in ("concat", "concat-fc", "non-local")])
def test_more_tokens_than_learned_for(name: HeadName) -> None:
    assert head_of(name)(tokens(6, 2, 11, 16)).isfinite().all()


@pytest.mark.parametrize("name", ["concat", "concat-fc", "non-local"])
def test_heads_of_a_fixed_number_of_tokens_refuse_more(name: HeadName) -> None:
    with pytest.raises(OptionError, match=r"7 tokens for a head of 6(.|\n)*give at most 6 tokens"):
        head_of(name)(tokens(6, 2, 7, 16))


# --- one by one ----------------------------------------------------------------------------------------------------


def test_mean_and_concatenation_in_closed_form() -> None:
    x = torch.arange(12.0).view(1, 3, 4)
    assert MeanHead(4)(x).tolist() == [[4, 5, 6, 7]]
    assert ConcatHead(4, 4)(x).tolist() == [[*range(12), 0, 0, 0, 0]]
    assert ConcatHead(4, 3)(x, lengths_mask([1], 3)).tolist() == [[0, 1, 2, 3, *[0] * 8]]


def test_lstm_reads_the_last_real_state() -> None:
    head, x = perturbed(LstmHead(4, 3)), tokens(7, 2, 5, 4)
    states, _ = head.lstm(x)  # type: ignore[operator]
    torch.testing.assert_close(head(x, lengths_mask([2, 5], 5)), torch.stack((states[0, 1], states[1, 4])))


def slow_gru(head: ConvGruHead, maps: Tensor) -> Tensor:
    """One clip, place by place and product by product. Shape: [N, H, W, C] -> [width]."""
    steps, height, width, channels = maps.shape
    hidden, reach = head.width, head.gates.kernel_size[0] // 2
    state = [[[0.0] * hidden for _ in range(width)] for _ in range(height)]

    def product(layer: nn.Conv2d, seen: Callable[[int, int, int], float], row: int, column: int, out: int) -> float:
        total = float(layer.bias[out])  # type: ignore[index]
        for down in range(-reach, reach + 1):
            for right in range(-reach, reach + 1):
                if 0 <= row + down < height and 0 <= column + right < width:
                    weights = layer.weight[out, :, down + reach, right + reach].tolist()
                    values = [seen(row + down, column + right, channel) for channel in range(channels + hidden)]
                    total += sum(w * v for w, v in zip(weights, values, strict=True))
        return total

    def sigmoid(value: float) -> float:
        return 1 / (1 + math.exp(-value))

    for step in range(steps):
        frame, before = maps[step].tolist(), state
        places = [(row, column) for row in range(height) for column in range(width)]

        def seen(row: int, column: int, channel: int) -> float:
            here = frame[row][column]  # noqa: B023
            return here[channel] if channel < channels else before[row][column][channel - channels]  # noqa: B023

        gate = {(*at, out): sigmoid(product(head.gates, seen, *at, out)) for at in places for out in range(2 * hidden)}

        def reset(row: int, column: int, channel: int) -> float:
            value = seen(row, column, channel)
            return value if channel < channels else value * gate[row, column, hidden + channel - channels]  # noqa: B023

        state = [[[0.0] * hidden for _ in range(width)] for _ in range(height)]
        for row, column in places:
            for out in range(hidden):
                update, old = gate[row, column, out], before[row][column][out]
                new = math.tanh(product(head.candidate, reset, row, column, out))
                state[row][column][out] = (1 - update) * old + update * new
    return torch.tensor([sum(cell[out] for line in state for cell in line) / height / width for out in range(hidden)])


@pytest.mark.parametrize("grid", [1, 2])
def test_gated_recurrence_equals_its_slow_twin(grid: int) -> None:
    head = perturbed(ConvGruHead(3, 2, grid))
    maps = tokens(8, 3, grid, grid, 3)
    with torch.no_grad():
        expected = slow_gru(head, maps).double()  # type: ignore[arg-type]
        torch.testing.assert_close(head(maps[None])[0], expected, atol=1e-6, rtol=0)


def test_an_image_larger_than_its_grid_is_convolved_too() -> None:
    """Maps of 7 × 4 places in a head of grid 7: places need not be square."""
    assert ConvGruHead(3, 2, 7)(torch.randn(2, 3, 7, 4, 3)).shape == (2, 2)


@pytest.mark.parametrize("scaling", ["none", "positions"])
def test_non_local_block_equals_its_slow_twin(scaling: str) -> None:
    head = perturbed(NonLocalHead(4, 3, 5, scaling))  # type: ignore[arg-type]
    x = tokens(9, 1, 2, 2, 2, 4)
    flat = x.view(8, 4)  # [P, C]
    theta, phi, value = ([layer(row) for row in flat] for layer in (head.theta, head.phi, head.value))  # type: ignore[operator]
    found = []
    for i in range(8):
        scores = [float((theta[i] @ phi[j]).detach()) / (8**0.5 if scaling == "positions" else 1) for j in range(8)]
        powers = [math.exp(score) for score in scores]
        mixed = sum(power / sum(powers) * value[j] for j, power in enumerate(powers))
        found.append(flat[i] + head.output(mixed))  # type: ignore[operator]
    means = torch.stack(found).view(2, 4, 4).mean(1)  # [N, C]
    expected = head.concat.layer(torch.cat((means.flatten(), torch.zeros(4, dtype=torch.float64))))  # type: ignore
    torch.testing.assert_close(head(x)[0], expected)


def test_a_fresh_non_local_block_is_the_identity() -> None:
    head, x = NonLocalHead(4, 3, 5), torch.randn(2, 3, 4)
    torch.testing.assert_close(head(x), head.concat(x))


def test_attention_pool_interpolates_for_more_tokens_and_refuses_odd_widths() -> None:
    head = AttentionPoolHead(8, 3, 16, 2)
    with torch.no_grad():
        head.positions.copy_(torch.linspace(0, 100, 24).view(1, 3, 8))
    assert head(torch.randn(1, 9, 8)).isfinite().all()
    with pytest.raises(OptionError, match="3 heads do not divide 8 channels"):
        AttentionPoolHead(8, 3, 16, 3)


# --- late fusion ---------------------------------------------------------------------------------------------------


def test_late_fusion_is_a_head_for_each_pathway() -> None:
    """The published sizes: slow 8 × 512, fast 32 × 256, and a classifier of 768."""
    head = build_head(HeadOptions(head="bert-late"), 512 + 4 * 256, 8, 51)
    assert isinstance(head, LateFusionHead) and head.width == 768
    assert (head.slow.width, head.slow.tokens, head.fast.width, head.fast.tokens) == (512, 8, 256, 32)
    assert head.slow.positions.shape == (1, 9, 512) and head.fast.positions.shape == (1, 33, 256)  # type: ignore


def test_each_pathway_sees_its_own_tokens_in_their_order() -> None:
    head = head_of("bert-late")  # slow 8, fast 2 channels
    slow, fast = tokens(10, 2, 5, 8), tokens(11, 2, 20, 2)
    together = torch.cat((slow, fast.reshape(2, 5, 8)), dim=2)  # four fast steps in the channels of a slow one
    feature, weights = head.attend(together)  # type: ignore[operator]
    torch.testing.assert_close(feature, torch.cat((head.slow(slow), head.fast(fast)), 1))  # type: ignore[operator]
    assert weights.shape == (2, 1, 2, 6, 6)


@pytest.mark.parametrize("width", [512, 515, 517])
def test_widths_that_are_not_two_pathways(width: int) -> None:
    with pytest.raises(OptionError, match="are not 512 slow ones and 4 steps of fast ones"):
        build_head(HeadOptions(head="bert-late"), width, 4, 3)


# --- equal numbers of parameters -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SIZED)
@settings(deadline=None, max_examples=8)
@given(
    width=st.integers(1, 40).map(lambda n: 8 * n),
    most=st.integers(1, 12),
    classes=st.integers(2, 400),
    layers=st.integers(1, 3),
)
def test_no_other_size_is_nearer_to_the_parameters_of_bert(
    name: HeadName, width: int, most: int, classes: int, layers: int
) -> None:
    options = HeadOptions(head=name, layers=layers)
    target = parameters_with_classifier(
        lambda: build_head(replace(options, head="bert"), width, most, classes), classes
    )

    def size(hidden: int) -> int:
        return parameters_with_classifier(
            lambda: build_head(replace(options, hidden=hidden), width, most, classes), classes
        )

    hidden = matched_hidden(
        lambda value: build_head(replace(options, hidden=value), width, most, classes), classes, target
    )
    found = abs(size(hidden) - target)
    assert found <= abs(size(hidden + 1) - target) and (hidden == 1 or found <= abs(size(hidden - 1) - target))
    with torch.device("meta"):
        default = build_head(options, width, most, classes)
    assert sum(p.numel() for p in default.parameters()) + (default.width + 1) * classes == size(hidden)  # type: ignore


def test_the_published_sizes_of_the_table() -> None:
    """ResNeXt-101 with FRMB on HMDB51 (sheet, section 5): millions of each head, beside the 47.38 of bert."""
    published = {"tgap": 44.22, "concat": 44.30, "lstm": 47.58, "concat-fc": 47.45}
    hidden = {"lstm": 450, "concat-fc": 1550}
    bert = parameters_with_classifier(lambda: build_head(HeadOptions(), 512, 4, 51), 51)
    assert bert == 3_155_456 + 513 * 51
    for name, millions in published.items():
        options = HeadOptions(head=name, hidden=hidden.get(name))  # type: ignore[arg-type]
        found = parameters_with_classifier(lambda: build_head(options, 512, 4, 51), 51)  # noqa: B023 - called at once
        assert (found - bert) / 1e6 == pytest.approx(millions - 47.38, abs=0.011), name


def test_matched_sizes_are_a_little_below_the_published_ones() -> None:
    """The paper rounded its own up, to 450 units and 1550: rivals of slightly more parameters than bert."""
    target = parameters_with_classifier(lambda: build_head(HeadOptions(), 512, 4, 51), 51)
    assert matched_hidden(lambda size: LstmHead(512, size), 51, target) == 434
    assert matched_hidden(lambda size: ConcatHead(512, 4, size), 51, target) == 1515


def test_a_given_width_is_kept() -> None:
    assert build_head(HeadOptions(head="lstm", hidden=450), 512, 4, 51).width == 450
    assert build_head(HeadOptions(head="concat", hidden=7), 16, 4, 51).width == 64, "it has no hidden layer"
