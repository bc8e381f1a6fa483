"""``kinoscope convert``: an official checkpoint → a folder that the other commands take."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..errors import OptionError, OutputError

if TYPE_CHECKING:
    from ..convert.folders import Converted

EXAMPLES = """\
  kinoscope convert rgb_resneXt3D64f101_bert10_FRMB.pth.tar --from bert3d-resnext101-frmb --classes hmdb51.txt --out m/
  kinoscope recognize clip.mp4 --model m/
  kinoscope convert r2plus1d_34_clip32_ig65m.pth --from r2plus1d-34-ig65m --out enc/
  kinoscope extract videos/ --encoder enc/ --out feats/
  kinoscope convert arnet_resnet.pth.tar --from arnet --classes activitynet.txt --out ar/
  kinoscope convert epoch_034.pth.tar --from actionformer --out loc/
  kinoscope localize i3d_features/ --model loc/ --fps 30 --stride 4 --clip-length 16
  kinoscope convert CoCLR-ucf101-flow.pth.tar --from coclr-s3d --stream flow --out enc-flow/
"""

_Source = Literal[
    "bert3d-r2plus1d34",
    "bert3d-resnext101-frmb",
    "bert3d-resnext101-frab",
    "bert3d-i3d-frmb",
    "r2plus1d-18-torchvision",
    "s3d-torchvision",
    "r2plus1d-34-ig65m",
    "resnext3d-101-kinetics",
    "slowfast-50",
    "i3d-pytorch",
    "coclr-s3d",
    "arnet",
    "sola",
    "actionformer",
]


def run(
    file: Path,
    *,
    from_: _Source,
    out: Path,
    classes: Path | None = None,
    stream: Literal["rgb", "flow"] | None = None,
    fps: float | None = None,
    overwrite: bool = False,
    json: bool = False,
) -> int:
    """Convert an official checkpoint into a folder without pickle; nothing in the checkpoint is executed.

    A bert3d release becomes a recogniser, for `recognize`, with its encoder inside. The public release of a backbone,
    or of CoCLR and InfoNCE, becomes an encoder that `extract --encoder`, `train`, `search` and the others take; the
    classifier or projection head that it came with is left behind. An AR-Net (ResNet family) becomes a recogniser that
    truly skips frames: its memory does not see them, as it did in the published code. An ActionFormer becomes a model
    that `localize` uses on features of the release; the released models of THUMOS14, ActivityNet, EPIC-Kitchens and
    Ego4D are known by their sizes. Every tensor is checked by name and shape.

    Args:
        file: The checkpoint, as downloaded; or a .safetensors file with the same names.
        from_: Where it comes from.
        out: Folder for the result.
        classes: Text file with the names of the classes, one per line, in the order of its training set. Without it
            they are class-0, class-1 and so on (those of the ActionFormer for THUMOS14 are known).
        stream: What it was trained on, if no tensor tells (coclr-s3d): rgb, unless you say flow.
        fps: Frames per second that it shall see, or of its features; by default what it was trained on (where that was
            every frame of its videos, 25 or 30).
        overwrite: Replace a model in the folder.
        json: Print what was written as JSON.
    """
    from ..convert.folders import convert_arnet, convert_encoder, convert_localizer, convert_recognizer
    from .terminal import note

    _refuse_others(from_, file)
    whole = from_.startswith("bert3d")
    if from_ == "arnet" and (stream == "flow" or fps is not None):
        cure = "leave out --stream and --fps"
        raise OptionError("an AR-Net looks at single frames in colours, spread over the whole video", cure=cure)
    if from_ == "actionformer" and stream is not None:
        raise OptionError("an ActionFormer takes features, not frames", cure="leave --stream out")
    if classes is not None and not whole and from_ not in ("arnet", "actionformer"):
        raise OptionError(f"{from_} becomes an encoder, which has no classes", cure="leave --classes out")
    if (out / "config.json").exists() and not overwrite:
        raise OutputError("already holds a model", where=out, cure="choose another --out, or add --overwrite")
    if (out / "encoder").exists() and not whole:  # that one would be taken for the new one
        raise OutputError("already holds a recogniser with its encoder", where=out, cure="choose another --out")
    if whole:
        converted = convert_recognizer(file, from_, out, stream=stream, fps=fps, classes=classes)
    elif from_ == "arnet":
        converted = convert_arnet(file, out, classes=classes)
    elif from_ == "actionformer":
        converted = convert_localizer(file, out, fps=fps, classes=classes)
    else:
        converted = convert_encoder(file, from_, out, stream=stream, fps=fps)
    _tell(converted, out, json)
    if converted.classes is not None and classes is None and not converted.named:
        note("note: the checkpoint does not name its classes, so they are class-0, class-1, …: give --classes")
    return 0


def _refuse_others(source: str, file: Path) -> None:
    """Say what to do with a checkpoint that needs no conversion."""
    if source == "sola":
        cure = f"give it as it is: kinoscope adapt FEATURES --adapter {file} --out FEATURES2"
        raise OptionError("an official SoLa checkpoint needs no conversion", where=file, cure=cure)


def _tell(converted: Converted, out: Path, json: bool) -> None:
    from .terminal import print_json, say

    spec = converted.spec
    if json:
        print_json(
            {
                "out": str(out),
                "kind": converted.kind,
                "backbone": spec.backbone if spec else None,
                "stream": spec.stream if spec else None if converted.kind == "localizer" else "rgb",
                "parameters": converted.parameters,
                "classes": converted.classes,
                "weights": _hash_of(converted, out),
            }
        )
        return
    if converted.kind == "localizer":
        say(f"ActionFormer of {converted.origin}, {converted.parameters:,} parameters → {out}")
        say(f"takes {converted.time}")
        say(f"next: kinoscope localize FEATURES --model {out}{converted.flags}")
        return
    if spec is None:
        say(f"AR-Net of ResNets and MobileNetV2, {converted.parameters:,} parameters → {out}")
    else:
        say(f"{spec.backbone} on {spec.stream}, {converted.parameters:,} parameters → {out}")
        say(f"sees {spec.clip_length} frames of {spec.size} px, {spec.fps:g} per second")
    if converted.classes is None:
        say(f"next: kinoscope extract videos/ --encoder {out} --out feats/")
    else:
        say(f"next: kinoscope recognize VIDEO --model {out}")


def _hash_of(converted: Converted, out: Path) -> str:
    from ..encoders.trained import folder_weights
    from ..engine.model_folder import WEIGHTS
    from ..files import sha256_of

    return folder_weights(out).hash if converted.spec else sha256_of(out / WEIGHTS)[:16]
