"""From a raw video to segments in one object: what ``kinoscope.load`` gives back.

This is where the layers meet: a video is encoded, adapted if the model was trained on adapted features, and the
features become segments, by a trained head or, without any training, from the encoder's own classes.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from .arnet.model import KIND as ARNET
from .arnet.model import AdaptiveRecognizer, load_adaptive
from .bert3d.recognizer import KIND as RECOGNIZER
from .bert3d.recognizer import TrainedRecognizer, load_recognizer
from .data.feature_spec import FeatureSpec
from .data.features import Features
from .data.segments import Segment
from .encoders import Encoder, EncoderSpec, Sampling, encoder_spec, load_encoder
from .encoders.extract import Effort, extract_features
from .encoders.sampling import Runtime
from .engine.model_folder import CONFIG, peek_config
from .errors import DamagedVideoWarning, OptionError, WeightError
from .localize.from_scores import ScoreOptions, segments_from_scores
from .localize.localizer import ADAPTER, ENCODER, Localizer
from .sola import Adapter, load_adapter
from .sola.adapter import is_adapted, raw_encoder

_CURVES = 12


@dataclass(frozen=True)
class Localization:
    """What was found in one video, and what it was found from."""

    segments: list[Segment]
    """Best first."""
    features: Features
    """Of the encoder."""
    adapted: Features | None
    """After the adapter, if the model has one."""
    scores: dict[str, np.ndarray]
    """Probability of the most probable labels at each feature row. Shape of each: [T]."""
    damage: tuple[str, ...] = ()
    """What of the video could not be decoded."""
    effort: Effort = field(default_factory=Effort)

    @property
    def duration(self) -> float:
        """Length of the video in seconds."""
        return self.features.time.duration or 0.0


class Pipeline:
    """Raw video → segments.

    Args:
        encoder: name of the encoder, or the tag that features carry.
        sampling: which frames it sees.
        head: a trained head; without one, the encoder's own classes are followed over time.
        adapter: SoLa (or a control), between the encoder and the head.
        score_options: how class scores become segments, without a head.
        device: see :func:`kinoscope.load_encoder`.
    """

    def __init__(
        self,
        encoder: str = "i3d-k400",
        sampling: Sampling = Sampling(),
        *,
        head: Localizer | None = None,
        adapter: Adapter | None = None,
        score_options: ScoreOptions = ScoreOptions(),
        device: str = "auto",
        runtime: Runtime = "auto",
    ) -> None:
        self.spec = sampling.resolve(encoder_spec(encoder))
        if head is None and self.spec.labels is None:
            raise OptionError(
                f"the encoder {self.spec.name} knows no classes of actions to look for without training",
                cure="use --encoder i3d-k400, or a model of your own: kinoscope train localize, then --model",
            )
        self.sampling, self.head, self.adapter, self.score_options = sampling, head, adapter, score_options
        self._device, self._runtime = device, runtime

    @cached_property
    def encoder(self) -> Encoder:
        """The encoder, loaded when first needed."""
        return load_encoder(self.spec.name, device=self._device, runtime=self._runtime)

    @property
    def classes(self) -> tuple[str, ...]:
        """Labels that can be found."""
        return self.head.classes if self.head is not None else self.spec.classes()

    def localize(self, path: str | Path) -> list[Segment]:
        """Segments of a video, best first. Raises :class:`VideoError` if it cannot be read."""
        return self.analyse(path).segments

    def analyse(self, path: str | Path, report: Callable[[float], None] | None = None) -> Localization:
        """Segments together with features, scores and damage.

        Args:
            report: called with the seconds of video that were done since the last call.
        """
        effort = Effort()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", DamagedVideoWarning)
            features = extract_features(path, self.encoder, self.sampling, report=report, effort=effort)
        damage = tuple(str(w.message) for w in caught if issubclass(w.category, DamagedVideoWarning))
        return self.localize_features(features, damage, effort)

    def localize_features(
        self, features: Features, damage: tuple[str, ...] = (), effort: Effort | None = None
    ) -> Localization:
        """As :meth:`analyse`, from features of the encoder (before SoLa)."""
        adapted = self.adapter.adapt(features) if self.adapter is not None else None
        if self.head is not None:
            used = adapted or features
            segments, scores = self.head.localize_with_scores(used)
        else:
            scores = class_probabilities(self.encoder, features)
            segments = segments_from_scores(scores, features.time, self.classes, self.score_options)
        curves = _most_probable(scores, self.classes, [segment.label for segment in segments])
        return Localization(segments, features, adapted, curves, damage, effort or Effort())


def class_probabilities(encoder: Encoder, features: Features) -> np.ndarray:
    """Probabilities of the encoder's classes at each feature row. Shape: [T, K]."""
    with torch.inference_mode():
        rows = torch.from_numpy(features.values).to(encoder.device)
        return encoder.classify(rows).softmax(dim=1).cpu().numpy()  # [T, C] -> [T, K]


