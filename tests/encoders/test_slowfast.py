"""Two pathways over one clip: which frames each sees, how their steps meet, early and late."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from kinoscope.encoders.slowfast import Fusion, SlowFast, in_steps, pathways

WIDTH = 0.125


def pair() -> tuple[SlowFast, SlowFast]:
    """The early and the late form with the same weights."""
    torch.manual_seed(0)
    early, late = SlowFast(WIDTH).eval(), SlowFast(WIDTH, late=True).eval()
    late.load_state_dict(early.state_dict())
    return early, late


def test_shapes_of_the_paper() -> None:
    with torch.device("meta"):
        clip = torch.empty(1, 3, 64, 224, 224)
        assert SlowFast()(clip).shape == (1, 2048 + 256, 8, 7, 7)
        assert SlowFast(late=True)(clip).shape == (1, 2048 + 4 * 256, 8, 7, 7)
        assert SlowFast(reduction="frab")(clip).shape == (1, 512 + 128, 8, 7, 7)
        assert SlowFast(reduction="frab", late=True)(clip).shape == (1, 512 + 4 * 256, 8, 7, 7)


@pytest.mark.parametrize("frames", [8, 9, 16, 23, 32])
def test_the_early_form_is_the_mean_of_the_late_one(frames: int) -> None:
    early, late = pair()
    clip = torch.randn(2, 3, frames, 32, 32)
    with torch.no_grad():
        whole, kept = early(clip), late(clip)
    slow, steps = kept[:, : late.slow_width], kept[:, late.slow_width :]
    mean = steps.reshape(2, 4, late.fast_width, *steps.shape[2:]).mean(1)
    torch.testing.assert_close(whole, torch.cat((slow, mean), dim=1), atol=1e-5, rtol=1e-5)


def test_which_frames_are_seen() -> None:
    network, _ = pair()
    clip = torch.randn(1, 3, 16, 32, 32)
    with torch.no_grad():
        maps = network(clip)
        odd = clip.clone()
        odd[:, :, 1::2] += 1  # no pathway sees these
        assert torch.equal(network(odd), maps)
        even = clip.clone()
        even[:, :, 6] += 1  # only the fast one does; by way of the fusions so does the slow one
        assert not torch.equal(network.fast_stem(even[:, :, ::2]), network.fast_stem(clip[:, :, ::2]))
        assert torch.equal(network.slow_stem(even[:, :, ::8]), network.slow_stem(clip[:, :, ::8]))
        assert not torch.equal(network(even)[:, : network.slow_width], maps[:, : network.slow_width])


def slow_steps(fast: Tensor) -> Tensor:
    """One number at a time: step s of slow step n is fast step 4n + s, or the last there is."""
    batch, channels, count, height, width = fast.shape
    found = torch.empty(batch, channels, -(-count // 4), 4, height, width)
    for n in range(found.shape[2]):
        for s in range(4):
            found[:, :, n, s] = fast[:, :, min(4 * n + s, count - 1)]
    return found


@pytest.mark.parametrize("count", [1, 4, 5, 7, 8, 11])
def test_fast_steps_by_slow_ones(count: int) -> None:
    fast = torch.randn(2, 3, count, 2, 2)
    assert torch.equal(in_steps(fast), slow_steps(fast))


def test_pathways_come_apart_in_the_order_of_time() -> None:
    fast, slow = torch.randn(2, 5, 12), torch.randn(2, 6, 3)  # [B, C', 4N], [B, C, N]
    stacked = in_steps(fast[..., None, None]).movedim(3, 1).flatten(1, 2)[..., 0, 0]  # [B, 4C', N], as in the network
    tokens = torch.cat((slow, stacked), dim=1).transpose(1, 2)  # [B, N, C + 4C']
    first, second = pathways(tokens, 6)
    assert torch.equal(first, slow.transpose(1, 2)) and torch.equal(second, fast.transpose(1, 2))


@pytest.mark.parametrize("steps", [4, 5, 8, 13])
def test_a_fusion_has_the_steps_of_the_slow_pathway(steps: int) -> None:
    fusion = Fusion(8, "batch").eval()
    slow, fast = torch.randn(1, 4, -(-steps // 4), 2, 2), torch.randn(1, 8, steps, 2, 2)
    joined = fusion(slow, fast)
    assert joined.shape == (1, 4 + 16, *slow.shape[2:]) and torch.equal(joined[:, :4], slow)
