"""``kinoscope localize --follow``: segments of a stream, each as soon as it is over."""

from __future__ import annotations

import json as json_format
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from ..data.segments import Segment, video_name
from ..encoders.sampling import Runtime
from ..encoders.stream import EVERY_FRAME, FeatureStream
from ..engine.interrupt import deferred_interrupt
from ..errors import OptionError
from ..localize.online import OnlineLocalizer, Told
from ..localize.online_options import OnlineOptions
from ..pipeline import load_localizer
from ..video.follow import follow
from ..wording import plural
from .outputs import write_results
from .terminal import note, say


def run_follow_segments(
    model: Path,
    files: list[Path],
    options: OnlineOptions,
    wait: float,
    *,
    least: float,
    json: bool,
    output: Path | None,
    device: str,
    runtime: Runtime,
) -> int:
    """Tell the segments of one stream as they end; the exit code.

    Args:
        wait: seconds without anything new after which a growing file counts as complete.
        least: score of segments that are shown; files hold all.

    Raises:
        OptionError: several streams, or a model that cannot follow one.
        VideoError: it cannot be read as it comes.
    """
    if len(files) != 1:
        raise OptionError("--follow watches one stream", cure="start one process for each")
    pipeline = load_localizer(model, device=device, runtime=runtime)
    if pipeline.adapter is not None:
        cure = "train the causal head on features as they are"
        raise OptionError("the model's adapter looks ahead, so that it cannot follow a stream", where=model, cure=cure)
    assert pipeline.head is not None  # what `train localize` wrote has one
    stream = FeatureStream(pipeline.encoder, pipeline.sampling)
    online = OnlineLocalizer(pipeline.head, stream.time, options)
    found: list[Told] = []
    with deferred_interrupt() as stop:  # Ctrl-C is the usual end of a live stream

        def told() -> Iterator[Told]:
            moment = step = 0.0
            for frame, seconds, _ in follow(files[0], every=EVERY_FRAME, patience=wait, stop=stop):
                yield from online.push(stream.push(frame, seconds))
                moment, step = seconds, seconds - moment
            yield from online.push(stream.finish())
            yield from online.finish(moment + step)

        for each in told():
            found.append(each)
            if (each.segment.score or 0.0) >= least:
                _tell(each, json)
    name = "stream" if str(files[0]) == "-" else video_name(files[0].name)
    if output is not None:
        segments: list[Segment] = sorted((each.segment for each in found), key=lambda s: -(s.score or 0.0))
        write_results({name: segments}, {"model": str(model)}, output=output)
        note(f"Written: {output}")
    if found:
        late = [each.delay for each in found]
        few = sum((each.segment.score or 0.0) < least for each in found)
        unseen = f", {few} of them below --min-score" if few else ""
        note(f"{plural(len(found), 'segment')}{unseen}, told {median(late):.2f} s after their end (median).")
    else:
        note("Nothing was found.")
    return 0


def _tell(each: Told, json: bool) -> None:
    segment = each.segment
    if json:
        line = {"at": round(each.at, 3), "segment": [segment.start, segment.end], "label": segment.label}
        print(json_format.dumps({**line, "score": segment.score, "delay": each.delay}, ensure_ascii=False), flush=True)
        return
    span = f"{segment.start:.2f} – {segment.end:.2f}"
    say(f"{each.at:9.2f} s  {span}  {segment.label}  {segment.score:.3f}  (told {each.delay:.2f} s after its end)")
