"""``kinoscope recognize``: the most probable labels of whole videos."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..arnet.spending import FollowOptions, Spending
from ..encoders.sampling import Runtime
from ..errors import KinoscopeError, OptionError

if TYPE_CHECKING:
    from .recognized import Found

EXAMPLES = """\
  kinoscope recognize clip.mp4
  kinoscope recognize videos/ -k 1 --json
  kinoscope recognize clip.mp4 --model runs/ut --attention --html look.html
  kinoscope recognize long.mp4 --model runs/ar --budget 0.5s --html look.html
  kinoscope recognize growing.ts --model runs/ar --follow
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
    adaptive: bool = True,
    budget: str | None = None,
    knobs: Spending = Spending(),
    follow: bool = False,
    following: FollowOptions = FollowOptions(),
    encoder: str = "i3d-k400",
    clips: int = 10,
    size: int | None = None,
    device: str = "auto",
    runtime: Runtime = "auto",
) -> int:
    """Tell what whole videos show: your own classes with --model, else the encoder's (Kinetics-400).

    Args:
        files: Videos, or folders of videos.
        model: What `kinoscope train recognize`, `kinoscope train arnet` or `kinoscope convert` wrote.
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
        adaptive: With an AR-Net: look at each frame as closely as it must; --no-adaptive looks at every one at the
            largest size, to compare.
        budget: With an AR-Net: the most that a video may cost, such as 5gmac or 0.5s.
        follow: With an AR-Net: watch a growing file, or - for a stream on standard input, and tell each new label.
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
    is_adaptive = model is not None and _is_arnet(model)
    of_arnet = {
        "adaptive": not adaptive,
        "budget": budget is not None,
        "follow": follow,
        "frames, --bias, --skip-above, --exit-above, --sample and --guard": knobs != Spending(),
    }
    with_model = {"also": also, "attention": attention, "crops": crops != 1, "window": window != "all"}
    without = {"encoder": encoder != "i3d-k400", "clips": clips != 10, "size": size is not None}
    if is_adaptive:
        _refuse({**with_model, **without}, "does not go with an AR-Net", "leave it out, or name another --model")
    else:
        _refuse(of_arnet, "goes with an AR-Net", "name one with --model: kinoscope train arnet makes it")
        if model is None:
            _refuse(with_model, "goes with --model", "name a model of your own with --model")
        else:
            _refuse(without, "goes without --model", "leave it out, or leave out --model")
    _check_knobs(adaptive, budget, knobs, follow, following)
    if is_adaptive and follow:
        from .follow import run_follow

        if output is not None or csv is not None or html is not None or budget is not None or not adaptive:
            cure = "take what it prints: with --json one line of JSON for each frame that is looked at"
            raise OptionError("--follow prints, and goes with neither files nor --budget nor --no-adaptive", cure=cure)
        assert model is not None
        return run_follow(model, files, knobs, following, json=json, device=device, runtime=runtime)
    if fusion != "probabilities" and also is None:
        raise OptionError("--fusion joins two models", cure="name the second with --also")
    if attention and html is None and output is None and not json:
        raise OptionError("--attention is shown on a page or told in JSON", cure="add --html, --json or -o")
    videos = named_videos(files)
    check_writable((output, csv, html), videos.values())
    if is_adaptive:
        from .adaptive import run_adaptive

        assert model is not None
        spending = knobs if adaptive else replace(knobs, dense=True)
        return run_adaptive(
            model,
            videos,
            budget=budget,
            spending=spending,
            top=top,
            json=json,
            output=output,
            csv=csv,
            html=html,
            device=device,
            runtime=runtime,
        )
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


def _is_arnet(model: Path) -> bool:
    from ..engine.model_folder import CONFIG, peek_config

    config = peek_config(model / CONFIG)
    return isinstance(config, dict) and config.get("kind") == "arnet"


def _refuse(options: Mapping[str, Any], problem: str, cure: str) -> None:
    """Raise :class:`OptionError` for the first option that was given."""
    for option, given in options.items():
        if given:
            raise OptionError(f"--{option} {problem}", cure=cure)


def _check_knobs(adaptive: bool, budget: str | None, knobs: Spending, follow: bool, following: FollowOptions) -> None:
    """Options of an AR-Net that do not go together are told, not ignored."""
    if budget is not None and (knobs != Spending() or not adaptive):
        cure = "leave --budget out, or the knobs"
        raise OptionError("--budget turns the knobs itself", cure=cure)
    if not adaptive and replace(knobs, frames=None) != Spending():
        raise OptionError("--no-adaptive asks no policy, so that only --frames goes with it", cure="leave the rest out")
    if not follow and following != FollowOptions():
        raise OptionError("--every and --patience go with --follow", cure="add --follow, or leave them out")
