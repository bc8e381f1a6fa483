"""TriDet: the vector of its boundaries, slow twins of its layers, and padding that does or does not matter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from kinoscope.errors import OptionError
from kinoscope.localize.decode import decode_level
from kinoscope.localize.layers import ChannelNorm
from kinoscope.localize.loss import diou_loss, sigmoid_focal_loss
from kinoscope.localize.options import DecodeOptions, TriDetOptions
from kinoscope.localize.pieces import can_be_cut
from kinoscope.localize.train_options import LocalizeTrainOptions
from kinoscope.localize.tridet import (
    MaskedGroupNorm,
    SgpBlock,
    TriDet,
    TriDetLoss,
    intersection_over_union,
    trident_offsets,
)


def tiny(**changes) -> TriDetOptions:
    values = {"width": 8, "heads": 2, "stem_blocks": 1, "branch_blocks": 2, "mlp_width": 12, "norm_groups": 2}
    return TriDetOptions(6, 3, **{**values, "bins": 4, "branch_scale": 0.5, "drop_path": 0.0, **changes})


def randomised(options: TriDetOptions) -> TriDet:
    torch.manual_seed(0)
    model = TriDet(options).double().eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.4)
    return model


def test_vector(vectors):
    group = vectors("localization")["vectors"]["trident_decode"]
    inputs, expected = group["cases"][0]["inputs"], group["cases"][0]["expected"]
    start, end, centre = (torch.tensor(inputs[name], dtype=torch.float64)[None] for name in ("start", "end", "center"))
    found = trident_offsets(start, end, centre)[0]  # [K, T, 2]
    wanted = torch.tensor(expected["offsets"], dtype=torch.float64)
    torch.testing.assert_close(found, wanted, atol=group["tolerance"], rtol=0)


def test_boundaries_are_those_of_a_loop():
    generator = torch.Generator().manual_seed(0)
    bins, rows = 3, 6
    start, end = torch.randn(2, 2, 4, rows, generator=generator, dtype=torch.float64)
    centre = torch.randn(2, rows, 2 * (bins + 1), generator=generator, dtype=torch.float64)
    found = trident_offsets(start, end, centre)
    for b in range(2):
        for k in range(4):
            for t in range(rows):
                before = [float(start[b, k, p]) if p >= 0 else 0.0 for p in range(t - bins, t + 1)]
                after = [float(end[b, k, p]) if p < rows else 0.0 for p in range(t, t + bins + 1)]
                left = np.exp(np.array(before) + centre[b, t, : bins + 1].numpy())
                right = np.exp(np.array(after) + centre[b, t, bins + 1 :].numpy())
                expected = [
                    sum((bins - i) * left[i] for i in range(bins + 1)) / left.sum(),
                    sum(i * right[i] for i in range(bins + 1)) / right.sum(),
                ]
                np.testing.assert_allclose(found[b, k, t], expected, atol=1e-12)
    assert (found >= 0).all() and (found <= bins).all()


@pytest.mark.parametrize("clean", [False, True])
def test_layer_is_its_formula(clean):
    torch.manual_seed(0)
    block = SgpBlock(tiny(mask_clean=clean, drop_path=0.0), 1).double().eval()
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.5)
    x, mask = torch.randn(1, 8, 7, dtype=torch.float64), torch.ones(1, 1, 7).bool()
    z = nn.functional.layer_norm(x.transpose(1, 2), (8,)).transpose(1, 2) * block.ln.weight + block.ln.bias
    f = block.fc.weight[:, 0] * z + block.fc.bias[:, None]
    phi = torch.relu(block.global_fc.weight[:, 0] * z.mean(2, keepdim=True) + block.global_fc.bias[:, None])
    out = f * phi + (block.convw(z) + block.convkw(z)) * block.psi(z) + z
    y = x + block.drop_path_out.scale * out
    normed = nn.functional.group_norm(y, 2, block.gn.weight, block.gn.bias)
    wanted = y + block.drop_path_mlp.scale * block.mlp(normed)
    torch.testing.assert_close(block(x, mask)[0], wanted)
    assert block.convkw.kernel_size == (11,)  # the published kernel for w = 1, k = 5


def test_padding_matters_only_as_released():
    x = torch.randn(1, 13, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    padded = torch.cat([x, torch.full((1, 9, 6), 7.0)], dim=1)
    mask = torch.arange(22)[None] < 13
    for clean in (True, False):
        model = randomised(tiny(mask_clean=clean))
        alone, with_padding = model(x, mask[:, :13]), model(padded * (1 if clean else mask[..., None]), mask)
        same = [
            torch.allclose(ours, theirs[:, : ours.shape[1]], atol=1e-9)
            for one, other in zip(alone, with_padding, strict=True)
            for ours, theirs in zip(one, other, strict=True)
        ]
        assert all(same) if clean else not any(same)
    assert not can_be_cut(randomised(tiny()))  # a mean over time sees everything


def test_masked_group_norm_is_the_norm_of_what_is_valid():
    norm = MaskedGroupNorm(2, 4, clean=True).double()
    x = torch.randn(1, 4, 6, dtype=torch.float64)
    mask = (torch.arange(6) < 4)[None, None]
    wanted = nn.functional.group_norm(x[..., :4], 2)
    torch.testing.assert_close(norm(x, mask), nn.functional.pad(wanted, (0, 2)))


def test_released_kernels_never_learn_and_ours_do():
    options = LocalizeTrainOptions(head="tridet")
    for std, learns in ((0.0, False), (0.1, True)):
        torch.manual_seed(0)
        model = TriDet(tiny(sgp_std=std))
        loss = TriDetLoss(model.options, options)
        mask = torch.ones(2, 16).bool()
        segments, labels = [torch.tensor([[3.0, 9.0]])] * 2, [torch.tensor([1])] * 2
        losses = loss.of(model(torch.randn(2, 16, 6), mask), mask, segments, labels)
        losses["loss"].backward()
        block = model.backbone.stem[0]
        assert all(bool(conv.weight.grad.any()) == learns for conv in (block.psi, block.convkw, block.fc))
        assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("gradient", [False, True])
def test_loss_is_its_slow_twin(gradient):
    generator = torch.Generator().manual_seed(0)
    options = tiny(quality_gradient=gradient)
    loss = TriDetLoss(options, LocalizeTrainOptions(head="tridet", normaliser=7.0)).double().eval()
    logits = torch.randn(1, 5, 3, generator=generator, dtype=torch.float64)
    offsets = torch.rand(1, 5, 3, 2, generator=generator, dtype=torch.float64).requires_grad_()
    targets, wanted = torch.zeros(1, 5, 3).double(), torch.rand(1, 5, 2, generator=generator, dtype=torch.float64)
    targets[0, 1, 0] = targets[0, 2, 2] = targets[0, 2, 1] = targets[0, 4, 0] = 1
    mask = torch.tensor([[True, True, True, True, False]])
    found = loss(logits, offsets, mask, targets, wanted)
    classes = boundaries = 0.0
    for p in range(4):
        for k in range(3):
            term = sigmoid_focal_loss(logits[0, p, k], targets[0, p, k])
            if targets[0, p, k]:
                term = term * intersection_over_union(offsets[0, p, k], wanted[0, p]) ** 0.2
                boundaries = boundaries + diou_loss(offsets[0, p, k], wanted[0, p])
            classes = classes + term
    assert found["class_loss"].item() == pytest.approx(classes.item() / 7)
    assert found["offset_loss"].item() == pytest.approx(boundaries.item() / 7)
    assert found["positives"] == 2
    slope = torch.autograd.grad(found["class_loss"], offsets, allow_unused=True)[0] if gradient else None
    assert gradient == found["class_loss"].requires_grad and (slope is None or slope.any())


def test_a_prediction_that_misses_has_no_infinite_slope():
    missed = torch.zeros(1, 2, requires_grad=True)
    quality = intersection_over_union(missed, torch.tensor([[1.0, 2.0]])) ** 0.2
    assert torch.autograd.grad(quality.sum(), missed)[0].isfinite().all()


def test_each_class_is_decoded_with_its_own_offsets():
    points = torch.tensor([[8.0, 0, 99, 4]])
    offsets = torch.tensor([[[0.5, 0.25], [1.0, 2.0]]])
    segments, _, labels = decode_level(points, torch.tensor([[2.0, 1.0]]), offsets, torch.ones(1), DecodeOptions())
    assert segments.tolist() == [[6.0, 9.0], [4.0, 16.0]] and labels.tolist() == [0, 1]


def test_gradients():
    torch.manual_seed(0)
    block = SgpBlock(tiny(), 2).double()
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.5)
    mask = (torch.arange(6) < 5)[None, None]
    x = torch.randn(1, 8, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda y: block(y, mask)[0], x)
    inputs = [torch.randn(1, 2, 5), torch.randn(1, 2, 5), torch.randn(1, 5, 6)]
    assert torch.autograd.gradcheck(trident_offsets, [each.double().requires_grad_() for each in inputs])


def test_boundary_responses_do_not_shape_the_features():
    model = TriDet(tiny()).train()
    x = torch.randn(1, 9, 6)
    model.reg_head.offset_head.conv.weight.data.zero_()
    sum(offsets.square().sum() for _, offsets in model(x, torch.ones(1, 9).bool())).backward()
    assert model.reg_head.start_head.cls_head.conv.weight.grad.any()
    grads = [parameter.grad for parameter in model.backbone.parameters()]
    assert all(grad is None or not grad.any() for grad in grads)


def test_noise_is_for_training_only():
    model = TriDet(tiny(noise=1.0))
    x, mask = torch.randn(1, 9, 6), torch.ones(1, 9).bool()
    assert not torch.equal(model(x, mask)[0][0], model(x, mask)[0][0])
    model.eval()
    assert torch.equal(model(x, mask)[0][0], model(x, mask)[0][0])


def test_options():
    released = TriDetOptions.thumos()
    assert (released.bins, released.wide_kernel, released.mlp_width, released.levels) == (16, 11, 768, 6)
    assert isinstance(SgpBlock(replace(tiny(), mask_clean=False), 2).ln, ChannelNorm)
    for bad in ({"bins": 0}, {"sgp_kernel": 2}, {"norm_groups": 3}, {"noise": -1.0}):
        with pytest.raises(OptionError):
            tiny(**bad)
