"""Decoding at 112 px, ours beside plain PyAV, OpenCV and torchcodec: 16 frames spread over a clip, and a whole file.

    python -m benchmarks.decode [--write] [VIDEOS ...]

Every round runs all readers on all files in turn, so that a busy machine slows all of them; the table gives medians and
the ratio of the best other reader's time to ours (above 1: ours is faster). Run with video files as arguments, else the
real clips beside the repository are taken, else made ones.

Not compared: hardware decoders, several processes. The readers' scaling filters differ: OpenCV's takes 2 x 2 pixels
only, ours and plain PyAV's as many as the reduction covers.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from benchmarks.results import Section, publish, table
from kinoscope.video import open_video

SIZE = 112
FRAMES = 16
ROUNDS = 9
REAL = [
    "clips/mmaction2_demo_armwrestling.mp4",
    "clips/mmaction2_test.mp4",
    "clips/v_BaseballPitch_g01_c01.avi",
    "urfd/videos/adl-01-cam0.mp4",
]

# A reader takes a path and the positions to read, or None for all, and gives the pictures one by one.
Reader = Callable[[Path, "list[int] | None"], Iterator[Any]]


def ours(path: Path, positions: list[int] | None) -> Iterator[Any]:
    with open_video(path) as video:
        if positions is None:
            yield from (frame for frame, _ in video.stream(size=(SIZE, SIZE)))
        else:
            yield from video.frames_by_index(positions, size=(SIZE, SIZE)).frames


def plain_pyav(path: Path, positions: list[int] | None) -> Iterator[Any]:
    """The best short use: codec threads, one scaling context without threads of its own, no frame converted in vain."""
    wanted, last = (None, None) if positions is None else (set(positions), max(positions))
    reformatter = VideoReformatter()
    with av.open(str(path)) as container:
        container.streams.video[0].thread_type = "AUTO"
        for position, frame in enumerate(container.decode(video=0)):
            if wanted is None or position in wanted:
                yield reformatter.reformat(frame, SIZE, SIZE, "rgb24", threads=1).to_ndarray()
            if position == last:
                return


def opencv(path: Path, positions: list[int] | None) -> Iterator[Any]:
    import cv2

    wanted, last = (None, None) if positions is None else (set(positions), max(positions))
    capture, position = cv2.VideoCapture(str(path)), 0
    while capture.grab() and (last is None or position <= last):
        if wanted is None or position in wanted:
            frame = cv2.resize(capture.retrieve()[1], (SIZE, SIZE))
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
        position += 1
    capture.release()


def opencv_seeking(path: Path, positions: list[int] | None) -> Iterator[Any]:
    import cv2

    capture = cv2.VideoCapture(str(path))
    for position in positions or []:
        capture.set(cv2.CAP_PROP_POS_FRAMES, position)
        yield cv2.cvtColor(cv2.resize(capture.read()[1], (SIZE, SIZE)), cv2.COLOR_BGR2RGB)
    capture.release()


def torchcodec(path: Path, positions: list[int] | None) -> Iterator[Any]:
    from torchcodec.decoders import VideoDecoder

    decoder = VideoDecoder(str(path), dimension_order="NHWC", seek_mode="approximate")
    positions = list(range(len(decoder))) if positions is None else positions
    import torch.nn.functional as F

    for frame in decoder.get_frames_at(positions).data.split(1):
        yield F.interpolate(frame.permute(0, 3, 1, 2), (SIZE, SIZE), mode="bilinear")


def readers(positions: list[int] | None) -> dict[str, Reader]:
    """Those that are installed here."""
    found: dict[str, Reader] = {"kinoscope": ours, "pyav": plain_pyav}
    for module, name, reader in (
        ("cv2", "opencv", opencv),
        ("cv2", "opencv seeking", opencv_seeking),
        ("torchcodec.decoders", "torchcodec", torchcodec),
    ):
        try:
            __import__(module)
        except Exception:  # torchcodec fails with what its libraries raise
            continue
        if positions is not None or reader is not opencv_seeking:
            found[name] = reader
    return found


def compare(path: Path, task: str, positions: list[int] | None, rounds: int = ROUNDS) -> dict[str, Any]:
    """One row: medians in milliseconds by reader, and how many times longer the best other reader takes."""
    contestants = readers(positions)
    spent: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(rounds + 1):  # the first round warms caches and is not counted
        for name in np.roll(list(contestants), turn).tolist():
            start = time.perf_counter()
            count = sum(1 for _ in contestants[name](path, positions))
            if turn:
                spent[name].append((time.perf_counter() - start) * 1e3)
            assert count, f"{name} read nothing from {path}"
    row: dict[str, Any] = {"file": path.name, "task": task} | {name: median(each) for name, each in spent.items()}
    others = {name: row[name] for name in contestants if name != "kinoscope"}
    row["best other"] = min(others, key=others.__getitem__)
    row["ratio"] = median(np.divide(spent[row["best other"]], spent["kinoscope"]).tolist())
    return row


def files() -> list[Path]:
    """The files named on the command line, else the real clips, else made ones."""
    named = [Path(argument) for argument in sys.argv[1:] if not argument.startswith("-")]
    folder = Path(os.environ.get("KINOSCOPE_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    real = [folder / name for name in REAL if (folder / name).is_file()]
    return named or real or [made(Path(tempfile.mkdtemp()))]


def made(folder: Path, frames: int = 300) -> Path:
    """A short video that needs nothing but PyAV."""
    path, noise = folder / "made.mp4", np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        scene = noise.integers(0, 256, (30, 140, 3), np.uint8).repeat(8, axis=0).repeat(8, axis=1)  # [240, 1120, 3]
        for shift in range(frames):
            picture = np.ascontiguousarray(scene[:, 2 * shift : 2 * shift + 320])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def rows() -> list[dict[str, Any]]:
    """Two rows per file."""
    table = []
    for path in files():
        with open_video(path) as video:
            positions = np.linspace(0, len(video) - 1, FRAMES).astype(int).tolist()
        table += [compare(path, "16 frames", positions), compare(path, "whole file", None)]
    return table


NOTE = """\
Milliseconds, medians of the rounds; the readers take turns. "Ratio" is the time of the best other reader over ours,
the median over rounds, not the ratio of the medians: above 1, ours is faster; within 0.05 of 1 it is a draw. Ours also
reads the timestamps of the whole file and is exact to the frame; the others are given the frame numbers and need no
more. "OpenCV seeking" may land on other frames. Scaling filters differ: OpenCV's takes 2 x 2 pixels, ours and PyAV's as
many as the reduction covers. Readers that are not installed on the machine are not in the table."""


def line(row: dict[str, Any]) -> dict[str, object]:
    """A measured row as it is shown: the ratio in front of the times."""
    shown: dict[str, object] = {key: row[key] for key in ("file", "task", "best other")} | {
        "ratio": f"{row['ratio']:.2f}"
    }
    times = {f"{key} ms": f"{value:.1f}" for key, value in row.items() if isinstance(value, float) and key != "ratio"}
    return shown | times


def main() -> None:
    """Print the table; ``--write`` puts it into the document."""
    title, command = f"Decoding at {SIZE} px", "python -m benchmarks.decode --write"
    body = table([line(row) for row in rows()])
    publish(Section("decode", title, command, body, NOTE), write="--write" in sys.argv[1:])


if __name__ == "__main__":
    main()
