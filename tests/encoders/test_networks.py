"""Every encoder of the list: shapes, gradients, state; padding and pooling held against slow, obvious twins."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from kinoscope.encoders import Encoder, encoder_spec, list_encoders
from kinoscope.encoders.efficientnet_lite import Conv2dSame
from kinoscope.encoders.i3d import I3D, I3DBackbone, MaxPoolSame, Unit3D, pad_same
from kinoscope.encoders.sampling import Sampling
from kinoscope.errors import OptionError

from . import tiny

# --- every encoder -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list_encoders())
def test_every_encoder_forward_backward_saved_and_loaded(name: str, tmp_path: Path) -> None:
    spec = encoder_spec(name)
    torch.manual_seed(0)
    encoder = Encoder(spec, spec.network()).eval()
    clip = torch.randn(2, 3, 3 if spec.per_frame else 8, 40, 33, requires_grad=True)
    features = encoder(clip)
    assert features.shape == (2, spec.width) and features.dtype == torch.float32
    features.square().sum().backward()
    assert clip.grad is not None and clip.grad.abs().sum() > 0
    if spec.labels is not None:
        assert encoder.classify(features.detach()).shape == (2, len(spec.classes()))
    else:
        with pytest.raises(OptionError, match=f"{name} knows no classes"):
            encoder.classify(features)
    torch.save(encoder.state_dict(), tmp_path / "state.pt")
    again = Encoder(spec, spec.network()).eval()
    again.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert torch.equal(again(clip), features)
    assert torch.allclose(encoder(clip[:1]), features[:1], atol=1e-5)  # a batch is only a batch


@pytest.mark.parametrize("name", list_encoders())
def test_every_specification_makes_sense(name: str) -> None:
    spec = encoder_spec(name)
    assert spec.name == spec.tag == name and spec.stride <= spec.clip_length
    assert len(spec.weights.hash) == 16 and len(spec.weights.file.sha256) == len(spec.weights.file.archive_sha256) == 64
    assert spec.per_frame or Sampling().resolve(spec) == spec
    small = Sampling(size=160).resolve(spec)
    assert small.tag == f"{name}@160px" and encoder_spec(small.tag).size == 160
    assert len(set(spec.classes())) == len(spec.classes()) == (400 if spec.labels else 0)


@pytest.mark.parametrize(
    "name", ["i3d", "I3D-K400", "", "i3d-k400@", "i3d-k400@px", "i3d-k400@0px", "i3d-k400@xpx", "@"]
)
def test_unknown_names(name: str) -> None:
    if name == "i3d-k400@":
        assert encoder_spec(name).size == 224
        return
    with pytest.raises(OptionError, match="unknown encoder") as caught:
        encoder_spec(name)
    assert "i3d-k400" in (caught.value.cure or "")


@pytest.mark.parametrize(
    "choice",
    [
        Sampling(fps=0), Sampling(fps=float("nan")), Sampling(fps=float("inf")), Sampling(stride=-1), Sampling(size=0),
        Sampling(clip_length=7), Sampling(size=31), Sampling(fps=1e12), Sampling(clip_length=10**6),
        Sampling(size=10**5),
    ],
)  # fmt: skip
def test_impossible_sampling(choice: Sampling) -> None:
    with pytest.raises(OptionError, match=r"(fps|stride|size|clip_length) is "):
        choice.resolve(encoder_spec("i3d-k400"))


# --- the interface -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lead", [(), (2,)])
def test_prepare_moves_channels_and_normalises(lead: tuple[int, ...]) -> None:
    encoder = tiny.built(tiny.CLIPS)
    frames = np.random.default_rng(0).integers(0, 256, (*lead, 5, 4, 6, 3), dtype=np.uint8)
    clip = encoder.prepare(frames)
    assert clip.shape == (*lead, 3, 5, 4, 6) and clip.dtype == torch.float32
    expected = (np.moveaxis(frames, -1, -4).astype(np.float64) - 127.5) / 127.5
    np.testing.assert_allclose(clip.numpy(), expected, atol=1e-6)
    assert torch.equal(encoder.prepare(torch.from_numpy(frames)), clip)
    assert float(encoder.prepare(np.full((1, 1, 1, 3), 255, np.uint8)).max()) == 1.0


def test_frames_are_averaged_and_their_change_is_per_frame() -> None:
    frames = torch.randn(2, 4, 6)
    torch.testing.assert_close(tiny.built(tiny.FRAMES).pool(frames), frames.mean(dim=1))
    pooled = tiny.built(tiny.CHANGE).pool(frames)
    torch.testing.assert_close(pooled[:, 6:], (frames[:, 3] - frames[:, 0]) / 3)
    assert not tiny.built(tiny.CHANGE).pool(frames[:, :1])[:, 6:].any()


# --- TensorFlow's "SAME" padding -----------------------------------------------------------------------------------


def same_positions(size: int, kernel: int, stride: int) -> list[list[int]]:
    """Which inputs each output sees, as TensorFlow's documentation defines "SAME"; others are padding."""
    outputs = math.ceil(size / stride)
    missing = max(kernel - stride, 0) if size % stride == 0 else max(kernel - size % stride, 0)
    return [[o * stride - missing // 2 + k for k in range(kernel)] for o in range(outputs)]


def slow_conv(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """[H, W] convolved with [k, k], one output at a time."""
    rows = same_positions(x.shape[0], weight.shape[0], stride)
    columns = same_positions(x.shape[1], weight.shape[1], stride)
    result = torch.zeros(len(rows), len(columns))
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            for a, y in enumerate(row):
                for b, z in enumerate(column):
                    if 0 <= y < x.shape[0] and 0 <= z < x.shape[1]:
                        result[i, j] += x[y, z] * weight[a, b]
    return result


SIDES = st.integers(1, 9)


@settings(max_examples=60, deadline=None)
@given(SIDES, SIDES, st.integers(1, 5), st.integers(1, 3))
def test_same_convolution_equals_its_slow_twin(height: int, width: int, kernel: int, stride: int) -> None:
    layer = Conv2dSame(1, 1, kernel, stride)
    x = torch.randn(height, width)
    with torch.no_grad():
        got = layer(x[None, None])[0, 0]
        torch.testing.assert_close(got, slow_conv(x, layer.weight[0, 0], stride), atol=1e-4, rtol=1e-4)
        # three dimensions: with a kernel of one in time, each frame on its own
        unit = F.conv3d(
            pad_same(x[None, None, None], (1, kernel, kernel), (1, stride, stride)),
            layer.weight[:, :, None],
            stride=(1, stride, stride),
        )
        torch.testing.assert_close(unit[0, 0, 0], got, atol=1e-4, rtol=1e-4)


@settings(max_examples=40, deadline=None)
@given(SIDES, st.integers(1, 4), st.integers(1, 3))
def test_same_pooling_over_time_equals_its_slow_twin(frames: int, kernel: int, stride: int) -> None:
    x = torch.rand(1, 1, frames, 1, 1)
    expected = [
        max([float(x[0, 0, k, 0, 0]) for k in seen if 0 <= k < frames] or [0.0])
        for seen in same_positions(frames, kernel, stride)
    ]
    got = MaxPoolSame((kernel, 1, 1), (stride, 1, 1))(x).flatten()
    torch.testing.assert_close(got, torch.tensor(expected))


def test_a_unit_is_convolution_norm_and_relu() -> None:
    unit = Unit3D(2, 3, (3, 3, 3)).eval()
    unit.bn.running_mean.normal_()
    unit.bn.running_var.uniform_(0.5, 2)
    x = torch.randn(1, 2, 4, 5, 6)
    with torch.no_grad():
        plain = F.conv3d(x, unit.conv3d.weight, padding=1)
        scale = (unit.bn.running_var + 1e-3).rsqrt()
        expected = ((plain - unit.bn.running_mean[:, None, None, None]) * scale[:, None, None, None]).relu()
        torch.testing.assert_close(unit(x), expected, atol=1e-5, rtol=1e-5)


# --- I3D -----------------------------------------------------------------------------------------------------------


def test_the_backbone_of_i3d_is_that_of_the_published_network() -> None:
    torch.manual_seed(0)
    whole, backbone = I3D().eval(), I3DBackbone().eval()
    state = {
        name.removeprefix("features."): value for name, value in whole.state_dict().items() if "logits" not in name
    }
    backbone.load_state_dict(state)
    clip = torch.randn(1, 3, 8, 40, 33)
    with torch.no_grad():
        torch.testing.assert_close(whole(clip), backbone(clip).mean((2, 3, 4)))


@pytest.mark.parametrize("frames", [8, 16, 64])
def test_i3d_logits_equal_the_published_end(frames: int) -> None:
    """Average pool 2 × 7 × 7 with stride 1, a linear layer on each, the mean over time (at 224 px)."""
    torch.manual_seed(0)
    network = I3D(classes=7)
    maps = torch.rand(2, 1024, frames // 8, 7, 7)
    network.features = torch.nn.Sequential(_Given(maps))
    with torch.no_grad():
        ours = network.classify(network(torch.empty(2, 3, frames, 224, 224)))
        pool = (min(2, frames // 8), 7, 7)  # one frame is all that there is to pool
        published = network.logits(F.avg_pool3d(maps, pool, stride=1)).mean(dim=2)[:, :, 0, 0]
    torch.testing.assert_close(ours, published, atol=1e-5, rtol=1e-5)


class _Given(torch.nn.Module):
    """Gives the same maps whatever comes in."""

    def __init__(self, maps: Tensor) -> None:
        super().__init__()
        self.maps = maps

    def forward(self, _clip: Tensor) -> Tensor:
        return self.maps


def test_i3d_strides() -> None:
    with torch.no_grad():
        maps = I3D(classes=2).eval().features(torch.zeros(1, 3, 16, 64, 96))
    assert maps.shape == (1, 1024, 2, 2, 3)
