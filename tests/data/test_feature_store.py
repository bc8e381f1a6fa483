from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from kinoscope.data import feature_store
from kinoscope.data.feature_store import ADAPTER_FOLDER, FeatureStore, difference, feature_path
from kinoscope.data.features import Features, FeatureTime, write_features
from kinoscope.errors import FeatureError

TIME = FeatureTime(8.0, 2, 4)


def made(width: int = 3, **changes: object) -> Features:
    values = np.random.default_rng(0).normal(size=(5, width)).astype(np.float32)
    return replace(Features(values, TIME, "enc", "hash"), **changes)  # type: ignore[arg-type]


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
    monkeypatch.setattr(feature_store, "read_features", lambda *_, **__: pytest.fail("was read"))
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


@pytest.mark.parametrize("suffix", [".npz", ".pkl", ".h5"])
def test_features_of_a_kind_that_is_not_read(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"a{suffix}").write_bytes(b"PK")
    with pytest.raises(FeatureError, match=f"holds {suffix} files, but features are read from .safetensors") as caught:
        FeatureStore(tmp_path)
    assert "NAME.npy" in str(caught.value.cure) and ("numpy.load('a.npz')" in str(caught.value.cure)) == (
        suffix == ".npz"
    )
    fill(tmp_path, "b")
    assert list(FeatureStore(tmp_path)) == ["b"]


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


def test_the_time_is_asked_for_once_for_all_files_without(tmp_path: Path) -> None:
    fill(tmp_path, "own")
    values = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    for name in ("b", "c"):
        np.save(tmp_path / f"{name}.npy", values)
    save_file({"features": values}, tmp_path / "d.safetensors")  # of another tool
    said = r"b\.npy: a \.npy file has no time, and 2 more of 4 files have none\n  Cure: .*--fps, --stride and --clip"
    with pytest.raises(FeatureError, match=said):
        FeatureStore(tmp_path).read_alike()
    given = FeatureStore(tmp_path, TIME)
    assert {each.time for name, each in given.items() if name != "own"} == {TIME}
    with pytest.raises(FeatureError, match="encoder '' and 'enc'"):
        given.read_alike()


@pytest.mark.parametrize("suffix", [".npy", ".safetensors"])
def test_a_folder_without_time_and_one_without_some_of_it(tmp_path: Path, suffix: str) -> None:
    values = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    for name in "ab":
        path = tmp_path / f"{name}{suffix}"
        np.save(path, values) if suffix == ".npy" else save_file({"features": values}, path, metadata={"fps": "25"})
    with pytest.raises(FeatureError, match=r"no time.*, and 1 more of 2 files have none\n.*--fps"):
        FeatureStore(tmp_path).read_alike()
    assert {each.time for each in FeatureStore(tmp_path, TIME).read_alike().values()} == {TIME}


def test_a_given_time_does_not_override_what_files_know(tmp_path: Path) -> None:
    fill(tmp_path, "a")
    assert FeatureStore(tmp_path, replace(TIME, offset=3))["a"].time == TIME
    with pytest.raises(FeatureError, match=r"holds its own time \(8 fps, stride 2, clip length 4\), which is not the"):
        FeatureStore(tmp_path, replace(TIME, stride=1)).read_alike()


# --- mapped --------------------------------------------------------------------------------------------------------


def test_an_opened_video_is_mapped(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones((2, 3), np.float16))
    opened = FeatureStore(tmp_path, TIME).open("x/a")
    assert opened.values.dtype == np.float16 and not opened.values.flags.writeable and opened.time == TIME
    assert FeatureStore(tmp_path, TIME)["a"].values.dtype == np.float32


def test_a_mapped_store_keeps_files_open_but_not_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_store, "most_mapped", lambda: 2)
    store = fill(tmp_path, "a", "b", "c").mapped()
    first = store["a"]
    assert store["a"] is first and store["b"] and store["a"] is first
    assert store["c"] and store["a"] is not first  # made room for c
    assert "c" in store and "d" not in store and len(store) == 3


