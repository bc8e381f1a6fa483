"""What is looked for: a video, a moment of it, or a video of the index, as a row that compares with the index."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import numpy as np

from ..data.feature_interchange import read_beside
from ..data.feature_time import video_duration
from ..data.features import Features, read_features
from ..data.segments import video_name
from ..encoders import Encoder, Sampling, extract_features
from ..encoders.folder import as_text
from ..errors import FeatureError, OptionError
from ..files import sha256_of
from .index import Entry, Index, unit
from .moments import moment_features, require_inside, rows_within
from .nearest import Omitted

_SHOWN = 3

Span = tuple[float, float]


@dataclass(frozen=True)
class Query:
    """One question to an index."""

    name: str
    """What it is called."""
    vector: np.ndarray
    """Compares with the index's rows. Shape: [C]."""
    span: Span | None = None
    """Seconds that were asked for; none: the whole video."""
    video: int | None = None
    """Its position in the index, if it is one of its videos."""
    path: Path | None = None
    """Its file, if it is known."""
    duration: float = 0.0
    """Seconds."""

    @property
    def time(self) -> float:
        """Seconds: the middle of what was asked for."""
        return (self.span[0] + self.span[1]) / 2 if self.span is not None else self.duration / 2

    def itself(self, apart: float, *, moments: bool) -> Omitted | None:
        """What of the index is the query, and not a result.

        Args:
            apart: seconds around a moment that was asked for, which are left out too.
            moments: whether moments are looked for; else the whole video is left out.
        """
        if self.video is None:
            return None
        if self.span is None or not moments:
            return Omitted(self.video)
        return Omitted(self.video, self.span[0] - apart, self.span[1] + apart)


def find_query(text: str, index: Index, span: Span | None, encoder: Callable[[], Encoder]) -> Query:
    """The query that ``text`` names: a video file, a feature file, or a video of the index.

    A file that the index holds, under whatever path, is not decoded: its rows are there.

    Args:
        span: seconds that are looked for, from and to; equal for a single moment, none for the whole video.
        encoder: gives the encoder of the index; called only when something must be encoded.

    Raises:
        OptionError: no such file and no such name; a moment beyond the end.
        FeatureError: features that do not fit the index.
        VideoError: the video cannot be read.
    """
    path = Path(text)
    if os.path.isdir(text or "."):  # noqa: PTH112 - it answers where Path raises
        raise OptionError("is a folder, not a query", where=path, cure="name one video; index folders: kinoscope index")
    if not os.path.isfile(text):  # noqa: PTH113
        return _known(_position(text, index), index, span)
    if path.suffix in (".safetensors", ".npy"):
        return _of_features(path, index, span)
    position = _same_file(path, index)
    if position is not None:
        return _known(position, index, span)
    return _encoded(path, index, span, encoder())


def _known(position: int, index: Index, span: Span | None) -> Query:
    """A video of the index; the moments whose middle lies in the span, or the one that is nearest to it."""
    entry, path = index.entries[position], index.path_of(position)
    if span is None:
        return Query(entry.name, index.videos[position], None, position, path, entry.duration)
    require_inside(span, entry.duration, entry.name)
    rows = index.moments[index.rows_of(position)][rows_within(index.centres(position), span)]  # [T, C]
    return Query(entry.name, _direction(rows), span, position, path, entry.duration)


def _of_features(path: Path, index: Index, span: Span | None) -> Query:
    features = _read(path, index)
    problem = _misfit(features, index)
    if problem:
        raise FeatureError(f"does not fit the index: {problem}", where=path, cure="extract it as the index was made")
    rows, duration = index.as_moments(features.values), video_duration(features.time, len(features))
    position = next((n for n, entry in enumerate(index.entries) if _same_rows(index, n, entry, rows)), None)
    name, film = as_text(path.stem), None if position is None else index.path_of(position)
    if span is None:
        return Query(name, index.as_video(features.values), None, position, film, duration)
    require_inside(span, duration, path)
    chosen = rows_within(np.minimum(features.time.centers(len(features)), duration), span)
    return Query(name, _direction(rows[chosen]), span, position, film, duration)


