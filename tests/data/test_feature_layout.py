"""Files mapped into memory: the same rows as read, and no header is believed that leads out of its file."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from kinoscope.data.features import Features, FeatureTime, read_features, write_features
from kinoscope.errors import FeatureError

TIME = FeatureTime(8, 2, 4)
ROWS = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)


def tampered(path: Path, header: Any, data: bytes = b"\0" * 24) -> Path:
    """A safetensors file with any header; the honest one has [2, 3] float32."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


def entry(dtype: Any = "F32", shape: Any = (2, 3), span: Any = (0, 24)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": span}


# --- mapped --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.int32, np.uint8, ">f4"])
@pytest.mark.parametrize("suffix", [".npy", ".safetensors"])
def test_mapped_rows_are_those_read_in_the_numbers_of_the_file(tmp_path: Path, kind: Any, suffix: str) -> None:
    values, path = (100 * ROWS).astype(kind), tmp_path / f"a{suffix}"
    if suffix == ".npy":
        np.save(path, values)
    elif kind == ">f4":
        pytest.skip("safetensors files are little-endian")
    else:
        save_file({"features": values, "more": np.zeros(5)}, path)
    mapped = read_features(path, TIME, mapped=True)
    assert mapped.values.dtype == np.dtype(kind) and mapped.time == TIME
    np.testing.assert_array_equal(mapped.values, values)
    np.testing.assert_array_equal(read_features(path, TIME).values, values.astype(np.float32))
    with pytest.raises(ValueError, match="read-only"):
        mapped.values[0, 0] = 1


def test_fortran_order_is_kept_mapped_and_turned_when_read(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.asfortranarray(ROWS))
    mapped, read = (read_features(tmp_path / "a.npy", TIME, mapped=mapped).values for mapped in (True, False))
    np.testing.assert_array_equal(mapped, ROWS)
    np.testing.assert_array_equal(read, ROWS)
    assert mapped.flags.f_contiguous and read.flags.c_contiguous


def test_mapping_reads_nothing_but_the_header(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.lib.format.open_memmap(path, "w+", np.float32, (1 << 20, 1 << 10)).flush()  # 4 GB of holes
    mapped = read_features(path, TIME, mapped=True)
    assert mapped.values.shape == (1 << 20, 1 << 10) and mapped.values[-1, -1] == 0
    path.unlink()


def test_mapped_rows_are_not_checked_and_survive_the_replacement_of_their_file(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.full((2, 3), np.nan))
    mapped = read_features(tmp_path / "a.npy", TIME, mapped=True)
    write_features(tmp_path / "a.npy", Features(ROWS, TIME))
    assert np.isnan(mapped.values).all() and np.isfinite(read_features(tmp_path / "a.npy", TIME).values).all()


def test_what_was_written_is_mapped_with_everything_known_of_it(tmp_path: Path) -> None:
    features = Features(ROWS, FeatureTime(8.0, 2, 4, 0.5, 12.5), "enc", "hash")
    write_features(tmp_path / "a.safetensors", features)
    mapped = read_features(tmp_path / "a.safetensors", mapped=True)
    assert (mapped.time, mapped.encoder, mapped.weight_hash) == (features.time, "enc", "hash")
    assert mapped.values.flags.aligned
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(mapped)).values, ROWS)


@pytest.mark.skipif(os.name != "posix", reason="other systems have no such limit")
@pytest.mark.parametrize("most", [30, 4000])
def test_more_files_are_mapped_than_a_process_may_have_open(tmp_path: Path, most: int) -> None:
    np.save(tmp_path / "a.npy", ROWS)
    program = f"""
import resource
from kinoscope.data.features import FeatureTime, read_features
resource.setrlimit(resource.RLIMIT_NOFILE, (30, {most}))
path = {str(tmp_path / "a.npy")!r}
kept = [read_features(path, FeatureTime(8, 2, 4), mapped=True) for _ in range(100)]
print(len(kept))
"""
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    if most > 100 or sys.version_info >= (3, 13):
        assert answer.stdout.strip() == "100", answer.stderr
    else:  # told, with its cure, when the system itself allows no more
        assert "a.npy: cannot be read: too many open files\n  Cure: raise the limit (ulimit -n)" in answer.stderr


# --- hostile headers -----------------------------------------------------------------------------------------------

