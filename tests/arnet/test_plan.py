"""From a budget to knobs: the best setting that fits, and what is possible where none does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kinoscope.arnet.candidates import candidates
from kinoscope.arnet.model import AdaptiveRecognizer
from kinoscope.arnet.plan import _frames_to_decode, plan
from kinoscope.arnet.spending import Budget, Setting
from kinoscope.errors import OptionError, VideoError
from kinoscope.video import open_video

from ..video.made_videos import make
from . import made

LOOK = made.model().costs.policy
CURVE = (
    Setting(frames=2, bias=8.0, score=0.4, loss=1.0, gmac=2 * LOOK, consulted=2.0, used=(0.0, 0.0, 0.0, 2.0)),
    Setting(frames=4, bias=1.0, score=0.6, loss=0.7, gmac=5 * LOOK, consulted=4.0, used=(0.0, 0.0, 1.0, 2.0)),
    Setting(frames=8, bias=0.0, score=0.9, loss=0.3, gmac=9 * LOOK, consulted=6.0, used=(1.0, 1.0, 1.0, 1.0)),
)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made.flicker(tmp_path_factory.mktemp("film") / "v.mp4", 30)


@pytest.fixture
def recognizer() -> AdaptiveRecognizer:
    return made.model(curve=CURVE)


@pytest.mark.parametrize(("looks", "number"), [(2, 0), (4.9, 0), (5, 1), (8.9, 1), (9, 2), (1000, 2)])
def test_the_best_setting_that_fits(recognizer: AdaptiveRecognizer, film: Path, looks: float, number: int) -> None:
    spending = plan(recognizer, film, Budget(gmac=looks * LOOK * (1 + 1e-9)))
    assert (spending.frames, spending.bias) == (CURVE[number].frames, CURVE[number].bias)
    found = recognizer.recognize(film, budget=Budget(gmac=looks * LOOK))
    assert found.spent.gmac <= looks * LOOK * (1 + 1e-6)


def test_a_dearer_setting_that_is_worse_is_not_taken(film: Path) -> None:
    worse = replace(CURVE[2], loss=2.0)
    spending = plan(made.model(curve=(*CURVE[:2], worse)), film, Budget(gmac=1.0))
    assert spending.frames == 4


def test_below_the_curve_only_the_policy_is_paid(recognizer: AdaptiveRecognizer, film: Path) -> None:
    spending = plan(recognizer, film, Budget(gmac=1.5 * LOOK))
    assert spending.frames == 1
    found = recognizer.recognize(film, budget=f"{1500 * LOOK}mmac")
    assert found.spent.used[:3] == (0, 0, 0) and found.spent.consulted == 1 and found.probabilities.sum() > 0.999
    without = plan(made.model(), film, Budget(gmac=3.5 * LOOK))
    assert without.frames == 3 and without.bias > 0, "a model without a curve"


def test_less_than_one_look_is_refused_with_what_is_possible(recognizer: AdaptiveRecognizer, film: Path) -> None:
    with pytest.raises(OptionError, match="cannot be met") as caught:
        recognizer.recognize(film, budget=Budget(gmac=0.5 * LOOK))
    cure = caught.value.cure or ""
    assert f"{LOOK:.3g} GMAC" in cure and "40% right" in cure and f"{9 * LOOK:.3g} (90%)" in cure
    with pytest.raises(OptionError, match="cannot be met"):
        made.model().recognize(film, budget=Budget(gmac=0.5 * LOOK))


# --- time ----------------------------------------------------------------------------------------------------------


def test_time_enough_takes_the_best(recognizer: AdaptiveRecognizer, film: Path) -> None:
    assert plan(recognizer, film, Budget(seconds=1e6)).frames == 8
    assert recognizer.recognize(film, budget="1000000s").spent.consulted > 1


def test_no_time_is_refused_with_what_is_possible(recognizer: AdaptiveRecognizer, film: Path) -> None:
    with pytest.raises(OptionError, match="cannot be met for this video here") as caught:
        plan(recognizer, film, Budget(seconds=1e-9))
    assert caught.value.where == film and "the least is one look of the policy: about" in (caught.value.cure or "")


def test_slow_networks_are_left_out(recognizer: AdaptiveRecognizer, film: Path) -> None:
    """Latencies are measured once; here they are set, so that no clock decides."""
    recognizer.networks._latency = {0: 1e4, 1: 1e3, 2: 100.0, 3: 1e-3}
    for seconds, frames in ((1e6, 8), (5e3, 4), (60.0, 2)):
        assert plan(recognizer, film, Budget(seconds=seconds)).frames == frames
    recognizer.networks._latency[3] = 40.0
    thrifty = plan(recognizer, film, Budget(seconds=60.0))
    assert thrifty.frames == 1 and thrifty.bias > 100


def test_a_video_that_cannot_be_read(recognizer: AdaptiveRecognizer, tmp_path: Path) -> None:
    with pytest.raises(VideoError):
        plan(recognizer, tmp_path / "gone.mp4", Budget(seconds=5))


# --- the way to a frame --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gop", [1, 7, 300])
@pytest.mark.parametrize("segments", [1, 3, 10, 90])
def test_frames_on_the_way(tmp_path: Path, gop: int, segments: int) -> None:
    """By walking: from the frame before, or from the nearest keyframe that lies between."""
    with open_video(make(tmp_path / "v.mp4", 60, gop=gop, b_frames=0, sc_threshold="0")) as video:
        positions = candidates(video, segments)
        keys, at, count = set(video.keyframes.tolist()), -1, 0
        for wanted in np.unique(positions).tolist():
            start = max([at + 1, *(key for key in keys if at < key <= wanted)])
            count += wanted - start + 1
            at = wanted
        assert _frames_to_decode(video, positions) == count


def test_any_budget_in_words(recognizer: AdaptiveRecognizer, film: Path) -> None:
    call: Callable[[], object] = lambda: recognizer.recognize(film, budget="much")  # noqa: E731
    with pytest.raises(OptionError, match="the budget is 'much'"):
        call()
