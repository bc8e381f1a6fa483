"""Recognition: what a head costs, how fast each backbone runs on a CPU, and how many answers stay the same.

    python -m benchmarks.recognition_speed [--write] [--rounds 3] [--frames 32] [--size 112] [--backbones NAMES…]

*Heads*: time of one pass and of one training step over 8 clips, and the bytes that wait for the backward pass.
*Backbones*: whole recognisers (BERT head, random weights: speed does not depend on them) through PyTorch, PyTorch with
channels last, ONNX Runtime, OpenVINO and OpenVINO in int8, in turns. Clips are smaller than the published ones, which
would take too long on two cores. *Answers*: I3D with its Kinetics-400 weights on the real clips of UT-Interaction: its
own answers, and those of a linear layer trained on set 1 and asked about set 2; int8 is calibrated on set 1. On a
machine with a GPU a last table says what ``torch.compile`` brings there.

Not measured: accuracy of the other backbones (their weights cannot be had here), batches above one clip on a CPU.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import geometric_mean, median

import numpy as np
import torch
from torch import Tensor

from benchmarks.recognition_heads import (
    CLASSES,
    HEAD_CLIPS,
    TOKENS,
    WIDTH,
    HeadCost,
    difference,
    head_costs,
    head_rows,
    milliseconds,
)
from benchmarks.results import Section, data_folder, publish, table
from benchmarks.ut_interaction import FRAMES, SIZE, Clips, choose_penalty, interval, predict
from kinoscope.bert3d.network import Recognizer, build_classifier
from kinoscope.bert3d.options import HeadOptions
from kinoscope.encoders import encoder_spec, load_encoder
from kinoscope.encoders.backbones import build_backbone
from kinoscope.encoders.sampling import Sampling
from kinoscope.export.exportable import Exportable, folded, load_exportable
from kinoscope.export.onnx_file import write_onnx
from kinoscope.export.openvino_file import write_openvino
from kinoscope.export.runtime import ExportedModel
from kinoscope.video import open_video

BACKBONES = ("r2plus1d-18", "r2plus1d-34", "resnext3d-101", "i3d", "s3d", "slowfast-50")
RUNTIMES = ("PyTorch", "channels last", "ONNX Runtime", "OpenVINO", "OpenVINO int8")
SPEED_CALIBRATION, CALIBRATION = 2, 24  # clips: what int8 costs does not depend on how well it is calibrated
GPU_CLIPS = 8  # at a time
_PASSES = 10

Runner = Callable[[Tensor], Tensor]


def recognizer(name: str, frames: int, size: int) -> Exportable:
    """A whole recogniser with random weights."""
    torch.manual_seed(0)
    backbone = build_backbone(name).eval()
    with torch.inference_mode():
        maps = backbone(torch.zeros(1, 3, frames, size, size))  # [1, C, N, h, w]
    classifier = build_classifier(HeadOptions(), maps.shape[1], maps.shape[2], CLASSES)
    network = folded(Recognizer(backbone, classifier))
    spec = replace(encoder_spec("i3d-k400"), clip_length=frames, size=size)
    labels = tuple(map(str, range(CLASSES)))
    return Exportable(name, "whole", network, spec, prepared, "clip", "logits", labels)


def prepared(clip: np.ndarray) -> Tensor:
    """Shape: [T, S, S, 3] of bytes -> [1, 3, T, S, S]."""
    return (torch.from_numpy(clip)[None].movedim(-1, 1).float() - 127.5) / 127.5


def runners(source: Exportable, calibration: Sequence[np.ndarray], folder: Path) -> dict[str, Runner]:
    """The same network on every runtime, with as many threads as PyTorch has."""
    onnx, plain, int8 = folder / "a.onnx", folder / "a.xml", folder / "int8.xml"
    write_onnx(source, onnx)
    write_openvino(source, onnx, plain)
    write_openvino(source, onnx, int8, calibration=calibration)
    last = copy.deepcopy(source.network).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    paths = dict(zip(RUNTIMES[2:], (onnx, plain, int8), strict=True))
    files = {name: ExportedModel(path, threads=torch.get_num_threads()) for name, path in paths.items()}
    found: dict[str, Runner] = {
        "PyTorch": source.network,
        "channels last": lambda clip: last(clip.contiguous(memory_format=torch.channels_last_3d)),
    }
    return found | {name: _through(model) for name, model in files.items()}


def _through(model: ExportedModel) -> Runner:
    return lambda clip: torch.from_numpy(model(clip.numpy()))


def speeds(name: str, frames: int, size: int, rounds: int) -> dict[str, list[float]]:
    """Milliseconds of one clip by runtime and round; every round gives each runtime its turn."""
    rng = np.random.default_rng(0)
    clips = [rng.integers(0, 256, (frames, size, size, 3), np.uint8) for _ in range(SPEED_CALIBRATION)]
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        source = recognizer(name, frames, size)
        with torch.inference_mode(mode=False):
            found = runners(source, clips, Path(folder))
        clip, seconds = source.prepare(clips[0]).contiguous(), {runtime: [] for runtime in found}
        for turn in range(rounds + 1):
            for runtime, run in found.items():
                taken = milliseconds(lambda: run(clip), 1)  # noqa: B023 - called at once
                if turn:
                    seconds[runtime].append(taken)
    return seconds


def speed_row(name: str, taken: Mapping[str, Sequence[float]]) -> dict[str, object]:
    """Clips per second with PyTorch, and how many times faster the others are."""
    line: dict[str, object] = {"backbone": name, "PyTorch, clips/s": f"{1e3 / median(taken['PyTorch']):.2f}"}
    return line | {f"{runtime}, ×": f"{ratio(taken, runtime):.2f}" for runtime in RUNTIMES[1:]}


def ratio(taken: Mapping[str, Sequence[float]], runtime: str) -> float:
    """How many times faster than PyTorch: median over rounds of paired ratios."""
    return median(slow / fast for slow, fast in zip(taken["PyTorch"], taken[runtime], strict=True))


def gpu_row(name: str, frames: int, size: int, rounds: int) -> dict[str, object]:
    """Clips per second on a GPU, eight at a time, and how many times faster ``torch.compile`` makes them."""
    source = recognizer(name, frames, size)
    network = source.network.cuda()
    sides: dict[str, Runner] = {"plain": network, "compiled": torch.compile(network)}
    clips = torch.randn(GPU_CLIPS, 3, frames, size, size, device="cuda")
    taken: dict[str, list[float]] = {side: [] for side in sides}

    def timed(run: Runner) -> None:
        run(clips)
        torch.cuda.synchronize()

    with torch.inference_mode():
        for turn in range(rounds + 1):
            for side, run in sides.items():
                timed(run)  # compiles in the first turn
                found = milliseconds(lambda: timed(run), _PASSES)  # noqa: B023 - called at once
                if turn:
                    taken[side].append(found)
    line: dict[str, object] = {"backbone": name, "GPU": torch.cuda.get_device_name()}
    line["PyTorch, clips/s"] = f"{1e3 * GPU_CLIPS / median(taken['plain']):.1f}"
    ratios = [plain / compiled for plain, compiled in zip(taken["plain"], taken["compiled"], strict=True)]
    return line | {"torch.compile, ×": f"{median(ratios):.2f}"}


def ut_clips(folder: Path) -> tuple[list[np.ndarray], Tensor, np.ndarray]:
    """Frames spread over each clip, classes, sequences. Shape of each: [T, S, S, 3]."""
    files = sorted(folder.glob("*.avi"))
    clips = []
    for path in files:
        with open_video(path) as video:
            positions = np.linspace(0, len(video) - 1, FRAMES).round().astype(int)
            clips.append(video.frames_by_index(positions, size=SIZE).frames)
    parts = [path.stem.split("_") for path in files]  # index_sequence_class
    return clips, torch.tensor([int(part[2]) for part in parts]), np.array([int(part[1]) for part in parts])


def answer_rows() -> tuple[list[dict[str, object]], dict[str, float]]:
    """A line per runtime: how many answers are those of PyTorch, and how many are right; the former by runtime."""
    source = load_exportable("i3d-k400", "encoder", Sampling(clip_length=FRAMES, size=SIZE))
    classify = load_encoder("i3d-k400", device="cpu", runtime="torch").classify
    folder = data_folder() / "ut_interaction"
    (train, labels, groups), (test, truths, sequences) = (ut_clips(folder / name) for name in ("set1", "set2"))
    with tempfile.TemporaryDirectory() as temporary:
        found = runners(source, train[:: max(1, len(train) // CALIBRATION)], Path(temporary))
        with torch.inference_mode():
            known = torch.cat([found["PyTorch"](source.prepare(clip)) for clip in train])  # [N, C]
            seen = {name: torch.cat([run(source.prepare(clip)) for clip in test]) for name, run in found.items()}
            answers = {name: classify(features).argmax(dim=1) for name, features in seen.items()}
    fitted = Clips(known.clone(), labels, groups)
    penalty = choose_penalty(fitted)
    rows, same = [], {}
    plain = predict(fitted, Clips(seen["PyTorch"].clone(), truths, sequences), penalty)
    for name, features in seen.items():
        given = predict(fitted, Clips(features.clone(), truths, sequences), penalty)
        same[name] = float((answers[name] == answers["PyTorch"]).double().mean())
        rows.append(_answer_row(name, same[name], given, plain, truths, sequences))
    return rows, same


def _answer_row(
    name: str, same: float, given: Tensor, plain: Tensor, truths: Tensor, sequences: np.ndarray
) -> dict[str, object]:
    right = (given == truths).numpy()
    low, high = interval(right, sequences)
    return {
        "runtime": name,
        "same Kinetics-400 answer": f"{100 * same:.1f} %",
        "same answer of the layer": f"{100 * (given == plain).double().mean():.1f} %",
        "accuracy set 1 → set 2": f"{100 * right.mean():.1f} %",
        "95 % interval": f"{100 * low:.1f} – {100 * high:.1f}",
    }


def overhead(heads: Mapping[str, HeadCost], times: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    """What the BERT head adds to a clip, as a share of the cheapest backbone's time."""
    cost = difference(heads["bert"].forward, heads["tgap"].forward) / HEAD_CLIPS
    name, least = min(((name, median(taken["PyTorch"])) for name, taken in times.items()), key=lambda pair: pair[1])
    return f"The BERT head adds {cost:.2f} ms to a clip: {100 * cost / least:.1f} % of what {name} takes in PyTorch."


