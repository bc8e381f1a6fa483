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


@pytest.mark.parametrize("label", [None, "action"])
def test_proposals(run: Run, tmp_path: Path, truth: Path, label: str | None) -> None:
    rows = [{"segment": [10 * k, 10 * k + 5], "score": 0.9 - 0.1 * k} for k in range(5)]
    rows = [{**row, "label": label} if label else row for row in rows]
    guess, page = tmp_path / "proposals.json", tmp_path / "eval.html"
    guess.write_text(json.dumps({"results": {f"v{n}": rows for n in range(20)}}))
    words = ("evaluate", str(guess), "--gt", str(truth))
    done = run(*words, "--metrics", "ar,recall", "--html", page)
    assert done.code == 0 and "AR@100" in done.out and "labels were not looked at" in " ".join(done.out.split())
    assert "label" not in done.err and "average mAP" not in page.read_text() and "AR@100 0." in page.read_text()
    found = json.loads(run(*words, "--metrics", "ar,recall", "--json").out)
    assert found["recall"]["Recall@1x"]["0.3"] == 1 and found["average_recall"]["top"]["AR@100"] > 0.7
    assert found["video_list"]["videos"] == 20 and found["classifier"] == "not told" and found["reasons"] == []
    for metrics in ("map", "map,ar", "error-analysis"):
        done = run(*words, "--metrics", metrics)
        assert "--metrics ar,recall" in done.err and done.code == (0 if label else 2)


def test_names_that_do_not_meet_are_a_warning(run: Run, tmp_path: Path, truth: Path) -> None:
    guess, page = predictions(tmp_path / "p.csv", 0.1), tmp_path / "eval.html"
    guess.write_text(guess.read_text().replace("\nv", "\nv_v"))
    for more in ((), ("--json",)):
        done = run("evaluate", guess, "--gt", truth, "--html", page, *more)
        assert done.code == 0 and done.err.startswith("warning: none of 20 predicted videos is in the ground truth")
        assert (
            "'v_v0', the ground truth 'v0'" in done.err
            and "  Cure: write the names as the ground truth does" in done.err
        )
    assert "they differ by v_ before the name" in page.read_text()
    done = run("evaluate", guess, predictions(tmp_path / "good.csv", 0.1), "--gt", truth, "--compare")
    assert "warning: p.csv: none of 20" in done.err and "good.csv: Video list: 20 videos" in done.out


def test_the_list_of_videos_is_told(run: Run, tmp_path: Path, truth: Path) -> None:
    words = ("evaluate", predictions(tmp_path / "p.csv", 0.1), "--gt", truth, "--protocol", "thumos14-212")
    done = run(*words, "--metrics", "boundaries", "--html", tmp_path / "eval.html")
    assert "thumos14-212 names a list of 212 videos, but the ground truth at hand has 20" in done.err
    said = "Video list: 20 videos (hash {}); thumos14-212 names 212 and blocks video_test_0001292."
    found = json.loads(run(*words, "--json").out)
    assert found["video_list"]["named_by_protocol"] == 212 and found["video_list"]["blocked"] == ["video_test_0001292"]
    said = said.format(found["video_list"]["hash"])
    assert said in " ".join(done.out.split()) and said in (tmp_path / "eval.html").read_text()


def test_true_segments_that_overlap_are_told_with_frames(run: Run, tmp_path: Path) -> None:
    truth, guess = tmp_path / "t.csv", tmp_path / "p.csv"
    truth.write_text("video,start,end,label,duration\nv,0,10,a,20\nv,5,15,b,20\nw,0,5,a,20\n")
    guess.write_text("video,start,end,label,score\nv,0,10,a,0.9\nv,5,15,b,0.8\nw,0,5,a,0.9\n")
    words = ("evaluate", guess, "--gt", truth, "--metrics", "frames", "--fps", 2, "--bootstrap", 0)
    assert "2 true segments overlap another" in " ".join(run(*words).out.split())
    assert json.loads(run(*words, "--json").out)["frames"]["overlapping_true_segments"] == 2
    truth.write_text(truth.read_text().replace("v,5,15", "v,10,15"))
    assert "overlap" not in run(*words).out


def test_the_page_does_not_replace_what_is_read(run: Run, tmp_path: Path, truth: Path) -> None:
    guess = predictions(tmp_path / "p.csv", 0.1)
    done = run("evaluate", guess, "--gt", truth, "--html", truth)
    assert done.code == 2 and "is one of the inputs, and would be replaced" in done.err
    assert run("evaluate", guess, "--gt", truth, "--html", tmp_path / "new" / "folder" / "x.html").code == 0
