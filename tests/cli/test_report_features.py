"""``kinoscope report features`` as a user runs it: real features, bad folders, and what a program reads."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from kinoscope.data.features import Features, FeatureTime, write_features

from ..folders import files_below
from .conftest import Run
from .test_bad_input import refused

TIME = FeatureTime(4, 2, 4, 0.0, 100.0)
HOSTILE = "<img src=x onerror=alert(1)>‮&amp;"


def store(folder: Path, names: list[str], *, rows: int = 200, width: int = 8, encoder: str = "made") -> Path:
    for seed, name in enumerate(names):
        values = np.random.default_rng(seed).normal(size=(rows, width)).cumsum(axis=0).astype(np.float32)
        write_features(folder / f"{name}.safetensors", Features(values, TIME, encoder))
    return folder


def adapter(folder: Path, **config: object) -> None:
    """The settings that an adapter leaves beside the features it converted; nothing else of it is read."""
    (folder / "sola-adapter").mkdir(exist_ok=True)
    (folder / "sola-adapter" / "config.json").write_text(json.dumps({"kind": "sola", "options": {}} | config))


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    store(Path("feats"), ["a/1", "a/2", "b", "only raw"])
    store(Path("sola"), ["a/1", "a/2", "b", "only sola"], encoder="made+sola")
    adapter(Path("sola"))
    return tmp_path


def data_of(path: Path) -> dict:
    source = path.read_text(encoding="utf-8")
    return json.loads(re.findall(r'id="report-data">(.*?)</script>', source)[0])


def test_maps_of_every_common_video(run: Run, folders: Path) -> None:
    answer = run("report", "features", "feats", "sola", "--html", "maps.html")
    assert answer.code == 0 and "3 videos, all that there are. → maps.html" in answer.out
    pages = data_of(Path("maps.html"))["pages"]
    assert [page["name"] for page in pages] == ["a/1", "a/2", "b"]
    titles = ["feats · made", "sola · made+sola", "Target: what SoLa was asked for"]
    for page in pages:
        assert [item["title"] for item in page["maps"]] == titles * 2  # the whole video, and in detail
    assert "1 of feats (only raw)" in answer.err and "1 of sola (only sola)" in answer.err
    assert "similarity of moments 7 s apart" in answer.err and "1, 2, 4, 7 steps of SoLa" in " ".join(
        answer.out.split()
    )
    assert answer.err.count("Drawing") == 1


def test_the_numbers_for_programs(run: Run, folders: Path) -> None:
    adapter(Path("sola"), options={"lam": 4, "size": 5, "step": 1})
    answer = run("report", "features", "feats", "sola", "--html", "maps.html", "--json", "--videos", "b, a/1")
    found = json.loads(answer.out)
    assert found["videos"] == ["b", "a/1"] and found["left_out"] == {"feats": ["only raw"], "sola": ["only sola"]}
    assert found["targets"][0]["seconds"] == [0, 0.5, 1, 1.5, 2]
    assert found["targets"][0]["cosine"][2] == pytest.approx(2 / (1 + np.exp(-1)) - 1)
    raw, sola = found["columns"]
    assert len(raw["seconds"]) == 9 and raw["mean_cosine"][0] == pytest.approx(1)
    assert raw["mean_cosine"] == sola["mean_cosine"] and 1 < raw["effective_rank"] < 8


def test_most_takes_videos_evenly(run: Run, folders: Path) -> None:
    store(Path("many"), [f"{number:02d}" for number in range(20)], rows=30)
    answer = run("report", "features", "many", "--html", "maps.html", "--most", "4")
    assert "4 of 20 videos are shown and counted." in answer.out
    assert [page["name"] for page in data_of(Path("maps.html"))["pages"]] == ["00", "05", "10", "15"]
    assert "no target to compare with" in answer.err


def test_annotations_are_drawn_under_the_names_that_they_use(run: Run, folders: Path) -> None:
    rows = "video,start,end,label\nclips/b.mp4,10,20,jump\na/2.mp4,,,\nelsewhere.mp4,1,2,run\n"
    Path("labels.csv").write_text(rows)
    assert run("report", "features", "feats", "sola", "--html", "maps.html", "--gt", "labels.csv").code == 0
    data = data_of(Path("maps.html"))
    assert [page["truth"] for page in data["pages"]] == [[], [], [[10, 20, 0, None]]]
    assert data["labels"] == ["jump"]


def test_other_adapters_ask_for_nothing(run: Run, folders: Path) -> None:
    adapter(Path("sola"), kind="moving-average", options={"rows": 5})
    answer = run("report", "features", "feats", "sola", "--html", "maps.html")
    assert answer.code == 0 and "no target to compare with" in answer.err


def test_plain_arrays_are_given_their_time_once(run: Run, folders: Path) -> None:
    Path("npy").mkdir()
    np.save("npy/v.npy", np.random.default_rng(0).normal(size=(40, 3)))
    time = ("--fps", "30", "--stride", "15", "--clip-length", "16")
    assert run("report", "features", "npy", "--html", "maps.html", *time).code == 0
    assert data_of(Path("maps.html"))["pages"][0]["maps"][0]["times"][1] == pytest.approx(23 / 30, abs=1e-3)
    refused(run("report", "features", "npy", "--html", "maps.html"), "v.npy", "--fps")


def test_folders_that_are_called_alike_are_told_apart(run: Run, folders: Path) -> None:
    store(Path("other/feats"), ["b"], width=3)
    answer = run("report", "features", "feats", "other/feats", "--html", "maps.html", "--json")
    assert [each["title"] for each in json.loads(answer.out)["columns"]] == ["feats · made", "other/feats · made"]


def test_hostile_names_are_shown_and_not_run(run: Run, folders: Path) -> None:
    for name in (HOSTILE, f"sola {HOSTILE}"):
        store(Path(name), [HOSTILE], encoder=HOSTILE)
    adapter(Path(f"sola {HOSTILE}"))
    answer = run("report", "features", HOSTILE, f"sola {HOSTILE}", "--html", "maps.html")
    assert answer.code == 0 and "‮" not in answer.out + answer.err
    source = Path("maps.html").read_text(encoding="utf-8")
    assert "<img" not in source and "default-src 'none'" in source


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["feats", "missing"], ["missing: no such folder of features"]),
        (["feats", "feats/"], ["feats: is given twice"]),
        (["feats", "sola", "--videos", "a/3"], ["no video 'a/3' in all folders", "did you mean 'a/"]),
        (["feats", "sola", "--videos", "only raw"], ["no video 'only raw' in all folders"]),
        (["feats", "sola", "--videos", " , "], ["--videos names no video"]),
        (["feats", "sola", "--most", "0"], ["--most is 0"]),
        (["feats", "sola", "--gt", "missing.csv"], ["missing.csv: no such annotation file"]),
        (["feats", "sola", "--fps", "3"], ["needs --stride and --clip-length too"]),
    ],
)
def test_what_cannot_be_shown_is_refused_and_leaves_nothing(
    run: Run, folders: Path, words: list[str], said: list[str]
) -> None:
    before = files_below(folders)
    refused(run("report", "features", *words, "--html", "out/maps.html"), *said)
    assert files_below(folders) == before and not Path("out").exists()


def test_folders_and_files_that_do_not_fit_are_named(run: Run, folders: Path) -> None:
    store(Path("others"), ["x"])
    refused(run("report", "features", "feats", "others", "--html", "a.html"), "others: holds no video that feats")
    Path("labels.csv").write_text("video,start,end,label\nelsewhere.mp4,1,2,run\n")
    answer = run("report", "features", "feats", "sola", "--html", "a.html", "--gt", "labels.csv")
    refused(answer, "labels.csv: annotates none of the videos")
    refused(run("report", "features", "feats", "--html", "feats"), "feats: cannot be written: is a directory")
    for config in ({"options": {"lam": -1}}, {"options": {"lamda": 1}}, {"options": None}):
        adapter(Path("sola"), **config)
        answer = run("report", "features", "feats", "sola", "--html", "a.html")
        refused(answer, "sola/sola-adapter/config.json: cannot be read as an adapter's settings")
    Path("sola/b.safetensors").write_bytes(b"damaged")
    Path("sola/sola-adapter/config.json").unlink()
    refused(run("report", "features", "feats", "sola", "--html", "a.html"), "sola/b.safetensors: cannot be read")
    assert not Path("a.html").exists()


def test_real_features_of_two_minutes(run: Run, shared_data: Path, tmp_path: Path) -> None:
    with np.load(shared_data / "gtea" / "features" / "S1_Coffee_C1.npz") as file:
        values = file["feat"].astype(np.float32)
    time = FeatureTime(15, 1, 1)
    smooth = np.stack([np.convolve(column, np.ones(15) / 15, "same") for column in values.T], axis=1)
    for name, rows in (("raw", values), ("smooth", smooth)):
        write_features(tmp_path / name / "S1_Coffee_C1.safetensors", Features(rows, time, "spatialcnn"))
    adapter(tmp_path / "smooth")
    answer = run("report", "features", tmp_path / "raw", tmp_path / "smooth", "--html", tmp_path / "maps.html")
    said = " ".join(answer.err.split())
    assert "moments 0.93 s apart rose" in said and "0.162 was asked for: the opposite happened." in said
    assert (tmp_path / "maps.html").stat().st_size < 300_000
