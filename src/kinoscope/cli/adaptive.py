"""What ``kinoscope recognize --model`` answers with an AR-Net: labels, what they cost, and what was looked at how."""

from __future__ import annotations

import csv as csv_format
import io
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ..arnet.engine import DECODE, POLICY
from ..arnet.model import AdaptiveRecognition, AdaptiveRecognizer, load_adaptive
from ..arnet.spending import Budget, Spending
from ..encoders.sampling import Runtime
from ..engine.calibration import most_probable
from ..errors import KinoscopeError, VideoError
from ..files import write_json, write_text
from ..progress import progress
from ..report.adaptive import AdaptivePage, AdaptiveVideo, CostRow, FrameChoice, write_adaptive_page
from ..video import open_video
from ..video.preview import pictures
from .outputs import report_end
from .pages import circumstances
from .terminal import note, print_json, print_table

_TOGETHER = 8  # videos
_PICTURE = 168  # pixels of height of a picture on the film strip
_ANSWERS = 3  # told beside each frame


def run_adaptive(
    model: Path,
    videos: Mapping[str, Path],
    *,
    budget: str | None,
    spending: Spending,
    top: int,
    json: bool,
    output: Path | None,
    csv: Path | None,
    html: Path | None,
    device: str,
    runtime: Runtime,
) -> int:
    """Recognise videos with the AR-Net in a folder; the exit code.

    Raises:
        WeightError: not an AR-Net.
        OptionError: a budget that cannot be met.
        VideoError: no video can be read.
    """
    limit = Budget.parse(budget) if budget is not None else None
    recognizer = load_adaptive(model, device=device, runtime=runtime)
    recognizer.networks.warm()  # so that no answer's seconds hold what is done once only
    found: dict[str, AdaptiveRecognition] = {}
    failed: dict[Path, KinoscopeError] = {}
    names = list(videos)
    with progress("Recognising", len(videos)) as report:
        for first in range(0, len(names), _TOGETHER):
            some = names[first : first + _TOGETHER]
            answers = recognizer.recognize_all(
                [videos[name] for name in some], budget=limit, spending=spending, names=some
            )
            for name, answer in zip(some, answers, strict=True):
                if isinstance(answer, VideoError):
                    failed[videos[name]] = answer
                else:
                    found[name] = answer
                report(1, name)
    if not found:
        raise next(iter(failed.values()))
    return _show(recognizer, found, videos, failed, top=top, json=json, output=output, csv=csv, html=html)


def _show(
    model: AdaptiveRecognizer,
    found: Mapping[str, AdaptiveRecognition],
    videos: Mapping[str, Path],
    failed: Mapping[Path, KinoscopeError],
    *,
    top: int,
    json: bool,
    output: Path | None,
    csv: Path | None,
    html: Path | None,
) -> int:
    content = {
        "results": {name: [_entry(pair) for pair in each.best(top)] for name, each in found.items()},
        "costs": {name: told_cost(model, each) for name, each in found.items()},
    }
    if output is not None:
        write_json(output, content)
    if csv is not None:
        write_text(csv, _csv(found, top))
    if html is not None:
        write_adaptive_page(html, _page(model, found, videos, top))
    if json:
        print_json(content)
    else:
        for name, each in found.items():
            print_table(name, ("label", "probability"), each.best(top), note=in_words(model, each))
    if model.curve and any(each.budget is not None for each in found.values()):
        note(f"The budget was planned with a curve that was measured on {model.curve_of}.")
    for name, each in found.items():
        if each.guarded:
            note(f"note: {name}: the policy skipped every frame it saw; its own answer to the last one is given")
        if each.exceeded:
            took = f"{each.spent.total_seconds:.3g} s"
            note(f"note: {name}: took {took}, more than the budget: a first look is never refused")
        for text in each.damage:
            note(f"damaged, the rest was used: {name}: {text}")
    return report_end((output, csv, html), failed)


def in_words(model: AdaptiveRecognizer, each: AdaptiveRecognition) -> str:
    """What an answer cost, in a line."""
    spent, actions = each.spent, model.actions
    sizes = (*actions.sizes, actions.policy_size)
    used = ", ".join(f"{count} at {size} px" for count, size in zip(spent.used, sizes, strict=True) if count)
    looks = spent.consulted or sum(spent.used)
    vain = f" and {spent.in_vain} in vain" if spent.in_vain else ""
    looked = f"{looks} of {spent.candidates} frames looked at{vain}, {used or 'none'} answered"
    share = spent.gmac / model.dense_gmac(spent.candidates)
    cost = f"{spent.decoded} decoded; {spent.gmac:.3g} GMAC ({share:.0%} of every frame at {sizes[0]} px)"
    return f"{looked}; {cost}; {spent.total_seconds:.2f} s"


