"""The BERT head: the specification's cases, both ways through attention, padding, other lengths, training."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from kinoscope.bert3d.head import BertHead, Block, UnbiasedLayerNorm, masked_mean, sinusoids
from kinoscope.bert3d.network import TokenClassifier
from kinoscope.encoders.reduction import Bottleneck3d
from kinoscope.errors import OptionError

from .made import lengths_mask, perturbed, tokens

Vectors = Callable[[str], dict[str, Any]]
_NAMES = {"q": "query", "k": "key", "v": "value", "o": "output", "1": "widen", "2": "narrow"}


def exact(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def fill(block: Block, weights: dict[str, Any]) -> Block:
    """The specification's weights of one layer, in a block."""
    state = {f"{name}.weight": exact(weights[f"w{short}"]) for short, name in _NAMES.items()}
    state |= {f"{name}.bias": exact(weights[f"b{short}"]) for short, name in _NAMES.items()}
    for number in "12":
        state[f"norm{number}.weight"] = exact(weights[f"ln{number}_w"])
        state[f"norm{number}.bias"] = exact(weights[f"ln{number}_b"])
    block.double().load_state_dict(state)
    return block.eval()


# --- the specification's cases -------------------------------------------------------------------------------------


def test_layer_norm_vectors(vectors: Vectors) -> None:
    group = vectors("bert3d")["vectors"]["layer_norm"]
    for case in group["cases"]:
        x, expected = exact(case["inputs"]["x"]), case["expected"]
        norm = UnbiasedLayerNorm(x.shape[-1]).double()
        torch.testing.assert_close(norm(x), exact(expected["official"]), atol=group["tolerance"], rtol=0)
        standard = F.layer_norm(x, x.shape[-1:], eps=1e-6)
        torch.testing.assert_close(standard, exact(expected["standard_biased_eps_inside"]), atol=1e-6, rtol=0)
        for width, name in ((4, "fold_factor_d4"), (512, "fold_factor_d512")):
            factor = UnbiasedLayerNorm(width).double().folded().weight[0].detach()
            assert float(factor) == pytest.approx(expected[name], abs=1e-12)


def test_gelu_vectors(vectors: Vectors) -> None:
    """Through the block: everything before and after the activation is the identity."""
    group = vectors("bert3d")["vectors"]["gelu_tanh"]
    for case in group["cases"]:
        block = Block(1, 1, norm=lambda width: nn.Identity()).double().eval()  # type: ignore[arg-type]
        with torch.no_grad():
            for parameter in block.parameters():
                parameter.zero_()
            block.widen.weight[0], block.narrow.weight[0, 0] = 1.0, 1.0
        x = exact(case["inputs"]["x"])[:, None, None]  # [B, 1, 1]
        found = (block(x) - x)[:, 0, 0]
        torch.testing.assert_close(found, exact(case["expected"]["y"]), atol=group["tolerance"], rtol=0)


def test_attention_vectors(vectors: Vectors) -> None:
    """Through the block: q, k and v lie beside each other in the channels, and projections pick them out."""
    group = vectors("bert3d")["vectors"]["scaled_dot_attention"]
    for case in group["cases"]:
        q, k, v = (exact(case["inputs"][name]) for name in "qkv")
        block = Block(2, 1).double().eval()
        keep = case["inputs"].get("key_keep")
        mask = None if keep is None else torch.tensor(keep, dtype=torch.bool)[None]
        block._projected = lambda x: [each[None, None] for each in (q, k, v)]  # type: ignore[method-assign]  # noqa: B023
        block._after_attention = lambda x, mixed: mixed[:, 0]  # type: ignore[method-assign]
        anything = torch.zeros(1, 3, 2, dtype=torch.float64)
        mixed, weights = block.attend(anything, mask)
        close = {"atol": group["tolerance"], "rtol": 0}
        torch.testing.assert_close(weights[0, 0], exact(case["expected"]["probs"]), **close)
        torch.testing.assert_close(mixed[0], exact(case["expected"]["out"]), **close)
        torch.testing.assert_close(block(anything, mask)[0], exact(case["expected"]["out"]), **close)


