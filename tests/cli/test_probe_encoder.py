"""``kinoscope probe-features --data``: from encoders and labels to scores, and what it says of what does not fit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from kinoscope.data.features import Features, FeatureTime, write_features

from ..coclr import made_encoders
from ..folders import files_below
from .conftest import Run
from .test_bad_input import HOSTILE, refused
from .test_probe_features import words


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve videos of two colours, labels, a run with two streams, an encoder, and stored features."""
    folder = tmp_path_factory.mktemp("probe")
    films = made_encoders.videos(folder / "clips", each=6, frames=10)
    rows = [
        f"clips/{name}.mp4,{'red' if name[0] == '0' else 'green'},{'test' if name[2] > '3' else 'train'}"
        for name in films
    ]
    (folder / "labels.csv").write_text("\n".join(["video,label,split", *rows]) + "\n")
    for number, stream in enumerate(("rgb", "flow")):
        made_encoders.encoder(folder / "runs" / "coclr" / stream, stream, seed=number)  # type: ignore[arg-type]
    made_encoders.encoder(folder / "runs" / "alone", "rgb", seed=5)
    rng = np.random.default_rng(0)
    for name in films:
        values = rng.normal(size=(3, 4)).astype(np.float32) + 9 * np.eye(4, dtype=np.float32)[int(name[0])]
        write_features(folder / "feats" / f"{name}.safetensors", Features(values, FeatureTime(4, 1, 1)))
    return folder


