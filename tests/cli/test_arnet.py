"""AR-Net from the command line: trained, asked with budgets and knobs, followed, measured beside its baselines."""

from __future__ import annotations

import csv
import json
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from kinoscope.arnet.model import AdaptiveRecognizer
from kinoscope.encoders import image_nets
from kinoscope.pipeline import load

from ..arnet import made
from .conftest import Answer, Run

NETS = ("--backbones", "[tiny-a,tiny-b]", "--policy", "tiny-p", "--sizes", "64,48", "--policy-size", 32)
QUICK = ("--single-epochs", 1, "--joint-epochs", 2, "--tune-epochs", 1, "--passes", 1, "--views", 2, "--segments", 4)
HERE = ("--device", "cpu", "--runtime", "torch")


@pytest.fixture(autouse=True)
def tiny_nets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, net in made.NETS.items():
        monkeypatch.setitem(image_nets._NETS, name, net)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine videos to learn from, three to choose on, six to test on, and their table."""
    folder = tmp_path_factory.mktemp("videos")
    parts = made.coloured(folder, (9, 3, 6))
    rows = [("video", "label", "split")]
    for clip in (*parts.train, *parts.validation, *parts.test):
        rows.append((clip.path.name, clip.label, clip.subset or ""))
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder


@pytest.fixture(scope="module")
def trained(videos: Path) -> Iterator[Path]:
    """What the command wrote, once for all tests."""
    from kinoscope.cli.main import main

    with pytest.MonkeyPatch.context() as patch:
        for name, net in made.NETS.items():
            patch.setitem(image_nets._NETS, name, net)
        words = ("train", "arnet", videos / "labels.csv", "--out", videos / "run", *NETS, *QUICK, *HERE)
        assert main([str(word) for word in words]) == 0
        yield videos / "run"


def ask(run: Run, trained: Path, videos: Path, *more: object, file: str = "test0.mp4") -> Answer:
    return run("recognize", videos / file, "--model", trained, *HERE, *more)


def told(answer: Answer) -> dict[str, Any]:
    assert answer.code == 0, answer.err
    return json.loads(answer.out)


def refused(answer: Answer, *words: str) -> None:
    assert answer.code == 2 and "Cure:" in answer.err and "Traceback" not in answer.err
    for word in words:
        assert word in answer.err


# --- training ------------------------------------------------------------------------------------------------------


def test_training_leaves_a_model_its_records_and_a_page(trained: Path) -> None:
    assert {path.name for path in trained.iterdir()} >= {
        *("config.json", "model.safetensors", "training.json", "scores.json", "costs.json", "mistakes.html"),
        *("stages", "looks"),
    }
    assert sorted(path.name for path in (trained / "stages").iterdir()) == ["joint", "single-0", "single-1", "tune"]
    scores, costs = (json.loads((trained / name).read_text()) for name in ("scores.json", "costs.json"))
    assert scores["scored"] == "test" and scores["clips"] == 6 and "map" not in scores
    assert abs(sum(costs["usage"].values()) - 1) < 1e-6 and costs["gmac"] > 0 and costs["gmac_dense"] > 0
    assert isinstance(load(trained, device="cpu"), AdaptiveRecognizer)


def test_a_run_is_not_begun_twice_and_goes_on_with_resume(run: Run, trained: Path, videos: Path) -> None:
    words = ("train", "arnet", videos / "labels.csv", "--out", trained, *NETS, *QUICK, *HERE)
    refused(run(*words), "already holds a run", "--resume")
    before = (trained / "model.safetensors").read_bytes()
    assert run(*words, "--resume").code == 0
    assert (trained / "model.safetensors").read_bytes() == before
    refused(run(*words, "--resume", "--alpha", 0.5), "alpha was 0.1, now 0.5")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--sizes", "64,64"), ("64, 64",)),
        (("--backbones", "[tiny-a]"), ("1 backbones", "--sizes")),
        (("--skips", "4,1"), ("skips",)),
        (("--policy", "tiny-x"), ("tiny-x", "efficientnet-lite")),
        (("--weights", "a.pth,b.pth"), ("2 files for 3 networks",)),
        (("--alpha", 1.5), ("alpha is 1.5",)),
        (("--family", "resnet", "--backbones", "[resnet50,resnet18]", "--policy", "mobilenet-v2"), ("no weights",)),
    ],
)
def test_what_cannot_be_trained_is_told(
    run: Run, videos: Path, tmp_path: Path, more: tuple[object, ...], words: tuple[str, ...]
) -> None:
    refused(run("train", "arnet", videos / "labels.csv", "--out", tmp_path / "x", *NETS, *QUICK, *HERE, *more), *words)


# --- asking --------------------------------------------------------------------------------------------------------


def test_an_answer_tells_what_it_cost(run: Run, trained: Path, videos: Path) -> None:
    shown = ask(run, trained, videos)
    assert shown.code == 0 and "frames looked at" in shown.out and "GMAC" in shown.out
    found = told(ask(run, trained, videos, "--json"))
    cost = found["costs"]["test0"]
    assert found["results"]["test0"][0].keys() == {"label", "score"}
    assert len(cost["frames"]) == cost["candidates"] == 4
    assert sum(frame["looked_at"] for frame in cost["frames"]) == cost["consulted"]
    assert cost["decoded"] >= cost["consulted"] and cost["total_seconds"] > 0
    assert cost["gmac"] > 0 and set(cost["used"]) == {"64", "48", "32"}


def test_budgets_are_kept_and_impossible_ones_tell_what_is_possible(run: Run, trained: Path, videos: Path) -> None:
    table = load(trained, device="cpu").costs  # type: ignore[union-attr]
    budget = 2.5 * table.policy
    found = told(ask(run, trained, videos, "--budget", f"{budget}gmac", "--json"))
    assert found["costs"]["test0"]["gmac"] <= budget
    assert told(ask(run, trained, videos, "--budget", "20s", "--json"))["costs"]["test0"]["consulted"] >= 1
    refused(ask(run, trained, videos, "--budget", f"{table.policy / 2}gmac"), "cannot be met", "the least")
    refused(ask(run, trained, videos, "--budget", "0.0000001s"), "cannot be met", "the least")
    refused(ask(run, trained, videos, "--budget", "5"), "5gmac", "0.5s")


def test_damaged_models_are_refused(run: Run, trained: Path, videos: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    broken = tmp_path / "broken"
    broken.mkdir()
    for name in ("config.json", "model.safetensors"):
        (broken / name).write_bytes((trained / name).read_bytes())
    config = json.loads((broken / "config.json").read_text())
    for value in ("x", None, -1, float("nan")):
        config["curve"][0]["gmac"] = value
        (broken / "config.json").write_text(json.dumps(config))
        refused(ask(run, broken, videos), "cannot be used", "curve")
    (broken / "config.json").write_bytes((trained / "config.json").read_bytes())
    weights = load_file(broken / "model.safetensors")
    weights["policy.actions.weight"][0, 0] = float("nan")
    save_file(weights, broken / "model.safetensors")
    refused(ask(run, broken, videos), "not finite", "policy.actions.weight")


def test_segments_beyond_their_video_are_refused(run: Run, videos: Path, tmp_path: Path) -> None:
    (videos / "far.csv").write_text("video,start,end,label\ntrain0.mp4,0,1,a\ntrain1.mp4,100,200,b\n")
    refused(run("train", "arnet", videos / "far.csv", "--out", tmp_path / "x", *NETS, *QUICK, *HERE), "100", "ends at")


def test_knobs_and_what_does_not_go_together(run: Run, trained: Path, videos: Path) -> None:
    dense = told(ask(run, trained, videos, "--no-adaptive", "--json"))["costs"]["test0"]
    assert dense["consulted"] == 0 and dense["used"]["64"] == 4
    assert told(ask(run, trained, videos, "--frames", 2, "--json"))["costs"]["test0"]["candidates"] == 2
    refused(ask(run, trained, videos, "--budget", "1gmac", "--frames", 2), "--budget turns the knobs itself")
    refused(ask(run, trained, videos, "--no-adaptive", "--bias", 1), "--no-adaptive")
    refused(ask(run, trained, videos, "--attention", "--json"), "--attention does not go with an AR-Net")
    refused(run("recognize", videos / "test0.mp4", "--budget", "1gmac"), "goes with an AR-Net", "train arnet")
    refused(ask(run, trained, videos, "--every", 2), "--follow")


def test_files_and_the_page(run: Run, trained: Path, videos: Path, tmp_path: Path) -> None:
    files = {"output": tmp_path / "a.json", "csv": tmp_path / "a.csv", "html": tmp_path / "a.html"}
    words = [word for name, path in files.items() for word in (f"--{name}", path)]
    assert ask(run, trained, videos, *words, file="").code == 0
    answers = json.loads(files["output"].read_text())
    rows = list(csv.DictReader(files["csv"].open()))
    assert len(answers["results"]) == 18 and len(rows) == 18 * 3 and float(rows[0]["gmac"]) > 0
    page = files["html"].read_text()
    assert "of every frame" in page or "GMAC" in page
    assert page.count("<h2") >= 18


def test_a_video_that_cannot_be_read_does_not_stop_the_others(
    run: Run, trained: Path, videos: Path, tmp_path: Path
) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no video" * 100)
    (tmp_path / "good.mp4").write_bytes((videos / "test1.mp4").read_bytes())
    answer = run("recognize", tmp_path, "--model", trained, *HERE, "--json")
    assert answer.code == 2 and list(json.loads(answer.out)["results"]) == ["good"] and "broken.mp4" in answer.err
    alone = run("recognize", tmp_path / "broken.mp4", "--model", trained, *HERE)
    assert alone.code == 2 and "Traceback" not in alone.err


# --- streams -------------------------------------------------------------------------------------------------------


def grow(source: Path, target: Path, pieces: int = 6) -> threading.Thread:
    """Write ``source`` to ``target`` piece by piece, as a recorder does."""
    content = source.read_bytes()
    step = -(-len(content) // pieces)
    target.write_bytes(content[:step])

    def write() -> None:
        for first in range(step, len(content), step):
            time.sleep(0.05)
            with target.open("ab") as file:
                file.write(content[first : first + step])

    thread = threading.Thread(target=write)
    thread.start()
    return thread


def test_a_growing_file_is_followed_to_its_end(run: Run, trained: Path, tmp_path: Path) -> None:
    source = made.tinted(tmp_path / "whole.ts", made.COLOURS["red"], frames=60)
    thread = grow(source, tmp_path / "growing.ts")
    words = ("--follow", "--every", 0.5, "--patience", 0.4, "--json")
    answer = run("recognize", tmp_path / "growing.ts", "--model", trained, *HERE, *words)
    thread.join()
    lines = [json.loads(line) for line in answer.out.splitlines()]
    assert answer.code == 0 and len(lines) >= 2
    times = [line["time"] for line in lines]
    assert times[0] == 0 and all(after - before >= 0.49 for before, after in pairwise(times))
    assert all(line["delay"] > 0 for line in lines) and "median" in answer.err


def test_a_stream_whose_clock_starts_anew_goes_on(run: Run, trained: Path, tmp_path: Path) -> None:
    source = made.tinted(tmp_path / "whole.ts", made.COLOURS["red"], frames=40)
    (tmp_path / "thrice.ts").write_bytes(source.read_bytes() * 3)
    words = ("--follow", "--every", 0.5, "--patience", 0.1, "--json", "--skip-above", 1)
    answer = run("recognize", tmp_path / "thrice.ts", "--model", trained, *HERE, *words)
    times = [json.loads(line)["time"] for line in answer.out.splitlines()]
    assert answer.code == 0 and times == sorted(times) and 10 < times[-1] < 13, answer.err


def test_streams_that_cannot_be_followed_are_told(run: Run, trained: Path, videos: Path, tmp_path: Path) -> None:
    (tmp_path / "half.mp4").write_bytes((videos / "test0.mp4").read_bytes()[:200])
    follow = ("--model", trained, *HERE, "--follow", "--patience", 0.1)
    refused(run("recognize", tmp_path / "half.mp4", *follow), "half.mp4", "MPEG-TS")
    refused(run("recognize", tmp_path / "none.ts", *follow), "no such file")
    refused(run("recognize", videos / "test0.mp4", videos / "test1.mp4", *follow), "one stream")
    refused(run("recognize", videos / "test0.mp4", *follow, "--csv", tmp_path / "a.csv"), "--follow prints")


# --- beside its baselines ------------------------------------------------------------------------------------------


def test_bench_measures_every_method_on_every_test_video(run: Run, trained: Path, videos: Path, tmp_path: Path) -> None:
    words = ("bench", "arnet", trained, "--data", videos / "labels.csv", "--out", tmp_path / "b", *HERE)
    answer = run(*words, "--svg", tmp_path / "b.svg", "--json")
    found = told(answer)
    methods = {row["method"] for row in found["methods"]}
    assert methods >= {"AR-Net", "UNIFORM, 64 px", "UNIFORM, 48 px", "LSTM", "RANDOM", "Multi-Scale", "SCSampler"}
    assert found["test"] == 6
    for row in found["methods"]:
        assert 0 <= row["accuracy"] <= 1 and row["gmac"] > 0 and row["seconds_p50"] <= row["seconds_p95"]
        assert row["interval"][0] <= row["accuracy"] <= row["interval"][1]
    assert (tmp_path / "b" / "bench.html").is_file() and (tmp_path / "b.svg").read_text().startswith("<svg")
    refused(run(*words, "--methods", "unifrom"), "unifrom", "uniform")
    other = videos / "other.csv"
    other.write_text("video,label\ntrain0.mp4,x\ntrain1.mp4,y\n")
    refused(run("bench", "arnet", trained, "--data", other, *HERE), "other classes")
