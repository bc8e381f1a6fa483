"""``kinoscope extract``: a folder of videos → a folder of features."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..encoders.sampling import Runtime, Sampling
from ..errors import KinoscopeError, OptionError, flag

if TYPE_CHECKING:
    from ..data.feature_interchange import Interchange
    from ..encoders import Encoder
    from ..encoders.folder import ExtractionReport

EXAMPLES = """\
  kinoscope extract videos/ --encoder efficientnet-lite0 --out feats/
  kinoscope extract videos/ --encoder i3d-k400 --size 160 --stride 8 --out feats/
  kinoscope extract videos/ --encoder i3d-k400 --like opentad:thumos_i3d --out feats/
  kinoscope doctor                       # lists the encoders
"""
KEPT = ".kinoscope"
"""Where features lie from which another tool's files were written; needed only to go on later."""


def run(
    videos: Path,
    *,
    out: Path,
    encoder: str = "efficientnet-lite0",
    sampling: Sampling = Sampling(),
    like: str | None = None,
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
        like: Write .npy files in the layout and at the rate of another tool, as in opentad:thumos_i3d, with a
            features.json that states their time and what differs from the tool's own features. Known are
            actionformer:thumos_i3d, actionformer:anet_tsp, opentad:thumos_i3d, opentad:anet_tsp and gtad:thumos_tsn.
        overwrite: Replace features that another encoder or other sampling made.
        json: Print what was done as JSON.
        device: cpu, cuda, ...; auto takes a GPU if there is one.
        runtime: What computes on a CPU; auto takes OpenVINO if it is installed.
        bf16: Compute in bfloat16, where the device has units for it.
    """
    from ..data.feature_interchange import get_interchange, interchange_files
    from ..encoders import encoder_spec, extract_folder, load_encoder
    from ..encoders.folder import find_videos
    from .terminal import note, print_json, say

    preset = get_interchange(like) if like is not None else None
    sampling = sampling if preset is None else _sampling_like(preset, sampling)
    try:
        sampling.resolve(encoder_spec(encoder))
    except OptionError as error:
        if preset is None or error.cure is not None:
            raise
        cure = f"{preset.name} needs clips of {preset.clip_length}: choose an encoder that takes them"
        raise OptionError(error.problem, cure=cure) from error
    found = find_videos(videos)  # before anything is downloaded
    if preset is not None:
        interchange_files(found, preset)
    loaded = load_encoder(encoder, device=device, runtime=runtime, bf16=bf16)
    if preset is None:
        outcome = extract_folder(videos, out, loaded, sampling, overwrite=overwrite)
    else:
        outcome = _extract_like(preset, found, out, loaded, sampling, overwrite=overwrite)
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
    if preset is not None and (outcome.done or outcome.skipped):
        for sentence in preset.unlike(loaded.spec.width):
            note(f"not as in {preset.name}: {sentence}")
    for path, problem in outcome.damaged.items():
        note(f"damaged, the rest was used: {path}: {problem}")
    for path, problem in outcome.failed.items():
        note(f"failed: {path}: {problem}")
    return 2 if outcome.failed else 0


def _sampling_like(preset: Interchange, sampling: Sampling) -> Sampling:
    """The preset's sampling, of which only the size of frames is free."""
    given = [name for name in ("fps", "stride", "clip_length") if getattr(sampling, name) is not None]
    if given:
        options = ", ".join(map(flag, given))
        raise OptionError(f"{options} and --like {preset.name} both say how to sample", cure="leave one of them away")
    return replace(sampling, fps=preset.fps, stride=preset.stride, clip_length=preset.clip_length)


def _extract_like(
    preset: Interchange, videos: dict[str, Path], out: Path, encoder: Encoder, sampling: Sampling, *, overwrite: bool
) -> ExtractionReport:
    """Extract into a hidden folder, so that it can go on where it stopped, and write the other tool's files from it."""
    from ..data.feature_interchange import write_interchange
    from ..data.feature_store import FeatureStore
    from ..encoders.folder import ExtractionReport, extract_videos

    kept = out / KEPT
    outcome = ExtractionReport()
    for rate, group in _by_rate(preset, videos, outcome).items():
        part = extract_videos(group, kept, encoder, replace(sampling, fps=rate), overwrite=overwrite)
        for name in ("done", "skipped"):
            getattr(outcome, name).extend(getattr(part, name))
        for name in ("failed", "damaged"):
            getattr(outcome, name).update(getattr(part, name))
        outcome.effort.add(part.effort)
    names = sorted({*outcome.done, *outcome.skipped})
    if names:
        write_interchange(out, FeatureStore(kept).part(names), preset)  # read one after the other
    return outcome


def _by_rate(preset: Interchange, videos: dict[str, Path], outcome: ExtractionReport) -> dict[float, dict[str, Path]]:
    """Videos by the rate at which they are sampled; those that cannot be opened are put among the failed ones."""
    from ..video import open_video

    if preset.fps is not None:
        return {preset.fps: videos}
    groups: dict[float, dict[str, Path]] = defaultdict(dict)
    for name, path in videos.items():
        try:
            with open_video(path) as video:
                groups[video.fps][name] = path
        except KinoscopeError as error:
            outcome.failed[str(path)] = error.problem
    return groups
