"""Does an exported AR-Net do as PyTorch does? Each program on real frames, and the whole loop on real videos."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..arnet.candidates import candidates
from ..arnet.looks import use_views
from ..arnet.model import AdaptiveRecognition, AdaptiveRecognizer
from ..errors import VideoError, WeightError
from ..video import open_video
from . import control_loop
from .arnet import Program
from .check import Agreement, Progress, agreement, answers
from .runtime import ExportedProgram

_BATCH = 3
TIE = 1e-3
"""Nats. Where the two best actions are nearer than this, either may be taken."""


@dataclass(frozen=True)
class LoopAgreement:
    """The whole exported model, by its control loop, beside the engine on the same videos."""

    videos: int
    same_answers: float
    """Share of videos with the same most probable class."""
    same_actions: float
    """Share of videos of which every frame was treated alike."""
    parted: float
    """Of the videos that were treated otherwise: the largest lead, in nats, that the action taken had over the engine's
    where they parted. Below :data:`TIE` it was a tie."""
    scale: float
    """The engine's largest logit."""
    difference: float
    """Largest difference of a logit, over videos that were treated alike."""
    probability: float
    """Largest difference of a probability, over the same."""

    @property
    def relative(self) -> float:
        """The largest difference as a share of the scale."""
        return self.difference / max(self.scale, 1e-12)


def frames_of(videos: Sequence[Path], recognizer: AdaptiveRecognizer, most: int) -> list[np.ndarray]:
    """About ``most`` frames, spread over videos and each of them, as each network sees them.

    Shape of each: [N, S, S, 3], uint8.

    Raises:
        VideoError: no video, or one that cannot be read.
    """
    found: list[list[np.ndarray]] = [[] for _ in recognizer.options.views]
    for path in videos:
        with open_video(path) as video:
            for kept, views in zip(
                found, use_views(video, recognizer.options, math.ceil(most / len(videos))), strict=True
            ):
                kept.append(views)
    return [np.concatenate(views)[:most] for views in found]


