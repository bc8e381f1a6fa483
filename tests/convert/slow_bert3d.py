"""The official networks once more, in float64 from official tensors, by their names and without any of our modules."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

State = dict[str, Tensor]


def unit(
    x: Tensor, w: State, conv: str, norm: str, eps: float, stride: Any = 1, pad: Any = 0, groups: int = 1
) -> Tensor:
    """Convolution and batch norm, written out."""
    x = F.conv3d(x, w[f"{conv}.weight"], None, stride, pad, groups=groups)
    scale = w[f"{norm}.weight"] / (w[f"{norm}.running_var"] + eps).sqrt()
    shift = w[f"{norm}.bias"] - w[f"{norm}.running_mean"] * scale
    return x * scale[:, None, None, None] + shift[:, None, None, None]


def blocks(w: State, stage: str) -> list[str]:
    count = len({name[len(stage) :].split(".")[1] for name in w if name.startswith(f"{stage}.")})
    return [f"{stage}.{number}" for number in range(count)]


# --- R(2+1)D-34, batch norms with 0.001 ---------------------------------------------------------------------------


def slow_factorised(x: Tensor, w: State, name: str, norm: str, stride: int, eps: float) -> Tensor:
    x = unit(x, w, f"{name}.0", f"{name}.1", eps, (1, stride, stride), (0, 1, 1)).relu()
    return unit(x, w, f"{name}.3", norm, eps, (stride, 1, 1), (1, 0, 0))


def slow_r2plus1d(x: Tensor, w: State, eps: float = 1e-3) -> Tensor:
    x = unit(x, w, "features.0.0", "features.0.1", eps, (1, 2, 2), (0, 3, 3)).relu()
    x = unit(x, w, "features.0.3", "features.0.4", eps, 1, (1, 0, 0)).relu()
    for stage in (1, 2, 3, 4):
        for number, name in enumerate(blocks(w, f"features.{stage}")):
            stride = 2 if stage > 1 and number == 0 else 1
            y = slow_factorised(x, w, f"{name}.conv1.0", f"{name}.conv1.1", stride, eps).relu()
            y = slow_factorised(y, w, f"{name}.conv2.0", f"{name}.conv2.1", 1, eps)
            if stride > 1:
                x = unit(x, w, f"{name}.downsample.0", f"{name}.downsample.1", eps, stride)
            x = (x + y).relu()
    return x


# --- ResNeXt-101 ---------------------------------------------------------------------------------------------------


def slow_bottleneck(x: Tensor, w: State, name: str, stride: int) -> Tensor:
    y = unit(x, w, f"{name}.conv1", f"{name}.bn1", 1e-5).relu()
    y = unit(y, w, f"{name}.conv2", f"{name}.bn2", 1e-5, stride, 1, groups=32).relu()
    y = unit(y, w, f"{name}.conv3", f"{name}.bn3", 1e-5)
    if f"{name}.downsample.0.weight" in w:
        x = unit(x, w, f"{name}.downsample.0", f"{name}.downsample.1", 1e-5, stride)
    return (x + y).relu()


def slow_resnext(x: Tensor, w: State) -> Tensor:
    x = unit(x, w, "features.0", "features.1", 1e-5, (1, 2, 2), 3).relu()
    x = F.max_pool3d(x, 3, 2, 1)
    for stage in (4, 5, 6, 7):
        for number, name in enumerate(blocks(w, f"features.{stage}")):
            x = slow_bottleneck(x, w, name, 2 if stage > 4 and number == 0 else 1)
    return slow_bottleneck(x, w, "mapper", 1) if "mapper.conv1.weight" in w else x


# --- I3D, batch norms with 0.001, padding as TensorFlow's "SAME" ----------------------------------------------------


def same_padding(x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
    pads: list[int] = []
    for size, k, s in zip(x.shape[2:], kernel, stride, strict=True):
        total = max(k - s, 0) if size % s == 0 else max(k - size % s, 0)
        pads = [total // 2, total - total // 2, *pads]
    return F.pad(x, pads)


def slow_i3d_unit(x: Tensor, w: State, name: str, stride: int = 1) -> Tensor:
    kernel = tuple(w[f"{name}.conv3d.weight"].shape[2:])
    x = same_padding(x, kernel, (stride,) * 3)
    return unit(x, w, f"{name}.conv3d", f"{name}.bn", 1e-3, stride).relu()


def slow_i3d(x: Tensor, w: State) -> Tensor:
    pools = {
        1: ((1, 3, 3), (1, 2, 2)),
        4: ((1, 3, 3), (1, 2, 2)),
        7: ((3, 3, 3), (2, 2, 2)),
        13: ((2, 2, 2), (2, 2, 2)),
    }
    for place in range(16):
        name = f"features.{place}"
        if place in pools:
            kernel, stride = pools[place]
            x = F.max_pool3d(same_padding(x, kernel, stride), kernel, stride)
        elif place in (0, 2, 3):
            x = slow_i3d_unit(x, w, name, 2 if place == 0 else 1)
        else:
            pooled = F.max_pool3d(same_padding(x, (3, 3, 3), (1, 1, 1)), 3, 1)
            parts = [slow_i3d_unit(x, w, f"{name}.b0"), pooled]
            parts[1:] = [
                slow_i3d_unit(slow_i3d_unit(x, w, f"{name}.b1a"), w, f"{name}.b1b"),
                slow_i3d_unit(slow_i3d_unit(x, w, f"{name}.b2a"), w, f"{name}.b2b"),
                slow_i3d_unit(pooled, w, f"{name}.b3b"),
            ]
            x = torch.cat(parts, 1)
    return x


# --- the head ------------------------------------------------------------------------------------------------------


def slow_norm(x: Tensor, w: State, name: str) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    deviation = (centred.square().sum(-1, keepdim=True) / (x.shape[-1] - 1)).sqrt()
    return w[f"{name}.a_2"] * centred / (deviation + 1e-6) + w[f"{name}.b_2"]


def slow_linear(x: Tensor, w: State, name: str) -> Tensor:
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def slow_head(tokens: Tensor, w: State) -> Tensor:
    """Tokens [N, C] of one clip → logits [K]."""
    x = torch.cat((w["bert.clsToken"][0], tokens)) + w["bert.embedding.learnedPosition.pe"][0, : len(tokens) + 1]
    name, size = "bert.transformer_blocks.0", x.shape[1] // 8
    y = slow_norm(x, w, f"{name}.input_sublayer.norm")
    q, k, v = (slow_linear(y, w, f"{name}.attention.linear_layers.{part}") for part in range(3))
    heads = []
    for head in range(8):
        part = slice(head * size, (head + 1) * size)
        scores = q[:, part] @ k[:, part].T / math.sqrt(size)
        heads.append(scores.softmax(-1) @ v[:, part])
    x = x + slow_linear(torch.cat(heads, -1), w, f"{name}.attention.output_linear")
    y = slow_linear(slow_norm(x, w, f"{name}.output_sublayer.norm"), w, f"{name}.feed_forward.w_1")
    y = 0.5 * y * (1 + (math.sqrt(2 / math.pi) * (y + 0.044715 * y**3)).tanh())
    x = x + slow_linear(y, w, f"{name}.feed_forward.w_2")
    return slow_linear(x[0], w, "fc_action")


def slow_official(source: str, official: State, clip: Tensor) -> Tensor:
    """Logits [B, K] of the official network ``source``."""
    w = {name: tensor.double() for name, tensor in official.items()}
    maps = {"bert3d-r2plus1d34": slow_r2plus1d, "bert3d-i3d-frmb": slow_i3d}.get(source, slow_resnext)(clip.double(), w)
    tokens = maps.mean((3, 4)).transpose(1, 2)  # [B, N, C]
    if source == "bert3d-i3d-frmb":
        tokens = tokens / tokens.square().sum(-1, keepdim=True).sqrt()
    return torch.stack([slow_head(each, w) for each in tokens])
