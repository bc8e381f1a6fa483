"""One feature per window of every video, by several trained encoders at once: each video is decoded once for all.

What is done is kept on disk if wanted, one file per encoder and video, so that another protocol, or another run, finds
it there. Memory holds the features of one video and a few of its windows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..clips.reader import ClipOptions, Clips
from ..clips.windows import crop_window, read_windows
from ..data.feature_store import feature_path
from ..data.features import Features, FeatureTime, read_features, write_features
from ..encoders.trained import TrainedSpec, folder_weights, load_trained, trained_spec
from ..errors import FeatureError, KinoscopeError, OutputError, VideoError
from ..progress import Progress, progress
from ..video.streams import Stream, normalise

_CLIPS_AT_ONCE = 8  # through the network together


@dataclass(frozen=True)
class WindowEncoder:
    """A trained encoder, ready to look at windows."""

    network: nn.Module
    """Normalised clips -> pooled features. Shape: [B, 3, T, H, W] -> [B, C]."""
    spec: TrainedSpec
    digest: str
    """First 16 hexadecimal digits of the SHA-256 of its weights."""

    @property
    def clips(self) -> ClipOptions:
        """The clips that it was trained on; no test video is too short for it."""
        spec = self.spec
        sizes = (spec.clip_length, spec.fps, spec.size, spec.decode_size)
        return ClipOptions(*sizes, spec.flow, least_frames=1, crop=spec.crop)

    @property
    def key(self) -> str:
        """What decides its features of a video: the weights, and how clips are made."""
        return hashlib.sha256(f"{self.digest} {self.spec.stream} {self.clips}".encode()).hexdigest()[:16]


@dataclass
class WindowFeatures:
    """Features of the windows of every video that could be read."""

    rows: list[dict[str, np.ndarray]]
    """For each encoder by video name. Shape: [W, C]."""
    failed: dict[str, str] = field(default_factory=dict)
    """Video name → why it is missing."""


def load_window_encoder(folder: str | Path, device: torch.device | str = "cpu") -> WindowEncoder:
    """The encoder in a folder that ``kinoscope pretrain`` or ``kinoscope convert`` wrote.

    Raises:
        WeightError: not an encoder, or a damaged one.
    """
    spec, network = trained_spec(folder), load_trained(folder)
    return WindowEncoder(network.requires_grad_(False).to(device), spec, folder_weights(folder).hash)


def window_features(
    videos: Mapping[str, Path],
    encoders: Sequence[WindowEncoder],
    *,
    cache: Path | None = None,
    flow_folder: Path | None = None,
    workers: int = 0,
) -> WindowFeatures:
    """Features of all windows of ``videos``; a video that fails is left out and told.

    Args:
        videos: files by name.
        encoders: those that take the same clips share one decode.
        cache: folder for the features; what lies there is not computed again.
        flow_folder: where ``kinoscope flow`` put its files.
        workers: processes that look at the videos first.

    Raises:
        VideoError: none could be read.
        OutputError: the cache cannot be written.
    """
    found = WindowFeatures([{} for _ in encoders])
    if cache is not None:
        for encoder, rows in zip(encoders, found.rows, strict=True):
            rows.update(_cached(cache, encoder, videos))
    with progress("Encoding windows", len(videos) * len(_groups(encoders)) or None) as report:
        for group in _groups(encoders):
            todo = {n: path for n, path in videos.items() if any(n not in found.rows[each] for each in group)}
            report(len(videos) - len(todo))
            if todo:
                members = {each: encoders[each] for each in group}
                _encode_group(todo, members, found, cache, flow_folder, workers, report)
    for name in found.failed:
        for rows in found.rows:
            rows.pop(name, None)
    if videos and len(found.failed) == len(videos):
        name, problem = next(iter(found.failed.items()))
        raise VideoError(f"no video could be read: {problem}", where=videos[name], cure="see: kinoscope probe")
    return found


def _groups(encoders: Sequence[WindowEncoder]) -> list[list[int]]:
    """Encoders that take the same clips, by their place."""
    by_clips: dict[ClipOptions, list[int]] = {}
    for place, encoder in enumerate(encoders):
        by_clips.setdefault(encoder.clips, []).append(place)
    return list(by_clips.values())


def _encode_group(
    videos: Mapping[str, Path],
    encoders: Mapping[int, WindowEncoder],
    found: WindowFeatures,
    cache: Path | None,
    flow_folder: Path | None,
    workers: int,
    report: Progress,
) -> None:
    streams: tuple[Stream, ...] = tuple(dict.fromkeys(each.spec.stream for each in encoders.values()))
    clips = Clips(videos, streams, next(iter(encoders.values())).clips, flow_folder=flow_folder)
    try:
        clips.prepare(workers, quiet=True)
    except VideoError as error:  # none of these can be read; others may be in the cache
        found.failed.update(dict.fromkeys(videos, error.problem.removeprefix("no video is left: ")))
        report(len(videos))
        return
    found.failed.update({name: clips.failed[path] for name, path in videos.items() if path in clips.failed})
    report(len(videos) - len(clips))
    for index, name in enumerate(clips.names):
        missing = {place: each for place, each in encoders.items() if name not in found.rows[place]}
        try:
            rows = encode_video(clips, index, list(missing.values()))
            for (place, encoder), values in zip(missing.items(), rows, strict=True):
                found.rows[place][name] = values
                if cache is not None:
                    _keep(_cache_path(cache, encoder, name, videos[name]), encoder, values)
        except OutputError:
            raise  # the others could not be written either
        except KinoscopeError as error:
            found.failed[name] = error.problem
        report(1, name)


def encode_video(clips: Clips, index: int, encoders: Sequence[WindowEncoder]) -> list[np.ndarray]:
    """Features of the windows of one video by each encoder; the central square of each. Shape of each: [W, C].

    Raises:
        VideoError: the video cannot be read any more.
        FeatureError: a network gives NaN or infinity.
    """
    streams = tuple(dict.fromkeys(each.spec.stream for each in encoders))
    waiting: list[list[np.ndarray]] = [[] for _ in encoders]
    done: list[list[Tensor]] = [[] for _ in encoders]

    def flush(place: int) -> None:
        if waiting[place]:
            done[place].append(_features(encoders[place].network, np.stack(waiting[place])))
            waiting[place].clear()

    for window in read_windows(clips, index, streams):
        for place, encoder in enumerate(encoders):
            spec = encoder.spec
            waiting[place].append(crop_window(window[spec.stream], spec.size, 1, spec.stream, spec.crop)[0])
            if len(waiting[place]) == _CLIPS_AT_ONCE:
                flush(place)
    for place in range(len(encoders)):
        flush(place)
    rows = [torch.cat(parts).numpy() for parts in done]  # [W, C] each
    if not all(np.isfinite(each).all() for each in rows):
        raise FeatureError("the encoder gives NaN or infinity", where=clips.names[index], cure="check its weights")
    return rows


@torch.inference_mode()
def _features(network: nn.Module, clips: np.ndarray) -> Tensor:
    """Shape: [B, T, H, W, 3], uint8 -> [B, C], float32, on the CPU."""
    device = next(network.parameters()).device
    return network(normalise(torch.from_numpy(clips).to(device))).float().cpu()


def _cache_path(cache: Path, encoder: WindowEncoder, name: str, video: Path) -> Path:
    """Where features belong; the name says which state of the video they are of."""
    state = video.stat()
    mark = hashlib.sha256(f"{video.resolve()} {state.st_size} {state.st_mtime_ns}".encode("utf-8", "surrogateescape"))
    return feature_path(cache / encoder.key, f"{name}-{mark.hexdigest()[:8]}")


def _cached(cache: Path, encoder: WindowEncoder, videos: Mapping[str, Path]) -> dict[str, np.ndarray]:
    found = {}
    for name, video in videos.items():
        try:
            path = _cache_path(cache, encoder, name, video)
            if path.is_file():
                found[name] = read_features(path).values
        except (KinoscopeError, OSError):
            continue  # broken, or the video is gone: told when it is looked at
    return found


def _keep(path: Path, encoder: WindowEncoder, rows: np.ndarray) -> None:
    spec = encoder.spec
    time = FeatureTime(spec.fps, max(1, spec.clip_length // 2 - 1), spec.clip_length)
    write_features(path, Features(rows, time, spec.backbone, encoder.digest))
