"""Tables of how long videos are, as they come with folders of features (HACS, ActivityNet, G-TAD and its kin)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..errors import AnnotationError, FeatureError
from . import annotations_csv, annotations_json
from .annotations_checks import AnnotationBuilder
from .annotations_text import read_text
from .features import Features

_VIDEO = ("video", "video-name", "video_name", "filename", "name")
_DURATION = ("duration", "duration_second", "video-duration", "video_duration", "seconds")
_SUFFIXES = (".npy", ".safetensors")
_EXPECTED = (
    'give {"video": seconds, …}, ActivityNet\'s {"database": {"video": {"duration": seconds}}}, '
    "or a table with the header video,duration"
)
_SHARE = 0.9  # of videos whose "duration" is their number of rows: the others are stale
_SECOND = 0.05  # how near a step of 1 s must be for rows and seconds to be the same by right


def read_durations(path: str | Path) -> dict[str, float]:
    """Read how long videos are.

    JSON: ``{name: seconds}``, or ActivityNet's ``database`` with a ``duration`` in each entry, or the entries alone
    (``duration_second`` as in the files of BSN and G-TAD). CSV: a header with ``video`` and ``duration`` (or
    ``seconds``), other columns are ignored. Numbers may be strings; videos without a duration are left out.

    Args:
        path: the file.

    Returns:
        Seconds by video name: without ``.npy`` or the suffix of a video.

    Raises:
        AnnotationError: not such a table; durations that are no positive numbers, or two for one video; with line or
            key, up to 20 in one message.
    """
    path = Path(path)
    text = read_text(path)
    is_json = text.lstrip()[:1] in ("{", "[")
    builder = _read_tree(text, path) if is_json else _read_rows(text, path)
    videos = builder.finish().videos
    found = {name: video.duration for name, video in videos.items() if video.duration is not None}
    if not found:
        raise AnnotationError("holds no duration of a video", where=path, cure=_EXPECTED)
    return found


def refuse_lengths(features: Mapping[str, Features], durations: Mapping[str, float], folder: Path) -> None:
    """Raise :class:`FeatureError` when ``durations`` are numbers of rows, as in the tables of SoLa's release.

    Where a row comes every second, both are the same by right.

    Args:
        features: of each video.
        durations: what a table says of the same videos.
        folder: of the features, for the message.
    """
    known = [name for name in features if name in durations]
    apart = [name for name in known if abs(features[name].time.step - 1) > _SECOND]
    equal = [name for name in apart if durations[name] == len(features[name])]
    if equal and len(equal) >= _SHARE * len(known):
        name = equal[0]
        step = features[name].time.step
        raise FeatureError(
            f"the durations of {len(equal)} of {len(known)} videos are their numbers of rows ({name!r}: "
            f"{len(features[name])}), not seconds: a row comes every {step:g} s",
            where=folder,
            cure="leave the table away: lengths are taken from the files; or give durations in seconds",
        )


def _read_tree(text: str, path: Path) -> AnnotationBuilder:
    tree = annotations_json.parse_json(text, path)
    section = "database" if isinstance(tree, dict) and "database" in tree else ""
    entries = tree[section] if section else tree
    if not isinstance(entries, dict):
        raise AnnotationError("is no table of durations", where=path, cure=_EXPECTED)
    builder = AnnotationBuilder(path, annotations_json.locate(path, section))
    for name, entry in entries.items():
        if isinstance(entry, dict):
            entry = next((entry[key] for key in _DURATION if key in entry), None)
        builder.video(_bare(name), (name, None, None), duration=entry)
    return builder


def _read_rows(text: str, path: Path) -> AnnotationBuilder:
    header_line = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(",;\t", key=header_line.count)
    rows = annotations_csv.table_rows(text, path, delimiter)
    line, header = next(rows, (1, []))
    columns = [cell.strip().lower() for cell in header]
    video, duration = _column(columns, _VIDEO), _column(columns, _DURATION)
    if video is None or duration is None:
        missing = "video" if video is None else "duration"
        shown = ", ".join(map(repr, columns[:12]))
        raise AnnotationError(
            f"no column {missing}; the header has {shown}"[:300], where=f"{path}:{line}", cure=_EXPECTED
        )
    builder = AnnotationBuilder(path, annotations_csv.locate(path))
    for line, cells in rows:
        cells += [""] * (len(columns) - len(cells))
        seconds = cells[duration].strip()
        seconds = seconds.replace(",", ".") if delimiter == ";" else seconds  # as spreadsheets write 1,5
        builder.video(_bare(annotations_csv.unguard(cells[video].strip())), line, duration=seconds)
    return builder


def _column(columns: list[str], names: tuple[str, ...]) -> int | None:
    return next((columns.index(name) for name in names if name in columns), None)


def _bare(name: str) -> str:
    """A name without the suffix of a feature file; that of a video is taken away with it."""
    return next((name[: -len(suffix)] for suffix in _SUFFIXES if name.lower().endswith(suffix)), name)
