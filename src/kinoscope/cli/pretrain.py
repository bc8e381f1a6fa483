"""``kinoscope pretrain``: an encoder from a folder of videos."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..coclr.options import Method, PretrainOptions
from ..errors import AnnotationError, OptionError, OutputError
from ..video.augment import AugmentOptions
from .pretrain_options import MachineOptions, StreamOptions

if TYPE_CHECKING:
    from torch import nn

    from ..coclr.clips import Clips
    from ..coclr.network import FrozenEmbedding
    from ..coclr.schedule import Pretraining

EXAMPLES = """\
  kinoscope pretrain videos/ --method infonce --out runs/rgb
  kinoscope pretrain videos/ --method coclr --cycles 2 --out runs/coclr
  kinoscope pretrain videos/ --method coclr --out runs/coclr --resume         # go on after a stop
  kinoscope pretrain videos/ --method coclr --out runs/coclr --dry-run        # the plan and its time, nothing else
  kinoscope pretrain videos/ --method coclr --second difference --out runs/x  # without optical flow
  kinoscope pretrain labels.csv --method ubernce --out runs/oracle
"""

_PLAN = "pretrain.json"
_SHOWN = 5
_VIDEOS_PER_DECODER = 10
_LONG = 12 * 3600  # seconds, from which on a faster way is pointed out


def run(
    source: Path,
    *,
    method: Method,
    out: Path,
    options: PretrainOptions,
    streams: StreamOptions,
    augment: AugmentOptions,
    machine: MachineOptions,
    flow: Path | None = None,
    cache: Path | None = None,
    keep_frames: bool = True,
    root: Path | None = None,
    subset: str | None = None,
    resume: bool = False,
    dry_run: bool = False,
) -> int:
    """Train an encoder on videos without labels (UberNCE: with labels), and leave it in a folder.

    InfoNCE tells each video from all others. CoCLR begins with InfoNCE on RGB and on a second stream, optical flow;
    then each stream finds positives for the other, in turns. The plan and its time are printed first. Every stage can
    be stopped and goes on with --resume to the same bits; a stage that is done is not repeated. The result is an
    encoder for extract, search and probe-features: OUT itself or, of two streams, OUT/rgb and the like.

    Args:
        source: Folder of videos, or a file of labelled videos (video,label[,split]). Of the latter only the training
            part is used; UberNCE learns from the labels, CoCLR logs how often mined positives share them.
        method: infonce, ubernce or coclr.
        out: Folder of the run.
        flow: Folder that `kinoscope flow` made; motion is read from it instead of being computed.
        cache: Folder for decoded frames and flow; by default OUT/cache. Runs may share one.
        keep_frames: Decode every video once and keep its frames; otherwise each clip is decoded when it is drawn.
        root: Folder of the labelled videos; by default that of the file.
        subset: Part of the labelled videos to learn from; by default train.
        resume: Go on with the run in OUT.
        dry_run: Print the plan and its time, and stop.
    """
    from ..encoders.encoder import choose_device
    from ..engine.processes import is_first_process
    from ..files import write_json
    from .terminal import note, say

    streams.check(method, flow)
    device = choose_device(machine.device)
    first = is_first_process()
    if first:
        _claim(out, resume, dry_run)
    videos, labels = _videos(source, root, subset, method)
    kept = None if dry_run or not keep_frames else cache or out / "cache"
    work = _pretraining(
        method, out, videos, labels, options, streams, augment, machine, kept, flow, on_gpu=device.type != "cpu"
    )
    if not first:
        work.run()
        return 0
    work.check()
    _show_plan(work, device, machine.workers)
    if dry_run:
        return 0
    write_json(out / _PLAN, _description(method, source, videos, work))
    for folder in work.run():
        say(f"encoder: {folder}")
    _tell_collapse(method, [stage.title for stage in work.collapsed()])
    note(f"- features of any video: kinoscope extract videos/ --encoder {out} --out feats/")
    note(f"- how good it is: kinoscope probe-features {out} --data labels.csv --protocol linear,knn,retrieval")
    return 0


def _tell_collapse(method: Method, stages: list[str]) -> None:
    from .terminal import note

    if stages:
        note(f"- collapsed: to the network nearly all clips look alike after: {'; '.join(stages)}")
        start = "; or begin with an InfoNCE encoder: --start" if method == "ubernce" else ""
        note(f"  what helps: a lower --learning-rate, more epochs, --head centred{start}")


def _claim(out: Path, resume: bool, dry_run: bool) -> None:
    """Refuse to begin in a folder that holds a run, and to go on with one that is not there."""
    from ..files import make_folder

    begun = (out / _PLAN).exists()
    if begun and not (resume or dry_run):
        cure = "go on with it: --resume; or delete this folder, or choose another"
        raise OutputError("already holds a run", where=out, cure=cure)
    if not dry_run:
        make_folder(out)


def _videos(
    source: Path, root: Path | None, subset: str | None, method: Method
) -> tuple[dict[str, Path], dict[str, str] | None]:
    """The videos by name, and the class of each if the source says it."""
    from ..data.annotations import read_annotations, resolve_videos
    from ..data.segments import VIDEO_SUFFIXES
    from ..data.training_part import clip_part
    from ..encoders.folder import find_videos

    if source.is_dir() or source.suffix.lower() in VIDEO_SUFFIXES:
        if method == "ubernce":
            cure = "give a file of labelled videos (video,label), or use --method infonce"
            raise OptionError("UberNCE learns from labels, but this is a folder of videos", where=source, cure=cure)
        if root is not None or subset is not None:
            name = "--root" if root is not None else "--subset"
            raise OptionError(f"{name} goes with a file of labels, not with a folder", cure=f"leave {name} out")
        return find_videos(source), None
    annotations = clip_part(read_annotations(source), subset)
    labels = {name: video.label for name, video in annotations.videos.items() if video.label is not None}
    if method == "ubernce" and len(set(labels.values())) < 2:
        raise AnnotationError("UberNCE needs at least two classes", where=source, cure="label more videos")
    return resolve_videos(annotations, root or source.parent), labels


def _pretraining(
    method: Method,
    out: Path,
    videos: Mapping[str, Path],
    labels: Mapping[str, str] | None,
    options: PretrainOptions,
    streams: StreamOptions,
    augment: AugmentOptions,
    machine: MachineOptions,
    cache: Path | None,
    flow: Path | None,
    *,
    on_gpu: bool,
) -> Pretraining:
    from ..coclr.clips import ClipOptions, Clips
    from ..coclr.pairs import PairedViews, shown_stream
    from ..coclr.schedule import Pretraining, plan
    from ..encoders.trained import TrainedSpec, folder_weights
    from ..engine.processes import is_first_process

    if len(videos) < 2:
        raise OptionError("a single video has no other to be told from", cure="give at least two videos")
    chosen = options.resolve(len(videos), gpu=on_gpu)
    frozen, initial = _other_networks(chosen, streams, machine)  # first of all: decoding takes long
    if flow is not None:
        _check_flow(flow, videos, streams)
    stages = plan(method, chosen, stream=streams.stream, second=None if streams.frozen else streams.second)
    clip = ClipOptions(chosen.frames or 0, chosen.fps or 0, chosen.size or 0, streams.decode_size, streams.settings)
    seen = list(dict.fromkeys(shown_stream(stage.stream) for stage in stages))
    library = Clips(videos, seen, clip, cache=cache, flow_folder=flow, labels=labels)
    if is_first_process():
        _check_videos(out, videos)
    library.prepare(machine.workers or _decoders(len(videos)), quiet=not is_first_process())
    if is_first_process():
        _tell_left_out(library)
    if len(library) < 2:
        raise OptionError("a single video has no other to be told from", cure="give at least two videos")
    chosen = options.resolve(len(library), gpu=on_gpu)
    spec = TrainedSpec(
        backbone=chosen.backbone or "",
        width=chosen.width or 0,
        normalization=chosen.normalization,
        stream="rgb",
        fps=clip.fps,
        clip_length=clip.frames,
        size=clip.size,
        decode_size=clip.short_side,
        flow=clip.flow,
        origin=method,
    )
    identity = {
        "data": _digest(library),
        "flow": asdict(clip.flow) if "flow" in seen else None,
        "decode_size": clip.short_side,
        "augment": asdict(augment),
        "frozen": streams.frozen,
        "begins_with": None if streams.start is None else folder_weights(streams.start).hash,
    }
    return Pretraining(
        out,
        stages,
        PairedViews(library, augment),
        chosen,
        spec,
        machine.loop(),
        frozen=frozen,
        initial=initial,
        identity=identity,
        compiled=machine.compile,
    )


def _other_networks(
    options: PretrainOptions, streams: StreamOptions, machine: MachineOptions
) -> tuple[tuple[FrozenEmbedding, int] | None, nn.Module | None]:
    """The encoder that mines and the one to start from; refuses what cannot be built, and what does not fit."""
    from ..coclr.network import ClipEncoder
    from ..coclr.schedule import frozen_sampler, new_backbone, take_over
    from ..encoders.trained import load_trained
    from ..engine import LoopOptions

    LoopOptions(epochs=1, batch_size=1, **machine.loop())
    encoder = ClipEncoder(new_backbone(options))
    initial = None if streams.start is None else load_trained(streams.start)
    if initial is not None:
        take_over(encoder, initial)
    return frozen_sampler(streams.frozen, machine.device) if streams.frozen else None, initial


def _check_flow(folder: Path, videos: Mapping[str, Path], streams: StreamOptions) -> None:
    """Refuse a folder without flow of these videos, or with another kind of flow."""
    from ..video.flow import flow_options_of, flow_path

    cure = f"make it: kinoscope flow VIDEOS --out {folder}"
    if not folder.is_dir():
        raise OptionError("no such folder of flow", where=folder, cure=cure)
    there = next((path for name in videos if (path := flow_path(folder, name)).is_file()), None)
    if there is None:
        raise OptionError("holds no flow of these videos", where=folder, cure=cure)
    made = flow_options_of(there)
    if (made["algorithm"], made["bound"]) != (streams.algorithm, streams.bound):
        is_by, asked = f"{made['algorithm']}, bound {made['bound']:g}", f"{streams.algorithm}, bound {streams.bound:g}"
        cure = f"--algorithm {made['algorithm']} --bound {made['bound']:g}"
        raise OptionError(f"holds flow by {is_by}, but asked for is {asked}", where=folder, cure=cure)


def _decoders(videos: int) -> int:
    """Processes that decode, where the user leaves it to us: each is worth its start from some videos on."""
    return min(os.cpu_count() or 1, videos // _VIDEOS_PER_DECODER)


def _digest(library: Clips) -> str:
    """Which videos, how long, of which class: what a run may only be resumed with."""
    labels = library.labels
    known = [[name, library.samples(i)] for i, name in enumerate(library.names)]
    text = json.dumps([known, None if labels is None else labels.tolist()])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _check_videos(out: Path, videos: Mapping[str, Path]) -> None:
    """Name what became other videos since the run in ``out`` was begun; the numbers in it come from them all."""
    try:
        known = json.loads((out / _PLAN).read_text(encoding="utf-8"))["names"]
    except (OSError, ValueError, KeyError, TypeError):
        return  # a new run, or the stages' own records will tell
    for what, names in (("no longer there", set(known) - set(videos)), ("new", set(videos) - set(known))):
        if names:
            shown = ", ".join(sorted(names)[:_SHOWN]) + (
                f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            )
            cure = "put them back as they were, or begin a run in another folder"
            raise OptionError(f"the run was begun with other videos; {what}: {shown}", where=out, cure=cure)


def _tell_left_out(library: Clips) -> None:
    from .terminal import note

    for title, found in (("left out", library.failed), ("damaged", library.damaged)):
        for path, problem in list(found.items())[:_SHOWN]:
            note(f"{title}: {path}: {problem}")
        if len(found) > _SHOWN:
            note(f"{title}: {len(found) - _SHOWN} more")


def _show_plan(work: Pretraining, device: Any, workers: int) -> None:
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


def _duration(seconds: float) -> str:
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size or (unit == "min" and seconds >= 60):
            return f"{seconds / size:.1f} {unit}"
    return f"{max(seconds, 1):.0f} s"


def _description(method: Method, source: Path, videos: Mapping[str, Path], work: Pretraining) -> dict[str, Any]:
    return {
        "kind": "pretraining",
        "method": method,
        "source": str(source),
        "names": [*videos],
        "options": asdict(work.options),
        "stages": [asdict(stage) for stage in work.stages],
    }
