"""Training an AR-Net: three stages, each a run of its own that can be resumed; then the curve of what its knobs cost.

    parts = training_clips(read_labelled_clips("labels.csv"))
    trained = train_arnet(parts, "runs/ar")

By default the networks of frames stay as they were published: their features are computed once, and what learns is
small. With ``finetune`` everything learns, as published; that wants a GPU.

Not supported: several devices.

Source: AR-Net sheet, section 5.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..data.clip_parts import Parts, examples, without
from ..data.labelled_clips import LabelledClip
from ..encoders.image_nets import build_image_net, image_net
from ..encoders.sampling import Runtime
from ..engine import LoopOptions, fit
from ..engine.calibration import temperature
from ..engine.resume import CHECKPOINT
from ..engine.seeds import seed_weights
from ..errors import KinoscopeError, OptionError, OutputError, WeightError
from ..files import sha256_of, write_json
from ..wording import plural
from .costs import CostTable, cost_table
from .curve import dense_answers, guarded, measure_curve, segments_tried
from .looks import Looks, Wanted
from .model import AdaptiveRecognizer, Featureless, build_network
from .network import ArNet, FrameClassifier, most_probable
from .networks import Networks
from .options import ArNetOptions, ArNetTraining
from .stages import Evaluate, Joint, JointTask, Single, SingleTask, VideoTask, collapse_told

RECIPE = "training.json"
"""How a model was trained, beside it: so that its baselines are trained alike."""
_SINGLE, _JOINT, _TUNE = "single", "joint", "tune"


@dataclass(frozen=True)
class Where:
    """Where a training computes, and whether it goes on."""

    resume: bool = False
    workers: int = 0
    device: str = "auto"
    runtime: Runtime = "auto"
    precision: Literal["32-true", "bf16-mixed"] = "32-true"


def read_recipe(folder: str | Path) -> tuple[ArNetTraining, bool, dict[str, Path]]:
    """How the model in a folder was trained: options, whether its networks learned, and what they began with.

    Raises:
        WeightError: not the folder of a training, or a damaged one.
    """
    path = Path(folder) / RECIPE
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        weights = {str(name): Path(each) for name, each in found["weights"].items()}
        return ArNetTraining(**found["training"]), bool(found["finetune"]), weights
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        cure = "give the folder that `kinoscope train arnet` wrote"
        raise WeightError(f"does not tell how the model was trained: {error}", where=path, cure=cure) from error


@dataclass(frozen=True)
class TrainedArNet:
    """What came of a training."""

    recognizer: AdaptiveRecognizer
    parts: Parts
    """Without the clips whose videos could not be read."""
    validation: np.ndarray
    """Logits of the validation clips, as in use. Shape: [M, K]."""
    test: np.ndarray
    """Probabilities of the test clips, as in use. Shape: [N, K]."""
    usage: Mapping[str, float]
    """Share of the candidate frames of test clips (else of validation clips) that each action took."""
    gmac: float
    """Mean of a test clip (else of a validation clip)."""
    parameters: int
    """That learned."""
    missing: Mapping[str, str] = field(default_factory=dict)
    """Clips that could not be looked at, and why."""
    remarks: tuple[str, ...] = ()
    """What a user should know of the training."""


def train_arnet(
    parts: Parts,
    out: str | Path,
    options: ArNetOptions = ArNetOptions(),
    training: ArNetTraining = ArNetTraining(),
    *,
    finetune: bool = False,
    weights: Mapping[str, Path] | None = None,
    looks: str | Path | None = None,
    where: Where = Where(),
) -> TrainedArNet:
    """Train, and leave the recogniser and the records of the runs in ``out``.

    Args:
        finetune: train the networks of frames too.
        weights: checkpoints that networks begin with, by their names.
        looks: folder for what was seen of the videos; by default ``out/looks``.

    Raises:
        AnnotationError, OptionError: what cannot be trained on, with the cure.
        OutputError: ``out`` cannot be written, or already holds a run.
    """
    _claim(Path(out), where.resume)
    given = dict(weights or {})
    run = begin(parts, out, options, training, finetune=finetune, weights=given, looks=looks, where=where)
    network, collapse = run.stages()
    parts = run.parts
    held = parts.validation or parts.train
    curve = measure_curve(network, run.looks, held, run.evaluator(held), run.costs, segments_tried(options.segments))
    validation, usage, gmac = run.judged(network, parts.validation)
    test, test_usage, test_gmac = run.judged(network, parts.test)
    recognizer = AdaptiveRecognizer(
        _whole(network.network, run.published),
        options,
        parts.classes,
        learned=finetune or bool(weights),
        temperature=temperature(validation.numpy(), parts.numbers(parts.validation)),
        curve=curve,
        curve_of=f"{plural(len(held), 'clip')} of the {'validation' if parts.validation else 'training'} part",
        several=_several(parts),
        examples=examples(parts),
        device=where.device,
        runtime=where.runtime,
    )
    recognizer.save(out)
    recipe = {"training": asdict(training), "finetune": finetune, "weights": {k: str(v) for k, v in given.items()}}
    write_json(Path(out) / RECIPE, recipe)
    return TrainedArNet(
        recognizer,
        parts,
        validation.numpy(),
        recognizer.probabilities(test) if len(test) else np.empty((0, len(parts.classes))),
        test_usage if parts.test else usage,
        test_gmac if parts.test else gmac,
        sum(p.numel() for name, p in network.named_parameters() if finetune or ".net." not in name),
        run.missing,
        tuple(collapse_told(each, recognizer.actions) for each in collapse),
    )


def begin(
    parts: Parts,
    out: str | Path,
    options: ArNetOptions,
    training: ArNetTraining,
    *,
    finetune: bool = False,
    weights: Mapping[str, Path] | None = None,
    looks: str | Path | None = None,
    where: Where = Where(),
) -> Run:
    """Look at all videos; what is learned from them comes after. See :func:`train_arnet`.

    Raises:
        OptionError: networks that neither have weights nor learn.
    """
    out, given = Path(out), dict(weights or {})
    names = [name for name, _ in options.views]
    hashes = [sha256_of(given[name])[:16] if name in given else image_net(name).weight_hash for name in names]
    if not finetune and (fresh := [name for name, known in zip(names, hashes, strict=True) if not known]):
        cure = "give --weights, or --finetune to train them too, or --family efficientnet-lite"
        raise OptionError(f"there are no weights for {', '.join(fresh)}, and they would stay random", cure=cure)
    seed_weights(training.seed)
    nets = [build_image_net(name, given.get(name)) for name in names]
    networks = Networks(
        build_network(options, len(parts.classes), nets).eval(),
        options,
        device=where.device,
        runtime=where.runtime,
        cache_names=tuple(f"{name}-{known}" for name, known in zip(names, hashes, strict=True)),
    )
    seen = Looks(Path(looks or out / "looks"), options, training, None if finetune else networks, hashes)
    parts, missing = looked_at(parts, seen, options)
    costs = cost_table(networks.network)
    resolved = training.resolved(len(parts.train))
    return Run(parts, out, options, resolved, seen, nets if finetune else None, networks, costs, where, missing)


@dataclass(frozen=True)
class Run:
    """Trainings on one set of looks: the three stages, or those of baselines."""

    parts: Parts
    """Without the clips that cannot be read."""
    out: Path
    options: ArNetOptions
    training: ArNetTraining
    looks: Looks
    nets: Sequence[nn.Module] | None
    """Networks of frames that learn, in the order of ``options.views``; none where features are at hand."""
    networks: Networks
    """What computes as it was published."""
    costs: CostTable
    where: Where
    missing: Mapping[str, str]
    """Clips that cannot be read, and why."""

    @property
    def names(self) -> list[str]:
        """Of the networks of frames."""
        return [name for name, _ in self.options.views]

    @property
    def published(self) -> list[nn.Module] | None:
        """Networks of frames that take the place of stubs; none where they learned."""
        network = self.networks.network
        parts = (*network.backbones, network.policy)
        return None if self.nets is not None else [part.net for part in parts]  # type: ignore[misc,union-attr]

    def stages(self) -> tuple[Joint, list[str]]:
        """Run what is not done yet; gives the network, and the action that the policy collapsed to, if it did."""
        seed_weights(self.training.seed)
        network = build_network(self.options, len(self.parts.classes), self.nets_or_stubs())
        if self.nets is None:
            standardize([*network.backbones, network.policy], self.looks, self.parts.train)
        for number, (name, size) in enumerate(self.options.views[:-1]):
            part = network.backbones[number]
            assert isinstance(part, FrameClassifier)
            single = SingleTask(Single(part, name), *self.learned_from(), which=number)
            answer = self.fit(single, f"{_SINGLE}-{number}", self.training.single_epochs, f"1/3 {name} at {size} px")
            assert isinstance(answer, Single)
            network.backbones[number] = answer.part
        costs = self.costs.relative() if self.training.costs == "relative" else self.costs
        per_action = costs.per_action(self.options.actions)
        joint = JointTask(Joint(network, self.names), per_action, self.options, *self.learned_from())
        answer = self.fit(joint, _JOINT, self.training.joint_epochs, "2/3 policy and backbones together")
        if self.training.tune_epochs:
            assert isinstance(answer, Joint)
            tune = JointTask(answer, per_action, self.options, *self.learned_from(), tunes=True)
            answer = self.fit(tune, _TUNE, self.training.tune_epochs, "3/3 backbones under the policy")
        assert isinstance(answer, Joint)
        return answer, [joint.collapse] if joint.collapse else []

    def learned_from(self) -> tuple[Any, ...]:
        """What every task is given: looks, clips with their classes, validation clips with their scores, the recipe."""
        parts = self.parts
        held = list(parts.validation)
        return self.looks, parts.train, parts.numbers(parts.train), held, self.evaluator(held), self.training

    def fit(self, task: VideoTask, name: str, epochs: int, title: str) -> nn.Module:
        """Run one training, or what is left of it; gives the network that counts, on the CPU."""
        training, where = self.training, self.where
        loop = LoopOptions(
            epochs=epochs,
            batch_size=min(training.batch_size, len(task)),
            accumulate=training.accumulate,
            seed=training.seed,
            workers=where.workers,
            clip_gradients=training.clip_gradients,
            accelerator=where.device,
            precision=where.precision,
        )
        settings = {**task.settings(), "networks": asdict(self.options), "learns": self.nets is not None}
        fit(task, self.out / "stages" / name, loop, resume=True, settings=settings, title=title)
        answer = task.answer
        if not all(bool(parameter.isfinite().all()) for parameter in answer.parameters()):
            cure = "lower the learning rates"
            raise KinoscopeError("the weights are no finite numbers", where=self.out / "stages" / name, cure=cure)
        return answer.requires_grad_(True)

    def evaluator(self, clips: Sequence[LabelledClip]) -> Evaluate:
        """Scores logits of ``clips``: mAP where videos may have several labels, else accuracy."""
        truth, classes = self.parts.numbers(clips), self.parts.classes
        several = _several(self.parts)

        def evaluate(logits: Tensor) -> dict[str, float]:
            right = float((logits.argmax(dim=1).numpy() == truth).mean())
            known = torch.from_numpy(truth >= 0)
            heat = temperature(logits.double().numpy(), truth)
            loss = F.cross_entropy(logits.double()[known] / heat, torch.from_numpy(truth)[known])
            figures = {"score": right, "accuracy": right, "loss": float(loss) if known.any() else 0.0}
            if not several:
                return figures
            from ..evaluate.clip_map import clip_map, truth_matrix  # only scoring needs the evaluator

            shown = [[label for label in clip.labels if label in classes] for clip in clips]
            found = clip_map(logits.double().softmax(dim=1).numpy(), truth_matrix(shown, classes)).map_present / 100
            return {**figures, "score": found, "map": found}

        return evaluate

    def judged(self, network: Joint, clips: Sequence[LabelledClip]) -> tuple[Tensor, dict[str, float], float]:
        """Logits of clips as in use [N, K], the share of each action, and mean GMAC."""
        actions = self.options.actions
        if not clips:
            return torch.empty(0, len(self.parts.classes)), {}, 0.0
        features, logits = dense_answers(network, self.looks, clips, self.options.segments)
        with torch.no_grad():
            decisions = network.network.decide(features, most_probable())
        usage = decisions.taken.mean(dim=(0, 1)).tolist()
        used = decisions.taken[:, :, : actions.own].sum(dim=(0, 1)).tolist()
        gmac = self.costs.gmac(int(decisions.consulted.sum()), used) / len(clips)
        return guarded(logits, decisions), dict(zip(actions.names, usage, strict=True)), gmac

    def nets_or_stubs(self) -> list[nn.Module]:
        """Networks of frames that learn, or what stands in their place where features are at hand."""
        if self.nets is not None:
            return [copy.deepcopy(net) for net in self.nets]
        first = self.looks.evaluate(self.parts.train[0], self.options.segments)
        return [Featureless(int(features.shape[1])) for features in first]


def looked_at(parts: Parts, looks: Looks, options: ArNetOptions) -> tuple[Parts, dict[str, str]]:
    """Look at all clips; gives the parts without those that cannot be read, and why they cannot."""
    curve = set(segments_tried(options.segments))
    several = tuple(sorted(curve))
    held = parts.validation or parts.train
    once = (options.segments,)
    wanted = [Wanted(clip, True, several if held is parts.train else once) for clip in parts.train]
    wanted += [Wanted(clip, False, several) for clip in parts.validation]
    wanted += [Wanted(clip, False, once) for clip in parts.test]
    failed = looks.prepare(wanted)
    return without(parts, failed, lambda clip: clip.name), failed


def _claim(out: Path, resume: bool) -> None:
    """Refuse a folder with a run in it, unless that is to go on."""
    if not resume and any((out / "stages").glob(f"*/{CHECKPOINT}")):
        cure = "continue it with --resume, or delete this folder, or choose another"
        raise OutputError("already holds a run", where=out, cure=cure)


def _several(parts: Parts) -> bool:
    return any(len(clip.labels) > 1 for part in (parts.train, parts.validation, parts.test) for clip in part)


def standardize(heads: Sequence[nn.Module | None], looks: Looks, clips: Sequence[LabelledClip]) -> None:
    """Let every head see features with mean 0 and deviation 1, as those of the training clips have.

    Args:
        heads: in the order of ``options.views``; None for views that no head looks at.
    """
    rows = [looks.evaluate(clip, looks.options.segments) for clip in clips]
    for number, part in enumerate(heads):
        if part is not None:
            features = np.concatenate([each[number] for each in rows]).astype(np.float64)  # [N · T, C]
            part.center.copy_(torch.from_numpy(features.mean(axis=0)))  # type: ignore[union-attr,operator]  # a buffer
            part.scale.copy_(torch.from_numpy(features.std(axis=0)).clamp_min(_LEAST_SCALE))  # type: ignore[union-attr,operator]


def _whole(network: ArNet, nets: Sequence[nn.Module] | None) -> ArNet:
    """The network with real networks of frames in the place of stubs."""
    if nets is not None:
        for part, net in zip((*network.backbones, network.policy), nets, strict=True):
            part.net = net  # type: ignore[union-attr]  # it is a module
    return network.requires_grad_(False).eval()


_LEAST_SCALE = 1e-3