def test_head_vectors(vectors: Vectors) -> None:
    group = vectors("bert3d")["vectors"]["bert_head_eval"]
    close = {"atol": group["tolerance"], "rtol": 0}
    for case in group["cases"]:
        inputs, expected = case["inputs"], case["expected"]
        x = exact(inputs["frame_features"])[None]  # [1, N, C]
        head = BertHead(x.shape[2], x.shape[1], layers=len(inputs["layers"]), heads=inputs["heads"]).double().eval()
        classifier = TokenClassifier(head, x.shape[2], len(inputs["classifier_b"])).double().eval()
        with torch.no_grad():
            head.class_token.copy_(exact(inputs["cls_token"]))  # type: ignore[union-attr]
            head.positions.copy_(exact(inputs["positional"]))  # type: ignore[union-attr]
            classifier.last.weight.copy_(exact(inputs["classifier_w"]))
            classifier.last.bias.copy_(exact(inputs["classifier_b"]))
        for block, weights in zip(head.blocks, inputs["layers"], strict=True):
            fill(block, weights)  # type: ignore[arg-type]
        sequence, _ = head._embedded(x, None)
        for block in head.blocks:
            sequence = block(sequence)
        torch.testing.assert_close(sequence[0], exact(expected["sequence_out"]), **close)
        torch.testing.assert_close(head(x)[0], exact(expected["cls_out"]), **close)
        torch.testing.assert_close(classifier(x)[0], exact(expected["logits"]), **close)
        logits, weights = classifier.attend(x)
        torch.testing.assert_close(logits[0], exact(expected["logits"]), **close)
        assert weights is not None
        torch.testing.assert_close(weights[0, 0], exact(expected["layer0_attention_of_cls_per_head"]), **close)


def test_masked_block_vectors(vectors: Vectors) -> None:
    group = vectors("bert3d")["vectors"]["masked_block"]
    for case in group["cases"]:
        inputs, expected = case["inputs"], case["expected"]
        x, keep = exact(inputs["x"])[None], torch.tensor(inputs["key_keep"], dtype=torch.bool)[None]
        block = fill(Block(x.shape[2], inputs["heads"]), inputs["weights"])
        close = {"atol": group["tolerance"], "rtol": 0}
        torch.testing.assert_close(block(x, keep)[0], exact(expected["out"]), **close)
        found, weights = block.attend(x, keep)
        torch.testing.assert_close(found[0], exact(expected["out"]), **close)
        torch.testing.assert_close(weights[0, :, 0], exact(expected["attention_of_cls_per_head"]), **close)


def test_parameter_counts(vectors: Vectors) -> None:
    for case in vectors("bert3d")["vectors"]["parameter_counts"]["cases"]:
        given = case["inputs"]
        with torch.device("meta"):
            network: nn.Module
            if "d" in given:
                network = BertHead(given["d"], given["N"], layers=given["layers"], heads=given["heads"])
            else:
                network = Bottleneck3d(given["cin"], given["cout"], "batch", groups=given["groups"])
        assert sum(p.numel() for p in network.parameters()) == case["expected"]["parameters"], case["name"]


def test_names_of_parameters_are_those_that_converters_write() -> None:
    names = {name for name, _ in BertHead(8, 3, layers=2, heads=2).named_parameters()}
    parts = [f"{name}.{kind}" for name in ("norm1", "norm2", *_NAMES.values()) for kind in ("weight", "bias")]
    assert names == {"class_token", "positions", *(f"blocks.{i}.{part}" for i in range(2) for part in parts)}