HOSTILE = {
    "ends beyond the file": ({"features": entry(shape=(4, 3), span=(0, 48))}, "end elsewhere"),
    "begins beyond the file": ({"features": entry(span=(1 << 60, (1 << 60) + 24))}, "overlap"),
    "shape larger than its bytes": ({"features": entry(shape=(2000, 3000))}, "does not fill its bytes"),
    "shape that overflows": ({"features": entry(shape=(1 << 62, 1 << 62))}, "does not fill its bytes"),
    "negative shape": ({"features": entry(shape=(-2, -3))}, "not understood"),
    "negative offset": ({"features": entry(span=(-24, 0))}, "not understood"),
    "backwards": ({"features": entry(span=(24, 0))}, "does not fill its bytes"),
    "shape of text": ({"features": entry(shape="23")}, "not understood"),
    "shape of fractions": ({"features": entry(shape=(2.0, 3.0))}, "not understood"),
    "shape of truth": ({"features": entry(shape=(True, 6))}, "not understood"),
    "one offset": ({"features": entry(span=(24,))}, "not understood"),
    "type of no text": ({"features": entry(dtype=["F32"])}, "not understood"),
    "type unknown": ({"features": entry(dtype="F31")}, "F31, not numbers"),
    "truth values": ({"features": entry("BOOL", (4, 6))}, "BOOL, not numbers"),
    "bfloat16": ({"features": entry("BF16", (4, 3))}, "bfloat16"),
    "overlapping": ({"features": entry(), "other": entry("F32", (1, 3), (0, 12))}, "overlap"),
    "hole": ({"features": entry("F32", (1, 3), (12, 24))}, "leave holes"),
    "data without a name": ({"features": entry("F32", (1, 3), (0, 12))}, "end elsewhere"),
    "three dimensions": ({"features": entry(shape=(1, 2, 3))}, r"must be \[T, C\]"),
    "no dimension": ({"features": entry(shape=(), span=(0, 4)), "rest": entry("I32", (5,), (4, 24))}, r"\[T, C\]"),
    "no rows": ({"features": entry(shape=(0, 3), span=(0, 0)), "rest": entry()}, "holds no rows"),
    "no channels": ({"features": entry(shape=(1 << 60, 0), span=(0, 0)), "rest": entry()}, "without channels"),
    "no features": ({"other": entry()}, "no tensor 'features'"),
    "features of text": ({"features": "F32"}, "no tensor 'features'"),
    "other of text": ({"features": entry(), "other": 3}, "not understood"),
    "a list": ([1, 2], "no tensor 'features'"),
    "metadata of numbers": ({"features": entry(), "__metadata__": {"fps": 8}}, "no texts"),
    "metadata as a list": ({"features": entry(), "__metadata__": ["fps"]}, "no texts"),
    "a name twice": (b'{"features": 1, "features": 2}', "twice"),
    "no JSON": (b"{", "cannot be read"),
    "no UTF-8": (b'{"\xff": 1}', "cannot be read"),
    "nested": (b"[" * 100_000, "cannot be read"),
    "endless number": (b'{"features": ' + b"1" * 5000 + b"}", "cannot be read"),
}


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("mapped", [True, False])
def test_hostile_safetensors(tmp_path: Path, kind: str, mapped: bool) -> None:
    header, said = HOSTILE[kind]
    path = tampered(tmp_path / "a.safetensors", header)
    with pytest.raises(FeatureError, match=f"a.safetensors: .*{said}(.|\n)*Cure") as caught:
        read_features(path, TIME, mapped=mapped)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("length", [0, 49, 1 << 20, 1 << 40, (1 << 64) - 1])
def test_a_header_of_impossible_length(tmp_path: Path, length: int) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(length.to_bytes(8, "little") + b"{}" * 10)
    with pytest.raises(FeatureError, match=f"a header of {length} bytes in a file of 28"):
        read_features(path, TIME, mapped=True)


def test_the_honest_header_is_read(tmp_path: Path) -> None:
    path = tampered(tmp_path / "a.safetensors", {"features": entry()}, ROWS[:2].tobytes())
    np.testing.assert_array_equal(read_features(path, TIME, mapped=True).values, ROWS[:2])


NPY = {
    "more rows than bytes": "{'descr': '<f4', 'fortran_order': False, 'shape': (9, 3)}",
    "endless": "{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4611686018427387904)}",
    "negative": "{'descr': '<f4', 'fortran_order': False, 'shape': (-2, 3)}",
    "objects": "{'descr': '|O', 'fortran_order': False, 'shape': (2, 3)}",
    "no type": "{'descr': 'nonsense', 'fortran_order': False, 'shape': (2, 3)}",
    "code": "__import__('os').abort()",
    "nested": "(" * 3000,
    "a type of nothing": "{'descr': (), 'fortran_order': False, 'shape': (2, 3)}",
    "truncated": "{'descr': '<f4',",
}


@pytest.mark.parametrize("kind", NPY)
@pytest.mark.parametrize("mapped", [True, False])
def test_hostile_npy(tmp_path: Path, kind: str, mapped: bool) -> None:
    header = NPY[kind].encode() + b"\n"
    path = tmp_path / "a.npy"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + b"\0" * 24)
    with pytest.raises(FeatureError, match=r"a\.npy: cannot be read as an array(.|\n)*Cure"):
        read_features(path, TIME, mapped=mapped)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_byte_may_be_changed(tmp_path: Path, data: st.DataObject) -> None:
    """A damaged file is refused or gives an array inside of it; the process lives."""
    path = tmp_path / data.draw(st.sampled_from(["a.npy", "a.safetensors"]))
    write_features(path, Features(ROWS, TIME))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content)
    try:
        mapped = read_features(path, TIME, mapped=True)
    except FeatureError:
        return
    assert mapped.values.nbytes <= len(content) and mapped.values.copy().shape == mapped.values.shape


def test_files_that_cannot_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "a.npy", ROWS)

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(FeatureError, match=r"a\.npy: cannot be read: permission denied"):
        read_features(tmp_path / "a.npy", TIME)
