"""What ``train localize --end-to-end`` needs before training: the videos of the labels, and their maps."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from ..data.feature_store import FeatureStore
from ..data.features import Features
from ..encoders import EncoderSpec, Sampling, encoder_spec
from ..encoders.folder import extract_videos, find_videos
from ..encoders.split import split_encoder
from ..errors import FeatureError, OptionError, VideoError, WeightError
from ..localize.end_to_end import EndToEnd
from ..sola.adapter import refuse_adapted
from .terminal import note


def prepare(
    store: FeatureStore,
    names: Iterable[str],
    videos: Path | None,
    cache: Path,
    *,
    blocks: int,
    rate: float,
    device: str,
) -> EndToEnd:
    """Take apart the encoder of some features, and compute the maps of its trunk that are not there yet.

    Args:
        store: the features.
        names: of the annotated videos; those without features are left out.
        videos: the folder that the features are of.
        cache: for the maps.

    Raises:
        OptionError: no folder of videos.
        FeatureError: features of no encoder that can be trained, or of other weights.
        VideoError: videos that are not there, or cannot be read.
    """
    if videos is None:
        raise OptionError("--end-to-end looks at the videos again", cure="name their folder: --videos VIDEOS")
    names = [name for name in names if name in store]
    if not names:
        raise FeatureError("hold none of the annotated videos", where=store.folder, cure="extract these videos first")
    features = store[names[0]]
    spec = _encoder_of(features, store.folder)
    time = features.time
    sampling = Sampling(time.fps, int(time.clip_length), int(time.stride), spec.size)
    encoder = split_encoder(spec.name, blocks, sampling, device=device)
    folder = cache / re.sub(r"[^\w.-]+", "-", encoder.trunk.spec.tag).strip("-")
    report = extract_videos(_videos_of(store, names, videos), folder, encoder.trunk)
    if report.failed:
        path, problem = next(iter(report.failed.items()))
        raise VideoError(f"{problem} ({len(report.failed)} such videos)", where=path, cure="mend it or take it out")
    maps = FeatureStore(folder, file_names=store.file_names).mapped()
    size = sum(path.stat().st_size for path in folder.rglob("*.safetensors"))
    note(f"note: maps below the trained blocks: {size / 1e6:,.0f} MB in {folder}; delete them when you are done.")
    return EndToEnd(encoder, maps, rate)


def _encoder_of(features: Features, folder: Path) -> EncoderSpec:
    """What made the features, if it is here to be trained."""
    refuse_adapted(features)
    problem = "are of an encoder that is not known"
    if features.encoder:
        try:
            spec = encoder_spec(features.encoder)
        except (OptionError, WeightError) as error:
            problem = f"are of an encoder that is not here: {error.problem}"
        else:
            if features.weight_hash in ("", spec.weights.hash):
                return spec
            problem = f"are of other weights of {features.encoder!r}"
    cure = "make them with kinoscope extract, and an encoder that is still there"
    raise FeatureError(f"{problem}, so --end-to-end cannot train it", where=folder, cure=cure)


def _videos_of(store: FeatureStore, names: list[str], folder: Path) -> dict[str, Path]:
    """The video of each feature file, by the file's name."""
    found = find_videos(folder)
    by_last = {Path(name).name: path for name, path in found.items()}
    wanted, missing = {}, []
    for name in names:
        key = store.path_of(name).relative_to(store.folder).with_suffix("").as_posix()
        path = found.get(key) or by_last.get(Path(key).name)
        if path is None:
            missing.append(key)
        else:
            wanted[key] = path
    if missing:
        problem = f"holds no video for {len(missing)} of {len(names)} feature files, first {missing[0]!r}"
        raise VideoError(problem, where=folder, cure="give the folder that the features were extracted from")
    return wanted
