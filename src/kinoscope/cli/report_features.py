"""``kinoscope report features``: similarity maps of several folders of features, side by side, in one HTML file."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..data.feature_store import ADAPTER_FOLDER, FeatureStore
from ..data.segments import Segment
from ..errors import FeatureError, OptionError

if TYPE_CHECKING:
    from ..report.content import VideoPage
    from ..report.feature_maps import FeatureColumn
    from ..report.feature_numbers import FeatureNumbers, Similarity
    from ..sola.options import SolaOptions

EXAMPLES = """\
  kinoscope report features feats/ sola/ --html maps.html
  kinoscope report features feats/ sola/ --html maps.html --gt labels.csv --videos "falls/01,falls/02"
  kinoscope report features thumos_npy/ --html maps.html --fps 30 --stride 4 --clip-length 16
"""

_INTRO = (
    "A map compares every moment of a video with every other: bright is alike, dark is different. A bright square on "
    "the diagonal is a stretch in which little changes; its corners are where something happens."
)
_WITH_TARGET = "After SoLa, brightness should fade with the distance from the diagonal as in the target."
_SHOWN = 5


def run(
    folders: list[Path],
    *,
    html: Path,
    gt: Path | None = None,
    videos: str | None = None,
    most: int = 12,
    json: bool = False,
    fps: float | None = None,
    stride: float | None = None,
    clip_length: float | None = None,
) -> int:
    """Show what an adapter did to features: similarity maps of each folder and of SoLa's target, side by side.

    Above them, the mean similarity against distance in time: did it fall, as SoLa was asked to make it, or rise?

    Args:
        folders: Folders of features; the first is what the others are compared with, such as raw features.
        html: Where the report goes.
        gt: Annotations: their segments are drawn, and their boundaries marked in the maps.
        videos: Names of the videos to show, separated by commas.
        most: How many videos to show, taken evenly in the order of their names.
        json: Print the numbers as JSON.
        fps: Of .npy files: sampled frames per second.
        stride: Of .npy files: sampled frames between rows.
        clip_length: Of .npy files: sampled frames that a row saw.
    """
    from ..report import Report, write_report
    from ..report.feature_numbers import similarity_chart, similarity_table
    from .outputs import check_writable
    from .terminal import note, print_json, print_table, say
    from .times import feature_time

    if most < 1:
        raise OptionError(f"--most is {most}, but must be at least 1", cure="name how many videos to show")
    check_writable([html])
    time = feature_time(fps, stride, clip_length)
    stores = [FeatureStore(folder, time) for folder in _distinct(folders)]
    common, left_out = _common(stores)
    chosen = _named(videos, common) if videos is not None else _evenly(common, most)
    pages, numbers = _pages(stores, chosen, _truth(gt, stores[0], chosen))
    measured = numbers.result()
    chart, table = similarity_chart(numbers, measured), similarity_table(numbers, measured)
    said = _notes(left_out, numbers)
    title = "Similarity of features: " + ", ".join(_short(folder, folders) for folder in folders)
    intro = [_INTRO, *([_WITH_TARGET] if _has_target(numbers) else []), _choice(len(chosen), len(common))]
    write_report(html, Report(title, pages, [table], _settings(), said, [chart], " ".join(intro)))
    if json:
        print_json(_as_json(numbers, measured, chosen, left_out))
        return 0
    rows = [["" if cell is None or cell != cell else cell for cell in row] for row in table.rows]  # NaN: not measured
    print_table(table.title, table.header, rows, note=table.note)
    for text in (*chart.notes, *said):
        note(f"- {text}")
    say(f"{_choice(len(chosen), len(common))} → {html}")
    return 0


def _distinct(folders: Sequence[Path]) -> Sequence[Path]:
    for index, folder in enumerate(folders):
        if folder.resolve() in [other.resolve() for other in folders[:index]]:
            raise OptionError("is given twice", where=folder, cure="name each folder of features once")
    return folders


def _common(stores: Sequence[FeatureStore]) -> tuple[list[str], dict[str, list[str]]]:
    """Videos that every folder holds, by their names in the first; and by folder, those that another lacks."""
    common = sorted(name for name in stores[0] if all(name in store for store in stores[1:]))
    if not common:
        cure = "give folders of the same videos, such as features before and after adaptation"
        raise FeatureError(f"holds no video that {stores[0].folder} holds too", where=stores[-1].folder, cure=cure)
    left_out = {}
    for store in stores:
        shown = {store.path_of(name) for name in common}
        if missing := [name for name in store if store.path_of(name) not in shown]:
            left_out[str(store.folder)] = missing
    return common, left_out


def _named(videos: str, common: Sequence[str]) -> list[str]:
    """The videos that the user asks for; a name that holds a comma can be asked for alone."""
    names = [videos] if videos in common else [name.strip() for name in videos.split(",") if name.strip()]
    for name in names:
        if name not in common:
            near = get_close_matches(name, common, 1)
            cure = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(common[:_SHOWN])}, …"
            raise OptionError(f"--videos: no video {name!r} in all folders", cure=cure)
    if not names:
        raise OptionError("--videos names no video", cure=f"choose from {', '.join(common[:_SHOWN])}, …")
    return list(dict.fromkeys(names))


def _evenly(common: Sequence[str], most: int) -> list[str]:
    count = min(most, len(common))
    return [common[index * len(common) // count] for index in range(count)]


def _truth(gt: Path | None, store: FeatureStore, chosen: Sequence[str]) -> dict[str, Sequence[Segment]]:
    """Annotated segments by the video's name among the features."""
    from ..data.annotations import read_annotations

    if gt is None:
        return {}
    annotations = read_annotations(gt, on_flaw="keep")
    named = FeatureStore(store.folder, store.time, annotations.file_names())  # annotations may call videos otherwise
    by_path = {named.path_of(key): video.segments for key, video in annotations.videos.items() if key in named}
    truth: dict[str, Sequence[Segment]] = {
        name: by_path[store.path_of(name)] for name in chosen if store.path_of(name) in by_path
    }
    if not truth:
        cure = "check that they name the videos as the folders do"
        raise FeatureError("annotates none of the videos that are shown", where=gt, cure=cure)
    return truth


