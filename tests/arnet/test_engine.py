"""Looking at real videos: the numbers of the dense network, and nothing done that was skipped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kinoscope.arnet.actions import follow
from kinoscope.arnet.candidates import candidates
from kinoscope.arnet.engine import Job, Seen
from kinoscope.arnet.model import AdaptiveRecognizer
from kinoscope.arnet.network import most_probable
from kinoscope.arnet.options import ArNetOptions
from kinoscope.arnet.spending import Budget, Spending
from kinoscope.arnet.stream import AdaptiveStream
from kinoscope.video import open_video

from ..video.made_videos import turn
from . import made

NEVER_EXITS = Spending(exit_above=1.0)


@pytest.fixture(scope="module")
def recognizer() -> AdaptiveRecognizer:
    return made.model()


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Five films, the last shorter than its candidate frames."""
    folder = tmp_path_factory.mktemp("films")
    return [made.flicker(folder / f"v{n}.mp4", (30, 31, 32, 33, 5)[n], seed=n) for n in range(5)]


def look(recognizer: AdaptiveRecognizer, *paths: Path, **given_: Any) -> list[Seen]:
    found = recognizer.engine.run([Job(path, path.name, **given_) for path in paths])
    assert all(isinstance(each, Seen) for each in found)
    return found  # type: ignore[return-value]


def same(a: Seen, b: Seen, atol: float = 1e-5) -> bool:
    return made.taken_by(a) == made.taken_by(b) and torch.allclose(a.logits, b.logits, atol=atol)


# --- as the dense network ------------------------------------------------------------------------------------------


def test_what_is_seen_is_what_the_dense_network_says(recognizer: AdaptiveRecognizer, films: list[Path]) -> None:
    kinds = set()
    for path, seen in zip(films, look(recognizer, *films), strict=True):
        logits, decisions = made.dense(recognizer, path)
        torch.testing.assert_close(seen.logits, logits, atol=1e-4, rtol=0)
        taken = decisions.taken[0].argmax(1).tolist()
        assert made.taken_by(seen) == taken and seen.logits.dtype == torch.float32
        assert [step.consulted for step in seen.steps] == decisions.consulted[0].tolist()
        used = made.used_of(decisions, recognizer.actions)
        consulted = int(decisions.consulted.sum())
        assert (seen.spent.used, seen.spent.consulted, seen.spent.candidates) == (used, consulted, 8)
        assert seen.spent.gmac == pytest.approx(recognizer.costs.gmac(consulted + seen.spent.in_vain, used))
        kinds |= set(taken)
    assert kinds == set(range(7)), "a policy that does everything"


@pytest.mark.parametrize(
    "changes",
    [
        {"kernel": "nearest"},
        {"kernel": "bilinear", "crop": 1.0},
        {"skips": ()},
        {"skips": (3, 7)},
        {"sizes": (64,), "backbones": ("tiny-a",)},
        {"segments": 1},
        {"segments": 23},
        {"segments": 23, "state": "official"},
    ],
    ids=str,
)
def test_so_it_is_with_other_options(changes: dict[str, Any], films: list[Path]) -> None:
    other = made.model(replace(made.OPTIONS, **changes), seed=5)
    for path, seen in zip(films[:2], look(other, *films[:2]), strict=True):
        logits, decisions = made.dense(other, path)
        assert made.taken_by(seen) == decisions.taken[0].argmax(1).tolist()
        if not seen.guarded:
            torch.testing.assert_close(seen.logits, logits, atol=1e-4, rtol=0)


def test_what_leaks_into_the_memory_is_looked_at(films: list[Path]) -> None:
    """As released; other answers than those of a memory that does not see what is skipped."""
    spending, differ = Spending(frames=23), 0
    for seed in range(6):
        leaking = made.model(replace(made.OPTIONS, state="official"), seed=seed)
        clean = made.model(made.OPTIONS, seed=seed)
        seen, other = (look(each, films[0], spending=spending)[0] for each in (leaking, clean))
        logits, decisions = made.dense(leaking, films[0], most_probable(), 23)
        torch.testing.assert_close(seen.logits, logits, atol=1e-4, rtol=0)
        assert made.taken_by(seen) == decisions.taken[0].argmax(1).tolist()
        assert seen.spent.consulted == 23 and seen.spent.in_vain == 0
        assert [step.consulted for step in seen.steps] == decisions.consulted[0].tolist()
        stream = AdaptiveStream(leaking, spending)
        with open_video(films[0]) as video, video.picker() as pick:
            told = [stream.push(pick(int(at)), float(at)) for at in candidates(video, 23)]
        assert all(update.skip == 0 for update in told)
        assert [update.action for update in told] == made.taken_by(seen)
        differ += made.taken_by(seen) != made.taken_by(other)
    assert differ > 0


