"""Budgets in words, knobs out of bounds, and which settings are worth keeping."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinoscope.arnet.spending import Budget, Setting, Spending, frontier
from kinoscope.errors import OptionError


@pytest.mark.parametrize(
    ("text", "gmac", "seconds"),
    [
        ("5gmac", 5, None),
        (" 800 MMAC ", 0.8, None),
        ("0.5s", None, 0.5),
        ("500ms", None, 0.5),
        ("1e-3GMac", 1e-3, None),
    ],
)
def test_budgets(text: str, gmac: float | None, seconds: float | None) -> None:
    found = Budget.parse(text)
    assert (found.gmac, found.seconds) == (gmac, seconds)
    assert Budget.parse(str(found)) == found, "what it is told as can be given"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5",
        "gmac",
        "5 gflops",
        "-1gmac",
        "0s",
        "nangmac",
        "infs",
        "1e999s",
        "1.2.3s",
        "e5ms",
        "5gmac5s",
        "--2s",
        "5sec",
    ],
)
def test_what_is_no_budget(text: str) -> None:
    with pytest.raises(OptionError, match="the budget is") as caught:
        Budget.parse(text)
    assert "5gmac, 800mmac, 0.5s, 500ms" in (caught.value.cure or "")


@given(st.text(max_size=12))
def test_any_text_is_a_budget_or_told(text: str) -> None:
    try:
        found = Budget.parse(text)
    except OptionError:
        return
    assert (found.gmac or found.seconds or 0) > 0 and (found.gmac is None) != (found.seconds is None)


@pytest.mark.parametrize(
    ("given_", "told"),
    [
        ({"frames": 0}, "frames is 0"),
        ({"frames": 5000}, "frames is 5000"),
        ({"bias": float("nan")}, "bias is nan"),
        ({"skip_above": 1.5}, "skip_above is 1.5"),
        ({"exit_above": 0.0}, "exit_above is 0"),
        ({"exit_above": 1.1}, "exit_above is 1.1"),
        ({"sample": -1}, "sample is -1"),
    ],
)
def test_knobs_out_of_bounds(given_: dict[str, Any], told: str) -> None:
    with pytest.raises(OptionError, match=told):
        Spending(**given_)


def setting(loss: float, gmac: float, bias: float = 0.0) -> Setting:
    return Setting(frames=8, bias=bias, score=0.5, loss=loss, gmac=gmac, consulted=5.5, used=(1.0, 0.5, 0.25, 0.25))


def test_settings_survive_json() -> None:
    one = setting(0.75, 1.25, -3.0)
    assert Setting.from_json(json.loads(json.dumps(asdict(one)))) == one


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 5)), max_size=12))
def test_what_no_cheaper_setting_equals(points: list[tuple[int, int]]) -> None:
    every = [setting(loss / 5, float(gmac)) for loss, gmac in points]
    kept = frontier(every)

    def beaten(one: Setting) -> bool:
        return any(
            (o.gmac < one.gmac and o.loss <= one.loss) or (o.gmac == one.gmac and o.loss < one.loss) for o in every
        )

    expected = sorted({(one.gmac, one.loss) for one in every if not beaten(one)})
    assert [(one.gmac, one.loss) for one in kept] == expected
