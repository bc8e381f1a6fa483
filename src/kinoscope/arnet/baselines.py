"""What AR-Net is compared with, trained on the same looks with the same effort.

Every one looks at all candidate frames; what differs is through which networks, and how their answers become one.

Letters: B videos, T candidate frames, K classes, L backbones, C channels of a feature, D of a state.

Source: AR-Net sheet, section 8 (exact definitions) and 9 (why the baseline must be tuned again).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import OptionError
from ..video import open_video
from .actions import Actions
from .candidates import candidates
from .costs import CostTable, Spent
from .engine import DECODE, POLICY
from .network import ArNet, FrameClassifier, Policy, combine
from .networks import Networks
from .options import ArNetOptions, ArNetTraining
from .stages import Inputs, VideoTask, features_of, right

Baseline = Literal["uniform", "uniform-2", "uniform-3", "lstm", "random", "multi-scale", "scsampler"]
BASELINES: tuple[Baseline, ...] = get_args(Baseline)
_TOP = 10 / 16
"""Share of the frames that SCSampler keeps."""


class Uniform(nn.Module):
    """One backbone on all frames: the mean of its logits. ``uniform`` takes the largest, the others smaller ones."""

    def __init__(self, part: FrameClassifier, name: str, number: int) -> None:
        super().__init__()
        self.part, self.name, self.which = part, name, (number,)

    def forward(self, inputs: Inputs) -> Tensor:
        """Shape: see :data:`.stages.Inputs` -> [B, K]."""
        return self.part.classify(features_of(self.part, self.name, inputs[0])).mean(dim=1)


class Recurrent(nn.Module):
    """LSTM: features of the largest backbone, a cell, a linear layer at every step; the mean over the steps."""

    which = (0,)

    def __init__(self, part: FrameClassifier, name: str, classes: int, hidden: int) -> None:
        super().__init__()
        self.part, self.name = part, name
        width = part.last.in_features
        self.rnn, self.last = nn.LSTMCell(width, hidden), nn.Linear(hidden, classes)

    def forward(self, inputs: Inputs) -> Tensor:
        """Shape: see :data:`.stages.Inputs` -> [B, K]."""
        features = features_of(self.part, self.name, inputs[0])  # [B, T, C]
        seen = self.part.dropout((features - self.part.center) / self.part.scale)
        zero = seen.new_zeros(len(seen), self.rnn.hidden_size)
        state, found = (zero, zero), []
        for t in range(seen.shape[1]):
            state = self.rnn(seen[:, t], state)
            found.append(self.last(state[0]))  # [B, K]
        return torch.stack(found, dim=1).mean(dim=1)


class _AllNetworks(nn.Module):
    """The networks of AR-Net, every one on every frame."""

    def __init__(self, network: ArNet, names: Sequence[str]) -> None:
        super().__init__()
        self.network, self.names, self.which = network, tuple(names), tuple(range(len(names)))

    def answers(self, inputs: Inputs) -> Tensor:
        """Logits of every backbone and, last, of the policy. Shape: -> [B, T, L + 1, K]."""
        network = self.network
        parts = zip(network.backbones, self.names, inputs, strict=False)
        found = [part.classify(features_of(part, name, seen)) for part, name, seen in parts]  # type: ignore[arg-type,operator]
        features, own = features_of(network.policy, self.names[-1], inputs[-1]), []
        state = network.policy.start(len(features))
        for t in range(features.shape[1]):
            state, _, classes = network.policy.step(features[:, t], state)
            own.append(classes)
        return torch.stack((*found, torch.stack(own, dim=1)), dim=2)


class MultiScale(_AllNetworks):
    """Every frame through all networks; the mean of all predictions."""

    def forward(self, inputs: Inputs) -> Tensor:
        """Shape: see :data:`.stages.Inputs` -> [B, K]."""
        return self.answers(inputs).mean(dim=(1, 2))


class RandomChoice(_AllNetworks):
    """An action for each frame by chance, all alike, in training and in use; a skip drops its own frame alone.

    In use the draws are those of a fixed generator, so that scores can be repeated.
    """

    def forward(self, inputs: Inputs) -> Tensor:
        """Shape: see :data:`.stages.Inputs` -> [B, K]."""
        answers = self.answers(inputs)
        count = self.network.available.count
        if self.training:
            drawn = torch.randint(count, answers.shape[:2])  # [B, T]
        else:
            drawn = random_actions(count, answers.shape[1]).expand(answers.shape[0], -1)
        drawn = drawn.to(answers.device)
        return combine(answers, F.one_hot(drawn, count).to(answers.dtype))


def random_actions(count: int, frames: int) -> Tensor:
    """What RANDOM does in use with videos of so many candidate frames. Shape: [1, T]."""
    return torch.randint(count, (1, frames), generator=torch.Generator().manual_seed(0))


class Sampler(nn.Module):
    """SCSampler: a small network scores all frames by its largest logit; the largest backbone answers the best ones.

    Each learns alone, as one on all frames.
    """

    def __init__(
        self, part: FrameClassifier, name: str, number: int, scorer: FrameClassifier, scorer_name: str
    ) -> None:
        super().__init__()
        self.part, self.name, self.scorer, self.scorer_name = part, name, scorer, scorer_name
        self.which = (0, number)

    def forward(self, inputs: Inputs) -> Tensor:
        """Shape: see :data:`.stages.Inputs` -> [B, K]."""
        logits = self.part.classify(features_of(self.part, self.name, inputs[0]))  # [B, T, K]
        scores = self.scorer.classify(features_of(self.scorer, self.scorer_name, inputs[1]))  # [B, T, K]
        if self.training:  # the sum of two losses is that of each by itself
            return torch.stack((logits.mean(dim=1), scores.mean(dim=1)))  # [2, B, K]
        chosen = best_frames(scores)  # [B, k]
        return logits.gather(1, chosen.unsqueeze(-1).expand(-1, -1, logits.shape[-1])).mean(dim=1)


def best_frames(scores: Tensor) -> Tensor:
    """The frames with the largest of all logits. Shape: [B, T, K] -> [B, k]."""
    return scores.amax(dim=-1).topk(max(1, round(_TOP * scores.shape[1])), dim=1).indices


class BaselineTask(VideoTask):
    """Training of a baseline by cross-entropy."""

    def __init__(self, network: nn.Module, *more: Any, rate: float) -> None:
        super().__init__(network, *more, rate=rate, which=network.which)  # type: ignore[arg-type]

    def loss(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Cross-entropy; of two networks the sum."""
        logits, labels = self.networks["network"](batch["inputs"]), batch["labels"]
        several = logits if logits.ndim == 3 else logits[None]  # [n, B, K]
        loss = torch.stack([F.cross_entropy(each, labels) for each in several]).sum()
        return {"loss": loss, "accuracy": right(several[0], labels)}

    def judge(self, inputs: Inputs) -> tuple[Tensor, dict[str, float]]:
        """See :class:`.stages.VideoTask`."""
        return self.networks["network"](inputs), {}


