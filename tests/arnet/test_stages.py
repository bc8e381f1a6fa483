"""The stages as the loop sees them: what learns how fast, temperatures, losses, a policy that stays, collapse."""

from __future__ import annotations

import math
import warnings
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kinoscope.arnet.costs import cost_table
from kinoscope.arnet.loss import efficiency_loss
from kinoscope.arnet.model import build_network
from kinoscope.arnet.network import most_probable, sampled
from kinoscope.arnet.options import ArNetTraining
from kinoscope.arnet.stages import (
    NO_BACKBONE,
    CollapseWarning,
    Joint,
    JointTask,
    Single,
    SingleTask,
    collapse_told,
    parameter_groups,
)
from kinoscope.data.labelled_clips import LabelledClip
from kinoscope.errors import KinoscopeError

from . import made

NAMES = [name for name, _ in made.OPTIONS.views]
CLIPS = [LabelledClip(f"v{n}", Path(f"v{n}.mp4"), "abc"[n % 3]) for n in range(6)]
LABELS = np.arange(6) % 3


class MadeLooks:
    """Features of made clips, as :class:`kinoscope.arnet.looks.Looks` gives them."""

    options = made.OPTIONS

    def sample(self, clip: LabelledClip, rng: np.random.Generator) -> list[np.ndarray]:
        return [rng.normal(size=(8, made.WIDTHS[name])).astype(np.float32) for name in NAMES]

    def evaluate(self, clip: LabelledClip, segments: int) -> list[np.ndarray]:
        return self.sample(clip, np.random.default_rng(int(clip.name[1:])))


def evaluate(logits: Tensor) -> dict[str, float]:
    return {"score": float(logits[:, 0].mean())}


def joint_task(training: ArNetTraining = made.TRAINING, *, tunes: bool = False, network: Any = None) -> JointTask:
    network = network or made.lively().requires_grad_(True)
    costs = cost_table(network).relative().per_action(made.OPTIONS.actions)
    given = (MadeLooks(), CLIPS, LABELS, CLIPS[:4], evaluate, training)
    return JointTask(Joint(network, NAMES), costs, made.OPTIONS, *given, tunes=tunes)


def batch_of(task: Any) -> dict[str, Any]:
    return task.collate([task.sample(n, np.random.default_rng(n)) for n in range(4)])


# --- rates ---------------------------------------------------------------------------------------------------------


def test_rates_and_decay_are_those_of_the_sheet() -> None:
    """Section 5: convolutions 1, LSTM 1 and its biases 2, linear layers 5 and 10; biases and norms do not decay."""
    training = ArNetTraining().with_preset("official")
    network = build_network(made.OPTIONS, 3, [_Convolves(width) for width in (7, 6, 5, 8)])
    groups = parameter_groups(network, training, 0.01)
    found: dict[tuple[float, float], set[str]] = defaultdict(set)
    names = {parameter: name for name, parameter in network.named_parameters()}
    for group in groups:
        key = (round(group["lr"] / 0.01, 6), group["weight_decay"])
        found[key] |= {names[parameter] for parameter in group["params"]}
    assert sum(len(each) for each in found.values()) == len(names)
    for name in names.values():
        last = name.rpartition(".")[2]
        if ".net." in name:
            expected = (1.0, 1e-4 if name.endswith("conv.weight") else 0.0)
        elif ".rnn." in name:
            expected = (2.0, 0.0) if last.startswith("bias") else (1.0, 1e-4)
        else:
            expected = (10.0, 0.0) if last == "bias" else (5.0, 1e-4)
        assert name in found[expected], name


