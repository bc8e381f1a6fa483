"""The official AR-Net once more, in float64 from official tensors, by their names and without any of our modules."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

State = dict[str, Tensor]

# where MobileNetV2 halves the frame: the first block of these among features.1 … features.17
_HALVING = (2, 4, 7, 14)
# blocks whose input and output are alike, and are added
_ADDED = (3, 5, 6, 8, 9, 10, 12, 13, 15, 16)


def norm(x: Tensor, w: State, name: str) -> Tensor:
    parts = (w[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
    return F.batch_norm(x, *parts, training=False, eps=1e-5)


def slow_resnet(x: Tensor, w: State, prefix: str) -> Tensor:
    """Frames [N, 3, S, S] → features [N, C]: basic blocks, or bottlenecks where there is a third convolution."""
    x = norm(F.conv2d(x, w[f"{prefix}.conv1.weight"], stride=2, padding=3), w, f"{prefix}.bn1").relu()
    x = F.max_pool2d(x, 3, stride=2, padding=1)
    for stage in (1, 2, 3, 4):
        number = 0
        while f"{prefix}.layer{stage}.{number}.conv1.weight" in w:
            name = f"{prefix}.layer{stage}.{number}"
            stride = 2 if stage > 1 and number == 0 else 1
            if f"{name}.conv3.weight" in w:
                y = norm(F.conv2d(x, w[f"{name}.conv1.weight"]), w, f"{name}.bn1").relu()
                y = norm(F.conv2d(y, w[f"{name}.conv2.weight"], stride=stride, padding=1), w, f"{name}.bn2").relu()
                y = norm(F.conv2d(y, w[f"{name}.conv3.weight"]), w, f"{name}.bn3")
            else:
                y = norm(F.conv2d(x, w[f"{name}.conv1.weight"], stride=stride, padding=1), w, f"{name}.bn1").relu()
                y = norm(F.conv2d(y, w[f"{name}.conv2.weight"], padding=1), w, f"{name}.bn2")
            if f"{name}.downsample.0.weight" in w:
                x = norm(F.conv2d(x, w[f"{name}.downsample.0.weight"], stride=stride), w, f"{name}.downsample.1")
            x = (x + y).relu()
            number += 1
    return x.mean(dim=(2, 3))


def slow_mobilenet(x: Tensor, w: State, prefix: str = "lite_backbone.features") -> Tensor:
    """Frames [N, 3, S, S] → features [N, 1280]."""
    x = norm(F.conv2d(x, w[f"{prefix}.0.0.weight"], stride=2, padding=1), w, f"{prefix}.0.1").clamp(0, 6)
    for number in range(1, 18):
        name, y, place = f"{prefix}.{number}.conv", x, 0
        if number > 1:  # the first does not widen
            y = norm(F.conv2d(y, w[f"{name}.0.0.weight"]), w, f"{name}.0.1").clamp(0, 6)
            place = 1
        depthwise = w[f"{name}.{place}.0.weight"]
        stride = 2 if number in _HALVING else 1
        y = F.conv2d(y, depthwise, stride=stride, padding=1, groups=len(depthwise))
        y = norm(y, w, f"{name}.{place}.1").clamp(0, 6)
        y = norm(F.conv2d(y, w[f"{name}.{place + 1}.weight"]), w, f"{name}.{place + 2}")
        x = x + y if number in _ADDED else y
    x = norm(F.conv2d(x, w[f"{prefix}.18.0.weight"]), w, f"{prefix}.18.1").clamp(0, 6)
    return x.mean(dim=(2, 3))


def slow_policy(frames: Tensor, official: State) -> tuple[Tensor, Tensor]:
    """Frames [B, T, 3, S, S] → policy logits [B, T, 7] and class logits [B, T, K], by the LSTM's equations."""
    w = {name: tensor.double() for name, tensor in official.items()}
    width = w["rnn.weight_hh"].shape[1]
    hidden = cell = torch.zeros(len(frames), width, dtype=torch.float64)
    actions, classes = [], []
    for t in range(frames.shape[1]):
        x = slow_mobilenet(frames[:, t].double(), w)
        gates = x @ w["rnn.weight_ih"].T + w["rnn.bias_ih"] + hidden @ w["rnn.weight_hh"].T + w["rnn.bias_hh"]
        entering, forgetting, new, leaving = gates.split(width, dim=1)
        cell = forgetting.sigmoid() * cell + entering.sigmoid() * new.tanh()
        hidden = leaving.sigmoid() * cell.tanh()
        actions.append(hidden @ w["linear.weight"].T + w["linear.bias"])
        classes.append(hidden @ w["lite_fc.weight"].T + w["lite_fc.bias"])
    return torch.stack(actions, dim=1), torch.stack(classes, dim=1)


def slow_backbone(number: int, frames: Tensor, official: State) -> Tensor:
    """Frames [N, 3, S, S] → class logits [N, K]."""
    w = {name: tensor.double() for name, tensor in official.items()}
    features = slow_resnet(frames.double(), w, f"base_model_list.{number}")
    return features @ w[f"new_fc_list.{number}.weight"].T + w[f"new_fc_list.{number}.bias"]
