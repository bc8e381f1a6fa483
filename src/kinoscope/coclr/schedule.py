"""The schedule of pretraining: which stage trains what, begins where, who mines for it (specification, section 5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..encoders import load_encoder
from ..encoders.backbones import build_backbone
from ..encoders.trained import TrainedSpec, save_encoder
from ..engine import LoopOptions, fit
from ..engine.checkpoint import load_tree
from ..engine.processes import is_first_process
from ..engine.resume import CHECKPOINT, check_identity, run_position
from ..engine.seeds import seed_weights
from ..errors import OptionError, WeightError
from .network import ClipEncoder, Embedding, FrozenEmbedding
from .options import Method, PretrainOptions
from .pairs import TrainedStream, shown_stream
from .task import PretrainTask, ViewSource, key_similarity

FROZEN = "frozen"
"""In the place of a stage's name: a frozen encoder of the catalogue."""
RANDOM = "random"
"""The same: random weights, for measuring."""

_COLLAPSED = 0.9  # mean cosine between keys
_LEAST_BATCH = 2


@dataclass(frozen=True)
class Stage:
    """One run of the schedule."""

    name: str
    """Folder of the run, below ``stages``."""
    stream: TrainedStream
    """The stream that is trained."""
    method: Method
    epochs: int
    start: str | None = None
    """Stage whose query weights query and key begin with; None: random weights."""
    sampler: str | None = None
    """Stage whose query weights mine the positives, or :data:`FROZEN`."""

    @property
    def title(self) -> str:
        """What it does, in words."""
        if self.method != "coclr":
            return f"{ {'infonce': 'InfoNCE', 'ubernce': 'UberNCE'}[self.method] }, {self.stream}"
        return f"co-training, {self.stream} learns"


def plan(
    method: Method, options: PretrainOptions, *, stream: TrainedStream = "rgb", second: TrainedStream | None = "flow"
) -> list[Stage]:
    """The stages, in order.

    CoCLR: InfoNCE on RGB, InfoNCE on the second stream, then in each cycle the second stream mines for RGB and the RGB
    network just made mines for the second stream. Every run begins with the query weights of its stream's last run.

    Args:
        stream: that InfoNCE and UberNCE train.
        second: CoCLR's second stream; None: a frozen encoder mines, so that there is one co-training run only.
    """
    epochs, cotrain = options.epochs or 1, options.cotrain_epochs or 1
    if method != "coclr":
        return [Stage(f"{method}-{stream}", stream, method, epochs)]
    rgb = Stage("infonce-rgb", "rgb", "infonce", epochs)
    if second is None:
        return [rgb, Stage("cotrain-rgb", "rgb", "coclr", cotrain, rgb.name, FROZEN)]
    other = Stage(f"infonce-{second}", second, "infonce", epochs)
    stages = [rgb, other]
    for cycle in range(1, options.cycles + 1):
        rgb = Stage(f"cycle{cycle}-rgb", "rgb", "coclr", cotrain, rgb.name, other.name)
        other = Stage(f"cycle{cycle}-{second}", second, "coclr", cotrain, other.name, rgb.name)
        stages += [rgb, other]
    return stages


