"""``kinoscope convert``: an official checkpoint → a folder that the other commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from ..errors import OptionError, OutputError

EXAMPLES = """\
  kinoscope convert CoCLR-ucf101-rgb.pth.tar --from coclr-s3d --out enc/
  kinoscope convert CoCLR-ucf101-flow.pth.tar --from coclr-s3d --stream flow --out enc-flow/
  kinoscope extract videos/ --encoder enc/ --out feats/
"""


def run(
    file: Path,
    *,
    from_: Literal["coclr-s3d", "sola", "actionformer"],
    out: Path,
    stream: Literal["rgb", "flow"] = "rgb",
    overwrite: bool = False,
    json: bool = False,
) -> int:
    """Convert an official checkpoint into a folder without pickle; nothing in the checkpoint is executed.

    The encoder in a CoCLR or InfoNCE release becomes one that `extract --encoder`, `search` and the others take: clips
    of 32 frames, 25 per second, 128 pixels. Its projection head, which only pretraining needs, is left behind.

    Args:
        file: The checkpoint, as downloaded.
        from_: Where it comes from.
        out: Folder for the result.
        stream: What the encoder was trained on; no tensor tells.
        overwrite: Replace an encoder in the folder.
        json: Print what was written as JSON.
    """
    from ..convert.coclr import load_coclr_s3d, width_of
    from ..convert.official import load_from
    from ..encoders.trained import TrainedSpec, folder_weights, save_encoder
    from .terminal import print_json, say

    if from_ == "sola":
        cure = f"give it as it is: kinoscope adapt FEATURES --adapter {file} --out FEATURES2"
        raise OptionError("an official SoLa checkpoint needs no conversion", where=file, cure=cure)
    if from_ == "actionformer":
        cure = 'use it from Python: kinoscope.load_official(path, "actionformer")'
        problem = "not yet: the checkpoint tells neither its classes nor the time of its features"
        raise OptionError(problem, where=file, cure=cure)
    if (out / "config.json").exists() and not overwrite:
        raise OutputError("already holds an encoder", where=out, cure="choose another --out, or add --overwrite")
    network = load_from(file, load_coclr_s3d)
    backbone = "s3d-g" if any("gating" in name for name in network.state_dict()) else "s3d"
    parameters = sum(tensor.numel() for tensor in network.backbone.parameters())
    save_encoder(
        out,
        network.backbone,
        TrainedSpec(
            backbone,
            width_of(network),
            "batch",
            stream,
            fps=25.0,
            clip_length=32,
            size=128,
            decode_size=170,
            origin=f"converted from {file.name}",
        ),
    )
    if json:
        print_json(
            {
                "out": str(out),
                "backbone": backbone,
                "stream": stream,
                "parameters": parameters,
                "weights": folder_weights(out).hash,
            }
        )
    else:
        say(f"{backbone} on {stream}, {parameters:,} parameters → {out}")
        say(f"next: kinoscope extract videos/ --encoder {out} --out feats/")
    return 0
