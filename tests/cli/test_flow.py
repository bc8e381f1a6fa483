"""What a user does, from videos to a score, with a tiny encoder in the place of a real one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kinoscope.data.annotations import read_predictions
from kinoscope.data.feature_store import FeatureStore
from kinoscope.pipeline import load

from ..encoders import tiny
from ..folders import files_below
from .conftest import Run

TRAINING = ("--epochs", 2, "--warmup-epochs", 1, "--width", 16, "--levels", 2, "--device", "cpu")
ADAPTING = ("--hidden", 8, "--epochs", 1, "--batch-size", 4, "--device", "cpu")


def done(answer: object) -> str:
    assert answer.code == 0, answer.err  # type: ignore[attr-defined]
    return answer.out  # type: ignore[attr-defined]


def test_from_videos_to_a_score(run: Run, here: Path) -> None:
    done(run("extract", "videos", "--encoder", "tiny-change", "--out", "feats"))
    assert sorted(FeatureStore(here / "feats")) == ["0", "1", "2"]
    again = json.loads(done(run("extract", "videos", "--encoder", "tiny-change", "--out", "feats", "--json")))
    assert sorted(again["skipped"]) == ["0", "1", "2"] and not again["done"]

    done(run("adapt", "feats", "--out", "sola", "--labels", "labels.csv", *ADAPTING))
    run_info = json.loads((here / "sola" / "sola-adapter" / "run.json").read_text())
    assert run_info["task"]["videos"] == 2, "the labels say videos/0.mp4, the features 0"
    assert {features.encoder for features in FeatureStore(here / "sola").values()} == {"tiny-change+sola"}

    train = ("train", "localize", "labels.csv", "--features", "sola", "--out", "run", *TRAINING)
    assert "average_map: " in done(run(*train))
    assert "config.json" in files_below(here / "run") and "adapter/model.safetensors" in files_below(here / "run")
    refused = run(*train)
    assert refused.code == 2 and "--resume" in refused.err
    done(run(*train, "--resume"))

    outputs = ("-o", "out/new.json", "--csv", "out/new.csv", "--srt", "out/new.srt", "--html", "out/new.html")
    answer = run("localize", "videos/2.mp4", "--model", "run", "--min-score", 0, *outputs)
    assert "fall" in done(answer) and "Written: out/new.json" in answer.err
    assert files_below(here / "out") == ["new.csv", "new.html", "new.json", "new.srt"]
    predictions = read_predictions(here / "out" / "new.json")
    assert list(predictions.videos) == ["2"] and predictions.videos == read_predictions(here / "out/new.csv").videos
    assert [s.label for s in load("run").localize("videos/2.mp4")] == [
        s.label for s in predictions.videos["2"].segments
    ]
    assert "-->" in (here / "out" / "new.srt").read_text() and "<html" in (here / "out" / "new.html").read_text()

    for file in ("out/new.json", "out/new.csv"):
        answer = run("evaluate", file, "--gt", "labels.csv", "--protocol", "own", "--bootstrap", 50)
        assert "average mAP" in done(answer) and "'2' as 'videos/2'" in answer.err.replace("\n", " ")
    scores = json.loads(done(run("evaluate", "out/new.json", "--gt", "labels.csv", "--json")))
    assert scores["videos"] == 1 and {reason["kind"] for reason in scores["reasons"]} >= {"other_folder"}


def test_without_training(run: Run, here: Path) -> None:
    answer = run("localize", "videos", "--encoder", "tiny-clips", "--json", "--srt", "subs", "--html", "all.html")
    found = json.loads(done(answer))
    assert sorted(found["results"]) == ["0", "1", "2"]
    assert files_below(here / "subs") == ["0.srt", "1.srt", "2.srt"] and (here / "all.html").is_file()
    assert sorted(path.name for path in here.iterdir()) == ["all.html", "labels.csv", "subs", "videos"]


def test_recognize(run: Run, here: Path) -> None:
    found = json.loads(done(run("recognize", "videos", "--encoder", "tiny-clips", "-k", 2, "--json")))
    for rows in found["results"].values():
        assert len(rows) == 2 and 1 >= rows[0]["score"] >= rows[1]["score"] > 0
    assert "probability" in done(run("recognize", "videos/0.mp4", "--encoder", "tiny-clips"))


def test_probe(run: Run, here: Path) -> None:
    (here / "videos" / "bad.mp4").write_text("no video")
    answer = run("probe", "videos", "--json")
    rows = {Path(row["path"]).name: row for row in json.loads(answer.out)}
    assert answer.code == 1 and rows["0.mp4"]["readable"] and not rows["bad.mp4"]["readable"]
    assert "unreadable" in run("probe", "videos/bad.mp4").out
    assert run("probe", "videos/0.mp4", "--full").code == 0


def test_doctor(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KINOSCOPE_CACHE", str(tmp_path / "cache"))
    found = json.loads(run("doctor", "--json").out)
    assert "i3d-k400" in {encoder["name"] for encoder in found["encoders"]} and found["packages"]["torch"]
    assert not (tmp_path / "cache").exists(), "examining a machine changes nothing on it"


def test_a_config_file(run: Run, here: Path) -> None:
    (here / "extract.yaml").write_text("encoder: tiny-frames\nfps: 4\nout: feats\n")
    done(run("extract", "videos", "--config", "extract.yaml"))
    assert FeatureStore(here / "feats")["0"].time.fps == 4


def test_one_broken_video_among_good_ones(run: Run, here: Path) -> None:
    (here / "videos" / "bad.mp4").write_bytes(b"")
    answer = run("localize", "videos", "--encoder", "tiny-clips", "-o", "all.json")
    assert answer.code == 2 and "failed: videos/bad.mp4" in answer.err
    assert list(read_predictions(here / "all.json").videos) == ["0", "1", "2"]
    answer = run("extract", "videos", "--encoder", "tiny-frames", "--out", "feats")
    assert answer.code == 2 and "failed: videos/bad.mp4" in answer.err and "3 extracted" in answer.out


def test_videos_of_one_name_are_told_apart(run: Run, here: Path) -> None:
    tiny.film(here / "a" / "x" / "0.mp4", 10)
    tiny.film(here / "b" / "x" / "0.mp4", 10)
    words = ("a/x/0.mp4", here / "b/x/0.mp4", "videos", "videos/1.mp4", "./videos/0.mp4", "--encoder", "tiny-clips")
    done(run("localize", *words, "-o", "out.json", "--csv", "out.csv"))
    names = set(read_predictions(here / "out.json").videos)
    assert names == {"a/x/0", "b/x/0", "videos/0", "1", "2"} == set(read_predictions(here / "out.csv").videos)


def test_the_labels_of_a_report_are_escaped(run: Run, here: Path) -> None:
    evil = "<script>alert(1)</script>"
    (here / "labels.csv").write_text((here / "labels.csv").read_text().replace("fall", f'"{evil}"'))
    (here / "videos" / "2.mp4").rename(here / "videos" / "<img src=x onerror=alert(1)>.mp4")
    done(run("extract", "videos", "--encoder", "tiny-frames", "--out", "feats"))
    labels = (here / "labels.csv").read_text().splitlines()
    (here / "labels.csv").write_text("\n".join(labels[:-1]))
    done(run("train", "localize", "labels.csv", "--features", "feats", "--out", "run", *TRAINING))
    done(run("localize", "videos", "--model", "run", "--min-score", 0, "--html", "out.html"))
    page = (here / "out.html").read_text()
    assert evil not in page and "<img src=x" not in page