class _Convolves(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.width, self.conv, self.norm = width, nn.Conv2d(3, width, 3), nn.BatchNorm2d(width)


def test_own_rates_and_nothing_that_learns() -> None:
    groups = parameter_groups(_Convolves(4), made.TRAINING, 1.0)
    assert {group["lr"] for group in groups} == {0.1}, "networks of frames learn slowly"
    with pytest.raises(KinoscopeError, match="no parameter learns"):
        parameter_groups(_Convolves(4).requires_grad_(False), made.TRAINING, 1.0)
    assert type(joint_task(replace(made.TRAINING, optimizer="sgd")).optimizers["network"]).__name__ == "SGD"


def test_the_temperature_follows_the_epochs_and_goes_on() -> None:
    """5 to 0.5513 in fifty epochs is what is published; the third stage begins where the second ended."""
    training = ArNetTraining(joint_epochs=50, tune_epochs=50)
    joint, tune = joint_task(training), joint_task(training, tunes=True)
    total, seen = 500, {}
    for task in (joint, tune):
        found = []
        for step in range(total):
            task.schedule(step, total)
            found.append(task.tau)
        assert all(len(set(found[n : n + 10])) == 1 for n in range(0, total, 10)), "constant inside an epoch"
        seen[task] = found[::10]
    assert seen[joint] == pytest.approx([5 * math.exp(-0.045 * epoch) for epoch in range(50)], rel=1e-4)
    assert seen[tune] == pytest.approx([5 * math.exp(-0.045 * epoch) for epoch in range(50, 100)], rel=1e-3)


def test_schedules() -> None:
    cosine, constant = joint_task(), joint_task(replace(made.TRAINING, schedule="constant"))
    assert [cosine.schedule(step, 4) for step in (0, 2, 4)] == pytest.approx([1, 0.5, 0])
    assert {constant.schedule(step, 4) for step in range(4)} == {1.0}
    assert len(joint_task(replace(made.TRAINING, passes=3))) == 18 and len(cosine) == 6
    assert cosine.describe(7 % 6) == "v1"


# --- losses --------------------------------------------------------------------------------------------------------


def test_a_backbone_alone_is_the_mean_over_frames() -> None:
    network = made.lively()
    part = network.backbones[1]
    given = (MadeLooks(), CLIPS, LABELS, CLIPS[:2], evaluate, made.TRAINING)
    task = SingleTask(Single(part.requires_grad_(True), "tiny-b"), *given, which=1)  # type: ignore[arg-type]
    batch = batch_of(task)
    part.eval()  # without dropout
    assert [each.shape for each in batch["inputs"]] == [(4, 8, 6)]
    frames = [[part.classify(frame) for frame in video] for video in batch["inputs"][0]]  # type: ignore[operator]
    logits = torch.stack([torch.stack(each).mean(0) for each in frames])
    losses = task.loss(batch)
    torch.testing.assert_close(losses["loss"], F.cross_entropy(logits, batch["labels"]))
    assert float(losses["accuracy"]) == float((logits.argmax(1) == batch["labels"]).float().mean())


@pytest.mark.parametrize("norm", ["l2", "l1"])
def test_the_joint_loss_is_made_of_its_terms(norm: Any) -> None:
    training = replace(made.TRAINING, alpha=0.3, uniform_weight=2.0, uniform_norm=norm)
    task = joint_task(training)
    task.schedule(0, 9)
    batch = batch_of(task)
    torch.manual_seed(5)
    losses = task.loss(batch)
    torch.manual_seed(5)
    logits, taken, _ = task.networks["network"](batch["inputs"], sampled(task.tau))
    expected, flops, uniform = efficiency_loss(taken, task.costs, 2.0, norm)
    accuracy = F.cross_entropy(logits, batch["labels"])
    torch.testing.assert_close(losses["loss"], 0.7 * accuracy + 0.3 * expected)
    torch.testing.assert_close(losses["loss"], 0.7 * accuracy + 0.3 * (flops + 2 * uniform))
    losses["loss"].backward()
    policy = task.networks["network"].network.policy  # type: ignore[union-attr]
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in (policy.actions.weight, policy.rnn.weight_ih))


@pytest.mark.parametrize("choices", ["most-probable", "sampled"])
def test_in_the_third_stage_only_accuracy_counts(choices: Any) -> None:
    task = joint_task(replace(made.TRAINING, tune_choices=choices), tunes=True)
    network = task.networks["network"].train()
    before = {name: tensor.clone() for name, tensor in network.network.policy.state_dict().items()}  # type: ignore[union-attr,operator]
    batch = batch_of(task)
    torch.manual_seed(1)
    losses = task.loss(batch)
    assert losses["loss"] is losses["answer_loss"]
    losses["loss"].backward()
    assert all(p.grad is None for p in network.network.policy.parameters())  # type: ignore[union-attr,operator]
    assert not network.network.policy.training and network.network.backbones.training  # type: ignore[union-attr]
    assert made.same_state(before, network.network.policy.state_dict())  # type: ignore[union-attr,operator]
    torch.manual_seed(2)
    task.networks["network"].eval()
    again = [float(task.loss(batch)["loss"].detach()) for _ in range(6)]
    assert (len(set(again)) == 1) == (choices == "most-probable")


