"""What ``kinoscope recognize`` answers, and its tables, files and page."""

from __future__ import annotations

import csv as csv_format
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..bert3d.fusion import Rule, fuse
from ..bert3d.protocol import ClipChoice
from ..bert3d.recognizer import Look, Recognition, load_recognizer
from ..encoders.sampling import Runtime
from ..engine.calibration import most_probable
from ..errors import KinoscopeError, OptionError
from ..evaluate.clip_scores import fuse_probabilities
from ..files import write_json, write_text
from ..progress import progress
from ..report import recognition as page
from ..video import open_video
from ..video.preview import pictures
from .outputs import report_end
from .pages import circumstances
from .terminal import note, print_json, print_table

_PICTURE = 72  # pixels of height of a picture on the film strip
_DIGITS = 6


@dataclass(frozen=True)
class Found:
    """The answer for one video."""

    probabilities: np.ndarray
    """Shape: [K]."""
    classes: tuple[str, ...]
    looks: tuple[Look, ...] = ()
    damage: tuple[str, ...] = ()

    def best(self, count: int, of: np.ndarray | None = None) -> list[tuple[str, float]]:
        """The most probable labels, ``of`` a clip or of the video; of equal ones the first."""
        return most_probable(self.probabilities if of is None else of, self.classes, count)


Answer = Callable[[Path], Found]


def encoder_answers(name: str, *, clips: int, size: int | None, device: str, runtime: Runtime) -> Answer:
    """Answers by the classes of an encoder, without any training."""
    from ..encoders import load_encoder
    from ..encoders.recognize import recognize

    encoder = load_encoder(name, device=device, runtime=runtime)
    encoder.require_classes()
    classes = encoder.spec.classes()
    return lambda path: Found(recognize(path, encoder, clips=clips, size=size), classes)


def model_answers(
    model: Path,
    also: Path | None,
    rule: Rule,
    *,
    attention: bool,
    window: ClipChoice,
    crops: int,
    device: str,
    runtime: Runtime,
) -> Answer:
    """Answers of one trained recogniser, or of two joined.

    Raises:
        WeightError: not a recogniser.
        OptionError: two of different classes.
    """
    models = [load_recognizer(each, device=device, runtime=runtime) for each in (model, also) if each is not None]
    if len({each.classes for each in models}) > 1:
        raise OptionError("the two models know different classes", where=also, cure="train both on the same labels")

    for one in models:
        one.eye.encoder  # noqa: B018 - loaded here: what is wrong with it is told before any video is looked at

    def answer(path: Path) -> Found:
        each = [one.recognize(path, clips=window, crops=crops, attention=attention) for one in models]
        damage = tuple(dict.fromkeys(text for one in each for text in one.damage))
        return Found(_joined(each, rule), models[0].classes, each[0].looks, damage)

    return answer


def _joined(each: list[Recognition], rule: Rule) -> np.ndarray:
    """Shape: -> [K]; scores of the published rule become probabilities by a softmax, which keeps their order."""
    if len(each) == 1:
        return each[0].probabilities
    if rule == "probabilities":  # each is calibrated by its own temperature already
        return fuse_probabilities([one.probabilities for one in each])
    scores = fuse([torch.from_numpy(one.logits) for one in each], rule)
    return scores.softmax(dim=0).numpy()


def show(
    found: Mapping[str, Found],
    videos: Mapping[str, Path],
    failed: Mapping[Path, KinoscopeError],
    *,
    top: int,
    json: bool,
    output: Path | None,
    csv: Path | None,
    html: Path | None,
) -> int:
    """Print the answers, write the files; the exit code."""
    content = {"results": {name: [_entry(pair) for pair in each.best(top)] for name, each in found.items()}}
    if clips := {name: [_told(each, look, top) for look in each.looks] for name, each in found.items() if each.looks}:
        content["clips"] = clips
    if output is not None:
        write_json(output, content)
    if csv is not None:
        write_text(csv, _csv(found, top))
    if html is not None:
        page.write_recognition_page(html, _page(found, videos, top))
    if json:
        print_json(content)
    else:
        for name, each in found.items():
            print_table(name, ("label", "probability"), each.best(top))
    for name, each in found.items():
        for text in each.damage:
            note(f"damaged, the rest was used: {name}: {text}")
    return report_end((output, csv, html), failed)


def _entry(pair: tuple[str, float]) -> dict[str, Any]:
    return {"label": pair[0], "score": pair[1]}


def _told(found: Found, look: Look, top: int) -> dict[str, Any]:
    """One clip by itself, for programs."""
    answers = [_entry(pair) for pair in found.best(top, look.probabilities)]
    told: dict[str, Any] = {"segment": [float(look.spans[0, 0]), float(look.spans[-1, 1])], "answers": answers}
    if look.attention is not None:
        told["spans"] = np.round(look.spans, 3).tolist()
        told["attention"] = np.round(look.attention, _DIGITS).tolist()
        told["mean"] = np.round(look.attention[-1].mean(axis=0), _DIGITS).tolist()
    return told


def _csv(found: Mapping[str, Found], top: int) -> str:
    text = io.StringIO()
    writer = csv_format.writer(text, lineterminator="\n")
    writer.writerow(("video", "rank", "label", "probability"))
    for name, each in found.items():
        writer.writerows((name, rank, *pair) for rank, pair in enumerate(each.best(top), 1))
    return text.getvalue()


def _page(found: Mapping[str, Found], videos: Mapping[str, Path], top: int) -> page.RecognitionPage:
    shown = []
    with progress("Drawing", len(found)) as report:
        for name, each in found.items():
            looks = [_drawn(look, videos[name], each.best(1, look.probabilities)) for look in each.looks]
            damage = " ".join(f"Damaged: {text}." for text in each.damage)
            shown.append(page.VideoPage(name, videos[name], each.best(top), looks, damage))
            report(1, name)
    title = f"What {next(iter(found))} shows" if len(found) == 1 else f"What {len(found)} videos show"
    return page.RecognitionPage(title, shown, settings=circumstances())


def _drawn(look: Look, path: Path, answers: list[tuple[str, float]]) -> page.Look:
    """A look with a picture for each token; without pictures where the video cannot be read again."""
    spans = [(float(start), float(end)) for start, end in look.spans]
    try:
        with open_video(path) as video:
            shown = pictures(video, look.spans.mean(axis=1), _PICTURE)
    except KinoscopeError:
        shown = []
    own = None if look.own is None else float(look.own[-1].mean())
    return page.Look(
        spans[0][0],
        spans[-1][1],
        spans,
        shown,
        look.attention,
        own,
        class_token=look.own is not None,
        answers=answers,
    )
