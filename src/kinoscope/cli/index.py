"""``kinoscope index``: a folder of videos, or of features, → an index that `kinoscope search` asks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..encoders.sampling import Runtime, Sampling
from ..errors import OptionError

if TYPE_CHECKING:
    from ..search.library import IndexReport

EXAMPLES = """\
  kinoscope index videos/ --out runs/index
  kinoscope index videos/ --encoder runs/coclr --out runs/index      # an encoder that pretrain wrote
  kinoscope index feats/ --videos videos/ --out runs/index           # features that are there already
"""
_SHOWN = 5


def run(
    source: Path,
    *,
    out: Path,
    encoder: str | None = None,
    videos: Path | None = None,
    sampling: Sampling = Sampling(),
    overwrite: bool = False,
    json: bool = False,
    device: str = "auto",
    runtime: Runtime = "auto",
    bf16: bool = False,
) -> int:
    """Index a library, so that its videos and their moments can be searched with `kinoscope search`.

    Run again, it takes in new and changed videos and drops those that are gone; nothing else is encoded again.
    Interrupted, it goes on where it stopped.

    Args:
        source: Folder of videos (searched with its subfolders), or of features.
        out: Folder for the index; the features of the videos are kept in it, too.
        encoder: Which encoder, by default efficientnet-lite0: a name that `kinoscope doctor` lists, or the folder of
            a trained one.
        videos: Where the source is features: the folder of their videos, for pictures of what is found.
        overwrite: Replace an index of another folder, or features of another encoder or sampling.
        json: Print what was done as JSON.
        device: cpu, cuda, ...; auto takes a GPU if there is one.
        runtime: What computes on a CPU; auto takes OpenVINO if it is installed.
        bf16: Compute in bfloat16, where the device has units for it.
    """
    from .sources import find_sources
    from .times import feature_time

    if not source.exists():
        raise OptionError("no such folder", where=source, cure="name a folder of videos or of features")
    if source.is_dir() and find_sources([source], sampling).are_features:
        from ..data.feature_store import FeatureStore
        from ..search.library import index_features

        if encoder is not None or overwrite:
            cure = "leave it out: the features know their encoder, and an index of features is always made anew"
            raise OptionError(f"{'--encoder' if encoder else '--overwrite'} goes with videos", where=source, cure=cure)
        time = feature_time(sampling.fps, sampling.stride, sampling.clip_length)
        return _tell(index_features(FeatureStore(source, time), out, videos), out, json)
    if videos is not None:
        raise OptionError("--videos goes with features", where=source, cure="leave it out: the source is videos")
    return _tell(_of_videos(source, out, encoder, sampling, overwrite, device, runtime, bf16), out, json)


def _of_videos(
    source: Path,
    out: Path,
    encoder: str | None,
    sampling: Sampling,
    overwrite: bool,
    device: str,
    runtime: Runtime,
    bf16: bool,
) -> IndexReport:
    from ..encoders import encoder_spec, load_encoder
    from ..encoders.folder import find_videos
    from ..files import require_writable
    from ..search.index import INDEX_FILE
    from ..search.library import index_library

    encoder = encoder or "efficientnet-lite0"
    find_videos(source)  # before anything is downloaded
    require_writable(out / INDEX_FILE)
    folder = Path(encoder)
    if not folder.is_dir():
        sampling.resolve(encoder_spec(encoder))
    loaded = load_encoder(encoder, device=device, runtime=runtime, bf16=bf16)
    spec = sampling.resolve(loaded.spec)
    place = str(folder.resolve()) if folder.is_dir() else spec.name
    name = place + spec.tag.removeprefix(spec.name)  # with the size of frames, where it is not the encoder's own
    return index_library(source, out, loaded, sampling, source=name, overwrite=overwrite)


def _tell(outcome: IndexReport, out: Path, json: bool) -> int:
    from .terminal import note, print_json, say

    index, made = outcome.index, outcome.extraction
    if json:
        facts = {"videos": len(index.entries), "moments": len(index.moments), "encoder": index.encoder}
        done = {"extracted": made.done, "skipped": made.skipped, "failed": made.failed, "damaged": made.damaged}
        print_json({**facts, **done, "dropped": outcome.dropped, "bytes": _bytes(out)})
    else:
        videos = f"{len(index.entries):,} video{'' if len(index.entries) == 1 else 's'}"
        say(f"{videos}, {len(index.moments):,} moments, {_bytes(out) / 1e6:,.1f} MB → {out}")
        if made.done or made.skipped or made.failed:
            say(f"{len(made.done)} encoded now, {len(made.skipped)} already there, {len(made.failed)} failed")
    if outcome.dropped:
        more = ", …" if len(outcome.dropped) > _SHOWN else ""
        note(f"dropped, because they are gone: {', '.join(outcome.dropped[:_SHOWN])}{more} ({len(outcome.dropped)})")
    for path, problem in made.damaged.items():
        note(f"damaged, the rest was used: {path}: {problem}")
    for path, problem in made.failed.items():
        note(f"failed: {path}: {problem}")
    return 2 if made.failed else 0


def _bytes(out: Path) -> int:
    """What the index itself takes on disk, without the features it was made of."""
    return sum(path.stat().st_size for path in out.iterdir() if path.is_file())