# --- collapse ------------------------------------------------------------------------------------------------------


def collapsed(action: int) -> JointTask:
    network = made.lively()
    with torch.no_grad():
        network.policy.actions.weight.zero_()
        network.policy.actions.bias.copy_(10.0 * torch.eye(7)[action])
    return joint_task(network=network.requires_grad_(True))


@pytest.mark.parametrize(("action", "knob"), [(0, "raise --alpha"), (3, "lower --alpha"), (6, "lower --alpha")])
def test_a_policy_that_always_does_the_same_is_told(action: int, knob: str) -> None:
    """After three epochs of it, once."""
    task = collapsed(action)
    with warnings.catch_warnings():
        warnings.simplefilter("error", CollapseWarning)
        for _ in range(2):
            figures = task.validate()
            assert task.collapse is None
        assert figures[f"validation_share of {made.OPTIONS.actions.names[action]}"] == 1
    with pytest.warns(CollapseWarning, match=made.OPTIONS.actions.names[action].split(" (")[0]) as caught:
        task.validate()
    assert task.collapse == made.OPTIONS.actions.names[action] and knob in str(caught[0].message)
    assert knob in collapse_told(task.collapse, made.OPTIONS.actions)
    with warnings.catch_warnings():
        warnings.simplefilter("error", CollapseWarning)
        task.validate()
    policy = task.networks["network"].network.policy  # type: ignore[union-attr]
    with torch.no_grad():
        policy.load_state_dict(made.lively().policy.state_dict())  # type: ignore[operator]
    task.validate()
    assert task.collapse is None, "it chooses again"


def test_a_policy_that_uses_no_backbone_is_told() -> None:
    """It answers about half of the frames itself and skips the others: no action has them all, but nothing looks."""
    task = joint_task(network=made.lively().requires_grad_(True))
    policy = task.networks["network"].network.policy  # type: ignore[union-attr]
    with torch.no_grad():
        policy.actions.weight.mul_(100.0)  # type: ignore[union-attr,operator]
        policy.actions.bias[:3] = -1e6  # type: ignore[index,union-attr]
    task.validate(), task.validate()
    with pytest.warns(CollapseWarning, match=r"no backbone looks at more than 5 %.*lower --alpha"):
        figures = task.validate()
    shares = [figures[f"validation_share of {name}"] for name in made.OPTIONS.actions.names]
    assert task.collapse == NO_BACKBONE and max(shares) < 0.95


def test_figures_of_validation() -> None:
    task = joint_task()
    figures = task.validate()
    inputs = [
        torch.from_numpy(np.stack(each)) for each in zip(*(MadeLooks().evaluate(c, 8) for c in CLIPS[:4]), strict=True)
    ]
    with torch.no_grad():
        network = task.networks["network"].eval()
        logits, taken, consulted = network(inputs, most_probable())
    names = made.OPTIONS.actions.names
    for name, share in zip(names, taken.mean((0, 1)).tolist(), strict=True):
        assert figures[f"validation_share of {name}"] == pytest.approx(share)
    assert sum(figures[f"validation_share of {name}"] for name in names) == pytest.approx(1)
    assert figures["validation_share consulted"] == pytest.approx(float(consulted.float().mean()))
    assert figures["validation_score"] == evaluate(logits)["score"]


def test_the_best_weights_are_kept_where_asked() -> None:
    task = joint_task(replace(made.TRAINING, select="best"))
    task.validate()
    first = {name: tensor.clone() for name, tensor in task.answer.state_dict().items()}
    with torch.no_grad():
        for part in task.networks["network"].network.backbones:  # type: ignore[union-attr]
            part.last.bias.copy_(torch.tensor([-1e3, 0, 0]))
        task.networks["network"].network.policy.last.bias.copy_(torch.tensor([-1e3, 0, 0]))  # type: ignore[union-attr]
    found = task.validate()
    assert found["validation_score"] < -100 and made.same_state(first, task.answer.state_dict())


def test_answers_that_are_no_numbers_are_told() -> None:
    task = joint_task()
    with torch.no_grad():
        task.networks["network"].network.policy.last.bias.fill_(math.nan)  # type: ignore[union-attr]
        for part in task.networks["network"].network.backbones:  # type: ignore[union-attr]
            part.last.bias.fill_(math.nan)
    with pytest.raises(KinoscopeError, match="no finite numbers"):
        task.validate()
