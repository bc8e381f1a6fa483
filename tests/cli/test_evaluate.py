"""``kinoscope evaluate``: every metric as table, JSON and page; two files beside each other; what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kinoscope.cli.evaluated import METRICS

from .conftest import Run

TRUTH = "video,start,end,label,duration\n" + "".join(
    f"v{n},{10 * k},{10 * k + 4 + n % 3},{'ab'[k % 2]},60\n" for n in range(20) for k in range(5)
)


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    path = tmp_path / "labels.csv"
    path.write_text(TRUTH)
    return path


def predictions(path: Path, off: float) -> Path:
    rows = [
        f"v{n},{10 * k + off * (n % 3)},{10 * k + 5},{'ab'[(k + (n == 3)) % 2]},{0.9 - 0.1 * k - 0.004 * n}"
        for n in range(20)
        for k in range(5)
    ]
    path.write_text("\n".join(["video,start,end,label,score", *rows]) + "\n")
    return path


def test_every_metric(run: Run, tmp_path: Path, truth: Path) -> None:
    guess, page = predictions(tmp_path / "new.csv", 0.5), tmp_path / "eval.html"
    asked = [str(guess), "--gt", str(truth), "--metrics", ",".join(METRICS), "--fps", "5", "--bootstrap", "50"]
    done = run("evaluate", *asked, "--html", str(page), "--json")
    assert done.code == 0
    found = json.loads(done.out)
    assert set(found) >= {"mAP", "average_recall", "recall", "boundary_errors", "error_analysis", "frames"}
    assert found["average_mAP_interval"][0] <= found["average_mAP"] <= found["average_mAP_interval"][1]
    assert found["average_recall"]["top"]["AR@100"] == found["average_recall"]["proportional"]["AR@100"]
    assert found["recall"]["Recall@1x"]["0.3"] > 0.8
    assert found["boundary_errors"][0]["found"] + 5 == found["boundary_errors"][0]["segments"] == 100
    kinds = found["error_analysis"]["profile"][0]
    assert 0.02 < kinds["wrong label"] <= 5 / 95 and sum(kinds.values()) == pytest.approx(1)
    assert {each["characteristic"] for each in found["error_analysis"]["buckets"]} == {
        "coverage",
        "length",
        "instances",
    }
    assert 0 < found["frames"]["F1@50"] <= found["frames"]["F1@10"] < 100
    html = page.read_text()
    for text in ("average mAP", "Precision against recall", "Average recall", "wrong label", "Frame labels"):
        assert text in html
    people = run("evaluate", *asked)
    assert people.code == 0 and "mAP_N if a kind of mistake" in people.out and "95 % interval" in people.out


def test_two_files(run: Run, tmp_path: Path, truth: Path) -> None:
    good, bad = predictions(tmp_path / "good.csv", 0.1), predictions(tmp_path / "bad.csv", 1.5)
    page = tmp_path / "both.html"
    asked = ["--gt", str(truth), "--compare", "--bootstrap", "200", "--html", str(page)]
    done = run("evaluate", str(bad), str(good), *asked)
    assert done.code == 0 and "good.csv is better" in done.out and "good.csv beside bad.csv" in page.read_text()
    found = json.loads(run("evaluate", str(bad), str(good), *asked, "--json").out)
    assert (
        found["difference"] == pytest.approx(found["average_mAP"][1] - found["average_mAP"][0])
        and found["difference"] > 0
    )
    assert found["interval"][0] > 0 and found["share_ahead"] == 1 and set(found["per_class"]) == {"a", "b"}
    same = run("evaluate", str(good), str(good), *asked)
    assert "No difference is shown" in same.out


@pytest.mark.parametrize(
    ("more", "problem", "cure"),
    [
        (["--metrics", "mapp"], "there is no metric 'mapp'", "did you mean map?"),
        (["--metrics", ","], "--metrics names none", "known: map"),
        (["--metrics", "frames"], "needs their rate", "add --fps"),
        (["--metrics", "frames", "--fps", "0"], "fps is 0", "rate of the frame labels"),
        (["--metrics", "ar", "--most", "0"], "must be at least 1", ""),
        (["--metrics", "frames", "--fps", "1e9"], "fps is 1e+09, which makes", "10 to 60 a second"),
        (["--compare"], "1 files of predictions, --compare on", "give two files"),
        (["--protocol", "gebd", "--metrics", "ar"], "--protocol gebd has neither", "leave them out"),
        (["--bootstrap", "-1"], "--bootstrap is -1", "0 leaves"),
    ],
)
def test_what_is_refused(run: Run, tmp_path: Path, truth: Path, more: list[str], problem: str, cure: str) -> None:
    done = run("evaluate", str(predictions(tmp_path / "p.csv", 0.1)), "--gt", str(truth), *more)
    assert done.code == 2 and problem in done.err and cure in done.err


def test_only_map_is_compared(run: Run, tmp_path: Path, truth: Path) -> None:
    guess = str(predictions(tmp_path / "p.csv", 0.1))
    done = run("evaluate", guess, guess, "--gt", str(truth), "--compare", "--metrics", "ar")
    assert done.code == 2 and "--compare compares mAP" in done.err


def test_two_files_without_comparing(run: Run, tmp_path: Path, truth: Path) -> None:
    guess = str(predictions(tmp_path / "p.csv", 0.1))
    done = run("evaluate", guess, guess, "--gt", str(truth))
    assert done.code == 2 and "2 files of predictions" in done.err