def advice(times: Sequence[Mapping[str, Sequence[float]]], same: Mapping[str, float]) -> str:
    """The default for a CPU, by what was measured: the fastest runtime whose answers are all PyTorch's."""
    gains = {name: geometric_mean([ratio(taken, name) for taken in times]) for name in RUNTIMES}
    exact = [name for name in RUNTIMES if same.get(name, 0.0) == 1.0]
    best = max(exact, key=gains.__getitem__)
    text = f"By these tables the default for a CPU is **{best}**: {gains[best]:.1f} times PyTorch (geometric mean)"
    text += " with all answers the same."
    fastest = max(RUNTIMES, key=gains.__getitem__)
    if fastest != best:
        text += f" {fastest} reaches {gains[fastest]:.1f} times and gives {100 * same[fastest]:.0f} % of the same"
        text += " Kinetics-400 answers: for those who checked it on clips of their own (`kinoscope export --int8`)."
    return text


NOTE = """\
Heads: {clips} clips of {tokens} tokens x {width} channels, {classes} classes; heads that look at places get 7 x 7. All
but tgap and concat have as many parameters as bert. "Kept" is what a training step holds until its backward pass beside
weights. Backbones: one clip of {frames} frames of {size} px at a time, "×" is how much faster than PyTorch in the same
round; random weights. Answers: {ut_frames} frames spread over each clip of UT-Interaction at {ut_size} px; the 60 clips
of set 2, int8 calibrated on {calibration} clips of set 1; the linear layer is trained on PyTorch's features of set 1
and computes in float32. The intervals are over the sequences of set 2: a clip or two between runtimes say nothing about
accuracy, the column of same answers does. Other work on the machine slows PyTorch more than the others.

{advice}"""


