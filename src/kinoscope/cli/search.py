"""``kinoscope search``: the videos, or the moments, of a library that are most like a query."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..encoders.sampling import Runtime
from ..errors import FeatureError, OptionError

if TYPE_CHECKING:
    from ..search.index import Index
    from ..search.nearest import Hit
    from ..search.query import Query

EXAMPLES = """\
  kinoscope search query.mp4 --in runs/index                          # the nearest videos
  kinoscope search query.mp4 --in runs/index --at 12.5 -k 10          # the nearest moments
  kinoscope search query.mp4 --in runs/index --span 3.0,5.5 --html found.html
  kinoscope search falls/07 --in runs/index --at 2.4 --per-video 3    # a video of the index itself
  kinoscope search falls/07 --in feats/ --library videos/             # a folder of features is searched, too
"""
SHORT = {"output": "-o", "k": "-k"}


def run(
    query: str,
    *,
    in_: Path,
    at: float | None = None,
    span: str | None = None,
    k: int = 10,
    moments: bool = False,
    videos: bool = False,
    per_video: int = 1,
    apart: float | None = None,
    include_self: bool = False,
    html: Path | None = None,
    output: Path | None = None,
    csv: Path | None = None,
    json: bool = False,
    engine: Literal["auto", "exact", "faiss"] = "auto",
    encoder: str | None = None,
    library: Path | None = None,
    fps: float | None = None,
    stride: float | None = None,
    clip_length: float | None = None,
    device: str = "auto",
    runtime: Runtime = "auto",
) -> int:
    """Find the videos of a library that are most like a video, or the moments that are most like a moment of it.

    Similarity is the cosine of features after the mean of the library was taken away: 0 means nothing in common beyond
    what all videos share. The video that asks, or of moments the very moment, is not among the results.

    Args:
        query: A video, the name of a video in the index, or a feature file made as the index was.
        in_: The index (made with `kinoscope index`), or a folder of features.
        at: Second of the query that is looked for; without it the whole video is.
        span: Seconds from,to of the query that are looked for.
        k: How many results.
        moments: Find moments, though no moment of the query was named.
        videos: Find videos, though a moment of the query was named.
        per_video: Most moments of one video.
        apart: Least seconds between two moments of one video; the length of a clip if not given.
        include_self: Keep the query among the results, if the library holds it.
        html: Write a page with a picture of every result.
        output: Write the results as JSON.
        csv: Write the results as CSV: rank,video,time,start,end,similarity,file.
        json: Print JSON instead of a table.
        engine: exact compares all; faiss is faster beyond a million moments, and told how much it misses.
        encoder: Where the encoder of the index is now, if it was moved.
        library: Where the videos are now, if they were moved, or of a folder of features.
        fps: Of .npy files: sampled frames per second.
        stride: Of .npy files: sampled frames between rows.
        clip_length: Of .npy files: sampled frames that a row saw.
        device: cpu, cuda, ...; auto takes a GPU if there is one.
        runtime: What computes on a CPU; auto takes OpenVINO if it is installed.
    """
    from ..search.moments import encoder_of
    from ..search.query import find_query
    from .found import Wanted, show_found
    from .outputs import check_writable
    from .times import feature_time

    asked_for = _span(at, span)
    if moments and videos:
        raise OptionError("--moments and --videos are both given", cure="leave one of the two out")
    _require_counts(k, per_video, apart)
    check_writable([html, output, csv], [path for path in (Path(query),) if path.is_file()])
    index = _opened(in_, library, feature_time(fps, stride, clip_length))
    question = find_query(query, index, asked_for, lambda: encoder_of(index, encoder, device=device, runtime=runtime))
    by_moment = moments or (asked_for is not None and not videos)
    hits, told = _found(index, question, k, by_moment, per_video, apart, include_self, engine)
    return show_found(question, hits, index, Wanted(html, output, csv, json, by_moment), told)


def _found(
    index: Index,
    query: Query,
    k: int,
    by_moment: bool,
    per_video: int,
    apart: float | None,
    include_self: bool,
    engine: Literal["auto", "exact", "faiss"],
) -> tuple[list[Hit], list[str]]:
    """The results, and what a reader must know of them."""
    from ..search.engines import choose_engine
    from ..search.nearest import nearest_moments, nearest_videos

    apart = index.clip_seconds if apart is None else apart
    omitted = None if include_self else query.itself(apart, moments=by_moment)
    if by_moment:
        chosen = choose_engine(engine, index)
        hits = nearest_moments(index, query.vector, k, per_video=per_video, apart=apart, omitted=omitted, engine=chosen)
        told = [chosen.summary]
    else:
        hits, told = nearest_videos(index, query.vector, k, omitted=omitted), [f"exact, {len(index.entries):,} videos"]
    if len(hits) < k:
        more = f"at most {per_video} of each video (see --per-video)" if by_moment else f"{len(index.entries):,} videos"
        itself = ", without the query itself" if omitted is not None else ""
        told.append(f"{len(hits)} instead of {k} results: the library gives no more, {more}{itself}")
    return hits, told


def _span(at: float | None, span: str | None) -> tuple[float, float] | None:
    """What of the query is looked for, in seconds."""
    if at is not None and span is not None:
        raise OptionError("--at and --span are both given", cure="leave one of the two out")
    if at is not None:
        if not (math.isfinite(at) and at >= 0):
            raise OptionError(f"--at is {at}, but must be a number of seconds from 0 on")
        return at, at
    if span is None:
        return None
    try:
        begin, end = (float(part) for part in span.split(","))
    except ValueError:
        raise OptionError(f"--span is {span!r}, but must be two numbers", cure="write it as --span 3.0,5.5") from None
    if not (math.isfinite(end) and 0 <= begin < end):
        raise OptionError(f"--span is {span!r}, but must go from a second on to a later one")
    return begin, end


def _require_counts(k: int, per_video: int, apart: float | None) -> None:
    for name, value in (("-k", k), ("--per-video", per_video)):
        if value < 1:
            raise OptionError(f"{name} is {value}, but must be at least 1")
    if apart is not None and not (math.isfinite(apart) and apart >= 0):
        raise OptionError(f"--apart is {apart}, but must be a number of seconds from 0 on")


def _opened(folder: Path, library: Path | None, time: Any) -> Index:
    """An index from disk, or one of a folder of features, in memory."""
    from dataclasses import replace

    from ..data.feature_store import FeatureStore, feature_files
    from ..search.build import index_of
    from ..search.index import is_index, open_index
    from ..search.library import files_of

    if library is not None and not library.is_dir():
        raise OptionError("no such folder of videos", where=library, cure="check --library")
    if is_index(folder):
        if time is not None:
            raise OptionError(
                "an index knows its time", where=folder, cure="leave --fps, --stride and --clip-length out"
            )
        index = open_index(folder)
        return index if library is None else replace(index, library=library)
    if not folder.is_dir() or not feature_files(folder):
        cure = "make an index: kinoscope index VIDEOS --out INDEX"
        raise FeatureError("holds neither an index nor features", where=folder, cure=cure)
    store = FeatureStore(folder, time)
    return index_of(store, videos=files_of(store, library), library=library)
