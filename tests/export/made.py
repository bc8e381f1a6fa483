"""Small networks to export, and inputs for them, in no time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from kinoscope.bert3d.network import Recognizer, build_classifier
from kinoscope.bert3d.options import HeadName, HeadOptions
from kinoscope.encoders.backbones import build_backbone
from kinoscope.export.exportable import Exportable, folded

from ..encoders import tiny

CLASSES = ("sit down", "stand up", "hand – shake", "\u5012\u308c\u308b", "wave", "point")
WIDTH, TOKENS, SIZE = 32, 4, 32
SPEC = replace(tiny.CLIPS, clip_length=16, size=SIZE)


def head(name: HeadName = "bert", *, places: int = 1, free: bool = False, seed: int = 0) -> Exportable:
    """The head of a recogniser; its tokens are made of the pixels of a clip, whatever they are."""
    torch.manual_seed(seed)
    classifier = build_classifier(
        HeadOptions(head=name, heads=4, slow_width=WIDTH // 2), WIDTH, TOKENS, len(CLASSES), places
    )
    perturb(classifier)
    shape = (1, TOKENS, WIDTH) if places == 1 else (1, TOKENS, places, places, WIDTH)

    def prepare(clip: np.ndarray) -> Tensor:
        generator = torch.Generator().manual_seed(int(clip.sum()))
        return torch.randn(shape, generator=generator)

    most = TOKENS if free else None
    return Exportable(name, "head", folded(classifier), SPEC, prepare, "tokens", "logits", CLASSES, most)


def whole(backbone: str = "r2plus1d-18", *, width: float = 1 / 16, seed: int = 0) -> Exportable:
    """A recogniser of clips."""
    torch.manual_seed(seed)
    network = build_backbone(backbone, width=width).eval()
    with torch.no_grad():
        maps = network(torch.zeros(1, 3, SPEC.clip_length, SIZE, SIZE))  # [1, C, N, h, w]
    classifier = build_classifier(HeadOptions(heads=4), maps.shape[1], maps.shape[2], len(CLASSES))
    perturb(classifier)
    recognizer = Recognizer(network, classifier)
    return Exportable(backbone, "whole", folded(recognizer), SPEC, prepare, "clip", "logits", CLASSES)


def prepare(clip: np.ndarray) -> Tensor:
    """[T, S, S, 3] uint8 -> [1, 3, T, S, S]."""
    return (torch.from_numpy(clip)[None].movedim(-1, 1).float() - 127.5) / 127.5


def clips(count: int, seed: int = 0) -> list[np.ndarray]:
    """Clips of noise. Shape of each: [T, S, S, 3], uint8."""
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (SPEC.clip_length, SIZE, SIZE, 3), np.uint8) for _ in range(count)]


def perturb(network: nn.Module) -> None:
    """Move every parameter, so that none is the zero or the one it began as."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
