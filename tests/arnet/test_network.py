"""The dense network: what the policy remembers, what becomes of skips, how answers become one, where gradients go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from kinoscope.arnet.actions import Actions, follow
from kinoscope.arnet.model import Featureless
from kinoscope.arnet.network import (
    ArNet,
    Choice,
    FrameClassifier,
    Policy,
    StateRule,
    combine,
    decide,
    most_probable,
    sampled,
)

from . import made

Vectors = Callable[[str], dict[str, Any]]
PUBLISHED = Actions()


def scripted(asked: list[list[int]], count: int) -> Choice:
    """What the policy would say at each frame of each video."""
    return lambda log_probs, t: F.one_hot(torch.tensor([each[t] for each in asked]), count).to(log_probs.dtype)


def some_policy(width: int = 3, seed: int = 0, actions: Actions = PUBLISHED) -> Policy:
    torch.manual_seed(seed)
    policy = Policy(Featureless(width), 4, actions.count, hidden=6).double().eval()
    for parameter in policy.parameters():
        nn.init.normal_(parameter, std=1.5)
    nn.init.zeros_(policy.actions.bias)
    return policy


# --- skips ---------------------------------------------------------------------------------------------------------


def test_the_specifications_skips(vectors: Vectors) -> None:
    for case in vectors("arnet")["vectors"]["skip_semantics"]["cases"]:
        asked, expected = case["inputs"]["consulted_action_sequence"], case["expected"]
        features = torch.randn(1, len(asked), 3, dtype=torch.float64)
        found = decide(some_policy(), features, PUBLISHED, scripted([asked], 7))
        assert found.taken[0].argmax(1).tolist() == expected["effective_actions"]
        assert found.consulted[0].tolist() == expected["policy_consulted"]


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.sampled_from([(1, 2, 4), (3,), (), (2, 5)]))
def test_videos_in_step_are_videos_alone(seed: int, skips: tuple[int, ...]) -> None:
    actions = Actions(skips=skips)
    generator = torch.Generator().manual_seed(seed)
    asked = torch.randint(actions.count, (4, 11), generator=generator).tolist()
    features = torch.randn(4, 11, 3, generator=generator, dtype=torch.float64)
    found = decide(some_policy(actions=actions), features, actions, scripted(asked, actions.count))
    for number, script in enumerate(asked):
        taken, consulted = follow(script, actions)
        assert found.taken[number].argmax(1).tolist() == taken
        assert found.consulted[number].tolist() == consulted.tolist()


# --- what is remembered --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["clean", "official"])
def test_the_specifications_state_across_a_skip(vectors: Vectors, rule: StateRule) -> None:
    """The policy's linear layers are the identity of its hidden state, so that its answers show it."""
    group = vectors("arnet")["vectors"]["lstm_state_across_skip"]
    (case,) = group["cases"]
    inputs, expected = case["inputs"], case["expected"]
    policy = Policy(Featureless(2), 2, 7, hidden=2).double().eval()
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    policy.rnn.load_state_dict({name: torch.tensor(inputs[name], dtype=torch.float64) for name in names})
    policy.last.load_state_dict({"weight": torch.eye(2), "bias": torch.zeros(2)})
    features = torch.tensor([inputs["features"]], dtype=torch.float64)
    choose = scripted([inputs["consulted_action_sequence"]], 7)
    found = decide(policy, features, PUBLISHED, choose, rule=rule)
    assert found.taken[0].argmax(1).tolist() == expected["effective_actions"]
    hidden = torch.tensor(expected["hidden_clean" if rule == "clean" else "hidden_official_leaky"], dtype=torch.float64)
    shown = found.consulted[0]  # in between the answers are of a state that is thrown away
    torch.testing.assert_close(found.own[0][shown], hidden[shown], atol=group["tolerance"], rtol=0)


