"""``extract --like``: features that other tools read, at their rate, and that go on where they stopped."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from kinoscope.data.annotations import read_annotations
from kinoscope.data.feature_checks import check_times
from kinoscope.data.feature_store import FeatureStore
from kinoscope.data.features import FeatureTime

from ..encoders import tiny
from ..folders import files_below
from .conftest import Run
from .test_bad_input import refused
from .test_flow import TRAINING, done

EXTRACT = ("extract", "videos", "--encoder", "tiny-frames", "--out", "feats", "--like")


def test_the_layout_and_rate_of_another_tool(run: Run, here: Path) -> None:
    tiny.film(here / "videos" / "fast.mp4", 120, rate=20)
    (here / "videos" / "bad.mp4").write_text("no video")
    answer = run(*EXTRACT, "opentad:thumos_i3d")
    assert answer.code == 2 and "4 extracted, 0 already there, 1 failed" in answer.out
    assert "failed: videos/bad.mp4" in answer.err
    assert "not as in opentad:thumos_i3d: rows have 6 channels, the tool's own 2048" in answer.err
    names = ["0.npy", "1.npy", "2.npy", "fast.npy", "features.json"]
    assert [name for name in files_below(here / "feats") if not name.startswith(".")] == names
    said = json.loads((here / "feats" / "features.json").read_text())
    assert said["fps"] is None and said["videos"]["0"]["fps"] == 10 and said["videos"]["fast"]["fps"] == 20
    for name, frames in (("0", 60), ("fast", 120)):
        rows = np.load(here / "feats" / f"{name}.npy")
        assert rows.shape == ((frames - 16) // 4 + 1, 6), "a row every 4 of its own frames, each of 16"
    store = FeatureStore("feats")
    assert store["fast"].time == FeatureTime(20, 4, 16, 0, 6.0) and store["fast"].encoder == "tiny-frames"
    check_times(read_annotations("labels.csv"), store)

    answer = run(*EXTRACT, "opentad:thumos_i3d", "--json")
    again = json.loads(answer.out)
    assert answer.code == 2 and sorted(again["skipped"]) == ["0", "1", "2", "fast"] and not again["done"]
    assert list(again["failed"]) == ["videos/bad.mp4"]


def test_activitynet_has_one_rate_and_names_of_its_own(run: Run, here: Path) -> None:
    done(run(*EXTRACT, "actionformer:anet_tsp", "--size", 40))
    said = json.loads((here / "feats" / "features.json").read_text())
    assert (said["fps"], said["stride"], said["clip_length"]) == (15, 16, 16)
    assert list(said["videos"]) == ["v_0", "v_1", "v_2"] and said["encoder"] == "tiny-frames@40px"
    assert np.load(here / "feats" / "v_0.npy").shape == (6, 6)
    assert FeatureStore("feats")["0"].time.duration == 6.0


def test_what_was_written_can_be_trained_on(run: Run, here: Path) -> None:
    done(run(*EXTRACT, "opentad:thumos_i3d"))
    train = ("train", "localize", "labels.csv", "--features", "feats", "--out", "run", *TRAINING)
    assert "average_map: " in done(run(*train))
    spec = json.loads((here / "run" / "config.json").read_text())["features"]
    assert (spec["encoder"], spec["fps"], spec["stride"]) == ("tiny-frames", 10, 4)


def test_what_was_written_tells_its_time_everywhere(run: Run, here: Path) -> None:
    done(run(*EXTRACT, "opentad:thumos_i3d"))
    done(run("localize", "feats", "--boundaries", "-o", "b.json"))
    assert json.loads((here / "b.json").read_text())["durations"] == {"0": 6.0, "1": 6.0, "2": 6.0}
    done(run("index", "feats", "--out", "index"))
    assert json.loads((here / "index" / "index.json").read_text())["encoder"] == "tiny-frames"
    for place in ("index", "feats"):
        for query in ("1", "feats/1.npy"):
            hits = json.loads(done(run("search", query, "--in", place, "--at", 2, "--json")))["results"]
            assert sorted(each["video"] for each in hits) == ["0", "1", "2"]  # the moment itself left out
    (here / "other").mkdir()
    np.save(here / "other" / "1.npy", np.load(here / "feats" / "1.npy"))
    said = json.loads((here / "feats" / "features.json").read_text())
    (here / "other" / "features.json").write_text(json.dumps({**said, "clip_length": 8}))
    refused(run("search", "other/1.npy", "--in", "index"), "clip length 8, but the index has 16")
    refused(run("localize", "feats", "--boundaries", "--fps", 5, "--stride", 4, "--clip-length", 16), "features.json")


def test_what_is_refused(run: Run, here: Path) -> None:
    refused(run(*EXTRACT, "opentad:thumos"), "there is no layout 'opentad:thumos'", "opentad:thumos_i3d")
    refused(run(*EXTRACT, "gtad:thumos_tsn", "--stride", 3), "--stride and --like gtad:thumos_tsn both say")
    clips = ("extract", "videos", "--encoder", "tiny-clips", "--out", "feats", "--like", "gtad:thumos_tsn")
    refused(run(*clips), "clip_length is 1, but tiny-clips needs at least 8 frames")
    tiny.film(here / "videos" / "more" / "0.mp4", 20)
    refused(run(*EXTRACT, "opentad:thumos_i3d"), "'0' and 'more/0' would both be 0.npy")
    assert not (here / "feats").exists()


@pytest.mark.parametrize("preset", ["gtad:thumos_tsn", "opentad:anet_tsp"])
def test_every_layout_can_be_made(run: Run, here: Path, preset: str) -> None:
    done(run(*EXTRACT, preset))
    assert json.loads((here / "feats" / "features.json").read_text())["like"] == preset
