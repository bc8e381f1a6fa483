"""``kinoscope recognize``: the most probable labels of whole videos."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..encoders.sampling import Runtime
from ..errors import KinoscopeError, OptionError

if TYPE_CHECKING:
    from .recognized import Found

EXAMPLES = """\
  kinoscope recognize clip.mp4
  kinoscope recognize videos/ -k 1 --json
  kinoscope recognize clip.mp4 --model runs/ut --attention --html look.html
  kinoscope recognize videos/ --model runs/rgb --also runs/flow --fusion l2-logits -o answers.json
"""
SHORT = {"top": "-k", "output": "-o"}


def run(
    files: list[Path],
    model: Path | None = None,
    also: Path | None = None,
    top: int = 5,
    json: bool = False,
    output: Path | None = None,
    csv: Path | None = None,
    html: Path | None = None,
    attention: bool = False,
    window: Literal["all", "centre"] = "all",
    crops: int = 1,
    fusion: Literal["probabilities", "l2-logits"] = "probabilities",
    encoder: str = "i3d-k400",
    clips: int = 10,
    size: int | None = None,
    device: str = "auto",
    runtime: Runtime = "auto",
) -> int:
    """Tell what whole videos show: your own classes with --model, else the encoder's (Kinetics-400).

    Args:
        files: Videos, or folders of videos.
        model: What `kinoscope train recognize` or `kinoscope convert` wrote.
        also: A second model of the same classes, such as one on motion; both answers are joined.
        top: How many labels are shown per video.
        json: Print JSON instead of tables.
        output: File for the answers as JSON.
        csv: File for the answers as CSV: video,rank,label,probability.
        html: Page with the answers and, with --attention, where in time the model looked.
        attention: Tell where in time the model looked: shown on the page, and told in JSON.
        window: With --model: look at all clips that tile the video, or at the one in its centre.
        crops: With --model: 1, the centre of the picture; or 10 (fine-tuned and converted models).
        fusion: How two models are joined: mean of calibrated probabilities, or the published rule.
        encoder: Without --model: an encoder that knows classes.
        clips: Without --model: most clips of 2.56 s that are looked at, spread evenly over the video.
        size: Without --model: pixels of the central square, if not the encoder's own.
        device: cpu, cuda, ...; auto takes a GPU if there is one.
        runtime: What computes on a CPU; auto takes OpenVINO if it is installed.
    """
    from ..progress import progress
    from .outputs import check_writable, named_videos
    from .recognized import encoder_answers, model_answers, show

    if top < 1:
        raise OptionError(f"top is {top}, but must be at least 1")
    with_model = {"also": also, "attention": attention, "crops": crops != 1, "window": window != "all"}
    without = {"encoder": encoder != "i3d-k400", "clips": clips != 10, "size": size is not None}
    for option, given in (with_model if model is None else without).items():
        if given:
            cure = "name a model of your own with --model" if model is None else "leave it out, or leave out --model"
            raise OptionError(f"--{option} goes {'with' if model is None else 'without'} --model", cure=cure)
    if fusion != "probabilities" and also is None:
        raise OptionError("--fusion joins two models", cure="name the second with --also")
    if attention and html is None and output is None and not json:
        raise OptionError("--attention is shown on a page or told in JSON", cure="add --html, --json or -o")
    videos = named_videos(files)
    check_writable((output, csv, html), videos.values())
    if model is None:
        answer = encoder_answers(encoder, clips=clips, size=size, device=device, runtime=runtime)
    else:
        answer = model_answers(
            model, also, fusion, attention=attention, window=window, crops=crops, device=device, runtime=runtime
        )
    found: dict[str, Found] = {}
    failed: dict[Path, KinoscopeError] = {}
    with progress("Recognising", len(videos)) as report:
        for name, path in videos.items():
            try:
                found[name] = answer(path)
            except OptionError:
                raise
            except KinoscopeError as error:
                failed[path] = error
            report(1, name)
    if not found:
        raise next(iter(failed.values()))
    return show(found, videos, failed, top=top, json=json, output=output, csv=csv, html=html)