def _read(path: Path, index: Index) -> Features:
    """A feature file; an ``.npy`` file whose time no ``features.json`` tells has that of the index."""
    if path.suffix != ".npy":
        return read_features(path)
    beside = read_beside(path.parent)
    return beside.read(path, None if path.stem in beside.times else index.time)


def _encoded(path: Path, index: Index, span: Span | None, encoder: Encoder) -> Query:
    time = index.time
    sampling = Sampling(time.fps, round(time.clip_length), round(time.stride))
    name, position = as_text(path.stem), _same_name(path, index)
    if span is None:
        features = extract_features(path, encoder, sampling)
        duration = video_duration(features.time, len(features))
        return Query(name, index.as_video(features.values), None, position, path, duration)
    values, duration = moment_features(path, encoder, sampling, span)
    return Query(name, _direction(index.as_moments(values)), span, position, path, duration)


def _direction(rows: np.ndarray) -> np.ndarray:
    """What several moments have in common. Shape: [T, C] -> [C]."""
    return unit(np.asarray(rows).mean(axis=0))


def _misfit(features: Features, index: Index) -> str:
    """In what features cannot be compared with the index; empty if they can."""
    # A trained encoder is called by its folder, which may be written in many ways: its weights tell.
    named = str if not (features.weight_hash and index.weight_hash) else _frame_size
    pairs = {
        "width": (features.width, len(index.mean)),
        "encoder": (named(features.encoder or index.encoder), named(index.encoder)),
        "weights": (features.weight_hash or index.weight_hash, index.weight_hash),
        "fps": (features.time.fps, index.time.fps),
        "clip length": (features.time.clip_length, index.time.clip_length),
    }
    return "; ".join(f"{what} {x!r}, but the index has {y!r}" for what, (x, y) in pairs.items() if x != y)


def _frame_size(tag: str) -> str:
    """What an encoder's tag says of the size of frames."""
    return tag.rpartition("@")[2] if tag.endswith("px") else "its own size of frames"


def _same_rows(index: Index, position: int, entry: Entry, rows: np.ndarray) -> bool:
    return entry.rows == len(rows) and np.allclose(index.moments[index.rows_of(position)], rows, atol=1e-4)


def _same_file(path: Path, index: Index) -> int | None:
    """The video of the index that has the content of ``path`` now, and had it when it was indexed."""
    size, content = path.stat().st_size, None
    for position, entry in enumerate(index.entries):
        other = index.path_of(position)
        if entry.size != size or other is None or not other.is_file():
            continue
        now = other.stat()
        if (now.st_size, now.st_mtime_ns) != (entry.size, entry.modified):
            continue  # replaced since
        if other.samefile(path):
            return position
        content = content or sha256_of(path)
        if sha256_of(other) == content:
            return position
    return None


def _same_name(path: Path, index: Index) -> int | None:
    """The one video of the index that is called like ``path``, where the index knows no files to compare."""
    name = as_text(path.stem)
    alike = [n for n, entry in enumerate(index.entries) if entry.file is None and entry.name.rsplit("/", 1)[-1] == name]
    return alike[0] if len(alike) == 1 else None


def _position(text: str, index: Index) -> int:
    """The video of the index that ``text`` names: whole, or by its last part where only one has it."""
    names = [entry.name for entry in index.entries]
    for name in (as_text(text), video_name(as_text(text))):
        if name in names:
            return names.index(name)
        last = [number for number, other in enumerate(names) if other.rsplit("/", 1)[-1] == name]
        if len(last) == 1:
            return last[0]
        if last:
            shown = ", ".join(repr(names[number]) for number in last[:_SHOWN])
            raise OptionError(f"{len(last)} videos of the index have the name {name!r}", cure=f"choose from {shown}, …")
    near = get_close_matches(as_text(text), names, 1) or names[:_SHOWN]
    cure = f"check the path, or name a video of the index, such as {', '.join(map(repr, near))}"
    raise OptionError("no such file, and no video of the index has this name", where=text, cure=cure)
