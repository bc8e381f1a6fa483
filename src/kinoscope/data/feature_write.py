"""Writing feature files: whole, or block by block in constant memory however long the video."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import FeatureError
from ..files import atomic_path
from .feature_layout import require_rows, safetensors_header
from .feature_time import FeatureTime

if TYPE_CHECKING:
    from .features import Features

FORMAT_VERSION = 1


def write_features(path: str | Path, features: Features) -> None:
    """Write one feature file, atomically; see :func:`write_feature_blocks`.

    Raises:
        FeatureError: NaN or infinity; no rows.
        OutputError: the file cannot be written.
    """
    write_feature_blocks(
        path,
        [features.values],
        rows=len(features),
        width=features.width,
        time=features.time,
        encoder=features.encoder,
        weight_hash=features.weight_hash,
    )


def write_feature_blocks(
    path: str | Path,
    blocks: Iterable[np.ndarray],
    *,
    rows: int,
    width: int,
    time: FeatureTime,
    encoder: str = "",
    weight_hash: str = "",
) -> None:
    """Write one feature file, atomically; equal content gives equal bytes, however it is cut into blocks.

    A ``path`` ending in ``.npy`` becomes a plain float32 array for other tools, which holds no time; any other a
    safetensors file.

    Args:
        path: the file.
        blocks: consecutive rows, each block [T', C] of any numbers; written as float32.
        rows: of all blocks together.
        width: channels per row.
        time: which part of the video each row saw.
        encoder: see ``Features``.
        weight_hash: see ``Features``.

    Raises:
        FeatureError: NaN or infinity (also what float32 cannot hold), named by its row; rows too many, too few or of
            another width. No file is left then.
        OutputError: the file cannot be written.
    """
    path = Path(path)
    try:
        require_rows((rows, width))
    except FeatureError as error:
        raise FeatureError(error.problem, where=path, cure=error.cure) from error
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        if path.suffix == ".npy":
            layout = {"descr": "<f4", "fortran_order": False, "shape": (rows, width)}
            np.lib.format.write_array_header_1_0(file, layout)
        else:
            file.write(safetensors_header(rows, width, _metadata(time, encoder, weight_hash)))
        done = 0
        for block in blocks:
            file.write(_checked(np.asarray(block), path, done, rows, width))
            done += len(block)
        if done != rows:
            raise _other_rows(path, f"{done} rows were given, {rows} announced")


def _metadata(time: FeatureTime, encoder: str, weight_hash: str) -> dict[str, str]:
    meta = {"format": "kinoscope-features", "version": str(FORMAT_VERSION)}
    meta |= {"encoder": encoder, "weight_hash": weight_hash}
    return meta | {name: json.dumps(value) for name, value in asdict(time).items()}


def _checked(block: np.ndarray, path: Path, done: int, rows: int, width: int) -> memoryview:
    """The bytes of a block that follows ``done`` rows."""
    if block.ndim != 2 or block.shape[1] != width:
        raise _other_rows(path, f"a block has shape {block.shape}, but must be [T, {width}]")
    if done + len(block) > rows:
        raise _other_rows(path, f"more than the announced {rows} rows were given")
    with np.errstate(over="ignore"):  # becomes infinity, which is refused with its row
        values = np.ascontiguousarray(block, dtype="<f4")
    require_finite(values, path, done, whole=len(values) == rows)
    return values.data.cast("B") if values.size else memoryview(b"")


def require_finite(values: np.ndarray, path: str | Path, first: int = 0, *, whole: bool = True) -> None:
    """Raise :class:`FeatureError` that names the bad rows of a file; ``values`` [T, C] begin at its row ``first``."""
    bad = ~np.isfinite(values).all(axis=1)  # [T]
    if bad.any():
        among = f"{len(bad)} rows" if whole else f"the rows {first} to {first + len(bad) - 1}"
        raise FeatureError(
            f"{int(bad.sum())} of {among} hold NaN or infinity, the first is row {first + int(bad.argmax())}",
            where=path,
            cure="extract it again",
        )


def _other_rows(path: Path, problem: str) -> FeatureError:
    return FeatureError(problem, where=path, cure="give as many rows as announced, all of one width")
