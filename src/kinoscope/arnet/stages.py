"""The three stages of training, as the loop sees them: backbones alone, all together, backbones under a policy that
stays.

Letters: B videos, T candidate frames, A actions, K classes, L backbones.

Source: AR-Net sheet, sections 4 and 5; 10.11 (a frozen policy that still changes there, and does not here).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, AdamW
from torch.optim import Optimizer as TorchOptimizer

from ..data.hold_out import Ints
from ..data.labelled_clips import LabelledClip
from ..encoders.image_nets import image_net
from ..engine import Task
from ..engine.best import BestWeights
from ..errors import KinoscopeError
from .actions import Actions
from .gumbel import temperature
from .looks import Looks, Views
from .loss import efficiency_loss, total_loss
from .network import ArNet, Choice, FrameClassifier, Policy, most_probable, sampled
from .options import ArNetOptions, ArNetTraining

Evaluate = Callable[[Tensor], dict[str, float]]
"""Logits of the validation clips [M, K] -> scores; ``score`` chooses the best epoch."""
Inputs = Sequence[Tensor]
"""For each network: features [B, T, C], or pixels [B, T, S, S, 3]."""

_MOMENTUM = 0.9
_AT_ONCE = 16  # validation clips
NO_BACKBONE = "no backbone"
"""In the place of an action: nearly every frame is skipped, or answered by the policy itself."""
_COLLAPSED, _PATIENCE = 0.95, 3


class CollapseWarning(UserWarning):
    """A policy that does the same thing with nearly every frame."""


def features_of(part: FrameClassifier | Policy, name: str, inputs: Tensor) -> Tensor:
    """Features as they are, or those of pixels. Shape: [B, T, C] or [B, T, S, S, 3] -> [B, T, C]."""
    if inputs.ndim == 3:
        return inputs
    return part.net(image_net(name).prepare(inputs.flatten(0, 1))).unflatten(0, inputs.shape[:2])


class Single(nn.Module):
    """One backbone alone: the mean of its logits over all frames.

    Args:
        part: it.
        name: of its network of frames.
    """

    def __init__(self, part: FrameClassifier, name: str) -> None:
        super().__init__()
        self.part, self.name = part, name

    def forward(self, inputs: Tensor) -> Tensor:
        """Shape: see :data:`Inputs` -> [B, K]."""
        return self.part.classify(features_of(self.part, self.name, inputs)).mean(dim=1)


class Joint(nn.Module):
    """The whole model on what training sees.

    Args:
        network: it.
        names: of its networks of frames, the policy's last.
    """

    def __init__(self, network: ArNet, names: Sequence[str]) -> None:
        super().__init__()
        self.network, self.names = network, tuple(names)

    def forward(self, inputs: Inputs, choose: Choice) -> tuple[Tensor, Tensor, Tensor]:
        """Logits [B, K], actions as one-hot [B, T, A], and whether the policy was consulted [B, T]."""
        policy = self.network.policy
        decisions = self.network.decide(features_of(policy, self.names[-1], inputs[-1]), choose)
        answers = [
            part.classify(features_of(part, name, seen))  # type: ignore[arg-type,operator]  # they are FrameClassifiers
            for part, name, seen in zip(self.network.backbones, self.names, inputs, strict=False)
        ]
        return self.network.answer(answers, decisions), decisions.taken, decisions.consulted


class VideoTask(Task):
    """What all stages share: samples of looks, cross-entropy, the best weights.

    Args:
        network: learns.
        looks: at all clips.
        clips: to learn from, with their ``labels`` [N].
        held: validation clips, scored by ``evaluate``.
        rate: learning rate of what is new.
        which: numbers of the networks whose inputs are needed.
    """

    def __init__(
        self,
        network: nn.Module,
        looks: Looks,
        clips: Sequence[LabelledClip],
        labels: Ints,
        held: Sequence[LabelledClip],
        evaluate: Evaluate,
        training: ArNetTraining,
        *,
        rate: float,
        which: Sequence[int],
    ) -> None:
        self.looks, self.clips, self.labels, self.held = looks, list(clips), labels, list(held)
        self.evaluate, self.training, self.which = evaluate, training, list(which)
        self.networks = {"network": network.train()}  # what an earlier stage gave does not learn any more
        self._best: BestWeights | None = None
        if self.held and training.select == "best":
            self._best = self.networks["best"] = BestWeights(network)  # type: ignore[assignment]
        self.optimizers = {"network": _optimizer(network, training, rate)}

    @property
    def answer(self) -> nn.Module:
        """The network that counts, on the CPU, in evaluation mode."""
        network = self._best.network if self._best is not None else self.networks["network"]
        return getattr(network, "module", network).cpu().eval()

    def __len__(self) -> int:
        return len(self.clips) * (self.training.passes or 1)

    def describe(self, index: int) -> str:
        """The clip's name."""
        return self.clips[index % len(self.clips)].name

    def sample(self, index: int, rng: np.random.Generator) -> tuple[Views, int]:
        """One view of a clip, and its class."""
        number = index % len(self.clips)
        views = self.looks.sample(self.clips[number], rng)
        return [views[each] for each in self.which], int(self.labels[number])

    def collate(self, samples: list[tuple[Views, int]]) -> dict[str, Any]:
        """Shape: inputs, see :data:`Inputs`; labels [B]."""
        views = [torch.from_numpy(np.stack(each)) for each in zip(*(views for views, _ in samples), strict=True)]
        return {"inputs": views, "labels": torch.tensor([label for _, label in samples])}

    def schedule(self, step: int, total: int) -> float:
        """Factor on the rates."""
        if self.training.schedule == "constant":
            return 1.0
        return 0.5 * (1 + math.cos(math.pi * step / max(1, total)))

    def validate(self) -> dict[str, float]:
        """Scores on the validation clips; the weights are kept if they are the best so far.

        Raises:
            KinoscopeError: answers that are NaN or infinite.
        """
        if not self.held:
            return {}
        logits, figures = self.look_at_held()
        if not bool(logits.isfinite().all()):
            raise KinoscopeError("answers to validation clips are no finite numbers", cure="lower the learning rates")
        scores = self.evaluate(logits)
        if self._best is not None:
            network = self.networks["network"]
            self._best.keep(getattr(network, "module", network), scores["score"])
        return {f"validation_{name}": value for name, value in {**scores, **figures}.items()}

    @torch.no_grad()
    def look_at_held(self) -> tuple[Tensor, dict[str, float]]:
        """Logits of the validation clips [M, K], and other figures."""
        network, found, more = self.networks["network"], [], []
        training = network.training
        network.eval()
        device = next(network.parameters()).device
        for first in range(0, len(self.held), _AT_ONCE):
            views = [self.looks.evaluate(clip, self.looks.options.segments) for clip in self.held[first:][:_AT_ONCE]]
            inputs = [torch.from_numpy(np.stack([view[each] for view in views])).to(device) for each in self.which]
            logits, figures = self.judge(inputs)
            found.append(logits.float().cpu())
            more.append((len(views), figures))
        network.train(training)
        count = sum(number for number, _ in more)
        names = more[0][1]
        return torch.cat(found), {name: sum(n * figures[name] for n, figures in more) / count for name in names}

    def judge(self, inputs: Inputs) -> tuple[Tensor, dict[str, float]]:
        """Logits [B, K] as in use, and figures to average."""
        raise NotImplementedError

    def settings(self) -> dict[str, Any]:
        """What, beside the loop's options, decides the result."""
        names = [clip.name for clip in self.clips]
        return {**self.training.identity(), "clips": [names, self.labels.tolist()], "held_out": len(self.held)}


