"""What ``kinoscope pretrain`` tells: the plan and its time, what was left out, what went wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..coclr.options import Method

if TYPE_CHECKING:
    from ..clips.reader import Clips
    from ..coclr.schedule import Pretraining

SHOWN = 5
"""Names of videos in a message."""
_LONG = 12 * 3600  # seconds, from which on a faster way is pointed out


def show_plan(work: Pretraining, device: Any, workers: int) -> None:
    """A row per stage, with its time as measured on a few clips."""
    from ..coclr.estimate import measure
    from .terminal import note, print_table, say

    options, rows, left, paces = work.options, [], 0.0, {}
    assert options.batch_size is not None
    updates = len(work.views) // options.batch_size
    for stage in work.stages:
        done = work.done(stage)
        if not done:
            kind = (stage.stream, stage.method)
            if kind not in paces:
                paces[kind] = measure(work.trial(stage), device)
            seconds = paces[kind].seconds(stage.epochs * updates * options.batch_size, workers)
            left += seconds
        rows.append(
            [
                stage.title,
                stage.start or ("random weights" if work.initial is None else "--start"),
                stage.sampler or {"infonce": "its own key", "ubernce": "labels"}[stage.method],
                stage.epochs,
                stage.epochs * updates,
                "done" if done else _duration(seconds),
            ]
        )
    header = ["stage", "begins with", "positives from", "epochs", "updates", "time"]
    title = f"{len(work.views)} videos, {updates} updates of {options.batch_size} pairs per epoch; on {device}"
    print_table(title, header, rows)
    say(
        f"{options.backbone}, width {options.width:g}, {options.frames} frames of {options.size} px at {options.fps:g} "
        f"per second (preset {options.preset}); queue {options.queue}. To go: about {_duration(left)}."
    )
    if left > _LONG and options.preset == "official":
        note("- faster: --preset small, fewer --epochs, a GPU")


def tell_collapse(method: Method, stages: list[str]) -> None:
    """Name the stages that learned nothing, and what helps."""
    from .terminal import note

    if stages:
        note(f"- collapsed: to the network nearly all clips look alike after: {'; '.join(stages)}")
        start = "; or begin with an InfoNCE encoder: --start" if method == "ubernce" else ""
        note(f"  what helps: a lower --learning-rate, more epochs, --head centred{start}")


def tell_left_out(library: Clips) -> None:
    """Name the videos that are not learned from, and those of which a part is missing."""
    from .terminal import note

    for title, found in (("left out", library.failed), ("damaged", library.damaged)):
        for path, problem in list(found.items())[:SHOWN]:
            note(f"{title}: {path}: {problem}")
        if len(found) > SHOWN:
            note(f"{title}: {len(found) - SHOWN} more")


def _duration(seconds: float) -> str:
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size or (unit == "min" and seconds >= 60):
            return f"{seconds / size:.1f} {unit}"
    return f"{max(seconds, 1):.0f} s"
