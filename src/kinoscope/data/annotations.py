"""Reading what happens in which video, and when: CSV, ActivityNet's JSON and data sets as they are released.

Every row is checked.

Which flaw does what: see :class:`~kinoscope.data.annotations_checks.AnnotationBuilder`. In short, the default refuses
every flaw and names up to 20 of them with their lines; ``on_flaw="keep"`` takes published ground truth as it is
(ActivityNet and HACS hold segments of no length, duplicates, and ends beyond the video).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path

from ..errors import AnnotationError, OptionError
from . import annotations_csv, annotations_json
from .annotations_checks import AnnotationBuilder, OnFlaw, Place
from .annotations_text import read_text, shorten
from .annotations_videos import resolve_videos
from .annotations_write import write_annotations_json, write_predictions_csv, write_predictions_json, write_srt
from .dataset_choice import FrameChoice, parse_dataset
from .datasets import class_texts, epic_kitchens, frame_folders
from .frame_labels import FrameLabels
from .segments import Annotations

__all__ = [
    "OnFlaw",
    "read_annotations",
    "read_frame_labels",
    "read_predictions",
    "resolve_videos",
    "write_annotations_json",
    "write_predictions_csv",
    "write_predictions_json",
    "write_srt",
]


def read_annotations(
    path: str | Path,
    *,
    on_flaw: OnFlaw = "error",
    classes: Iterable[str] | None = None,
    root: str | Path | None = None,
    dataset: str | None = None,
) -> Annotations:
    """Read ground truth or predictions; what it is, is told by its content.

    CSV: a header ``video,label[,split]`` (trimmed clips) or ``video,start,end,label[,split]`` (times in seconds), in
    any case and order, separated by comma, semicolon or tab; ``duration`` and ``score`` are read when there, other
    columns ignored; a row with empty start, end and label says that the video holds nothing. TSP's tables of
    ActivityNet are read too.
    JSON: ActivityNet's ``database`` or ``results``; numbers may be strings, labels may be integers. THUMOS14, HACS
    Segments and MultiTHUMOS come so too.
    A folder: a text file per class, as THUMOS14 and MultiTHUMOS were released.
    With ``dataset``: ``epic-kitchens:verb`` (or ``:noun``), one table or the folder of them; ``gtea``, ``50salads`` and
    ``frames:fps=15``, folders with a label for every frame, see :func:`read_frame_labels`.

    Args:
        path: the file, or the folder.
        on_flaw: ``error`` reports every flaw; ``drop`` leaves flawed rows out; ``keep`` keeps segments that have no
            length, start before 0, end beyond the video or occur twice, and reports all others. What was dropped, kept
            or clipped is listed in ``Annotations.flaws``. Paths with ``..`` are refused whatever is chosen.
        classes: the labels that may occur; others are flaws, reported with the nearest known name. In a list or tuple,
            as :func:`~kinoscope.data.classes.read_classes` gives it, numbers in the file stand for their places.
        root: the folder of the videos: absolute paths below it are made relative. Other absolute paths are refused,
            because features and results are filed under a video's relative path.
        dataset: what no file says: which of two labels counts, which rate and split frames have.

    Returns:
        The annotations; ``flaws`` and ``remarks`` say what was left out.

    Raises:
        AnnotationError: one problem with its ``file:line`` (or place in the JSON), or up to 20 of them in one message.
        OptionError: no such ``dataset``, or one that the files do not hold.
    """
    builder = partial(AnnotationBuilder, on_flaw=on_flaw, classes=classes, root=None if root is None else Path(root))
    annotations = _read_choice(Path(path), dataset, builder) if dataset else _read(Path(path), builder)
    if not annotations.videos:
        raise AnnotationError("names no video", where=path, cure="the file needs at least one row besides the header")
    return annotations


def read_predictions(path: str | Path, *, on_flaw: OnFlaw = "keep", need_labels: bool = True) -> Annotations:
    """Read predictions: as :func:`read_annotations`, and every segment must carry a score. The file may hold none.

    Without ``need_labels`` segments may have no label, as proposals have none; it is empty then.

    Raises:
        AnnotationError: as above, and when a score is missing.
    """
    make = partial(AnnotationBuilder, on_flaw=on_flaw, classes=None, root=None, unlabelled=not need_labels)
    predictions = _read(Path(path), make)
    for name, video in predictions.videos.items():
        if any(segment.score is None for segment in video.segments):
            problem = f"a segment of {shorten(name)} has no score, so this is not a file of predictions"
            raise AnnotationError(problem, where=path, cure="predictions need a score: video,start,end,label,score")
        if video.label is not None:
            raise AnnotationError(
                "holds labels of clips, not segments", where=path, cure="give video,start,end,label,score"
            )
    return predictions


def read_frame_labels(path: str | Path, dataset: str) -> FrameLabels:
    """Read a label for every frame, for frame-wise scores; ``to_annotations`` makes segments of them.

    Args:
        path: the folder of a data set as MS-TCN publishes it or as ``.npz`` files, or of text files alone.
        dataset: ``gtea`` (15 frames per second), ``50salads`` (30, but its ``.npz`` rows fewer), ``frames`` for others;
            with ``:fps=…`` and ``:split=…``, as in ``50salads:fps=2.5,split=2``. Split 1 is the default.

    Raises:
        AnnotationError: what cannot be read, see :mod:`kinoscope.data.datasets.frame_folders`.
        OptionError: no such data set of frames, a rate that is not known, no such split.
    """
    choice = parse_dataset(dataset)
    if not isinstance(choice, FrameChoice):
        raise OptionError(f"{dataset!r} has no labels of frames", cure="give gtea, 50salads or frames:fps=15")
    return frame_folders.read_frame_labels(path, choice)


Builder = Callable[[Path, Callable[[Place], str]], AnnotationBuilder]
"""Makes the collector of rows of a file, given the file and how to name a place in it."""


def _read(path: Path, make: Builder) -> Annotations:
    if path.is_dir():
        return _read_folder(path, make)
    text = read_text(path)
    if text.lstrip()[:1] in ("{", "["):
        section, tree = annotations_json.parse_tree(text, path)
        builder = make(path, annotations_json.locate(path, section))
        annotations_json.read_tree(tree[section], section, builder)
        external = tree.get("external_data")
        return replace(builder.finish(), external=external if isinstance(external, dict) else {})
    if epic_kitchens.tables(path):
        problem = "is a table of EPIC-Kitchens, whose segments have a verb and a noun"
        raise AnnotationError(problem, where=path, cure="choose one: epic-kitchens:verb or epic-kitchens:noun")
    builder = make(path, annotations_csv.locate(path))
    annotations_csv.read_table(text, path, builder)
    return builder.finish()


def _read_folder(path: Path, make: Builder) -> Annotations:
    if frame_folders.label_files(path):
        cure = "say which data set, and with it their rate: gtea, 50salads or frames:fps=15"
        raise AnnotationError("holds labels of frames, but no file says how many a second has", where=path, cure=cure)
    if epic_kitchens.tables(path):
        problem = "holds tables of EPIC-Kitchens, whose segments have a verb and a noun"
        raise AnnotationError(problem, where=path, cure="choose one: epic-kitchens:verb or epic-kitchens:noun")
    files = class_texts.class_files(path)
    if not files:
        cure = "name the file in it; folders hold a text file per class, as THUMOS14 was released"
        raise AnnotationError("is a folder, not an annotation file", where=path, cure=cure)
    builder = make(path, partial(class_texts.locate, path))
    remarks = class_texts.read_class_files(path, files, builder)
    return _with_remarks(builder.finish(), remarks)


def _read_choice(path: Path, dataset: str, make: Builder) -> Annotations:
    choice = parse_dataset(dataset)
    if isinstance(choice, FrameChoice):
        found = frame_folders.read_frame_labels(path, choice).to_annotations()
        builder = make(path, lambda place: f"{path}: {place[0] if isinstance(place, tuple) else place}")
        for name, video in found.videos.items():
            place = (name, None, None)
            draft = builder.video(name, place, duration=video.duration, subset=video.subset)
            if draft is not None:
                for each in video.segments:
                    builder.segment(draft, each.start, each.end, each.label, None, place)
        return _with_remarks(builder.finish(), found.remarks)
    if not path.exists():
        raise AnnotationError("no such annotation file", where=path, cure="check the path")
    tables = epic_kitchens.tables(path)
    if not tables:
        cure = "give EPIC_100_validation.csv, or the folder that holds it"
        raise AnnotationError("is no table of EPIC-Kitchens", where=path, cure=cure)
    folder = path if path.is_dir() else path.parent
    builder = make(path, partial(class_texts.locate, folder))
    remarks = [remark for table in tables for remark in epic_kitchens.read_table(table, choice, builder)]
    return _with_remarks(builder.finish(), tuple(remarks))


def _with_remarks(annotations: Annotations, remarks: tuple[str, ...]) -> Annotations:
    return replace(annotations, remarks=(*annotations.remarks, *remarks))
