"""What computes AR-Net fastest on a CPU, and how it answers: PyTorch, ONNX Runtime, OpenVINO, also in eight bits.

A model of UT-Interaction (fold 0 of ``benchmarks.arnet``) is exported, and every runtime takes the place of its
networks in the real engine. Every test video is looked at by all of them in turns, alone and in groups.

    python -m benchmarks.arnet_runtimes --write
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kinoscope.arnet.model import AdaptiveRecognition, AdaptiveRecognizer, load_adaptive
from kinoscope.arnet.networks import Forward
from kinoscope.data.labelled_clips import LabelledClip
from kinoscope.errors import VideoError
from kinoscope.export import exported_networks
from kinoscope.export.arnet_write import export_adaptive

from .arnet import trained
from .results import ROOT, Section, data_folder, publish, table

_TOGETHER = 16
_CALIBRATED = 24  # training videos


def models_of(folder: Path, calibration: Sequence[Path], cache: Path) -> dict[str, AdaptiveRecognizer]:
    """The same model on every runtime."""
    kinds: dict[str, dict[str, Any]] = {
        "onnx": {"to": "onnx"},
        "openvino": {"to": "openvino"},
        "int8": {"to": "openvino", "calibration": calibration, "least_agreement": 0.0},
    }
    source = load_adaptive(folder, device="cpu", runtime="torch")
    replaced: dict[str, Mapping[int, Forward]] = {}
    for name, options in kinds.items():
        out = cache / f"runtime-{name}"
        if not out.is_dir():
            export_adaptive(source, out, quiet=True, **options)
        replaced[name] = exported_networks(out, threads=torch.get_num_threads())
    found = {"PyTorch": source}
    titles = {"onnx": "ONNX Runtime", "openvino": "OpenVINO", "int8": "OpenVINO, backbones in int8"}
    for name, title in titles.items():
        found[title] = load_adaptive(folder, device="cpu", runtime="torch", replaced=replaced[name])
    return found


def measured(
    models: Mapping[str, AdaptiveRecognizer], clips: Sequence[LabelledClip], rounds: int
) -> dict[str, dict[str, Any]]:
    """Seconds of every runtime, alone and together, and its answers."""
    found: dict[str, dict[str, Any]] = {name: {"alone": [], "together": []} for name in models}
    paths = [clip.path for clip in clips]
    groups = [paths[first : first + _TOGETHER] for first in range(0, len(paths), _TOGETHER)]
    for number in range(rounds + 1):  # the first round only makes ready
        for path in paths:
            for name, model in models.items():
                took, answers = _timed(lambda model=model, path=path: model.recognize_all([path]))
                if number:
                    found[name]["alone"].append(took)
                elif not isinstance(answers[0], VideoError):
                    found[name].setdefault("answers", []).append(answers[0])
        for group in groups:
            for name, model in models.items():
                took, _ = _timed(lambda model=model, group=group: model.recognize_all(group))
                if number:
                    found[name]["together"].append(took)
    return found


def _timed(look: Callable[[], list[Any]]) -> tuple[float, list[Any]]:
    begin = time.perf_counter()
    answers = look()
    return time.perf_counter() - begin, answers


def rows_of(found: Mapping[str, Mapping[str, Any]], truth: np.ndarray, clips: int, rounds: int) -> list[dict[str, str]]:
    """The table."""
    first: list[AdaptiveRecognition] = found["PyTorch"]["answers"]
    base = {way: sum(found["PyTorch"][way]) for way in ("alone", "together")}
    rows = []
    for name, each in found.items():
        answers: list[AdaptiveRecognition] = each["answers"]
        pairs = list(zip(answers, first, strict=True))
        same = np.mean([a.probabilities.argmax() == b.probabilities.argmax() for a, b in pairs])
        looked = np.mean([_actions(a) == _actions(b) for a, b in pairs])
        right = np.mean([a.probabilities.argmax() == number for a, number in zip(answers, truth, strict=True)])
        alone = np.array(each["alone"])
        rows.append(
            {
                "networks on": name,
                "ms alone: p50 / p95": f"{1000 * np.median(alone):.0f} / {1000 * np.quantile(alone, 0.95):.0f}",
                "× PyTorch, alone": f"{base['alone'] / sum(each['alone']):.2f}",
                f"ms a video, {_TOGETHER} together": f"{1000 * sum(each['together']) / clips / rounds:.0f}",
                "× PyTorch, together": f"{base['together'] / sum(each['together']):.2f}",
                "accuracy, %": f"{100 * right:.1f}",
                "same answers, %": f"{100 * same:.1f}",
                "same actions on every frame, %": f"{100 * looked:.0f}",
            }
        )
    return rows


def _actions(answer: AdaptiveRecognition) -> list[int | None]:
    return [step.action for step in answer.steps]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cache", type=Path, default=ROOT / "results-cache" / "arnet")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    arnet, _, _ = trained("people", 0, data_folder(), options.cache)
    folder = options.cache / "runtime-model"
    arnet.recognizer.save(folder)
    test, parts = arnet.parts.test, arnet.parts
    models = models_of(folder, [clip.path for clip in parts.train[:_CALIBRATED]], options.cache)
    found = measured(models, test, options.rounds)
    rows = rows_of(found, parts.numbers(test), len(test), options.rounds)
    note = (
        f"{len(test)} test videos of UT-Interaction, {options.rounds} rounds in turns, from file to label, decoding "
        "included. In eight bits only convolutions of the backbones compute so, calibrated on frames of training "
        "videos; the policy is exact. No GPU was at hand."
    )
    command = "python -m benchmarks.arnet_runtimes --write"
    section = Section("arnet_runtimes", "AR-Net: runtimes on a CPU", command, table(rows), note)
    publish(section, write=options.write)


if __name__ == "__main__":
    main()
