"""From the options to a folder of videos and annotation files."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from kinoscope.errors import OptionError
from kinoscope.files import atomic_path, make_folder, write_json, write_text

from .options import PlaygroundOptions
from .plan import KINDS, Plan, plan_playground, video_rng
from .scene import Frame, Scene

FORMAT = 1  # raised whenever the same options would give other videos


@dataclass(frozen=True)
class PlaygroundPaths:
    """Where the parts of a playground lie; a part that the options leave out is None."""

    folder: Path
    videos: tuple[Path, ...]
    manifest: Path
    clips: Path | None
    order: Path | None
    detail: Path | None
    evidence: Path | None
    untrimmed_csv: Path | None
    untrimmed_json: Path | None


def make_playground(
    folder: str | Path,
    options: PlaygroundOptions | None = None,
    *,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> PlaygroundPaths:
    """Make the videos and their annotations; continue where an interrupted run with the same options stopped.

    Args:
        folder: receives ``clips/ order/ detail/ untrimmed/`` with ``.mp4`` files, ``clips.csv``, ``order.csv``,
            ``detail.csv`` (``video,label,split``), ``untrimmed.csv`` (``video,start,end,label,split``, one row with
            empty times and label for a video without actions), ``untrimmed.json`` (ActivityNet's layout),
            ``evidence.csv`` (``video,start,end,label``) and ``playground.json`` (the options).
        options: what to make; the defaults when None.
        overwrite: replace a playground made with other options.
        progress: called with (videos done, videos in all).

    Raises:
        OptionError: when ``folder`` holds a playground of other options and ``overwrite`` is off.
        OutputError: when the folder cannot be written.
    """
    options = options or PlaygroundOptions()
    root = make_folder(folder)
    _claim(root, options, overwrite)
    plans = plan_playground(options)
    for done, plan in enumerate(plans):
        if progress:
            progress(done, len(plans))
        target = root / plan.path
        if not target.exists():
            _write_video(target, plan, options)
    if progress:
        progress(len(plans), len(plans))
    return _write_annotations(root, plans, options)


def _claim(root: Path, options: PlaygroundOptions, overwrite: bool) -> None:
    """Make sure that every video found in ``root`` was made with these very options."""
    manifest = root / "playground.json"
    wanted = {"format": FORMAT, "options": options.as_dict()}
    if _read_manifest(manifest) == json.loads(json.dumps(wanted)):
        return
    old = [file for kind in KINDS for file in (root / kind).glob("[0-9]*.mp4")]
    if (manifest.exists() or old) and not overwrite:
        raise OptionError(
            "holds a playground made with other options",
            where=root,
            cure="choose another folder, use the same options, or allow overwriting",
        )
    for file in [*old, *(root / f"{name}.csv" for name in (*KINDS, "evidence")), root / "untrimmed.json"]:
        file.unlink(missing_ok=True)
    write_json(manifest, wanted)


def _read_manifest(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None


def render(plan: Plan, options: PlaygroundOptions) -> Iterable[Frame]:
    """The frames of one video before compression.

    Shape: [H, W, 3] RGB each.
    """
    look = plan.index if plan.look is None else plan.look
    scene = Scene(video_rng(options, plan.kind, look, 1), plan.size, plan.frames, options)
    return scene.frames(plan.actors, plan.markers)


def _write_video(target: Path, plan: Plan, options: PlaygroundOptions) -> None:
    import av
    from av.video.reformatter import VideoReformatter

    h264 = "libx264" in av.codecs_available
    quality = "12" if plan.kind == "detail" else "20"  # a fine texture must survive the compression
    # x264's macroblock tree gives other bytes from call to call for the same small frames (measured): off.
    settings = {"preset": "veryfast", "crf": quality, "x264-params": "mbtree=0"} if h264 else {"qscale": "3"}
    with atomic_path(target) as temporary, av.open(str(temporary), "w") as container:
        stream = container.add_stream("libx264" if h264 else "mpeg4", rate=options.fps, options=settings)
        stream.height, stream.width = plan.size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1  # the same bytes whatever the number of cores
        stream.codec_context.time_base = Fraction(1, options.fps)
        to_yuv = VideoReformatter()
        for index, pixels in enumerate(render(plan, options)):
            frame = to_yuv.reformat(av.VideoFrame.from_ndarray(pixels, format="rgb24"), format="yuv420p", threads=1)
            frame.pts, frame.time_base = index, Fraction(1, options.fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _write_annotations(root: Path, plans: Sequence[Plan], options: PlaygroundOptions) -> PlaygroundPaths:
    def table(name: str, columns: str, rows: Iterable[Sequence[object]]) -> Path | None:
        content = list(rows)
        if not content:
            return None
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([columns.split(","), *content])
        write_text(root / f"{name}.csv", text.getvalue())
        return root / f"{name}.csv"

    def labels(kind: str) -> Path | None:
        rows = [(plan.path, plan.label, plan.split) for plan in plans if plan.kind == kind]
        return table(kind, "video,label,split", rows)

    evidence = [(plan.path, part.start, part.end, part.label) for plan in plans for part in plan.evidence]
    untrimmed = [plan for plan in plans if plan.kind == "untrimmed"]
    return PlaygroundPaths(
        folder=root,
        videos=tuple(root / plan.path for plan in plans),
        manifest=root / "playground.json",
        clips=labels("clips"),
        order=labels("order"),
        detail=labels("detail"),
        evidence=table("evidence", "video,start,end,label", evidence),
        untrimmed_csv=table("untrimmed", "video,start,end,label,split", _segment_rows(untrimmed)),
        untrimmed_json=_write_database(root / "untrimmed.json", untrimmed, options.fps),
    )


def _segment_rows(plans: Iterable[Plan]) -> Iterable[Sequence[object]]:
    for plan in plans:
        for action in plan.segments:
            yield plan.path, action.start, action.end, action.label, plan.split
        if not plan.segments:
            yield plan.path, "", "", "", plan.split


def _write_database(path: Path, plans: Sequence[Plan], fps: int) -> Path | None:
    if not plans:
        return None
    database = {
        plan.path.removesuffix(".mp4"): {
            "duration": round(plan.frames / fps, 6),
            "fps": fps,
            "subset": plan.split,
            "annotations": [{"label": action.label, "segment": [action.start, action.end]} for action in plan.segments],
        }
        for plan in plans
    }
    write_json(path, {"version": f"kinoscope playground {FORMAT}", "database": database})
    return path
