"""Features over time, and the file that keeps them: one safetensors file per video, with its time inside."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FeatureError
from ..files import atomic_path

FORMAT_VERSION = 1


@dataclass(frozen=True)
class FeatureTime:
    """Which part of the video each feature row saw; the only place where grid positions become seconds.

    Row ``i`` was computed from ``clip_length`` frames taken at ``fps`` frames per second, the first of them
    ``offset + i * stride / fps`` seconds into the video.
    """

    fps: float
    """Rate at which frames were sampled from the video, in frames per second (not the rate of the file)."""
    stride: float
    """Sampled frames between the starts of neighbouring rows."""
    clip_length: float
    """Sampled frames that one row saw."""
    offset: float = 0.0
    """Time of the first frame of row 0, in seconds."""
    duration: float | None = None
    """Length of the video, in seconds, when known."""

    def __post_init__(self) -> None:
        for name in ("fps", "stride", "clip_length", "offset", "duration"):
            value = getattr(self, name)
            if name == "duration" and value is None:
                continue
            number = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
            if not number or (value <= 0 and name != "offset"):
                bound = "a number" if name == "offset" else "a positive number"
                raise FeatureError(f"{name} is {value!r}, but must be {bound}", cure="give the time of the features")

    @property
    def step(self) -> float:
        """Seconds between neighbouring rows."""
        return self.stride / self.fps

    def to_seconds(self, grid: Any) -> Any:
        """Grid position (row index, real valued) → seconds, the centre of what the row saw."""
        return self.offset + (np.asarray(grid, dtype=np.float64) * self.stride + 0.5 * self.clip_length) / self.fps

    def to_grid(self, seconds: Any) -> Any:
        """Seconds → grid position; the inverse of :meth:`to_seconds`."""
        return ((np.asarray(seconds, dtype=np.float64) - self.offset) * self.fps - 0.5 * self.clip_length) / self.stride

    def centers(self, rows: int) -> np.ndarray:
        """Centre of each of ``rows`` rows, in seconds. Shape: [T]."""
        return np.asarray(self.to_seconds(np.arange(rows)))


@dataclass(frozen=True)
class Features:
    """Features of one video. ``values`` is a float32 array [T, C]; ``time`` says what each row saw."""

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


def write_features(path: str | Path, features: Features) -> None:
    """Write one feature file, atomically. Raises :class:`FeatureError` on NaN or infinity."""
    from safetensors.numpy import save_file

    _check_finite(features.values, path)
    meta = {
        "format": "kinoscope-features",
        "version": str(FORMAT_VERSION),
        "encoder": features.encoder,
        "weight_hash": features.weight_hash,
    }
    meta |= {name: json.dumps(value) for name, value in asdict(features.time).items()}
    with atomic_path(path) as temporary:
        save_file({"features": np.ascontiguousarray(features.values, dtype=np.float32)}, temporary, metadata=meta)


def read_features(path: str | Path, time: FeatureTime | None = None) -> Features:
    """Read a ``.safetensors`` feature file, or a ``.npy`` of another tool together with its ``time``.

    Raises:
        FeatureError: missing or damaged file, no time, wrong shape, NaN or infinity.
    """
    path = Path(path)
    if not path.is_file():
        raise FeatureError(
            "no such feature file", where=path, cure="make it with: kinoscope extract VIDEOS --out FEATURES"
        )
    try:
        features = _read_npy(path, time) if path.suffix == ".npy" else _read_safetensors(path, time)
    except FeatureError as error:
        raise FeatureError(error.problem, where=path, cure=error.cure) from error
    _check_finite(features.values, path)
    return features


def _read_safetensors(path: Path, time: FeatureTime | None) -> Features:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            meta, values = file.metadata() or {}, file.get_tensor("features")
    except (SafetensorError, OSError, TypeError) as error:  # TypeError: numbers that NumPy does not have (bfloat16)
        raise FeatureError(f"cannot be read as features: {error}", cure="extract it again") from error
    if time is None:
        try:
            time = FeatureTime(**{name: json.loads(meta[name]) for name in FeatureTime.__dataclass_fields__})
        except KeyError as error:
            cure = "give its time once with --fps, --stride and --clip-length"
            raise FeatureError(f"has no time: {error} is missing from its metadata", cure=cure) from error
        except ValueError as error:
            raise FeatureError(f"has no readable time: {error}", cure="extract it again") from error
    return Features(np.asarray(values, dtype=np.float32), time, meta.get("encoder", ""), meta.get("weight_hash", ""))


def _read_npy(path: Path, time: FeatureTime | None) -> Features:
    if time is None:
        raise FeatureError("a .npy file has no time", cure="give its time once with --fps, --stride and --clip-length")
    cure = "save it as a plain [T, C] array of numbers"
    try:
        values = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError, SyntaxError) as error:  # SyntaxError: of the header, which is Python
        raise FeatureError(f"cannot be read as an array: {error}", cure=cure) from error
    if values.dtype.kind not in "fiu":
        raise FeatureError(f"holds {values.dtype}, not numbers", cure=cure)
    with np.errstate(over="ignore"):  # becomes infinity, which is refused with its row
        return Features(values.astype(np.float32), time)


def data_digest(features: Mapping[str, Features]) -> str:
    """A fingerprint of the data of a training: names, lengths, times, encoders."""
    digest = hashlib.sha256()
    for name in sorted(features):
        each = features[name]
        known = (name, each.values.shape, each.time, each.encoder, each.weight_hash)
        digest.update(repr(known).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:16]


def _check_finite(values: np.ndarray, path: str | Path) -> None:
    if not len(values):
        raise FeatureError("holds no rows", where=path, cure="extract it again")
    bad = ~np.isfinite(values).all(axis=1)
    if bad.any():
        raise FeatureError(
            f"{int(bad.sum())} of {len(bad)} rows hold NaN or infinity, the first is row {int(bad.argmax())}",
            where=path,
            cure="extract it again",
        )
