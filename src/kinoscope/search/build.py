"""Features of a library → its index: two passes over the rows, in blocks, so that memory does not grow with them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from ..data.feature_layout import TENSOR
from ..data.feature_store import FeatureStore
from ..data.feature_time import FeatureTime, video_duration
from ..data.features import Features
from ..encoders.folder import as_text
from ..errors import FeatureError
from ..files import atomic_path, output_errors, write_json
from ..progress import progress
from .index import INDEX_FILE, VERSION, Entry, Index, centred, rows_file, unit

_BLOCK = 1 << 14
"""Rows at once."""


def index_of(
    features: FeatureStore, *, videos: Mapping[str, Path] | None = None, library: Path | None = None, source: str = ""
) -> Index:
    """The index of a folder of features, in memory.

    Args:
        features: of one encoder, at one rate.
        videos: the file of each video, by the name that its features have.
        library: the folder in which ``videos`` are.
        source: what loads the encoder; by default the tag that the features carry.

    Raises:
        FeatureError: features that differ, have no time, or hold NaN or infinity.
    """
    store = features.read_alike()
    bare = _without_moments(store, videos or {}, library, source)
    return replace(bare, moments=np.concatenate(list(_blocks(store, bare))))


def write_index(
    folder: str | Path,
    features: FeatureStore,
    *,
    videos: Mapping[str, Path] | None = None,
    library: Path | None = None,
    source: str = "",
) -> None:
    """Write the index of a folder of features (see :func:`index_of`); one that is there stays until this is whole.

    Raises:
        FeatureError: features that differ, have no time, or hold NaN or infinity.
        OutputError: it cannot be written.
    """
    folder, store = Path(folder), features.read_alike()
    index = _without_moments(store, videos or {}, library, source)
    path = rows_file(folder, index.digest)
    with atomic_path(path) as temporary, temporary.open("wb") as file, progress("Indexing", _rows(index)) as report:
        file.write(_header(index))
        for block in _blocks(store, index):
            file.write(block.data.cast("B"))
            report(len(block))
        file.write(np.ascontiguousarray(index.videos, "<f4").data.cast("B"))
        file.write(np.ascontiguousarray(index.mean, "<f4").data.cast("B"))
    write_json(folder / INDEX_FILE, _content(index, folder))
    with output_errors(folder):
        for old in folder.glob("rows-*.safetensors"):
            if old != path:
                old.unlink(missing_ok=True)


def _without_moments(store: FeatureStore, videos: Mapping[str, Path], library: Path | None, source: str) -> Index:
    """The first pass: everything but the rows of moments."""
    names = sorted(store)
    means = np.stack([_mean_of_units(store[name].values) for name in names])  # [V, C] float64
    mean = means.mean(axis=0) if len(names) > 1 else np.zeros(means.shape[1])
    entries: list[Entry] = []
    for name in names:
        first = entries[-1].first + entries[-1].rows if entries else 0
        entries.append(_entry(as_text(name), store[name], first, videos.get(as_text(name)), library))
    one = store[names[0]]
    index = Index(
        np.empty((0, one.width), np.float32),
        centred(means, mean),
        mean.astype(np.float32),
        tuple(entries),
        FeatureTime(one.time.fps, one.time.stride, one.time.clip_length),
        one.encoder,
        one.weight_hash,
        source or one.encoder,
        library,
    )
    return replace(index, digest=_digest(index))


def _mean_of_units(values: np.ndarray) -> np.ndarray:
    """Mean of the normalised rows of a video. Shape: [T, C] -> [C] float64."""
    total = np.zeros(values.shape[1])
    for begin in range(0, len(values), _BLOCK):
        total += unit(values[begin : begin + _BLOCK]).sum(axis=0, dtype=np.float64)
    return total / len(values)


def _entry(name: str, features: Features, first: int, path: Path | None, library: Path | None) -> Entry:
    time, rows = features.time, len(features)
    entry = Entry(name, first, rows, time.offset, video_duration(time, rows))
    if path is None or library is None or not path.is_file():
        return entry
    known = path.stat()
    # Links lead out of the folder as the user wants it; names on the way do not.
    file = os.path.relpath(path.absolute(), library.absolute()).replace(os.sep, "/")
    if file != as_text(file):  # bytes of a foreign encoding, which JSON cannot hold
        return entry
    return replace(entry, file=file, size=known.st_size, modified=known.st_mtime_ns)


def _blocks(store: FeatureStore, index: Index) -> Iterator[np.ndarray]:
    """The second pass: rows of moments, video after video. Shape of each: [T', C] float32."""
    for name in sorted(store):
        values = store[name].values
        for begin in range(0, len(values), _BLOCK):
            yield np.ascontiguousarray(index.as_moments(values[begin : begin + _BLOCK]), "<f4")


def _rows(index: Index) -> int:
    """How many moments its videos have."""
    return index.entries[-1].first + index.entries[-1].rows


def _header(index: Index) -> bytes:
    """What stands before the numbers: the moments' tensor has the name of a feature file's, and is mapped like it."""
    rows, width = _rows(index), len(index.mean)
    shapes = {TENSOR: [rows, width], "videos": [len(index.entries), width], "mean": [width]}
    header: dict[str, object] = {"__metadata__": {"format": "kinoscope-index"}}
    begin = 0
    for name, shape in shapes.items():
        end = begin + 4 * int(np.prod(shape, dtype=np.int64))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}
        begin = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # so that numbers begin at a multiple of their size
    return len(text).to_bytes(8, "little") + text


def _content(index: Index, folder: Path) -> dict[str, object]:
    return {
        "kind": "index",
        "version": VERSION,
        "digest": index.digest,
        "encoder": index.encoder,
        "weight_hash": index.weight_hash,
        "source": index.source,
        "library": None if index.library is None else _relative(index.library, folder),
        "time": {name: getattr(index.time, name) for name in ("fps", "stride", "clip_length")},
        "videos": [asdict(entry) for entry in index.entries],
    }


def _relative(library: Path, folder: Path) -> str:
    """Relative to the index, so that both can be moved together; another drive needs the absolute path."""
    try:
        found = Path(os.path.relpath(library.resolve(), folder.resolve()))
    except ValueError:
        found = library.resolve()
    try:
        found.as_posix().encode("utf-8")
    except UnicodeEncodeError as error:
        cure = "rename the folder, so that its name is UTF-8"
        raise FeatureError("has a name that the index cannot hold", where=library, cure=cure) from error
    return found.as_posix()


def _digest(index: Index) -> str:
    digest = hashlib.sha256(index.videos.tobytes() + index.mean.tobytes())
    known = [index.encoder, index.weight_hash, index.time, index.entries]
    digest.update(repr(known).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:16]