# --- two ways, one answer ------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 99),
    length=st.integers(1, 9),
    heads=st.sampled_from([1, 2, 4]),
    layers=st.integers(1, 3),
    masked=st.booleans(),
    readout=st.sampled_from(["class-token", "mean"]),
)
def test_attending_gives_what_the_fused_way_gives(
    seed: int, length: int, heads: int, layers: int, masked: bool, readout: Any
) -> None:
    torch.manual_seed(seed)
    head = perturbed(BertHead(8, 4, layers=layers, heads=heads, readout=readout), seed)
    x = tokens(seed, 3, length, 8)
    mask = lengths_mask([length, max(1, length - 1), 1], length) if masked else None
    feature, weights = head.attend(x, mask)  # type: ignore[operator]
    torch.testing.assert_close(feature, head(x, mask), atol=1e-10, rtol=0)
    lead = int(readout == "class-token")
    assert weights.shape == (3, layers, heads, lead + length, lead + length)
    torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]))
    if mask is not None:
        assert (weights[..., lead:] * ~mask[:, None, None, None]).abs().max() == 0


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 99),
    lengths=st.lists(st.integers(1, 6), min_size=2, max_size=4),
    positions=st.sampled_from(["learned", "sinusoidal", "none"]),
    readout=st.sampled_from(["class-token", "mean"]),
)
def test_padding_changes_nothing(seed: int, lengths: list[int], positions: Any, readout: Any) -> None:
    head = perturbed(BertHead(8, 6, layers=2, heads=2, positions=positions, readout=readout), seed)
    x = 5 * tokens(seed, len(lengths), max(lengths), 8)
    together = head(x, lengths_mask(lengths, max(lengths)))
    for row, length in enumerate(lengths):
        torch.testing.assert_close(together[row], head(x[row : row + 1, :length])[0], atol=1e-10, rtol=0)


# --- lengths and order ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("readout", ["class-token", "mean"])
def test_a_single_token(readout: Any) -> None:
    head = perturbed(BertHead(8, 1, heads=2, readout=readout))
    assert head(tokens(0, 2, 1, 8)).shape == (2, 8) and head(tokens(0, 2, 1, 8)).isfinite().all()


def test_fewer_tokens_take_the_first_positions_and_more_are_interpolated() -> None:
    head = BertHead(2, 4, heads=1)
    with torch.no_grad():
        head.positions.copy_(torch.tensor([[9.0, 9], [0, 4], [1, 3], [2, 2], [3, 1]]))  # type: ignore[union-attr]
    assert head._positions(2, torch.empty(0)).tolist() == [[[9, 9], [0, 4], [1, 3]]]  # type: ignore[union-attr]
    stretched = head._positions(8, torch.empty(0))
    assert stretched is not None and stretched.shape == (1, 9, 2) and stretched[0, 0].tolist() == [9, 9]
    expected = [min(max((n + 0.5) / 2 - 0.5, 0), 3) for n in range(8)]  # centres of eight among those of four
    assert stretched[0, 1:, 0].tolist() == pytest.approx(expected)
    assert (stretched[0, 1:].sum(1) - 4).abs().max() < 1e-6


@pytest.mark.parametrize("positions", ["learned", "sinusoidal", "none"])
def test_only_positions_tell_the_order(positions: Any) -> None:
    head = perturbed(BertHead(8, 5, heads=2, positions=positions))
    x = tokens(1, 1, 5, 8)
    difference = (head(x) - head(x.flip(1))).abs().max()
    assert difference < 1e-12 if positions == "none" else difference > 1e-3