def slow_decide(
    policy: Policy, features: Tensor, actions: Actions, rule: StateRule
) -> tuple[list[int], list[bool], list[Tensor]]:
    """One video, one frame after the other, the LSTM by its definition."""
    rnn, size = policy.rnn, policy.rnn.hidden_size
    h, c = torch.zeros(size).double(), torch.zeros(size).double()
    taken, asked, own, left = [], [], [], 0
    for x in features:
        gates = rnn.weight_ih @ x + rnn.bias_ih + rnn.weight_hh @ h + rnn.bias_hh
        i, f, g, o = (gates[k * size : (k + 1) * size] for k in range(4))
        new_c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        new_h = o.sigmoid() * new_c.tanh()
        own.append(policy.last.weight @ new_h + policy.last.bias)
        asked.append(left == 0)
        if left == 0:
            h, c = new_h, new_c
            scores = (policy.actions.weight @ h + policy.actions.bias).tolist()
            taken.append(scores.index(max(scores)))
            left = actions.skips[taken[-1] - actions.answers] if taken[-1] >= actions.answers else 0
        else:
            c = new_c if rule == "official" else c
            taken.append(taken[-1])
        left = max(left - 1, 0)
    return taken, asked, own


@pytest.mark.parametrize("rule", ["clean", "official"])
def test_decisions_have_a_slow_twin(rule: StateRule) -> None:
    policy = some_policy()
    features = 2 * torch.randn(20, 12, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        found = decide(policy, features, PUBLISHED, most_probable(), rule=rule)
        for number, video in enumerate(features):
            taken, asked, own = slow_decide(policy, video, PUBLISHED, rule)
            assert found.taken[number].argmax(1).tolist() == taken and found.consulted[number].tolist() == asked
            shown = found.consulted[number]
            torch.testing.assert_close(found.own[number][shown], torch.stack(own)[shown])
    assert len(found.taken.flatten(0, 1).argmax(1).unique()) == 7, "a policy that does everything"
    assert not bool(found.consulted.all())


def test_nothing_skipped_is_every_frame_after_the_other() -> None:
    network = made.lively(seed=4)
    frames = torch.randn(2, 6, 3, 32, 32)
    with torch.no_grad():
        actions, classes = network.policy(frames)
        features = network.policy.net(frames.flatten(0, 1)).unflatten(0, (2, 6))
        found = network.decide(features, scripted([[0] * 6] * 2, 7))
    torch.testing.assert_close(found.own, classes)
    torch.testing.assert_close(found.log_probs, actions.log_softmax(-1).clamp_min(-18.420681), atol=1e-4, rtol=1e-4)


# --- one answer ----------------------------------------------------------------------------------------------------


def test_the_specifications_answers(vectors: Vectors) -> None:
    group = vectors("arnet")["vectors"]["aggregation"]
    for case in group["cases"]:
        answers = torch.tensor(case["inputs"]["per_frame_logits_NTKC"], dtype=torch.float64)
        taken = torch.tensor(case["inputs"]["r"], dtype=torch.float64)
        expected = torch.tensor(case["expected"]["video_logits"], dtype=torch.float64)
        torch.testing.assert_close(combine(answers, taken), expected, atol=group["tolerance"], rtol=0)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000))
