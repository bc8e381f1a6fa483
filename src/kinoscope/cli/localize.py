"""``kinoscope localize``: raw video in, labelled time segments out; or where something changes (``--boundaries``)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..encoders.sampling import Runtime, Sampling
from ..errors import OptionError, flag
from ..files import sha256_of
from ..localize.boundaries import BoundaryOptions
from ..localize.from_scores import ScoreOptions
from ..localize.online_options import OnlineOptions

if TYPE_CHECKING:
    from ..data.segments import Segment
    from ..pipeline import Localization
    from .outputs import Wanted
    from .sources import Jobs, Report, Sources

    Look = Callable[[Path, Report], Localization]

EXAMPLES = """\
  kinoscope localize match.mp4 --html match.html
  kinoscope localize videos/ -o segments.json --csv segments.csv
  kinoscope localize new.mp4 --model runs/fall -o new.json --srt new.srt --html new.html
  kinoscope localize i3d_npy/ --model runs/thumos -o new.json
  kinoscope localize lecture.mp4 --boundaries -o boundaries.json --html lecture.html
  kinoscope localize videos/ --model runs/proposals --fuse-classifier scores.json -o segments.json
  kinoscope localize recording.ts --model runs/causal --follow
"""
SHORT = {"output": "-o"}

LEAST_SCORE = 0.2
"""Least score of a trained head that people are shown; its full list ends in hundreds of guesses."""


def run(
    files: list[Path],
    model: Path | None = None,
    boundaries: bool = False,
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
    changes: BoundaryOptions = BoundaryOptions(),
    fuse_classifier: Path | None = None,
    follow: bool = False,
    wait: float = 10.0,
    online: OnlineOptions = OnlineOptions(),
    jobs: int = 1,
    device: str = "auto",
    runtime: Runtime = "auto",
) -> int:
    """Find what happens in videos, and when.

    Without --model nothing is trained: the encoder's own classes (Kinetics-400) are followed over time. With
    --boundaries the moments are found at which something changes, whatever it is.

    Args:
        files: Videos, or folders of videos. With --model or --boundaries features are taken, too: .safetensors, or
            .npy of other tools, with their time in --fps, --stride and --clip-length (the model's own if not given,
            unless it was trained on videos of several rates).
        model: Folder of a model that `kinoscope train localize` wrote.
        boundaries: Find moments of change instead of segments; this needs no labels and no training. With --model
            they are found in its features, after its adapter.
        output: Write all segments as JSON (ActivityNet's layout), or all boundaries.
        csv: Write all segments as CSV: video,start,end,label,score; or all boundaries: video,time,score.
        srt: Write subtitles; for several videos name a folder.
        html: Write a report with player, timelines, score curves and similarity maps.
        json: Print JSON instead of tables.
        min_score: Leave what scores less out of tables, subtitles and the report (0.2 for segments with a model).
            JSON and CSV always hold everything, because evaluation needs it.
        most: Most segments or boundaries per video in tables.
        fuse_classifier: JSON with scores of whole videos, as `recognize -o` writes: each segment is given the two most
            probable labels of its video, with the geometric mean of both scores.
        follow: With a model whose head is causal (`train localize --causal`): watch one growing file, or standard
            input (-), and tell each segment once it is over.
        wait: Seconds without anything new after which a growing file counts as complete.
        jobs: Videos at a time, each in a process of its own with its share of the cores.
        encoder: Encoder to use without a model; i3d-k400 if not given, efficientnet-lite0-change for boundaries.
        device: cpu, cuda, ...; auto takes a GPU if there is one.
        runtime: What computes on a CPU; auto takes OpenVINO if it is installed.
    """
    from .boundaries import BoundaryDetector, detector_look, show_boundaries
    from .outputs import Wanted, check_writable, subtitle_paths
    from .sources import Jobs, find_sources

    if follow and jobs != 1:
        raise OptionError("--jobs does not go with --follow", cure="leave --jobs out: one stream is one process")
    if follow:
        return _follow(
            files, model, online, wait, boundaries or csv or srt or html, min_score, json, output, device, runtime
        )
    if Path("-") in files:
        cure = "add --follow, and a --model whose head is causal (kinoscope train localize … --causal)"
        raise OptionError("- is standard input, which is watched with --follow only", cure=cure)
    if online != OnlineOptions() or wait != 10.0:
        raise OptionError(f"{_flags(OnlineOptions)} and --wait go with --follow", cure="add --follow")
    if most < 0 or (min_score is not None and not math.isfinite(min_score)):
        problem = f"most is {most} and min_score {min_score}, but must be numbers, most from 0 on"
        raise OptionError(problem, cure="leave them out, or correct them")
    _refuse_clashes(boundaries, srt, fuse_classifier, scores, changes)
    sources = find_sources(files, sampling)
    if model is not None and not sources.are_features:
        _refuse_beside_model(model, encoder, sampling, scores)
    subtitles = subtitle_paths(srt, sources.paths)
    check_writable([output, csv, html, *subtitles.values()], sources.paths.values())
    least = LEAST_SCORE if model is not None and not boundaries else 0.0
    wanted = Wanted(output, csv, srt, html, json, least if min_score is None else min_score, most)
    if boundaries:
        wish = (sources, model, encoder, sampling, changes)
        several = Jobs(jobs, partial(detector_look, *wish, device=device, runtime=runtime))
        return show_boundaries(sources, BoundaryDetector(*wish, device=device, runtime=runtime), wanted, several)
    look, made = _looker(sources, model, encoder, sampling, scores, device, runtime)
    if fuse_classifier is not None:
        _require_proposals(model)
        look = _fused(look, fuse_classifier, sources)
        made = {**made, "classifier": _classifier(fuse_classifier)}
    again = partial(_look, sources, model, encoder, sampling, scores, fuse_classifier, device, runtime)
    return _show_segments(sources, look, made, wanted, Jobs(jobs, again))


def _follow(
    files: list[Path],
    model: Path | None,
    online: OnlineOptions,
    wait: float,
    other: object,
    min_score: float | None,
    json: bool,
    output: Path | None,
    device: str,
    runtime: Runtime,
) -> int:
    from .follow_segments import run_follow_segments
    from .outputs import check_writable

    if model is None:
        raise OptionError("--follow needs a --model", cure="train one: kinoscope train localize … --causal")
    if other:
        raise OptionError("--follow prints, and writes JSON (-o)", cure="leave --boundaries, --csv, --srt, --html out")
    if not 0 < wait < math.inf:
        raise OptionError(f"wait is {wait}, but must be a positive number of seconds")
    check_writable([output], files)
    least = LEAST_SCORE if min_score is None else min_score
    return run_follow_segments(
        model, files, online, wait, least=least, json=json, output=output, device=device, runtime=runtime
    )


def _refuse_clashes(
    boundaries: bool, srt: Path | None, fuse_classifier: Path | None, scores: ScoreOptions, changes: BoundaryOptions
) -> None:
    if boundaries and fuse_classifier is not None:
        cure = "leave it out: boundaries have no labels"
        raise OptionError("--boundaries does not go with --fuse-classifier", where=fuse_classifier, cure=cure)
    if boundaries and srt is not None:
        cure = "leave --srt out: boundaries are moments, without text and length"
        raise OptionError("--boundaries cannot be written as subtitles", where=srt, cure=cure)
    if boundaries and scores != ScoreOptions():
        cure = f"leave them out; boundaries have {_flags(BoundaryOptions)}"
        raise OptionError(f"--boundaries does not go with {_flags(ScoreOptions)}", cure=cure)
    if not boundaries and changes != BoundaryOptions():
        raise OptionError(f"{_flags(BoundaryOptions)} are options of boundaries", cure="add --boundaries")


def _flags(options: type) -> str:
    return ", ".join(flag(field.name) for field in dataclasses.fields(options))


def _refuse_beside_model(model: Path, encoder: str | None, sampling: Sampling, scores: ScoreOptions) -> None:
    if encoder is not None or sampling != Sampling() or scores != ScoreOptions():
        raise OptionError(
            "--model goes with neither --encoder nor options of sampling and scores",
            where=model,
            cure="leave them out: the model knows how its input is made",
        )


def _looker(
    sources: Sources,
    model: Path | None,
    encoder: str | None,
    sampling: Sampling,
    scores: ScoreOptions,
    device: str,
    runtime: Runtime,
) -> tuple[Look, dict[str, str]]:
    """What finds the segments of one source, and what is told of it."""
    from ..pipeline import Pipeline, load_localizer
    from .from_features import FeatureLocalizer
    from .pages import settings

    if sources.are_features:
        first = next(iter(sources.paths.values()))
        if model is None:
            cure = "add --model or --boundaries, or give the videos instead"
            raise OptionError("features alone tell no classes", where=first, cure=cure)
        if encoder is not None or scores != ScoreOptions():
            cure = "leave them out: the features have their encoder, the model its own scores"
            raise OptionError("features go with neither --encoder nor options of scores", where=first, cure=cure)
        localizer = FeatureLocalizer(model, sources.time)
        return localizer.look, localizer.settings()
    if model is not None:
        pipeline = load_localizer(model, device=device, runtime=runtime)
    else:
        pipeline = Pipeline(encoder or "i3d-k400", sampling, score_options=scores, device=device, runtime=runtime)
    return pipeline.analyse, settings(pipeline)


def _look(
    sources: Sources,
    model: Path | None,
    encoder: str | None,
    sampling: Sampling,
    scores: ScoreOptions,
    fuse_classifier: Path | None,
    device: str,
    runtime: Runtime,
) -> Look:
    """The same once more, in another process."""
    look, _made = _looker(sources, model, encoder, sampling, scores, device, runtime)
    return look if fuse_classifier is None else _fused(look, fuse_classifier, sources)


def _require_proposals(model: Path | None) -> None:
    """Raise :class:`OptionError` unless the model finds segments of one label, which a classifier may then name."""
    from ..engine.model_folder import CONFIG, peek_config

    config = peek_config(model / CONFIG) if model is not None else None
    classes = config.get("classes", []) if isinstance(config, dict) else []
    if len(classes) != 1:
        problem = "--fuse-classifier names segments of a model with one label, and this has its own"
        raise OptionError(problem, where=model, cure="train one on labels that are all the same, such as 'action'")


def _fused(look: Look, scores: Path, sources: Sources) -> Look:
    """The same, with the labels of a classifier of whole videos.

    Raises:
        AnnotationError: a file without scores, or without those of a video.
    """
    from ..data.video_scores import read_video_scores
    from ..errors import AnnotationError
    from ..localize.fusion import fuse_segments

    known = read_video_scores(scores)
    names = {path: name for name, path in sources.paths.items()}
    if missing := [name for name in names.values() if name not in known]:
        problem = f"has no scores of {len(missing)} of {len(names)} videos, first {missing[0]!r}"
        raise AnnotationError(problem, where=scores, cure="recognise all of them: kinoscope recognize … -o scores.json")

    def fused(path: Path, report: Report) -> Localization:
        found = look(path, report)
        return replace(found, segments=fuse_segments(found.segments, known[names[path]]))

    return fused


def _classifier(scores: Path) -> str:
    """How segments were named, for the report and the result files: without it a number cannot be compared."""
    from ..localize.fusion import FUSION

    return f"{scores.name} (SHA-256 {sha256_of(scores)[:16]}): {FUSION}"


def _show_segments(sources: Sources, look: Look, made: dict[str, str], wanted: Wanted, jobs: Jobs) -> int:
    """Find segments and write, print and draw them; returns the exit code."""
    from .outputs import as_json, report_end, subtitle_paths, write_results
    from .pages import video_page, write_pages
    from .sources import look_into
    from .terminal import print_json

    found, failed = look_into(sources, look, "Localising", jobs)
    everything = {name: each.segments for name, each in found.items()}
    shown = {name: wanted.enough(segments) for name, segments in everything.items()}
    write_results(everything, made, output=wanted.output, csv=wanted.csv)
    write_results(shown, made, srt=subtitle_paths(wanted.srt, sources.paths))
    if wanted.html is not None:
        seen = {name: replace(each, segments=shown[name]) for name, each in found.items()}
        pages = (video_page(name, sources.film(name), each) for name, each in seen.items())
        write_pages(wanted.html, "What happens in", pages, list(seen), made)
    if wanted.json:
        print_json(as_json(everything))
    else:
        for name, each in found.items():
            print_found(name, each, shown[name], wanted.most)
    return report_end(wanted.files, failed)


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
