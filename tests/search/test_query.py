"""What is looked for: rows of the index where it holds the video, otherwise the clips that were asked for."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kinoscope.data.features import read_features
from kinoscope.encoders import Encoder, Sampling, extract_features, load_encoder
from kinoscope.encoders.backbones import build_backbone
from kinoscope.encoders.trained import TrainedSpec, save_encoder, trained_spec
from kinoscope.errors import FeatureError, OptionError, VideoError, WeightError
from kinoscope.search import Index, find_query, index_library, nearest_videos, open_index
from kinoscope.search.moments import clip_starts, encoder_of, moment_features
from kinoscope.search.nearest import Omitted

from ..encoders import tiny

ENCODER = tiny.built(tiny.CLIPS)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("library")
    for number, name in enumerate(("a.mp4", "falls/b.avi", "walks/c.mkv", "falls/d.mp4", "walks/d.mp4")):
        tiny.film(folder / "videos" / name, 50, seed=number)
    tiny.film(folder / "other.mp4", 40, seed=77)
    index_library(folder / "videos", folder / "index", ENCODER)
    return folder


@pytest.fixture
def index(library: Path) -> Index:
    return open_index(library / "index")


def never() -> Encoder:
    pytest.fail("the encoder was asked for")


def test_a_video_of_the_index_is_not_decoded(library: Path, index: Index, tmp_path: Path) -> None:
    copy = Path(shutil.copy(library / "videos" / "a.mp4", tmp_path / "copy of it.mp4"))
    for text in ("a", "a.mp4", str(library / "videos" / "a.mp4"), str(copy)):
        query = find_query(text, index, None, never)
        assert query.name == "a" and query.video == 0 and query.path == (library / "videos" / "a.mp4").resolve()
        np.testing.assert_array_equal(query.vector, index.videos[0])
    assert find_query("b", index, None, never).video == find_query("falls/b.avi", index, None, never).video == 1


def test_a_replaced_video_is_decoded(library: Path, index: Index, tmp_path: Path) -> None:
    shutil.copytree(library, tmp_path / "moved")  # index and videos together
    moved = open_index(tmp_path / "moved" / "index")
    path = tmp_path / "moved" / "videos" / "a.mp4"
    assert moved.path_of(0) == path.resolve()
    path.write_bytes((library / "other.mp4").read_bytes())
    query = find_query(str(path), moved, None, lambda: ENCODER)
    assert query.video is None and not np.allclose(query.vector, moved.videos[0], atol=1e-3)


def test_the_rows_of_a_known_video_are_those_in_the_span(index: Index) -> None:
    rows = index.moments[index.rows_of(0)]  # seen from 0.0, 0.4, 0.8, … on, for 0.8 s each
    one = find_query("a", index, (1.3, 1.3), never)
    np.testing.assert_allclose(one.vector, rows[2], atol=1e-6)  # its middle is at 1.2 s
    some = find_query("a", index, (1.1, 2.1), never)
    np.testing.assert_allclose(some.vector, rows[2:5].mean(axis=0) / np.linalg.norm(rows[2:5].mean(axis=0)), atol=1e-5)
    assert some.time == 1.6 and some.itself(0.8, moments=True) == Omitted(0, pytest.approx(0.3), pytest.approx(2.9))
    assert some.itself(0.8, moments=False) == Omitted(0)


def test_another_video_is_encoded_and_compared_alike(library: Path, index: Index) -> None:
    query = find_query(str(library / "other.mp4"), index, None, lambda: ENCODER)
    values = extract_features(library / "other.mp4", ENCODER).values
    np.testing.assert_allclose(query.vector, index.as_video(values), atol=1e-5)
    assert query.video is None and query.itself(1, moments=False) is None and query.duration == pytest.approx(4.0)
    at = find_query(str(library / "other.mp4"), index, (1.2, 1.2), lambda: ENCODER)
    np.testing.assert_allclose(at.vector, index.as_moments(values)[2], atol=1e-4)


@pytest.fixture
def trained(tmp_path: Path) -> Callable[[str], Encoder]:
    def make(stream: str) -> Encoder:
        spec = TrainedSpec("s3d", 1 / 32, "batch", stream, 10, 8, 32, 48, origin="a test")  # type: ignore[arg-type]
        save_encoder(tmp_path / stream, build_backbone("s3d", width=1 / 32), spec)
        return load_encoder(str(tmp_path / stream), device="cpu", runtime="torch")

    return make


@pytest.mark.parametrize("stream", ["", "rgb", "flow", "difference"])
def test_a_moment_is_encoded_as_extraction_does(library: Path, trained: Callable[[str], Encoder], stream: str) -> None:
    encoder = trained(stream) if stream else ENCODER
    sampling = Sampling(stride=4)
    rows = extract_features(library / "other.mp4", encoder, sampling).values
    for number in (0, 1, 3):
        middle = 0.4 * number + 0.4
        found, duration = moment_features(library / "other.mp4", encoder, sampling, (middle, middle))
        np.testing.assert_allclose(found, rows[number : number + 1], atol=1e-4 * np.abs(rows).max())
        assert duration == pytest.approx(4.0)
    several, _ = moment_features(library / "other.mp4", encoder, sampling, (0.4, 2.0))  # clips at 0.4, 0.8 and 1.2
    np.testing.assert_allclose(several, rows[1:4], atol=1e-4 * np.abs(rows).max())


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        ((5, 5), [4.5]),
        ((0, 0), [0]),
        ((10, 10), [9]),
        ((2, 2.5), [1.75]),
        ((2, 4), [2, 2.5, 3]),
        ((8, 99), [8, 8.5, 9]),
    ],
)
def test_where_clips_are_placed(span: tuple[float, float], expected: list[float]) -> None:
    assert clip_starts(span, 10.0, 1.0, 0.5) == pytest.approx(expected)
    assert clip_starts((0.2, 0.2), 0.4, 1.0, 0.5) == [0]  # a video shorter than a clip


def test_feature_files_are_queries(library: Path, index: Index, tmp_path: Path) -> None:
    query = find_query(str(library / "index" / "features" / "a.safetensors"), index, None, never)
    assert query.video == 0  # told by its rows
    np.testing.assert_allclose(query.vector, index.videos[0], atol=1e-5)
    part = find_query(str(library / "index" / "features" / "a.safetensors"), index, (1.1, 2.1), never)
    np.testing.assert_allclose(part.vector, find_query("a", index, (1.1, 2.1), never).vector, atol=1e-5)
    other = tiny.built(tiny.CHANGE)
    index_library(library / "videos" / "falls", tmp_path, other)
    with pytest.raises(FeatureError, match="does not fit the index: width 12, but the index has 5"):
        find_query(str(tmp_path / "features" / "b.safetensors"), index, None, never)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nothing.mp4", "no such file, and no video of the index has this name"),
        ("fals/b", "Cure: check the path, or name a video of the index, such as 'falls/b'"),
        ("d", "2 videos of the index have the name 'd'"),
        ("", "is a folder"),
        ("\x1b[31m", "no such file"),
        ("x" * 5000, "no such file"),
        ("a\0b", "no such file"),
    ],
)
def test_no_such_query(index: Index, text: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        find_query(text, index, None, never)


def test_no_such_moment(library: Path, index: Index) -> None:
    for text in ("a", str(library / "other.mp4"), str(library / "index" / "features" / "a.safetensors")):
        with pytest.raises(OptionError, match=r"no moment at 9 s: the video ends at \d\.00 s"):
            find_query(text, index, (9, 9), lambda: ENCODER)


def test_a_query_that_is_no_video(index: Index, tmp_path: Path) -> None:
    (tmp_path / "x.mp4").write_text("no video")
    with pytest.raises(VideoError, match="cannot be opened"):
        find_query(str(tmp_path / "x.mp4"), index, None, lambda: ENCODER)


def test_the_encoder_must_be_the_one_of_the_index(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.install(monkeypatch)
    assert encoder_of(index, device="cpu").spec.tag == "tiny-clips"
    with pytest.raises(WeightError, match="weights cccccccccccccccc, the index was made with bbbb"):
        encoder_of(replace(index, weight_hash="b" * 16), device="cpu", runtime="torch")
    with pytest.raises(OptionError, match="cannot be loaded: unknown encoder 'gone'"):
        encoder_of(index, "gone")


def test_search_over_encoded_videos_finds_the_copy(library: Path, index: Index) -> None:
    values = read_features(library / "index" / "features" / "walks" / "c.safetensors").values
    assert nearest_videos(index, index.as_video(values), 1)[0].video == "walks/c"


def test_an_index_made_by_a_trained_encoder(library: Path, trained: Callable[[str], Encoder], tmp_path: Path) -> None:
    index_library(library / "videos" / "walks", tmp_path / "index", trained("flow"), source=str(tmp_path / "flow"))
    index = open_index(tmp_path / "index")
    encoder = encoder_of(index, device="cpu", runtime="torch")
    assert encoder.spec.stream == "flow"
    query = find_query(str(library / "videos" / "walks" / "d.mp4"), index, (2, 2), never)
    fresh = find_query(str(library / "videos" / "falls" / "d.mp4"), index, (2, 2), lambda: encoder)
    assert query.video == 1 and fresh.video is None and np.linalg.norm(fresh.vector) == pytest.approx(1, abs=1e-4)
    save_encoder(tmp_path / "flow", build_backbone("s3d", width=1 / 32), trained_spec(tmp_path / "flow"))
    with pytest.raises(WeightError, match="the index was made with"):
        encoder_of(index, device="cpu", runtime="torch")
