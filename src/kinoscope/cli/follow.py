"""``kinoscope recognize --follow``: labels of a stream, as it comes."""

from __future__ import annotations

import json as json_format
import time
from pathlib import Path
from statistics import median

from ..arnet.model import load_adaptive
from ..arnet.spending import FollowOptions, Spending
from ..arnet.stream import AdaptiveStream, Update
from ..encoders.sampling import Runtime
from ..engine.interrupt import deferred_interrupt
from ..errors import OptionError
from ..video.follow import follow
from .terminal import note, say


def run_follow(
    model: Path,
    files: list[Path],
    knobs: Spending,
    following: FollowOptions,
    *,
    json: bool,
    device: str,
    runtime: Runtime,
) -> int:
    """Tell the label of one stream whenever it changes (with ``json`` after every frame); the exit code.

    Raises:
        OptionError: several streams, or knobs that need the whole video.
        VideoError: it cannot be read as it comes.
    """
    if len(files) != 1:
        raise OptionError("--follow watches one stream", cure="start one process for each")
    if knobs.exit_above is not None or knobs.sample is not None:
        raise OptionError("--exit-above and --sample are for whole videos", cure="leave them out")
    recognizer = load_adaptive(model, device=device, runtime=runtime)
    stream, latest = AdaptiveStream(recognizer, knobs), list[Update]()
    recognizer.networks.warm()

    def skip() -> int:
        return latest[-1].skip if latest else 0

    told, delays, frames, last = "", list[float](), 0, -1.0
    with deferred_interrupt() as stop:  # Ctrl-C is the usual end of a live stream
        options = {"every": following.every, "patience": following.patience}
        for frame, seconds, arrived in follow(files[0], **options, skip=skip, stop=stop):
            if not frames:
                note(f"An answer covers the last {stream.reach} candidates: {stream.reach * following.every:g} s.")
            update = stream.push(frame, seconds)
            latest[:] = [update]
            delay, frames, last = time.perf_counter() - arrived, frames + 1, seconds
            delays = [*delays[-999:], delay]
            best = update.best(recognizer.classes)
            if best is None:
                continue
            action = recognizer.actions.names[update.action]
            if json:
                line = {"time": round(seconds, 3), "label": best[0], "score": best[1]}
                line |= {"action": action, "delay": delay}
                print(json_format.dumps(line, ensure_ascii=False), flush=True)
            elif best[0] != told:
                say(
                    f"{seconds:9.2f} s  {best[0]}  {best[1]:.3f}  ({action}, told {1000 * delay:.0f} ms after decoding)"
                )
            told = best[0]
    if delays:
        late = (
            f"{1000 * median(delays):.0f} ms after their frames were decoded (median), {1000 * max(delays):.0f} at most"
        )
        note(f"{last:.1f} s followed: {frames} frames looked at, {stream.gmac:.3g} GMAC; labels came {late}.")
        note(f"New ones are looked for every {following.every:g} s, or later where the policy skips.")
    return 0
