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

    note(f"An answer covers the last {stream.reach} candidate frames: {stream.reach * following.every:g} s.")
    before, delays, frames = "", list[float](), 0
    last = -1.0
    for frame, seconds, arrived in follow(files[0], every=following.every, patience=following.patience, skip=skip):
        update = stream.push(frame, seconds)
        latest[:] = [update]
        delay, frames, last = time.perf_counter() - arrived, frames + 1, seconds
        delays = [*delays[-999:], delay]
        best = update.best(recognizer.classes)
        if best is None:
            continue
        action = recognizer.actions.names[update.action]
        if json:
            told = {"time": round(seconds, 3), "label": best[0], "score": best[1], "action": action, "delay": delay}
            print(json_format.dumps(told, ensure_ascii=False), flush=True)
        elif best[0] != before:
            say(f"{seconds:9.2f} s  {best[0]}  {best[1]:.3f}  ({action}, told {1000 * delay:.0f} ms after its frame)")
        before = best[0]
    if delays:
        note(
            f"{last:.1f} s followed: {frames} frames looked at, {stream.gmac:.3g} GMAC; labels came "
            f"{1000 * median(delays):.0f} ms after their frames (median), {1000 * max(delays):.0f} ms at most. "
            f"New ones are looked for every {following.every:g} s, or later where the policy skips."
        )
    return 0
