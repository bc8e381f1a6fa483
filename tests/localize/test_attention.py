"""Banded attention against the vector and against a dense twin with a mask."""

from __future__ import annotations

import pytest
import torch

from kinoscope.localize.attention import local_attention


def dense_twin(query, key, value, mask, window):
    """The definition, row by row of a full T × T matrix."""
    batch, _, length, width = query.shape
    logits = query @ key.transpose(-1, -2) / width**0.5
    logits = logits + torch.where(mask, 0.0, -1e4)[:, None, None, :]
    if window > 1:
        for i in range(length):
            for j in range(length):
                if abs(i - j) > window // 2:
                    logits[:, :, i, j] = -torch.inf
    out = logits.softmax(-1) @ value
    for video in range(batch):
        out[video, :, ~mask[video]] = 0
    return out


def test_vector(vectors):
    group = vectors("localization")["vectors"]["local_attention"]
    case = group["cases"][0]
    query, key, value = (torch.tensor(case["inputs"][name], dtype=torch.float64)[None, None] for name in "qkv")
    mask = torch.tensor(case["inputs"]["valid"]).bool()[None]
    out = local_attention(query, key, value, mask, case["inputs"]["window"])[0, 0]
    torch.testing.assert_close(
        out, torch.tensor(case["expected"]["out"], dtype=torch.float64), atol=group["tolerance"], rtol=0
    )


@pytest.mark.parametrize("window", [-1, 1, 2, 3, 4, 5, 9, 19])
@pytest.mark.parametrize("length", [1, 2, 5, 16, 17, 31, 32, 50, 67])
def test_equals_the_dense_twin_at_any_length(window, length):
    torch.manual_seed(length)
    query, key, value = torch.randn(3, 2, 3, length, 4, dtype=torch.float64)
    mask = torch.arange(length)[None] < torch.tensor([[length], [max(1, length // 2)]])
    out = local_attention(query, key, value, mask, window)
    torch.testing.assert_close(out, dense_twin(query, key, value, mask, window), atol=1e-12, rtol=0)


@pytest.mark.parametrize("window", [2, 4, 8])
def test_an_even_window_acts_as_the_next_odd_one(window):
    query, key, value = torch.randn(3, 1, 1, 40, 4, dtype=torch.float64)
    mask = torch.ones(1, 40, dtype=torch.bool)
    assert torch.equal(
        local_attention(query, key, value, mask, window), local_attention(query, key, value, mask, window + 1)
    )


@pytest.mark.parametrize("valid", [0, 1, 37])
def test_gradients_are_finite_and_equal_the_twin_s(valid):
    torch.manual_seed(0)
    tensors = [torch.randn(1, 1, 37, 3, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    mask = torch.arange(37)[None] < valid
    grads = []
    for function in (local_attention, dense_twin):
        (function(*tensors, mask, 5) * torch.arange(3.0)).sum().backward()
        grads.append([tensor.grad.clone() for tensor in tensors])
        for tensor in tensors:
            tensor.grad = None
    for ours, twin in zip(*grads, strict=True):
        assert torch.isfinite(ours).all()
        torch.testing.assert_close(ours, twin, atol=1e-12, rtol=0)


def test_memory_grows_with_length_and_not_with_its_square():
    """The largest tensor that one call makes, in numbers, at two lengths."""

    def largest(length: int) -> int:
        from torch.utils._python_dispatch import TorchDispatchMode

        sizes = []

        class Sizes(TorchDispatchMode):
            def __torch_dispatch__(self, func, types, args=(), kwargs=None):
                out = func(*args, **(kwargs or {}))
                sizes.extend(
                    t.numel() for t in (out if isinstance(out, tuple) else (out,)) if isinstance(t, torch.Tensor)
                )
                return out

        query, key, value = torch.randn(3, 1, 2, length, 4)
        with Sizes():
            local_attention(query, key, value, torch.ones(1, length, dtype=torch.bool), 9)
        return max(sizes)

    assert largest(4096) <= 2.1 * largest(2048)
