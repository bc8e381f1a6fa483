"""``kinoscope index`` and ``kinoscope search`` as users call them."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kinoscope.search import open_index

from ..encoders import tiny
from .conftest import Answer, Run

INDEX = ("index", "videos", "--encoder", "tiny-clips", "--out", "runs/index", "--device", "cpu")


def done(answer: Answer) -> str:
    assert answer.code == 0, answer.err
    return answer.out


@pytest.fixture
def library(run: Run, here: Path) -> Path:
    """The three videos of ``here``, indexed, and one more beside them."""
    done(run(*INDEX))
    tiny.film(here / "query.mp4", 50, seed=42)
    return here


def search(run: Run, *words: object) -> dict[str, Any]:
    return json.loads(done(run("search", *words, "--in", "runs/index", "--json")))


def videos(found: dict[str, Any]) -> list[str]:
    return [each["video"] for each in found["results"]]


def test_an_index_is_made_told_and_made_again(run: Run, here: Path) -> None:
    out = done(run(*INDEX))
    assert "3 videos, 42 moments" in out and "3 encoded now, 0 already there" in out
    (here / "videos" / "1.mp4").unlink()
    again = json.loads(done(run(*INDEX, "--json")))
    assert again["dropped"] == ["1"] and again["skipped"] == ["0", "2"] and not again["extracted"]
    assert again["videos"] == 2 and again["bytes"] > 0 and again["encoder"] == "tiny-clips"
    assert open_index(here / "runs" / "index").source == "tiny-clips"


def test_a_bad_video_is_named_and_stops_nothing(run: Run, here: Path) -> None:
    (here / "videos" / "bad.mp4").write_text("no video")
    answer = run(*INDEX)
    assert answer.code == 2 and "3 videos" in answer.out and "failed: videos/bad.mp4" in answer.err


def test_the_size_of_frames_is_kept_for_queries(run: Run, here: Path) -> None:
    done(run(*INDEX, "--size", 40, "--fps", 8))
    index = open_index(here / "runs" / "index")
    assert index.encoder == index.source == "tiny-clips@40px" and index.time.fps == 8
    tiny.film(here / "copy.mp4", 60, seed=1)  # encoded alike, though not the same file
    assert done(run("search", "copy.mp4", "--in", "runs/index"))


def test_videos_and_moments(run: Run, library: Path) -> None:
    answer = run("search", "query.mp4", "--in", "runs/index")
    assert "Videos most like query" in done(answer) and "3 instead of 10 results" in answer.out
    found = search(run, "query.mp4", "--at", 2.5, "-k", 2)
    assert len(found["results"]) == 2 and found["query"]["span"] == [2.5, 2.5]
    first = found["results"][0]
    assert first["end"] - first["start"] == pytest.approx(0.8, abs=1e-3) and first["similarity"] <= 1
    many = search(run, "query.mp4", "--span", "1,3", "--per-video", 3, "--apart", 1, "-k", 9)["results"]
    assert len(many) == 9
    assert len(search(run, "query.mp4", "--at", 1, "--videos")["results"]) == 3
    assert search(run, "query.mp4", "--moments", "-k", 1)["results"][0]["end"] < 6


def test_the_query_itself_is_no_result(run: Run, library: Path) -> None:
    for query in ("1", "videos/1.mp4", "runs/index/features/1.safetensors"):
        assert sorted(videos(search(run, query))) == ["0", "2"]
        assert videos(search(run, query, "--include-self"))[0] == "1"
        best = search(run, query, "--at", 2.0, "--include-self")["results"][0]
        assert best["video"] == "1" and best["time"] == pytest.approx(2.0) and best["similarity"] > 0.9999
        others = search(run, query, "--at", 2.0, "--per-video", 20, "-k", 60)["results"]
        times = [each["time"] for each in others if each["video"] == "1"]
        assert times and all(abs(time - 2.0) > 0.8 - 1e-6 for time in times)


def test_every_file_tells_the_same(run: Run, library: Path) -> None:
    words = ("-o", "out/found.json", "--csv", "out/found.csv", "--html", "out/found.html")
    answer = run("search", "query.mp4", "--in", "runs/index", "--at", 2.5, *words)
    assert "Moments most like query at 2.5 s" in done(answer) and "Written: out/found.json" in answer.err
    found = json.loads((library / "out" / "found.json").read_text())["results"]
    rows = list(csv.DictReader((library / "out" / "found.csv").read_text().splitlines()))
    assert [row["video"] for row in rows] == [each["video"] for each in found]
    assert [float(row["time"]) for row in rows] == [each["time"] for each in found]
    assert all(Path(each["file"]).is_file() for each in found)
    page = (library / "out" / "found.html").read_text()
    assert page.count("<img") == 1 + len(found) and "../videos/" in page and "<script" not in page


def test_missing_videos_are_told_and_shown_without_a_picture(run: Run, library: Path) -> None:
    (library / "videos" / "1.mp4").unlink()
    answer = run("search", "query.mp4", "--in", "runs/index", "--html", "found.html")
    assert len(re.findall("no picture", done(answer) + (library / "found.html").read_text())) == 1
    assert "No picture of 1: there is no such file" in (library / "found.html").read_text()


def test_a_folder_of_features_is_searched_too(run: Run, library: Path) -> None:
    words = ("--in", "runs/index/features", "--json")
    plain = json.loads(done(run("search", "query.mp4", *words)))["results"]
    assert [each["video"] for each in plain] == videos(search(run, "query.mp4")) and plain[0]["file"] is None
    assert "1" not in videos(json.loads(done(run("search", "videos/1.mp4", *words))))  # told by its name
    answer = run("search", "query.mp4", *words, "--library", "videos", "--html", "found.html")
    assert all(each["file"] for each in json.loads(done(answer))["results"])
    assert "no picture" not in (library / "found.html").read_text()
    done(run("index", "runs/index/features", "--videos", "videos", "--out", "runs/other"))
    again = json.loads(done(run("search", "query.mp4", "--in", "runs/other", "--json")))
    assert videos(again) == videos(search(run, "query.mp4"))


def test_features_of_other_tools(run: Run, library: Path) -> None:
    for number in range(3):
        (library / "npy").mkdir(exist_ok=True)
        np.save(library / "npy" / f"{number}.npy", np.random.default_rng(number).normal(size=(9, 4)))
    time = ("--fps", 10, "--stride", 4, "--clip-length", 8)
    assert len(json.loads(done(run("search", "1", "--in", "npy", "--at", 2, "--json", *time)))["results"]) == 3
    refused = run("search", "1", "--in", "npy")
    assert refused.code == 2 and "--fps" in refused.err
    refused = run("search", "query.mp4", "--in", "npy", *time)
    assert refused.code == 2 and "does not say which encoder" in refused.err
    refused = run("search", "1", "--in", "runs/index", *time)
    assert refused.code == 2 and "an index knows its time" in refused.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nothing", "--in", "runs/index"], "no video of the index has this name"),
        (["1", "--in", "videos"], "holds neither an index nor features"),
        (["1", "--in", "gone"], "kinoscope index"),
        (["1", "--in", "runs/index", "--at", "9"], "there is no moment at 9 s: the video ends at 6.00 s"),
        (["query.mp4", "--in", "runs/index", "--at", "9"], "there is no moment at 9 s: the video ends at 5.00 s"),
        (["1", "--in", "runs/index", "--at", "-1"], "--at is -1.0"),
        (["1", "--in", "runs/index", "--at", "nan"], "--at is 'nan', but must be a finite number"),
        (["1", "--in", "runs/index", "--span", "3"], "--span 3.0,5.5"),
        (["1", "--in", "runs/index", "--span", "3,1"], "from a second on to a later one"),
        (["1", "--in", "runs/index", "--span", "1,3", "--at", "1"], "--at and --span are both given"),
        (["1", "--in", "runs/index", "--videos", "--moments"], "--moments and --videos are both given"),
        (["1", "--in", "runs/index", "-k", "0"], "-k is 0"),
        (["1", "--in", "runs/index", "--per-video", "0"], "--per-video is 0"),
        (["1", "--in", "runs/index", "--apart", "-1"], "--apart is -1.0"),
        (["1", "--in", "runs/index", "--library", "gone"], "no such folder of videos"),
        (["query.mp4", "--in", "runs/index", "--html", "query.mp4"], "would be replaced"),
        (["query.mp4", "--in", "runs/index", "--encoder", "tiny-frames"], "the index was made with cccccccccccccccc"),
        (["query.mp4", "--in", "runs/index", "--encoder", "gone"], "cannot be loaded: unknown encoder 'gone'"),
        (["\x1b[31m", "--in", "runs/index"], r"\x1b[31m"),
        (["1", "--in", "runs/index", "--engine", "abacus"], "engine"),
    ],
)
def test_bad_input_of_search(run: Run, library: Path, words: list[str], message: str) -> None:
    answer = run("search", *words)
    assert answer.code == 2 and message in answer.err.replace("\n", " ")
    assert "Traceback" not in answer.err and "\x1b" not in answer.err and not answer.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["gone", "--out", "x"], "no such folder"),
        (["videos", "--out", "x", "--videos", "videos"], "--videos goes with features"),
        (["runs/index/features", "--out", "x", "--encoder", "tiny-clips"], "--encoder goes with videos"),
        (["runs/index/features", "--out", "runs/index/features/x"], "would lie among the features"),
        (["videos", "--out", "labels.csv"], "cannot be written"),
        (["videos", "--out", "x", "--encoder", "gone"], "unknown encoder 'gone'"),
        (["videos", "--out", "runs/index", "--encoder", "tiny-frames"], "--overwrite"),
        (["videos", "--out", "x", "--clip-length", "2", "--encoder", "tiny-clips"], "clip_length is 2"),
    ],
)
def test_bad_input_of_index(run: Run, library: Path, words: list[str], message: str) -> None:
    answer = run("index", *words)
    assert answer.code == 2 and message in answer.err.replace("\n", " ") and "Traceback" not in answer.err
    assert not (library / "x").exists()


def test_faiss_finds_the_same_here(run: Run, library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("faiss", reason="faiss is not installed")
    monkeypatch.setenv("KINOSCOPE_CACHE", str(library / "cache"))
    exact, faiss = (search(run, "query.mp4", "--at", 2.5, "--engine", each) for each in ("exact", "faiss"))
    assert exact["results"] == faiss["results"] and "recall@10" in faiss["notes"][0]


def test_hostile_names_reach_neither_terminal_nor_page(run: Run, here: Path) -> None:
    (here / "videos" / "2.mp4").rename(here / "videos" / "<script>\x1b[31m.mp4")
    done(run(*INDEX))
    answer = run("search", "0", "--in", "runs/index", "--html", "found.html")
    assert "\x1b" not in done(answer) + answer.err
    page = (here / "found.html").read_text()
    assert "<script" not in page and "&lt;script&gt;" in page