@pytest.fixture
def home(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of these to work in."""
    monkeypatch.chdir(shutil.copytree(made, tmp_path, dirs_exist_ok=True))
    return tmp_path


def test_two_streams_and_both_from_videos_to_tables(run: Run, home: Path) -> None:
    common = ("probe-features", "runs/coclr", "runs/alone", "--data", "labels.csv", "--bootstrap", 100, "--official")
    answer = run(*common, "--cache", "cache", "-o", "out/probe.json")
    assert answer.code == 0, answer.err
    shown = words(answer.out)
    for title in ("linear probe: accuracy, 4 test videos", "nearest neighbours", "retrieval", "by class: linear"):
        assert title in shown, answer.out
    assert "runs/coclr both" in shown and "minus the first" in shown and "too narrow" in answer.err
    assert "trained on 8 videos, tested on 4, as annotated" in answer.err
    assert "there are 8 training videos: a larger k, such as 50, takes all of them" in answer.err
    found = json.loads(Path("out/probe.json").read_text())
    scored = [(each["protocol"], each["source"], each["stream"]) for each in found["results"]]
    for protocol in ("linear", "knn", "retrieval"):
        assert [name for kind, *name in scored if kind == protocol] == [
            ["runs/coclr", "rgb"],
            ["runs/coclr", "flow"],
            ["runs/coclr", "both"],
            ["runs/alone", "rgb"],
        ]
    first = {
        each["protocol"]: each for each in found["results"] if each["stream"] == "rgb" and "minus_first" not in each
    }
    assert np.trace(first["linear"]["confusion"]) == 4 * first["linear"]["measures"]["top-1"] >= 3
    assert first["knn"]["measures"]["k=1"] == first["retrieval"]["measures"]["R@1"] == 1
    assert first["retrieval"]["nearest"]["clips/0-4"][0].startswith("clips/0-")
    assert list(first["knn"]["measures"]) == ["k=1", "k=5", "k=10", "k=20"]
    assert first["retrieval"]["intervals"]["R@50"] == [1, 1]
    again = run(*common, "--cache", "cache", "--json")  # from the cache: the same to the last digit
    assert json.loads(again.out)["results"] == found["results"]


def test_chosen_streams_and_numbers(run: Run, home: Path) -> None:
    common = ("probe-features", "runs/coclr", "--data", "labels.csv", "--json", "--bootstrap", 0)
    found = json.loads(run(*common, "--protocol", "retrieval", "--streams", "both", "--ks", "3,1").out)
    assert [(each["stream"], list(each["measures"])) for each in found["results"]] == [("both", ["R@1", "R@3"])]
    assert "intervals" not in found["results"][0]
    found = json.loads(run(*common, "--protocol", "knn", "--streams", "flow", "--neighbours", 2).out)
    assert [(each["stream"], list(each["measures"])) for each in found["results"]] == [("flow", ["k=2"])]
    refused(run(*common, "--streams", "difference"), "runs/coclr: has no stream 'difference': rgb, flow")


def test_features_and_encoders_of_the_catalogue_compare_with_them(run: Run, home: Path) -> None:
    sources = ("feats", "tiny-clips", "runs/alone")
    answer = run("probe-features", *sources, "--data", "labels.csv", "--json", "--protocol", "retrieval")
    assert answer.code == 0, answer.err
    streams = {each["source"]: each["stream"] for each in json.loads(answer.out)["results"]}
    assert streams == {"feats": "features", "tiny-clips": "rgb", "runs/alone": "rgb"}
    linear = json.loads(run("probe-features", "feats", "--data", "labels.csv", "--json").out)["results"][0]
    assert linear["measures"]["top-1"] == 1 and linear["rates"][0] in (0.1, 0.3, 1.0)
    alone = json.loads(run("probe-features", "feats", "--data", "labels.csv", "--official", "--json").out)
    assert alone["results"][0]["rates"] == [1.0] and alone["results"][0]["validation_accuracies"] == [None]
    shutil.rmtree("clips")  # nothing of them is needed
    assert run("probe-features", "feats", "--data", "labels.csv", "--protocol", "knn").code == 0


def test_finetuning_one_stream(run: Run, home: Path) -> None:
    common = ("probe-features", "runs/alone", "--data", "labels.csv", "--epochs", 2, "--protocol", "finetune")
    common += ("--out", "runs/probe", "--bootstrap", 50, "--device", "cpu", "--validation", 0, "--batch-size", 4)
    answer = run(*common, "--json")
    assert answer.code == 0, answer.err
    assert "finetune: 2 epochs (finetune), the last counts" in answer.err
    (found,) = json.loads(answer.out)["results"]
    assert found["stream"] == "rgb" and found["mode"] == "finetune" and found["validation_accuracy"] is None
    refused(run(*common), "already holds a run", "--resume")
    assert json.loads(run(*common, "--resume", "--json").out)["results"] == [found]  # done: it is only tested again
    scratch = run(*common, "--from-scratch", "--json")
    assert json.loads(scratch.out)["results"][0]["mode"] == "scratch"


@pytest.mark.slow
def test_linear_end_to_end_and_finetuning(run: Run, home: Path) -> None:
    common = ("probe-features", "runs/coclr", "--data", "labels.csv", "--epochs", 4, "--validation", 0.25)
    common += ("--cache", "cache", "--out", "runs/probe", "--bootstrap", 50, "--device", "cpu")
    options = ("--protocol", "linear,finetune", "--linear", "end-to-end", "--crops", 10)
    answer = run(*common, *options, "-o", "out.json")
    assert answer.code == 0, answer.err
    assert "fine-tuning: accuracy" in words(answer.out)
    assert "linear: 4 epochs (linear), the best on 2 training videos held out counts" in answer.err
    found = json.loads(Path("out.json").read_text())["results"]
    assert [(each["protocol"], each["stream"]) for each in found] == [
        (protocol, stream) for protocol in ("linear", "finetune") for stream in ("rgb", "flow", "both")
    ]
    assert found[0]["measures"]["top-1"] >= 0.5 and found[0]["crops"] == 10 and found[0]["validation_videos"] == 2
    assert Path("runs/probe/coclr/finetune/flow/checkpoint.safetensors").is_file()
    refused(run(*common, *options), "already holds a run", "--resume")
    resumed = run(*common, *options, "--resume", "-o", "again.json")
    assert resumed.code == 0 and json.loads(Path("again.json").read_text())["results"] == found


def test_a_split_is_drawn_where_there_is_none(run: Run, home: Path) -> None:
    lines = [line.rsplit(",", 1)[0] for line in Path("labels.csv").read_text().splitlines()]
    Path("labels.csv").write_text("\n".join(lines))
    answer = run("probe-features", "feats", "--data", "labels.csv", "--official")
    assert answer.code == 0 and "8 videos drawn for training, 4 for testing, class by class" in answer.err


def test_videos_that_fail_are_named_and_left_out(run: Run, home: Path) -> None:
    Path("clips/0-5.mp4").write_text("no video")
    answer = run("probe-features", "runs/alone", "--data", "labels.csv", "--protocol", "knn", "--json")
    assert answer.code == 0 and "failed: clips/0-5: cannot be" in words(answer.err)
    found = json.loads(answer.out)
    assert found["videos"] == {"train": 8, "test": 3} and list(found["failed"]) == ["clips/0-5"]
    deep = ("--protocol", "finetune", "--epochs", 1, "--out", "runs/probe", "--json")
    found = json.loads(run("probe-features", "runs/alone", "--data", "labels.csv", *deep).out)
    assert found["videos"] == {"train": 8, "test": 3} and list(found["failed"]) == ["clips/0-5"]
    for path in Path("clips").iterdir():
        path.write_text("no video")
    before = files_below(home)
    refused(run("probe-features", "runs/alone", "--data", "labels.csv", "-o", "out/x.json"), "no video could be read")
    assert files_below(home) == before


def test_videos_without_features_are_named_and_left_out(run: Run, home: Path) -> None:
    Path("feats/1-0.safetensors").unlink()
    answer = run("probe-features", "feats", "--data", "labels.csv", "--official")
    assert answer.code == 0
    assert "left out, without features in every source: 1 of 12: 'clips/1-0'" in words(answer.err)


def test_a_class_that_no_training_video_shows(run: Run, home: Path) -> None:
    text = Path("labels.csv").read_text().replace("clips/0-5.mp4,red", "clips/0-5.mp4,blue")
    Path("labels.csv").write_text(text)
    answer = run("probe-features", "feats", "--data", "labels.csv", "--official", "--json")
    assert "no training video shows 'blue': 1 test video cannot be told right" in words(answer.err)
    assert json.loads(answer.out)["results"][0]["measures"]["top-1"] == 0.75


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "no labels are given"),
        (("--data", "labels.csv", "--gt", "labels.csv"), "--data and --gt are both given"),
        (("--data", "labels.csv", "--near", 2), "--near goes with --gt"),
        (("--data", "labels.csv", "--no-normalise"), "--no-normalise goes with --gt"),
        (("--gt", "labels.csv", "--ks", 3), "--ks goes with --data"),
        (("--gt", "labels.csv", "--out", "runs/x"), "--out goes with --data"),
        (("--gt", "labels.csv", "--protocol", "knn"), "with --gt choose boundary or official"),
        (("--data", "labels.csv", "--protocol", "boundary"), "--protocol 'boundary' goes with --gt"),
        (("--data", "labels.csv", "--protocol", "nearest"), "with --data choose among linear, knn"),
        (("--data", "labels.csv", "--protocol", ""), "--protocol is ''"),
        (("--data", "labels.csv", "--ks", "0,1"), "--ks is '0,1'"),
        (("--data", "labels.csv", "--neighbours", "many"), "--neighbours is 'many'"),
        (("--data", "labels.csv", "--protocol", "finetune"), "finetune trains networks"),
        (("--data", "labels.csv", "--linear", "end-to-end"), "linear end-to-end trains networks"),
        (("--data", "labels.csv", "--epochs", 3), "--epochs is for protocols that train on video"),
        (("--data", "labels.csv", "--out", "runs/x"), "--out is for protocols that train on video"),
        (("--data", "labels.csv", "--validation", 1), "--validation is 1.0"),
        (("--data", "labels.csv", "--epochs", 0), "--epochs is 0"),
        (("--data", "labels.csv", "--bootstrap", -1), "--bootstrap is -1"),
        (("--data", "labels.csv", "--seeds", "x"), "--seeds is 'x'"),
        (("--data", "labels.csv", "--streams", "flow"), "has no stream 'flow'"),
        (("--data", "none.csv"), "none.csv: no such annotation file"),
        (("--data", "labels.csv", "--videos", "none"), "none: the folder of the videos does not exist"),
        (("--data", "labels.csv", "-o", "clips"), "clips: cannot be written"),
    ],
)
def test_impossible_options(run: Run, home: Path, options: tuple[object, ...], message: str) -> None:
    before = files_below(home)
    refused(run("probe-features", "runs/alone", *options), message)
    assert files_below(home) == before


def test_sources_that_are_none(run: Run, home: Path) -> None:
    common = ("--data", "labels.csv")
    refused(run("probe-features", "runs/none", *common), "runs/none: no such folder", "tiny-clips")
    refused(run("probe-features", "clips", *common), "clips: holds no feature files")
    deep = (*common, "--protocol", "finetune", "--out", "x")
    refused(run("probe-features", "feats", *deep), "feats: is a folder of features, which finetune cannot train")
    refused(run("probe-features", "tiny-clips", *deep), "tiny-clips: is an encoder of the catalogue")
    Path("runs/alone/model.safetensors").write_text("x")
    refused(run("probe-features", "runs/alone", *common), "runs/alone")
    segments = "video,start,end,label\nclips/0-0.mp4,0,1,red\nclips/0-0.mp4,1,2,green\n"
    Path("segments.csv").write_text(segments)
    refused(
        run("probe-features", "feats", "--data", "segments.csv"), "has 2 labels, but a clip shows one class", "--gt"
    )


def test_names_do_not_paint_over_the_terminal(run: Run, home: Path) -> None:
    shutil.move("feats", HOSTILE)
    text = Path("labels.csv").read_text().replace("red", HOSTILE)
    Path("labels.csv").write_text(text)
    answer = run("probe-features", HOSTILE, "runs/alone", "--data", "labels.csv", "--official")
    assert answer.code == 0 and not {"\x1b", "\x07", "\u202e"} & set(answer.out + answer.err)


def test_an_encoder_that_tells_nothing_apart_does_not_cost_the_others_their_scores(run: Run, home: Path) -> None:
    for path in Path("feats").rglob("*.safetensors"):
        flat = Features(np.ones((3, 4), np.float32), FeatureTime(4, 1, 1))
        write_features(Path("flat") / path.relative_to("feats"), flat)
    answer = run(
        "probe-features", "feats", "flat", "--data", "labels.csv", "--protocol", "retrieval", "--bootstrap", 0, "--json"
    )
    assert answer.code == 0, answer.err
    found = json.loads(answer.out)
    assert [each["source"] for each in found["results"]] == ["feats"]
    assert any("flat, retrieval" in remark and "collapsed" in remark for remark in found["remarks"])
    alone = run("probe-features", "flat", "--data", "labels.csv", "--protocol", "retrieval")
    assert alone.code == 2
    assert "collapsed" in alone.err
