"""``kinoscope extract``: a folder of videos → a folder of features."""

from __future__ import annotations

from pathlib import Path

from ..encoders.sampling import Runtime, Sampling

EXAMPLES = """\
  kinoscope extract videos/ --encoder efficientnet-lite0 --out feats/
  kinoscope extract videos/ --encoder i3d-k400 --size 160 --stride 8 --out feats/
  kinoscope doctor                       # lists the encoders
"""


def run(
    videos: Path,
    *,
    out: Path,
    encoder: str = "efficientnet-lite0",
    sampling: Sampling = Sampling(),
    overwrite: bool = False,
    json: bool = False,
    device: str = "auto",
    runtime: Runtime = "auto",
    bf16: bool = False,
) -> int:
    """Extract features of every video in a folder: one file each, with its time inside.

    Interrupted, it goes on where it stopped: finished videos are skipped, broken feature files are made again. A video
    that cannot be read does not stop the others; it is named at the end.

    Args:
        videos: Folder of videos (searched with its subfolders), or one video.
        out: Folder for the features.
        encoder: Which encoder; `kinoscope doctor` lists them.
        overwrite: Replace features that another encoder or other sampling made.
        json: Print what was done as JSON.
        device: cpu, cuda, ...; auto takes a GPU if there is one.
        runtime: What computes on a CPU; auto takes OpenVINO if it is installed.
        bf16: Compute in bfloat16, where the device has units for it.
    """
    from ..encoders import encoder_spec, extract_folder, load_encoder
    from ..encoders.folder import find_videos
    from .terminal import note, print_json, say

    sampling.resolve(encoder_spec(encoder))
    find_videos(videos)  # before anything is downloaded
    loaded = load_encoder(encoder, device=device, runtime=runtime, bf16=bf16)
    outcome = extract_folder(videos, out, loaded, sampling, overwrite=overwrite)
    if json:
        print_json({**vars(outcome), "effort": vars(outcome.effort)})
    else:
        say(
            f"{len(outcome.done)} extracted, {len(outcome.skipped)} already there, {len(outcome.failed)} failed → {out}"
        )
        effort = outcome.effort
        if effort.total > 0:
            speed = f"{effort.video_seconds:.0f} s of video in {effort.total:.0f} s"
            busy, waiting = effort.encoding / effort.total, effort.waiting / effort.total
            say(f"{speed}: encoder busy {busy:.0%} of the time, waiting for frames {waiting:.0%}")
    for path, problem in outcome.damaged.items():
        note(f"damaged, the rest was used: {path}: {problem}")
    for path, problem in outcome.failed.items():
        note(f"failed: {path}: {problem}")
    return 2 if outcome.failed else 0
