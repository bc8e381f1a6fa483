"""Training a whole recogniser: head and encoder together, on clips that are drawn anew in every epoch.

Source: sheet, sections 7 and 8; crops and times are the house's own, exact ones (section 10 lists what is not).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..clips.reader import Clips
from ..clips.windows import crop_window
from ..data.clip_parts import Parts, examples, without
from ..data.labelled_clips import LabelledClip, require_within, video_of
from ..encoders import encoder_spec, load_encoder
from ..encoders.backbones import build_backbone, list_backbones
from ..encoders.encoder import prepare_pixels
from ..encoders.tokens import backbone_of
from ..encoders.trained import PerChannel, TrainedSpec, save_encoder, trained_spec
from ..engine.calibration import temperature
from ..engine.seeds import seed_weights
from ..errors import OptionError
from ..video.augment import AugmentOptions, apply_view, draw_view
from ..video.scaling import Frame
from .clip_eye import ClipEye, clip_options, part_starts
from .heads import looks_at_places
from .network import Recognizer, build_classifier
from .options import ClipTraining, HeadOptions, RecognizeOptions
from .protocol import ClipChoice
from .recognizer import TrainedRecognizer
from .task import RecognizeTask
from .train import Trained, Where, run

_AUGMENT = AugmentOptions(area=(0.4, 1.0), jitter=0.3, grey=0.0, blur=0.0)
_CLIPS_AT_ONCE = 8
_CATALOGUE = {"i3d-k400": "i3d"}
"""Encoders of the catalogue whose network is a backbone."""


def finetune(
    parts: Parts,
    out: str | Path,
    encoder: str,
    head: HeadOptions = HeadOptions(),
    options: RecognizeOptions = RecognizeOptions(),
    clips: ClipTraining = ClipTraining(),
    *,
    cache: str | Path | None = None,
    where: Where = Where(),
) -> Trained:
    """Train head and encoder, and leave the recogniser, with its encoder inside, and the run's records in ``out``.

    Args:
        encoder: where it begins: ``i3d-k400``, the folder of a trained encoder, or the name of a backbone with fresh
            weights.
        clips: what it sees.
        cache: folder for decoded videos; by default ``out/cache``.

    Raises:
        AnnotationError, OptionError: what cannot be trained on, with the cure.
        OutputError: ``out`` cannot be written, or already holds a run.
    """
    seed_weights(options.seed)
    backbone, spec = starting_point(encoder, clips)
    videos = {video_of(clip): clip.path for part in (parts.train, parts.validation, parts.test) for clip in part}
    library = Clips(videos, (spec.stream,), clip_options(spec), cache=Path(cache or Path(out) / "cache"))
    library.prepare(where.workers)
    left = {name: library.failed[path] for name, path in videos.items() if path in library.failed}
    parts = without(parts, left, video_of)
    lengths = {name: library.samples(number) / spec.fps for number, name in enumerate(library.names)}
    for clip in (*parts.train, *parts.validation, *parts.test):
        require_within(clip, lengths[video_of(clip)])
    tokens, places, width = _measured(backbone, spec)
    grid = places if looks_at_places(head) else 1
    backbone = backbone.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]  # twice as fast
    network = Recognizer(backbone, build_classifier(head, width, tokens, len(parts.classes), grid))
    task = ClipTask(network, head, options, spec, library, parts)
    answer = run(task, out, options, where)
    assert isinstance(answer, Recognizer)
    save_encoder(Path(out) / "encoder", answer.backbone, spec)
    validation = means(task.clip_logits(answer, parts.validation), len(parts.classes)).numpy()
    recognizer = TrainedRecognizer(
        answer.classifier,
        parts.classes,
        ClipEye(Path(out) / "encoder", grid=grid, device=where.device, runtime=where.runtime),
        head=head,
        width=width,
        tokens=tokens,
        temperature=temperature(validation, parts.numbers(parts.validation)),
        examples=examples(parts),
    )
    recognizer.save(out)
    answers = [recognizer.average_of(logits.double()) for logits in task.clip_logits(answer, parts.test, "all")]
    return Trained(recognizer, parts, validation, np.array(answers).reshape(-1, len(parts.classes)), left)


def starting_point(encoder: str, clips: ClipTraining) -> tuple[nn.Module, TrainedSpec]:
    """The backbone that training begins with, on the CPU, and what it sees.

    Raises:
        OptionError: an encoder of single frames, or options that do not go with it.
    """
    if encoder in list_backbones():
        backbone, spec = _fresh(encoder, clips)
    elif encoder in _CATALOGUE:
        backbone, spec = _published(encoder, clips)
    else:
        backbone, spec = _trained(encoder, clips)
    size = spec.size if clips.clip_size is None else clips.clip_size
    return backbone.requires_grad_(True), replace(
        spec,
        clip_length=clips.frames or spec.clip_length,
        fps=clips.clip_fps or spec.fps,
        size=size,
        decode_size=spec.decode_size if size == spec.size else 2 * round(spec.decode_size * size / spec.size / 2),
        origin=f"fine-tuned from {encoder}",
    )


def _fresh(name: str, clips: ClipTraining) -> tuple[nn.Module, TrainedSpec]:
    backbone = build_backbone(name, width=clips.width, reduction=clips.reduction)
    spec = TrainedSpec(name, clips.width, "batch", clips.stream, 25.0, 32, 112, 150, reduction=clips.reduction)
    return backbone, spec


def _published(encoder: str, clips: ClipTraining) -> tuple[nn.Module, TrainedSpec]:
    """A backbone with the weights of the catalogue's encoder, wherever a reduction leaves it a place for them."""
    name, published = _CATALOGUE[encoder], encoder_spec(encoder)
    backbone = build_backbone(name, reduction=clips.reduction)
    trained = backbone_of(load_encoder(encoder, device="cpu", runtime="torch").network).state_dict()
    own = backbone.state_dict()
    fitting = {key: each for key, each in trained.items() if key in own and own[key].shape == each.shape}
    backbone.load_state_dict({**own, **fitting})
    spec = TrainedSpec(
        name,
        1.0,
        "batch",
        "rgb",
        published.fps,
        64,
        published.size,
        round(published.size * 8 / 7),
        reduction=clips.reduction,
        mean=_each_colour(published.mean),
        std=_each_colour(published.std),
    )
    return backbone, spec