def build_baseline(kind: Baseline, options: ArNetOptions, classes: int, nets: Sequence[nn.Module]) -> nn.Module:
    """A baseline with fresh heads.

    Args:
        nets: networks of frames, or what stands in their place, in the order of ``options.views``.

    Raises:
        OptionError: an unknown one, or one that there is no backbone for.
    """
    names = [name for name, _ in options.views]
    if kind.startswith("uniform"):
        number = int(kind.partition("-")[2] or 1) - 1
        if number >= len(options.sizes):
            raise OptionError(f"{kind} needs {number + 1} backbones, but there are {len(options.sizes)}")
        return Uniform(FrameClassifier(nets[number], classes, options.dropout), names[number], number)
    if kind == "lstm":
        return Recurrent(FrameClassifier(nets[0], classes, options.dropout), names[0], classes, options.hidden)
    if kind == "scsampler":
        part, scorer = (FrameClassifier(nets[number], classes, options.dropout) for number in (0, -1))
        return Sampler(part, names[0], len(names) - 1, scorer, names[-1])
    actions = options.actions
    policy = Policy(nets[-1], classes, actions.count, options.hidden, options.dropout)
    backbones = [FrameClassifier(net, classes, options.dropout) for net in nets[:-1]]
    if kind == "multi-scale":
        return MultiScale(ArNet(policy, backbones, actions), names)
    if kind == "random":
        return RandomChoice(ArNet(policy, backbones, actions), names)
    raise OptionError(f"there is no baseline {kind!r}", cure=f"one of: {', '.join(BASELINES)}")


def heads_of(network: nn.Module, views: int) -> list[nn.Module | None]:
    """The heads of a baseline by the view that each looks at."""
    heads: list[nn.Module | None] = [None] * views
    if isinstance(network, _AllNetworks):
        return [*network.network.backbones, network.network.policy]
    heads[network.which[0]] = network.part  # type: ignore[index,assignment]
    if isinstance(network, Sampler):
        heads[network.which[1]] = network.scorer
    return heads


def baseline_cost(kind: Baseline, costs: CostTable, actions: Actions, frames: int) -> float:
    """GMAC of a video."""
    if kind.startswith("uniform"):
        return frames * costs.backbones[int(kind.partition("-")[2] or 1) - 1]
    if kind == "lstm":
        return frames * costs.backbones[0]
    if kind == "multi-scale":
        return frames * (sum(costs.backbones) + costs.policy)
    if kind == "random":
        return frames * (sum(costs.backbones) / actions.count + costs.policy)
    return round(_TOP * frames) * costs.backbones[0] + frames * costs.policy


