"""What the policy may choose, and what becomes of a skip: the specification's cases, and what always holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinoscope.arnet.actions import Actions, follow
from kinoscope.arnet.costs import CostTable
from kinoscope.errors import OptionError

PUBLISHED = Actions()
SKIPS = st.sets(st.integers(1, 9), max_size=4).map(lambda each: tuple(sorted(each)))


@st.composite
def asked(draw: st.DrawFn) -> tuple[list[int], Actions]:
    actions = Actions(sizes=(64, 32), policy_size=32, skips=draw(SKIPS))
    return draw(st.lists(st.integers(0, actions.count - 1), min_size=1, max_size=30)), actions


def test_the_specifications_cases(vectors: Callable[[str], dict[str, Any]]) -> None:
    group = vectors("arnet")["vectors"]["skip_semantics"]
    table = group["cost_table"]
    costs = CostTable(tuple(table["backbone_gmacs"][:3]), table["policy_plus_lstm_gmacs"])
    for case in group["cases"]:
        expected = case["expected"]
        taken, consulted = follow(case["inputs"]["consulted_action_sequence"], PUBLISHED)
        assert taken == expected["effective_actions"] and consulted.tolist() == expected["policy_consulted"]
        used = [
            {"frame": frame, "action": action, "resolution": PUBLISHED.size_of(action)}
            for frame, action in enumerate(taken)
            if PUBLISHED.size_of(action)
        ]
        assert used == expected["frames_used"] and len(used) == expected["num_predictions"]
        assert consulted.sum() == expected["num_policy_runs"]
        assert [t for t, was in enumerate(consulted) if not was] == expected["frames_never_needed"]
        counts = [taken.count(action) for action in range(PUBLISHED.answers)]
        assert costs.gmac(0, counts) == pytest.approx(expected["backbone_gmacs"], abs=group["tolerance"])
        true = costs.gmac(int(consulted.sum()), counts)
        assert true == pytest.approx(expected["total_gmacs_true"], abs=group["tolerance"])


@given(asked())
def test_a_skip_drops_its_own_frame_and_those_after_it(case: tuple[list[int], Actions]) -> None:
    """By walking from one decision to the next, which is how a person would do it."""
    script, actions = case
    taken, consulted = follow(script, actions)
    at, begun = 0, []
    while at < len(script):
        action = script[at]
        begun.append(at)
        length = min(max(1, actions.dropped_by(action)), len(script) - at)
        assert taken[at : at + length] == [action] * length
        at += length
    assert [frame for frame, was in enumerate(consulted) if was] == begun
    assert len(taken) == len(script)


@given(asked(), st.integers(0, 20))
def test_what_a_follower_would_have_asked_does_not_matter(case: tuple[list[int], Actions], other: int) -> None:
    script, actions = case
    taken, consulted = follow(script, actions)
    changed = [action if was else other % actions.count for action, was in zip(script, consulted, strict=True)]
    again, still = follow(changed, actions)
    assert again == taken and (still == consulted).all()


def test_the_published_actions() -> None:
    assert (PUBLISHED.count, PUBLISHED.own, PUBLISHED.answers) == (7, 3, 4)
    assert [PUBLISHED.size_of(each) for each in range(7)] == [224, 168, 112, 84, None, None, None]
    assert [PUBLISHED.dropped_by(each) for each in range(7)] == [0, 0, 0, 0, 1, 2, 4]
    assert PUBLISHED.names[0] == "224 px" and "own answer" in PUBLISHED.names[3] and PUBLISHED.names[6] == "skip 4"
    assert Actions(skips=()).count == 4, "a policy may have nothing to skip with"


@pytest.mark.parametrize(
    ("given_", "told"),
    [
        ({"sizes": ()}, "the resolutions are"),
        ({"sizes": (112, 168)}, "the resolutions are"),
        ({"sizes": (112, 112)}, "the resolutions are"),
        ({"sizes": (2048,)}, "a resolution is 2048"),
        ({"policy_size": 16}, "a resolution is 16"),
        ({"skips": (2, 1)}, "the skips are"),
        ({"skips": (0,)}, "the skips are"),
        ({"skips": (1, 1)}, "the skips are"),
        ({"skips": (65,)}, "the skips are"),
        ({"skips": tuple(range(1, 14))}, "17 actions, but 16"),
    ],
)
def test_impossible_actions(given_: dict[str, Any], told: str) -> None:
    with pytest.raises(OptionError, match=told):
        Actions(**given_)
