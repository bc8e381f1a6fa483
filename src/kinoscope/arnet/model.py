"""A trained AR-Net with everything that it needs: its classes, its networks, and what its knobs cost.

On disk it is a folder: ``config.json`` and ``model.safetensors``. Networks that stayed as they were published are named
there, with the hash of their weights; those that learned lie inside.
"""

from __future__ import annotations

import hashlib
import math
import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..encoders.image_nets import build_image_net, image_net
from ..encoders.sampling import Runtime
from ..engine.calibration import most_probable
from ..engine.model_folder import CONFIG, MAKE_ANEW, WEIGHTS, read_config
from ..errors import DamagedVideoWarning, OptionError, VideoError, WeightError
from ..files import atomic_path, write_json
from ..video.sampling import FloatArray
from .actions import Actions
from .costs import CostTable, Spent, cost_table
from .engine import Engine, Job, Seen, Step, Stop
from .network import ArNet, FrameClassifier, Policy
from .networks import Forward, Networks
from .options import ArNetOptions
from .plan import plan
from .spending import DEFAULT, Budget, Setting, Spending

KIND, VERSION = "arnet", 1
GIVE_ONE = "give the folder of an AR-Net: `kinoscope train arnet` or `kinoscope convert` writes one"


class Featureless(nn.Module):
    """In the place of a network of frames, where features of it are at hand: has its width and computes nothing."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width


def build_network(options: ArNetOptions, classes: int, nets: Sequence[nn.Module] | None = None) -> ArNet:
    """The model with fresh heads.

    Args:
        classes: K.
        nets: networks of frames in the order of ``options.views``; by default with their published weights.
    """
    built = list(nets) if nets is not None else [build_image_net(name) for name, _ in options.views]
    actions = options.actions
    policy = Policy(built[-1], classes, actions.count, options.hidden, options.dropout)
    backbones = [FrameClassifier(net, classes, options.dropout) for net in built[:-1]]
    return ArNet(policy, backbones, actions, options.state)


@dataclass(frozen=True)
class AdaptiveRecognition:
    """What one video shows, and what it took to tell."""

    probabilities: FloatArray
    """Shape: [K]."""
    logits: FloatArray
    """Mean over the frames that were answered. Shape: [K]."""
    classes: tuple[str, ...]
    steps: tuple[Step, ...]
    """What was done with every candidate frame."""
    spent: Spent
    spending: Spending
    """The knobs as they were set."""
    running: FloatArray
    """Probabilities after each candidate frame; NaN before the first answer. Shape: [T, K]."""
    guarded: bool = False
    """The policy skipped every frame; its own answer to the last one it saw was taken."""
    damage: tuple[str, ...] = ()
    budget: Budget | None = None
    """The most that it was to cost."""
    stopped: Stop | None = None
    """Why the last frames were not looked at; None: it came to the end."""

    @property
    def exceeded(self) -> bool:
        """Whether it took more time than it was to: a first look is never refused, and no look is broken off."""
        seconds = None if self.budget is None else self.budget.seconds
        return seconds is not None and self.spent.total_seconds > seconds

    def best(self, count: int = 5) -> list[tuple[str, float]]:
        """The most probable labels with their probabilities; of equal ones the first."""
        return most_probable(self.probabilities, self.classes, count)


class AdaptiveRecognizer:
    """Videos → probabilities of classes, each frame at the resolution it needs.

    Args:
        network: see :class:`.network.ArNet`.
        options: what its networks see.
        classes: name of each class, in the order of the logits.
        learned: whether the networks of frames learned, and so belong to the model.
        temperature: logits are divided by it before they become probabilities.
        curve: what the knobs cost, see :class:`.spending.Setting`; budgets are met by it.
        curve_of: what the curve was measured on, in words.
        several: whether a video may have several labels, so that scores are mAP.
        examples: some videos that it was tested on, for checks of exports.
        device, runtime: see :class:`.networks.Networks`.
        replaced: see :class:`.networks.Networks`.

    Raises:
        OptionError: names or numbers that make no sense, or a device that is not there.
    """

    def __init__(
        self,
        network: ArNet,
        options: ArNetOptions,
        classes: Sequence[str],
        *,
        learned: bool = False,
        temperature: float = 1.0,
        curve: Sequence[Setting] = (),
        curve_of: str = "",
        several: bool = False,
        examples: Sequence[str] = (),
        device: str = "auto",
        runtime: Runtime = "auto",
        replaced: Mapping[int, Forward] | None = None,
    ) -> None:
        if len(classes) != network.classes or len(set(classes)) != network.classes:
            problem = f"{len(classes)} class names ({len(set(classes))} different) for {network.classes} outputs"
            raise OptionError(problem, cure="give one name per class")
        if not 0 < temperature < math.inf:
            raise OptionError(f"temperature is {temperature}, but must be a positive number", cure="1 changes nothing")
        self.network, self.options, self.classes = network.eval(), options, tuple(classes)
        self.learned, self.temperature, self.several = learned, temperature, several
        self.curve, self.curve_of, self.examples = tuple(curve), curve_of, tuple(examples)
        self._where = (device, runtime, replaced)

    @property
    def actions(self) -> Actions:
        """What the policy can choose."""
        return self.network.available

    @cached_property
    def costs(self) -> CostTable:
        """GMAC of a frame, counted."""
        return cost_table(self.network)

    @cached_property
    def networks(self) -> Networks:
        """What computes, made ready when first needed."""
        device, runtime, replaced = self._where
        names = tuple(self._cache_name(number) for number in range(len(self.options.views)))
        return Networks(
            self.network, self.options, device=device, runtime=runtime, cache_names=names, replaced=replaced
        )

    @cached_property
    def engine(self) -> Engine:
        """What looks at videos."""
        return Engine(
            self.network.policy,
            self.networks,
            self.costs,
            self.options.segments,
            self.temperature,
            self.network.rule,
        )

    def recognize(
        self,
        path: str | Path,
        *,
        budget: Budget | str | None = None,
        spending: Spending = DEFAULT,
        part: tuple[float, float] | None = None,
        name: str | None = None,
    ) -> AdaptiveRecognition:
        """What a video shows.

        Args:
            budget: the most that it may cost, such as ``"5gmac"`` or ``"0.5s"``: the best known knobs for it are set.
            spending: the knobs, where there is no budget.
            part: look at these seconds of the video alone.
            name: see :class:`.engine.Job`; by default the file's.

        Raises:
            VideoError: it cannot be read.
            OptionError: a budget that cannot be met; what is possible is told.
        """
        found = self.recognize_all([path], budget=budget, spending=spending, parts=[part], names=[name])[0]
        if isinstance(found, VideoError):
            raise found
        return found

    def recognize_all(
        self,
        paths: Sequence[str | Path],
        *,
        budget: Budget | str | None = None,
        spending: Spending = DEFAULT,
        parts: Sequence[tuple[float, float] | None] | None = None,
        names: Sequence[str | None] | None = None,
    ) -> list[AdaptiveRecognition | VideoError]:
        """Several videos together: faster where there are many, the same answers; errors take the place of answers.

        Raises:
            OptionError: see :meth:`recognize`.
        """
        limit = Budget.parse(budget) if isinstance(budget, str) else budget or Budget()
        if not isinstance(limit, Budget):
            raise OptionError(f"the budget is {budget!r}", cure='give it with its unit: "5gmac" or "0.5s"')
        jobs = []
        for number, each in enumerate(map(Path, paths)):
            part, name = parts[number] if parts else None, names[number] if names else None
            chosen, began = spending, time.perf_counter()
            if limit != Budget():
                try:
                    chosen = plan(self, each, limit, part)
                except VideoError:  # told when it is looked at
                    chosen = spending
            planned = time.perf_counter() - began if limit.seconds is not None else 0.0
            jobs.append(Job(each, name or each.name, chosen, limit, part, planned))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DamagedVideoWarning)  # told with the answers
            groups = [jobs] if limit.seconds is None else [[job] for job in jobs]  # each has its own clock
            seen = [one for group in groups for one in self.engine.run(group)]
        return [
            one if isinstance(one, VideoError) else self._answer(one, job) for one, job in zip(seen, jobs, strict=True)
        ]

    def probabilities(self, logits: Tensor) -> FloatArray:
        """Calibrated. Shape: [..., K] -> [..., K]."""
        return (logits.double() / self.temperature).softmax(dim=-1).numpy()

    def dense_gmac(self, frames: int | None = None) -> float:
        """What looking at every candidate frame at the largest size, without a policy, would take."""
        return (frames or self.options.segments) * self.costs.backbones[0]

    def _answer(self, seen: Seen, job: Job) -> AdaptiveRecognition:
        running = np.full((len(seen.steps), len(self.classes)), np.nan)  # [T, K]
        total, count = torch.zeros(len(self.classes), dtype=torch.float64), 0
        for at, step in enumerate(seen.steps):
            if step.logits is not None:
                total, count = total + step.logits.double(), count + 1
            if count:
                running[at] = self.probabilities(total / count)
        return AdaptiveRecognition(
            self.probabilities(seen.logits),
            seen.logits.double().numpy(),
            self.classes,
            seen.steps,
            seen.spent,
            job.spending,
            running,
            seen.guarded,
            seen.damage,
            job.budget if job.budget != Budget() else None,
            seen.stopped,
        )

    def save(self, folder: str | Path) -> None:
        """Write the folder; :func:`load_adaptive` reads it.

        Raises:
            OutputError: it cannot be written.
        """
        from safetensors.torch import save_file

        state = {name: tensor.detach().cpu().contiguous() for name, tensor in self.network.state_dict().items()}
        if not self.learned:
            state = {name: tensor for name, tensor in state.items() if ".net." not in name}
        with atomic_path(Path(folder) / WEIGHTS) as temporary:
            save_file({name: tensor.clone() for name, tensor in state.items()}, temporary)
        write_json(Path(folder) / CONFIG, self.describe())

    def describe(self) -> dict[str, Any]:
        """What ``config.json`` says."""
        return {
            "kind": KIND,
            "version": VERSION,
            "classes": list(self.classes),
            "options": asdict(self.options),
            "learned": self.learned,
            "weights": [image_net(name).weight_hash for name, _ in self.options.views],
            "temperature": self.temperature,
            "several": self.several,
            "gmac": asdict(self.costs),
            "curve": [asdict(setting) for setting in self.curve],
            "curve_of": self.curve_of,
            "examples": list(self.examples),
        }

    def _cache_name(self, number: int) -> str:
        name, _ = self.options.views[number]
        if not self.learned:
            return f"{name}-{image_net(name).weight_hash}"
        net = (*self.network.backbones, self.network.policy)[number].net
        return f"{name}-{_digest(net.state_dict().values())}"  # type: ignore[union-attr,operator]  # it is a module


def load_adaptive(
    folder: str | Path,
    *,
    device: str = "auto",
    runtime: Runtime = "auto",
    replaced: Mapping[int, Forward] | None = None,
) -> AdaptiveRecognizer:
    """Read what :meth:`AdaptiveRecognizer.save` wrote.

    Raises:
        WeightError: missing or damaged files, another kind of model, a newer version, or weights that do not fit or are
            not there.
    """
    folder = Path(folder)
    config = read_config(folder, KIND, VERSION, GIVE_ONE)
    try:
        options = _options(config["options"])
        classes = [str(each) for each in config["classes"]]
        learned, hashes = bool(config["learned"]), [str(each) for each in config["weights"]]
        nets = None
        if learned:
            with torch.device("meta"):
                nets = [image_net(name).build() for name, _ in options.views]
        network = _unfilled(options, len(classes), nets)
        recognizer = AdaptiveRecognizer(
            network,
            options,
            classes,
            learned=learned,
            temperature=float(config["temperature"]),
            curve=[Setting.from_json(each) for each in config["curve"]],
            curve_of=str(config["curve_of"]),
            several=bool(config["several"]),
            examples=[str(each) for each in config["examples"]],
            device=device,
            runtime=runtime,
            replaced=replaced,
        )
    except KeyError as error:
        raise WeightError(f"has no {error}", where=folder / CONFIG, cure=MAKE_ANEW) from error
    except (OptionError, TypeError, ValueError, RuntimeError, ArithmeticError) as error:
        problem = error.problem if isinstance(error, OptionError) else str(error)
        raise WeightError(f"cannot be used: {problem}", where=folder / CONFIG, cure=MAKE_ANEW) from error
    _fill(folder, network, learned, [name for name, _ in options.views], hashes)
    return recognizer


def _unfilled(options: ArNetOptions, classes: int, nets: Sequence[nn.Module] | None) -> ArNet:
    """The network on the meta device, so that sizes are compared before any memory is taken."""
    with torch.device("meta"):
        return build_network(options, classes, nets or [_width_of(name) for name, _ in options.views])


def _width_of(name: str) -> Featureless:
    with torch.device("meta"):
        return Featureless(int(image_net(name).build().width))  # type: ignore[arg-type]  # every network has it


def _fill(folder: Path, network: ArNet, learned: bool, names: Sequence[str], hashes: Sequence[str]) -> None:
    from ..engine.model_folder import load_weights

    load_weights(folder, network)
    if broken := [name for name, tensor in network.state_dict().items() if not bool(tensor.isfinite().all())]:
        problem = f"holds numbers that are not finite, in {broken[0]}"
        raise WeightError(problem, where=folder / WEIGHTS, cure=MAKE_ANEW)
    if learned:
        return
    for part, name, known in zip((*network.backbones, network.policy), names, hashes, strict=True):
        if image_net(name).weight_hash != known:
            problem = f"was trained on {name} with other weights ({known})"
            raise WeightError(problem, where=folder, cure="train it again")
        part.net = build_image_net(name).requires_grad_(False).eval()
    network.requires_grad_(False).eval()


def _options(values: Mapping[str, Any]) -> ArNetOptions:
    """From JSON: lists become tuples, and nothing unknown is accepted."""
    known = {field.name for field in fields(ArNetOptions)}
    if unknown := set(values) - known:
        raise ValueError(f"options hold {sorted(unknown)[0]!r}, which is unknown")
    plain: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
    return ArNetOptions(**plain)


def _digest(tensors: Iterable[Tensor]) -> str:
    """Of the values, so that what is converted from them is found again."""
    found = hashlib.sha256()
    for tensor in tensors:
        found.update(np.ascontiguousarray(tensor.detach().cpu().numpy()).data)
    return found.hexdigest()[:16]