class Pretraining:
    """The stages of one run folder, each resumable by itself; a stage that is done is not repeated.

    Args:
        folder: of the whole; holds ``stages/NAME`` and the encoders.
        views: pairs of views in the streams of the plan.
        spec: what the encoders are to say of themselves; the stream is filled in.
        loop: accelerator, workers and the like; epochs, batch and seed come from the plan and the options.
        frozen: the encoder that mines where a stage's sampler is :data:`FROZEN`, and the channels of its features.
        initial: network with a ``backbone`` whose weights take the place of random ones; the head begins anew.
        identity: of the data, kept with every stage and compared on resume.
    """

    def __init__(
        self,
        folder: Path,
        stages: list[Stage],
        views: ViewSource,
        options: PretrainOptions,
        spec: TrainedSpec,
        loop: Mapping[str, Any],
        *,
        frozen: tuple[FrozenEmbedding, int] | None = None,
        initial: nn.Module | None = None,
        identity: Mapping[str, Any] | None = None,
        layout: torch.memory_format = torch.channels_last_3d,
        compiled: bool = False,
    ) -> None:
        self.folder, self.stages, self.views, self.options, self.spec = folder, stages, views, options, spec
        self.loop, self.frozen, self.initial, self.identity = dict(loop), frozen, initial, dict(identity or {})
        self.layout, self.compiled = layout, compiled

    def check(self) -> None:
        """Refuse what could not work, or would not be the run that was begun.

        Raises:
            OptionError: a stage was begun with other options or data, batches are too small for batch norm, or
                co-training would end before its queue is full.
        """
        options = self.options
        assert options.batch_size is not None and options.queue is not None
        if options.normalization == "batch" and options.batch_size // self.loop.get("devices", 1) < _LEAST_BATCH:
            problem = f"batch_size is {options.batch_size}, but batch norm needs {_LEAST_BATCH} clips on every device"
            raise OptionError(problem, cure="choose a larger --batch-size, or --normalization group")
        filling = -(-options.queue // options.batch_size)
        for stage in self.stages:
            updates = stage.epochs * (len(self.views) // options.batch_size)
            if stage.method == "coclr" and updates <= filling:
                problem = f"co-training has {updates} updates, but the first {filling} only fill the queue"
                raise OptionError(problem, cure="choose more --cotrain-epochs, or a smaller --queue")
            if (self.folder_of(stage.name) / CHECKPOINT).exists():
                loop, settings = self._loop(stage), self._settings(stage)
                check_identity(self.folder_of(stage.name), {"loop": loop.identity(), "task": settings})

    def run(self) -> list[Path]:
        """Run what is not done yet; returns the folders of the encoders. Raises as :meth:`check` does."""
        self.check()
        for number, stage in enumerate(self.stages, 1):
            if not self.done(stage):
                self._run(stage, f"{number}/{len(self.stages)} {stage.title}")
            if is_first_process():
                self._keep(stage)
        return sorted({self.encoder_folder(stage.stream) for stage in self.stages})

    def done(self, stage: Stage) -> bool:
        """Whether the stage has run to its end."""
        return int(run_position(self.folder_of(stage.name)).get("epoch", 0)) >= stage.epochs

    def folder_of(self, name: str) -> Path:
        """Where a stage lies."""
        return self.folder / "stages" / name

    def encoder_folder(self, stream: TrainedStream) -> Path:
        """Where the encoder of a stream lies: in the run itself, or beside the other stream's."""
        return self.folder / stream if len({stage.stream for stage in self.stages}) > 1 else self.folder

    def task(self, stage: Stage) -> PretrainTask:
        """The stage as the loop sees it, with the weights of the stages that it builds on."""
        sampler: Embedding | FrozenEmbedding | None = None
        width, other = 0, stage.stream
        if stage.sampler == FROZEN:
            assert self.frozen is not None
            (sampler, width), other = self.frozen, "rgb"
        elif stage.sampler is not None:
            other = next(each.stream for each in self.stages if each.stream != stage.stream)
            miner = None if stage.sampler == RANDOM else stage.sampler
            sampler, width = Embedding(self._weights(miner, other)), self.options.dim
            sampler.to(memory_format=self.layout)  # type: ignore[call-overload]  # torch's hints lack it
        start = self._weights(stage.start, stage.stream)
        task = PretrainTask(
            self.views,
            stage.stream,
            stage.method,
            start,
            self.options,
            sampler=sampler,
            other=other,
            other_dim=width,
            layout=self.layout,
        )
        if self.compiled:
            for network in task.networks.values():
                network.compile()  # in place: the names of the tensors stay
        return task

    def trial(self, stage: Stage) -> PretrainTask:
        """A task that costs what the stage costs, from random weights: to measure before earlier stages are done."""
        if stage.sampler not in (None, FROZEN):
            stage = replace(stage, sampler=RANDOM)
        return self.task(replace(stage, start=None))

    def _run(self, stage: Stage, title: str) -> None:
        folder, loop = self.folder_of(stage.name), self._loop(stage)
        fit(self.task(stage), folder, loop, resume=True, settings=self._settings(stage), title=title)

    def _loop(self, stage: Stage) -> LoopOptions:
        options = self.options
        assert options.batch_size is not None
        return LoopOptions(
            epochs=stage.epochs, batch_size=options.batch_size, seed=options.seed, validate_every=0, **self.loop
        )

    def _settings(self, stage: Stage) -> dict[str, Any]:
        return {**self.options.stage_identity(stage.method), **asdict(stage), **self.identity}

    def _weights(self, name: str | None, stream: TrainedStream) -> ClipEncoder:
        """The query network at the end of a stage, or a new one: RGB and the second stream begin differently."""
        options = self.options
        seed_weights(options.seed)
        for _ in range(1 if stream == "rgb" else 2):
            encoder = ClipEncoder(new_backbone(options), options.dim, options.head)
        if self.initial is not None:
            take_over(encoder, self.initial)
        if name is not None:
            state = load_tree(self.folder_of(name) / CHECKPOINT, "networks", "query")
            Embedding(encoder).load_state_dict(state)
        return encoder

    def collapsed(self) -> list[Stage]:
        """Stages at whose end the keys of different videos are nearly equal: nothing was learned."""
        found = []
        for stage in self.stages:
            saved = self.folder_of(stage.name) / CHECKPOINT
            if saved.exists() and key_similarity(load_tree(saved, "networks", "queue", "keys")) > _COLLAPSED:
                found.append(stage)
        return found

    def _keep(self, stage: Stage) -> None:
        """Write the stage's encoder where users look for it, unless a later stage already did."""
        later = self.stages[self.stages.index(stage) + 1 :]
        if any(each.stream == stage.stream and self.done(each) for each in later):
            return
        encoder = self._weights(stage.name, stage.stream)
        save_encoder(self.encoder_folder(stage.stream), encoder.backbone, self.spec_of(stage))

    def spec_of(self, stage: Stage) -> TrainedSpec:
        """What the encoder of a stage says of itself."""
        return replace(self.spec, stream=shown_stream(stage.stream), origin=stage.title)


def take_over(encoder: ClipEncoder, initial: nn.Module) -> None:
    """Give ``encoder`` the backbone of another. Raises :class:`WeightError` if it is another network."""
    try:
        encoder.backbone.load_state_dict(initial.backbone.state_dict())  # type: ignore[union-attr,operator]  # a module
    except RuntimeError as error:
        reason = str(error).splitlines()[1].strip()[:120]
        cure = "choose the --backbone, --width and --normalization that it has"
        raise WeightError(f"the encoder to start from is another network: {reason}", cure=cure) from error


def new_backbone(options: PretrainOptions) -> nn.Module:
    """The backbone of resolved options, with random weights."""
    if options.backbone is None or options.width is None:
        raise OptionError("the options are not resolved", cure="call resolve first")
    return build_backbone(options.backbone, width=options.width, normalization=options.normalization)


def frozen_sampler(name: str, device: str) -> tuple[FrozenEmbedding, int]:
    """An encoder of the catalogue that mines, and the channels of its features.

    It sees the RGB view as it was drawn, scaled to the encoder's own size.

    Raises:
        OptionError, WeightError: see :func:`kinoscope.load_encoder`.
    """
    encoder = load_encoder(name, device=device, runtime="torch")

    def prepare(frames: Tensor) -> Tensor:
        batch, size = len(frames), encoder.spec.size
        pixels = frames.flatten(0, 1).movedim(-1, 1).float()  # [B, T, S, S, 3] -> [B · T, 3, S, S]
        pixels = F.interpolate(pixels, (size, size), mode="bilinear", antialias=True)
        return encoder.prepare(pixels.movedim(1, -1).reshape(batch, -1, size, size, 3))

    return FrozenEmbedding(encoder, prepare), encoder.spec.width
