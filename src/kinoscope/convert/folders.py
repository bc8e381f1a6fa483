"""A checkpoint of others → a folder that the other commands take: an encoder, a recogniser, an AR-Net, a localiser."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from torch import nn

from ..encoders.trained import TrainedSpec, save_encoder
from ..errors import AnnotationError, OptionError, WeightError
from ..localize.localizer import Localizer
from ..video.streams import Stream
from . import backbones, bert3d
from .actionformer import RELEASES, load_actionformer, release_of
from .arnet import load_arnet, official_options
from .coclr import load_coclr_s3d, width_of
from .flow_input import Network, PublishedFlow
from .official import load_from


@dataclass(frozen=True)
class Converted:
    """What was written."""

    kind: str
    """``encoder``, ``recognizer``, ``arnet`` or ``localizer``."""
    spec: TrainedSpec | None
    """The encoder, or that of the recogniser; an AR-Net has networks of its own, a localiser takes features."""
    parameters: int
    """Of all that was written."""
    classes: int | None = None
    """Of a recogniser, an AR-Net or a localiser."""
    named: bool = False
    """Whether the names of the classes are known."""
    origin: str = ""
    """Which release of a localiser it is."""
    time: str = ""
    """Of the features that a localiser takes, in words."""
    flags: str = ""
    """The same as options, where feature files have to be given their time."""


def convert_encoder(file: Path, source: str, out: Path, *, stream: Stream | None, fps: float | None) -> Converted:
    """Write the encoder in a CoCLR checkpoint or in a public release of a backbone.

    Args:
        source: ``coclr-s3d``, or a key of :data:`.backbones.RELEASES`.
        stream: what it was trained on; None: what the tensors tell, or colours.
        fps: sampled frames per second; None: as it was trained.

    Raises:
        WeightError: the file cannot be read, or does not hold the tensors of ``source``.
        OptionError: the tensors tell of another stream.
        OutputError: the folder cannot be written.
    """
    if source == "coclr-s3d":
        backbone, spec = _coclr(file, stream or "rgb")
    else:
        release = backbones.RELEASES[source]
        loaded = load_from(file, partial(backbones.load_backbone, source=source))
        network, stream = _seen(loaded, stream, file)
        backbone = network.backbone
        spec = release.diet.spec(release.backbone, stream, epsilon=release.epsilon)
    spec = replace(spec, fps=spec.fps if fps is None else fps, origin=f"converted from {file.name}")
    save_encoder(out, backbone, spec)
    return Converted("encoder", spec, count(backbone))


def convert_recognizer(
    file: Path, source: str, out: Path, *, stream: Stream | None, fps: float | None, classes: Path | None
) -> Converted:
    """Write the recogniser in an official checkpoint, its encoder in the folder ``encoder`` inside.

    As the published code it averages logits over clips and crops.

    Args:
        source: a key of :data:`.bert3d.RELEASES`.
        stream, fps: see :func:`convert_encoder`.
        classes: see :func:`read_classes`; without it they are ``class-0`` and so on.

    Raises:
        WeightError: the file cannot be read, or does not hold the tensors of ``source``.
        OptionError: the tensors tell of another stream.
        AnnotationError: the names of the classes cannot be used.
        OutputError: the folder cannot be written.
    """
    from ..bert3d.clip_eye import ClipEye
    from ..bert3d.recognizer import TrainedRecognizer

    release = bert3d.RELEASES[source]
    network, stream = _seen(load_from(file, partial(bert3d.load_bert3d, source=source)), stream, file)
    head, outputs = network.classifier.head, network.classifier.last.out_features
    width, tokens = int(head.width), int(head.tokens)  # type: ignore[arg-type]  # it is a BertHead
    names = _names(classes, outputs)
    spec = release.diet.spec(
        release.backbone,
        stream,
        reduction=release.reduction,
        clip_length=tokens * release.step,
        fps=release.diet.fps if fps is None else fps,
        origin=f"converted from {file.name}",
    )
    save_encoder(out / "encoder", network.backbone, spec)
    eye = ClipEye(out / "encoder", device="cpu", runtime="torch")
    recognizer = TrainedRecognizer(
        network.classifier, names, eye, head=release.head, width=width, tokens=tokens, average="logits"
    )
    recognizer.save(out)
    return Converted("recognizer", spec, count(network), outputs)


def convert_arnet(file: Path, out: Path, *, classes: Path | None) -> Converted:
    """Write the AR-Net in an official checkpoint; :func:`kinoscope.arnet.model.load_adaptive` reads the folder.

    The released networks were trained while their memory saw frames that were skipped (sheet, section 10.3). What truly
    skips cannot honour that, so the folder says ``clean``: after a skip its decisions drift from the published ones. No
    curve comes with it, so a budget of operations or time is met by looking at fewer frames alone.

    Args:
        classes: see :func:`read_classes`; without it they are ``class-0`` and so on.

    Raises:
        WeightError, AnnotationError, OutputError: see :func:`convert_recognizer`.
    """
    from ..arnet.model import AdaptiveRecognizer

    network = load_from(file, load_arnet)
    network.rule = "clean"
    names = _names(classes, network.classes)
    options = official_options(network.policy.rnn.hidden_size, "clean")
    AdaptiveRecognizer(network, options, names, learned=True, device="cpu", runtime="torch").save(out)
    return Converted("arnet", None, count(network), network.classes)


def convert_localizer(file: Path, out: Path, *, fps: float | None, classes: Path | None) -> Converted:
    """Write the ActionFormer in an official checkpoint; :meth:`kinoscope.localize.localizer.Localizer.load` reads it.

    Args:
        fps: sampled frames per second of its features, where they are not those that it was trained on.
        classes: see :func:`read_classes`; without it those of the release, if they are known.

    Raises:
        WeightError: the file cannot be read, or is none of the releases.
        AnnotationError, OutputError: see :func:`convert_recognizer`.
    """
    network = load_from(file, load_actionformer)
    release = release_of(network.options)
    if release is None:
        known = "; ".join(each.name for each in RELEASES)
        problem = "its sizes are those of no release, and no tensor tells how far it looks and what it takes"
        cure = f'known are {known}; others from Python: kinoscope.load_official(path, "actionformer")'
        raise WeightError(problem, where=file, cure=cure)
    spec = release.spec if fps is None else replace(release.spec, fps=fps, steps=None)
    names = release.labels if classes is None and release.labels else _names(classes, release.classes)
    Localizer(network, names, spec, release.decoding).save(out)
    told = f"features of {spec.width} channels, a row of {spec.clip_length:g} frames every {spec.stride:g}"
    told, flags = f"{told}, at {spec.fps:g} frames per second", ""
    if spec.steps is not None and spec.steps[0] < spec.steps[1]:
        told += " or what the video has"
        flags = f" --fps {spec.fps:g} --stride {spec.stride:g} --clip-length {spec.clip_length:g}"
    named = classes is not None or bool(release.labels)
    return Converted("localizer", None, count(network), release.classes, named, release.name, told, flags)


def _names(classes: Path | None, outputs: int) -> Sequence[str]:
    return read_classes(classes, outputs) if classes is not None else [f"class-{k}" for k in range(outputs)]


def read_classes(path: Path, expected: int) -> tuple[str, ...]:
    """Names of classes in the order of the outputs, one per line.

    Raises:
        AnnotationError: the file cannot be read, a name is empty or there twice, or their number is another.
    """
    try:
        names = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise AnnotationError(
            f"cannot be read: {error}", where=path, cure="give a text file, one name a line"
        ) from error
    while names and not names[-1]:
        names.pop()
    seen: dict[str, int] = {}
    for line, name in enumerate(names, 1):
        if not name or name in seen:
            problem = f"{name!r} is on line {seen[name]} already" if name else "no name"
            raise AnnotationError(problem, where=f"{path}:{line}", cure="give each class its own name, one a line")
        seen[name] = line
    if len(names) != expected:
        cure = "give the classes of its training set, in their order"
        raise AnnotationError(f"names {len(names)} classes, but the network has {expected}", where=path, cure=cure)
    return tuple(names)


def count(network: nn.Module) -> int:
    """Trainable numbers."""
    return sum(parameter.numel() for parameter in network.parameters())


def _coclr(file: Path, stream: Stream) -> tuple[nn.Module, TrainedSpec]:
    network = load_from(file, load_coclr_s3d)
    name = "s3d-g" if any("gating" in key for key in network.state_dict()) else "s3d"
    spec = TrainedSpec(
        name,
        *(width_of(network), "batch", stream),
        fps=25.0,
        clip_length=32,
        size=128,
        decode_size=170,
        crop=224 / 240,  # published frames have a short side of 240, of which 224 are seen
    )
    return network.backbone, spec


def _seen(network: Network | PublishedFlow[Network], asked: Stream | None, file: Path) -> tuple[Network, Stream]:
    """The network that takes our clips, and what of them it sees.

    Raises:
        OptionError: another stream was asked for.
    """
    stream: Stream = "flow" if isinstance(network, PublishedFlow) else "rgb"
    if asked not in (None, stream):
        problem = f"its first convolution was trained on {stream}, not on {asked}"
        raise OptionError(problem, where=file, cure="leave --stream out")
    return (network.network if isinstance(network, PublishedFlow) else network), stream
