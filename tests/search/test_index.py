"""The index: centred as the sheet says, read back as it was written, whole or not at all, strict in reading."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kinoscope.data.feature_store import FeatureStore
from kinoscope.data.features import Features, read_features, write_features
from kinoscope.errors import FeatureError, OutputError
from kinoscope.search import build, index_of, open_index, write_index
from kinoscope.search.index import Index, centred, unit

from ..folders import names_in
from . import made, twin
from .made import WIDTH, duration, library

ROWS = {"a": 4, "b/c": 7, "d": 1}


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return library(tmp_path / "feats", ROWS)


@pytest.fixture
def written(store: FeatureStore, tmp_path: Path) -> Path:
    write_index(tmp_path / "index", store, source="somewhere")
    return tmp_path / "index"


def raw(store: FeatureStore) -> list[np.ndarray]:
    return [store[name].values for name in sorted(store)]


def test_rows_are_those_of_the_slow_twin(store: FeatureStore) -> None:
    index = index_of(store)
    videos, mean = twin.video_vectors(raw(store))
    np.testing.assert_allclose(index.mean, mean, atol=1e-6)
    np.testing.assert_allclose(index.videos, videos, atol=1e-5)
    expected = [twin.unit(twin.unit(row) - mean) for each in raw(store) for row in each]
    np.testing.assert_allclose(index.moments, expected, atol=1e-5)
    for number, values in enumerate(raw(store)):  # a query is centred as the library was
        np.testing.assert_allclose(index.as_video(values), index.videos[number], atol=1e-5)
        np.testing.assert_allclose(index.as_moments(values), index.moments[index.rows_of(number)], atol=1e-6)


def test_centring_is_that_of_the_retrieval_vectors(vectors: Any, tmp_path: Path) -> None:
    """What the specification does to each split is what is done to a library: the two are compared as two libraries."""
    case = next(case for case in vectors("coclr")["cases"] if case["id"] == "retrieval")
    splits = []
    for split in ("train", "test"):
        for number, means in enumerate(case["inputs"][f"{split}_features"]):
            features = Features(windows(np.array(means)), made.TIME)
            write_features(tmp_path / split / f"{number}.safetensors", features)
        splits.append(index_of(FeatureStore(tmp_path / split)).videos)
    np.testing.assert_allclose(splits[1] @ splits[0].T, case["expected"]["similarity"], atol=1e-5)


def test_memory_and_disk_hold_the_same(store: FeatureStore, written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "_BLOCK", 2)
    memory, read = index_of(store), open_index(written)
    np.testing.assert_array_equal(memory.moments, read.moments)
    np.testing.assert_array_equal(memory.videos, read.videos)
    assert (memory.entries, memory.digest, memory.encoder, memory.time) == (
        read.entries,
        read.digest,
        read.encoder,
        read.time,
    )
    assert read.source == "somewhere" and memory.source == "tiny" and read.library is None
    assert not read.moments.flags.writeable


def test_which_video_and_when(store: FeatureStore) -> None:
    index = index_of(store)
    assert [entry.name for entry in index.entries] == ["a", "b/c", "d"]
    assert [index.entry_of(row) for row in range(12)] == [0] * 4 + [1] * 7 + [2]
    assert [index.time_of(row) for row in (0, 3, 4, 11)] == [0.5, 2.0, 0.5, 0.5]
    assert index.centres(1).tolist() == [0.5 + 0.5 * n for n in range(7)]
    assert [entry.duration for entry in index.entries] == [duration(count) for count in ROWS.values()]
    assert index.clip_seconds == 1.0


def test_a_library_of_one_video_is_not_centred(tmp_path: Path) -> None:
    store = library(tmp_path, {"a": 3})
    index = index_of(store)
    assert not index.mean.any()
    np.testing.assert_allclose(index.moments, unit(store["a"].values))


def test_rows_without_direction_are_zeros_not_nan() -> None:
    assert unit(np.zeros((2, 3))).tolist() == [[0, 0, 0], [0, 0, 0]]
    assert not centred(np.full((1, 3), 0.5), np.full(3, 0.5 + 1e-8)).any()
    np.testing.assert_allclose(unit(np.array([[3e-20, 4e-20]])), [[0.6, 0.8]])  # networks without training


def test_an_index_is_replaced_whole_or_not_at_all(
    store: FeatureStore, written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = open_index(written)
    library(store.folder, {"new": 2}, seed=9)
    real = build._blocks

    def stops(*arguments: Any) -> Any:
        yield next(iter(real(*arguments)))
        raise KeyboardInterrupt

    monkeypatch.setattr(build, "_blocks", stops)
    with pytest.raises(KeyboardInterrupt):
        write_index(written, FeatureStore(store.folder))
    np.testing.assert_array_equal(open_index(written).moments, before.moments)
    monkeypatch.undo()
    write_index(written, FeatureStore(store.folder))
    assert len(open_index(written).entries) == 4
    assert names_in(written) == ["index.json", f"rows-{open_index(written).digest}.safetensors"]


def windows(mean: np.ndarray) -> np.ndarray:
    """Two rows whose directions have a mean along ``mean``, of its length times 0.9. Shape: [2, 2]."""
    length = 0.9 * np.hypot(*mean)
    middle, turn = np.arctan2(mean[1], mean[0]), np.arccos(length)
    angles = np.array([middle - turn, middle + turn])
    return 5 * np.stack([np.cos(angles), np.sin(angles)], axis=1)  # their length must not matter


def change(folder: Path, **values: Any) -> None:
    path = folder / "index.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def video(**values: Any) -> dict[str, Any]:
    plain = {"name": "a", "first": 0, "rows": 12, "offset": 0, "duration": 9, "file": None, "size": 1, "modified": 1}
    return plain | values


@pytest.mark.parametrize(
    "values",
    [
        {"videos": []},
        {"videos": [video(rows=3)]},
        {"videos": [video(rows=-12)]},
        {"videos": [video(first="0")]},
        {"videos": [video(), video(first=12)]},
        {"videos": [{"name": "a"}]},
        {"videos": 5},
        {"time": {"fps": 0, "stride": 1, "clip_length": 1}},
        {"digest": "../../x"},
        {"digest": 7},
        {"digest": "0000"},
        {"kind": "encoder"},
        {"version": 99},
        {"version": "new"},
    ],
)
def test_a_damaged_index_is_refused_with_its_place(written: Path, values: dict[str, Any]) -> None:
    change(written, **values)
    with pytest.raises(FeatureError) as caught:
        open_index(written)
    assert str(written) in str(caught.value.where) and "kinoscope index" in str(caught.value.cure)


@pytest.mark.parametrize("file", ["../../etc/passwd", "/etc/passwd", "a/../../b.mp4", "", "a\0b"])
def test_files_outside_of_the_library_are_refused(store: FeatureStore, tmp_path: Path, file: str) -> None:
    write_index(tmp_path / "index", store)
    content = json.loads((tmp_path / "index" / "index.json").read_text())
    content["videos"][0]["file"] = file
    change(tmp_path / "index", **content)
    with pytest.raises(FeatureError, match="is damaged"):
        open_index(tmp_path / "index")


def test_damaged_rows_and_no_index_at_all(written: Path, tmp_path: Path) -> None:
    path = next(written.glob("rows-*"))
    data = path.read_bytes()
    for broken in (data[:100], data[:-4], b"", b"\xff" * 200):
        path.write_bytes(broken)
        with pytest.raises(FeatureError, match="rows cannot be read"):
            open_index(written)
    path.unlink()
    with pytest.raises(FeatureError, match="rows cannot be read: No such file"):
        open_index(written)
    (written / "index.json").write_text("[" * 100_000)
    with pytest.raises(FeatureError, match="is damaged"):
        open_index(written)
    with pytest.raises(FeatureError, match=r"holds no index\n  Cure: make one: kinoscope index"):
        open_index(tmp_path)


def test_features_that_do_not_belong_together_are_refused(store: FeatureStore, tmp_path: Path) -> None:
    other = library(tmp_path / "other", {"e": 2})["e"]
    write_features(store.folder / "e.safetensors", replace(other, weight_hash="b" * 16))
    with pytest.raises(FeatureError, match="weights"):
        index_of(FeatureStore(store.folder))


def test_an_output_in_the_way(store: FeatureStore, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="cannot be written"):
        write_index(tmp_path / "file", store)


def test_rows_lie_in_a_plain_safetensors_file(written: Path) -> None:
    from safetensors.numpy import load_file

    tensors = load_file(next(written.glob("rows-*")))
    index: Index = open_index(written)
    assert {name: each.shape for name, each in tensors.items()} == {
        "features": (12, WIDTH),
        "videos": (3, WIDTH),
        "mean": (WIDTH,),
    }
    np.testing.assert_array_equal(tensors["features"], index.moments)
    with pytest.raises(FeatureError, match="no time"):  # and is taken for no video's features
        read_features(next(written.glob("rows-*")))
