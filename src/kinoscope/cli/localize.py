"""``kinoscope localize``: raw video in, labelled time segments out."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from ..encoders.sampling import Runtime, Sampling
from ..errors import KinoscopeError, OptionError, OutputError
from ..localize.from_scores import ScoreOptions

if TYPE_CHECKING:
    from ..data.segments import Segment
    from ..pipeline import Localization, Pipeline

EXAMPLES = """\
  kinoscope localize match.mp4 --html match.html
  kinoscope localize videos/ -o segments.json --csv segments.csv
  kinoscope localize new.mp4 --model runs/fall -o new.json --srt new.srt --html new.html
"""
SHORT = {"output": "-o"}

LEAST_SCORE = 0.2
"""Least score of a trained head that people are shown; its full list ends in hundreds of guesses."""


def run(
    files: list[Path],
    model: Path | None = None,
    output: Path | None = None,
    csv: Path | None = None,
    srt: Path | None = None,
    html: Path | None = None,
    json: bool = False,
    min_score: float | None = None,
    most: int = 20,
    encoder: str | None = None,
    sampling: Sampling = Sampling(),
    scores: ScoreOptions = ScoreOptions(),
    device: str = "auto",
    runtime: Runtime = "auto",
) -> int:
    """Find what happens in videos, and when.

    Without --model nothing is trained: the encoder's own classes (Kinetics-400) are followed over time.

    Args:
        files: Videos, or folders of videos.
        model: Folder of a model that `kinoscope train localize` wrote.
        output: Write all segments as JSON (ActivityNet's layout).
        csv: Write all segments as CSV: video,start,end,label,score.
        srt: Write subtitles; for several videos name a folder.
        html: Write a report with player, timelines, score curves and similarity maps.
        json: Print JSON instead of tables.
        min_score: Leave segments that score less out of tables, subtitles and the report (0.2 with a model).
            JSON and CSV always hold all of them, because evaluation needs them.
        most: Most segments per video in tables.
        encoder: Encoder to use without a model; i3d-k400 if not given.
        device: cpu, cuda, ...; auto takes a GPU if there is one.
        runtime: What computes on a CPU; auto takes OpenVINO if it is installed.
    """
    from .outputs import as_json, check_writable, named_videos, subtitle_paths, write_results
    from .pages import settings
    from .terminal import note, print_json

    if most < 0 or (min_score is not None and not math.isfinite(min_score)):
        raise OptionError(f"most is {most} and min_score {min_score}, but must be numbers, most from 0 on")
    videos = named_videos(files)
    subtitles = subtitle_paths(srt, videos)
    check_writable([output, csv, html, *subtitles.values()], videos.values())
    pipeline = _pipeline(model, encoder, sampling, scores, device, runtime)
    found, failed = _analyse(pipeline, videos)
    least = min_score if min_score is not None else (LEAST_SCORE if model is not None else 0.0)
    shown = {name: [s for s in each.segments if (s.score or 0) >= least] for name, each in found.items()}
    made = settings(pipeline)
    everything = {name: each.segments for name, each in found.items()}
    write_results(everything, made, output=output, csv=csv)
    write_results(shown, made, srt=subtitles)
    if html is not None:
        _write_html(html, videos, found, shown, made)
    if json:
        print_json(as_json(everything))
    else:
        for name, each in found.items():
            print_found(name, each, shown[name], most)
    if files_written := [str(path) for path in (output, csv, srt, html) if path is not None]:
        note("Written: " + ", ".join(files_written))
    for path, problem in failed.items():
        note(f"failed: {path}: {problem.problem}")
    return 2 if failed else 0


def _pipeline(
    model: Path | None, encoder: str | None, sampling: Sampling, scores: ScoreOptions, device: str, runtime: Runtime
) -> Pipeline:
    from ..pipeline import Pipeline, load

    if model is None:
        return Pipeline(encoder or "i3d-k400", sampling, score_options=scores, device=device, runtime=runtime)
    if encoder is not None or sampling != Sampling() or scores != ScoreOptions():
        raise OptionError(
            "--model goes with neither --encoder nor options of sampling and scores",
            where=model,
            cure="leave them out: the model knows how its input is made",
        )
    return load(model, device=device, runtime=runtime)


def _analyse(pipeline: Pipeline, videos: dict[str, Path]) -> tuple[dict[str, Localization], dict[Path, KinoscopeError]]:
    """Look at every video; one that cannot be read stops the others only if it is the only one."""
    from ..progress import progress
    from ..video import open_video

    lengths: dict[str, float] = {}
    failed: dict[Path, KinoscopeError] = {}
    for name, path in videos.items():
        try:
            with open_video(path) as video:
                lengths[name] = video.duration
        except KinoscopeError as error:
            failed[path] = error
    found: dict[str, Localization] = {}
    with progress("Localising", sum(lengths.values())) as report:
        for name in lengths:
            try:
                found[name] = pipeline.analyse(videos[name], report)
            except OutputError:
                raise
            except KinoscopeError as error:
                failed[videos[name]] = error
    if not found:
        raise next(iter(failed.values()))
    return found, failed


def print_found(name: str, found: Localization, segments: list[Segment], most: int) -> None:
    """The table of one video, with what a reader must know before trusting it."""
    from .pages import notes
    from .terminal import print_table

    rows = [(f"{s.start:.2f}", f"{s.end:.2f}", s.label, s.score or 0.0) for s in segments[:most]]
    said = notes(found)
    if len(segments) > most:
        said.append(f"{len(segments) - most} more; raise --most, or see the files.")
    effort = found.effort
    if effort.total > 0:
        said.append(f"{found.duration:.1f} s of video in {effort.total:.1f} s.")
    print_table(name, ("start [s]", "end [s]", "label", "score"), rows, note=" ".join(said))


def _write_html(
    html: Path,
    videos: dict[str, Path],
    found: dict[str, Localization],
    shown: dict[str, list[Segment]],
    made: dict[str, str],
) -> None:
    from dataclasses import replace

    from ..progress import progress
    from ..report import Report, write_report
    from .pages import video_page

    pages = []
    with progress("Drawing", len(found)) as report:
        for name, each in found.items():
            pages.append(video_page(name, videos[name], replace(each, segments=shown[name])))
            report(1, name)
    title = next(iter(found)) if len(found) == 1 else f"{len(found)} videos"
    write_report(html, Report(f"What happens in {title}", pages, settings=made))
