from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kinoscope.data import feature_store
from kinoscope.data.feature_store import ADAPTER_FOLDER, FeatureStore, difference, feature_path
from kinoscope.data.features import Features, FeatureTime, write_features
from kinoscope.errors import FeatureError

TIME = FeatureTime(8.0, 2, 4)


def made(width: int = 3, **changes: object) -> Features:
    return replace(Features(np.zeros((5, width), np.float32), TIME, "enc", "hash"), **changes)  # type: ignore[arg-type]


def fill(folder: Path, *names: str) -> FeatureStore:
    for name in names:
        write_features(feature_path(folder, name), made())
    return FeatureStore(folder)


def test_names_are_paths_without_suffix(tmp_path: Path) -> None:
    store = fill(tmp_path, "fall/07", "fall/a.b", "x")
    assert list(store) == ["fall/07", "fall/a.b", "x"] and len(store) == 3
    assert store.path_of("fall/07") == tmp_path / "fall" / "07.safetensors"
    assert store["x"].width == 3


def test_the_last_part_is_enough_when_only_one_has_it(tmp_path: Path) -> None:
    store = fill(tmp_path, "fall/07", "sit/08", "run/08")
    assert store.path_of("07") == store.path_of("videos/07") == tmp_path / "fall" / "07.safetensors"
    with pytest.raises(KeyError):
        store.path_of("08")
    assert "07" in store and "08" not in store and "run/08" in store and "09" not in store and 7 not in store


def test_asking_whether_a_name_is_there_reads_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = fill(tmp_path, "a")
    monkeypatch.setattr(feature_store, "read_features", lambda *_: pytest.fail("was read"))
    assert "a" in store and "b" not in store


def test_adapters_and_hidden_files_are_no_features(tmp_path: Path) -> None:
    fill(tmp_path, "a", f"{ADAPTER_FOLDER}/model", ".part", ".cache/b")
    (tmp_path / "notes.txt").write_text("x")
    assert list(FeatureStore(tmp_path)) == ["a"]


def test_no_folder_and_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(FeatureError, match=r"no such folder of features(.|\n)*kinoscope extract"):
        FeatureStore(tmp_path / "none")
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(FeatureError, match="no such folder"):
        FeatureStore(tmp_path / "a.txt")
    with pytest.raises(FeatureError, match="holds no feature files"):
        FeatureStore(tmp_path)


def test_two_files_for_one_video(tmp_path: Path) -> None:
    fill(tmp_path, "a")
    np.save(tmp_path / "a.npy", np.zeros((2, 3)))
    with pytest.raises(FeatureError, match=r"a\.safetensors: has the same name as a\.npy"):
        FeatureStore(tmp_path)


def test_npy_with_a_time_given_once(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((2, 3)))
    assert FeatureStore(tmp_path, TIME)["a"].time == TIME
    with pytest.raises(FeatureError, match="no time"):
        FeatureStore(tmp_path)["a"]


def test_select_lists_what_is_missing_or_unclear(tmp_path: Path) -> None:
    store = fill(tmp_path, "fall/07", "sit/08", "run/08")
    assert store.select(["07"]) == {"07": tmp_path / "fall" / "07.safetensors"}
    with pytest.raises(FeatureError, match=r"no features of 2 annotated videos: 08 \(could be run/08 or sit/08\), zz"):
        store.select(["07", "08", "zz"])
    with pytest.raises(FeatureError, match="and 25 more"):
        store.select(f"none{number}" for number in range(30))


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (made(4), "width 3 and 4"),
        (made(encoder="i3d"), "encoder 'enc' and 'i3d'"),
        (made(weight_hash="0"), "weights 'hash' and '0'"),
        (made(time=replace(TIME, fps=9)), "fps 8.0 and 9"),
        (made(time=replace(TIME, stride=3)), "stride 2 and 3"),
        (made(time=replace(TIME, clip_length=5)), "clip length 4 and 5"),
    ],
)
def test_features_that_differ_are_not_mixed(tmp_path: Path, other: Features, said: str) -> None:
    fill(tmp_path, "a", "b")
    write_features(feature_path(tmp_path, "c"), other)
    with pytest.raises(FeatureError, match=f"{said} in 'a' and 'c'"):
        FeatureStore(tmp_path).read_alike()


def test_alike_features_are_given_by_name(tmp_path: Path) -> None:
    store = fill(tmp_path, "a", "d/b")
    assert list(store.read_alike()) == ["a", "d/b"]
    assert difference(made(), made(time=replace(TIME, offset=1, duration=7))) is None
