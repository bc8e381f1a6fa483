"""AR-Net beside its baselines: trained with the same effort, and measured on the same videos, on the clock, in turns.

Source: AR-Net sheet, sections 8 and 9 (tune the baseline first) and 11 (report where the time goes).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ..data.labelled_clips import LabelledClip
from ..engine.resume import run_position
from ..errors import VideoError
from ..progress import progress
from .baselines import BASELINES, Baseline, BaselineTask, DenseRunner, build_baseline, heads_of, tuned_rates
from .costs import Spent
from .model import AdaptiveRecognizer, build_network
from .networks import Networks
from .spending import Setting, Spending
from .train import Run, standardize

_MOST_SETTINGS = 4
Look = Callable[[LabelledClip], tuple[Tensor, Spent]]
"""A clip -> logits [K], and what it took."""


@dataclass(frozen=True)
class Contestant:
    """One method at one setting."""

    method: str
    setting: str
    look: Look


@dataclass(frozen=True)
class Measured:
    """What came of one contestant."""

    method: str
    setting: str
    logits: np.ndarray
    """Of every clip. Shape: [N, K]."""
    spent: tuple[Spent, ...]
    """For every clip. Shape: [N]."""

    @property
    def gmac(self) -> float:
        """Mean of a video."""
        return float(np.mean([each.gmac for each in self.spent]))

    @property
    def seconds(self) -> np.ndarray:
        """On the clock, for every clip. Shape: [N]."""
        return np.array([each.total_seconds for each in self.spent])

    @property
    def shares(self) -> dict[str, float]:
        """Mean seconds of decoding, of the policy and of each backbone."""
        names = dict.fromkeys(name for each in self.spent for name in each.seconds)
        return {name: float(np.mean([each.seconds.get(name, 0.0) for each in self.spent])) for name in names}


def train_baselines(run: Run, kinds: Sequence[Baseline] = BASELINES) -> dict[Baseline, nn.Module]:
    """Every baseline on the looks of ``run``, at the learning rate that is best on its validation clips.

    Trainings that are done already are not repeated.
    """
    found: dict[Baseline, nn.Module] = {}
    for kind in kinds:
        if kind.startswith("uniform-") and int(kind.partition("-")[2]) > len(run.options.sizes):
            continue
        tried: list[tuple[tuple[float, float], nn.Module]] = []
        for number, rate in enumerate(tuned_rates(run.training)):
            network = build_baseline(kind, run.options, len(run.parts.classes), run.nets_or_stubs())
            if run.nets is None:
                standardize(heads_of(network, len(run.options.views)), run.looks, run.parts.train)
            task = BaselineTask(network, *run.learned_from(), rate=rate)
            name = f"{kind}-{number}"
            answer = run.fit(task, name, run.training.single_epochs, f"{kind}, rate {number + 1} of 3")
            metrics = run_position(run.out / "stages" / name).get("metrics", {})
            best = (metrics.get("validation_score", 0.0), -metrics.get("validation_loss", 0.0))
            tried.append((best, answer))
        found[kind] = max(tried, key=lambda each: each[0])[1]
    return found


def contestants(model: AdaptiveRecognizer, baselines: Mapping[Baseline, nn.Module], run: Run) -> list[Contestant]:
    """AR-Net as it was trained and along its curve, with early exit; every baseline; UNIFORM with fewer frames too."""
    frames = model.options.segments
    found = [Contestant("AR-Net", f"{frames} frames", _adaptive(model, Spending()))]
    for setting in _spread(model.curve):
        spending = Spending(frames=setting.frames, bias=setting.bias)
        told = f"{setting.frames} frames, bias {setting.bias:.3g}"
        found.append(Contestant("AR-Net", told, _adaptive(model, spending)))
    found.append(Contestant("AR-Net", f"{frames} frames, exit above 0.9", _adaptive(model, Spending(exit_above=0.9))))
    sizes = model.options.sizes
    for kind, network in baselines.items():
        runner = DenseRunner(kind, network, _networks_of(network, run), model.costs, model.options)
        counts = sorted({frames, max(1, frames // 2), max(1, frames // 4)}, reverse=True)
        name = kind.partition("-")[0].upper() if kind != "multi-scale" else "Multi-Scale"
        name = {"SCSAMPLER": "SCSampler"}.get(name, name)
        size = f", {sizes[int(kind.partition('-')[2] or 1) - 1]} px" if kind.startswith("uniform") else ""
        fewer = {"uniform": counts, "uniform-2": counts[::2], "uniform-3": counts[::2]}.get(kind, counts[:1])
        for count in fewer:
            found.append(Contestant(name + size, f"{count} frames", _dense(runner, count)))
    return found


def measure(several: Sequence[Contestant], clips: Sequence[LabelledClip]) -> list[Measured]:
    """Let every contestant look at every clip from its file, in turns: what slows one down slows down all.

    Raises:
        VideoError: a clip that cannot be read.
    """
    logits: list[list[Tensor]] = [[] for _ in several]
    spent: list[list[Spent]] = [[] for _ in several]
    for one in several:  # what is done once only is not counted
        one.look(clips[0])
    with progress("Measuring", len(clips) * len(several)) as report:
        for clip in clips:
            for number, one in enumerate(several):
                answer, took = one.look(clip)
                logits[number].append(answer)
                spent[number].append(took)
                report(1, clip.name)
    return [
        Measured(one.method, one.setting, torch.stack(logits[number]).double().numpy(), tuple(spent[number]))
        for number, one in enumerate(several)
    ]


def _networks_of(network: nn.Module, run: Run) -> Networks:
    """What a baseline looks through: the published networks, or where they learned its own."""
    if run.nets is None:
        return run.networks
    nets = list(run.nets)
    for number, head in enumerate(heads_of(network, len(nets))):
        if head is not None:
            nets[number] = head.net  # type: ignore[assignment]  # it is a module
    whole = build_network(run.options, len(run.parts.classes), nets).eval()
    return Networks(whole, run.options, device=run.where.device, runtime="torch")


def _adaptive(model: AdaptiveRecognizer, spending: Spending) -> Look:
    def look(clip: LabelledClip) -> tuple[Tensor, Spent]:
        found = model.recognize_all([clip.path], spending=spending, parts=[_part(clip)], names=[clip.name])[0]
        if isinstance(found, VideoError):
            raise found
        return torch.from_numpy(found.logits), found.spent

    return look


def _dense(runner: DenseRunner, frames: int) -> Look:
    return lambda clip: runner.look(clip.path, frames, _part(clip))


def _part(clip: LabelledClip) -> tuple[float, float] | None:
    return None if clip.start is None or clip.end is None else (clip.start, clip.end)


def _spread(curve: Sequence[Setting]) -> list[Setting]:
    """A few settings from the cheapest to the dearest."""
    if len(curve) <= _MOST_SETTINGS:
        return list(curve)
    return [curve[round(k * (len(curve) - 1) / (_MOST_SETTINGS - 1))] for k in range(_MOST_SETTINGS)]
