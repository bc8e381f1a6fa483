"""What is searched: one row for every moment and one for every video of a library, and which video each row is of.

Rows are compared as CoCLR's retrieval compares videos (official evaluation: features are normalised, their mean over
the library is taken away, what is left is normalised again), so that what all videos share counts for nothing:

    unit(x) = x / |x|,  m = mean over videos of (mean over the rows x of a video of unit(x))
    moment = unit(unit(x) - m),  video = unit(mean over its rows of unit(x) - m)

The mean ``m`` lies in the index, so that queries are centred alike. A library of one video is not centred.
"""

from __future__ import annotations

import json
import os
from bisect import bisect_right
from dataclasses import dataclass, fields
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ..data.feature_layout import map_rows, read_layout
from ..data.features import FeatureTime
from ..errors import FeatureError

INDEX_FILE = "index.json"
VERSION = 1
_ROUNDING = 1e-6  # of numbers below 1 in float32
_AGAIN = "make it again (kinoscope index VIDEOS --out INDEX), or update Kinoscope if another version made it"


@dataclass(frozen=True)
class Entry:
    """One video of the library, and which rows are its moments."""

    name: str
    first: int
    """Its first row."""
    rows: int
    offset: float
    """Time of the first frame that its first row saw, in seconds."""
    duration: float
    """Seconds."""
    file: str | None = None
    """Relative to the library's folder, with slashes; none where only features are known."""
    size: int | None = None
    """Bytes of that file when it was indexed."""
    modified: int | None = None
    """When that file was last changed before it was indexed, in nanoseconds."""

    def __post_init__(self) -> None:
        sound = self.first >= 0 and self.rows > 0 and np.isfinite([self.offset, self.duration]).all()
        if not sound or (self.file is not None and not _stays_inside(self.file)):
            raise ValueError(f"the entry of {self.name[:60]!r} is not understood")


@dataclass(frozen=True)
class Index:
    """A library that can be searched; its moments may lie on disk."""

    moments: np.ndarray
    """One row for each moment, of length 1 (or 0, where nothing is left after centring). Shape: [N, C] float32."""
    videos: np.ndarray
    """One row for each video, alike. Shape: [V, C] float32."""
    mean: np.ndarray
    """What is taken from normalised features. Shape: [C] float32."""
    entries: tuple[Entry, ...]
    """One for each video; their rows follow each other."""
    time: FeatureTime
    """Rate, stride and clip length of all videos."""
    encoder: str = ""
    """The tag of the encoder that made the features."""
    weight_hash: str = ""
    """Of its weights."""
    source: str = ""
    """What the user named to load it: a name of the catalogue, or the folder of a trained one."""
    library: Path | None = None
    """The folder of the videos."""
    digest: str = ""
    """Tells this index from every other."""
    folder: Path | None = None
    """Where it lies; none for one that was never written."""

    def entry_of(self, row: int) -> int:
        """Which video the moment ``row`` is of."""
        return bisect_right(self.entries, row, key=lambda entry: entry.first) - 1

    def rows_of(self, video: int) -> slice:
        """The moments of a video."""
        entry = self.entries[video]
        return slice(entry.first, entry.first + entry.rows)

    def centres(self, video: int) -> np.ndarray:
        """When the moments of a video are: the middle of what each saw, in seconds. Shape: [T]."""
        entry = self.entries[video]
        return np.minimum(self.time.centers(entry.rows) + entry.offset, entry.duration)

    def time_of(self, row: int) -> float:
        """When the moment ``row`` is, in seconds."""
        entry = self.entries[self.entry_of(row)]
        return min(float(self.time.to_seconds(row - entry.first)) + entry.offset, entry.duration)

    def path_of(self, video: int) -> Path | None:
        """The file of a video, whether it is still there or not; none if the library's folder is not known."""
        file = self.entries[video].file
        return self.library / file if self.library is not None and file is not None else None

    @property
    def clip_seconds(self) -> float:
        """Seconds of video that one moment saw."""
        return self.time.clip_length / self.time.fps

    def as_moments(self, values: np.ndarray) -> np.ndarray:
        """Features → rows that compare with :attr:`moments`. Shape: [T, C] -> [T, C]."""
        return centred(unit(values), self.mean)

    def as_video(self, values: np.ndarray) -> np.ndarray:
        """Features of one video → a row that compares with :attr:`videos`. Shape: [T, C] -> [C]."""
        return centred(unit(values).mean(axis=0), self.mean)


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows divided by their length; a row of zeros stays one. Shape: [..., C] -> [..., C] float32."""
    values = np.asarray(rows, np.float32)
    length = np.sqrt(np.einsum("...c,...c->...", values, values, dtype=np.float64))[..., None]  # [..., 1]
    return (values / np.where(length > 0, length, np.inf)).astype(np.float32)


def centred(rows: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Normalised rows without what all videos share, normalised again. Shape: [..., C], [C] -> [..., C] float32.

    What rounding leaves of a row that equals the mean has no direction: it becomes zeros.
    """
    rest = np.asarray(rows - mean, np.float32)
    return unit(np.where(np.abs(rest).max(axis=-1, keepdims=True) > _ROUNDING, rest, 0))


