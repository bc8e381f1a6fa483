"""Decoded videos on disk, so that epochs run at the speed of memory: one safetensors file per video.

A file holds ``rgb`` [U, h, w, 3], with motion also ``flow`` [U, h, w, 2] (vertical, horizontal: the third channel is
constant), and ``rows`` [N], which row each sample shows. It is written in constant memory, and mapped when read.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..data.feature_layout import header_bytes
from ..errors import VideoError
from ..files import atomic_path
from ..video.flow.encoding import FlowSettings
from ..video.flow.files import flow_path
from ..video.reader import Video
from ..video.sampling import IntArray
from ..video.scaling import Frame
from ..video.streams import STILL
from .footage import Footage, quiet_video, runs
from .motion import measure_in_order
from .parallel import stop_if_unwanted

FORMAT_VERSION = 1
_CHUNK = 64  # rows in memory at a time
_KINDS = {"rows": "I64", "rgb": "U8", "flow": "U8"}


@dataclass(frozen=True)
class Recipe:
    """What decides the content of a cached video."""

    fps: float
    """Samples per second."""
    short_side: int
    """Of the frames, in pixels."""
    flow: FlowSettings | None
    """How motion is measured; none: it is not kept."""
    flow_folder: Path | None = None
    """Where motion is read from, instead of being computed."""

    def flow_file(self, name: str) -> Path | None:
        """The file that holds the motion of the video ``name``."""
        if self.flow is None or self.flow_folder is None:
            return None
        return flow_path(self.flow_folder, name)

    def mark(self, video: Path, name: str) -> dict[str, Any]:
        """What a cached file says it was made of."""
        mark: dict[str, Any] = {"version": FORMAT_VERSION, "fps": self.fps, "short_side": self.short_side}
        mark["source"] = _state(video)
        if self.flow is not None:
            file = self.flow_file(name)
            mark["flow"] = asdict(self.flow) | {"file": None if file is None else _state(file)}
        return mark


@dataclass(frozen=True)
class Cached:
    """A finished file."""

    path: Path
    rows: IntArray
    """Which row each sample shows. Shape: [N]."""
    count: int
    """Rows."""
    size: tuple[int, int]
    """Height and width of the frames."""

    def read(self, tensor: str, rows: IntArray) -> Frame:
        """Some rows, ascending and distinct; pictures in a row are not copied, and cannot be written to.

        Shape: [n, h, w, 3], uint8.

        Raises:
            VideoError: the file is gone or damaged.
        """
        values = _mapped(self.path, tensor)
        parts = [values[int(rows[run][0]) : int(rows[run][-1]) + 1] for run in runs(rows)]
        found = parts[0] if len(parts) == 1 else np.concatenate(parts)
        return found if tensor == "rgb" else _with_empty_channel(found)


def find_cached(path: Path, mark: dict[str, Any]) -> Cached | None:
    """The file at ``path`` if it was made as ``mark`` says, perhaps with motion that is not asked for."""
    try:
        with _opened(path) as file:
            made = json.loads((file.metadata() or {}).get("made", "{}"))
            if {key: made.get(key) for key in mark} != mark or "rgb" not in file.keys():  # noqa: SIM118
                return None
            count, height, width, _ = file.get_slice("rgb").get_shape()
            return Cached(path, file.get_tensor("rows"), count, (height, width))
    except (VideoError, ValueError, AttributeError):
        return None  # half of a file, or somebody else's: it is made again


def size_of(footage: Footage, recipe: Recipe) -> int:
    """Bytes that a cached video takes."""
    height, width = footage.size
    pixels = len(footage.positions) * height * width
    return pixels * (3 if recipe.flow is None else 5) + footage.rows.nbytes


def write_cached(path: Path, name: str, footage: Footage, recipe: Recipe) -> str | None:
    """Decode a video into a file, atomically; returns what of the video is missing or broken.

    Raises:
        VideoError: the video cannot be read.
        OutputError: the file cannot be written.
    """
    shapes: dict[str, tuple[int, ...]] = {"rows": footage.rows.shape, "rgb": (len(footage.positions), *footage.size, 3)}
    if recipe.flow is not None:
        shapes["flow"] = (*shapes["rgb"][:3], 2)
    header, begins = _header(shapes, {"made": json.dumps(recipe.mark(footage.path, name))})
    with atomic_path(path) as temporary, temporary.open("wb") as file, quiet_video(footage.path) as video:
        file.write(header)
        file.write(footage.rows.astype("<i8").tobytes())
        for tensor, first, block in _blocks(video, footage, recipe):
            file.seek(begins[tensor] + first * block[0].nbytes)
            file.write(block.tobytes())
        return video.damage


def _blocks(video: Video, footage: Footage, recipe: Recipe) -> Iterator[tuple[str, int, Frame]]:
    """What to write, a piece at a time: the tensor it belongs to, its first row, and its rows [n, h, w, channels]."""
    measure = measure_in_order(footage, recipe.flow) if recipe.flow is not None else None
    for begin in range(0, len(footage.positions), _CHUNK):
        stop_if_unwanted()
        rows = np.arange(begin, min(begin + _CHUNK, len(footage.positions)))
        frames = video.frames_by_index(footage.positions[rows], size=footage.size).frames  # [n, h, w, 3]
        yield "rgb", begin, frames
        if measure is not None:
            first, motion = measure(rows, frames)
            yield "flow", first, motion[..., 1:]


def _header(shapes: Mapping[str, tuple[int, ...]], meta: dict[str, str]) -> tuple[bytes, dict[str, int]]:
    """What stands before the numbers of a safetensors file, and where in the file each tensor begins."""
    entries: dict[str, Any] = {}
    end = 0
    for name, shape in shapes.items():
        begin, end = end, end + math.prod(shape) * (8 if _KINDS[name] == "I64" else 1)
        entries[name] = {"dtype": _KINDS[name], "shape": list(map(int, shape)), "data_offsets": [begin, end]}
    header = header_bytes(entries, meta)
    return header, {name: len(header) + entries[name]["data_offsets"][0] for name in shapes}


def _state(path: Path) -> dict[str, int]:
    """What changes when a file is replaced."""
    state = path.stat()
    return {"bytes": state.st_size, "mtime_ns": state.st_mtime_ns}


def _with_empty_channel(motion: Frame) -> Frame:
    """Shape: [n, h, w, 2] -> [n, h, w, 3]."""
    import cv2

    full = np.full((*motion.shape[:-1], 3), STILL, np.uint8)
    tall = [each.reshape(-1, *each.shape[2:]) for each in (motion, full)]  # [n * h, w, channels]
    cv2.mixChannels(tall[:1], tall[1:], [0, 1, 1, 2])  # NumPy takes three times as long
    return full


def _mapped(path: Path, tensor: str) -> Frame:
    """A tensor of a file whose header was found good before, where it lies on disk.

    Raises:
        VideoError: the file is gone or damaged since.
    """
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            entry = json.loads(file.read(length))[tensor]
            begin = 8 + length + int(entry["data_offsets"][0])
            return np.memmap(file, np.uint8, "r", begin, tuple(entry["shape"])).view(np.ndarray)
    except (OSError, ValueError, KeyError) as error:
        raise _unreadable(path, error) from error


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """A safetensors file, its header checked.

    Raises:
        VideoError: it is gone or damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            yield file
    except (SafetensorError, OSError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> VideoError:
    return VideoError(
        f"this cached video cannot be read ({error})"[:300], where=path, cure="start again: it is made anew"
    )
