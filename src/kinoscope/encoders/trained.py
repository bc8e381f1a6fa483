"""Encoders that a user trained or converted: a folder with ``model.safetensors`` and ``config.json``; no pickle.

A run of co-training has one such folder per stream, ``rgb`` and ``flow``; the run itself stands for ``rgb``. A
recogniser that was trained whole, or converted, and a localiser that was trained end to end (:mod:`.tuned`) have their
encoder in the folder ``encoder`` and stand for it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, get_args

import torch
from torch import nn

from ..engine.model_folder import CONFIG, MAKE_ANEW, WEIGHTS, peek_config, read_config, save_weights
from ..errors import OptionError, WeightError
from ..files import sha256_of, write_json
from ..video.flow.encoding import Algorithm, FlowSettings
from ..video.streams import STREAMS, Stream
from .backbones import PooledBackbone, build_backbone, list_backbones
from .normalization import Normalization
from .reduction import Reduction
from .weights import FolderWeights, load_weights

KIND, VERSION = "encoder", 1
PerChannel = tuple[float, float, float]
"""A number for each of R, G and B."""
_GIVE_ONE = "give a folder that kinoscope pretrain or kinoscope convert wrote"
_BOUNDS = {  # beyond these it is no clip, or memory runs out
    "width": (1 / 64, 8),
    "fps": (1e-3, 1000),
    "clip_length": (8, 1024),
    "size": (32, 2048),
    "decode_size": (32, 4096),
    "crop": (0.1, 1),
}


@dataclass(frozen=True)
class TrainedSpec:
    """What a trained encoder is, and how its input was made; extraction makes it the same way."""

    backbone: str
    """One of :func:`~.backbones.list_backbones`."""
    width: float
    """Its channels are multiplied by this."""
    normalization: Normalization
    """See :func:`~.normalization.norm`."""
    stream: Stream
    """What of a clip it sees: its colours, its motion, or the change from frame to frame."""
    fps: float
    """Sampled frames per second of video."""
    clip_length: int
    """Sampled frames in one clip."""
    size: int
    """Pixels of the square that it sees."""
    decode_size: int
    """Pixels of the short side of decoded frames: motion is measured there, then the centre square is scaled."""
    flow: FlowSettings = field(default_factory=FlowSettings)
    """How motion is measured and stored; only for the stream ``flow``."""
    origin: str = ""
    """How it came to be, for people."""
    reduction: Reduction = "none"
    """The block that narrows its map, see :mod:`.reduction`."""
    mean: PerChannel | None = None
    """Subtracted from R, G and B, 0 … 255. None: as in pretraining, see :func:`kinoscope.video.streams.normalise`."""
    std: PerChannel | None = None
    """They are divided by it after that."""
    epsilon: float | None = None
    """What its batch norms add to variances. None: the backbone's own."""
    crop: float = 1.0
    """Side of the central square that it sees, as a share of the short side of decoded frames."""

    def __post_init__(self) -> None:
        choices = {
            "backbone": list_backbones(),
            "normalization": get_args(Normalization),
            "stream": STREAMS,
            "reduction": get_args(Reduction),
        }
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise OptionError(f"{name} is {getattr(self, name)!r}", cure=f"one of: {', '.join(known)}")
        if not isinstance(self.origin, str):
            raise OptionError(f"origin is {self.origin!r}, but must be text")
        for name, (low, high) in _BOUNDS.items():
            value, whole = getattr(self, name), name not in ("width", "fps", "crop")
            if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
                raise OptionError(f"{name} is {value!r}, but must be a {'whole ' if whole else ''}number")
            if not (math.isfinite(value) and low <= value <= high):
                raise OptionError(f"{name} is {value:g}, but must lie between {low:g} and {high:g}")
        _require_statistics(self)


def save_encoder(folder: str | Path, backbone: nn.Module, spec: TrainedSpec) -> None:
    """Write a backbone as an encoder that ``kinoscope.load_encoder(folder)`` reads; each file atomically.

    Raises:
        OutputError: the folder cannot be written.
    """
    folder = Path(folder)
    save_weights(folder, PooledBackbone(backbone))
    config = {"kind": KIND, "version": VERSION, **asdict(spec), "weights": sha256_of(folder / WEIGHTS)}
    write_json(folder / CONFIG, config)


