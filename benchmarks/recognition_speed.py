"""Recognition: what a head costs, how fast each backbone runs on a CPU, and how many answers stay the same.

    python -m benchmarks.recognition_speed [--write] [--rounds 3] [--frames 32] [--size 112] [--backbones NAMES…]

*Heads*: time of one pass and of one training step over 8 clips, and the bytes that wait for the backward pass.
*Backbones*: whole recognisers (BERT head, random weights: speed does not depend on them) through PyTorch, PyTorch with
channels last, ONNX Runtime, OpenVINO and OpenVINO in int8, in turns. Clips are smaller than the published ones, which
would take too long on two cores. *Answers*: I3D with its Kinetics-400 weights on the real clips of UT-Interaction: its
own answers, and those of a linear layer trained on set 1 and asked about set 2; int8 is calibrated on set 1.

Not measured: GPUs, accuracy of the other backbones (their weights cannot be had here), batches above one clip.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import geometric_mean, median

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.results import Section, data_folder, publish, table
from benchmarks.ut_interaction import FRAMES, SIZE, Clips, choose_penalty, interval, predict
from kinoscope.bert3d.heads import looks_at_places
from kinoscope.bert3d.network import Recognizer, build_classifier
from kinoscope.bert3d.options import HEADS, HeadName, HeadOptions
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
CLASSES, HEAD_CLIPS, TOKENS, WIDTH, PLACES = 51, 8, 8, 512, 7  # tokens of R(2+1)D-34 for 64 frames
SPEED_CALIBRATION, CALIBRATION = 2, 24  # clips: what int8 costs does not depend on how well it is calibrated
_PASSES = 10

Runner = Callable[[Tensor], Tensor]


# Heads ----------------------------------------------------------------------------------------------------------------


@dataclass
class HeadCost:
    """One head with its classifier."""

    network: nn.Module
    tokens: Tensor
    forward: list[float]
    """Milliseconds, by round."""
    step: list[float]

    def round(self) -> None:
        """Measure both once more."""
        self.network.eval()
        with torch.inference_mode():
            self.forward.append(milliseconds(lambda: self.network(self.tokens), _PASSES))
        self.network.train()
        self.step.append(milliseconds(lambda: self.network(self.tokens).sum().backward(), _PASSES))

    def kept(self) -> int:
        """Bytes that a forward pass in training keeps for the backward pass, parameters aside."""
        own = {parameter.data_ptr() for parameter in self.network.parameters()} | {self.tokens.data_ptr()}
        kept: dict[int, int] = {}

        def pack(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in own:
                kept[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            output = self.network.train()(self.tokens)
        del output
        return sum(kept.values())


def head_cost(name: HeadName) -> HeadCost:
    """A head with random weights, and random tokens."""
    torch.manual_seed(0)
    options = HeadOptions(head=name)
    grid = PLACES if looks_at_places(options) else 1
    shape = (HEAD_CLIPS, TOKENS, *((PLACES, PLACES) if grid > 1 else ()), WIDTH)
    return HeadCost(build_classifier(options, WIDTH, TOKENS, CLASSES, grid), torch.randn(shape), [], [])


def head_rows(rounds: int) -> list[dict[str, object]]:
    """A line per head; all are measured in turns."""
    costs = {name: head_cost(name) for name in HEADS if name != "bert-late"}  # it is for SlowFast alone
    for turn in range(rounds + 1):
        for cost in costs.values():
            cost.round()
            if not turn:  # warm-up
                cost.forward.clear()
                cost.step.clear()
    plain = costs["tgap"]
    rows: list[dict[str, object]] = []
    for name, cost in costs.items():
        line: dict[str, object] = {"head": name}
        line["parameters, M"] = f"{sum(p.numel() for p in cost.network.parameters()) / 1e6:.2f}"
        line["pass, ms"] = f"{median(cost.forward):.2f}"
        line["minus tgap, ms per clip"] = f"{difference(cost.forward, plain.forward) / HEAD_CLIPS:.2f}"
        line["training step, ms"] = f"{median(cost.step):.1f}"
        line["kept for backward, MB"] = f"{cost.kept() / 1e6:.2f}"
        rows.append(line)
    return rows


def difference(slow: Sequence[float], fast: Sequence[float]) -> float:
    """Median over rounds of paired differences."""
    return median(a - b for a, b in zip(slow, fast, strict=True))


def milliseconds(action: Callable[[], object], times: int) -> float:
    """Mean of ``times``."""
    begin = time.perf_counter()
    for _ in range(times):
        action()
    return 1e3 * (time.perf_counter() - begin) / times


# Backbones ------------------------------------------------------------------------------------------------------------


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


# Answers --------------------------------------------------------------------------------------------------------------


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
and computes in float32. The intervals are over the sequences of set 2, so that a clip or two between runtimes say nothing
about accuracy; the column of same answers does. Other work on the machine slows PyTorch more than the others.

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
    heads = head_rows(asked.rounds)
    times = {name: speeds(name, asked.frames, asked.size, asked.rounds) for name in asked.backbones}
    answers, same = answer_rows()
    body = "\n\n".join([table(heads), table([speed_row(*each) for each in times.items()]), table(answers)])
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
        advice=advice(list(times.values()), same),
    )
    title, command = "Recognition: cost of heads, speed of backbones", "python -m benchmarks.recognition_speed --write"
    publish(Section("recognition_speed", title, command, body, note), write=asked.write)


if __name__ == "__main__":
    main()
