"""``kinoscope localize --follow``: from a trained causal head to segments of a stream, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kinoscope.data.annotations import read_predictions

from ..encoders import tiny
from .conftest import Run
from .test_flow import done

QUICK = ("--epochs", 3, "--warmup-epochs", 1, "--width", 16, "--levels", 2, "--device", "cpu")


@pytest.fixture
def causal(run: Run, here: Path) -> Path:
    done(run("extract", "videos", "--encoder", "tiny-change", "--out", "feats"))
    train = ("train", "localize", "labels.csv", "--features", "feats", "--out", "run", "--causal")
    done(run(*train, *QUICK))
    return here


def test_a_stream_is_followed(run: Run, causal: Path) -> None:
    tiny.film(causal / "live.mkv", 90, seed=9)
    words = ("localize", "live.mkv", "--model", "run", "--follow", "--wait", 0.1, "--min-score", 0)
    more = ("--candidate-score", 0.0, "--json", "-o", "out.json")
    answer = run(*words, *more)
    lines = [json.loads(line) for line in done(answer).splitlines()]
    found = read_predictions(causal / "out.json").videos["live"].segments
    assert len(lines) == len(found) > 0 and {line["label"] for line in lines} <= {"fall", "sit"}
    assert all(line["delay"] >= -1e-6 and line["segment"][1] <= line["at"] + 1e-6 for line in lines)
    assert "after their end (median)" in answer.err
    people = done(run(*words, "--candidate-score", 0.0))
    assert "after its end)" in people and len(people.splitlines()) >= len(lines)
    assert "Nothing was found" in run(*words, "--candidate-score", 1.0).err


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        (("--follow",), "--follow needs a --model"),
        (("--follow", "--model", "run", "--html", "x.html"), "--follow prints"),
        (("--follow", "--model", "run", "--wait", "0"), "wait is 0"),
        (("--candidate-score", "0.5"), "go with --follow"),
    ],
)
def test_what_is_refused(run: Run, here: Path, more: tuple[str, ...], problem: str) -> None:
    answer = run("localize", "videos/0.mp4", *more)
    assert answer.code == 2 and problem in answer.err.replace("\n", " ")


def test_standard_input_without_follow(run: Run, here: Path) -> None:
    answer = run("localize", "-", "--model", "run")
    assert answer.code == 2 and "standard input" in answer.err and "add --follow" in answer.err


def test_a_head_that_looks_ahead_is_refused(run: Run, here: Path) -> None:
    done(run("extract", "videos", "--encoder", "tiny-change", "--out", "feats"))
    done(run("train", "localize", "labels.csv", "--features", "feats", "--out", "run", *QUICK))
    answer = run("localize", "videos/0.mp4", "--model", "run", "--follow")
    assert answer.code == 2 and "looks ahead" in answer.err and "--causal" in answer.err.replace("\n", " ")
    assert run("localize", "videos/0.mp4", "videos/1.mp4", "--model", "run", "--follow").code == 2
