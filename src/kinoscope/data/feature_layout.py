"""Where the numbers lie in a feature file: headers of safetensors and of ``.npy``, checked before they are believed.

Nothing is read but the header. Each offset in it must stay inside of the file, so that rows can be mapped into memory
from files of strangers.

Sources: the format descriptions of safetensors (huggingface/safetensors, README) and of NumPy (``numpy.lib.format``).
"""

from __future__ import annotations

import json
import mmap
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..errors import FeatureError

TENSOR = "features"
"""Name of the tensor in a safetensors file."""

_PLAIN = "save it as a plain [T, C] array of numbers"
_LONGEST_HEADER = 100_000_000  # bytes, the format's own bound
_MOST_MAPPED = 10_000  # Linux lets a process have 65,530 mappings
_NUMBERS = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "u1",
}
_SIZES = {"BF16": 2, "BOOL": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1, "C64": 8}  # may stand beside the features
_NPY_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


@dataclass(frozen=True)
class Layout:
    """Where an array [T, C] lies in a file."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    offset: int
    """Bytes before the first number."""
    fortran: bool = False
    """Whether columns are contiguous, not rows."""
    meta: dict[str, str] | None = None
    """What a safetensors file says of itself; none for ``.npy``."""

    def __post_init__(self) -> None:
        require_rows(self.shape)


def require_rows(shape: tuple[int, ...]) -> None:
    """Raise :class:`FeatureError` unless ``shape`` is [T, C] with at least one row and one channel."""
    if len(shape) != 2:
        problem = f"features have shape {shape}, but must be [T, C]"
        raise FeatureError(problem, cure="save one row per moment, one column per channel")
    if 0 in shape:
        problem = "holds no rows" if not shape[0] else "holds rows without channels"
        raise FeatureError(problem, cure="extract it again")


def read_layout(path: Path) -> Layout:
    """The layout of a feature file; its suffix tells the format.

    Raises:
        FeatureError: damaged or hostile header, other numbers than features can be, another shape than [T, C].
        OSError: the file cannot be opened.
    """
    npy = path.suffix == ".npy"
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        try:
            return _npy_layout(file, size) if npy else _safetensors_layout(file, size)
        except (ValueError, RecursionError) as error:  # RecursionError: of hostile nesting
            kind, cure = ("an array", _PLAIN) if npy else ("features", "extract it again")
            raise FeatureError(f"cannot be read as {kind}: {error}"[:300], cure=cure) from error


def map_rows(path: Path, layout: Layout) -> np.ndarray:
    """The rows where they lie in the file, read-only; a row is read from disk when it is first looked at.

    Shape: [T, C], in the numbers of the file.
    """
    with path.open("rb") as file:
        buffer = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ, **_mapping_options())
    return np.ndarray(layout.shape, layout.dtype, buffer, layout.offset, order="F" if layout.fortran else "C")


def load_rows(path: Path, layout: Layout) -> np.ndarray:
    """The rows in memory. Shape: [T, C], float32, row after row; what float32 cannot hold becomes infinity."""
    flat = np.fromfile(path, layout.dtype, prod(layout.shape), offset=layout.offset)
    if len(flat) < prod(layout.shape):
        raise FeatureError("became shorter while it was read", cure="read it when it is complete")
    values = flat.reshape(layout.shape, order="F" if layout.fortran else "C")  # [T, C]
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(values, dtype=np.float32)


def safetensors_header(rows: int, width: int, meta: dict[str, str]) -> bytes:
    """What stands before the float32 rows of a safetensors file; equal arguments give equal bytes."""
    entry = {"dtype": "F32", "shape": [rows, width], "data_offsets": [0, 4 * rows * width]}
    return header_bytes({TENSOR: entry}, meta)


def header_bytes(entries: Mapping[str, Any], meta: dict[str, str]) -> bytes:
    """What stands before the numbers of a safetensors file, whose tensors are described by ``entries``."""
    text = json.dumps({"__metadata__": meta, **entries}, ensure_ascii=False, separators=(",", ":"))
    header = text.encode("utf-8", "replace")
    header += b" " * (-len(header) % 8)  # so that numbers begin at a multiple of their size
    return len(header).to_bytes(8, "little") + header


def _safetensors_layout(file: BinaryIO, size: int) -> Layout:
    length = int.from_bytes(file.read(8), "little")
    if not 0 < length <= min(size - 8, _LONGEST_HEADER):
        raise ValueError(f"a header of {length} bytes in a file of {size}")
    header = json.loads(file.read(length), object_pairs_hook=_unique)
    if not isinstance(header, dict) or not isinstance(header.get(TENSOR), dict):
        raise ValueError(f"it holds no tensor {TENSOR!r}")
    meta = header.pop("__metadata__", {})
    if not isinstance(meta, dict) or not all(isinstance(value, str) for value in meta.values()):
        raise ValueError("its metadata are no texts")
    spans = sorted(_span(name, entry) for name, entry in header.items())
    ends = [0, *(end for _, end in spans)]
    if ends[-1] != size - 8 - length or any(begin != end for (begin, _), end in zip(spans, ends, strict=False)):
        raise ValueError("its tensors overlap, leave holes, or end elsewhere than the file")
    entry = header[TENSOR]
    if entry["dtype"] not in _NUMBERS:
        raise ValueError({"BF16": "it holds bfloat16"}.get(entry["dtype"], f"it holds {entry['dtype']}, not numbers"))
    begin = 8 + length + int(entry["data_offsets"][0])
    return Layout(np.dtype(_NUMBERS[entry["dtype"]]), tuple(entry["shape"]), begin, meta=meta)


def _span(name: str, entry: Any) -> tuple[int, int]:
    """Begin and end of a tensor in the data; its shape must fill it."""
    match entry:
        case {"dtype": str(kind), "shape": list(shape), "data_offsets": [begin, end]}:
            understood = all(type(number) is int and number >= 0 for number in (*shape, begin, end))
        case _:
            understood = False
    if not understood:
        raise ValueError(f"the entry of {name[:60]!r} is not understood")
    size = np.dtype(_NUMBERS[kind]).itemsize if kind in _NUMBERS else _SIZES.get(kind)
    if begin > end or (size is not None and prod(shape) * size != end - begin):
        raise ValueError(f"the shape of {name[:60]!r} does not fill its bytes")
    return begin, end


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(found := dict(pairs)) != len(pairs):
        raise ValueError("a name stands in its header twice")
    return found


def _npy_layout(file: BinaryIO, size: int) -> Layout:
    version = np.lib.format.read_magic(file)
    if version not in _NPY_HEADERS:
        raise ValueError(f"version {version} of the format")
    try:
        shape, fortran, dtype = _NPY_HEADERS[version](file)
    except Exception as error:  # NumPy reads Python's notation, which can be wrong in more ways than it says
        raise ValueError(f"its header is not understood: {error}") from error
    if dtype.hasobject:
        raise ValueError("it holds Python objects")
    if dtype.kind not in "fiu":
        raise FeatureError(f"holds {dtype}, not numbers", cure=_PLAIN)
    if any(length < 0 for length in shape) or prod(shape) * dtype.itemsize > size - file.tell():
        raise ValueError(f"shape {shape} does not fit into a file of {size} bytes")
    return Layout(dtype, tuple(map(int, shape)), file.tell(), fortran)


@cache
def most_mapped() -> int:
    """How many files may stay mapped without coming near a limit of the system."""
    _mapping_options()
    if sys.version_info >= (3, 13) or os.name != "posix":
        return _MOST_MAPPED
    import resource

    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST_MAPPED if allowed == resource.RLIM_INFINITY else min(allowed // 4, _MOST_MAPPED)


@cache
def _mapping_options() -> dict[str, Any]:
    """How files are mapped so that a folder of tens of thousands can be mapped at once.

    Before Python 3.13 each mapping keeps a descriptor of its file, of which a process may have about a thousand unless
    it asks for as many as the system allows: so it is asked.
    """
    if sys.version_info >= (3, 13) and os.name == "posix":
        return {"trackfd": False}
    if os.name == "posix":
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        with suppress(OSError, ValueError):  # macOS: unlimited is more than its kernel takes
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return {}
