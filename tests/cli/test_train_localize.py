"""``train localize --sola``: from videos to a model that takes raw video, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kinoscope.data.annotations import read_predictions
from kinoscope.localize.heads import list_heads
from kinoscope.pipeline import load
from kinoscope.sola import SoLa

from ..folders import files_below
from .conftest import Run
from .test_bad_input import refused
from .test_flow import TRAINING, done

SOLA = ("--hidden", 8, "--size", 4, "--step", 1, "--margin", 2, "--kernel", 3)


@pytest.fixture
def extracted(run: Run, here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with features of the videos."""
    monkeypatch.setattr("kinoscope.sola.train._STEPS_PER_EPOCH", 2)
    done(run("extract", "videos", "--encoder", "tiny-change", "--out", "feats"))
    return here


def words(sola: str, *more: object) -> tuple[object, ...]:
    train = ("train", "localize", "labels.csv", "--features", "feats", "--out", "run", "--sola", sola)
    return (*train, *SOLA, *more, *TRAINING)


@pytest.mark.parametrize("sola", ["joint", "unified", "two-stage"])
def test_a_model_that_takes_raw_video(run: Run, extracted: Path, sola: str) -> None:
    answer = done(run(*words(sola, "--sola-preset", "direct")))
    assert "average_map: " in answer and "SoLa: gate tanh α = " in answer
    assert {"adapter/config.json", "adapter/model.safetensors"} <= set(files_below(extracted / "run"))
    assert json.loads((extracted / "run" / "config.json").read_text())["features"]["encoder"] == "tiny-change+sola"
    model = load("run", device="cpu")
    assert isinstance(model.adapter, SoLa) and model.head is not None
    assert (model.adapter.options.size, model.adapter.options.predictor) == (4, False)
    done(run("localize", "videos/2.mp4", "--model", "run", "--min-score", 0, "-o", "out.json"))
    found, written = model.analyse("videos/2.mp4"), read_predictions(extracted / "out.json").videos["2"].segments
    assert found.adapted is not None and found.segments == model.head.localize_features(found.adapted)
    assert [s.label for s in found.segments] == [s.label for s in written] and written
    assert [s.start for s in written] == pytest.approx([s.start for s in found.segments], abs=2e-3)


@pytest.mark.parametrize("head", list_heads())
def test_any_head(run: Run, extracted: Path, head: str) -> None:
    size = ("--levels", 2) if head in ("actionformer", "tridet") else ()
    train = ("train", "localize", "labels.csv", "--features", "feats", "--head", head, "--out", "run")
    quick = ("--epochs", 2, "--warmup-epochs", 1, "--width", 16, *size, "--device", "cpu")
    assert "average_map: " in done(run(*train, *quick))
    page = (extracted / "run" / "overview.html").read_text()
    assert "Held-out videos" in page and "mAP" in page and "Loss" in page and "not over yet" not in page
    assert json.loads((extracted / "run" / "config.json").read_text())["head"]["name"] == head
    done(run(*train, *quick, "--resume"))
    done(run("localize", "videos/2.mp4", "--model", "run", "--min-score", 0, "-o", "out.json", "--html", "out.html"))
    segments = read_predictions(extracted / "out.json").videos["2"].segments
    assert segments and [s.label for s in load("run").localize("videos/2.mp4")] == [s.label for s in segments]


def test_a_head_that_there_is_not(run: Run, extracted: Path) -> None:
    train = ("train", "localize", "labels.csv", "--features", "feats", "--out", "run")
    refused(run(*train, "--head", "ssn"), "head", "actionformer")
    refused(run(*train, "--head", "gtad", "--levels", 2), "levels is given, but head is 'gtad'")


def test_resumed_only_as_it_began(run: Run, extracted: Path) -> None:
    done(run(*words("joint")))
    refused(run(*words("joint")), "already holds a run", "--resume")
    done(run(*words("joint", "--resume")))
    refused(run(*words("joint", "--lam", 4, "--resume")), "lam was 16.0, now 4.0")
    refused(run(*words("two-stage", "--resume")), "already holds a run of another kind")


def test_options_of_sola_without_it(run: Run, extracted: Path) -> None:
    refused(run(*words("none")), "hidden, kernel, size, step, margin belong to SoLa", "joint")
    train = ("train", "localize", "labels.csv", "--features", "feats", "--out", "run", *TRAINING)
    refused(run(*train, "--sola-preset", "direct"), "--sola-preset is an option of SoLa", "--sola")
    refused(run(*train, "--sola-weight", 2), "sola_weight")
    refused(run(*train, "--sola", "both"), "sola", "two-stage")
    assert not (extracted / "run").exists()


