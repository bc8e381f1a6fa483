"""AR-Net: a policy that looks at every frame from afar, and a classifier for each resolution.

Dense: here every frame goes through every network, and what was not chosen does not count. Training needs that; what
saves time is :mod:`.engine`, which computes the same numbers from the chosen frames alone.

Letters: B videos, T candidate frames, A actions, K classes, L backbones, C channels of a feature, D of the state.

Source: AR-Net sheet, section 2 and 10.3 (the released code's leak of the cell state).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from .actions import Actions
from .gumbel import gumbel_noise, gumbel_softmax, log_probabilities, one_hot

StateRule = Literal["clean", "official"]
"""What the LSTM keeps on frames that are skipped: ``clean`` has not seen them; in the released code the cell has."""
Choice = Callable[[Tensor, int], Tensor]
"""Log-probabilities [B, A] at frame t -> one-hot action [B, A]."""
State = tuple[Tensor, Tensor]

_INITIAL_STD = 1e-3


class FrameClassifier(nn.Module):
    """A network of single frames and a linear layer of its own.

    Args:
        net: frames [N, 3, S, S] -> features [N, C]; it has ``width``, which is C.
        classes: K.
        dropout: before the linear layer.
    """

    center: Tensor
    scale: Tensor

    def __init__(self, net: nn.Module, classes: int, dropout: float = 0.5) -> None:
        super().__init__()
        width = int(net.width)  # type: ignore[arg-type]  # every network of frames has it
        self.net, self.dropout, self.last = net, nn.Dropout(dropout), _linear(width, classes)
        self.register_buffer("center", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))

    def classify(self, features: Tensor) -> Tensor:
        """Shape: [..., C] -> [..., K]."""
        return self.last(self.dropout((features - self.center) / self.scale))

    def forward(self, frames: Tensor) -> Tensor:
        """Shape: [N, 3, S, S] -> [N, K]."""
        return self.classify(self.net(frames))


class Policy(nn.Module):
    """Frames seen from afar → what to do with each, and an answer of its own, which knows of the frames before.

    Args:
        net: frames [N, 3, S, S] -> features [N, C].
        classes: K.
        actions: A.
        hidden: D, width of the LSTM's state.
        dropout: of the features.
    """

    center: Tensor
    scale: Tensor

    def __init__(self, net: nn.Module, classes: int, actions: int, hidden: int = 512, dropout: float = 0.5) -> None:
        super().__init__()
        width = int(net.width)  # type: ignore[arg-type]  # every network of frames has it
        self.net, self.dropout = net, nn.Dropout(dropout)
        self.rnn = nn.LSTMCell(width, hidden)
        self.actions, self.last = _linear(hidden, actions), _linear(hidden, classes)
        self.register_buffer("center", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))

    def start(self, videos: int) -> State:
        """The state before the first frame. Shape: [B, D], [B, D]."""
        zero = self.rnn.weight_hh.new_zeros(videos, self.rnn.hidden_size)
        return zero, zero

    def step(self, features: Tensor, state: State) -> tuple[State, Tensor, Tensor]:
        """One frame of each video: the state after it, action logits, class logits.

        Shape: [B, C] -> two of [B, D], [B, A], [B, K].
        """
        seen = self.dropout((features - self.center) / self.scale)
        hidden, cell = self.rnn(seen, state)
        return (hidden, cell), self.actions(hidden), self.last(hidden)

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Logits at every frame, nothing skipped. Shape: [B, T, 3, S, S] -> [B, T, A], [B, T, K]."""
        features = self.net(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])  # [B, T, C]
        state, found = self.start(len(frames)), []
        for t in range(frames.shape[1]):
            state, *logits = self.step(features[:, t], state)
            found.append(logits)
        actions, classes = zip(*found, strict=True)
        return torch.stack(actions, dim=1), torch.stack(classes, dim=1)


@dataclass(frozen=True)
class Decisions:
    """What the policy did with the frames of some videos."""

    taken: Tensor
    """One-hot actions; while training the gradient passes through. Shape: [B, T, A]."""
    consulted: Tensor
    """Whether the policy was asked. Shape: [B, T], bool."""
    own: Tensor
    """Class logits of the policy itself. Shape: [B, T, K]."""
    log_probs: Tensor
    """Of the actions. Shape: [B, T, A]."""


