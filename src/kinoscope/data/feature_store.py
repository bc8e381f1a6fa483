"""A folder of feature files: ``fall/07.safetensors`` holds the features of the video ``fall/07``."""

from __future__ import annotations

import copy
import warnings
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import FeatureError
from .durations import refuse_lengths
from .feature_checks import check_features
from .feature_interchange import read_beside
from .feature_layout import most_mapped
from .features import Features, FeatureTime, TimelessError, read_features

ADAPTER_FOLDER = "sola-adapter"
"""Beside adapted features lies the adapter that made them, in a folder of this name."""

_SUFFIXES = (".safetensors", ".npy")
_FOREIGN = (".npz", ".pkl", ".pickle", ".pt", ".h5", ".hdf5", ".mat")
"""What other tools keep features in, and we do not read."""


class FeatureStore(Mapping[str, Features]):
    """Features by video name, read from disk each time they are asked for (but see :meth:`mapped`).

    A name is also found by its last part alone (``07`` for ``fall/07``) when only one video has it, so that
    annotations may be written relative to another folder than features.

    Args:
        folder: where the files are.
        time: of files that do not hold it, such as ``.npy`` files of other tools; not needed where ``features.json``
            lies beside them, as ``kinoscope extract --like`` writes it.
        file_names: other names of videos → the names of their files (see ``Annotations.file_names``).
        durations: lengths of videos in seconds by name (see ``read_durations``), for files that do not hold theirs.

    Raises:
        FeatureError: ``folder`` does not exist or holds no features, two files are for one video, or ``durations``
            are of other videos.
    """

    def __init__(
        self,
        folder: str | Path,
        time: FeatureTime | None = None,
        file_names: Mapping[str, str] | None = None,
        *,
        durations: Mapping[str, float] | None = None,
    ) -> None:
        self.folder, self.time, self.file_names = Path(folder), time, dict(file_names or {})
        self._kept: dict[Path, Features] | None = None  # by path; none: nothing is kept
        if not self.folder.is_dir():
            cure = "make it with: kinoscope extract VIDEOS --out FEATURES"
            raise FeatureError("no such folder of features", where=self.folder, cure=cure)
        self._paths: dict[str, Path] = {}
        self._by_last: dict[str, list[str]] = defaultdict(list)
        for path in feature_files(self.folder):
            if not path.is_file():
                cure = "fetch the file that it stands for, or remove it"
                raise FeatureError("is no file, perhaps a link that leads nowhere", where=path, cure=cure)
            name = path.relative_to(self.folder).with_suffix("").as_posix()
            if name in self._paths:
                cure = "keep one of the two in the folder"
                raise FeatureError(f"has the same name as {self._paths[name].name}", where=path, cure=cure)
            self._paths[name] = path
            self._by_last[Path(name).name].append(name)
        if not self._paths:
            refuse_foreign(self.folder)
            raise FeatureError(
                "holds no feature files (.safetensors or .npy)",
                where=self.folder,
                cure="make them with: kinoscope extract VIDEOS --out FEATURES",
            )
        self._beside = read_beside(self.folder)
        self._durations = self._durations_by_path(durations) if durations is not None else {}

    def path_of(self, name: str) -> Path:
        """The file of the video ``name``. Raises :class:`KeyError` if there is none, or several could be meant."""
        if name in self._paths:
            return self._paths[name]
        candidates = self._by_last.get(Path(name).name, [])
        if not candidates and name in self.file_names and self.file_names[name] != name:
            return self.path_of(self.file_names[name])
        candidates = candidates or self._by_last.get(f"v_{Path(name).name}", [])  # as ActivityNet's files are called
        if len(candidates) != 1:
            raise KeyError(name)
        return self._paths[candidates[0]]

    def __getitem__(self, name: str) -> Features:
        path = self.path_of(name)
        if self._kept is None:
            return self._read(path)
        if path not in self._kept:
            if len(self._kept) >= most_mapped():
                del self._kept[next(iter(self._kept))]  # the oldest
            self._kept[path] = self.open(name)
        return self._kept[path]

    def open(self, name: str) -> Features:
        """Features of ``name`` mapped from their file, not read and not checked (see :func:`read_features`)."""
        return self._read(self.path_of(name), mapped=True)

    def mapped(self) -> FeatureStore:
        """The same store, whose features are mapped and kept open: for many short looks, as training takes them.

        It goes to other processes as a list of files. Values have the numbers of their files.
        """
        store = copy.copy(self)
        store._kept = {}
        return store

    def __contains__(self, name: object) -> bool:
        """Whether ``name`` has features; the file is not read."""
        try:
            return isinstance(name, str) and self.path_of(name).is_file()
        except KeyError:
            return False

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)

    def part(self, names: Collection[str]) -> FeatureStore:
        """The same store with the files of the videos ``names`` alone; names without a file are left out."""
        wanted = {self.path_of(name) for name in names if name in self}
        store = copy.copy(self)
        store._paths = {name: path for name, path in self._paths.items() if path in wanted}
        return store

    def read_alike(self) -> FeatureStore:
        """The store :meth:`mapped`, after every row was looked at once: one encoder, one rate, one width.

        Warns, once each for all videos, of rows that are zero, constant or repeated, of lengths that do not fit the
        duration, and of videos that ``durations`` does not know. Values have the numbers of their files.

        Raises:
            FeatureError: files that differ (two are named), have no time, or hold NaN or infinity; ``durations`` that
                are numbers of rows.
        """
        store = self.mapped()
        self._require_alike()
        if self._durations:
            given = {name: self._durations[path] for name, path in self._paths.items() if path in self._durations}
            refuse_lengths(store, given, self.folder)
            self._warn_of_unknown_durations(store)
        check_features(store, self.path_of)
        return store

    def _require_alike(self) -> None:
        """Whether the user must give a time is told once, with how many files need it."""
        first: tuple[str, Features] | None = None
        timeless: list[TimelessError] = []
        for name in self:
            try:
                features = self.open(name)
            except TimelessError as error:
                timeless.append(error)
                continue
            first = first or (name, features)
            if not timeless and (problem := difference(first[1], features)):
                cure = "keep the features of each encoder in a folder of their own"
                raise FeatureError(f"{problem} in {first[0]!r} and {name!r}", where=self.folder, cure=cure)
        if timeless:
            more = f", and {len(timeless) - 1} more of {len(self)} files have none" if len(timeless) > 1 else ""
            raise FeatureError(timeless[0].problem + more, where=timeless[0].where, cure=timeless[0].cure)

    def _read(self, path: Path, *, mapped: bool = False) -> Features:
        """A file with what lies beside it, and with the duration that the table gives if it has none."""
        if path.suffix == ".npy" and path.parent == self.folder:
            features = self._beside.read(path, self.time, mapped=mapped)
        else:
            features = read_features(path, self.time, mapped=mapped)
        if features.time.duration is not None or path not in self._durations:
            return features
        return replace(features, time=replace(features.time, duration=self._durations[path]))

    def _durations_by_path(self, durations: Mapping[str, float]) -> dict[Path, float]:
        """A video's own name counts first, then other ways to write it, where these agree."""
        exact: dict[Path, float] = {}
        near: dict[Path, set[float]] = defaultdict(set)
        for name, seconds in durations.items():
            if name in self._paths:
                exact[self._paths[name]] = seconds
                continue
            for other in (name, f"v_{Path(name).name}"):  # as ActivityNet's files are called
                if other in self:
                    near[self.path_of(other)].add(seconds)
                    break
        found = {path: seconds.pop() for path, seconds in near.items() if len(seconds) == 1} | exact
        if not found:
            shown = ", ".join(repr(name) for name in list(durations)[:2])
            problem = f"holds {next(iter(self._paths))!r}, but the durations are of other videos: {shown}"
            raise FeatureError(problem, where=self.folder, cure="give durations by the names of the files")
        return found

    def _warn_of_unknown_durations(self, features: Mapping[str, Features]) -> None:
        unknown = [name for name, each in features.items() if each.time.duration is None]
        if unknown:
            problem = f"no duration is known of {len(unknown)} of {len(features)} videos"
            warnings.warn(f"{problem} (the first: {unknown[0]!r}): the end of their rows is taken", stacklevel=3)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_kept": None if self._kept is None else {}}