def test_a_mapped_store_goes_to_other_processes_as_a_list_of_files(tmp_path: Path) -> None:
    write_features(feature_path(tmp_path, "a"), Features(np.ones((5000, 30), np.float32), TIME))
    store = FeatureStore(tmp_path).mapped()
    assert len(store["a"]) == 5000
    sent = pickle.dumps(store)
    assert len(sent) < 5000
    again = pickle.loads(sent)
    assert not again["a"].values.flags.writeable and again["a"] is again["a"]


# --- durations -----------------------------------------------------------------------------------------------------


def lengths(store: FeatureStore) -> dict[str, float | None]:
    return {name: each.time.duration for name, each in store.items()}


def test_durations_fill_in_what_files_do_not_know(tmp_path: Path) -> None:
    fill(tmp_path, "fall/a", "v_b", "c", "e/x", "f/x")
    write_features(feature_path(tmp_path, "d"), made(time=replace(TIME, duration=1.5)))
    table = {"a": 2.0, "b": 3.0, "clip c": 4.0, "d": 9.0, "x": 5.0, "none": 6.0}
    store = FeatureStore(tmp_path, file_names={"clip c": "c"}, durations=table)
    assert lengths(store) == {"c": 4.0, "d": 1.5, "e/x": None, "f/x": None, "fall/a": 2.0, "v_b": 3.0}
    assert store.open("a").time.duration == store.mapped()["a"].time.duration == 2.0


def test_a_videos_own_name_in_the_table_counts_first(tmp_path: Path) -> None:
    fill(tmp_path, "fall/a", "b")
    both = {"fall/a": 2.0, "a": 3.0, "sit/a": 4.0, "x/b": 5.0, "y/b": 6.0}
    assert lengths(FeatureStore(tmp_path, durations=both)) == {"fall/a": 2.0, "b": None}


def test_a_table_of_other_videos_and_one_with_gaps(tmp_path: Path) -> None:
    fill(tmp_path, "a", "b")
    with pytest.raises(FeatureError, match=r"holds 'a', but the durations are of other videos: 'x', 'y'"):
        FeatureStore(tmp_path, durations={"x": 1.0, "y": 2.0, "z": 3.0})
    store = FeatureStore(tmp_path, durations={"b": 1.5})
    with pytest.warns(UserWarning, match=r"no duration is known of 1 of 2 videos \(the first: 'a'\)"):
        store.read_alike()


def test_a_table_of_lengths_is_refused(tmp_path: Path) -> None:
    fill(tmp_path, "a", "b")
    with pytest.raises(FeatureError, match=r"the durations of 2 of 2 videos are their numbers of rows"):
        FeatureStore(tmp_path, durations={"a": 5, "b": 5}).read_alike()


# --- alike ---------------------------------------------------------------------------------------------------------


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


def test_alike_features_are_given_by_name_and_mapped(tmp_path: Path) -> None:
    alike = fill(tmp_path, "a", "d/b").read_alike()
    assert list(alike) == ["a", "d/b"] and not any(each.values.flags.writeable for each in alike.values())
    assert difference(made(), made(time=replace(TIME, offset=1, duration=7))) is None


def test_broken_rows_are_refused_and_odd_ones_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(tmp_path, "a")
    values = made().values.copy()
    values[1], values[3] = 0, values[2]
    write_features(feature_path(tmp_path, "b"), made(values=values, time=replace(TIME, duration=99.0)))
    with pytest.warns(UserWarning) as caught:
        FeatureStore(tmp_path).read_alike()
    kinds = [str(warning.message).split(":")[0] for warning in caught]
    assert kinds[:2] == ["rows of zeros", "rows that equal the one before"]
    assert kinds[2].startswith("1 of 2 videos have too few or too many rows") and len(kinds) == 3
    assert "Checking features: 100 %" in capsys.readouterr().err
    values[4, 0] = np.nan
    np.save(tmp_path / "c.npy", values)
    other = FeatureStore(tmp_path, TIME)
    with pytest.raises(FeatureError, match="encoder"):
        other.read_alike()
    for name in ("a", "b"):
        feature_path(tmp_path, name).unlink()
    with pytest.raises(FeatureError, match=r"c\.npy: 1 of 5 rows hold NaN or infinity, the first is row 4"):
        FeatureStore(tmp_path, TIME).read_alike()