def decide(
    policy: Policy, features: Tensor, actions: Actions, choose: Choice, *, rule: StateRule = "clean"
) -> Decisions:
    """Let the policy go through the frames of some videos in step.

    Args:
        features: of all frames, skipped ones too. Shape: [B, T, C].
        choose: see :data:`Choice`.
        rule: see :data:`StateRule`.
    """
    videos, frames, _ = features.shape
    state = policy.start(videos)
    remain = torch.zeros(videos, dtype=torch.long, device=features.device)
    drops = torch.tensor([actions.dropped_by(each) for each in range(actions.count)], device=features.device)  # [A]
    before, steps = features.new_zeros(videos, actions.count), []
    for t in range(frames):
        asked = remain == 0  # [B]
        new, logits, own = policy.step(features[:, t], state)
        log_probs = log_probabilities(logits)
        taken = torch.where(asked[:, None], choose(log_probs, t), before)  # [B, A]
        remain = torch.where(asked, drops[taken.detach().argmax(dim=1)], remain)
        remain = (remain - 1).clamp_min(0)
        hidden = torch.where(asked[:, None], new[0], state[0])
        cell = new[1] if rule == "official" else torch.where(asked[:, None], new[1], state[1])
        state, before = (hidden, cell), taken
        steps.append((taken, asked, own, log_probs))
    parts = [torch.stack(part, dim=1) for part in zip(*steps, strict=True)]
    return Decisions(parts[0], parts[1], parts[2], parts[3])


def most_probable(bias: Tensor | float = 0.0, skip_above: float = 0.0, answers: int = 0) -> Choice:
    """The deterministic choice: argmax of log p − ``bias``.

    Args:
        bias: λ c_k for every action. Shape: [A].
        skip_above: skip only where all skips together are more probable than this.
        answers: how many actions answer; needed with ``skip_above``.
    """

    def choose(log_probs: Tensor, _t: int) -> Tensor:
        scores = log_probs - bias
        if skip_above > 0:
            doubtful = log_probs[:, answers:].exp().sum(dim=1) <= skip_above  # [B]
            scores = scores.clone()
            scores[doubtful, answers:] = -torch.inf
        return one_hot(scores)

    return choose


def sampled(tau: float) -> Choice:
    """The choice of training: straight-through Gumbel-Softmax at temperature ``tau``, noise by torch's generator."""
    return lambda log_probs, _t: gumbel_softmax(log_probs, gumbel_noise(log_probs), tau)


def combine(answers: Tensor, taken: Tensor) -> Tensor:
    """Logits of videos: the mean over the frames that were answered, of the chosen networks' logits.

    A video of which every frame was skipped has zeros. Shape: answers [B, T, L + 1, K], taken [B, T, A] -> [B, K].
    """
    used = taken[:, :, : answers.shape[2]]  # [B, T, L + 1]
    total = (used.unsqueeze(-1) * answers).sum(dim=(1, 2))  # [B, K]
    return total / used.sum(dim=(1, 2)).clamp_min(1)[:, None]


class ArNet(nn.Module):
    """The whole model.

    Args:
        policy: see :class:`Policy`.
        backbones: one for each of ``actions.sizes``.
        actions: what can be chosen.
        rule: see :data:`StateRule`.
    """

    backbones: nn.ModuleList

    def __init__(
        self, policy: Policy, backbones: Sequence[FrameClassifier], actions: Actions, rule: StateRule = "clean"
    ) -> None:
        super().__init__()
        self.policy, self.backbones = policy, nn.ModuleList(backbones)
        self.available, self.rule = actions, rule

    @property
    def classes(self) -> int:
        """K."""
        return self.policy.last.out_features

    def decide(self, features: Tensor, choose: Choice) -> Decisions:
        """See :func:`decide`. Shape: [B, T, C] -> …."""
        return decide(self.policy, features, self.available, choose, rule=self.rule)

    def answer(self, answers: Sequence[Tensor], decisions: Decisions) -> Tensor:
        """Logits of videos from those of every backbone at every frame. Shape: L of [B, T, K] -> [B, K]."""
        return combine(torch.stack((*answers, decisions.own), dim=2), decisions.taken)

    def forward(self, views: Sequence[Tensor], choose: Choice | None = None) -> tuple[Tensor, Decisions]:
        """Logits of videos and what was done with their frames.

        Args:
            views: of each frame, normalised, one for each backbone and last the policy's. Shape: [B, T, 3, S, S].
            choose: by default the most probable action.
        """
        *seen, afar = views
        features = self.policy.net(afar.flatten(0, 1)).unflatten(0, afar.shape[:2])  # [B, T, C]
        decisions = self.decide(features, choose or most_probable())
        answers = [
            backbone(view.flatten(0, 1)).unflatten(0, view.shape[:2])  # [B, T, K]
            for backbone, view in zip(self.backbones, seen, strict=True)
        ]
        return self.answer(answers, decisions), decisions


def _linear(inputs: int, outputs: int) -> nn.Linear:
    """A linear layer as AR-Net begins it: hardly any weight, no bias."""
    layer = nn.Linear(inputs, outputs)
    if not layer.weight.is_meta:
        nn.init.normal_(layer.weight, std=_INITIAL_STD)
        nn.init.zeros_(layer.bias)
    return layer
