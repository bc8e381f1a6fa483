"""What training sees of a labelled video: its candidate frames at every size, as pixels or as features of them.

Networks that stay as they are look at every frame once, and their features are kept; those that learn need the pixels.
Either way every video is decoded once, what is kept lies in a file of its own, and a run goes on with what is there.

Letters: V views, T candidate frames, C channels, S pixels of a side.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..data.labelled_clips import LabelledClip, require_within
from ..errors import DamagedVideoWarning, KinoscopeError, VideoError
from ..files import atomic_path
from ..progress import progress
from ..video import Video, open_video
from ..video.scaling import scaled_size
from .candidates import candidates
from .networks import Networks
from .options import ArNetOptions, ArNetTraining
from .pixels import Glass, training_crop, training_views

Views = list[np.ndarray]
"""For each network, the policy's last: features [T, C] float32, or pixels [T, S, S, 3] uint8."""
_VERSION = 1
_IN_MEMORY = 2_000_000_000  # bytes; what is larger is read from disk again for every sample


@dataclass(frozen=True)
class Wanted:
    """What is to be known of one clip."""

    clip: LabelledClip
    training: bool
    """Random views, to learn from."""
    segments: tuple[int, ...]
    """Numbers of candidate frames at which it is looked at as in use."""


class Looks:
    """The looks at all clips of a run.

    Args:
        folder: where they are kept.
        options: which networks see what.
        training: how random views are drawn.
        networks: that make features; none keeps pixels, for networks that learn.
        hashes: of their weights, so that features of other ones are made anew.
    """

    def __init__(
        self,
        folder: Path,
        options: ArNetOptions,
        training: ArNetTraining,
        networks: Networks | None,
        hashes: Sequence[str] = (),
    ) -> None:
        self.folder, self.options, self.training, self.networks = folder, options, training, networks
        self.hashes = list(hashes) if networks is not None else []
        self._held: dict[Path, Mapping[str, np.ndarray]] = {}
        self._bytes = 0

    def prepare(self, wanted: Sequence[Wanted]) -> dict[str, str]:
        """Look at all clips that were not looked at yet; gives those that cannot be read, by name, and why."""
        failed: dict[str, str] = {}
        missing = [each for each in wanted if not self._is_made(each)]
        if not missing:
            return failed
        with progress("Looking at videos", len(missing)) as report:
            for each in missing:
                try:
                    self._make(each)
                except VideoError as error:
                    failed[each.clip.name] = error.problem
                report(1, each.clip.name)
        return failed

    def sample(self, clip: LabelledClip, rng: np.random.Generator) -> Views:
        """One random view of a training clip; every network sees the same frames."""
        if self.networks is not None:
            view = int(rng.integers(self.training.views))
            return [self._read(clip, f"train/{number}", view) for number in range(len(self.options.views))]
        frames = self._read(clip, "train/frames")  # [V, T, h, w, 3]
        chosen = rng.integers(len(frames), size=frames.shape[1])
        picked = frames[chosen, np.arange(frames.shape[1])]  # [T, h, w, 3]
        return self._views_of(picked, rng)

    def evaluate(self, clip: LabelledClip, segments: int) -> Views:
        """A clip as it is looked at in use."""
        return [self._read(clip, f"use{segments}/{number}") for number in range(len(self.options.views))]

    # ---- making ------------------------------------------------------------------------------------------------------

    def _make(self, wanted: Wanted) -> None:
        wanted = self._with_what_is_there(wanted)
        clip, found = wanted.clip, dict[str, np.ndarray]()
        part = None if clip.start is None or clip.end is None else (clip.start, clip.end)
        with warnings.catch_warnings(), open_video(clip.path) as video:
            warnings.simplefilter("ignore", DamagedVideoWarning)  # told by `kinoscope probe`; the rest is used
            require_within(clip, video.duration)
            for segments in wanted.segments:
                for number, views in enumerate(use_views(video, self.options, segments, part)):
                    found[f"use{segments}/{number}"] = self._seen(number, views)
            if wanted.training:
                found |= self._training(video, part, clip.name)
        with atomic_path(self._path(clip)) as temporary:
            from safetensors.numpy import save_file

            save_file(found, temporary, metadata={"made": json.dumps(self._mark(wanted))})

    def _training(self, video: Video, part: tuple[float, float] | None, name: str) -> dict[str, np.ndarray]:
        size = scaled_size(video.size, round(max(self.options.sizes) / self.options.crop))
        drawn = []
        for view in range(self.training.views):
            rng = _rng(name, view)
            positions = candidates(video, self.options.segments, part, rng)
            frames = video.frames_by_index(positions, size=size).frames  # [T, h, w, 3]
            drawn.append(frames if self.networks is None else self._views_of(frames, rng))
        if self.networks is None:
            return {"train/frames": np.stack(drawn)}  # [V, T, h, w, 3]
        return {
            f"train/{number}": np.stack([self._seen(number, view[number]) for view in drawn])  # [V, T, C]
            for number in range(len(self.options.views))
        }

    def _views_of(self, frames: np.ndarray, rng: np.random.Generator) -> Views:
        box = training_crop(rng, (frames.shape[1], frames.shape[2]))
        flip = bool(rng.random() < self.training.flip)
        sizes = [size for _, size in self.options.views]
        return list(training_views(frames, box, flip, sizes, self.options.kernel))

    @torch.inference_mode()
    def _seen(self, number: int, views: np.ndarray) -> np.ndarray:
        """Shape: [T, S, S, 3] -> [T, C], or as it is where pixels are kept."""
        if self.networks is None:
            return np.ascontiguousarray(views)
        return self.networks.features(number, views).float().cpu().numpy()

    # ---- keeping -----------------------------------------------------------------------------------------------------

    def _path(self, clip: LabelledClip) -> Path:
        digest = hashlib.sha256(clip.name.encode("utf-8", "surrogatepass")).hexdigest()[:24]
        return self.folder / f"{digest}.safetensors"  # names may be long, and hold anything

    def _mark(self, wanted: Wanted) -> dict[str, Any]:
        """What decides the content of a file."""
        clip, options, training = wanted.clip, self.options, self.training
        try:
            state = clip.path.stat()
            source = [state.st_size, state.st_mtime_ns, clip.start, clip.end]
        except OSError:  # told when it is looked at
            source = []
        drawn = [training.views, training.flip, options.segments]
        return {
            "version": _VERSION,
            "name": clip.name,
            "source": source,
            "views": [list(view) for view in options.views],
            "weights": self.hashes,
            "glass": [options.kernel, options.crop],
            "features": self.networks is not None,
            "segments": list(wanted.segments),
            "training": drawn if wanted.training else None,
        }

    def _is_made(self, wanted: Wanted) -> bool:
        """Whether a file holds all that is wanted, perhaps more."""
        mark, made = self._mark(wanted), self._made(wanted.clip)
        enough = set(mark["segments"]) <= set(made.get("segments", ()))
        return enough and mark["training"] in (None, made.get("training")) and _same(mark, made)

    def _with_what_is_there(self, wanted: Wanted) -> Wanted:
        """What is wanted, and what a file that is made again has besides: another run may want that."""
        made = self._made(wanted.clip)
        if not _same(self._mark(wanted), made):
            return wanted
        segments = tuple(sorted({*wanted.segments, *made["segments"]}))
        return replace(wanted, segments=segments, training=wanted.training or made["training"] is not None)

    def _made(self, clip: LabelledClip) -> dict[str, Any]:
        """What a file says that it was made of; empty without one."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self._path(clip), framework="numpy") as file:
                return dict(json.loads((file.metadata() or {}).get("made", "{}")))
        except (OSError, SafetensorError, ValueError, TypeError):
            return {}

    def _read(self, clip: LabelledClip, tensor: str, row: int | None = None) -> np.ndarray:
        path = self._path(clip)
        if path in self._held:
            found = self._held[path][tensor]
            return found if row is None else found[row]
        from safetensors import SafetensorError, safe_open
        from safetensors.numpy import load_file

        try:
            if self._bytes < _IN_MEMORY:
                self._held[path] = load_file(path)
                self._bytes += path.stat().st_size
                return self._read(clip, tensor, row)
            with safe_open(path, framework="numpy") as file:
                part = file.get_slice(tensor)
                return np.asarray(part[:] if row is None else part[row : row + 1][0])
        except (OSError, SafetensorError) as error:
            problem = f"what was seen of {clip.name!r} cannot be read: {error}"
            raise KinoscopeError(problem, where=path, cure="start again: it is made anew") from error


def use_views(
    video: Video, options: ArNetOptions, segments: int, part: tuple[float, float] | None = None
) -> list[np.ndarray]:
    """All candidate frames at all sizes, exactly as they are seen in use. Shape of each: [T, S, S, 3], uint8."""
    sizes = [size for _, size in options.views]
    glass = Glass(video.stored_size, video.rotation, max(sizes), options.kernel, options.crop)
    views: list[list[np.ndarray]] = [[] for _ in sizes]
    with video.picker() as pick:
        for position in candidates(video, segments, part).tolist():
            frame = pick(position)
            for size, view in zip(sizes, views, strict=True):
                view.append(glass.view(frame, size))
    return [np.stack(view) for view in views]


def _same(mark: Mapping[str, Any], made: Mapping[str, Any]) -> bool:
    """Whether two files differ at most in how much they hold."""
    return all(made.get(name) == value for name, value in mark.items() if name not in ("segments", "training"))


def _rng(name: str, view: int) -> np.random.Generator:
    """What a view shows does not depend on the run, so that runs of other seeds share it."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
    return np.random.default_rng([view, int.from_bytes(digest[:8], "little")])
