"""``kinoscope train recognize``: from videos in any layout to a recogniser, its scores, a page of its mistakes."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kinoscope.bert3d.recognizer import load_recognizer
from kinoscope.data.feature_store import FeatureStore
from kinoscope.pipeline import load

from ..data import trees
from ..encoders import tiny
from ..folders import files_below, names_in
from .conftest import Run
from .test_bad_input import HOSTILE, refused
from .test_flow import done

TRAINING = ("--epochs", 2, "--heads", 2, "--device", "cpu")
LABELS = ("klatscht ünd lacht", "\u5012\u308c\u308b")


def films(folder: Path, count: int = 10, frames: int = 20) -> None:
    """Films ``v0.mp4`` … and their table: class by class in turns, the last four are for the test."""
    rows = [("video", "label", "split")]
    for number in range(count):
        tiny.film(folder / "videos" / f"v{number}.mp4", frames, seed=number)
        rows.append((f"videos/v{number}.mp4", LABELS[number % 2], "test" if number >= count - 4 else "train"))
    with (folder / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with ten labelled films."""
    films(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def train(labels: str = "labels.csv", out: str = "run", *more: object) -> tuple[object, ...]:
    return ("train", "recognize", labels, "--encoder", "tiny-change", "--out", out, *more, *TRAINING)


def scores(out: str = "run") -> dict[str, Any]:
    return json.loads((Path(out) / "scores.json").read_text(encoding="utf-8"))


# --- from videos to scores -----------------------------------------------------------------------------------------


def test_from_videos_to_scores_and_a_page(run: Run, place: Path) -> None:
    answer = run(*train())
    shown = " ".join(done(answer).split())
    assert "Test: 4 clips, 2 classes" in shown and "Worst mistakes → run/mistakes.html" in shown
    assert "kinoscope recognize VIDEO --model run" in shown and "test as marked" in shown
    written = files_below(place / "run")
    assert {"config.json", "model.safetensors", "scores.json", "mistakes.html", "metrics.jsonl", "run.json"} <= set(
        written
    )
    assert sorted(FeatureStore(place / "run" / "features")) == [f"videos/v{n}" for n in range(10)]
    found = scores()
    assert found["scored"] == "test" and found["clips"] == 4 and found["train"] == 4 and found["missing"] == {}
    assert found["classes"] == sorted(LABELS)
    page = (place / "run" / "mistakes.html").read_text(encoding="utf-8")
    assert "<html" in page and LABELS[0] in page


def test_the_scores_are_what_the_model_says_of_the_test_videos(run: Run, place: Path) -> None:
    done(run(*train()))
    model = load_recognizer("run", device="cpu")
    assert set(model.classes) == set(LABELS) and len(scores()["videos"]) == 4
    right = []
    for name, row in scores()["videos"].items():
        best, probability = model.recognize(Path("videos") / f"{Path(name).stem}.mp4").best(1)[0]
        assert (best, round(probability, 5)) == (row["answer"], round(row["probability"], 5))
        right.append(row["answer"] == row["label"])
    assert scores()["accuracy"] == pytest.approx(np.mean(right))


def test_json_is_all_that_is_printed(run: Run, place: Path) -> None:
    found = json.loads(done(run(*train("labels.csv", "run", "--json"))))
    assert found["scored"] == "test" and 0 <= found["interval"][0] <= found["accuracy"] <= found["interval"][1] <= 1
    assert found["accuracy"] == scores()["accuracy"]


def test_a_run_is_not_overwritten_but_goes_on(run: Run, place: Path) -> None:
    done(run(*train()))
    first = (place / "run" / "model.safetensors").read_bytes()
    refused(run(*train()), "already holds a run", "--resume")
    done(run(*train("labels.csv", "run", "--resume")))
    assert (place / "run" / "model.safetensors").read_bytes() == first
    refused(run(*train("labels.csv", "run", "--resume", "--learning-rate", 1)), "learning_rate was")


def test_features_are_computed_once_and_suffice_alone(run: Run, place: Path) -> None:
    done(run(*train("labels.csv", "a", "--features", "feats", "--head", "lstm")))
    times = {path: path.stat().st_mtime_ns for path in (place / "feats").rglob("*.safetensors")}
    done(run(*train("labels.csv", "b", "--features", "feats", "--head", "lstm")))
    assert times == {path: path.stat().st_mtime_ns for path in (place / "feats").rglob("*.safetensors")}
    alone = ("train", "recognize", "labels.csv", "--features", "feats", "--out", "c", "--head", "lstm", *TRAINING)
    done(run(*alone))
    for film in place.rglob("*.mp4"):
        film.unlink()  # features are enough
    done(run(*(word if word != "c" else "d" for word in alone)))
    weights = [(place / name / "model.safetensors").read_bytes() for name in "abcd"]
    assert len(set(weights)) == 1 and not (place / "a" / "features").exists()


def test_the_official_recipe_and_an_option_above_it(run: Run, place: Path) -> None:
    done(run(*train("labels.csv", "run", "--preset", "official")))
    task = json.loads((place / "run" / "run.json").read_text())["task"]
    assert (task["learning_rate"], task["schedule"], task["head"]["dropout"]) == (1e-5, "plateau", 0.8)
    assert task["head"]["heads"] == 2, "given by hand"


# --- layouts -------------------------------------------------------------------------------------------------------


def test_a_folder_per_class(run: Run, place: Path) -> None:
    for number in range(10):
        source = place / "videos" / f"v{number}.mp4"
        target = place / "sorted" / LABELS[number % 2] / f"v{number // 2}.mp4"  # names are of one class only
        target.parent.mkdir(parents=True, exist_ok=True)
        source.rename(target)
    assert "no test part is marked" in " ".join(done(run(*train("sorted"))).split())
    assert set(load_recognizer("run").classes) == set(LABELS)


def test_segments_of_long_videos(run: Run, place: Path) -> None:
    tiny.film(place / "long" / "a b.mp4", 80, seed=1)
    tiny.film(place / "long" / "c.mp4", 80, seed=2)
    lines = ["video,start,end,label,split"]
    for file, split in (("a b", "train"), ("c", "test")):
        lines += [f"{file}.mp4,{n},{n + 0.9},{LABELS[n % 2]},{split}" for n in range(6)]
    (place / "segments.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    done(run(*train("segments.csv", "run", "--videos", "long")))
    assert scores()["clips"] == 6 and sorted(scores()["videos"])[0].endswith("#1")
    assert load_recognizer("run").tokens < 10


def test_all_official_splits(run: Run, place: Path) -> None:
    root = trees.ucf101(place / "UCF101", suffix=".mp4")
    for number, path in enumerate(sorted(root.rglob("*.mp4"))):
        path.unlink()
        tiny.film(path, 12, seed=number)
    answer = run(*train("UCF101", "run", "--split", "all", "--epochs", 1))
    shown = " ".join(done(answer).split())
    assert "Accuracy on the official splits" in shown and "split 1" in shown and "mean" in shown
    summary = json.loads((place / "run" / "splits.json").read_text())
    each = [summary["splits"][name]["accuracy"] for name in ("1", "2")]
    assert summary["mean"] == pytest.approx(np.mean(each)) and list(summary["splits"]) == ["1", "2"]
    half = 1.96 * np.std(each, ddof=1) / 2**0.5
    assert summary["interval"] == pytest.approx([summary["mean"] - half, summary["mean"] + half])
    assert scores("run/split1")["clips"] == 8 and scores("run/split2")["clips"] == 4
    assert "features" in names_in(place / "run") and "features" not in names_in(place / "run" / "split1")
    assert load("run/split2", device="cpu").classes == ("ApplyEyeMakeup", "HandstandPushups")
    refused(run(*train("UCF101", "other", "--split", 3)), "has no split 3")


# --- the encoder too -----------------------------------------------------------------------------------------------


def test_the_encoder_is_trained_too(run: Run, place: Path) -> None:
    clips = ("--frames", 8, "--clip-fps", 10, "--clip-size", 32, "--width", 0.125, "--cache", "cache")
    words = ("train", "recognize", "labels.csv", "--encoder", "r2plus1d-18", "--finetune", "--out", "run")
    shown = " ".join(done(run(*words, *clips, *TRAINING)).split())
    assert "Test: 4 clips, 2 classes" in shown
    assert {"encoder/config.json", "encoder/model.safetensors", "mistakes.html"} <= set(files_below(place / "run"))
    assert (place / "cache").is_dir() and not (place / "run" / "cache").exists()
    for name, row in scores()["videos"].items():
        found = json.loads(done(run("recognize", f"{name}.mp4", "--model", "run", "-k", 1, "--json")))
        ((best,),) = found["results"].values()
        assert best["label"] == row["answer"] and best["score"] == pytest.approx(row["probability"], abs=1e-4)
    assert run("recognize", "videos", "--model", "run", "--crops", 10, "--window", "centre").code == 0
    done(run("extract", "videos", "--encoder", "run", "--out", "feats"))
    assert {each.width for each in FeatureStore(place / "feats").values()} == {64}
    done(run(*words, *clips, *TRAINING, "--resume"))


# --- what goes wrong -----------------------------------------------------------------------------------------------


def test_videos_that_cannot_be_read_are_left_out_and_told(run: Run, place: Path) -> None:
    (place / "videos" / "v0.mp4").write_bytes(b"no video")
    (place / "videos" / "v9.mp4").write_bytes(b"")
    answer = run(*train())
    assert answer.code == 2 and "Traceback" not in answer.err
    shown = " ".join(answer.err.split())
    assert "failed: videos/v0: " in shown and "failed: videos/v9: " in shown
    assert "2 videos could not be read and are left out" in shown
    assert scores()["clips"] == 3 and len(scores()["missing"]) == 2
    assert load_recognizer("run").classes


def test_no_video_can_be_read(run: Run, place: Path) -> None:
    for path in (place / "videos").iterdir():
        path.write_bytes(b"no video")
    refused(run(*train()), "no video could be read")
    assert not (place / "run" / "config.json").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--features", "none"), ("none",)),
        ((), ("neither features nor an encoder", "--encoder")),
        (("--finetune",), ("--finetune trains an encoder", "--encoder")),
        (("--finetune", "--encoder", "tiny-clips", "--features", "feats"), ("not on features",)),
        (("--finetune", "--encoder", "tiny-frames"), ("single frames", "--finetune")),
        (("--encoder", "tiny-clip"), ("tiny-clips",)),
        (("--encoder", "tiny-change", "--head", "brt"), ("brt",)),
        (("--encoder", "tiny-change", "--heads", 5), ("5 heads do not divide 12 channels",)),
        (("--encoder", "tiny-change", "--tokens", 0), ("tokens is 0",)),
        (("--encoder", "tiny-change", "--tokens", 10**9), ("tokens is 1000000000",)),
        (("--encoder", "tiny-change", "--head", "lstm", "--hidden", 10**9), ("hidden is 1000000000",)),
        (("--encoder", "tiny-change", "--head", "lstm", "--hidden", 0), ("hidden is 0",)),
        (("--encoder", "tiny-change", "--frames", 16), ("--frames", "go with --finetune")),
        (("--encoder", "tiny-clips", "--finetune", "--stride", 4), ("--stride", "go with a frozen encoder")),
        (("--encoder", "tiny-clips", "--finetune", "--frames", 0), ("frames is 0",)),
        (
            (
                "--encoder",
                "r2plus1d-18",
            ),
            ("backbone without weights", "--finetune"),
        ),
        (("--encoder", "tiny-change", "--split", "two"), ("split is 'two'",)),
        (("--encoder", "tiny-change", "--keep", 2), ("keep is 2",)),
        (("--encoder", "tiny-change", "--groups", "("), ("no regular expression",)),
        (("--encoder", "tiny-change", "--videos", "nowhere"), ("nowhere",)),
        (("--encoder", "tiny-change", "--learning-rate", 1e30), ("lower the learning rate",)),
    ],
    ids=str,
)
def test_impossible_wishes(run: Run, place: Path, words: tuple[object, ...], said: tuple[str, ...]) -> None:
    call = ("train", "recognize", "labels.csv", "--out", "run", "--epochs", 3, "--device", "cpu")
    heads = () if "--heads" in words else ("--heads", 2)
    refused(run(*call, *heads, *words), *said)
    assert not (place / "run" / "config.json").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("video,label\nvideos/v0.mp4,a\nvideos/v1.mp4,a\n", "nothing to tell apart"),
        ("video,label\nvideos/v0.mp4,a\nvideos/v99.mp4,b\n", "v99"),
        ("video,label,split\nvideos/v0.mp4,a,test\nvideos/v1.mp4,b,test\n", "no clip is in a subset 'train'"),
        ("", "labels.csv"),
        ("clip;klass\n1;2\n", "labels.csv"),
    ],
    ids=["one class", "missing video", "no training part", "empty", "no table"],
)
def test_labels_that_cannot_be_learned(run: Run, place: Path, text: str, said: str) -> None:
    (place / "labels.csv").write_text(text)
    refused(run(*train()), said)
    assert not (place / "run").exists()


def test_hostile_labels_are_shown_harmlessly(run: Run, place: Path) -> None:
    text = (place / "labels.csv").read_text(encoding="utf-8").replace(LABELS[0], f"<b>{HOSTILE}")
    (place / "labels.csv").write_text(text, encoding="utf-8")
    answer = run(*train())
    assert answer.code == 0 and not {"\x1b", "\x07", "‮"} & set(answer.out + answer.err)
    assert "<b>\x1b" not in (place / "run" / "mistakes.html").read_text(encoding="utf-8")


def test_the_page_is_written_anew_while_training(run: Run, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr("kinoscope.cli.recognize_scores._SECONDS_BETWEEN", 0.0)
    from kinoscope.cli import recognize_scores

    write = recognize_scores.write_mistakes_page
    monkeypatch.setattr(
        recognize_scores, "write_mistakes_page", lambda path, page: (seen.append(page.title), write(path, page))
    )
    done(run(*train("labels.csv", "run", "--html", "out/worst.html")))
    assert seen == [*["Training: mistakes on validation clips so far"] * 2, "Mistakes on 4 test clips"]
    assert (place / "out" / "worst.html").is_file() and not (place / "run" / "mistakes.html").exists()