def _trained(encoder: str, clips: ClipTraining) -> tuple[nn.Module, TrainedSpec]:
    if encoder_spec(encoder).per_frame:
        cure = "leave --finetune away; or fine-tune i3d-k400, a trained encoder or a backbone"
        raise OptionError(f"{encoder} looks at single frames and cannot be fine-tuned", cure=cure)
    spec = trained_spec(encoder)
    if clips.reduction not in ("none", spec.reduction):
        raise OptionError("--reduction goes with i3d-k400 and fresh backbones", cure="leave it out")
    return backbone_of(load_encoder(encoder, device="cpu", runtime="torch").network), spec


def _each_colour(value: float | PerChannel | None) -> PerChannel | None:
    return (value, value, value) if isinstance(value, (int, float)) else value


class ClipTask(RecognizeTask):
    """Training of a whole recogniser on a library of clips.

    Args:
        network: clips -> logits.
        spec: what its encoder sees.
        library: holds the videos of all ``parts``.
    """

    def __init__(
        self,
        network: Recognizer,
        head: HeadOptions,
        options: RecognizeOptions,
        spec: TrainedSpec,
        library: Clips,
        parts: Parts,
    ) -> None:
        labels, held = parts.numbers(parts.train), parts.numbers(parts.validation)
        super().__init__(network, options, labels, held, [clip.name for clip in parts.train])
        self.head, self.spec, self.library, self.parts = head, spec, library, parts
        self._index = {name: number for number, name in enumerate(library.names)}

    def sample(self, index: int, rng: np.random.Generator) -> tuple[Frame, int]:
        """A clip from anywhere in the labelled part, changed at random, and its class. Shape: [T, S, S, 3], uint8."""
        clip = self.parts.train[index]
        video = self._index[video_of(clip)]
        low, high = self._reach(clip, video)
        start = int(rng.integers(low, high + 1))
        view = draw_view(rng, self.library.frame_size(video), _AUGMENT, strong=True)
        seen = self.library.read(video, [(start, (self.spec.stream,))])[0][self.spec.stream]
        return apply_view(seen, view, self.spec.size, stream=self.spec.stream), int(self.labels[index])

    def collate(self, samples: list[tuple[Frame, int]]) -> dict[str, Tensor]:
        """Shape: clips [B, T, S, S, 3], labels [B]."""
        clips, labels = zip(*samples, strict=True)
        return {"clips": torch.from_numpy(np.stack(clips)), "labels": torch.tensor(labels)}

    def logits(self, batch: dict[str, Tensor]) -> Tensor:  # type: ignore[override]  # a dict is what collate gives
        """Shape: a batch -> [B, K]."""
        return self.networks["recognizer"](self._prepared(batch["clips"]))

    def validation_logits(self) -> Tensor:
        """Of every validation clip, from its centre. Shape: [M, K]."""
        return means(self.clip_logits(self.networks["recognizer"], self.parts.validation), len(self.parts.classes))

    @torch.no_grad()
    def clip_logits(
        self, network: nn.Module, clips: Sequence[LabelledClip], which: ClipChoice = "centre"
    ) -> list[Tensor]:
        """Logits of the centre of each, or of ``all`` clips that tile the labelled part. Shape of each: [n, K]."""
        device = next(network.parameters()).device
        found = []
        for clip in clips:
            video = self._index[video_of(clip)]
            starts = part_starts(self.library, video, _part(clip), which).tolist()
            logits = []
            for first in range(0, len(starts), _CLIPS_AT_ONCE):
                spans = [(start, (self.spec.stream,)) for start in starts[first : first + _CLIPS_AT_ONCE]]
                seen = [each[self.spec.stream] for each in self.library.read(video, spans)]
                size, stream = self.spec.size, self.spec.stream
                views = np.concatenate([crop_window(each, size, 1, stream, self.spec.crop) for each in seen])
                logits.append(network(self._prepared(torch.from_numpy(views).to(device))))
            found.append(torch.cat(logits).float().cpu())
        return found

    def settings(self) -> dict[str, Any]:
        """What, beside the loop's options, decides the result."""
        return {**super().settings(), "head": asdict(self.head), "clip": asdict(self.spec)}

    def _reach(self, clip: LabelledClip, video: int) -> tuple[int, int]:
        """First and last sample that a training clip may begin at."""
        if clip.start is None:
            return 0, self.library.starts(video) - 1
        starts = part_starts(self.library, video, _part(clip))
        return int(starts[0]), int(starts[-1])

    def _prepared(self, clips: Tensor) -> Tensor:
        """Shape: [B, T, S, S, 3] of pixels -> [B, 3, T, S, S]."""
        return prepare_pixels(clips, self.spec.mean, self.spec.std)


def means(logits: Sequence[Tensor], classes: int) -> Tensor:
    """Mean logits of each video. Shape: each [n, K] -> [N, K]."""
    return torch.stack([each.mean(dim=0) for each in logits]) if logits else torch.empty(0, classes)


def _part(clip: LabelledClip) -> tuple[float, float] | None:
    return None if clip.start is None or clip.end is None else (clip.start, clip.end)


@torch.no_grad()
def _measured(backbone: nn.Module, spec: TrainedSpec) -> tuple[int, int, int]:
    """How many tokens a clip has, how many places along a side of each, and their channels."""
    training = backbone.training
    shape = backbone.eval()(torch.zeros(1, 3, spec.clip_length, spec.size, spec.size)).shape
    backbone.train(training)
    return int(shape[2]), int(max(shape[3:])), int(shape[1])
