"""The curve of a model: measured on validation clips, and what its settings do on the same clips again."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from kinoscope.arnet.curve import guarded, measure_curve, segments_tried
from kinoscope.arnet.looks import Looks, Wanted
from kinoscope.arnet.model import AdaptiveRecognizer
from kinoscope.arnet.network import Decisions
from kinoscope.arnet.networks import Networks
from kinoscope.arnet.spending import Setting, Spending
from kinoscope.data.labelled_clips import LabelledClip

from . import made

LABELS = torch.tensor([0, 1, 2, 0, 1])


def evaluate(logits: torch.Tensor) -> dict[str, float]:
    score = float((logits.argmax(1) == LABELS).float().mean())
    return {"score": score, "loss": float(F.cross_entropy(logits.double(), LABELS))}


@pytest.fixture(scope="module")
def recognizer() -> AdaptiveRecognizer:
    return made.model()


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[LabelledClip]:
    folder = tmp_path_factory.mktemp("films")
    return [LabelledClip(f"v{n}", made.flicker(folder / f"{n}.mp4", 40, seed=n), "a") for n in range(5)]


@pytest.fixture(scope="module")
def curve(
    recognizer: AdaptiveRecognizer, clips: list[LabelledClip], tmp_path_factory: pytest.TempPathFactory
) -> list[Setting]:
    networks = Networks(recognizer.network, made.OPTIONS, device="cpu", runtime="torch")
    looks = Looks(tmp_path_factory.mktemp("looks"), made.OPTIONS, made.TRAINING, networks)
    tried = segments_tried(made.OPTIONS.segments)
    assert looks.prepare([Wanted(clip, False, tried) for clip in clips]) == {}
    return measure_curve(made.joint(recognizer), looks, clips, evaluate, recognizer.costs, tried)


def test_numbers_of_frames_that_are_tried() -> None:
    assert segments_tried(16) == (4, 8, 16, 32) and segments_tried(1) == (1, 2) and segments_tried(3) == (1, 3, 6)


def test_cheaper_first_and_the_dearer_the_better(curve: list[Setting]) -> None:
    assert len(curve) >= 4
    for cheap, dear in pairwise(curve):
        assert cheap.gmac < dear.gmac and cheap.loss > dear.loss
    assert len({setting.frames for setting in curve}) > 1 and len({setting.bias for setting in curve}) > 2


def test_every_setting_does_again_what_it_did(
    recognizer: AdaptiveRecognizer, clips: list[LabelledClip], curve: list[Setting]
) -> None:
    for setting in curve:
        spending = Spending(frames=setting.frames, bias=setting.bias)
        found = [recognizer.recognize(clip.path, spending=spending) for clip in clips]
        scores = evaluate(torch.from_numpy(np.stack([each.logits for each in found])))
        assert scores["score"] == setting.score and scores["loss"] == pytest.approx(setting.loss, abs=1e-4)
        needed = [each.spent.gmac - each.spent.in_vain * recognizer.costs.policy for each in found]
        assert np.mean(needed) == pytest.approx(setting.gmac)
        assert np.mean([each.spent.consulted for each in found]) == pytest.approx(setting.consulted)
        unguarded = [np.zeros(4) if each.guarded else np.asarray(each.spent.used) for each in found]
        assert np.mean(unguarded, axis=0) == pytest.approx(setting.used)


def test_where_everything_was_skipped_the_last_look_answers() -> None:
    taken = F.one_hot(torch.tensor([[6, 6, 6, 6, 4], [6, 6, 6, 6, 3], [5, 5, 4, 5, 5]]), 7).float()
    consulted = torch.tensor([[1, 0, 0, 0, 1], [1, 0, 0, 0, 1], [1, 0, 1, 1, 0]]).bool()
    own = torch.arange(30.0).reshape(3, 5, 2)
    found = guarded(torch.randn(3, 5, 3, 2), Decisions(taken, consulted, own, own))
    assert found.tolist() == [own[0, 4].tolist(), own[1, 4].tolist(), own[2, 3].tolist()]


def test_a_model_meets_its_curve_by_budget(clips: list[LabelledClip], curve: list[Setting], tmp_path: Path) -> None:
    recognizer = made.model(curve=curve)
    for setting in (curve[0], curve[-1]):
        for clip in clips:
            found = recognizer.recognize(clip.path, budget=f"{setting.gmac!r}gmac")
            assert (found.spending.frames, found.spending.bias) == (setting.frames, setting.bias)
            assert found.spent.gmac <= setting.gmac * (1 + 1e-6)
