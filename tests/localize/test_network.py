"""The ActionFormer network against the specification's vectors, the official names, and itself with padding."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from kinoscope.errors import FeatureError, OptionError
from kinoscope.localize.layers import ChannelNorm, TransformerBlock
from kinoscope.localize.network import ActionFormer, ClassHead, OffsetHead, PositionCode, level_masks
from kinoscope.localize.options import (
    ActionFormerOptions,
    DecodeOptions,
    doubling_ranges,
    levels_for,
    options_from_dict,
)

OFFICIAL_KEYS = Path(__file__).resolve().parents[3] / "shared/papers/official_keys/actionformer.json"


def tiny(**changes) -> ActionFormerOptions:
    values = {"width": 8, "heads": 2, "stem_blocks": 1, "branch_blocks": 2, "window": 5, "branch_scale": 0.5}
    return ActionFormerOptions(6, 3, **{**values, **changes})


def randomised(options: ActionFormerOptions, seed: int = 0) -> ActionFormer:
    """A network in float64 whose biases and scales are not at their special initial values."""
    torch.manual_seed(seed)
    model = ActionFormer(options).double().eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.4)
    return model


def load(module: nn.Module, weights: dict) -> nn.Module:
    module.double().eval().load_state_dict({k: torch.tensor(v, dtype=torch.float64) for k, v in weights.items()})
    return module


def test_names_shapes_and_count_are_the_official_ones():
    if not OFFICIAL_KEYS.is_file():
        pytest.skip(f"list of official tensors not found at {OFFICIAL_KEYS}")
    model = ActionFormer(ActionFormerOptions.thumos())
    ours = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    assert ours == json.loads(OFFICIAL_KEYS.read_text())
    assert sum(parameter.numel() for parameter in model.parameters()) == 29_251_612


def test_channel_norm_vector(vectors):
    group = vectors("localization")["vectors"]["channel_layer_norm"]
    case = group["cases"][0]
    weights = {name: [[[value] for value in case["inputs"][name]]] for name in ("weight", "bias")}
    norm = load(ChannelNorm(4, clean=False), weights)
    x = torch.tensor(case["inputs"]["x"], dtype=torch.float64)[None]
    y = norm(x, torch.ones(1, 1, 3, dtype=torch.bool))[0]
    torch.testing.assert_close(
        y, torch.tensor(case["expected"]["y"], dtype=torch.float64), atol=group["tolerance"], rtol=0
    )


@pytest.mark.parametrize("clean", [False, True])
def test_pool_skip_vector(vectors, clean):
    case = vectors("localization")["vectors"]["pool_skip"]["cases"][0]
    block = TransformerBlock(1, 1, 1, stride=2, clean=clean)
    x = torch.tensor(case["inputs"]["x"])[None, None]
    mask = (torch.arange(x.shape[-1]) < case["inputs"]["valid"])[None, None]
    assert mask[..., ::2].int().flatten().tolist() == case["expected"]["mask"]
    assert block._skip(x, mask, mask[..., ::2]).flatten().tolist() == case["expected"]["after_mask"]


def test_clean_pool_does_not_see_the_padding():
    x = torch.tensor([[[-1.0, -2.0, -3.0, -4.0, -5.0, 0.0]]])
    mask = torch.tensor([[[True, True, True, True, True, False]]])
    last = {
        clean: TransformerBlock(1, 1, 1, stride=2, clean=clean)._skip(x, mask, mask[..., ::2])[0, 0, 2]
        for clean in (True, False)
    }
    assert last == {True: -4.0, False: 0.0}


@pytest.mark.parametrize("place", [0, 1])
def test_transformer_block_vector(vectors, place):
    group = vectors("localization")["vectors"]["transformer_block"]
    case = group["cases"][place]
    inputs, weights = case["inputs"], case["inputs"]["weights"]
    block = TransformerBlock(
        4, inputs["heads"], inputs["window"], stride=inputs["stride"], hidden=len(weights["mlp.0.bias"]), clean=False
    )
    load(block, weights)
    x = torch.tensor(inputs["x"], dtype=torch.float64)[None]
    y, mask = block(x, torch.tensor(inputs["mask"]).bool()[None, None])
    expected = torch.tensor(case["expected"]["y"], dtype=torch.float64)
    torch.testing.assert_close(y[0], expected, atol=group["tolerance"], rtol=0)
    assert mask[0, 0].double().tolist() == case["expected"]["mask"]


def test_heads_vector(vectors):
    group = vectors("localization")["vectors"]["heads"]
    case = group["cases"][0]
    options = ActionFormerOptions(3, 2, width=3, heads=1, branch_blocks=1, mask_clean=False)
    levels = [torch.tensor(x, dtype=torch.float64)[None] for x in case["inputs"]["feats"]]
    masks = [torch.tensor(x).bool()[None, None] for x in case["inputs"]["masks"]]
    for head, weights, expected in (
        (ClassHead(options), "cls_weights", "logits"),
        (OffsetHead(options), "reg_weights", "offsets"),
    ):
        outputs = load(head, case["inputs"][weights])(levels, masks)
        for output, wanted in zip(outputs, case["expected"][expected], strict=True):
            torch.testing.assert_close(
                output[0], torch.tensor(wanted, dtype=torch.float64), atol=group["tolerance"], rtol=0
            )


@pytest.mark.parametrize("rows", [1, 2, 3, 7, 16, 33])
@pytest.mark.parametrize("window", [1, 4, 5])
def test_any_length_and_any_padding_give_the_same_when_clean(rows, window):
    model = randomised(tiny(window=window))
    features = torch.randn(1, rows, 6, dtype=torch.float64)
    plain = model(features, torch.ones(1, rows))
    for extra in (1, 6, 40):
        padded = torch.cat([features, torch.full((1, extra, 6), torch.nan, dtype=torch.float64)], dim=1)
        mask = torch.arange(rows + extra)[None] < rows
        for level, (a, b) in enumerate(zip(plain, model(padded, mask), strict=True)):
            points = -(-rows // 2**level)
            for one, other in zip(a, b, strict=True):
                assert one.shape[1] == points
                torch.testing.assert_close(one, other[:, :points], atol=1e-10, rtol=0)
                assert not other[:, points:].any()


def test_official_behaviour_leaks_padding_but_is_the_same_beyond_one_receptive_field():
    model = randomised(tiny(mask_clean=False))
    rows = 24
    features = torch.randn(1, rows, 6, dtype=torch.float64)

    def level_0(length: int) -> torch.Tensor:
        padded = nn.functional.pad(features, (0, 0, 0, length - rows))
        return model(padded, torch.arange(length)[None] < rows)[0][0][:, :rows]

    assert not torch.allclose(level_0(rows), level_0(rows + 32))
    torch.testing.assert_close(level_0(rows + 32), level_0(rows + 64))


def test_a_batch_of_different_lengths_equals_one_at_a_time():
    model = randomised(tiny())
    features = torch.randn(3, 20, 6, dtype=torch.float64)
    lengths = [20, 1, 13]
    mask = torch.arange(20)[None] < torch.tensor(lengths)[:, None]
    together = model(features, mask)
    for video, length in enumerate(lengths):
        alone = model(features[video : video + 1, :length], torch.ones(1, length))
        for (logits, offsets), (batch_logits, batch_offsets) in zip(alone, together, strict=True):
            points = logits.shape[1]
            torch.testing.assert_close(logits[0], batch_logits[video, :points])
            torch.testing.assert_close(offsets[0], batch_offsets[video, :points])


def test_shapes_signs_prior_and_level_masks():
    model = ActionFormer(ActionFormerOptions.small(5, 4)).eval()
    mask = torch.arange(50)[None] < torch.tensor([[50], [17]])
    levels = model(torch.randn(2, 50, 5), mask)
    assert [tuple(logits.shape) for logits, _ in levels] == [(2, n, 4) for n in (50, 25, 13, 7, 4)]
    assert [tuple(offsets.shape) for _, offsets in levels] == [(2, n, 2) for n in (50, 25, 13, 7, 4)]
    assert all((offsets >= 0).all() for _, offsets in levels)
    for (logits, _), valid in zip(levels, level_masks(mask, 5), strict=True):
        assert not logits[~valid].any()
        assert logits[valid].sigmoid().mean() < 0.1  # the prior of 0.01, more or less


@pytest.mark.parametrize("clean", [True, False])
def test_backward_reaches_every_weight_and_save_load_keeps_outputs(tmp_path, clean):
    torch.manual_seed(0)
    model = ActionFormer(tiny(mask_clean=clean, offset_bias=1.0))
    mask = torch.arange(19)[None] < torch.tensor([[19], [5]])
    features = torch.randn(2, 19, 6)
    outputs = model(features, mask)
    sum(logits.square().sum() + offsets.square().sum() for logits, offsets in outputs).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    other = ActionFormer(tiny(mask_clean=clean))
    other.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    for (a, b), (c, d) in zip(model.eval()(features, mask), other.eval()(features, mask), strict=True):
        assert torch.equal(a, c)
        assert torch.equal(b, d)


def test_drop_path_keeps_the_expectation():
    torch.manual_seed(0)
    block = TransformerBlock(4, 1, 3, drop_path=0.5)
    branch = block.drop_path_attn.train()
    x = torch.ones(4000, 4, 1)
    y = branch(x)
    assert sorted(y.unique().tolist()) == pytest.approx([0.0, 2e-4])
    assert y.mean().item() == pytest.approx(1e-4, rel=0.1)


@pytest.mark.parametrize(
    ("shape", "mask"), [((1, 4, 5), (1, 4)), ((4, 6), (1, 4)), ((1, 0, 6), (1, 0)), ((1, 4, 6), (1, 3))]
)
def test_wrong_input_is_a_feature_error(shape, mask):
    with pytest.raises(FeatureError, match=r"shape"):
        ActionFormer(tiny())(torch.zeros(shape), torch.ones(mask))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"heads": 3}, "not a multiple"),
        ({"kernel": 4}, "odd"),
        ({"window": (3, 3)}, "3 levels"),
        ({"ranges": ((0, 4),)}, "3 levels"),
        ({"prior": 0.0}, "prior"),
        ({"head_layers": 0}, "head_layers"),
    ],
)
def test_impossible_options_are_refused(changes, message):
    with pytest.raises(OptionError, match=message):
        tiny(**changes)


def test_options_from_json_and_nearest_known_key():
    options = tiny(window=(5, 5, -1))
    values = json.loads(json.dumps(vars(options)))
    assert options_from_dict(ActionFormerOptions, values) == options
    with pytest.raises(OptionError, match="did you mean 'kernel'"):
        options_from_dict(ActionFormerOptions, {**values, "kernal": 3})
    with pytest.raises(OptionError, match="input_width"):
        options_from_dict(ActionFormerOptions, {"classes": 2})
    with pytest.raises(OptionError, match="method"):
        DecodeOptions(method="soft")  # type: ignore[arg-type]


def test_pyramid_fits_the_segments():
    assert doubling_ranges(6) == ((0, 4), (4, 8), (8, 16), (16, 32), (32, 64), (64, 10000))
    assert ActionFormerOptions.thumos().ranges == doubling_ranges(6)
    assert levels_for([]) == 3
    assert levels_for([8.0]) == 3
    assert levels_for([32.0]) == 3  # half is 16 = 4 · 2²
    assert levels_for([33.0]) == 4
    assert levels_for([1e9]) == 8


def test_half_precision_stays_close():
    torch.manual_seed(0)
    model = ActionFormer(tiny(offset_bias=1.0))
    features, mask = torch.randn(1, 40, 6), torch.arange(40)[None] < 30
    exact = model.eval()(features, mask)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = model(features, mask)
        sum(logits.float().sum() + offsets.float().sum() for logits, offsets in rough).backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
    for (logits, offsets), (other_logits, other_offsets) in zip(exact, rough, strict=True):
        torch.testing.assert_close(logits, other_logits.float(), atol=0.1, rtol=0.05)
        torch.testing.assert_close(offsets, other_offsets.float(), atol=0.1, rtol=0.05)


def test_a_position_code_is_added_after_the_embedding():
    code = PositionCode(6, 10)
    for place in (0, 3, 9):
        for channel in range(6):
            angle = place / 10000 ** (2 * (channel // 2) / 6)
            wave = math.sin(angle) if channel % 2 == 0 else math.cos(angle)
            assert float(code(10)[0, channel, place]) == pytest.approx(wave / math.sqrt(6), abs=1e-6)
    assert torch.equal(code(4), code(10)[..., :4])
    assert code(25).shape == (1, 6, 25)
    torch.testing.assert_close(code(20)[..., 1], 0.75 * code(10)[..., 0] + 0.25 * code(10)[..., 1])
    options = ActionFormerOptions(5, 2, width=8, branch_blocks=1, max_length=12, mask_clean=False, position_code=True)
    torch.manual_seed(0)
    told = ActionFormer(options).eval()
    plain = ActionFormer(replace(options, position_code=False)).eval()
    assert told.state_dict().keys() == plain.state_dict().keys()  # as released, the code is not stored
    plain.load_state_dict(told.state_dict())
    features, mask = torch.randn(1, 12, 5), torch.ones(1, 12)
    seen = []
    told.backbone.stem[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    plain.backbone.stem[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    mask[:, 8:] = 0
    told(features, mask), plain(features, mask)
    torch.testing.assert_close(seen[0][..., :8], seen[1][..., :8] + told.backbone.position_code(8))
    assert torch.equal(seen[0][..., 8:], seen[1][..., 8:])