def _pages(
    stores: Sequence[FeatureStore], chosen: Sequence[str], truth: Mapping[str, Sequence[Segment]]
) -> tuple[list[VideoPage], FeatureNumbers]:
    """A page for each video, and the numbers over all of them; one video is in memory at a time."""
    from ..progress import progress
    from ..report.feature_maps import feature_page
    from ..report.feature_numbers import FeatureNumbers

    columns, numbers, pages = [], None, []
    with progress("Drawing", len(chosen)) as report:
        for name in chosen:
            features = [store[name] for store in stores]
            if numbers is None:
                folders = [store.folder for store in stores]
                columns = [_column(each.folder, folders, f.encoder) for each, f in zip(stores, features, strict=True)]
                numbers = FeatureNumbers(columns, features, len(chosen))
            pages.append(feature_page(name, columns, features, truth.get(name, ())))
            numbers.add(features)
            report(1, name)
    assert numbers is not None
    return pages, numbers


def _column(folder: Path, folders: Sequence[Path], encoder: str) -> FeatureColumn:
    from ..report.feature_maps import FeatureColumn

    name = _short(folder, folders)
    return FeatureColumn(f"{name} · {encoder}" if encoder else name, _asked_for(folder))


def _short(folder: Path, folders: Sequence[Path]) -> str:
    """A folder's name; its whole path where two are called alike."""
    names = [other.resolve().name for other in folders]
    return folder.resolve().name if names.count(folder.resolve().name) == 1 else str(folder)


def _asked_for(folder: Path) -> SolaOptions | None:
    """What SoLa was asked for, if it made the features in ``folder``; nothing is asked of the other adapters."""
    import json

    from ..sola.options import SolaOptions

    path = folder / ADAPTER_FOLDER / "config.json"
    if not path.is_file():
        return None
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        return SolaOptions(**config["options"]) if config.get("kind", "sola") == "sola" else None
    except (OptionError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        cure = "adapt the features again, or take this folder away to see them without the target"
        raise FeatureError(f"cannot be read as an adapter's settings: {error}", where=path, cure=cure) from error


def _notes(left_out: Mapping[str, Sequence[str]], numbers: FeatureNumbers) -> list[str]:
    """What is not in the report, though a reader might look for it."""
    said = []
    for folder, names in left_out.items():
        shown = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
        said.append(f"Left out, because not in every folder: {len(names)} of {folder} ({shown}).")
    if not _has_target(numbers):
        said.append("No folder holds a SoLa adapter beside its features, so there is no target to compare with.")
    return said


def _has_target(numbers: FeatureNumbers) -> bool:
    return any(column.options is not None for column in numbers.columns)


def _choice(shown: int, all_videos: int) -> str:
    """Which videos are shown; the numbers are over the same."""
    if shown == all_videos:
        return f"{shown} video{'' if shown == 1 else 's'}, all that there are."
    return f"{shown} of {all_videos} videos are shown and counted."


def _settings() -> dict[str, str]:
    return {
        "command": " ".join(["kinoscope", *sys.argv[1:]]),
        "kinoscope": __version__,
        "date": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
    }


def _as_json(
    numbers: FeatureNumbers,
    measured: Sequence[Similarity],
    chosen: Sequence[str],
    left_out: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    """The numbers of the picture and of the table."""
    from ..report.feature_numbers import target_lines

    columns = [
        {
            "title": each.title,
            "seconds": each.seconds.tolist(),
            "mean_cosine": [value if value == value else None for value in each.cosine.tolist()],
            "effective_rank": each.effective_rank if each.effective_rank == each.effective_rank else None,
        }
        for each in measured
    ]
    targets = [{"title": line.label, "seconds": line.x, "cosine": line.y} for line in target_lines(numbers)]
    return {"videos": list(chosen), "left_out": dict(left_out), "columns": columns, "targets": targets}