def test_an_answer_is_the_mean_of_what_was_used(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    answers = torch.randn(3, 5, 4, 2, generator=generator, dtype=torch.float64)
    taken = torch.randint(7, (3, 5), generator=generator)
    found = combine(answers, F.one_hot(taken, 7).double())
    for video in range(3):
        used = [answers[video, t, int(k)] for t, k in enumerate(taken[video]) if k < 4]
        expected = torch.stack(used).mean(0) if used else torch.zeros(2).double()
        torch.testing.assert_close(found[video], expected)


def test_gradients_pass_through_numerator_and_divisor() -> None:
    """d mean / d r is (answer - mean) / n for what answers, 0 for skips; without the divisor it were answer / n."""
    answers = torch.randn(1, 5, 4, 1, dtype=torch.float64)
    taken = F.one_hot(torch.tensor([[0, 5, 5, 3, 2]]), 7).double().requires_grad_()
    mean = combine(answers, taken)
    (gradient,) = torch.autograd.grad(mean.sum(), taken)
    torch.testing.assert_close(gradient[..., :4], ((answers - mean.detach()) / 3)[..., 0])
    assert not bool(gradient[..., 4:].any())
    assert torch.autograd.gradcheck(lambda each: combine(answers, each), (taken,))


def test_gradients_reach_the_policy() -> None:
    """Where all networks always say the same, the choice changes nothing: numerator and divisor cancel."""
    policy = some_policy()
    features = torch.randn(3, 8, 3, dtype=torch.float64)
    network = ArNet(policy, [], PUBLISHED)

    def gradient(answers: list[Tensor]) -> float:
        torch.manual_seed(0)
        decisions = network.decide(features, sampled(1.0))
        assert set(decisions.taken.unique().tolist()) == {0.0, 1.0}
        own = answers.pop()
        logits = combine(torch.stack((*answers, own), 2), decisions.taken)
        return float(torch.autograd.grad(logits[:, 0].sum(), policy.actions.weight)[0].abs().max())

    same = [torch.full((3, 8, 4), 2.5, dtype=torch.float64) for _ in range(4)]
    assert gradient(same) < 1e-12
    assert gradient([torch.randn(3, 8, 4, dtype=torch.float64) for _ in range(4)]) > 1e-3


def test_the_whole_network_is_its_parts() -> None:
    network = made.lively(seed=1)
    views = [torch.randn(2, 8, 3, size, size) for _, size in made.OPTIONS.views]
    with torch.no_grad():
        logits, decisions = network(views)
        for video in range(2):
            rows = []
            for t, action in enumerate(decisions.taken[video].argmax(1).tolist()):
                if action < 3:
                    rows.append(network.backbones[action](views[action][video, t : t + 1])[0])
                elif action == 3:
                    rows.append(decisions.own[video, t])
            torch.testing.assert_close(logits[video], torch.stack(rows).mean(0))


def test_a_classifier_standardises_what_it_sees() -> None:
    part = FrameClassifier(Featureless(2), 3).double().eval()
    part.center, part.scale = torch.tensor([1.0, -2.0]).double(), torch.tensor([2.0, 0.5]).double()
    x = torch.randn(4, 5, 2, dtype=torch.float64)
    expected = F.linear((x - part.center) / part.scale, part.last.weight, part.last.bias)
    torch.testing.assert_close(part.classify(x), expected)
    assert float(part.last.weight.detach().abs().max()) < 0.01 and not bool(part.last.bias.any()), "as published"


# --- choices -------------------------------------------------------------------------------------------------------

LOG_PROBS = torch.tensor([[0.3, 0.05, 0.05, 0.1, 0.2, 0.15, 0.15], [0.1, 0.1, 0.1, 0.1, 0.6, 0.0, 0.0]]).log()


def test_a_bias_makes_what_is_dear_less_likely() -> None:
    costs = torch.tensor([4.0, 2, 0.5, 0, 0, 0, 0])
    assert most_probable()(LOG_PROBS, 0).argmax(1).tolist() == [0, 4]
    assert most_probable(0.2 * costs)(LOG_PROBS, 0).argmax(1).tolist() == [4, 4]
    assert most_probable(-1.0 * costs)(LOG_PROBS, 0).argmax(1).tolist() == [0, 0]


def test_skips_may_need_to_be_likely_together() -> None:
    """One half of all probability skips in the first, 0.6 in the second."""
    choose = most_probable(torch.tensor([9.0, 9, 9, 0, 0, 0, 0]), 0.55, 4)
    assert choose(LOG_PROBS, 0).argmax(1).tolist() == [3, 4]
    assert most_probable(0.0, 1.0, 4)(LOG_PROBS, 0).argmax(1).max() < 4, "1 never skips"
