"""``kinoscope flow``: a folder of videos → a folder of optical flow, and films of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..video.flow.measure import FlowOptions

if TYPE_CHECKING:
    from ..video.flow import FlowStats

EXAMPLES = """\
  kinoscope flow videos/ --out flow/
  kinoscope flow videos/ --out vectors/ --algorithm motion-vectors    # the codec's own: nearly free, coarse
  kinoscope flow match.mp4 --out flow/ --preview                      # and a film to look at
"""
_MUCH = 0.01  # of pixels beyond the bound


def run(
    videos: Path,
    *,
    out: Path,
    options: FlowOptions = FlowOptions(),
    jobs: int | None = None,
    preview: bool = False,
    overwrite: bool = False,
    json: bool = False,
) -> int:
    """Measure the motion between the frames of videos: one lossless video of encoded flow each.

    Interrupted, it goes on where it stopped: finished files are skipped, those of videos that changed are made again.
    A video that cannot be read does not stop the others; it is named at the end, and the exit code is 1.

    Args:
        videos: Folder of videos (searched with its subfolders), or one video.
        out: Folder for the flow, outside that of the videos.
        jobs: Videos at a time, each on one core; as many as there are cores unless given.
        preview: Also write name.preview.mp4, the video beside its motion in colours; for existing flow, too.
        overwrite: Replace flow that was made with other options.
        json: Print what was done as JSON.
    """
    from ..encoders.folder import find_videos
    from ..errors import OptionError
    from ..video.flow import flow_folder
    from .terminal import note, print_json, say

    found = find_videos(videos)
    if videos.is_dir() and videos.resolve() in (out.resolve(), *out.resolve().parents):
        cure = "choose a folder outside: flow files are videos, and would be taken for some of yours"
        raise OptionError(f"--out {out} lies in the folder of videos", where=videos, cure=cure)
    outcome = flow_folder(found, out, options, jobs=jobs, overwrite=overwrite, preview=preview)
    total = outcome.total()
    if json:
        done = {name: vars(stats) for name, stats in outcome.done.items()}
        films = [str(path) for path in outcome.previews]
        print_json({**vars(outcome), "done": done, "previews": films, "total": vars(total)})
    else:
        counts = f"{len(outcome.done)} measured, {len(outcome.skipped)} already there, {len(outcome.failed)} failed"
        say(f"{counts} → {out}")
        _show(len(outcome.done), total, options)
        for path in outcome.previews[:3]:
            say(f"look at {path}")
    for source, missing in outcome.damaged.items():
        note(f"damaged, the rest was used: {source}: {missing}")
    for source, problem in outcome.failed.items():
        note(f"failed: {source}: {problem}")
    return 1 if outcome.failed else 0


def _show(videos: int, total: FlowStats, options: FlowOptions) -> None:
    """What the flow that was measured now is like, and what it took."""
    from .terminal import note, print_table

    if not videos:
        return
    minutes = max(total.seconds / 60, 1e-9)
    rows = [
        ("videos", str(videos)),
        ("seconds of video", f"{total.seconds:.1f}"),
        ("seconds of work per minute of video", f"{total.work_seconds / minutes:.1f}"),
        ("MB per minute of video", f"{total.bytes / 1e6 / minutes:.1f}"),
        ("mean motion [pixels per frame]", f"{total.mean_motion:.2f}"),
        ("frames without motion", f"{total.still_share:.1%}"),
        (f"pixels faster than {options.bound:g}", f"{total.clipped_share:.2%}"),
    ]
    print_table("", ("motion", options.algorithm), rows)
    if total.clipped_share > _MUCH:
        note(
            f"{total.clipped_share:.1%} of the motion is beyond the bound and was cut: raise --bound {options.bound:g}"
        )
    if total.still_share > 0.5:
        note("Most frames equal the next one: is the rate of the files higher than that of their pictures?")
