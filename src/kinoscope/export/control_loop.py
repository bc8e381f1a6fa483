"""The control loop of an exported AR-Net: NumPy and one runtime, nothing else. Every export has it in its README.md."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np


def program(path: Path) -> Callable[..., list[Any]]:
    """A file as a function: inputs by name -> outputs in order."""
    if path.suffix == ".onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        return lambda **inputs: session.run(None, inputs)
    import openvino

    compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda **inputs: [value.copy() for value in compiled(inputs).to_tuple()]


def load(folder: str | Path) -> tuple[dict[str, Any], list[Callable[..., list[Any]]], Callable[..., list[Any]]]:
    """What model.json says, the networks of frames (the policy's is the last), and the policy's step."""
    model = json.loads(Path(folder, "model.json").read_text(encoding="utf-8"))
    networks = [program(Path(folder, each["file"])) for each in model["networks"]]
    return model, networks, program(Path(folder, model["step"]["file"]))


def candidates(frames: int, segments: int) -> list[int]:
    """Which of a video's frames may be looked at, counted from 0: the middle one of each segment."""
    if frames <= segments:
        return [min(k, frames - 1) for k in range(segments)]
    return [(2 * k + 1) * frames // (2 * segments) for k in range(segments)]


def softmax(z: np.ndarray) -> np.ndarray:
    """Shape: [N] -> [N]."""
    exponentials = np.exp(z - z.max())
    return exponentials / exponentials.sum()


def recognize(
    loaded: tuple[Any, Any, Any], wanted: Sequence[int], look: Callable[[int, int], np.ndarray], bias: float = 0.0
) -> tuple[np.ndarray, np.ndarray, list[tuple[int, int, np.ndarray]]]:
    """Probabilities [K], logits [K], and for each look of the policy: which candidate, which action, all scores [A].

    ``look(frame, size)`` gives the central square of a frame, [size, size, 3] of 0 … 255, red first.
    """
    model, networks, step = loaded

    def see(number: int, frame: int) -> list[Any]:
        facts = model["networks"][number]
        pixels = (look(frame, facts["size"]) - np.float32(facts["mean"])) / np.float32(facts["std"])  # [S, S, 3]
        return networks[number](frames=np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], np.float32))

    gmac = np.array([action["gmac"] for action in model["actions"]], np.float32)  # [A]
    hidden = cell = np.zeros((1, model["step"]["hidden"]), np.float32)
    answers, done, own, t = [], [], None, 0
    while t < len(wanted):
        features = see(-1, wanted[t])[0]
        hidden, cell, logits, own = step(features=features, hidden=hidden, cell=cell)
        scores = np.log(np.maximum(softmax(logits[0]), 1e-8)) - np.float32(bias) * gmac
        action = model["actions"][int(scores.argmax())]
        if action["network"] is not None:
            answers.append(see(action["network"], wanted[t])[1])  # features, logits
        elif action["skip"] == 0:
            answers.append(own)  # the policy's own answer
        done.append((t, int(scores.argmax()), scores))
        t += max(1, action["skip"])  # what is skipped is never decoded
    mean = np.mean(answers or [own], axis=0)[0].astype(np.float64)
    return softmax(mean / model["temperature"]), mean, done
