"""``kinoscope export``: a trained model → files for ONNX Runtime or OpenVINO, compared with PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..encoders.sampling import Sampling
from ..errors import OptionError

if TYPE_CHECKING:
    import numpy as np

    from ..export import Exportable, Exported

EXAMPLES = """\
  kinoscope export runs/ut --to onnx --check-on videos/
  kinoscope export runs/ut --to openvino --int8 --calibrate videos/ --out ut-int8.xml
  kinoscope export runs/ut --to onnx --part head        # any number of tokens
  kinoscope export i3d-k400 --to onnx --clip-length 64
  kinoscope export runs/ar --to onnx --check                   # an AR-Net: a folder, its control loop in README.md
"""


def run(
    model: str,
    *,
    to: Literal["onnx", "openvino"],
    out: Path | None = None,
    part: Literal["whole", "encoder", "head"] = "whole",
    check: bool = True,
    check_on: Path | None = None,
    tolerance: float = 1e-4,
    int8: bool = False,
    calibrate: Path | None = None,
    least_agreement: float = 0.9,
    clips: int | None = None,
    opset: int = 20,
    sampling: Sampling = Sampling(),
    overwrite: bool = False,
    json: bool = False,
) -> int:
    """Export a recogniser or an encoder to a file that other programs can run alone.

    The file takes batches of any size. What its clips must look like and what its outputs mean stands in its metadata
    and, with the result of the comparison, in a JSON file beside it. The file is compared with PyTorch on real clips,
    alone and in batches; if they disagree, it is not written.

    A recogniser on a frozen encoder is exported for clips that fill all its tokens. For videos of any length export its
    encoder and its head apart: the rows of the one are the tokens of the other.

    An AR-Net becomes a folder: one file for each network of frames and one for a step of the policy, `model.json` with
    all that a program must know, and `README.md` with a control loop that needs no Kinoscope. Every file is compared on
    real frames, and the loop on whole videos: same frames skipped, same answers.

    Args:
        model: Folder of a recogniser, an AR-Net or an encoder, or the name of an encoder.
        to: Format of the file.
        out: The file, or the folder of an AR-Net; by default named after the model, in this folder.
        part: The whole model, or only its encoder (clip to tokens or features) or its head (tokens to logits).
        check: Compare with PyTorch.
        check_on: Folder of videos, or one, to compare on; by default those of the training, or made ones.
        tolerance: Largest difference of float32 outputs, as a share of the largest output.
        int8: Convolutions compute in eight bits; for OpenVINO, needs --calibrate.
        calibrate: Folder of videos like those to come; every fourth clip is kept to compare on.
        least_agreement: Least share of clips for which int8 must answer as PyTorch (features: cosine similarity).
        clips: How many clips (AR-Net: videos) to compare on, 8 by default, or with --int8 to calibrate and compare
            with, 128.
        opset: Version of ONNX's operators.
        sampling: Of an encoder; a recogniser takes the clips of its training.
        overwrite: Replace files (AR-Net: an export) that are there.
        json: Print what was written as JSON.
    """
    from ..export import export_model, load_exportable
    from ..export.exportable import kind_of
    from ..export.write import SUFFIXES, require_export

    _require_together(check, check_on, int8, calibrate)
    if kind_of(Path(model)) == "arnet":
        from .export_arnet import export_arnet, require_whole

        require_whole(part, sampling)
        return export_arnet(
            Path(model),
            to,
            out,
            check=check,
            check_on=check_on,
            calibrate=calibrate,
            count=clips,
            tolerance=tolerance,
            least_agreement=least_agreement,
            opset=opset,
            overwrite=overwrite,
            json=json,
        )
    name = Path(model).name if part == "whole" else f"{Path(model).name}-{part}"
    target = out or Path(f"{name}{'-int8' if int8 else ''}{SUFFIXES[to]}")
    require_export(target, to, opset=opset, int8=int8, overwrite=overwrite)
    source = load_exportable(model, part, sampling)
    calibration, compared, kind = _clips(source, check, check_on, calibrate, clips)
    written = export_model(
        source,
        target,
        to=to,
        opset=opset,
        compared=compared,
        calibration=calibration,
        tolerance=tolerance,
        least_agreement=least_agreement,
        overwrite=overwrite,
    )
    _tell(source, written, kind, json)
    return 0


def _require_together(check: bool, check_on: Path | None, int8: bool, calibrate: Path | None) -> None:
    if int8 and calibrate is None:
        raise OptionError(
            "--int8 needs real clips", cure="add --calibrate VIDEOS: a folder of videos like those to come"
        )
    if calibrate is not None and not int8:
        raise OptionError("--calibrate goes with --int8", cure="add --int8, or leave --calibrate out")
    if check_on is not None and not check:
        raise OptionError("--check-on and --no-check contradict each other", cure="leave one of them out")


def _clips(
    source: Exportable, check: bool, check_on: Path | None, calibrate: Path | None, count: int | None
) -> tuple[list[np.ndarray], list[np.ndarray], str]:
    """Clips to calibrate with, clips to compare on, and what the latter are."""
    from ..export.clips import clips_of, clips_of_videos, held_out, made_clips

    calibration: list[np.ndarray] = []
    if calibrate is not None:
        calibration = clips_of(calibrate, source.spec, 128 if count is None else count)
        if check and check_on is None:
            calibration, compared = held_out(calibration)
            return calibration, compared, f"clips of {calibrate}"
    if not check:
        return calibration, [], "none"
    few = 8 if count is None else count
    if check_on is not None:
        return calibration, clips_of(check_on, source.spec, few), f"clips of {check_on}"
    if source.videos:
        return calibration, clips_of_videos(source.videos, source.spec, few), "clips of its own videos"
    return calibration, made_clips(source.spec, few), "made clips, for want of real ones"


def _tell(source: Exportable, written: Exported, kind: str, json: bool) -> None:
    from .terminal import note, print_json, print_table, say

    found = written.agreement
    if json:
        check = vars(found) | {"relative": found.relative, "on": kind} if found else None
        files = [str(path) for path in written.files]
        print_json({"files": files, "bytes": written.bytes, "clips": written.clips, "check": check} | source.config())
        return
    if found:
        rows = [("largest difference", f"{found.difference:.2g} of {found.scale:.3g}: {found.relative:.1e}")]
        if found.probability is not None and found.same_answers is not None:
            rows.append(("largest difference of a probability", f"{found.probability:.1e}"))
            rows.append(("same answers", f"{found.same_answers:.1%}"))
        else:
            rows.append(("least cosine similarity", f"{found.cosine:.6f}"))
        print_table(f"Beside PyTorch, on {found.clips} {kind}", ("of the outputs", "found"), rows)
    else:
        note("not compared with PyTorch")
    say(f"{source.model}: {written.bytes / 1e6:.1f} MB → {', '.join(str(path) for path in written.files)}")