class DenseRunner:
    """Looks at videos as a baseline does, on the clock: frames are decoded once, each network sees all of its frames
    at once.

    Args:
        kind: which one.
        network: trained, with heads alone; its networks of frames are those of ``networks``.
        networks: compute.
        costs: of a frame.
        options: which networks see what.
    """

    def __init__(
        self, kind: Baseline, network: nn.Module, networks: Networks, costs: CostTable, options: ArNetOptions
    ) -> None:
        self.kind, self.network, self.networks = kind, network.eval(), networks
        self.costs, self.options, self.actions = costs, options, options.actions

    @torch.inference_mode()
    def look(self, path: Path, segments: int, part: tuple[float, float] | None = None) -> tuple[Tensor, Spent]:
        """Logits of a video [K], and what it took."""
        began = time.perf_counter()
        seconds = dict.fromkeys((DECODE, POLICY, *self.networks.names), 0.0)
        which: tuple[int, ...] = self.network.which  # type: ignore[assignment]
        views: dict[int, list[np.ndarray]] = {number: [] for number in which}
        sizes = [size for _, size in self.options.views]
        taken = self._drawn(segments)
        with open_video(path) as video:
            glass = self.networks.glass(video.stored_size, video.rotation)
            kept = []
            with video.picker() as pick:
                for position in candidates(video, segments, part).tolist():
                    kept.append(pick(position))
                decoded = pick.decoded
            for number in which:
                if self.kind == "scsampler" and number == 0:
                    continue  # scaled when it is known which are wanted
                every = taken is None or number == self.actions.own
                wanted = range(segments) if every else np.flatnonzero(taken == number).tolist()
                views[number] = [glass.view(kept[t], sizes[number]) for t in wanted]
            seconds[DECODE] = time.perf_counter() - began
            inputs = {number: self._features(number, views[number], seconds) for number in which if views[number]}
            if self.kind == "scsampler":
                chosen = best_frames(self.network.scorer.classify(inputs[which[1]]))[0].tolist()  # type: ignore[union-attr,operator]
                begin = time.perf_counter()
                views[0] = [glass.view(kept[t], sizes[0]) for t in sorted(chosen)]
                seconds[DECODE] += time.perf_counter() - begin
                inputs[0] = self._features(0, views[0], seconds)
        logits = self._answer(inputs, taken)
        used = tuple(len(views.get(number, ())) for number in range(len(sizes)))
        policy = 0 if self.kind in ("lstm", *(k for k in BASELINES if k.startswith("uniform"))) else segments
        gmac = self.costs.gmac(policy, used[:-1])
        took = time.perf_counter() - began
        return logits.float().cpu(), Spent(segments, policy, used, decoded, gmac, seconds, took)

    def _answer(self, inputs: Mapping[int, Tensor], taken: np.ndarray | None) -> Tensor:
        """Shape: features of each view [1, n, C] -> [K]."""
        if self.kind == "scsampler":
            return self.network.part.classify(inputs[0]).mean(dim=1)[0]  # type: ignore[union-attr,operator]
        if taken is None:
            which: tuple[int, ...] = self.network.which  # type: ignore[assignment]
            return self.network([inputs[number] for number in which])[0]
        rows = [
            self.network.network.backbones[number].classify(inputs[number])[0]  # type: ignore[union-attr,index]
            for number in range(self.actions.own)
            if number in inputs
        ]
        own, policy = torch.from_numpy(np.flatnonzero(taken == self.actions.own)), self.network.network.policy  # type: ignore[union-attr]
        state, answers = policy.start(1), []  # type: ignore[union-attr,operator]
        for t in range(len(taken)):
            state, _, classes = policy.step(inputs[len(self.options.views) - 1][:, t], state)  # type: ignore[union-attr,operator]
            answers.append(classes)
        every = torch.cat([*rows, torch.cat(answers)[own]])
        return every.mean(dim=0) if len(every) else every.new_zeros(every.shape[1])

    def _drawn(self, segments: int) -> np.ndarray | None:
        """Actions of RANDOM. Shape: [T]."""
        return random_actions(self.actions.count, segments)[0].numpy() if self.kind == "random" else None

    def _features(self, number: int, views: list[np.ndarray], seconds: dict[str, float]) -> Tensor:
        """Shape: n of [S, S, 3] -> [1, n, C]."""
        begin = time.perf_counter()
        features = self.networks.features(number, np.stack(views))
        name = self.networks.names[number] if number < len(self.networks.names) else POLICY
        seconds[name] += time.perf_counter() - begin
        return features[None]


def tuned_rates(training: ArNetTraining) -> tuple[float, ...]:
    """Learning rates that are tried for each baseline."""
    return tuple(training.single_rate * factor for factor in (1 / 3, 1.0, 3.0))