@pytest.mark.parametrize("knob", ["bias", "skip_above", "frames"])
def test_knobs_turn_both_alike(recognizer: AdaptiveRecognizer, films: list[Path], knob: str) -> None:
    bias = 2.0 / recognizer.costs.backbones[0]
    spending, choose = {
        "bias": (Spending(bias=bias), most_probable(bias * recognizer.costs.per_action(recognizer.actions))),
        "skip_above": (Spending(skip_above=0.9), most_probable(0.0, 0.9, recognizer.actions.answers)),
        "frames": (Spending(frames=13), most_probable()),
    }[knob]
    plain, changed = look(recognizer, films[0])[0], look(recognizer, films[0], spending=spending)[0]
    logits, decisions = made.dense(recognizer, films[0], choose, spending.frames)
    assert made.taken_by(changed) == decisions.taken[0].argmax(1).tolist() != made.taken_by(plain)
    torch.testing.assert_close(changed.logits, logits, atol=1e-4, rtol=0)


def test_neither_company_nor_order_nor_haste_change_an_answer(
    recognizer: AdaptiveRecognizer, films: list[Path]
) -> None:
    together = look(recognizer, *films)
    alone = [look(recognizer, path)[0] for path in films]
    backwards = look(recognizer, *films[::-1])[::-1]
    many = look(recognizer, *(films * 5))[10:15]  # enough that backbones answer in the midst of it
    hasty = look(recognizer, *films, spending=NEVER_EXITS)
    mixed = recognizer.engine.run(
        [Job(path, path.name, NEVER_EXITS if n % 2 else Spending()) for n, path in enumerate(films)]
    )
    for others in (alone, backwards, many, hasty, mixed):
        assert all(same(a, b) for a, b in zip(together, others, strict=True))  # type: ignore[arg-type]


def test_the_specifications_scripts(vectors: Callable[[str], dict[str, Any]], tmp_path: Path) -> None:
    """A policy that reads each frame's number from its pixels, and says what is written for it."""
    for number, case in enumerate(vectors("arnet")["vectors"]["skip_semantics"]["cases"]):
        asked, expected = case["inputs"]["consulted_action_sequence"], case["expected"]
        recognizer, film = made.scripted(asked)
        (seen,) = look(recognizer, film(tmp_path / f"{number}.mp4"))
        assert made.taken_by(seen) == expected["effective_actions"]
        assert [step.consulted for step in seen.steps] == expected["policy_consulted"]
        answered = [t for t, step in enumerate(seen.steps) if step.logits is not None]
        assert answered == [each["frame"] for each in expected["frames_used"]] or seen.guarded
        assert seen.spent.consulted == expected["num_policy_runs"]
        assert seen.guarded == (expected["num_predictions"] == 0)


@settings(deadline=None, max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 6), min_size=1, max_size=14))
def test_any_script_is_followed(tmp_path: Path, asked: list[int]) -> None:
    recognizer, film = made.scripted(asked)
    path = film(tmp_path / "v.mp4")
    (seen,) = look(recognizer, path)
    taken, consulted = follow(asked, recognizer.actions)
    assert made.taken_by(seen) == taken and [step.consulted for step in seen.steps] == consulted.tolist()
    assert 0 <= seen.spent.in_vain <= 3 * seen.spent.consulted
    if not seen.guarded:
        torch.testing.assert_close(seen.logits, made.dense(recognizer, path)[0], atol=1e-4, rtol=0)


# --- what is saved -------------------------------------------------------------------------------------------------


def test_what_is_skipped_is_not_decoded(tmp_path: Path) -> None:
    """Every frame is a keyframe here, and candidates lie far apart: only what is looked at is decoded."""
    asked = [6, 0, 0, 0, 6, 0, 0, 0]
    recognizer, _ = made.scripted(asked)
    path = made.flicker(tmp_path / "v.mkv", 480, codec="mjpeg", pixels="yuvj420p", gop=1, b_frames=0, color_range="pc")
    always, _ = made.scripted([3] * 8)
    sparse, dense = (look(one, path)[0] for one in (_forced(recognizer, asked), _forced(always, [3] * 8)))
    assert (sparse.spent.looks, dense.spent.looks) == (2, 8)
    assert dense.spent.decoded >= 8 and sparse.spent.decoded <= dense.spent.decoded // 2
    assert sparse.steps[1].logits is None and sparse.steps[1].action == 6


