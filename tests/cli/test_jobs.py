"""``localize --jobs``: several processes find what one finds, and tell of what failed as one does."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest

from kinoscope.cli.sources import Jobs, find_sources
from kinoscope.encoders.sampling import Sampling

from ..encoders.test_trained import made
from .conftest import Run
from .test_bad_input import refused
from .test_flow import TRAINING, done


def numbers(path: Path) -> list[float]:
    """Of all segments; processes with another number of threads round otherwise."""
    results = json.loads(path.read_text())["results"]
    return [
        number for name in sorted(results) for each in results[name] for number in (*each["segment"], each["score"])
    ]


def test_the_same_as_one(run: Run, here: Path) -> None:
    made(Path("own"))  # other processes do not have the encoders of the tests
    done(run("extract", "videos", "--encoder", "own", "--out", "feats"))
    done(run("train", "localize", "labels.csv", "--features", "feats", "--out", "run", *TRAINING))
    (here / "videos" / "3.mp4").write_bytes(b"no video")
    (here / "videos" / "4.mp4").write_bytes((here / "videos" / "0.mp4").read_bytes()[:-400])
    options = ("--model", "run", "--device", "cpu", "--runtime", "torch", "--min-score", 0)
    one = run("localize", "videos", *options, "-o", "one.json", "--html", "one.html")
    two = run("localize", "videos", *options, "-o", "two.json", "--html", "two.html", "--jobs", 2)
    assert one.code == two.code == 2 and "3.mp4" in one.err and "3.mp4" in two.err
    assert numbers(here / "two.json") == pytest.approx(numbers(here / "one.json"), abs=1e-4)
    tables = [[line for line in answer.out.splitlines() if "of video in" not in line] for answer in (one, two)]
    assert tables[0] == tables[1] and len(tables[0]) > 9, "in the order of the files"


def test_boundaries_and_features_elsewhere(run: Run, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What travels to other processes makes the same eye; here without the processes."""
    done(run("extract", "videos", "--encoder", "tiny-change", "--out", "feats"))
    seen: list[Jobs] = []
    for module in ("kinoscope.cli.sources.look_into", "kinoscope.cli.boundaries.look_into"):
        monkeypatch.setattr(module, lambda _sources, _look, _title, jobs: seen.append(jobs) or ({}, {}))
    run("localize", "feats", "--boundaries", "--jobs", 3)
    run("localize", "videos", "--encoder", "tiny-clips", "--jobs", 3)
    features, videos = find_sources([Path("feats")], Sampling()), find_sources([Path("videos")], Sampling())
    for jobs, sources in zip(seen, (features, videos), strict=True):
        assert jobs.number == 3
        path = next(iter(sources.paths.values()))
        found = pickle.loads(pickle.dumps(jobs.make))()(path, lambda _seconds: None)
        assert found.duration == pytest.approx(6)


def test_refused(run: Run, here: Path) -> None:
    refused(run("localize", "videos", "--encoder", "tiny-clips", "--jobs", 0), "jobs is 0")
    refused(run("localize", "videos", "--model", "run", "--follow", "--jobs", 2), "--jobs does not go with --follow")
