"""``localize --boundaries`` and ``evaluate --protocol gebd``, and features in the place of videos."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from kinoscope.cli.from_features import FeatureFiles
from kinoscope.cli.pages import parts
from kinoscope.data.annotations import read_predictions
from kinoscope.data.boundaries import FORMAT, Boundary, read_boundaries
from kinoscope.data.feature_spec import FeatureSpec
from kinoscope.data.feature_store import FeatureStore
from kinoscope.data.features import Features, FeatureTime, write_features
from kinoscope.errors import FeatureError
from kinoscope.localize.boundaries import BoundaryOptions, find_boundaries

from ..encoders import tiny
from ..folders import files_below
from .conftest import Run
from .test_bad_input import refused
from .test_flow import ADAPTING, TRAINING, done

TIME = ("--fps", 8, "--stride", 1, "--clip-length", 1)


def scenes(seed: int = 0, width: int = 4) -> np.ndarray:
    """Rows at 8 per second that change after 2 and after 4 of 6 seconds."""
    return np.repeat(np.random.default_rng(seed).normal(size=(3, width)), 16, axis=0).astype(np.float32)


@pytest.fixture
def npy(here: Path) -> Path:
    (here / "npy").mkdir()
    for number in range(3):
        np.save(here / "npy" / f"{number}.npy", scenes(number))
    return here / "npy"


# --- boundaries ----------------------------------------------------------------------------------------------------


def test_videos(run: Run, here: Path) -> None:
    words = ("localize", "videos", "--boundaries", "--encoder", "tiny-frames", "--jitter", 0)
    answer = run(*words, "-o", "b.json", "--csv", "b.csv", "--html", "b.html")
    assert "boundary [s]" in done(answer) and "Written: b.json, b.csv, b.html" in answer.err
    found = read_boundaries(here / "b.json")
    assert sorted(found) == ["0", "1", "2"] and any(found.values())
    assert json.loads((here / "b.json").read_text())["external_data"]["encoder"].startswith("tiny-frames")
    assert (here / "b.csv").read_text().startswith("video,time,score\n0,")
    page = (here / "b.html").read_text()
    assert "novelty, its highest as 1" in page and "even part" in page and "Similarity of tiny-frames" in page
    done(run("extract", "videos", "--encoder", "tiny-frames", "--out", "feats"))
    assert {name: list(each) for name, each in found.items()} == {
        name: find_boundaries(each, BoundaryOptions(jitter=0)) for name, each in FeatureStore(here / "feats").items()
    }
    printed = json.loads(done(run("localize", "feats", "--boundaries", "--jitter", 0, "--json")))
    assert printed["version"] == FORMAT
    assert printed["boundaries"] == json.loads((here / "b.json").read_text())["boundaries"]


def test_features_of_other_tools(run: Run, npy: Path) -> None:
    answer = run("localize", "npy", "--boundaries", *TIME, "-o", "b.json", "--html", "b.html")
    assert done(answer).count("2.00") == done(answer).count("4.00") == 3
    found = read_boundaries("b.json")
    assert sorted(found) == ["0", "1", "2"]
    assert all([b.time for b in each] == pytest.approx([2.0, 4.0]) for each in found.values())
    done(run("localize", "npy/0.npy", "--boundaries", *TIME, "--kernel-seconds", 0.25))
    done(run("localize", "npy/0.npy", "--boundaries", *TIME, "--kernel-seconds", "[0.25,2]"))
    answer = run("localize", "npy/0.npy", "--boundaries", *TIME, "--least", 3)
    assert "Nothing stands out" in done(answer)


def test_what_people_see(run: Run, npy: Path) -> None:
    answer = run("localize", "npy/0.npy", "--boundaries", *TIME, "--most", 1, "-o", "b.json")
    assert "1 more; raise --most" in done(answer)
    answer = run("localize", "npy/0.npy", "--boundaries", *TIME, "--min-score", 1.1, "-o", "b.json")
    assert "2.00" not in done(answer) and len(read_boundaries("b.json")["0"]) == 2


def test_a_picture_that_never_changes(run: Run, tmp_path: Path) -> None:
    path = tiny.film(tmp_path / "one.mp4", 1)
    answer = run("localize", path, "--boundaries", "--encoder", "tiny-frames", "--html", tmp_path / "a.html")
    assert "Nothing stands out" in done(answer)


def test_parts_between_boundaries() -> None:
    found = parts(9.0, [Boundary(4.0, 0.5), Boundary(2.0, 0.9)])
    assert [(s.start, s.end, s.score) for s in found] == [(0.0, 2.0, None), (2.0, 4.0, 0.9), (4.0, 9.0, 0.5)]
    assert found[0].label == found[2].label != found[1].label
    assert [(s.start, s.end) for s in parts(3.0, [])] == [(0.0, 3.0)]


# --- their score ---------------------------------------------------------------------------------------------------


def test_scores(run: Run, npy: Path, here: Path) -> None:
    rows = "".join(f"{n},0,2,a,6\n{n},2,4,b,6\n{n},4,6,a,6\n" for n in range(3))
    (here / "truth.csv").write_text("video,start,end,label,duration\n" + rows)
    done(run("localize", "npy", "--boundaries", *TIME, "-o", "b.json", "--csv", "b.csv"))
    answer = run("evaluate", "b.json", "--gt", "truth.csv", "--protocol", "gebd")
    assert "F1 at 0.05: 1.0000, mean 1.0000, 95 % interval over videos 1.0000 to 1.0000" in done(answer)
    assert "relative distance" in answer.out and "raters" not in answer.out
    scores = json.loads(done(run("evaluate", "b.csv", "--gt", "truth.csv", "--protocol", "GEBD", "--json")))
    assert scores["mean_f1"] == 1.0 and scores["mean_f1_interval"] == [1.0, 1.0] and scores["videos"] == 3
    entry = {"video_duration": 6, "f1_consis_avg": 0.9, "substages_timestamps": [[2.0], [2.0, 4.0]]}
    (here / "gebd.json").write_text(json.dumps({"0": entry}))
    answer = run("evaluate", "b.json", "--gt", "gebd.json", "--protocol", "gebd", "--bootstrap", 0)
    assert "mean over raters" in done(answer) and "not in the ground truth" in answer.err


def test_scores_that_cannot_be(run: Run, npy: Path) -> None:
    done(run("localize", "npy", "--boundaries", *TIME, "-o", "b.json", "--csv", "b.csv"))
    refused(run("evaluate", "b.csv", "--gt", "labels.csv", "--protocol", "gebd"), "the duration of", "column duration")
    done(run("evaluate", "b.json", "--gt", "labels.csv", "--protocol", "gebd"))  # it knows the durations itself
    refused(run("evaluate", "b.json", "--gt", "b.json", "--protocol", "gebd"), "b.json: not an annotation file")
    refused(run("evaluate", "b.json", "--gt", "labels.csv"), "b.json: holds boundaries", "add --protocol gebd")
    refused(run("evaluate", "b.json", "--gt", "labels.csv", "--protocol", "gbed"), "no protocol 'gbed'", "gebd")
    Path("gt.pkl").write_bytes(b"\x80\x04K\x01.")
    refused(run("evaluate", "b.json", "--gt", "gt.pkl", "--protocol", "gebd"), "gt.pkl: is a pickle")


# --- segments from features ----------------------------------------------------------------------------------------


def test_a_model_of_other_tools_features(run: Run, npy: Path, here: Path) -> None:
    done(run("train", "localize", "labels.csv", "--features", "npy", *TIME, "--out", "run", *TRAINING))
    answer = run(
        "localize", "npy/2.npy", "npy/1.npy", "--model", "run", *TIME, "-o", "a.json", "--html", "a.html", "--srt", "s"
    )
    done(answer)
    assert set(read_predictions(here / "a.json").videos) == {"1", "2"} and files_below(here / "s") == ["1.srt", "2.srt"]
    assert "<html" in (here / "a.html").read_text()
    for more in ((), ("--boundaries",)):
        given, own = (run("localize", "npy", "--model", "run", *time, *more, "--json") for time in (TIME, ()))
        assert done(own) == done(given)
        flags = f"--fps {TIME[1]:g} --stride {TIME[3]:g} --clip-length {TIME[5]:g}"
        assert flags in own.err and own.err.count("as the model's own") == 1 and "own features" not in given.err
    refused(run("localize", "npy", "--boundaries"), "npy/0.npy: a .npy file has no time", "--fps")
    refused(run("localize", "npy", "--model", "run", *TIME[:2]), "--stride and --clip-length")
    refused(run("localize", "npy", "--model", "npy/0.npy", *TIME), "is a file, but a model is a folder")


def test_a_model_of_several_steps_cannot_tell_the_time(npy: Path) -> None:
    files = FeatureFiles(None, FeatureSpec(width=4, fps=30, stride=4, clip_length=16, steps=(0.1, 0.2)))
    with pytest.raises(FeatureError, match=r"takes rows 0\.1 to 0\.2 s apart, by the rate of each") as caught:
        files.read(npy / "0.npy")
    assert caught.value.cure is not None and "--fps 30 --stride 4 --clip-length 16" in caught.value.cure


def test_a_model_looks_at_features_as_at_their_videos(run: Run, here: Path) -> None:
    done(run("extract", "videos", "--encoder", "tiny-change", "--out", "feats"))
    done(run("adapt", "feats", "--out", "sola", *ADAPTING))
    done(run("train", "localize", "labels.csv", "--features", "sola", "--out", "run", *TRAINING))
    adapted, expected = FeatureStore(here / "sola"), {}
    for source in ("videos", "feats", "sola"):
        done(run("localize", source, "--model", "run", "-o", f"{source}.json"))
        segments = {name: video.segments for name, video in read_predictions(here / f"{source}.json").videos.items()}
        expected = expected or segments  # those of the videos, which come first
        assert sorted(segments) == ["0", "1", "2"]
        for name, found in segments.items():
            assert [s.label for s in found] == [s.label for s in expected[name]]
            assert [s.start for s in found] == pytest.approx([s.start for s in expected[name]], abs=1e-3)
        done(run("localize", source, "--boundaries", "--model", "run", "-o", "b.json", "--html", f"{source}.html"))
        for name, boundaries in read_boundaries(here / "b.json").items():
            times = [b.time for b in find_boundaries(adapted[name])]
            assert [b.time for b in boundaries] == pytest.approx(times)
    assert "Similarity after SoLa" in (here / "videos.html").read_text()


def test_a_broken_feature_file_among_good_ones(run: Run, npy: Path) -> None:
    (npy / "bad.npy").write_text("no array")
    answer = run("localize", "npy", "--boundaries", *TIME, "-o", "b.json")
    assert answer.code == 2 and "failed: npy/bad.npy" in answer.err and sorted(read_boundaries("b.json")) == list("012")
    refused(run("localize", "npy/bad.npy", "--boundaries", *TIME), "npy/bad.npy: ")


# --- what does not go together -------------------------------------------------------------------------------------


def test_options_that_clash(run: Run, npy: Path, here: Path) -> None:
    before = files_below(here)
    refused(run("localize", "videos", "--boundaries", "--srt", "a.srt"), "a.srt: --boundaries cannot be written as")
    refused(run("localize", "videos", "--boundaries", "--high", 0.5), "--boundaries does not go with", "--prominence")
    refused(run("localize", "videos", "--min-gap", 2), "are options of boundaries", "add --boundaries")
    refused(run("localize", "npy", *TIME), "features alone tell no classes", "--boundaries")
    refused(run("localize", "npy", "videos", "--boundaries"), "npy: holds features, others are videos")
    refused(run("localize", "npy", "--boundaries", *TIME, "--encoder", "tiny-frames"), "--encoder goes with videos")
    refused(run("localize", "npy", "--boundaries", *TIME, "--size", 64), "--size goes with videos")
    refused(run("localize", "npy/0.npy", "--boundaries", *TIME, "-o", "npy/0.npy"), "would be replaced")
    refused(run("localize", "videos", "--boundaries", "--min-gap", -1), "min_gap is -1")
    refused(run("localize", "none.npy", "--boundaries"), "none.npy: no such file")
    assert files_below(here) == before


def test_names_of_features(run: Run, here: Path) -> None:
    for folder in ("a/x", "b/x"):
        write_features(here / folder / "0.safetensors", Features(scenes(), FeatureTime(8, 1, 1, 0, 6)))
    done(run("localize", "a/x/0.safetensors", "b", "--boundaries", "-o", "b.json"))
    assert set(read_boundaries(here / "b.json")) == {"0", "x/0"}
