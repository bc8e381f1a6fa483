"""``kinoscope pretrain``: an encoder from a folder of videos."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..coclr.options import Method, PretrainOptions
from ..errors import OptionError, OutputError
from ..video.augment import AugmentOptions
from .pretrain_options import MachineOptions, StreamOptions
from .pretrain_plan import show_plan, tell_collapse, tell_left_out
from .pretrain_source import PLAN, check_flow, check_videos, decoders, digest_of, find_pretraining_videos

if TYPE_CHECKING:
    from torch import nn

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
    videos, labels = find_pretraining_videos(source, root, subset, method)
    kept = None if dry_run or not keep_frames else cache or out / "cache"
    work = _pretraining(
        method, out, videos, labels, options, streams, augment, machine, kept, flow, on_gpu=device.type != "cpu"
    )
    if not first:
        work.run()
        return 0
    work.check()
    show_plan(work, device, machine.workers)
    if dry_run:
        return 0
    write_json(out / PLAN, _description(method, source, videos, work))
    for folder in work.run():
        say(f"encoder: {folder}")
    tell_collapse(method, [stage.title for stage in work.collapsed()])
    note(f"- features of any video: kinoscope extract videos/ --encoder {out} --out feats/")
    note(f"- how good it is: kinoscope probe-features {out} --data labels.csv --protocol linear,knn,retrieval")
    return 0


def _claim(out: Path, resume: bool, dry_run: bool) -> None:
    """Refuse to begin in a folder that holds a run, and to go on with one that is not there."""
    from ..files import make_folder

    begun = (out / PLAN).exists()
    if begun and not (resume or dry_run):
        cure = "go on with it: --resume; or delete this folder, or choose another"
        raise OutputError("already holds a run", where=out, cure=cure)
    if not dry_run:
        make_folder(out)


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
    from ..clips.reader import ClipOptions, Clips
    from ..coclr.pairs import PairedViews, shown_stream
    from ..coclr.schedule import Pretraining, plan
    from ..encoders.trained import TrainedSpec, folder_weights
    from ..engine.processes import is_first_process

    if len(videos) < 2:
        raise OptionError("a single video has no other to be told from", cure="give at least two videos")
    chosen = options.resolve(len(videos), gpu=on_gpu)
    frozen, initial = _other_networks(chosen, streams, machine)  # first of all: decoding takes long
    if flow is not None:
        check_flow(flow, videos, streams)
    stages = plan(method, chosen, stream=streams.stream, second=None if streams.frozen else streams.second)
    clip = ClipOptions(chosen.frames or 0, chosen.fps or 0, chosen.size or 0, streams.decode_size, streams.settings)
    seen = list(dict.fromkeys(shown_stream(stage.stream) for stage in stages))
    library = Clips(videos, seen, clip, cache=cache, flow_folder=flow, labels=labels)
    if is_first_process():
        check_videos(out, videos)
    library.prepare(machine.workers or decoders(len(videos)), quiet=not is_first_process())
    if is_first_process():
        tell_left_out(library)
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
        "data": digest_of(library),
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


def _description(method: Method, source: Path, videos: Mapping[str, Path], work: Pretraining) -> dict[str, Any]:
    return {
        "kind": "pretraining",
        "method": method,
        "source": str(source),
        "names": [*videos],
        "options": asdict(work.options),
        "stages": [asdict(stage) for stage in work.stages],
    }