def step_inputs(step: Program, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Features of frames in a row, and the state before each, as they come about.

    Shape: [N, C] -> [N, C], two of [N, D].
    """
    state, hidden, cell = [torch.zeros_like(each[:1]) for each in step.graph.example[1:]], [], []
    for row in features:
        hidden.append(state[0])
        cell.append(state[1])
        state = list(step.eager(row[None], *state)[:2])
    return features, torch.cat(hidden), torch.cat(cell)


def compare_programs(
    programs: Sequence[Program], paths: Sequence[Path], views: Sequence[np.ndarray], report: Progress | None = None
) -> dict[str, dict[str, Agreement]]:
    """Every program beside PyTorch on the same frames, one by one and in batches: for each output by its name.

    Args:
        programs: see :func:`.arnet.programs_of`.
        paths: their files.
        views: see :func:`frames_of`.
        report: called for each frame.
    """
    inputs: list[tuple[Tensor, ...]] = [
        (program.prepare(seen),) for program, seen in zip(programs[:-1], views, strict=True)
    ]
    policy = programs[-2]
    inputs.append(step_inputs(programs[-1], policy.eager(*inputs[-1])[0]))
    found = {}
    for program, path, given in zip(programs, paths, inputs, strict=True):
        exported = ExportedProgram(path, threads=torch.get_num_threads())
        batches = [[x[first : first + _BATCH] for x in given] for first in range(0, len(given[0]), _BATCH)]
        rows = answers(program.eager, exported.outputs, batches, report)
        found[program.name] = {
            name: agreement(expected, *others, logits=name.endswith("logits"))
            for name, (expected, *others) in zip(program.graph.outputs, rows, strict=True)
        }
    return found


def compare_loop(
    recognizer: AdaptiveRecognizer, folder: Path, videos: Sequence[Path], report: Progress | None = None
) -> LoopAgreement:
    """The control loop over the exported programs beside the engine.

    Args:
        recognizer: in PyTorch.
        folder: with ``model.json`` and its programs.
        videos: that both look at.
        report: called for each.

    Raises:
        VideoError: one of them cannot be read.
    """
    loaded, pairs = control_loop.load(folder), []
    for path in videos:
        (expected,) = recognizer.recognize_all([path])
        if isinstance(expected, VideoError):
            raise expected
        pairs.append((expected, _looped(loaded, recognizer, path)))
        if report:
            report()
    return _agreement(pairs)


Looped = tuple[np.ndarray, np.ndarray, list[tuple[int, int, np.ndarray]]]


def _looped(loaded: Any, recognizer: AdaptiveRecognizer, path: Path) -> Looped:
    """What the control loop says of a video, its frames decoded and scaled as the engine does."""
    with open_video(path) as video, video.picker() as pick:
        glass = recognizer.networks.glass(video.stored_size, video.rotation)
        wanted = candidates(video, recognizer.options.segments).tolist()
        last: dict[int, Any] = {}

        def look(position: int, size: int) -> np.ndarray:
            if position not in last:
                last.clear()
                last[position] = pick(position)
            return glass.view(last[position], size)

        return control_loop.recognize(loaded, wanted, look)


def _agreement(pairs: Sequence[tuple[AdaptiveRecognition, Looped]]) -> LoopAgreement:
    alike, same, parted, difference, probability = [], [], 0.0, 0.0, 0.0
    for expected, (probabilities, logits, done) in pairs:
        same.append(int(expected.probabilities.argmax()) == int(probabilities.argmax()))
        theirs = [(at, int(step.action or 0)) for at, step in enumerate(expected.steps) if step.consulted]
        ours = [(at, action) for at, action, _ in done]
        alike.append(theirs == ours)
        if alike[-1]:
            difference = max(difference, float(np.abs(expected.logits - logits).max()))
            probability = max(probability, float(np.abs(expected.probabilities - probabilities).max()))
        else:
            first = next(n for n, pair in enumerate(zip(theirs, ours, strict=False)) if pair[0] != pair[1])
            _, action, scores = done[first]
            parted = max(parted, float(scores[action] - scores[theirs[first][1]]))
    return LoopAgreement(
        videos=len(pairs),
        same_answers=float(np.mean(same)),
        same_actions=float(np.mean(alike)),
        parted=parted,
        scale=max(float(np.abs(expected.logits).max()) for expected, _ in pairs),
        difference=difference,
        probability=probability,
    )


def require_loop(found: LoopAgreement, where: Path, *, tolerance: float, least: float | None = None) -> None:
    """Refuse a model whose loop goes another way than the engine.

    Args:
        found: see :func:`compare_loop`.
        where: the folder that is not written, for the message.
        tolerance: see :data:`.check.TOLERANCE`.
        least: see :data:`.check.LEAST_AGREEMENT`; then only the share of the same answers counts.

    Raises:
        WeightError: it does.
    """
    if least is not None:
        if not found.same_answers >= least:
            problem = f"int8: of {found.videos} videos only {found.same_answers:.1%} get the answers of PyTorch"
            cure = "calibrate with more videos like those to come, lower --least-agreement, or leave --int8 out"
            raise WeightError(f"{problem}; wanted is {least:g} at least: not written", where=where, cure=cure)
        return
    if not found.parted <= TIE:
        problem = f"treats frames otherwise than PyTorch, and not for a tie ({found.parted:.1e} nats): not written"
        raise WeightError(problem, where=where, cure="try another --opset, or report this")
    if not found.relative <= tolerance:
        problem = f"disagrees with PyTorch on whole videos by {found.relative:.1e} of the largest logit"
        cure = "try another --opset, or report this"
        raise WeightError(f"{problem}, more than {tolerance:g}: not written", where=where, cure=cure)


def worst(found: Mapping[str, Agreement]) -> Agreement:
    """Of the outputs of a program: the one that is farthest off."""
    return max(found.values(), key=lambda each: each.relative)


def told(found: Mapping[str, Mapping[str, Agreement]], loop: LoopAgreement | None) -> dict[str, Any] | None:
    """The comparison as values for JSON."""
    if loop is None:
        return None
    programs = {
        name: {output: asdict(each) | {"relative": each.relative} for output, each in outputs.items()}
        for name, outputs in found.items()
    }
    return {"programs": programs, "loop": asdict(loop) | {"relative": loop.relative}}
