"""Public backbones once more, in float64 from released tensors, by their names and without any of our modules."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.convert.slow_bert3d import State, slow_i3d, slow_r2plus1d, slow_resnext, unit


def twice_averaged(maps: Tensor) -> Tensor:
    """Mean over pools of 2 steps. Shape: [B, C, N, H, W] -> [B, C]."""
    pooled = F.avg_pool3d(maps, (min(2, maps.shape[2]), *maps.shape[3:]), stride=1)
    return pooled.mean((2, 3, 4))


def slow_s3d(x: Tensor, w: State) -> Tensor:
    """torchvision's, with its batch norms' 0.001."""

    def one(x: Tensor, name: str, stride: int = 1) -> Tensor:
        _, _, t, height, _ = w[f"{name}.0.weight"].shape
        strides = (stride, 1, 1) if t > 1 else (1, stride, stride)
        return unit(x, w, f"{name}.0", f"{name}.1", 1e-3, strides, (t // 2, height // 2, height // 2)).relu()

    def two(x: Tensor, name: str, stride: int = 1) -> Tensor:
        return one(one(x, f"{name}.0", stride), f"{name}.1", stride)

    pools = {1: ((1, 3, 3), (1, 2, 2), (0, 1, 1)), 4: ((1, 3, 3), (1, 2, 2), (0, 1, 1)), 7: (3, 2, 1), 13: (2, 2, 0)}
    for place in range(16):
        name = f"features.{place}"
        if place in pools:
            x = F.max_pool3d(x, *pools[place])  # type: ignore[arg-type]
        elif place in (0, 3):
            x = two(x, name, 2 if place == 0 else 1)
        elif place == 2:
            x = one(x, name)
        else:
            branches = [one(x, f"{name}.branch0")]
            branches += [two(one(x, f"{name}.branch{b}.0"), f"{name}.branch{b}.1") for b in (1, 2)]
            branches.append(one(F.max_pool3d(x, 3, 1, 1), f"{name}.branch3.1"))
            x = torch.cat(branches, 1)
    return twice_averaged(x) @ w["classifier.1.weight"].flatten(1).T + w["classifier.1.bias"]


def slow_slowfast(clip: Tensor, w: State) -> Tensor:
    """facebookresearch's, of a clip of which the pathways take every 8th and every 2nd frame."""
    ways = [clip[:, :, ::8], clip[:, :, ::2]]
    for p, x in enumerate(ways):
        t = w[f"s1.pathway{p}_stem.conv.weight"].shape[2]
        x = unit(x, w, f"s1.pathway{p}_stem.conv", f"s1.pathway{p}_stem.bn", 1e-5, (1, 2, 2), (t // 2, 3, 3)).relu()
        ways[p] = F.max_pool3d(x, (1, 3, 3), (1, 2, 2), (0, 1, 1))
    for stage in (2, 3, 4, 5):
        fuse = f"s{stage - 1}_fuse"
        lateral = unit(ways[1], w, f"{fuse}.conv_f2s", f"{fuse}.bn", 1e-5, (4, 1, 1), (3, 0, 0)).relu()
        ways[0] = torch.cat((ways[0], lateral), 1)
        for p in (0, 1):
            for number in range((3, 4, 6, 3)[stage - 2]):
                stride = (1, 2, 2) if stage > 2 and number == 0 else (1, 1, 1)
                ways[p] = slow_residual(ways[p], w, f"s{stage}.pathway{p}_res{number}", stride)
    feature = torch.cat([x.mean((2, 3, 4)) for x in ways], 1)
    return feature @ w["head.projection.weight"].T + w["head.projection.bias"]


def slow_residual(x: Tensor, w: State, name: str, stride: tuple[int, int, int]) -> Tensor:
    t = w[f"{name}.branch2.a.weight"].shape[2]
    y = unit(x, w, f"{name}.branch2.a", f"{name}.branch2.a_bn", 1e-5, 1, (t // 2, 0, 0)).relu()
    y = unit(y, w, f"{name}.branch2.b", f"{name}.branch2.b_bn", 1e-5, stride, (0, 1, 1)).relu()
    y = unit(y, w, f"{name}.branch2.c", f"{name}.branch2.c_bn", 1e-5)
    if f"{name}.branch1.weight" in w:
        x = unit(x, w, f"{name}.branch1", f"{name}.branch1_bn", 1e-5, stride)
    return (x + y).relu()


def as_features(w: State, first: int, stem: dict[str, str]) -> State:
    """Names of a plain release as the official recognisers number them: ``layer1`` → ``features.{first}``."""
    renamed = {}
    for name, tensor in w.items():
        part, rest = name.split(".", 1)
        place = stem.get(part) or (f"features.{int(part[5]) + first - 1}" if part.startswith("layer") else part)
        renamed[f"{place}.{rest}"] = tensor
    return renamed


def slow_released(source: str, released: State, clip: Tensor) -> Tensor:
    """Logits [B, K] of the released network ``source``."""
    w, clip = {name: tensor.double() for name, tensor in released.items()}, clip.double()
    if source == "s3d-torchvision":
        return slow_s3d(clip, w)
    if source == "slowfast-50":
        return slow_slowfast(clip, w)
    if source == "i3d-pytorch":
        row = ("1a", "", "2b", "2c", "", "3b", "3c", "", "4b", "4c", "4d", "4e", "4f", "", "5b", "5c")
        parts = {name: name.split(".", 1) for name in w if not name.startswith("logits")}
        renamed = {f"features.{row.index(layer.split('_')[1])}.{rest}": w[n] for n, (layer, rest) in parts.items()}
        feature = twice_averaged(slow_i3d(clip, renamed))
        return feature @ w["logits.conv3d.weight"].flatten(1).T + w["logits.conv3d.bias"]
    if source == "resnext3d-101-kinetics":
        maps = slow_resnext(clip, as_features(w, 4, {"conv1": "features.0", "bn1": "features.1"}))
    else:
        maps = slow_r2plus1d(clip, as_features(w, 1, {"stem": "features.0"}), 1e-3 if "34" in source else 1e-5)
    return maps.mean((2, 3, 4)) @ w["fc.weight"].T + w["fc.bias"]