def load(
    folder: str | Path, *, device: str = "auto", runtime: Runtime = "auto"
) -> Pipeline | TrainedRecognizer | AdaptiveRecognizer:
    """Anything that ``kinoscope train`` wrote, ready for raw video.

    What ``train localize`` wrote gives a :class:`Pipeline` (``.localize(path)``), what ``train recognize``, ``train
    arnet`` or ``kinoscope convert`` wrote a recogniser (``.recognize(path)``; with an AR-Net also ``budget="0.5s"``).

    Raises:
        WeightError: not a model, or one whose encoder Kinoscope does not have.
    """
    config = peek_config(Path(folder) / CONFIG)
    kind = config.get("kind") if isinstance(config, dict) else None
    if kind == RECOGNIZER:
        return load_recognizer(folder, device=device, runtime=runtime)
    if kind == ARNET:
        return load_adaptive(folder, device=device, runtime=runtime)
    return load_localizer(folder, device=device, runtime=runtime)


def load_localizer(folder: str | Path, *, device: str = "auto", runtime: Runtime = "auto") -> Pipeline:
    """What ``kinoscope train localize`` wrote, ready for raw video.

    Raises:
        WeightError: not a localisation model, or one whose encoder Kinoscope does not have.
    """
    folder = Path(folder)
    head, adapter = load_head(folder)
    name = head.features.encoder
    if not raw_encoder(name):
        raise WeightError(
            "was trained on features whose encoder is not known",
            where=folder,
            cure=f"give it feature files of the same tool: kinoscope localize FEATURES --model {folder}",
        )
    own = folder / ENCODER
    spec = encoder_spec(str(own)) if own.is_dir() else _encoder_of(folder, raw_encoder(name))
    if name == raw_encoder(name) and head.features.weight_hash not in ("", spec.weights.hash):  # else the adapter tells
        problem = f"was trained on features of {name!r} with other weights ({head.features.weight_hash})"
        raise WeightError(problem, where=folder, cure="extract the features again, and train on them")
    sampling = Sampling(head.features.fps, int(head.features.clip_length), int(head.features.stride), spec.size)
    return Pipeline(spec.name, sampling, head=head.to("cpu"), adapter=adapter, device=device, runtime=runtime)


def reads_videos(features: FeatureSpec) -> bool:
    """Whether a model that takes ``features`` can be given videos: their encoder is known, and at hand."""
    name = raw_encoder(features.encoder)
    try:
        return bool(name) and encoder_spec(name) is not None
    except (OptionError, WeightError):
        return False


def _encoder_of(folder: Path, name: str) -> EncoderSpec:
    """The encoder that the features of the model in ``folder`` came from."""
    try:
        return encoder_spec(name)
    except (OptionError, WeightError) as error:
        raise WeightError(
            f"was trained on features of {name!r}, which Kinoscope does not have",
            where=folder,
            cure="if that is a folder, put it back, or start where its path leads to it; else give it feature "
            f"files of the same tool: kinoscope localize FEATURES --model {folder}",
        ) from error


def load_head(folder: Path) -> tuple[Localizer, Adapter | None]:
    """The head of a trained model, and the adapter of its features if they are adapted.

    Raises:
        WeightError: not a model, or a damaged one.
    """
    if folder.is_file():
        raise WeightError("is a file, but a model is a folder", where=folder, cure="give the folder of a training run")
    head = Localizer.load(folder)
    return head, load_adapter(folder / ADAPTER) if is_adapted(head.features.encoder) else None


def keep_adapter(features: str | Path, run: str | Path) -> None:
    """Copy the adapter that made the features in a folder into a model trained on them; nothing if there is none."""
    from .files import atomic_path
    from .sola import adapter_folder

    source = adapter_folder(features)
    if not (source / "config.json").is_file():
        return
    for name in ("model.safetensors", "config.json"):
        with atomic_path(Path(run) / ADAPTER / name) as temporary:
            temporary.write_bytes((source / name).read_bytes())


def _most_probable(scores: np.ndarray, classes: tuple[str, ...], found: list[str]) -> dict[str, np.ndarray]:
    """Curves of the labels that were found and of those with the highest peaks."""
    peaks = [classes[k] for k in np.argsort(-scores.max(axis=0), kind="stable")[:_CURVES]]
    names = list(dict.fromkeys([*found, *peaks]))[:_CURVES]
    return {name: scores[:, classes.index(name)] for name in names}
