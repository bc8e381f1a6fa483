"""What the knobs of a trained model cost, and how good its answers are then: measured once, kept with the model.

Source: AR-Net sheet, section 11 (λ fitted on held-out videos; the number of frames is the second knob).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..data.labelled_clips import LabelledClip
from .costs import CostTable
from .looks import Looks
from .network import Decisions, combine, most_probable
from .spending import Setting, frontier
from .stages import Evaluate, Joint, features_of

BIASES = (-16.0, -8.0, -4.0, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
"""λ times the cost of the largest backbone, in nats: how much less probable that one becomes."""
_AT_ONCE = 16


def segments_tried(segments: int) -> tuple[int, ...]:
    """Numbers of candidate frames that the curve is measured at."""
    return tuple(sorted({max(1, segments // 4), max(1, segments // 2), segments, 2 * segments}))


@torch.no_grad()
def dense_answers(network: Joint, looks: Looks, clips: Sequence[LabelledClip], segments: int) -> tuple[Tensor, Tensor]:
    """What every network says of every candidate frame: features of the policy [M, T, C], logits [M, T, L, K]."""
    device, features, logits = next(network.parameters()).device, [], []
    for first in range(0, len(clips), _AT_ONCE):
        views = [looks.evaluate(clip, segments) for clip in clips[first:][:_AT_ONCE]]
        inputs = [torch.from_numpy(np.stack(each)).to(device) for each in zip(*views, strict=True)]
        features.append(features_of(network.network.policy, network.names[-1], inputs[-1]).cpu())
        parts = zip(network.network.backbones, network.names, inputs, strict=False)
        answers = [part.classify(features_of(part, name, seen)) for part, name, seen in parts]  # type: ignore[arg-type,operator]
        logits.append(torch.stack(answers, dim=2).cpu())  # [m, T, L, K]
    return torch.cat(features), torch.cat(logits)


@torch.no_grad()
def measure_curve(
    network: Joint,
    looks: Looks,
    clips: Sequence[LabelledClip],
    evaluate: Evaluate,
    costs: CostTable,
    segments: Sequence[int],
) -> list[Setting]:
    """Every setting that no cheaper one equals, cheapest first.

    Args:
        clips: not learned from, where there are any.
        evaluate: logits [M, K] -> ``score`` and ``loss``.
        segments: see :func:`segments_tried`.
    """
    network = network.cpu().eval()
    actions, per_action = network.network.available, costs.per_action(network.network.available)
    found = []
    for count in segments:
        features, logits = dense_answers(network, looks, clips, count)
        for bias in (each / max(costs.backbones) for each in BIASES):
            decisions = network.network.decide(features, most_probable(bias * per_action))
            used = decisions.taken[:, :, : actions.answers].sum(dim=1)  # [M, L + 1]
            consulted = decisions.consulted.sum(dim=1).float()  # [M]
            gmac = consulted * costs.policy + (used[:, :-1] * torch.tensor(costs.backbones)).sum(dim=1)  # [M]
            scores = evaluate(guarded(logits, decisions))
            found.append(
                Setting(
                    frames=count,
                    bias=bias,
                    score=scores["score"],
                    loss=scores["loss"],
                    gmac=float(gmac.mean()),
                    consulted=float(consulted.mean()),
                    used=tuple(used.mean(dim=0).tolist()),
                )
            )
    return frontier(found)


def guarded(logits: Tensor, decisions: Decisions) -> Tensor:
    """Logits of videos as in use: where every frame was skipped, the policy's own answer to the last one it saw.

    Shape: of the backbones [M, T, L, K] -> [M, K].
    """
    answers = torch.cat((logits, decisions.own.unsqueeze(2)), dim=2)  # [M, T, L + 1, K]
    combined = combine(answers, decisions.taken)
    nothing = decisions.taken[:, :, : answers.shape[2]].sum(dim=(1, 2)) == 0  # [M]
    last = decisions.consulted.shape[1] - 1 - decisions.consulted.flip(1).float().argmax(dim=1)  # [M]
    own = decisions.own[torch.arange(len(last)), last]  # [M, K]
    return torch.where(nothing[:, None], own, combined)
