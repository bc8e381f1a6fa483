"""What AR-Net is compared with: definitions by slow twins, published costs, and the same numbers on real videos."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kinoscope.arnet.actions import Actions
from kinoscope.arnet.baselines import (
    BASELINES,
    Baseline,
    BaselineTask,
    DenseRunner,
    baseline_cost,
    best_frames,
    build_baseline,
    heads_of,
    random_actions,
    tuned_rates,
)
from kinoscope.arnet.costs import CostTable, cost_table
from kinoscope.arnet.looks import use_views
from kinoscope.arnet.network import FrameClassifier
from kinoscope.arnet.networks import Networks
from kinoscope.encoders.image_nets import image_net
from kinoscope.errors import OptionError
from kinoscope.video import open_video

from . import made
from .test_stages import CLIPS, LABELS, MadeLooks, batch_of, evaluate

NAMES = [name for name, _ in made.OPTIONS.views]


def some(kind: Baseline, seed: int = 0) -> Any:
    torch.manual_seed(seed)
    network = build_baseline(kind, made.OPTIONS, 3, made.nets())
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if ".net." not in name:
                nn.init.normal_(parameter, std=0.8)
        for name, buffer in network.named_buffers():
            if name.endswith("center"):
                nn.init.normal_(buffer, std=0.3)
    return network.eval().requires_grad_(False)


def features(seed: int = 0, videos: int = 4) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(videos, 8, made.WIDTHS[name], generator=generator) for name in NAMES]


def answer(kind: Baseline, network: Any, inputs: list[Tensor]) -> Tensor:
    return network([inputs[number] for number in network.which])


def rows(part: FrameClassifier, x: Tensor) -> list[Tensor]:
    return [F.linear((frame - part.center) / part.scale, part.last.weight, part.last.bias) for frame in x]


def own_answers(policy: Any, x: Tensor) -> list[Tensor]:
    state, found = policy.start(1), []
    for frame in x:
        state = policy.rnn(((frame - policy.center) / policy.scale)[None], state)
        found.append(F.linear(state[0][0], policy.last.weight, policy.last.bias))
    return found


# --- definitions ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "number"), [("uniform", 0), ("uniform-2", 1), ("uniform-3", 2)])
def test_uniform_is_the_mean_of_one_backbone(kind: Baseline, number: int) -> None:
    network, inputs = some(kind), features()
    assert network.which == (number,)
    expected = [torch.stack(rows(network.part, video)).mean(0) for video in inputs[number]]
    torch.testing.assert_close(answer(kind, network, inputs), torch.stack(expected))


def test_lstm_is_the_mean_over_its_steps() -> None:
    network, inputs = some("lstm"), features()
    for found, video in zip(answer("lstm", network, inputs), inputs[0], strict=True):
        h = c = torch.zeros(network.rnn.hidden_size)
        steps = []
        for frame in (video - network.part.center) / network.part.scale:
            rnn = network.rnn
            i, f, g, o = (rnn.weight_ih @ frame + rnn.bias_ih + rnn.weight_hh @ h + rnn.bias_hh).chunk(4)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            steps.append(network.last.weight @ h + network.last.bias)
        torch.testing.assert_close(found, torch.stack(steps).mean(0))


def test_multi_scale_is_the_mean_of_all_predictions() -> None:
    network, inputs = some("multi-scale"), features()
    for n, found in enumerate(answer("multi-scale", network, inputs)):
        every = [row for k in range(3) for row in rows(network.network.backbones[k], inputs[k][n])]
        every += own_answers(network.network.policy, inputs[3][n])
        assert len(every) == 32
        torch.testing.assert_close(found, torch.stack(every).mean(0))


def test_random_drops_only_the_frame_that_it_skips() -> None:
    """Draws in use are repeatable, and do not depend on what else is in the batch."""
    network, inputs = some("random"), features()
    found = answer("random", network, inputs)
    torch.testing.assert_close(found, answer("random", network, inputs))
    drawn = random_actions(7, 8).expand(4, -1)
    assert bool((drawn >= 4).any()) and bool((drawn == 3).any())
    for n in range(4):
        every = [rows(part, inputs[k][n]) for k, part in enumerate(network.network.backbones)]
        every.append(own_answers(network.network.policy, inputs[3][n]))
        used = [every[k][t] for t, k in enumerate(drawn[n].tolist()) if k < 4]
        torch.testing.assert_close(found[n], torch.stack(used).mean(0))
    network.train()
    torch.manual_seed(0)
    assert not torch.equal(answer("random", network, inputs), answer("random", network, inputs))


def test_scsampler_answers_from_the_frames_that_score_best() -> None:
    network, inputs = some("scsampler"), features()
    assert network.which == (0, 3)
    for n, found in enumerate(answer("scsampler", network, inputs)):
        scores = [float(row.max()) for row in rows(network.scorer, inputs[3][n])]
        best = sorted(range(8), key=lambda t: -scores[t])[:5]
        torch.testing.assert_close(found, torch.stack([rows(network.part, inputs[0][n])[t] for t in best]).mean(0))
    assert best_frames(torch.randn(2, 16, 3)).shape == (2, 10) and best_frames(torch.randn(1, 1, 3)).shape == (1, 1)


def test_both_networks_of_scsampler_learn_as_if_alone() -> None:
    torch.manual_seed(0)
    network = build_baseline("scsampler", made.OPTIONS, 3, made.nets())
    given = (MadeLooks(), CLIPS, LABELS, CLIPS[:2], evaluate, made.TRAINING)
    task = BaselineTask(network, *given, rate=1e-3)
    for module in network.modules():
        module.p = 0.0 if isinstance(module, nn.Dropout) else getattr(module, "p", None)
    batch = batch_of(task)
    expected = sum(
        F.cross_entropy(part.classify(x).mean(1), batch["labels"])  # type: ignore[operator,union-attr]
        for part, x in zip((network.part, network.scorer), batch["inputs"], strict=True)
    )
    torch.testing.assert_close(task.loss(batch)["loss"], expected)
    assert "validation_score" in task.validate() and tuned_rates(made.TRAINING)[1] == made.TRAINING.single_rate


@pytest.mark.parametrize("kind", BASELINES)
def test_every_baseline_learns(kind: Baseline) -> None:
    torch.manual_seed(0)
    network = build_baseline(kind, made.OPTIONS, 3, made.nets())
    given = (MadeLooks(), CLIPS, LABELS, CLIPS[:2], evaluate, made.TRAINING)
    task = BaselineTask(network, *given, rate=1e-3)
    losses = task.loss(batch_of(task))
    losses["loss"].backward()
    for head in heads_of(network, 4):
        last = None if head is None else getattr(network, "last", None) or head.last  # type: ignore[union-attr]
        assert last is None or float(last.weight.grad.abs().sum()) > 0
    assert [n for n, head in enumerate(heads_of(network, 4)) if head is not None] == list(network.which)  # type: ignore[arg-type]


def test_what_there_is_no_baseline_for() -> None:
    with pytest.raises(OptionError, match="no baseline 'best'"):
        build_baseline("best", made.OPTIONS, 3, made.nets())  # type: ignore[arg-type]
    one = made.ArNetOptions(backbones=("tiny-a",), policy="tiny-p", sizes=(64,), policy_size=32)
    with pytest.raises(OptionError, match="uniform-2 needs 2 backbones, but there are 1"):
        build_baseline("uniform-2", one, 3, made.nets(one))


# --- costs ---------------------------------------------------------------------------------------------------------


def test_published_costs(vectors: Callable[[str], dict[str, Any]]) -> None:
    group = vectors("arnet")["vectors"]["baseline_costs"]
    case = next(case for case in group["cases"] if case["name"] == "resnet_family")
    given, expected = case["inputs"], case["expected"]
    backbones = (given["r50_224"], given["r34_168"], given["r18_112"])
    alone = CostTable(backbones, given["policy_84"])
    whole = CostTable(backbones, given["policy_84"] + given["lstm"])
    frames, near = given["T"], {"abs": group["tolerance"]}
    assert baseline_cost("uniform", whole, Actions(), frames) == pytest.approx(expected["uniform_per_video"], **near)
    found = baseline_cost("multi-scale", whole, Actions(), frames)
    assert found == pytest.approx(expected["multiscale_per_video"], **near)
    assert found / frames == pytest.approx(expected["multiscale_per_frame"], **near)
    assert baseline_cost("scsampler", alone, Actions(), frames) == pytest.approx(
        expected["scsampler_per_video"], **near
    )
    assert round(frames * 10 / 16) == given["topk"]
    random = baseline_cost("random", whole, Actions(), frames) / frames
    assert random == pytest.approx(sum(backbones) / 7 + 0.0562), "section 8: 1.024, as a skip is charged in part there"
    assert baseline_cost("uniform-3", whole, Actions(), 10) == pytest.approx(4.863)


# --- on real videos ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", BASELINES)
def test_what_is_looked_at_on_the_clock_is_the_same(kind: Baseline, tmp_path: Path) -> None:
    path, network = made.flicker(tmp_path / "v.mp4", 40), some(kind)
    whole = made.lively()
    nets = made.nets()
    for part, net in zip((*whole.backbones, whole.policy), nets, strict=True):
        part.net = net.eval()  # type: ignore[union-attr]
    networks = Networks(whole, made.OPTIONS, device="cpu", runtime="torch")
    costs = cost_table(whole)
    logits, spent = DenseRunner(kind, network, networks, costs, made.OPTIONS).look(path, 16)
    with open_video(path) as video, torch.no_grad():
        views = use_views(video, made.OPTIONS, 16)
        inputs = [
            net(image_net(name).prepare(torch.from_numpy(view)))[None]
            for net, name, view in zip(nets, NAMES, views, strict=True)
        ]
        expected = answer(kind, network, inputs)[0]
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=0)
    cost = baseline_cost(kind, costs, made.OPTIONS.actions, 16)
    if kind == "random":  # what is drawn, not what is expected
        drawn = torch.randint(7, (1, 16), generator=torch.Generator().manual_seed(0))[0].tolist()
        assert spent.used[:3] == tuple(drawn.count(k) for k in range(3))
        cost = costs.gmac(16, spent.used)
    assert spent.gmac == pytest.approx(cost)
    assert (spent.candidates, spent.consulted) == (16, 0 if kind[:4] in ("unif", "lstm") else 16)
    assert spent.decoded >= 16 and sum(spent.seconds.values()) <= spent.total_seconds * 1.01
    assert bool(logits.isfinite().all())