def test_sinusoids() -> None:
    found = sinusoids(6, 5)
    assert found.shape == (1, 6, 5) and found[0, 0].tolist() == [0, 1, 0, 1, 0]
    for place in range(6):
        for channel in range(5):
            angle = place / 10000 ** (channel // 2 * 2 / 5)
            expected = math.cos(angle) if channel % 2 else math.sin(angle)
            assert float(found[0, place, channel]) == pytest.approx(expected, abs=1e-5)


def test_the_mean_is_over_real_tokens() -> None:
    x, mask = tokens(0, 2, 4, 3), lengths_mask([4, 2], 4)
    torch.testing.assert_close(masked_mean(x, mask), torch.stack((x[0].mean(0), x[1, :2].mean(0))))
    torch.testing.assert_close(masked_mean(x, None), x.mean(1))


# --- training ------------------------------------------------------------------------------------------------------


def test_training_drops_tokens_and_never_the_class_token() -> None:
    head = BertHead(8, 10, heads=2, keep=0.8).train()
    torch.manual_seed(0)
    keep = head._embedded(torch.zeros(4000, 10, 8), None)[1]
    assert keep is not None and keep.shape == (4000, 11) and bool(keep[:, 0].all())
    share = keep[:, 1:].float().mean(0)  # [N]; a standard error is 0.0063
    assert (share - 0.8).abs().max() < 0.03
    assert head.eval()._embedded(torch.zeros(4, 10, 8), None)[1] is None
    mask = lengths_mask([3, 10], 10)
    keep = head.train()._embedded(torch.zeros(2, 10, 8), mask)[1]
    assert keep is not None and not bool((keep[:, 1:] & ~mask).any()), "padding never comes back"


def test_a_head_without_class_token_never_loses_all_tokens() -> None:
    head = BertHead(8, 2, heads=2, keep=0.01, readout="mean").train()
    torch.manual_seed(0)
    keep = head._embedded(torch.zeros(200, 2, 8), None)[1]
    assert keep is not None and bool(keep.any(dim=1).all()) and head(torch.randn(200, 2, 8)).isfinite().all()


@pytest.mark.parametrize("keep", [1.0, 0.6])
def test_dropped_tokens_keep_their_own_path(keep: float) -> None:
    """Every token of a sequence that nobody may look at still passes through: gradients reach all inputs."""
    head = BertHead(8, 4, heads=2, keep=keep, readout="mean").train()
    x = torch.randn(16, 4, 8, requires_grad=True)
    head(x).sum().backward()
    assert x.grad is not None and bool((x.grad.abs().sum(-1) > 0).all())


def test_dropout_is_everywhere_inside() -> None:
    x = tokens(0, 64, 5, 32, dtype=torch.float32)
    torch.manual_seed(0)
    head = BertHead(32, 5, heads=4, dropout=0.5, keep=1.0)
    first, second = head(x), head(x)
    assert not torch.equal(first, second) and 0.4 < float((first == 0).float().mean()) < 0.6  # the block's output
    assert torch.equal(head.eval()(x), head(x))
    head = BertHead(32, 5, heads=4, dropout=0.0, keep=1.0).train()
    assert torch.equal(head(x), head(x))


def test_initialisations() -> None:
    torch.manual_seed(0)
    framework = 1 / math.sqrt(3 * 256)  # of a uniform spread of 1 / √C
    for kind, tokens_spread, linear_spread in (("bert5", 0.02, framework), ("bert2", 256**-0.5, 0.02)):
        head = BertHead(256, 40, initialization=kind)  # type: ignore[arg-type]
        assert head.class_token is not None and head.positions is not None
        assert float(head.positions.detach().std()) == pytest.approx(tokens_spread, rel=0.05)
        assert float(head.class_token.detach().std()) == pytest.approx(tokens_spread, rel=0.3)
        for block in head.blocks:
            assert float(block.query.weight.detach().std()) == pytest.approx(linear_spread, rel=0.05)  # type: ignore[union-attr]
            assert (not block.query.bias.any()) == (kind == "bert2")  # type: ignore[union-attr,operator]


def test_a_folded_norm_is_the_same_function() -> None:
    norm = perturbed(UnbiasedLayerNorm(64))
    x = tokens(3, 40, 64) * torch.logspace(-1, 3, 40, dtype=torch.float64)[:, None]
    torch.testing.assert_close(norm.folded()(x), norm(x), atol=1e-5, rtol=1e-5)  # type: ignore[operator]


@pytest.mark.parametrize("training", [True, False])
def test_half_precision_with_masks_is_finite(training: bool) -> None:
    torch.manual_seed(0)
    head = BertHead(16, 6, heads=2).to(torch.bfloat16).train(training)
    x = torch.randn(3, 6, 16, dtype=torch.bfloat16, requires_grad=True)
    feature = head(x, lengths_mask([6, 3, 1], 6))
    feature.sum().backward()
    assert feature.dtype == torch.bfloat16 and feature.isfinite().all()
    assert x.grad is not None and x.grad.isfinite().all()


def test_sizes_that_do_not_go_together() -> None:
    with pytest.raises(OptionError, match="8 heads do not divide 12 channels"):
        BertHead(12, 4)
    for tokens_, layers in ((0, 1), (4, 0)):
        with pytest.raises(OptionError, match="must be at least 1"):
            BertHead(8, tokens_, layers=layers)