def difference(a: Features, b: Features) -> str | None:
    """In what two videos' features cannot be mixed; ``None`` if they can."""
    pairs = {
        "width": (a.width, b.width),
        "encoder": (a.encoder, b.encoder),
        "weights": (a.weight_hash, b.weight_hash),
        "fps": (a.time.fps, b.time.fps),
        "stride": (a.time.stride, b.time.stride),
        "clip length": (a.time.clip_length, b.time.clip_length),
    }
    return "; ".join(f"{what} {x!r} and {y!r}" for what, (x, y) in pairs.items() if x != y) or None


def feature_files(folder: str | Path) -> list[Path]:
    """What is called like a feature file in a folder, in order; the folder of an adapter and hidden ones left out."""
    folder, found = Path(folder), []
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder).parts
        hidden = ADAPTER_FOLDER in inside or any(part.startswith(".") for part in inside)
        if path.suffix in _SUFFIXES and not hidden and not path.is_dir():
            found.append(path)
    return found


def refuse_foreign(path: str | Path) -> None:
    """Raise :class:`FeatureError` where a file, or a folder, holds what are features of another kind than we read."""
    path = Path(path)
    inside = sorted(path.rglob("*")) if path.is_dir() else [path]
    found = [each for each in inside if each.suffix.lower() in _FOREIGN and each.is_file()]
    if not found:
        return
    suffix = found[0].suffix
    what = f"holds {suffix} files" if path.is_dir() else f"is a {suffix} file"
    known = "features are read from .safetensors (with their time) and .npy, one array [T, C] for each video"
    cure = "save each array as NAME.npy"
    if suffix.lower() == ".npz":
        cure += f": numpy.save('{found[0].stem}.npy', numpy.load('{found[0].name}')[KEY])"
    raise FeatureError(f"{what}, but {known}", where=path, cure=cure)


def feature_path(folder: str | Path, name: str) -> Path:
    """Where the features of the video ``name`` belong in ``folder``."""
    return Path(folder) / f"{name}.safetensors"
