"""Writing in blocks: the same bytes however the rows are cut, and nothing left when a block is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kinoscope.data.feature_write import write_feature_blocks
from kinoscope.data.features import Features, FeatureTime, read_features, write_features
from kinoscope.errors import FeatureError

from ..folders import names_in

TIME = FeatureTime(8.0, 2, 4, 0.5, 12.5)
ROWS = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)


def written(path: Path, *blocks: np.ndarray, rows: int = 9) -> bytes:
    write_feature_blocks(path, iter(blocks), rows=rows, width=4, time=TIME, encoder="enc", weight_hash="hash")
    return path.read_bytes()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 9), max_size=4), st.sampled_from([".npy", ".safetensors"]))
def test_blocks_give_the_bytes_of_the_whole(tmp_path: Path, cuts: list[int], suffix: str) -> None:
    whole = tmp_path / f"whole{suffix}"
    write_features(whole, Features(ROWS, TIME, "enc", "hash"))
    pieces = np.split(ROWS, sorted(cuts))
    assert written(tmp_path / f"cut{suffix}", *pieces) == whole.read_bytes()


def test_the_safetensors_library_reads_it(tmp_path: Path) -> None:
    from safetensors import safe_open

    written(tmp_path / "a.safetensors", ROWS[:5], ROWS[5:].astype(np.float64))
    with safe_open(tmp_path / "a.safetensors", framework="numpy") as file:
        meta = file.metadata()
        np.testing.assert_array_equal(file.get_tensor("features"), ROWS)
    assert meta["fps"] == "8.0" and meta["encoder"] == "enc" and meta["version"] == "1"
    again = read_features(tmp_path / "a.safetensors")
    assert (again.time, again.encoder, again.weight_hash) == (TIME, "enc", "hash")
    np.testing.assert_array_equal(again.values, ROWS)


def test_npy_is_a_plain_array(tmp_path: Path) -> None:
    written(tmp_path / "a.npy", ROWS[:5], ROWS[5:])
    plain = np.load(tmp_path / "a.npy", allow_pickle=False)
    assert plain.dtype == np.float32 and plain.flags.c_contiguous
    np.testing.assert_array_equal(plain, ROWS)


@pytest.mark.parametrize("order", ["C", "F"])
def test_blocks_of_any_numbers_and_order(tmp_path: Path, order: str) -> None:
    half = np.asarray(ROWS.astype(np.float16), order=order)  # type: ignore[call-overload]
    written(tmp_path / "a.safetensors", half)
    np.testing.assert_array_equal(read_features(tmp_path / "a.safetensors").values, half.astype(np.float32))


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300])
def test_a_bad_row_is_named_by_its_place_in_the_file(tmp_path: Path, bad: float) -> None:
    spoiled = ROWS.astype(np.float64)
    spoiled[6, 2] = bad
    with pytest.raises(FeatureError, match=r"1 of the rows 4 to 8 hold NaN or infinity, the first is row 6"):
        written(tmp_path / "a.safetensors", spoiled[:4], spoiled[4:])
    with pytest.raises(FeatureError, match=r"1 of 9 rows hold NaN or infinity, the first is row 6"):
        written(tmp_path / "a.safetensors", spoiled)
    assert not names_in(tmp_path)


@pytest.mark.parametrize(
    ("blocks", "rows", "said"),
    [
        ([ROWS[:4]], 9, "4 rows were given, 9 announced"),
        ([ROWS, ROWS[:1]], 9, "more than the announced 9 rows"),
        ([], 9, "0 rows were given"),
        ([ROWS[:, :3]], 9, r"a block has shape \(9, 3\), but must be \[T, 4\]"),
        ([ROWS[0]], 1, r"a block has shape \(4,\)"),
        ([], 0, "holds no rows"),
    ],
)
def test_rows_other_than_announced(tmp_path: Path, blocks: list[np.ndarray], rows: int, said: str) -> None:
    with pytest.raises(FeatureError, match=f"a.safetensors: {said}"):
        written(tmp_path / "a.safetensors", *blocks, rows=rows)
    assert not names_in(tmp_path)


def test_a_failure_while_blocks_are_made_leaves_the_old_file(tmp_path: Path) -> None:
    before = written(tmp_path / "a.safetensors", ROWS)

    def failing() -> Iterator[np.ndarray]:
        yield ROWS[:3]
        raise FeatureError("the source broke")

    with pytest.raises(FeatureError, match="the source broke"):
        write_feature_blocks(tmp_path / "a.safetensors", failing(), rows=9, width=4, time=TIME)
    assert names_in(tmp_path) == ["a.safetensors"] and (tmp_path / "a.safetensors").read_bytes() == before


def test_names_that_no_file_can_hold_are_replaced(tmp_path: Path) -> None:
    write_features(tmp_path / "a.safetensors", Features(ROWS, TIME, "enc\ud800 é"))
    assert read_features(tmp_path / "a.safetensors").encoder == "enc? é"