def trained_spec(folder: str | Path) -> TrainedSpec:
    """What the encoder in ``folder`` is.

    Raises:
        WeightError: no encoder is there, or its ``config.json`` is damaged, of another kind or of a newer version.
    """
    path = encoder_folder(folder) / CONFIG
    config = read_config(path.parent, KIND, VERSION, _GIVE_ONE)
    values = {name: value for name, value in config.items() if name not in ("kind", "version", "weights")}
    known = [item.name for item in fields(TrainedSpec)]
    if unknown := sorted(set(values) - set(known)):
        raise WeightError(f"has a key that is not known: {unknown[0]!r}", where=path, cure=MAKE_ANEW)
    try:
        values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        return TrainedSpec(**{**values, "flow": _flow_settings(values.get("flow", {}))})
    except (OptionError, TypeError, ValueError) as error:
        problem = error.problem if isinstance(error, OptionError) else str(error)
        raise WeightError(f"cannot be used: {problem}", where=path, cure=MAKE_ANEW) from error


def load_trained(folder: str | Path) -> PooledBackbone:
    """The network of the encoder in ``folder``, in evaluation mode, its weights ready for further training.

    Calling it computes pooled features: [B, 3, T, H, W] -> [B, C]; ``.backbone`` gives maps.

    Raises:
        WeightError: see :func:`trained_spec`; or the weights are missing, damaged or of another network.
    """
    spec = trained_spec(folder)
    weights = folder_weights(folder)
    with torch.device("meta"):  # sizes are compared with the weights before any memory is taken
        network = pooled(spec)
    try:
        network.load_state_dict(load_weights(weights), assign=True)
    except RuntimeError as error:
        problem = f"does not hold the weights of {spec.backbone}: {' '.join(str(error).split())[:300]}"
        raise WeightError(problem, where=weights.path, cure=MAKE_ANEW) from error
    return network.eval()


def pooled(spec: TrainedSpec) -> PooledBackbone:
    """The network of a trained encoder, with fresh weights."""
    backbone = build_backbone(
        spec.backbone,
        width=spec.width,
        normalization=spec.normalization,
        reduction=spec.reduction,
        epsilon=spec.epsilon,
    )
    return PooledBackbone(backbone)


def folder_weights(folder: str | Path) -> FolderWeights:
    """Where the weights of the encoder in ``folder`` are, and their hash.

    Raises:
        WeightError: there are none, or not those that ``config.json`` was written with.
    """
    path = encoder_folder(folder) / WEIGHTS
    if not path.is_file():
        raise WeightError(f"has no {WEIGHTS}", where=path.parent, cure=MAKE_ANEW)
    digest = sha256_of(path)
    config = peek_config(path.parent / CONFIG)
    if isinstance(config, dict) and config.get("weights", digest) != digest:
        raise WeightError(f"is not the file that {CONFIG} was written with", where=path, cure=MAKE_ANEW)
    return FolderWeights(path, digest[:16])


def encoder_folder(folder: str | Path) -> Path:
    """The folder of the encoder: ``folder`` itself, ``encoder`` in a recogniser, ``rgb`` in a run of co-training.

    Raises:
        WeightError: none does.
    """
    folder = Path(folder)
    if folder.is_file():
        raise WeightError("is a file, but an encoder is a folder", where=folder, cure=_GIVE_ONE)
    if not folder.is_dir():
        raise WeightError("no such folder", where=folder, cure=_GIVE_ONE)
    for candidate in (folder / "encoder", folder, folder / "rgb"):
        if (candidate / CONFIG).is_file():
            return candidate
    raise WeightError(f"holds no encoder: it has no {CONFIG}", where=folder, cure=_GIVE_ONE)


def _require_statistics(spec: TrainedSpec) -> None:
    """Raise :class:`OptionError` unless mean, std and epsilon can be computed with."""
    if (spec.mean is None) != (spec.std is None):
        raise OptionError(f"mean is {spec.mean} and std is {spec.std}", cure="give both, or neither")
    if spec.mean is not None and not _are_numbers(spec.mean, 3):
        raise OptionError(f"mean is {spec.mean!r}, but must be three numbers")
    if spec.std is not None and not (_are_numbers(spec.std, 3) and min(spec.std) > 0):
        raise OptionError(f"std is {spec.std!r}, but must be three numbers above 0")
    if spec.epsilon is not None and not (_are_numbers((spec.epsilon,), 1) and spec.epsilon > 0):
        raise OptionError(f"epsilon is {spec.epsilon!r}, but must be a number above 0")


def _are_numbers(values: Any, count: int) -> bool:
    return (
        isinstance(values, tuple)
        and len(values) == count
        and all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)
        and all(map(math.isfinite, values))
    )


def _flow_settings(values: Any) -> FlowSettings:
    if not isinstance(values, Mapping):
        raise OptionError(f"flow is {values!r}, but must be its settings by name")
    settings = FlowSettings(**values)
    if settings.algorithm not in get_args(Algorithm):
        raise OptionError(f"the flow's algorithm is {settings.algorithm!r}")
    return settings