def is_index(folder: str | Path) -> bool:
    """Whether ``folder`` was written as an index."""
    return (Path(folder) / INDEX_FILE).is_file()


def open_index(folder: str | Path) -> Index:
    """The index in ``folder``; its moments are mapped and read from disk when they are looked at.

    Raises:
        FeatureError: no index, a damaged one, or one of a newer version.
    """
    path = Path(folder) / INDEX_FILE
    if not path.is_file():
        raise FeatureError("holds no index", where=folder, cure="make one: kinoscope index VIDEOS --out INDEX")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.get("kind") != "index" or content["version"] > VERSION:
            raise FeatureError("is no index, or one of a newer version of Kinoscope", where=path)
        return _read(path.parent, content)
    except FeatureError as error:
        raise FeatureError(error.problem, where=error.where or path, cure=_AGAIN) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise FeatureError(f"is damaged: {error}"[:300], where=path, cure=_AGAIN) from error


def rows_file(folder: Path, digest: str) -> Path:
    """Where the rows of an index lie; named by the index, so that the list and the rows always belong together."""
    return folder / f"rows-{digest}.safetensors"


def _read(folder: Path, content: dict[str, Any]) -> Index:
    from safetensors import SafetensorError, safe_open

    digest = content["digest"]
    if not (isinstance(digest, str) and digest.isalnum()):
        raise ValueError("its digest is none")
    path = rows_file(folder, digest)
    try:
        moments = map_rows(path, read_layout(path))
        with safe_open(path, "numpy") as file:
            videos, mean = file.get_tensor("videos"), file.get_tensor("mean")
    except (FeatureError, SafetensorError, OSError) as error:
        problem = getattr(error, "problem", None) or getattr(error, "strerror", None) or error
        raise FeatureError(f"its rows cannot be read: {problem}"[:300], where=path, cure=_AGAIN) from error
    names = [field.name for field in fields(Entry)]
    entries = tuple(Entry(**{name: each[name] for name in names}) for each in content["videos"])
    _require_fit(entries, moments, videos, mean)
    library = content["library"]
    # Names on the way back lead from where the index really lies, whatever links lead to it.
    place = None if library is None else Path(os.path.normpath(folder.resolve() / library))
    return Index(
        moments,
        videos,
        mean,
        entries,
        FeatureTime(**content["time"]),
        str(content["encoder"]),
        str(content["weight_hash"]),
        str(content["source"]),
        place,
        digest,
        folder,
    )


def _require_fit(entries: tuple[Entry, ...], moments: np.ndarray, videos: np.ndarray, mean: np.ndarray) -> None:
    """Whether the list and the rows tell of the same videos."""
    ends = [0, *(entry.first + entry.rows for entry in entries)]
    follow = all(entry.first == end for entry, end in zip(entries, ends, strict=False))
    rows, width = moments.shape
    alike = videos.shape == (len(entries), width) and mean.shape == (width,) and ends[-1] == rows
    if not (entries and follow and alike and moments.dtype == videos.dtype == mean.dtype == np.float32):
        raise ValueError(f"its list of {len(entries)} videos does not fit its {rows} rows")


def _stays_inside(file: str) -> bool:
    """Whether a file's name leads nowhere out of the library's folder."""
    path = PurePosixPath(file)
    return bool(file) and not path.is_absolute() and ".." not in path.parts and "\0" not in file
