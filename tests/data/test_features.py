"""Feature files: what is written comes back; what is damaged, hostile or without time is refused by name."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from kinoscope.data.features import Features, FeatureTime, read_features, write_features
from kinoscope.errors import FeatureError

from ..folders import names_in

TIME = FeatureTime(8.0, 2, 4, 0.5, 12.5)
POSITIVE = st.floats(1e-3, 1e4)


def made(rows: int = 5, width: int = 3) -> Features:
    values = np.random.default_rng(0).normal(size=(rows, width)).astype(np.float32)
    return Features(values, TIME, "i3d-k400", "0123456789abcdef")


def write_raw(path: Path, values: np.ndarray, drop: str = "", **changes: str) -> Path:
    """A feature file with its metadata tampered with."""
    meta = {"fps": "8.0", "stride": "2", "clip_length": "4", "offset": "0.0", "duration": "null", **changes}
    meta.pop(drop, None)
    save_file({"features": values}, path, metadata=meta)
    return path


# --- time ----------------------------------------------------------------------------------------------------------


@given(POSITIVE, POSITIVE, POSITIVE, st.floats(-100, 100), st.integers(1, 50))
def test_seconds_and_grid_are_inverses(fps: float, stride: float, length: float, offset: float, rows: int) -> None:
    time = FeatureTime(fps, stride, length, offset)
    grid = np.arange(rows)
    np.testing.assert_allclose(time.to_grid(time.to_seconds(grid)), grid, atol=1e-6 * (1 + abs(offset) * fps / stride))
    np.testing.assert_array_equal(time.centers(rows), time.to_seconds(grid))


def test_rows_stand_at_the_centre_of_what_they_saw() -> None:
    time = FeatureTime(fps=10, stride=4, clip_length=6, offset=1)
    assert time.step == pytest.approx(0.4)
    # row 2 saw the frames at 1.8, 1.9, ... 2.3 s, on display until 2.4 s
    assert time.to_seconds(2) == pytest.approx((1.8 + 2.4) / 2)


@pytest.mark.parametrize("name", ["fps", "stride", "clip_length", "duration"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), "8", True, [8]])
def test_times_that_make_no_sense(name: str, value: object) -> None:
    with pytest.raises(FeatureError, match=f"{name} is .* but must be a positive number"):
        FeatureTime(**{"fps": 8, "stride": 1, "clip_length": 1, name: value})  # type: ignore[arg-type]


def test_an_offset_that_makes_no_sense() -> None:
    assert FeatureTime(8, 1, 1, -0.5).offset == -0.5
    with pytest.raises(FeatureError, match="offset is nan"):
        FeatureTime(8, 1, 1, float("nan"))


def test_a_file_without_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FeatureError, match="holds no rows"):
        write_features(tmp_path / "none.safetensors", Features(np.zeros((0, 4), np.float32), FeatureTime(8, 1, 1)))
    assert not list(tmp_path.iterdir())


# --- the file ------------------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(POSITIVE, POSITIVE, POSITIVE, st.floats(-10, 10), st.none() | POSITIVE, st.integers(1, 9), st.text(max_size=9))
def test_round_trip(
    tmp_path_factory: pytest.TempPathFactory,
    fps: float,
    stride: float,
    length: float,
    offset: float,
    duration: float | None,
    rows: int,
    encoder: str,
) -> None:
    path = tmp_path_factory.getbasetemp() / "round.safetensors"
    values = np.random.default_rng(rows).normal(size=(rows, 4)).astype(np.float32)
    features = Features(values, FeatureTime(fps, stride, length, offset, duration), encoder, "abc")
    write_features(path, features)
    again = read_features(path)
    assert (again.time, again.encoder, again.weight_hash) == (features.time, encoder, "abc")
    np.testing.assert_array_equal(again.values, values)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_is_refused_with_its_row_and_leaves_no_file(tmp_path: Path, bad: float) -> None:
    features = made()
    features.values[3, 1] = bad
    with pytest.raises(FeatureError, match="1 of 5 rows hold NaN or infinity, the first is row 3"):
        write_features(tmp_path / "a.safetensors", features)
    assert not names_in(tmp_path)
    path = write_raw(tmp_path / "b.safetensors", features.values)
    with pytest.raises(FeatureError, match=r"b\.safetensors: 1 of 5 rows .* row 3\n  Cure: extract it again"):
        read_features(path)
    np.save(tmp_path / "c.npy", features.values)
    with pytest.raises(FeatureError, match=r"c\.npy: 1 of 5 rows"):
        read_features(tmp_path / "c.npy", TIME)


@pytest.mark.parametrize("name", ["fps", "stride", "clip_length", "offset", "duration"])
def test_missing_time(tmp_path: Path, name: str) -> None:
    path = write_raw(tmp_path / "a.safetensors", made().values, drop=name)
    with pytest.raises(FeatureError, match=f"a.safetensors: has no time: '{name}' is missing") as caught:
        read_features(path)
    assert "--fps" in (caught.value.cure or "")
    assert read_features(path, TIME).time == TIME


@pytest.mark.parametrize("text", ["", "eight", "{", '"8"', "[8]", "null", "NaN", "0", "1e999", "true"])
def test_broken_time(tmp_path: Path, text: str) -> None:
    path = write_raw(tmp_path / "a.safetensors", made().values, fps=text)
    with pytest.raises(FeatureError, match=r"a\.safetensors: "):
        read_features(path)


def test_a_file_cut_off_anywhere(tmp_path: Path) -> None:
    whole = tmp_path / "whole.safetensors"
    write_features(whole, made())
    data = whole.read_bytes()
    cut = tmp_path / "cut.safetensors"
    for length in {0, 1, 7, 8, 9, 100, len(data) // 2, len(data) - 4, len(data) - 1}:
        cut.write_bytes(data[:length])
        with pytest.raises(FeatureError, match=r"cut\.safetensors: cannot be read as features(.|\n)*extract it again"):
            read_features(cut)


def test_other_shapes_and_kinds(tmp_path: Path) -> None:
    for shape in [(4,), (), (2, 2, 2)]:
        for path in (tmp_path / "a.npy", tmp_path / "a.safetensors"):
            if path.suffix == ".npy":
                np.save(path, np.zeros(shape, np.float32))
            else:
                write_raw(path, np.zeros(shape, np.float32))
            with pytest.raises(FeatureError, match=rf"{path.name}: features have shape .* but must be \[T, C\]"):
                read_features(path, TIME)
    save_file({"other": np.zeros((2, 2))}, tmp_path / "b.safetensors")
    with pytest.raises(FeatureError, match="cannot be read as features"):
        read_features(tmp_path / "b.safetensors", TIME)


def test_no_such_file_and_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none.safetensors", tmp_path):
        with pytest.raises(FeatureError, match="no such feature file"):
            read_features(path)


def test_numbers_that_numpy_does_not_have(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file as save_torch

    save_torch({"features": torch.zeros(3, 2, dtype=torch.bfloat16)}, tmp_path / "a.safetensors")
    with pytest.raises(FeatureError, match="bfloat16"):
        read_features(tmp_path / "a.safetensors", TIME)


# --- .npy of other tools -------------------------------------------------------------------------------------------


class _Hostile:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.target,)


def test_a_pickle_in_npy_is_refused_and_nothing_runs(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([_Hostile(tmp_path / "ran")], dtype=object), allow_pickle=True)
    (tmp_path / "b.npy").write_bytes(pickle.dumps(_Hostile(tmp_path / "ran")))
    for name in ("a.npy", "b.npy"):
        with pytest.raises(FeatureError, match=f"{name}: cannot be read as an array"):
            read_features(tmp_path / name, TIME)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("kind", [np.float16, np.float64, np.int32, np.uint8, ">f4"])
def test_npy_of_any_numbers(tmp_path: Path, kind: object) -> None:
    np.save(tmp_path / "a.npy", np.arange(6).reshape(3, 2).astype(kind))  # type: ignore[arg-type]
    features = read_features(tmp_path / "a.npy", TIME)
    assert features.values.dtype == np.float32 and features.values.tolist() == [[0, 1], [2, 3], [4, 5]]


@pytest.mark.parametrize("values", [np.zeros((2, 2), "U3"), np.zeros((2, 2), complex), np.zeros((2, 2), bool)])
def test_npy_of_no_numbers(tmp_path: Path, values: np.ndarray) -> None:
    np.save(tmp_path / "a.npy", values)
    with pytest.raises(FeatureError, match=r"a\.npy: holds .*, not numbers"):
        read_features(tmp_path / "a.npy", TIME)


def test_npy_that_overflows_or_is_damaged_or_has_no_time(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.full((2, 2), 1e300))
    with pytest.raises(FeatureError, match="infinity"):
        read_features(tmp_path / "a.npy", TIME)
    with pytest.raises(FeatureError, match=r"a\.npy: a \.npy file has no time"):
        read_features(tmp_path / "a.npy")
    data = (tmp_path / "a.npy").read_bytes()
    for damaged in (b"", data[:5], data[:40], data[:-3], data[:20] + b"\xff" * 20 + data[40:]):
        (tmp_path / "b.npy").write_bytes(damaged)
        with pytest.raises(FeatureError, match=r"b\.npy: cannot be read as an array"):
            read_features(tmp_path / "b.npy", TIME)


def test_metadata_is_plain_json(tmp_path: Path) -> None:
    from safetensors import safe_open

    write_features(tmp_path / "a.safetensors", made())
    with safe_open(tmp_path / "a.safetensors", framework="numpy") as file:
        meta = file.metadata()
    assert json.loads(meta["fps"]) == 8 and json.loads(meta["duration"]) == 12.5 and meta["encoder"] == "i3d-k400"
