"""``kinoscope export`` of an AR-Net: the videos it is compared on, and what is said."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..encoders.sampling import Sampling
from ..errors import OptionError

if TYPE_CHECKING:
    from ..arnet.model import AdaptiveRecognizer
    from ..export.arnet_write import ExportedAdaptive

_FEW, _MANY = 8, 128  # videos to compare on; to calibrate and compare with
_MADE_SECONDS = 4.0


def require_whole(part: str, sampling: Sampling) -> None:
    """Refuse what an AR-Net does not have. Raises :class:`OptionError`."""
    if part != "whole":
        problem = f"--part is {part}, but an AR-Net is exported whole: each of its networks is a file in the folder"
        raise OptionError(problem, cure="leave --part out")
    if sampling != Sampling():
        raise OptionError("an AR-Net takes the frames of its training", cure="leave out --fps, --size and the like")


def export_arnet(
    model: Path,
    to: Literal["onnx", "openvino"],
    out: Path | None,
    *,
    check: bool,
    check_on: Path | None,
    calibrate: Path | None,
    count: int | None,
    tolerance: float,
    least_agreement: float,
    opset: int,
    overwrite: bool,
    json: bool,
) -> int:
    """Export the AR-Net in a folder; see :func:`.export.run`."""
    from ..arnet.model import load_adaptive
    from ..export.arnet_write import export_adaptive, require_folder

    if count is not None and count < 1:
        raise OptionError(f"--clips is {count}, but must be at least 1")
    name = model.resolve().name
    target = out or Path(f"{name}-{'int8' if calibrate else to}")
    require_folder(target, to, opset=opset, int8=calibrate is not None, overwrite=overwrite)
    recognizer = load_adaptive(model, device="cpu", runtime="torch")
    with _videos(recognizer, check, check_on, calibrate, count) as (calibration, compared, kind):
        written = export_adaptive(
            recognizer,
            target,
            name=name,
            to=to,
            opset=opset,
            compared=compared,
            calibration=calibration,
            tolerance=tolerance,
            least_agreement=least_agreement,
            overwrite=overwrite,
        )
    _tell(written, kind, json)
    return 0


@contextmanager
def _videos(
    recognizer: AdaptiveRecognizer, check: bool, check_on: Path | None, calibrate: Path | None, count: int | None
) -> Iterator[tuple[list[Path], list[Path], str]]:
    """Videos to calibrate with, videos to compare on, and what the latter are."""
    from ..encoders.folder import find_videos
    from ..export.clips import held_out, made_videos

    calibration: list[Path] = []
    if calibrate is not None:
        calibration = _spread(list(find_videos(calibrate).values()), _MANY if count is None else count)
        if check and check_on is None:
            calibration, compared = held_out(calibration)
            yield calibration, compared, f"videos of {calibrate}"
            return
    few = _FEW if count is None else count
    examples = [path for path in map(Path, recognizer.examples) if path.is_file()]
    if not check:
        yield calibration, [], "none"
    elif check_on is not None:
        yield calibration, _spread(list(find_videos(check_on).values()), few), f"videos of {check_on}"
    elif examples:
        yield calibration, _spread(examples, few), "of its own videos"
    else:
        with made_videos(_MADE_SECONDS) as made:
            yield calibration, _spread(made, few), "made videos, for want of real ones"


def _spread(videos: Sequence[Path], most: int) -> list[Path]:
    """At most as many, from the first to the last alike."""
    step = max(1, len(videos) // most)
    return list(videos)[::step][:most]


def _tell(written: ExportedAdaptive, kind: str, json: bool) -> None:
    from ..export.arnet_check import worst
    from .terminal import note, print_json, print_table, say

    if json:
        files = [str(path) for path in written.files]
        told = {"folder": str(written.folder), "files": files, "bytes": written.bytes, "on": kind}
        print_json(told | dict(written.description))
        return
    if written.loop:
        rows = []
        for name, outputs in written.programs.items():
            answers = next(
                (each.same_answers for at, each in outputs.items() if at in ("logits", "class_logits")), None
            )
            same = "" if answers is None else f"{answers:.1%}"
            cosine = min(each.cosine for each in outputs.values())
            rows.append((name, f"{worst(outputs).relative:.1e}", f"{cosine:.6f}", same))
        loop = written.loop
        rows.append(("whole videos", f"{loop.relative:.1e}", "", f"{loop.same_answers:.1%}"))
        print_table(
            f"Beside PyTorch, on frames of {loop.videos} {kind}",
            ("program", "largest difference", "least cosine", "same answers"),
            rows,
        )
        say(f"{loop.same_actions:.1%} of the videos had every frame treated alike")
    else:
        note("not compared with PyTorch")
    say(f"{written.description['model']}: {written.bytes / 1e6:.1f} MB → {written.folder} (how to use it: README.md)")