def told_cost(model: AdaptiveRecognizer, each: AdaptiveRecognition) -> dict[str, Any]:
    """What an answer cost, for programs."""
    spent, actions = each.spent, model.actions
    frames = [
        {
            "time": round(step.time, 6),
            "action": None if step.action is None else actions.names[step.action],
            "looked_at": step.consulted,
        }
        for step in each.steps
    ]
    sizes = (*actions.sizes, actions.policy_size)
    return {
        **asdict(spent),
        "used": {f"{size}": count for size, count in zip(sizes, spent.used, strict=True)},
        "gmac_dense": model.dense_gmac(spent.candidates),
        "knobs": asdict(each.spending),
        "budget": None if each.budget is None else asdict(each.budget),
        "exceeded": each.exceeded,
        "guarded": each.guarded,
        "stopped": each.stopped,
        "damage": list(each.damage),
        "frames": frames,
    }


def _entry(pair: tuple[str, float]) -> dict[str, Any]:
    return {"label": pair[0], "score": pair[1]}


def _csv(found: Mapping[str, AdaptiveRecognition], top: int) -> str:
    text = io.StringIO()
    writer = csv_format.writer(text, lineterminator="\n")
    writer.writerow(("video", "rank", "label", "probability", "gmac", "seconds"))
    for name, each in found.items():
        cost = (round(each.spent.gmac, 6), round(each.spent.total_seconds, 6))
        writer.writerows((name, rank, *pair, *cost) for rank, pair in enumerate(each.best(top), 1))
    return text.getvalue()


def _page(
    model: AdaptiveRecognizer, found: Mapping[str, AdaptiveRecognition], videos: Mapping[str, Path], top: int
) -> AdaptivePage:
    shown = []
    with progress("Drawing", len(found)) as report:
        for name, each in found.items():
            shown.append(_video(model, name, videos[name], each, top))
            report(1, name)
    title = f"How {next(iter(found))} was looked at" if len(found) == 1 else f"How {len(found)} videos were looked at"
    return AdaptivePage(title, shown, settings=circumstances())


def _video(model: AdaptiveRecognizer, name: str, path: Path, each: AdaptiveRecognition, top: int) -> AdaptiveVideo:
    seen = _pictures(path, [step.time for step in each.steps if step.action is not None])
    choices = []
    for at, step in enumerate(each.steps):
        looked = step.consulted or step.logits is not None
        picture = seen.get(step.time) if looked else None
        answers = [] if np.isnan(each.running[at]).any() else _best(each, at)
        size = None if step.logits is None or step.action is None else _size(model, step.action)
        choices.append(FrameChoice(step.time, size, looked, picture, answers, _reason(model, each, at)))
    notes = [f"Damaged: {text}." for text in each.damage]
    if each.guarded:
        notes.append("The policy skipped every frame; its own answer to the last one it saw is given.")
    sizes = (*model.actions.sizes, model.actions.policy_size)
    return AdaptiveVideo(
        name,
        path,
        each.best(top),
        choices,
        _costs(model, each),
        sizes,
        model.dense_gmac(each.spent.candidates),
        each.spent.total_seconds,
        " ".join(notes),
    )


def _size(model: AdaptiveRecognizer, action: int) -> int:
    """The side that answered; a skip that answers is that of a video of which everything was skipped."""
    return model.actions.size_of(action) or model.actions.policy_size


def _best(each: AdaptiveRecognition, at: int) -> list[tuple[str, float]]:
    return most_probable(each.running[at], each.classes, _ANSWERS)


def _reason(model: AdaptiveRecognizer, each: AdaptiveRecognition, at: int) -> str:
    step, actions = each.steps[at], model.actions
    if step.action is None:
        return "after the budget was spent" if each.stopped == "budget" else "after the answer was settled"
    dropped = actions.dropped_by(step.action)
    if dropped:
        return f"skips {dropped}" if step.consulted else "follows a skip"
    return "the policy's own answer" if step.action == actions.own else ""


def _costs(model: AdaptiveRecognizer, each: AdaptiveRecognition) -> list[CostRow]:
    spent, actions, costs = each.spent, model.actions, model.costs
    policy = f"{model.options.policy_net}, {actions.policy_size} px (policy)"
    rows = [
        CostRow(DECODE, spent.decoded, 0.0, spent.seconds.get(DECODE, 0.0)),
        CostRow(policy, spent.looks, spent.looks * costs.policy, spent.seconds.get(POLICY, 0.0), actions.policy_size),
    ]
    for number, (name, size) in enumerate(zip(model.networks.names, actions.sizes, strict=True)):
        count = spent.used[number]
        rows.append(CostRow(name, count, count * costs.backbones[number], spent.seconds.get(name, 0.0), size))
    return rows


def _pictures(path: Path, times: list[float]) -> dict[float, bytes]:
    """Pictures by time; none where the video cannot be read again."""
    if not times:
        return {}
    try:
        with open_video(path) as video:
            return dict(zip(times, pictures(video, times, _PICTURE), strict=True))
    except KinoscopeError:
        return {}
