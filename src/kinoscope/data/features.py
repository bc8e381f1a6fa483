"""Features over time, and the file that keeps them: one safetensors file per video, with its time inside."""

from __future__ import annotations

import errno
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import FeatureError
from .feature_layout import load_rows, map_rows, read_layout
from .feature_time import FeatureTime
from .feature_write import require_finite, write_features

__all__ = ["FeatureTime", "Features", "TimelessError", "data_digest", "read_features", "write_features"]

_GIVE_TIME = "give its time once with --fps, --stride and --clip-length"


class TimelessError(FeatureError):
    """A feature file that does not say when its rows were seen; the user can."""


@dataclass(frozen=True)
class Features:
    """Features of one video. ``values`` is a float32 array [T, C]; ``time`` says what each row saw.

    Features that were opened, not read (``read_features(..., mapped=True)``), have the numbers of their file: any
    float or integer type, read-only. Slice them, then convert the slice.
    """

    values: np.ndarray
    time: FeatureTime
    encoder: str = ""
    """Name of the encoder (and of the adapter, if any) that made them."""
    weight_hash: str = ""
    """First 16 hexadecimal digits of the SHA-256 of the weights that made them."""

    def __post_init__(self) -> None:
        if self.values.ndim != 2:
            problem = f"features have shape {self.values.shape}, but must be [T, C]"
            raise FeatureError(problem, cure="save one row per moment, one column per channel")

    def __len__(self) -> int:
        return int(self.values.shape[0])

    @property
    def width(self) -> int:
        """Channels per row."""
        return int(self.values.shape[1])


def read_features(path: str | Path, time: FeatureTime | None = None, *, mapped: bool = False) -> Features:
    """Read a ``.safetensors`` feature file, or a ``.npy`` of another tool together with its ``time``.

    Args:
        path: the file.
        time: of a file that holds none.
        mapped: open the file and read its header only. Its rows are read from disk when they are looked at, and are
            not checked for NaN.

    Raises:
        FeatureError: missing or damaged file, wrong shape, NaN or infinity; no time, or another than the one given.
    """
    path = Path(path)
    if not path.is_file():
        raise FeatureError(
            "no such feature file", where=path, cure="make it with: kinoscope extract VIDEOS --out FEATURES"
        )
    try:
        layout = read_layout(path)
        meta = layout.meta or {}
        time = _time(layout.meta, time)
        values = map_rows(path, layout) if mapped else load_rows(path, layout)
    except FeatureError as error:
        raise type(error)(error.problem, where=path, cure=error.cure) from error
    except OSError as error:
        raise _unreadable(path, error) from error
    if not mapped:
        require_finite(values, path)
    return Features(values, time, meta.get("encoder", ""), meta.get("weight_hash", ""))


def _time(meta: Mapping[str, str] | None, given: FeatureTime | None) -> FeatureTime:
    """The file's own time; ``given`` where it has none."""
    if meta is None and given is None:
        raise TimelessError("a .npy file has no time", cure=_GIVE_TIME)
    meta = meta or {}
    missing = next((name for name in FeatureTime.__dataclass_fields__ if name not in meta), None)
    if missing is not None:
        if given is None:
            raise TimelessError(f"has no time: {missing!r} is missing from its metadata", cure=_GIVE_TIME)
        return given
    try:
        own = FeatureTime(**{name: json.loads(meta[name]) for name in FeatureTime.__dataclass_fields__})
    except (ValueError, RecursionError) as error:
        raise FeatureError(f"has no readable time: {error}"[:300], cure="extract it again") from error
    if given is not None and _rate(own) != _rate(given):
        problem = f"holds its own time ({_rate(own)}), which is not the one given ({_rate(given)})"
        raise FeatureError(problem, cure="leave --fps, --stride and --clip-length away")
    return own


def _rate(time: FeatureTime) -> str:
    return f"{time.fps:g} fps, stride {time.stride:g}, clip length {time.clip_length:g}"


def _unreadable(path: Path, error: OSError) -> FeatureError:
    cure = "check that the file can be read"
    if error.errno == errno.EMFILE:
        cure = "raise the limit (ulimit -n), or use Python 3.13 or newer, which keeps no file open for this"
    return FeatureError(f"cannot be read: {(error.strerror or str(error)).lower()}", where=path, cure=cure)


def data_digest(features: Mapping[str, Features]) -> str:
    """A fingerprint of the data of a training: names, lengths, times, encoders."""
    digest = hashlib.sha256()
    for name in sorted(features):
        each = features[name]
        known = (name, each.values.shape, each.time, each.encoder, each.weight_hash)
        digest.update(repr(known).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:16]
