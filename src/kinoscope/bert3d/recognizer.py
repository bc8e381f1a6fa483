"""A trained recogniser with everything that it needs: its classes, its eyes, how its answers are made.

On disk it is a folder: ``config.json`` and ``model.safetensors`` (the head), and the encoder by name or inside. Eyes
are of two kinds: features of a frozen encoder (:class:`.feature_eye.FeatureEye`), or a whole network that looks at
clips (:class:`.clip_eye.ClipEye`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

import torch
from torch import Tensor

from ..data.features import Features
from ..encoders import Encoder
from ..engine.calibration import most_probable
from ..engine.model_folder import CONFIG, MAKE_ANEW, load_weights, read_config, save_model
from ..errors import OptionError, WeightError
from ..video.sampling import FloatArray
from .network import TokenClassifier, build_classifier
from .options import HeadOptions
from .protocol import ClipChoice

KIND, VERSION = "recognizer", 1
GIVE_ONE = "give the folder of a recogniser: `kinoscope train recognize` or `kinoscope convert` writes one"

Average = Literal["probabilities", "logits"]


@dataclass(frozen=True)
class Glimpse:
    """One clip of a video as tokens, in one or several views (crops, flips)."""

    tokens: Tensor
    """Shape: [V, N, C], or [V, N, H, W, C] with places."""
    spans: FloatArray
    """When each token was seen, in seconds. Shape: [N, 2]."""


class Eye(Protocol):
    """From a video to glimpses of it."""

    grid: int
    """Places along each side of a token; 1: pooled."""

    @property
    def encoder(self) -> Encoder:
        """What it looks through, loaded when first needed."""

    def look(
        self, path: str | Path, clips: ClipChoice, crops: int, part: tuple[float, float] | None
    ) -> tuple[list[Glimpse], tuple[str, ...]]:
        """The glimpses, and what of the video is damaged. ``part``: seconds from and to, of the video."""

    def describe(self) -> dict[str, Any]:
        """For ``config.json``."""

    def save(self, folder: Path) -> None:
        """Write what a folder must hold beside the head."""


@dataclass(frozen=True)
class Look:
    """One clip that was looked at: what it alone shows, and how much each token of it was looked at."""

    spans: FloatArray
    """Seconds of each token. Shape: [N, 2]."""
    probabilities: FloatArray
    """Shape: [K]."""
    attention: FloatArray | None = None
    """Weights on the tokens, by layer and attention head; none from heads without. Shape: [L, H, N]."""
    own: FloatArray | None = None
    """Weight of the class token on itself, if there is one. Shape: [L, H]."""


@dataclass(frozen=True)
class Recognition:
    """What one video shows."""

    probabilities: FloatArray
    """Shape: [K]."""
    logits: FloatArray
    """Mean over clips and views, for fusion. Shape: [K]."""
    classes: tuple[str, ...]
    looks: tuple[Look, ...] = ()
    """The clips, in the order of time."""
    damage: tuple[str, ...] = ()

    def best(self, count: int = 5) -> list[tuple[str, float]]:
        """The most probable labels with their probabilities; of equal ones the first."""
        return most_probable(self.probabilities, self.classes, count)


class TrainedRecognizer:
    """Videos → probabilities of classes.

    Args:
        classifier: tokens -> logits.
        classes: name of each class, in the order of the logits.
        eye: what looks at videos.
        head: what the classifier was built from.
        width: C of its tokens.
        tokens: N of a window.
        temperature: logits are divided by it before they become probabilities.
        average: what is averaged over clips and views; the published code averages logits.
        examples: some videos that it was tested on, for checks of exports.

    Raises:
        OptionError: names, numbers or an average that make no sense.
    """

    def __init__(
        self,
        classifier: TokenClassifier,
        classes: Sequence[str],
        eye: Eye,
        *,
        head: HeadOptions,
        width: int,
        tokens: int,
        temperature: float = 1.0,
        average: Average = "probabilities",
        examples: Sequence[str] = (),
    ) -> None:
        outputs = classifier.last.out_features
        if len(classes) != outputs or len(set(classes)) != outputs:
            problem = f"{len(classes)} class names ({len(set(classes))} different) for {outputs} outputs"
            raise OptionError(problem, cure="give one name per class")
        if tokens < 1 or eye.grid < 1:
            raise OptionError(f"tokens is {tokens} and grid {eye.grid}, but both must be at least 1")
        if not 0 < temperature < math.inf:
            raise OptionError(f"temperature is {temperature}, but must be a positive number", cure="1 changes nothing")
        if average not in get_args(Average):
            raise OptionError(f"average is {average!r}", cure=f"one of: {', '.join(get_args(Average))}")
        self.classifier, self.classes, self.eye = classifier.eval(), tuple(classes), eye
        self.head, self.width, self.tokens = head, width, tokens
        self.temperature, self.average, self.examples = temperature, average, tuple(examples)

    def recognize(
        self,
        path: str | Path,
        *,
        clips: ClipChoice = "all",
        crops: int = 1,
        part: tuple[float, float] | None = None,
        attention: bool = False,
    ) -> Recognition:
        """What a video shows.

        Args:
            clips: ``all`` that tile the video, or the one in the ``centre``.
            crops: 1, the centre; or 10: centre and corners, mirrored too (not from stored features).
            part: look at these seconds of the video alone.
            attention: tell where in time was looked at; equal numbers to rounding.

        Raises:
            VideoError: it cannot be read.
            OptionError: options that do not go together.
        """
        glimpses, damage = self.eye.look(path, clips, crops, part)
        return self.judge(glimpses, attention=attention, damage=damage)

    def recognize_features(
        self, features: Features, *, clips: ClipChoice = "all", attention: bool = False
    ) -> Recognition:
        """As :meth:`recognize`, from features of a video.

        Raises:
            OptionError: this recogniser looks at clips.
            FeatureError: features of another encoder, width or step.
        """
        from .feature_eye import FeatureEye

        if not isinstance(self.eye, FeatureEye):
            raise OptionError("this recogniser looks at videos, not at features", cure="give it the video")
        return self.judge(self.eye.glimpses(features, clips), attention=attention)

    @torch.inference_mode()
    def judge(
        self, glimpses: Sequence[Glimpse], *, attention: bool = False, damage: tuple[str, ...] = ()
    ) -> Recognition:
        """The answer from glimpses."""
        device = self.classifier.last.weight.device
        logits, looks = [], []
        for glimpse in glimpses:
            tokens = glimpse.tokens.to(device)
            found, weights = self.classifier.attend(tokens) if attention else (self.classifier(tokens), None)
            logits.append(found.double().cpu())  # [V, K]
            looks.append(_look(glimpse, self.average_of(logits[-1]), weights))
        every = torch.cat(logits)  # [clips · V, K]
        probabilities = self.average_of(every)
        return Recognition(probabilities, every.mean(dim=0).numpy(), self.classes, tuple(looks), damage)

    def average_of(self, logits: Tensor) -> FloatArray:
        """One answer from the logits of several clips and views. Shape: [V, K] -> [K]."""
        calm = logits / self.temperature
        if self.average == "logits":
            return calm.mean(dim=0).softmax(dim=0).numpy()
        return calm.softmax(dim=1).mean(dim=0).numpy()

    def to(self, device: str | torch.device) -> TrainedRecognizer:
        """Move the head; returns itself."""
        self.classifier.to(device)
        return self

    def save(self, folder: str | Path) -> None:
        """Write the folder; :func:`load_recognizer` reads it.

        Raises:
            OutputError: it cannot be written.
        """
        self.eye.save(Path(folder))
        config = {
            "kind": KIND,
            "version": VERSION,
            "classes": list(self.classes),
            "head": asdict(self.head),
            "width": self.width,
            "tokens": self.tokens,
            "grid": self.eye.grid,
            "eye": self.eye.describe(),
            "temperature": self.temperature,
            "average": self.average,
            "examples": list(self.examples),
        }
        save_model(folder, self.classifier, config)


def load_recognizer(folder: str | Path, *, device: str = "auto", runtime: str = "auto") -> TrainedRecognizer:
    """Read what :meth:`TrainedRecognizer.save` wrote.

    Args:
        device, runtime: of the encoder, see :func:`kinoscope.load_encoder`.

    Raises:
        WeightError: missing or damaged files, another kind of model, a newer version, weights that do not fit, or an
            encoder that is not there.
    """
    folder = Path(folder)
    config = read_config(folder, KIND, VERSION, GIVE_ONE)
    try:
        head = HeadOptions(**config["head"])
        width, tokens, classes = int(config["width"]), int(config["tokens"]), [str(each) for each in config["classes"]]
        with torch.device("meta"):  # sizes are compared before any memory is taken
            classifier = build_classifier(head, width, tokens, len(classes), int(config["grid"]))
        recognizer = TrainedRecognizer(
            classifier,
            classes,
            _eye(folder, config["eye"], device, runtime, tokens, int(config["grid"])),
            head=head,
            width=width,
            tokens=tokens,
            temperature=float(config["temperature"]),
            average=config["average"],
            examples=[str(each) for each in config.get("examples", ())],
        )
    except KeyError as error:
        raise WeightError(f"has no {error}", where=folder / CONFIG, cure=MAKE_ANEW) from error
    except (OptionError, TypeError, ValueError, RuntimeError, ArithmeticError) as error:
        problem = error.problem if isinstance(error, OptionError) else str(error)
        raise WeightError(f"cannot be used: {problem}", where=folder / CONFIG, cure=MAKE_ANEW) from error
    load_weights(folder, classifier)
    return recognizer


def _eye(folder: Path, values: Mapping[str, Any], device: str, runtime: str, tokens: int, grid: int) -> Eye:
    from .clip_eye import ClipEye
    from .feature_eye import FeatureEye

    settings = dict(values)
    kind = settings.pop("kind")
    if kind == "features":
        return FeatureEye.from_config(settings, tokens, device=device, runtime=runtime)
    if kind == "clips":
        return ClipEye(folder / "encoder", grid=grid, device=device, runtime=runtime)
    raise ValueError(f"eye is {kind!r}")


def _look(glimpse: Glimpse, probabilities: FloatArray, weights: Tensor | None) -> Look:
    if weights is None:
        return Look(glimpse.spans, probabilities)
    mean = weights.mean(dim=0).double().cpu().numpy()  # [V, L, H, S] -> [L, H, S]
    if mean.shape[-1] == len(glimpse.spans):
        return Look(glimpse.spans, probabilities, mean)
    return Look(glimpse.spans, probabilities, mean[..., 1:], mean[..., 0])