class SingleTask(VideoTask):
    """The first stage; ``which`` is the number of the backbone."""

    def __init__(self, network: Single, *more: Any, which: int) -> None:
        training: ArNetTraining = more[-1]
        super().__init__(network, *more, rate=training.single_rate, which=[which])

    def loss(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Cross-entropy of the mean logits."""
        logits = self.networks["network"](batch["inputs"][0])
        return {"loss": F.cross_entropy(logits, batch["labels"]), "accuracy": right(logits, batch["labels"])}

    def judge(self, inputs: Inputs) -> tuple[Tensor, dict[str, float]]:
        """See :class:`VideoTask`."""
        return self.networks["network"](inputs[0]), {}


class JointTask(VideoTask):
    """The second stage; with ``tunes`` the third.

    Args:
        costs: c_k of every action, in what L_flops counts. Shape: [A].
        options: which networks see what.
        tunes: the policy stays as it is, to the last bit.
        more: see :class:`VideoTask`.
    """

    def __init__(self, network: Joint, costs: Tensor, options: ArNetOptions, *more: Any, tunes: bool = False) -> None:
        looks, clips, labels, held, evaluate, training = more
        if tunes:
            network.network.policy.requires_grad_(False)
        rate = training.tune_rate if tunes else training.joint_rate
        which = range(len(options.views))
        super().__init__(network, looks, clips, labels, held, evaluate, training, rate=rate, which=which)
        self.costs, self.tunes, self.actions = costs, tunes, options.actions
        self._epoch = 0
        self._watch = self.networks["watch"] = _Watch()

    @property
    def collapse(self) -> str | None:
        """What nearly every frame ended with, if it is one thing: an action, or :data:`NO_BACKBONE`."""
        names = (*self.actions.names, NO_BACKBONE)
        return names[int(self._watch.action)] if int(self._watch.epochs) >= _PATIENCE else None

    @property
    def tau(self) -> float:
        """Temperature of the epoch at hand; the third stage goes on where the second ended."""
        training = self.training
        decay = math.log(training.tau_end / training.tau) / max(1, training.joint_epochs - 1)
        return temperature(self._epoch + (training.joint_epochs if self.tunes else 0), training.tau, decay)

    def schedule(self, step: int, total: int) -> float:
        """Factor on the rates; the temperature follows the epoch that the step lies in."""
        epochs = self.training.tune_epochs if self.tunes else self.training.joint_epochs
        self._epoch = step * epochs // max(1, total)
        return super().schedule(step, total)

    def loss(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """(1 − α) L_acc + α (L_flops + w L_uni); in the third stage what does not depend on the policy: L_acc."""
        network = self.networks["network"]
        if self.tunes:
            getattr(network, "module", network).network.policy.eval()  # type: ignore[union-attr,operator]  # neither dropout nor running means move
        sure = self.tunes and self.training.tune_choices == "most-probable"
        logits, taken, _ = network(batch["inputs"], most_probable() if sure else sampled(self.tau))
        accuracy_loss = F.cross_entropy(logits, batch["labels"])
        efficiency, flops, uniform = efficiency_loss(
            taken, self.costs.to(logits), self.training.uniform_weight, self.training.uniform_norm
        )
        loss = total_loss(accuracy_loss, efficiency, self.training.alpha)
        return {
            "loss": accuracy_loss if self.tunes else loss,
            "answer_loss": accuracy_loss,
            "flops_loss": flops,
            "uniform_loss": uniform,
            "accuracy": right(logits, batch["labels"]),
            "tau": torch.tensor(self.tau),
        }

    def judge(self, inputs: Inputs) -> tuple[Tensor, dict[str, float]]:
        """See :class:`VideoTask`; figures are the shares of frames that each action took."""
        logits, taken, consulted = self.networks["network"](inputs, most_probable())
        usage = taken.mean(dim=(0, 1)).tolist()
        shares = {f"share of {name}": share for name, share in zip(self.actions.names, usage, strict=True)}
        return logits, {**shares, "share consulted": float(consulted.float().mean())}

    def validate(self) -> dict[str, float]:
        """Scores, and a look at whether the policy still chooses."""
        found = super().validate()
        shares = {name: found[f"validation_share of {name}"] for name in self.actions.names} if found else {}
        if not shares or self.tunes:
            return found
        idle = sum(shares[name] for name in self.actions.names[self.actions.own :])
        most = max(shares, key=lambda name: shares[name])
        if shares[most] <= _COLLAPSED < idle:
            most = NO_BACKBONE
        number = (*self.actions.names, NO_BACKBONE).index(most)
        self._watch.note(number, max(idle, *shares.values()) > _COLLAPSED)
        if int(self._watch.epochs) == _PATIENCE:
            warnings.warn(CollapseWarning(collapse_told(most, self.actions)), stacklevel=2)
        return found


class _Watch(nn.Module):
    """For how many epochs a policy has done the same thing with nearly every frame; it is in every checkpoint."""

    epochs: Tensor
    action: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("epochs", "action"):
            self.register_buffer(name, torch.zeros((), dtype=torch.long))

    def note(self, action: int, collapsed: bool) -> None:
        """Count one more epoch, in which ``action`` was the most frequent one."""
        self.epochs.copy_(self.epochs + 1 if collapsed else torch.zeros_like(self.epochs))
        self.action.fill_(action)


def collapse_told(action: str, actions: Actions) -> str:
    """What to say of a policy that only does one thing, and which knob to turn."""
    if action == NO_BACKBONE:
        told = "the policy has collapsed: no backbone looks at more than 5 % of all validation frames together"
        return f"{told}; lower --alpha or --joint-rate"
    size = actions.size_of(actions.names.index(action))
    cheap = size is None or size == actions.policy_size
    knob = "lower --alpha, or raise --uniform-weight" if cheap else "raise --alpha or --uniform-weight"
    told = "the policy has collapsed: of more than 95 % of all validation frames it makes"
    return f"{told} {action!r}; {knob}, or lower --joint-rate"


def right(logits: Tensor, labels: Tensor) -> Tensor:
    """The share of right answers. Shape: [B, K], [B] -> []."""
    return (logits.argmax(dim=1) == labels).float().mean()


def _optimizer(network: nn.Module, training: ArNetTraining, rate: float) -> TorchOptimizer:
    groups = parameter_groups(network, training, rate)
    if training.optimizer == "sgd":
        return SGD(groups, rate, momentum=_MOMENTUM)
    return AdamW(groups, rate)


def parameter_groups(network: nn.Module, training: ArNetTraining, rate: float) -> list[dict[str, Any]]:
    """Parameters by rate and weight decay, as published: convolutions 1, LSTM 1 and its biases 2, linear layers 5 and
    their biases 10 (where ``head_multiplier`` is 5); biases and norms do not decay.

    Raises:
        KinoscopeError: nothing learns.
    """
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad:
                continue
            bias = name.startswith("bias")
            if isinstance(module, nn.Linear):
                factor = training.head_multiplier * (2 if bias else 1)
            elif isinstance(module, nn.LSTMCell):
                factor = 2.0 if bias else 1.0
            else:
                factor = training.encoder_rate
            groups.setdefault((factor, parameter.ndim >= 2 and not bias), []).append(parameter)
    if not groups:
        raise KinoscopeError("no parameter learns", cure="this is a mistake of ours: please report it")
    return [
        {"params": members, "lr": rate * factor, "weight_decay": training.weight_decay if decays else 0.0}
        for (factor, decays), members in groups.items()
    ]
