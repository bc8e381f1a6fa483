"""A folder of videos: resumed where it stopped, broken files made again, failures named, nothing half written."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from kinoscope.data.feature_store import FeatureStore
from kinoscope.data.features import read_features
from kinoscope.encoders import Sampling, extract_folder, folder
from kinoscope.encoders.folder import find_videos
from kinoscope.errors import OutputError, VideoError

from ..folders import files_below
from . import tiny

ENCODER = tiny.built(tiny.FRAMES)


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    tiny.film(tmp_path / "videos" / "a.mp4", 12, seed=1)
    tiny.film(tmp_path / "videos" / "falls" / "b.avi", 12, seed=2)
    tiny.film(tmp_path / "videos" / "c.MKV", 12, seed=3)
    return tmp_path / "videos"


def test_one_file_per_video(videos: Path, tmp_path: Path) -> None:
    (videos / "notes.txt").write_text("x")
    outcome = extract_folder(videos, tmp_path / "out", ENCODER)
    assert outcome.done == ["a", "c", "falls/b"] and not outcome.failed and not outcome.skipped
    assert files_below(tmp_path / "out") == ["a.safetensors", "c.safetensors", "falls/b.safetensors"]
    assert set(FeatureStore(tmp_path / "out").read_alike()) == {"a", "c", "falls/b"}


def test_a_single_video(videos: Path, tmp_path: Path) -> None:
    assert extract_folder(videos / "falls" / "b.avi", tmp_path / "out", ENCODER).done == ["b"]


def test_finished_videos_are_skipped_and_broken_files_made_again(videos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    extract_folder(videos, out, ENCODER)
    before = {name: (out / name).stat().st_mtime_ns for name in files_below(out)}
    good = read_features(out / "a.safetensors").values
    data = (out / "a.safetensors").read_bytes()
    (out / "a.safetensors").write_bytes(data[: len(data) // 2])
    (out / "falls" / "b.safetensors").write_bytes(b"")
    outcome = extract_folder(videos, out, ENCODER)
    assert outcome.skipped == ["c"] and outcome.done == ["a", "falls/b"]
    np.testing.assert_array_equal(read_features(out / "a.safetensors").values, good)
    assert (out / "c.safetensors").stat().st_mtime_ns == before["c.safetensors"]
    again = extract_folder(videos, out, ENCODER)
    assert len(again.skipped) == 3 and not again.done and again.effort.total == 0


def test_a_video_that_fails_stops_nothing_and_is_named(videos: Path, tmp_path: Path) -> None:
    (videos / "b-empty.mp4").write_bytes(b"")
    (videos / "b-text.mp4").write_text("no video")
    outcome = extract_folder(videos, tmp_path / "out", ENCODER)
    assert outcome.done == ["a", "c", "falls/b"]
    assert sorted(outcome.failed) == [str(videos / "b-empty.mp4"), str(videos / "b-text.mp4")]
    assert all(outcome.failed.values()) and len(files_below(tmp_path / "out")) == 3


def test_a_damaged_video_gives_what_can_be_had(videos: Path, tmp_path: Path) -> None:
    path = tiny.film(videos / "damaged.mkv", 60)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    outcome = extract_folder(videos, tmp_path / "out", ENCODER)
    assert "damaged" in outcome.done and str(path) not in outcome.failed
    assert list(outcome.damaged) == [str(path)] and outcome.damaged[str(path)].startswith("the file breaks off")
    assert 0 < len(read_features(tmp_path / "out" / "damaged.safetensors")) < 60


def test_an_interruption_leaves_whole_files_only(videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = folder.extract_features

    def interrupted(path: Path, *rest: object, **options: object) -> object:
        if path.name == "c.MKV":
            raise KeyboardInterrupt
        return real(path, *rest, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(folder, "extract_features", interrupted)
    with pytest.raises(KeyboardInterrupt):
        extract_folder(videos, tmp_path / "out", ENCODER)
    assert files_below(tmp_path / "out") == ["a.safetensors"]
    monkeypatch.undo()
    outcome = extract_folder(videos, tmp_path / "out", ENCODER)
    assert outcome.skipped == ["a"] and outcome.done == ["c", "falls/b"]


def test_features_made_otherwise_are_not_mixed_in(videos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    extract_folder(videos, out, ENCODER)
    for encoder, sampling in [(tiny.built(tiny.CHANGE), Sampling()), (ENCODER, Sampling(fps=4))]:
        with pytest.raises(OutputError, match=r"a\.safetensors: holds features of tiny-frames .*(.|\n)*--overwrite"):
            extract_folder(videos, out, encoder, sampling)
    outcome = extract_folder(videos, out, tiny.built(tiny.CHANGE), overwrite=True)
    assert len(outcome.done) == 3 and read_features(out / "a.safetensors").encoder == "tiny-change"


def test_two_videos_of_one_name(videos: Path, tmp_path: Path) -> None:
    tiny.film(videos / "a.avi", 3)
    with pytest.raises(VideoError, match=r"a\.mp4: has the same name as a\.avi"):
        extract_folder(videos, tmp_path / "out", ENCODER)
    assert not (tmp_path / "out").exists()


def test_nothing_to_extract(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="no such file or folder"):
        find_videos(tmp_path / "none")
    (tmp_path / "a.txt").write_text("x")
    (tmp_path / ".hidden.mp4").write_text("x")
    with pytest.raises(VideoError, match="holds no videos"):
        find_videos(tmp_path)


def test_an_output_that_cannot_be_written_is_told_before_the_work(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder, "extract_features", lambda *_args, **_options: pytest.fail("worked first"))
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="cannot be written"):
        extract_folder(videos, tmp_path / "file" / "out", ENCODER)
    (tmp_path / "out" / "a.safetensors").mkdir(parents=True)
    with pytest.raises(OutputError, match=r"a\.safetensors: cannot be written: is a directory"):
        extract_folder(videos, tmp_path / "out", ENCODER)


@pytest.mark.skipif(sys.platform != "linux", reason="file names are text elsewhere")
def test_names_in_a_foreign_encoding(tmp_path: Path) -> None:
    source = tiny.film(tmp_path / "videos" / "x.avi", 3)
    source.rename(os.fsdecode(os.fsencode(source.parent) + b"/caf\xe9.avi"))
    assert extract_folder(tmp_path / "videos", tmp_path / "out", ENCODER).done == ["caf\N{REPLACEMENT CHARACTER}"]


def test_a_video_that_was_replaced_is_extracted_again(videos: Path, tmp_path: Path) -> None:
    extract_folder(videos, tmp_path / "out", ENCODER)
    before = read_features(tmp_path / "out" / "a.safetensors").values
    tiny.film(videos / "a.mp4", 12, seed=9)
    later = (tmp_path / "out" / "a.safetensors").stat().st_mtime + 2
    os.utime(videos / "a.mp4", (later, later))
    assert extract_folder(videos, tmp_path / "out", ENCODER).done == ["a"]
    assert not np.array_equal(read_features(tmp_path / "out" / "a.safetensors").values, before)