def test_adapted_features_are_not_adapted_again(run: Run, extracted: Path) -> None:
    done(run("adapt", "feats", "--out", "smooth", "--method", "moving-average"))
    train = ("train", "localize", "labels.csv", "--features", "smooth", "--out", "run", "--sola", "joint", *TRAINING)
    refused(run(*train), "adapted already", "kinoscope extract")


def test_segments_with_the_labels_of_a_classifier(run: Run, extracted: Path) -> None:
    one = (extracted / "labels.csv").read_text().replace("fall", "action").replace("sit", "action")
    (extracted / "one.csv").write_text(one)
    done(run("train", "localize", "one.csv", "--features", "feats", "--out", "run", *TRAINING))
    scores = extracted / "scores.json"
    scores.write_text(json.dumps({"results": {"2": [{"label": "dive", "score": 0.9}, {"label": "run", "score": 0.4}]}}))
    words = ("localize", "videos/2.mp4", "--model", "run", "--min-score", 0, "-o", "out.json")
    done(run(*words, "--fuse-classifier", "scores.json"))
    found = read_predictions(extracted / "out.json").videos["2"].segments
    assert {segment.label for segment in found} == {"dive", "run"} and found[0].label == "dive"
    (extracted / "named.csv").write_text("video,start,end,label\n2,2,4,dive\n")
    answer = run("evaluate", "out.json", "--gt", "named.csv", "--html", "eval.html")
    said = "scores.json (SHA-256 "
    assert f"Classifier of videos: {said}" in " ".join(done(answer).split()) and said in Path("eval.html").read_text()
    answer = run("localize", "videos", "--model", "run", "--fuse-classifier", "scores.json")
    assert answer.code == 2 and "no scores of 2 of 3 videos, first '0'" in answer.err.replace("\n", " ")
    answer = run("localize", "videos/2.mp4", "--boundaries", "--fuse-classifier", "scores.json")
    assert answer.code == 2 and "does not go with --fuse-classifier" in answer.err.replace("\n", " ")
    done(run("train", "localize", "labels.csv", "--features", "feats", "--out", "many", *TRAINING))
    answer = run("localize", "videos/2.mp4", "--model", "many", "--fuse-classifier", "scores.json")
    assert answer.code == 2 and "names segments of a model with one label" in answer.err.replace("\n", " ")


def test_end_to_end(run: Run, here: Path) -> None:
    done(run("extract", "videos", "--encoder", "tiny-lite", "--out", "feats"))
    train = ("train", "localize", "labels.csv", "--features", "feats", "--out", "run", *TRAINING)
    refused(run(*train, "--end-to-end", 1), "looks at the videos again", "--videos")
    refused(run(*train, "--videos", "videos"), "go with --end-to-end")
    refused(run(*train, "--end-to-end", 1, "--videos", "videos", "--sola", "joint"), "but sola is 'joint'")
    refused(run(*train, "--end-to-end", 1, "--videos", "feats"), "holds no videos")
    refused(run(*train, "--end-to-end", 99, "--videos", "videos"), "choose from 1 to 17")
    refused(run(*train, "--end-to-end", 1, "--videos", "videos/0.mp4"), "no video for 2 of 3 feature files")
    answer = run(*train, "--end-to-end", 1, "--videos", "videos")
    assert "Encoder, trained with the head → run/encoder" in done(answer) and "MB in run/maps" in answer.err
    assert len([path for path in files_below(here / "run" / "maps") if path.endswith(".safetensors")]) == 3
    done(run(*train, "--end-to-end", 1, "--videos", "videos", "--resume"))
    refused(run(*train, "--end-to-end", 2, "--videos", "videos", "--resume"), "trained_blocks was 1, now 2")
    done(run("localize", "videos/2.mp4", "--model", "run", "--min-score", 0, "-o", "out.json"))
    assert read_predictions(here / "out.json").videos["2"].segments
    refused(run("localize", "feats", "--model", "run"), "features come from encoder 'tiny-lite'")
    done(run("extract", "videos", "--encoder", "run", "--out", "tuned"))  # the run stands for its encoder
    done(run("localize", "tuned", "--model", "run", "--min-score", 0))
    again = json.loads(
        done(run("extract", "videos", "--encoder", here / "run" / "encoder", "--out", "tuned", "--json"))
    )
    assert sorted(again["skipped"]) == ["0", "1", "2"]
    (here / "videos" / "0.mp4").unlink()
    refused(run(*train, "--end-to-end", 1, "--videos", "videos"), "already holds a run")  # before the videos are read
