"""``kinoscope recognize --model``: one's own classes, where in time was looked, two models, pages, bad videos."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kinoscope.bert3d.feature_eye import FeatureEye
from kinoscope.bert3d.network import build_classifier
from kinoscope.bert3d.options import HeadName, HeadOptions
from kinoscope.bert3d.recognizer import TrainedRecognizer, load_recognizer
from kinoscope.data.feature_spec import FeatureSpec

from ..bert3d.made import perturbed
from ..encoders import tiny
from ..folders import files_below
from .conftest import Run
from .test_bad_input import HOSTILE, refused
from .test_flow import done

CLASSES = ("f\u00e4llt, steht auf", "sits", "\u5012\u308c\u308b")


def model(folder: str, seed: int = 0, classes: tuple[str, ...] = CLASSES, head: HeadName = "bert") -> TrainedRecognizer:
    """A recogniser with random weights on features of single frames and their change."""
    torch.manual_seed(seed)
    options = HeadOptions(head=head, heads=2)
    classifier = perturbed(build_classifier(options, 12, 8, len(classes)), seed).float()
    eye = FeatureEye(FeatureSpec(12, 8.0, 1, 2, "tiny-change"), 8, device="cpu", runtime="torch")
    whole = TrainedRecognizer(classifier, classes, eye, head=options, width=12, tokens=8, temperature=0.5)  # type: ignore
    whole.save(folder)
    return whole


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> Path:
    """A working folder with two films and a model."""
    monkeypatch.chdir(tmp_path)
    for number in range(2):
        tiny.film(tmp_path / "videos" / f"{number}.mp4", 30, seed=number)
    model("rgb")
    return tmp_path


def answers(folder: str, name: str, **given: Any) -> np.ndarray:
    return load_recognizer(folder, device="cpu", runtime="torch").recognize(f"videos/{name}.mp4", **given).probabilities


def told(found: dict[str, Any], name: str) -> dict[str, float]:
    return {row["label"]: row["score"] for row in found["results"][name]}


def test_answers_in_every_form(run: Run, place: Path) -> None:
    outputs = ("-o", "out/a.json", "--csv", "out/a.csv", "--html", "out/a.html")
    answer = run("recognize", "videos", "--model", "rgb", "-k", 2, *outputs)
    shown = done(answer)
    assert "probability" in shown and CLASSES[0] in shown and "Written: out/a.json" in answer.err
    found = json.loads((place / "out/a.json").read_text(encoding="utf-8"))
    rows = list(csv.DictReader((place / "out/a.csv").read_text(encoding="utf-8").splitlines()))
    page = (place / "out/a.html").read_text(encoding="utf-8")
    for name in ("0", "1"):
        expected = dict(zip(CLASSES, answers("rgb", name), strict=True))
        best = sorted(expected, key=lambda label: -expected[label])[:2]
        assert list(told(found, name)) == best
        assert told(found, name) == pytest.approx({label: expected[label] for label in best}, abs=1e-6)
        told_ = [(row["label"], float(row["probability"]), row["rank"]) for row in rows if row["video"] == name]
        assert told_ == [(label, pytest.approx(expected[label]), str(k)) for k, label in enumerate(best, 1)]
        assert best[0] in page
    printed = json.loads(done(run("recognize", "videos", "--model", "rgb", "-k", 2, "--json")))
    assert printed["results"] == found["results"]


def test_where_in_time_was_looked(run: Run, place: Path) -> None:
    plain = json.loads(done(run("recognize", "videos", "--model", "rgb", "--json")))
    words = ("recognize", "videos/0.mp4", "--model", "rgb", "--attention", "--json", "--html", "look.html")
    found = json.loads(done(run(*words)))
    assert told(found, "0") == pytest.approx(told(plain, "0"), abs=1e-5)
    looks = found["clips"]["0"]
    expected = load_recognizer("rgb", device="cpu", runtime="torch").recognize("videos/0.mp4", attention=True).looks
    assert len(looks) == len(expected) == 3
    for look, one in zip(looks, expected, strict=True):
        np.testing.assert_allclose(look["attention"], one.attention, atol=1e-5)
        np.testing.assert_allclose(look["spans"], one.spans, atol=1e-3)
        assert look["segment"] == pytest.approx([one.spans[0, 0], one.spans[-1, 1]])
        alone = {row["label"]: row["score"] for row in look["answers"]}
        assert alone == pytest.approx(dict(zip(CLASSES, one.probabilities, strict=True)), abs=1e-6)
    page = (place / "look.html").read_text(encoding="utf-8")
    assert "data:image/jpeg" in page and "attention" in page.lower()


def test_a_head_without_attention_has_none_to_tell(run: Run, place: Path) -> None:
    model("lstm", head="lstm")
    words = ("recognize", "videos/0.mp4", "--model", "lstm", "--attention", "--json", "--html", "look.html")
    found = json.loads(done(run(*words)))
    assert len(found["clips"]["0"]) == 3 and all("attention" not in look for look in found["clips"]["0"])


def test_the_clip_in_the_centre_alone(run: Run, place: Path) -> None:
    found = json.loads(done(run("recognize", "videos/0.mp4", "--model", "rgb", "--window", "centre", "--json")))
    centre = answers("rgb", "0", clips="centre")
    assert told(found, "0") == pytest.approx(dict(zip(CLASSES, centre, strict=True)), abs=1e-6)
    assert not np.allclose(centre, answers("rgb", "0"))


@pytest.mark.parametrize("rule", ["probabilities", "l2-logits"])
def test_two_models_are_joined(run: Run, place: Path, rule: str) -> None:
    model("flow", seed=1)
    words = ("recognize", "videos", "--model", "rgb", "--also", "flow", "--fusion", rule, "--json")
    found = json.loads(done(run(*words)))
    for name in ("0", "1"):
        each = [
            load_recognizer(one, device="cpu", runtime="torch").recognize(f"videos/{name}.mp4")
            for one in ("rgb", "flow")
        ]
        if rule == "probabilities":
            expected = np.mean([one.probabilities for one in each], axis=0)
        else:
            scores = sum(one.logits / np.linalg.norm(one.logits) for one in each)
            expected = np.exp(scores) / np.exp(scores).sum()
        assert told(found, name) == pytest.approx(dict(zip(CLASSES, expected, strict=True)), abs=1e-6)


def test_two_models_of_different_classes(run: Run, place: Path) -> None:
    model("other", classes=("a", "b"))
    refused(run("recognize", "videos", "--model", "rgb", "--also", "other"), "different classes", "other")
    model("turned", classes=CLASSES[::-1])
    refused(run("recognize", "videos", "--model", "rgb", "--also", "turned"), "different classes")


def test_videos_that_cannot_be_read_do_not_stop_others(run: Run, place: Path) -> None:
    (place / "videos" / "bad.mp4").write_bytes(b"no video")
    answer = run("recognize", "videos", "--model", "rgb", "--html", "page.html", "-o", "a.json")
    assert answer.code == 2 and "failed: videos/bad.mp4: " in " ".join(answer.err.split())
    assert "Traceback" not in answer.err and CLASSES[1] in answer.out and (place / "page.html").is_file()
    assert sorted(json.loads((place / "a.json").read_text())["results"]) == ["0", "1"]
    refused(run("recognize", "videos/bad.mp4", "--model", "rgb", "-o", "b.json"), "bad.mp4: ")
    assert not (place / "b.json").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--model", "none"), ("none", "no such file", "kinoscope train recognize")),
        (("--model", "videos"), ("videos", "no such file")),
        (("--model", "rgb", "--also", "none"), ("none",)),
        (("--model", "rgb", "--crops", 10), ("one crop", "--finetune")),
        (("--model", "rgb", "--window", "best"), ("best",)),
        (("--also", "rgb"), ("--also goes with --model",)),
        (("--attention",), ("--attention goes with --model",)),
        (("--crops", 10), ("--crops goes with --model",)),
        (("--window", "centre"), ("--window goes with --model",)),
        (("--model", "rgb", "--clips", 3), ("--clips goes without --model",)),
        (("--model", "rgb", "--encoder", "tiny-clips"), ("--encoder goes without --model",)),
        (("--model", "rgb", "--fusion", "l2-logits"), ("--fusion joins two models", "--also")),
    ],
    ids=str,
)
def test_impossible_wishes(run: Run, place: Path, words: tuple[object, ...], said: tuple[str, ...]) -> None:
    before = files_below(place)
    refused(run("recognize", "videos", *words, "-o", "a.json"), *said)
    assert files_below(place) == before


def test_nothing_is_shown_of_no_labels(run: Run, place: Path) -> None:
    answer = run("recognize", "videos", "--model", "rgb", "-k", 0)
    assert answer.code == 2 and "top is 0" in answer.err


def test_a_film_is_not_written_over(run: Run, place: Path) -> None:
    content = (place / "videos" / "0.mp4").read_bytes()
    answer = run("recognize", "videos", "--model", "rgb", "-o", "videos/0.mp4")
    assert answer.code == 2 and (place / "videos" / "0.mp4").read_bytes() == content


def test_hostile_classes_are_shown_harmlessly(run: Run, place: Path) -> None:
    model("rgb", classes=(f"<script>alert(1)</script>{HOSTILE}", "b"))
    answer = run("recognize", "videos", "--model", "rgb", "--attention", "--html", "page.html")
    assert answer.code == 0 and not {"\x1b", "\x07", "‮"} & set(answer.out + answer.err)
    page = (place / "page.html").read_text(encoding="utf-8")
    assert "<script>alert(1)" not in page and "\x1b" not in page
