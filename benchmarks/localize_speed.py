"""``kinoscope localize`` with EfficientNet-Lite0 features: faster than real time, in memory that hardly grows?

    python -m benchmarks.localize_speed [--write] [--minutes 1 60] [VIDEO]

Runs the real command in a process of its own and asks the system for its peak memory. The long video is a short one
repeated: its packets are copied, not encoded again. The head has random weights: then every point is a candidate, and
suppression has the most to do that the options allow.

Not measured: other encoders (see ``benchmarks.extraction``), GPUs, videos read over a network.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import av

from benchmarks.results import Section, data_folder, publish, table

ENCODER = "efficientnet-lite0"
SOURCE = "clips/mmaction2_demo_armwrestling.mp4"
MEGABYTE = 2**20
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes


def repeat(source: Path, target: Path, seconds: float) -> float:
    """Write ``source`` again and again, at least ``seconds`` long, without encoding; returns the length in seconds."""
    with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
        stream = reader.streams.video[0]
        base = stream.time_base
        assert base is not None
        packets = [packet for packet in reader.demux(stream) if packet.size]
        length = sum(packet.duration or 0 for packet in packets)  # of one round, in ticks
        out = writer.add_stream_from_template(stream)
        rounds = -(-seconds // float(length * base))
        for shift in range(0, int(rounds) * length, length):
            for packet in packets:
                copy = av.Packet(bytes(packet))
                copy.pts, copy.dts = (None if t is None else t + shift for t in (packet.pts, packet.dts))
                copy.duration, copy.time_base, copy.stream = packet.duration, base, out
                copy.is_keyframe = packet.is_keyframe
                writer.mux(copy)
    return float(rounds * length * base)


def save_random_head(folder: Path) -> None:
    """A model of untrained weights; runs in a process of its own, because PyTorch would stay in this one's memory."""
    import torch

    from kinoscope.data.feature_spec import FeatureSpec
    from kinoscope.encoders import encoder_spec
    from kinoscope.localize.localizer import Localizer
    from kinoscope.localize.network import ActionFormer
    from kinoscope.localize.options import ActionFormerOptions

    torch.manual_seed(0)
    spec = encoder_spec(ENCODER)
    features = FeatureSpec(spec.width, spec.fps, spec.stride, spec.clip_length, spec.tag, spec.weights.hash)
    network = ActionFormer(ActionFormerOptions.small(spec.width, classes=5))
    Localizer(network, [f"class {number}" for number in range(5)], features).save(folder)


def measure(video: Path, model: Path, out: Path) -> tuple[float, float]:
    """Seconds and peak memory in MB of one ``kinoscope localize``, its start included."""
    command = [
        sys.executable,
        "-m",
        "kinoscope.cli.main",
        "localize",
        str(video),
        "--model",
        str(model),
        "-o",
        str(out),
    ]
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"kinoscope localize failed on {video}")
    return time.perf_counter() - begin, usage.ru_maxrss * _RSS_UNIT / MEGABYTE


NOTE = """\
The whole command, from its start to the written file, at default settings; the first run on a machine, which converts
the network for OpenVINO, is not counted. The memory of a long video grows by its features (1,280 numbers for each of 8
rows a second: 147 MB an hour); decoding, encoding and the head work in pieces of fixed size. The video is 340 x 256
pixels: larger ones take longer to decode, not to encode."""


def main() -> None:
    """Print the table; ``--write`` puts it into the document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--minutes", type=float, nargs="+", default=[1, 60])
    parser.add_argument("video", type=Path, nargs="?")
    asked = parser.parse_args()
    source = asked.video or data_folder() / SOURCE
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            pool.submit(save_random_head, folder / "model").result()
        repeat(source, folder / "first.mp4", 1)
        measure(folder / "first.mp4", folder / "model", folder / "found.json")
        least = 0.0
        for minutes in asked.minutes:
            length = repeat(source, folder / "long.mp4", 60 * minutes)
            seconds, memory = measure(folder / "long.mp4", folder / "model", folder / "found.json")
            least = least or memory
            row: dict[str, object] = {
                "video": f"{length:.0f} s",
                "took": f"{seconds:.1f} s",
                "× real time": f"{length / seconds:.1f}",
            }
            rows.append(row | {"peak memory": f"{memory:.0f} MB", "above the first": f"{memory - least:+.0f} MB"})
    title = f"`kinoscope localize` with {ENCODER}: speed and memory"
    publish(
        Section("localize_speed", title, "python -m benchmarks.localize_speed --write", table(rows), NOTE),
        write=asked.write,
    )


if __name__ == "__main__":
    main()
