"""A folder of feature files: ``fall/07.safetensors`` holds the features of the video ``fall/07``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from ..errors import FeatureError
from .features import Features, FeatureTime, read_features

ADAPTER_FOLDER = "sola-adapter"
"""Beside adapted features lies the adapter that made them, in a folder of this name."""

_SUFFIXES = (".safetensors", ".npy")


class FeatureStore(Mapping[str, Features]):
    """Features by video name, read from disk each time they are asked for.

    A name is also found by its last part alone (``07`` for ``fall/07``) when only one video has it, so that
    annotations may be written relative to another folder than features.

    Args:
        folder: where the files are.
        time: the time of ``.npy`` files of other tools, which do not hold it.
        file_names: other names of videos → the names of their files (see ``Annotations.file_names``).

    Raises:
        FeatureError: ``folder`` does not exist or holds no features, or two files are for one video.
    """

    def __init__(
        self, folder: str | Path, time: FeatureTime | None = None, file_names: Mapping[str, str] | None = None
    ) -> None:
        self.folder, self.time, self.file_names = Path(folder), time, dict(file_names or {})
        if not self.folder.is_dir():
            cure = "make it with: kinoscope extract VIDEOS --out FEATURES"
            raise FeatureError("no such folder of features", where=self.folder, cure=cure)
        self._paths: dict[str, Path] = {}
        self._by_last: dict[str, list[str]] = defaultdict(list)
        for path in sorted(self.folder.rglob("*")):
            inside = path.relative_to(self.folder)
            hidden = ADAPTER_FOLDER in inside.parts or any(part.startswith(".") for part in inside.parts)
            if path.suffix in _SUFFIXES and path.is_file() and not hidden:
                name = inside.with_suffix("").as_posix()
                if name in self._paths:
                    cure = "keep one of the two in the folder"
                    raise FeatureError(f"has the same name as {self._paths[name].name}", where=path, cure=cure)
                self._paths[name] = path
                self._by_last[Path(name).name].append(name)
        if not self._paths:
            raise FeatureError(
                "holds no feature files (.safetensors or .npy)",
                where=self.folder,
                cure="make them with: kinoscope extract VIDEOS --out FEATURES",
            )

    def path_of(self, name: str) -> Path:
        """The file of the video ``name``. Raises :class:`KeyError` if there is none, or several could be meant."""
        if name in self._paths:
            return self._paths[name]
        candidates = self._by_last.get(Path(name).name, [])
        if not candidates and name in self.file_names and self.file_names[name] != name:
            return self.path_of(self.file_names[name])
        if len(candidates) != 1:
            raise KeyError(name)
        return self._paths[candidates[0]]

    def __getitem__(self, name: str) -> Features:
        return read_features(self.path_of(name), self.time)

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

    def select(self, names: Iterable[str]) -> dict[str, Path]:
        """The files of the videos ``names``. Raises :class:`FeatureError` that lists the videos without one."""
        found, missing = {}, []
        for name in names:
            try:
                found[name] = self.path_of(name)
            except KeyError:
                several = self._by_last.get(Path(name).name, [])
                missing.append(f"{name} (could be {' or '.join(several[:3])})" if several else name)
        if missing:
            shown = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
            raise FeatureError(
                f"no features of {len(missing)} annotated videos: {shown}",
                where=self.folder,
                cure="extract them, or take these videos out of the annotations",
            )
        return found

    def read_alike(self) -> dict[str, Features]:
        """All features; they must come from one encoder, at one rate and width.

        Raises:
            FeatureError: two files differ; both are named.
        """
        everything: dict[str, Features] = {}
        first = ""
        for name in self:
            everything[name] = self[name]
            first = first or name
            if problem := difference(everything[first], everything[name]):
                cure = "keep the features of each encoder in a folder of their own"
                raise FeatureError(f"{problem} in {first!r} and {name!r}", where=self.folder, cure=cure)
        return everything


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


def feature_path(folder: str | Path, name: str) -> Path:
    """Where the features of the video ``name`` belong in ``folder``."""
    return Path(folder) / f"{name}.safetensors"
