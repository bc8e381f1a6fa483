"""Finding out what a folder of videos holds, and filling the cache with what is not in it yet."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..data.feature_store import feature_path
from ..errors import KinoscopeError, OutputError, VideoError
from ..files import require_writable
from ..progress import progress
from .cache import Cached, Recipe, find_cached, size_of, write_cached
from .footage import Footage, survey
from .parallel import in_parallel


@dataclass(frozen=True)
class Library:
    """The videos that can be used, in order, and what became of the others."""

    names: list[str]
    found: list[Footage | Cached]
    """How to get at each: decode it, or read it from the cache."""
    failed: dict[Path, str]
    """Left out → why."""
    damaged: dict[Path, str]
    """Used → what is missing."""


@dataclass
class LibraryBuilder:
    """Looks at videos, and fills the cache."""

    videos: Mapping[str, Path]
    recipe: Recipe
    cache: Path | None
    """Folder of decoded videos; none: nothing is kept."""
    least: int
    """Samples that a video must have."""
    workers: int = 0
    quiet: bool = False
    failed: dict[Path, str] = field(default_factory=dict)
    damaged: dict[Path, str] = field(default_factory=dict)

    def build(self) -> Library:
        """Look at every video; decode into the cache those that are not there.

        Raises:
            VideoError: no video is left.
            OutputError: the cache cannot be written, or the disk has too little space for it.
        """
        found = self._find()
        if self.cache is not None:
            found = self._fill(found, self.cache)
        names = [name for name in self.videos if name in found]
        if not names:
            path, problem = next(iter(self.failed.items()), (None, "none was given"))
            raise VideoError(f"no video is left: {problem}", where=path, cure="see what is wrong: kinoscope probe")
        return Library(names, [found[name] for name in names], self.failed, self.damaged)

    def _find(self) -> dict[str, Footage | Cached]:
        """Every video that can be used: in the cache already, or as a plan of what to decode."""
        found: dict[str, Footage | Cached] = {name: each for name in self.videos if (each := self._cached(name))}
        jobs = {
            name: (path, self.recipe.fps, self.recipe.short_side, self.recipe.flow, self.recipe.flow_file(name))
            for name, path in self.videos.items()
            if name not in found
        }
        with progress("Looking at videos", len(jobs) or None, quiet=self.quiet or not jobs) as report:
            for name, footage in in_parallel(survey, jobs, self.workers):
                report(1, name)
                if isinstance(footage, KinoscopeError):
                    self.failed[self.videos[name]] = footage.problem
                else:
                    found[name] = footage
                    self._note_damage(name, footage.damage)
        return {name: each for name, each in found.items() if self._long_enough(name, each)}

    def _cached(self, name: str) -> Cached | None:
        if self.cache is None:
            return None
        try:
            mark = self.recipe.mark(self.videos[name], name)
        except OSError:
            return None  # a file is missing: told when the video is looked at
        return find_cached(feature_path(self.cache, name), mark)

    def _long_enough(self, name: str, found: Footage | Cached) -> bool:
        if len(found.rows) >= self.least:
            return True
        needed = f"{self.least} are needed ({self.least / self.recipe.fps:.2f} s)"
        self.failed[self.videos[name]] = f"is too short: it has {len(found.rows)} samples, {needed}"
        return False

    def _fill(self, found: Mapping[str, Footage | Cached], cache: Path) -> dict[str, Footage | Cached]:
        """Everything from the cache, after decoding what is not in it."""
        cached: dict[str, Footage | Cached] = {n: each for n, each in found.items() if isinstance(each, Cached)}
        todo = {name: each for name, each in found.items() if isinstance(each, Footage)}
        _require_space(cache, sum(size_of(each, self.recipe) for each in todo.values()))
        jobs = {name: (feature_path(cache, name), name, each, self.recipe) for name, each in todo.items()}
        for path, *_ in jobs.values():
            require_writable(path)
        total = sum(len(each.positions) for each in todo.values())
        with progress("Decoding videos", total or None, quiet=self.quiet or not jobs) as report:
            for name, damage in in_parallel(write_cached, jobs, self.workers):
                footage = todo[name]
                report(len(footage.positions), name)
                if isinstance(damage, OutputError):
                    raise damage  # the others could not be written either
                if isinstance(damage, KinoscopeError):
                    self.failed[self.videos[name]] = damage.problem
                    continue
                self._note_damage(name, damage)
                cached[name] = Cached(jobs[name][0], footage.rows, len(footage.positions), footage.size)
        return cached

    def _note_damage(self, name: str, damage: str | None) -> None:
        if damage is not None:
            self.damaged[self.videos[name]] = damage


def _require_space(cache: Path, needed: int) -> None:
    folder = next(each for each in (cache, *cache.absolute().parents) if each.exists())
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OutputError(
            f"the decoded videos need {needed / 1e9:.3g} GB, but the disk has {free / 1e9:.3g} GB left",
            where=cache,
            cure="choose a cache on another disk, a smaller size or fps, or none: each clip is decoded anew then",
        )