def test_how_far_the_policy_looks_ahead(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Further after each time without a skip; one frame at a time where not all of them may be wanted."""
    recognizer, film = made.scripted([3, 6, 0, 0, 0, 3, 3, 3, 3, 3, 3, 5])
    path, sizes = film(tmp_path / "v.mp4"), list[int]()
    see = recognizer.networks.look
    monkeypatch.setattr(recognizer.networks, "look", lambda views: (sizes.append(len(views)), see(views))[1])
    (seen,) = look(recognizer, path)
    assert sizes == [1, 4, 1, 4, 2] and seen.spent.in_vain == 3
    for one_by_one in ({"budget": Budget(gmac=100.0)}, {"budget": Budget(seconds=1e6)}, {"spending": NEVER_EXITS}):
        sizes.clear()
        (careful,) = look(recognizer, path, **one_by_one)
        assert sizes == [1] * careful.spent.consulted and careful.spent.in_vain == 0 and same(careful, seen)
    sizes.clear()
    look(recognizer, *[path] * 20)
    assert max(sizes) <= 20, "a batch is large enough without looking ahead"


def _forced(recognizer: AdaptiveRecognizer, asked: list[int]) -> AdaptiveRecognizer:
    """Follows its script on any video: frame after frame as they are asked, whatever they show."""
    policy = recognizer.network.policy
    _, consulted = follow(asked, recognizer.actions)
    rows = iter(np.flatnonzero(consulted).tolist())
    script = policy.script

    def net(frames: torch.Tensor) -> torch.Tensor:
        return torch.eye(len(script))[[next(rows) for _ in frames]]

    return AdaptiveRecognizer(
        recognizer.network, recognizer.options, recognizer.classes, device="cpu", runtime="torch", replaced={3: net}
    )


def test_everything_skipped(recognizer: AdaptiveRecognizer, tmp_path: Path) -> None:
    """The last frame that was seen answers, by the policy; without the guard all classes are alike."""
    lazy, film = made.scripted([6] * 8)
    path = film(tmp_path / "v.mp4")
    (seen,) = look(lazy, path)
    _, decisions = made.dense(lazy, path)
    assert seen.guarded and seen.spent.used == (0, 0, 0, 1) and seen.spent.consulted == 2
    torch.testing.assert_close(seen.logits, decisions.own[0, 4], atol=1e-4, rtol=0)
    assert seen.steps[4].logits is not None and seen.spent.gmac == pytest.approx(2 * lazy.costs.policy)
    found = lazy.recognize(path, spending=Spending(guard=False))
    assert not found.guarded and found.spent.used == (0, 0, 0, 0)
    np.testing.assert_allclose(found.logits, 0)
    np.testing.assert_allclose(found.probabilities, 1 / 3)
    assert np.isnan(found.running).all()


def test_an_answer_that_is_settled_ends_the_looking(recognizer: AdaptiveRecognizer, films: list[Path]) -> None:
    path = films[0]
    (whole,) = look(recognizer, path)
    rows = [step.logits for step in whole.steps if step.logits is not None]
    sure = [float(torch.stack(rows[: n + 1]).mean(0).softmax(0).max()) for n in range(len(rows))]
    stop = next(n for n in range(len(rows) - 1) if sure[n] > max([0.0, *sure[:n]]))
    (seen,) = look(recognizer, path, spending=Spending(exit_above=sure[stop] - 1e-4))
    assert (whole.stopped, seen.stopped) == (None, "settled")
    assert len([step for step in seen.steps if step.logits is not None]) == stop + 1
    torch.testing.assert_close(seen.logits, torch.stack(rows[: stop + 1]).mean(0))
    at = max(t for t, step in enumerate(seen.steps) if step.consulted)
    assert all(step.action is None and not step.consulted for step in seen.steps[at + 1 :])
    assert seen.spent.consulted < whole.spent.consulted and seen.spent.gmac < whole.spent.gmac


def test_an_early_end_looks_at_calibrated_answers(films: list[Path]) -> None:
    recognizer = made.model(temperature=1e6)
    (seen,) = look(recognizer, films[0], spending=Spending(exit_above=0.5))
    assert same(seen, look(recognizer, films[0])[0]), "no answer is ever sure"


# --- sampling ------------------------------------------------------------------------------------------------------


def test_draws_depend_on_seed_name_and_frame_alone(recognizer: AdaptiveRecognizer, films: list[Path]) -> None:
    spending = Spending(sample=4)
    together = look(recognizer, *films, spending=spending)
    torch.rand(3)
    alone = [look(recognizer, path, spending=spending)[0] for path in films]
    assert all(same(a, b) for a, b in zip(together, alone, strict=True))
    plain = look(recognizer, *films)
    assert any(made.taken_by(a) != made.taken_by(b) for a, b in zip(plain, together, strict=True))
    other = look(recognizer, *films, spending=Spending(sample=5))
    assert any(made.taken_by(a) != made.taken_by(b) for a, b in zip(other, together, strict=True))
    (renamed,) = recognizer.engine.run([Job(films[0], "another name", spending)])
    assert isinstance(renamed, Seen) and made.taken_by(renamed) != made.taken_by(together[0])


def test_actions_are_drawn_as_often_as_they_are_probable(films: list[Path]) -> None:
    recognizer = made.model(replace(made.OPTIONS, segments=1))
    _, decisions = made.dense(recognizer, films[0])
    jobs = [Job(films[0], str(n), Spending(sample=0)) for n in range(200)]
    drawn = [made.taken_by(seen)[0] for seen in recognizer.engine.run(jobs) if isinstance(seen, Seen)]
    shares = np.bincount(np.asarray(drawn, int), minlength=7) / 200
    np.testing.assert_allclose(shares, decisions.log_probs[0, 0].exp(), atol=0.12)


# --- budgets -------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=20)
@given(st.floats(1.0, 30.0), st.integers(0, 4), st.booleans())
def test_a_budget_is_never_exceeded(
    recognizer: AdaptiveRecognizer, films: list[Path], looks: float, number: int, sample: bool
) -> None:
    gmac = looks * recognizer.costs.policy
    spending = Spending(sample=number) if sample else Spending()
    (seen,) = look(recognizer, films[number], spending=spending, budget=Budget(gmac=gmac))
    assert seen.spent.gmac <= gmac * (1 + 1e-6) and seen.logits.isfinite().all() and seen.logits.any()
    assert seen.spent.gmac == pytest.approx(recognizer.costs.gmac(seen.spent.consulted, seen.spent.used))
    (free,) = look(recognizer, films[number], spending=spending)
    if gmac >= free.spent.gmac * (1 + 1e-6):
        assert same(seen, free)


def test_no_time_is_one_look(recognizer: AdaptiveRecognizer, films: list[Path]) -> None:
    (seen,) = look(recognizer, films[0], budget=Budget(seconds=1e-9))
    assert seen.spent.consulted == 1 and sum(seen.spent.used) == 1 and seen.stopped == "budget"
    (unhurried,) = look(recognizer, films[0], budget=Budget(seconds=1e6))
    assert same(unhurried, look(recognizer, films[0])[0])


# --- unusual videos ------------------------------------------------------------------------------------------------


def test_a_part_of_a_video(recognizer: AdaptiveRecognizer, films: list[Path]) -> None:
    (seen,) = look(recognizer, films[0], part=(1.0, 2.0))
    logits, decisions = made.dense(recognizer, films[0], part=(1.0, 2.0))
    torch.testing.assert_close(seen.logits, logits, atol=1e-4, rtol=0)
    assert made.taken_by(seen) == decisions.taken[0].argmax(1).tolist()
    assert all(1.0 <= step.time < 2.0 for step in seen.steps)


def test_a_varying_rate_and_a_turned_video(recognizer: AdaptiveRecognizer, tmp_path: Path) -> None:
    ticks = [*range(0, 1000, 50), *range(1500, 9500, 1000)]
    base = Fraction(1, 1000)
    varying = made.flicker(tmp_path / "v.mkv", len(ticks), codec="libx264", ticks=ticks, base=base, b_frames=0)
    turned = turn(made.flicker(tmp_path / "turned.mp4", 20, size=(64, 96)), 90)
    for path, seen in zip((varying, turned), look(recognizer, varying, turned), strict=True):
        logits, decisions = made.dense(recognizer, path)
        assert made.taken_by(seen) == decisions.taken[0].argmax(1).tolist()
        if not seen.guarded:
            torch.testing.assert_close(seen.logits, logits, atol=1e-4, rtol=0)
    times = [step.time for step in look(recognizer, varying)[0].steps]
    assert sum(time > 1.2 for time in times) >= 5, "candidates are spread over time, not over frames"


def test_a_short_video_repeats_its_last_frame(films: list[Path]) -> None:
    recognizer = made.model(ArNetOptions(**{**vars(made.OPTIONS), "skips": ()}))
    (seen,) = look(recognizer, films[4])
    assert [round(10 * step.time) for step in seen.steps] == [0, 1, 2, 3, 4, 4, 4, 4]
    assert seen.spent.consulted == 8 and seen.spent.decoded <= 6