def main() -> None:
    """Print the tables; ``--write`` puts them into the document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--backbones", nargs="+", default=BACKBONES)
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--size", type=int, default=112)
    asked = parser.parse_args()
    heads = head_costs(asked.rounds)
    times = {name: speeds(name, asked.frames, asked.size, asked.rounds) for name in asked.backbones}
    answers, same = answer_rows()
    tables = [head_rows(heads), [speed_row(*each) for each in times.items()], answers]
    if torch.cuda.is_available():
        tables.append([gpu_row(name, asked.frames, asked.size, asked.rounds) for name in asked.backbones])
    body = "\n\n".join(map(table, tables))
    note = NOTE.format(
        clips=HEAD_CLIPS,
        tokens=TOKENS,
        width=WIDTH,
        classes=CLASSES,
        frames=asked.frames,
        size=asked.size,
        ut_frames=FRAMES,
        ut_size=SIZE,
        calibration=CALIBRATION,
        advice=textwrap.fill(f"{overhead(heads, times)} {advice(list(times.values()), same)}", 120),
    )
    title, command = "Recognition: cost of heads, speed of backbones", "python -m benchmarks.recognition_speed --write"
    publish(Section("recognition_speed", title, command, body, note), write=asked.write)


if __name__ == "__main__":
    main()
