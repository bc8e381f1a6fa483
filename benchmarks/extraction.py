"""Extraction: what share of the time goes to decoding, encoding and waiting, with PyTorch and with OpenVINO.

    python -m benchmarks.extraction [--write] [--rounds 3] [VIDEO]

Decoding runs in a thread beside the encoder. Each round measures both runtimes in turn, so that a busy machine slows
both; the ratio is the median over rounds. "Waiting" is what the encoder spends without frames: it should be near 0,
because then a faster decoder would gain nothing. Features of the two runtimes are compared row by row.

Not measured: GPUs, several processes, bfloat16.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Literal

import numpy as np

from benchmarks.localize_speed import SOURCE, repeat
from benchmarks.results import Section, data_folder, publish, table
from kinoscope.encoders import extract_features, load_encoder
from kinoscope.encoders.extract import Effort

SECONDS = {"efficientnet-lite0": 60, "i3d-k400": 10}  # of video, by encoder: about equally long to encode
Run = Literal["torch", "openvino"]
RUNTIMES: tuple[Run, ...] = ("torch", "openvino")


@dataclass
class Measured:
    """All rounds of one encoder on one runtime."""

    efforts: list[Effort]
    features: np.ndarray

    def share(self, part: str) -> float:
        """Median share of the wall-clock time."""
        return median(getattr(effort, part) / effort.total for effort in self.efforts)

    @property
    def speed(self) -> float:
        """Median seconds of video per second."""
        return median(effort.video_seconds / effort.total for effort in self.efforts)


def measure(encoder: str, video: Path, rounds: int) -> dict[Run, Measured]:
    """Rounds in which every runtime has its turn; one more before them warms up and is not counted."""
    loaded = {runtime: load_encoder(encoder, device="cpu", runtime=runtime) for runtime in RUNTIMES}
    found = {}
    for turn in range(rounds + 1):
        for runtime in RUNTIMES:
            effort = Effort()
            features = extract_features(video, loaded[runtime], effort=effort)
            if not turn:
                found[runtime] = Measured([], features.values)
            else:
                found[runtime].efforts.append(effort)
    return found


def rows(encoder: str, found: dict[Run, Measured]) -> list[dict[str, object]]:
    """A line per runtime."""
    plain = found["torch"]
    lines: list[dict[str, object]] = []
    for runtime, each in found.items():
        pairs = zip(plain.efforts, each.efforts, strict=True)
        ratio = median(slow.encoding / fast.encoding for slow, fast in pairs)
        line: dict[str, object] = {"encoder": encoder, "runtime": runtime, "× real time": f"{each.speed:.2f}"}
        line |= {part: f"{100 * each.share(part):.1f} %" for part in ("encoding", "waiting", "decoding")}
        difference = np.abs(each.features - plain.features).max()
        line["encodes, × torch"] = f"{ratio:.2f}"
        line["largest difference"] = f"{difference:.1e}" if runtime != "torch" else ""
        line["largest feature"] = f"{np.abs(plain.features).max():.2f}"
        lines.append(line)
    return lines


NOTE = """\
Shares of the wall-clock time at default settings, medians of the rounds. Decoding happens beside encoding, so that the
shares add up to more than 100 %; both use the same cores. The encoder is the bottleneck as long as "waiting" is near 0.
The video is 340 x 256 pixels, H.264; larger ones cost more to decode. "Encodes, × torch" is how much faster the runtime
encodes than PyTorch in the same round; the last columns say how far its features are from PyTorch's, and how large
features are. Other work on the machine slows PyTorch more than OpenVINO, so that the ratio grows with the load: about
4 and 1.8 were seen when little else ran, 6.9 and 2.4 with twice as many programs as cores. `--runtime auto` takes
OpenVINO where it is installed."""


def main() -> None:
    """Print the table; ``--write`` puts it into the document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("video", type=Path, nargs="?")
    asked = parser.parse_args()
    lines = []
    with tempfile.TemporaryDirectory() as temporary:
        video = Path(temporary, "video.mp4")
        for encoder, seconds in SECONDS.items():
            repeat(asked.video or data_folder() / SOURCE, video, seconds)
            lines += rows(encoder, measure(encoder, video, asked.rounds))
    title = "Extraction: decoding, encoding, waiting"
    publish(
        Section("extraction", title, "python -m benchmarks.extraction --write", table(lines), NOTE), write=asked.write
    )


if __name__ == "__main__":
    main()
