"""Training a head on features of a frozen encoder, which are computed once.

    parts = training_clips(read_labelled_clips("labels.csv"))
    trained = train_head(parts, "runs/ut", encoder="i3d-k400")

Not supported: several encoders in one network (fuse trained recognisers instead), more than one label per clip.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from ..data.clip_parts import Parts, examples, without
from ..data.feature_spec import FeatureSpec
from ..data.feature_store import FeatureStore
from ..data.features import Features, FeatureTime
from ..data.labelled_clips import video_of
from ..encoders import encoder_spec, load_encoder
from ..encoders.folder import extract_videos
from ..encoders.sampling import Runtime, Sampling
from ..engine import LoopOptions, fit
from ..engine.calibration import temperature
from ..engine.seeds import seed_weights
from ..errors import FeatureError, KinoscopeError, OptionError, OutputError
from .feature_eye import FeatureEye, row_glimpses
from .network import TokenClassifier, build_classifier
from .options import HeadOptions, RecognizeOptions, head_for_frozen
from .recognizer import TrainedRecognizer
from .task import HeadTask, RecognizeTask, mean_logits
from .token_clips import TokenClips, moments, read_token_clips

SHORT_CLIPS = Sampling(clip_length=16, stride=8)
"""What a clip encoder sees where nothing is said: short clips, so that rows tell one moment from the next."""
_USUAL_TOKENS = 64
MOST_TOKENS = 4096
"""Rows of a window; beyond, attention takes more memory than it is worth."""


@dataclass(frozen=True)
class Where:
    """Where a training computes, and whether it goes on."""

    resume: bool = False
    workers: int = 0
    device: str = "auto"
    runtime: Runtime = "auto"
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    early: Callable[[Tensor], None] | None = None
    """A look at the mistakes while training: called with the mean logits of the validation clips [M, K]."""


@dataclass(frozen=True)
class Trained:
    """What came of a training."""

    recognizer: TrainedRecognizer
    parts: Parts
    """Without the clips whose videos could not be read."""
    validation: np.ndarray
    """Mean logits of the validation clips. Shape: [M, K]."""
    test: np.ndarray
    """Probabilities of the test clips. Shape: [N, K]."""
    missing: Mapping[str, str] = field(default_factory=dict)
    """Videos that could not be read, and why."""

    @property
    def parameters(self) -> int:
        """Of the head and its classifier."""
        return sum(parameter.numel() for parameter in self.recognizer.classifier.parameters())


def train_head(
    parts: Parts,
    out: str | Path,
    head: HeadOptions = HeadOptions(),
    options: RecognizeOptions = RecognizeOptions(),
    *,
    features: Mapping[str, Features] | str | Path | None = None,
    encoder: str | None = None,
    sampling: Sampling = Sampling(),
    time: FeatureTime | None = None,
    tokens: int | None = None,
    where: Where = Where(),
) -> Trained:
    """Train a head, and leave the recogniser and the run's records in ``out``.

    Args:
        features: by video name; or a folder of them. What ``encoder`` makes goes there too; else into ``out/features``.
        encoder: makes the features that are missing; without one all must be there.
        sampling: what the encoder looks at; clip encoders see :data:`SHORT_CLIPS` where nothing is given.
        time: of features that hold none.
        tokens: most rows of a window; by default the longest training clip is one window, up to 64 rows.

    Raises:
        AnnotationError, FeatureError, OptionError: what cannot be trained on, with the cure.
        OutputError: ``out`` cannot be written, or already holds a run.
    """
    if tokens is not None and not 1 <= tokens <= MOST_TOKENS:
        cure = "leave it out: the longest clip tells"
        raise OptionError(f"tokens is {tokens}, but must lie between 1 and {MOST_TOKENS}", cure=cure)
    missing: dict[str, str] = {}
    if encoder is not None and not isinstance(features, Mapping):
        features = Path(features or Path(out) / "features")
        missing = _extract(parts, features, encoder, sampling, where)
    if features is None:
        raise OptionError("there are neither features nor an encoder", cure="give --encoder, --features, or both")
    store = features if isinstance(features, Mapping) else FeatureStore(features, time).mapped()
    parts = without(parts, missing, video_of)
    train, held, test = (
        read_token_clips(part, store, parts.numbers(part)) for part in (parts.train, parts.validation, parts.test)
    )
    spec = FeatureSpec.of((name, store[name]) for name in dict.fromkeys(map(video_of, parts.train)))
    others = dict.fromkeys(map(video_of, (*parts.train, *parts.validation, *parts.test)))
    FeatureSpec.of((name, store[name]) for name in others)  # those that are only scored are of the same kind
    window = tokens or min(train.longest, _USUAL_TOKENS)
    head = head_for_frozen(head, spec.width)
    seed_weights(options.seed)
    classifier = build_classifier(head, spec.width, window, len(parts.classes))
    classifier.standardize(*moments(train.rows))
    task = HeadTask(classifier, head, options, train, held, window)
    answer = run(task, out, options, where)
    assert isinstance(answer, TokenClassifier)
    validation = _logits(answer, held, window)
    recognizer = TrainedRecognizer(
        answer,
        parts.classes,
        FeatureEye(spec, window, device=where.device, runtime=where.runtime),
        head=head,
        width=spec.width,
        tokens=window,
        temperature=temperature(validation, held.labels),
        examples=examples(parts),
    )
    recognizer.save(out)
    return Trained(recognizer, parts, validation, _probabilities(recognizer, test, window), missing)


def run(task: RecognizeTask, out: str | Path, options: RecognizeOptions, where: Where) -> torch.nn.Module:
    """The training loop; gives the network that counts, on the CPU.

    Raises:
        KinoscopeError: its weights are no finite numbers.
    """
    task.early = where.early
    loop = LoopOptions(
        epochs=options.epochs,
        batch_size=min(options.batch_size, len(task)),
        accumulate=options.accumulate,
        seed=options.seed,
        workers=where.workers,
        accelerator=where.device,
        precision=where.precision,
    )
    fit(task, out, loop, resume=where.resume, settings=task.settings(), title="Training the recogniser")
    answer = task.answer
    if not all(bool(parameter.isfinite().all()) for parameter in answer.parameters()):
        raise KinoscopeError("the weights are no finite numbers", where=out, cure="lower the learning rate")
    return answer


def _extract(parts: Parts, folder: Path, encoder: str, sampling: Sampling, where: Where) -> dict[str, str]:
    """Make the features that are missing; gives the videos that failed."""
    if not encoder_spec(encoder).per_frame and sampling.clip_length is None and sampling.stride is None:
        sampling = replace(sampling, clip_length=SHORT_CLIPS.clip_length, stride=SHORT_CLIPS.stride)
    videos = {video_of(clip): clip.path for part in (parts.train, parts.validation, parts.test) for clip in part}
    loaded = load_encoder(encoder, device=where.device, runtime=where.runtime)
    try:
        outcome = extract_videos(videos, folder, loaded, sampling)
    except OutputError as error:
        cure = "give another folder as --features, or the encoder and sampling that these were made with"
        raise OutputError(error.problem, where=error.where, cure=cure) from error
    failed = {name: outcome.failed[str(path)] for name, path in videos.items() if str(path) in outcome.failed}
    if len(failed) == len(videos):
        name, problem = next(iter(failed.items()))
        raise FeatureError(f"no video could be read: {problem}", where=videos[name], cure="see: kinoscope probe")
    return failed


def _logits(network: TokenClassifier, clips: TokenClips, window: int) -> np.ndarray:
    """Shape: -> [M, K]."""
    if not len(clips):
        return np.empty((0, network.last.out_features), np.float32)
    return mean_logits(network, clips.rows, window).cpu().numpy()


def _probabilities(recognizer: TrainedRecognizer, clips: TokenClips, window: int) -> np.ndarray:
    """As the recogniser tells them of every clip. Shape: -> [N, K]."""
    found = [
        recognizer.judge(row_glimpses(rows, np.zeros((len(rows), 2)), window)).probabilities for rows in clips.rows
    ]
    return np.stack(found) if found else np.empty((0, len(recognizer.classes)))
