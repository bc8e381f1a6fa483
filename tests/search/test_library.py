"""A folder becomes an index, and again after it changed: nothing twice, nothing stale, nothing of others removed."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from kinoscope.data.feature_store import FeatureStore
from kinoscope.encoders import Sampling
from kinoscope.errors import FeatureError, OptionError, OutputError, VideoError
from kinoscope.search import index_library, open_index
from kinoscope.search.library import index_features

from ..encoders import tiny
from ..folders import files_below

ENCODER = tiny.built(tiny.CLIPS)


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    for number, name in enumerate(("a.mp4", "falls/b.avi", "c.mkv")):
        tiny.film(tmp_path / "videos" / name, 20, seed=number)
    return tmp_path / "videos"


def names(out: Path) -> list[str]:
    return [entry.name for entry in open_index(out).entries]


def test_a_library_and_its_changes(videos: Path, tmp_path: Path) -> None:
    out = tmp_path / "index"
    first = index_library(videos, out, ENCODER)
    assert names(out) == ["a", "c", "falls/b"] and first.extraction.done == ["a", "c", "falls/b"]
    assert [first.index.path_of(n) for n in range(3)] == [
        (videos / n).resolve() for n in ("a.mp4", "c.mkv", "falls/b.avi")
    ]
    stamps = {path.name: path.stat().st_mtime_ns for path in out.iterdir() if path.is_file()}
    again = index_library(videos, out, ENCODER)
    assert not again.extraction.done and not again.dropped
    assert stamps == {path.name: path.stat().st_mtime_ns for path in out.iterdir() if path.is_file()}

    before = first.index.videos.copy()
    tiny.film(videos / "new.mp4", 20, seed=8)
    (videos / "c.mkv").unlink()
    tiny.film(videos / "a.mp4", 30, seed=9)
    os.utime(videos / "a.mp4", (1e9, 1e9))  # older than what was indexed, yet another
    changed = index_library(videos, out, ENCODER)
    assert changed.dropped == ["c"] and changed.extraction.done == ["a", "new"]
    assert names(out) == ["a", "falls/b", "new"] and "features/c.safetensors" not in files_below(out)
    fresh = index_library(videos, tmp_path / "fresh", ENCODER).index
    np.testing.assert_array_equal(open_index(out).moments, fresh.moments)
    assert not np.allclose(open_index(out).videos[0], before[0], atol=1e-3)


def test_features_that_are_not_of_the_index_stay(videos: Path, tmp_path: Path) -> None:
    index_library(videos, tmp_path / "mine", ENCODER)
    (tmp_path / "out" / "features").mkdir(parents=True)
    kept = tmp_path / "out" / "features" / "kept.safetensors"
    kept.write_bytes((tmp_path / "mine" / "features" / "a.safetensors").read_bytes())
    outcome = index_library(videos, tmp_path / "out", ENCODER)
    assert kept.is_file() and "kept" not in names(tmp_path / "out") and not outcome.dropped


def test_videos_that_cannot_be_read_are_left_out(videos: Path, tmp_path: Path) -> None:
    (videos / "bad.mp4").write_text("no video")
    outcome = index_library(videos, tmp_path / "index", ENCODER)
    assert list(outcome.extraction.failed) == [str(videos / "bad.mp4")] and "bad" not in names(tmp_path / "index")
    (videos / "a.mp4").write_text("no video any more")
    assert names(tmp_path / "index")[0] == "a"
    index_library(videos, tmp_path / "index", ENCODER)
    assert names(tmp_path / "index") == ["c", "falls/b"]


def test_an_empty_library(videos: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(VideoError, match="holds no videos"):
        index_library(tmp_path / "empty", tmp_path / "index", ENCODER)
    (tmp_path / "empty" / "bad.mp4").write_text("x")
    with pytest.raises(VideoError, match="none of 1 videos can be read"):
        index_library(tmp_path / "empty", tmp_path / "index", ENCODER)


def test_another_folder_or_sampling_is_not_mixed_in(videos: Path, tmp_path: Path) -> None:
    index_library(videos, tmp_path / "index", ENCODER)
    with pytest.raises(OptionError, match=r"is the index of the folder .*videos, not of .*falls"):
        index_library(videos / "falls", tmp_path / "index", ENCODER)
    with pytest.raises(OutputError, match="--overwrite"):
        index_library(videos, tmp_path / "index", ENCODER, Sampling(stride=2))
    index_library(videos / "falls", tmp_path / "index", ENCODER, Sampling(stride=2), overwrite=True)
    assert names(tmp_path / "index") == ["b"] and open_index(tmp_path / "index").time.stride == 2


def test_a_damaged_index_is_made_again(videos: Path, tmp_path: Path) -> None:
    index_library(videos, tmp_path / "index", ENCODER)
    (tmp_path / "index" / "index.json").write_text("{")
    outcome = index_library(videos, tmp_path / "index", ENCODER)
    assert not outcome.extraction.done and names(tmp_path / "index") == ["a", "c", "falls/b"]


def test_features_that_are_there_already(videos: Path, tmp_path: Path) -> None:
    index_library(videos, tmp_path / "first", ENCODER)
    store = FeatureStore(tmp_path / "first" / "features")
    plain = index_features(store, tmp_path / "plain").index
    assert plain.path_of(0) is None and plain.encoder == "tiny-clips"
    outcome = index_features(store, tmp_path / "plain", videos)
    assert outcome.index.path_of(2) == (videos / "falls/b.avi").resolve() and not outcome.dropped
    np.testing.assert_array_equal(outcome.index.moments, open_index(tmp_path / "first").moments)
    with pytest.raises(OptionError, match="would lie among the features"):
        index_features(store, store.folder / "index")
    tiny.film(tmp_path / "others" / "x.mp4", 8)
    with pytest.raises(FeatureError, match="of other videos"):
        index_features(store, tmp_path / "plain", tmp_path / "others")
    (tmp_path / "plain" / "index.json").write_text("{")
    assert len(index_features(store, tmp_path / "plain").index.entries) == 3
    (store.folder / "c.safetensors").unlink()
    assert index_features(FeatureStore(store.folder), tmp_path / "plain").dropped == ["c"]
