"""Which videos ``kinoscope pretrain`` learns from, and what is wrong with them before anything is decoded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..coclr.options import Method
from ..errors import AnnotationError, OptionError
from .pretrain_options import StreamOptions
from .pretrain_plan import SHOWN

if TYPE_CHECKING:
    from ..clips.reader import Clips

PLAN = "pretrain.json"
"""What a run was begun with."""
_VIDEOS_PER_DECODER = 10


def find_pretraining_videos(
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


def check_videos(out: Path, videos: Mapping[str, Path]) -> None:
    """Name what became other videos since the run in ``out`` was begun; the numbers in it come from them all."""
    try:
        known = json.loads((out / PLAN).read_text(encoding="utf-8"))["names"]
    except (OSError, ValueError, KeyError, TypeError):
        return  # a new run, or the stages' own records will tell
    for what, names in (("no longer there", set(known) - set(videos)), ("new", set(videos) - set(known))):
        if names:
            shown = ", ".join(sorted(names)[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
            cure = "put them back as they were, or begin a run in another folder"
            raise OptionError(f"the run was begun with other videos; {what}: {shown}", where=out, cure=cure)


def check_flow(folder: Path, videos: Mapping[str, Path], streams: StreamOptions) -> None:
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


def decoders(videos: int) -> int:
    """Processes that decode, where the user leaves it to us: each is worth its start from some videos on."""
    from ..video.opening import usable_cores

    return min(usable_cores(), videos // _VIDEOS_PER_DECODER)


def digest_of(library: Clips) -> str:
    """Which videos, how long, of which class: what a run may only be resumed with."""
    known = [[name, library.samples(i)] for i, name in enumerate(library.names)]
    text = json.dumps([known, library.labels.tolist()])
    return hashlib.sha256(text.encode()).hexdigest()[:16]
