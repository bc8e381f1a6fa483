"""Official checkpoints: taken as they come, refused by tensor name."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from kinoscope.convert.actionformer import load_actionformer
from kinoscope.errors import WeightError
from kinoscope.localize.network import ActionFormer
from kinoscope.localize.options import ActionFormerOptions

OPTIONS = ActionFormerOptions(
    7, 3, width=8, heads=4, kernel=3, embedding_convs=1, stem_blocks=1, branch_blocks=2, window=19, mask_clean=False
)


@pytest.fixture
def weights() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {name: torch.randn_like(tensor) for name, tensor in ActionFormer(OPTIONS).state_dict().items()}


def test_sizes_are_inferred_and_outputs_are_those_of_the_weights(weights):
    model = load_actionformer(weights)
    assert replace(model.options, ranges=()) == replace(OPTIONS, ranges=())
    assert not model.training
    twin = ActionFormer(OPTIONS).eval()
    twin.load_state_dict(weights)
    features, mask = torch.randn(1, 20, 7), torch.ones(1, 20)
    levels = model(features, mask)
    assert [logits.shape[1:] for logits, _ in levels] == [(20, 3), (10, 3), (5, 3)]
    for (a, b), (c, d) in zip(levels, twin(features, mask), strict=True):
        assert torch.equal(a, c)
        assert torch.equal(b, d)
        assert (b >= 0).all()


def test_a_whole_checkpoint_gives_its_average_weights_without_prefix(weights):
    wrapped = {f"module.{name}": tensor for name, tensor in weights.items()}
    other = {name: tensor + 1 for name, tensor in wrapped.items()}
    for checkpoint in ({"epoch": 35, "state_dict": other, "state_dict_ema": wrapped}, {"state_dict": wrapped}):
        loaded = load_actionformer(checkpoint).state_dict()
        assert all(torch.equal(loaded[name], tensor) for name, tensor in weights.items())


def test_problems_are_named(weights):
    del weights["neck.fpn_norms.1.bias"]
    weights["backbone.extra"] = torch.zeros(1)
    weights["reg_head.offset_head.conv.bias"] = torch.zeros(3)
    with pytest.raises(WeightError) as caught:
        load_actionformer(weights)
    text = str(caught.value)
    assert "3 tensors do not match" in text
    assert "neck.fpn_norms.1.bias is missing" in text
    assert "backbone.extra is unknown" in text
    assert "reg_head.offset_head.conv.bias is [3], but [2] fits" in text


@pytest.mark.parametrize(
    "broken", [{}, {"weight": torch.zeros(2)}, {"state_dict": {}}, {"backbone.embd.0.conv.weight": torch.zeros(2)}]
)
def test_something_else_is_no_actionformer(broken):
    with pytest.raises(WeightError, match="ActionFormer"):
        load_actionformer(broken)


def test_impossible_sizes_are_weight_errors(weights):
    with pytest.raises(WeightError, match="heads"):
        load_actionformer(weights, heads=3)
