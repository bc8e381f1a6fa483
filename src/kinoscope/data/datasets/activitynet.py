"""ActivityNet 1.3 as whole videos, each with the set of its classes, as its classification task has it.

Either the annotations themselves (``activity_net.v1-3.min.json``, or a table of its segments) or the lists of AR-Net's
release: ``actnet_train_split.txt``, ``actnet_val_split.txt`` and ``classInd.txt``, beside the videos ``v_ID.mp4``.

Source: Caba Heilbron et al., ActivityNet (CVPR 2015); AR-Net sheet, section 6.
"""

from __future__ import annotations

from pathlib import Path

from ...errors import AnnotationError
from ...wording import plural, some_of
from ..annotations import read_annotations
from ..segments import VideoAnnotation
from .frame_lists import class_names, read_lists, rows_of
from .listing import Listing, Row
from .split_lists import folder_of

_LISTS = {"actnet_train_split.txt": "train", "actnet_val_split.txt": "validation"}


def lists_folder(source: Path) -> Path | None:
    """Where the lists lie at or directly below ``source``; None when there are none."""
    return folder_of(source, "actnet_*_split.txt")


def list_clips(source: Path) -> Listing:
    """A clip per video, called ``v_ID``. Videos without annotations (the testing part) are left out.

    Of several classes ``label`` is that of the smallest number; the official numbers are those of the sorted names.

    Raises:
        AnnotationError: neither annotations nor lists, or what cannot be read in them.
    """
    if not source.is_dir():
        return _annotated(source)
    folder = lists_folder(source)
    if folder is None:
        cure = "give activity_net.v1-3.min.json, or the folder of AR-Net's lists and classInd.txt"
        raise AnnotationError("holds no actnet_train_split.txt", where=source, cure=cure)
    lines = read_lists(folder, _LISTS, ",")
    return Listing(tuple(rows_of(lines, class_names(folder))), folder, source)


def _annotated(source: Path) -> Listing:
    """Times say nothing here, so flawed ones do not matter."""
    videos = read_annotations(source, on_flaw="keep").videos
    labels = {name: sorted(_labels(video)) for name, video in videos.items()}
    rows = [_row(name, videos[name], found, source) for name, found in labels.items() if found]
    empty = [name for name, found in labels.items() if not found]
    remarks = (f"left out, without a label: {plural(len(empty), 'video')}: {some_of(empty)}",) if empty else ()
    return Listing(tuple(rows), source, source.parent, remarks)


def _row(name: str, video: VideoAnnotation, labels: list[str], source: Path) -> Row:
    named = name.startswith("v_") and len(name) == 13  # ids have 11 characters, and one may begin with v_ itself
    label, *also = labels
    file = str(video.path or name)  # without v_, for then both are found
    return Row(name if named else f"v_{name}", file, label, video.subset, where=source, also=tuple(also))


def _labels(video: VideoAnnotation) -> set[str]:
    return {segment.label for segment in video.segments} | ({video.label} if video.label is not None else set())
