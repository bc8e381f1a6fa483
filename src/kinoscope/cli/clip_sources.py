"""What ``kinoscope probe-features --data`` compares: trained encoders, encoders of the catalogue, stored features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import FeatureError, KinoscopeError, OptionError
from ..video.streams import STREAMS

if TYPE_CHECKING:
    from ..coclr.window_features import WindowEncoder
    from ..data.features import FeatureTime
    from ..evaluate.clip_split import ClipSplit

STORED = "features"
"""In the place of a stream, where features were stored by whatever tool."""

VideoFeatures = dict[str, dict[str, Any]]
"""Stream → video → its feature [C]."""


@dataclass(frozen=True)
class ClipSource:
    """One of the things that are compared."""

    name: str
    """As the user gave it."""
    encoders: Mapping[str, WindowEncoder] = field(default_factory=dict)
    """Trained encoders by stream."""
    catalogue: bool = False
    """An encoder of the catalogue; else, without encoders, a folder of features."""

    @property
    def streams(self) -> tuple[str, ...]:
        """What it sees."""
        return tuple(self.encoders) or (("rgb",) if self.catalogue else (STORED,))


@dataclass
class Extracted:
    """Features of every source, and the videos that failed."""

    features: list[VideoFeatures]
    failed: dict[str, str]


def find_clip_sources(paths: Sequence[Path], streams: Sequence[str] | None, device: str) -> list[ClipSource]:
    """Load what is named; a run of co-training gives the encoders of its streams.

    Raises:
        OptionError: something that is neither, or a stream that one of them lacks.
        WeightError: a damaged encoder.
    """
    return [_source(path, streams, device) for path in paths]


def _source(path: Path, wanted: Sequence[str] | None, device: str) -> ClipSource:
    from ..encoders import list_encoders

    if not path.exists():
        if str(path) not in list_encoders():
            names = ", ".join(list_encoders())
            cure = f"give a folder of `kinoscope pretrain` or `kinoscope extract`, or one of {names}"
            raise OptionError("no such folder, and no encoder of this name", where=path, cure=cure)
        _require_streams(path, ("rgb",), wanted)
        return ClipSource(str(path), catalogue=True)
    folders = _encoder_folders(path)
    if not folders:
        _require_streams(path, (), wanted)
        return ClipSource(str(path))
    from ..coclr.window_features import load_window_encoder
    from ..encoders.encoder import choose_device

    loaded = [load_window_encoder(folder, choose_device(device)) for folder in folders]
    encoders: dict[str, WindowEncoder] = {each.spec.stream: each for each in loaded}
    _require_streams(path, tuple(encoders), wanted)
    kept = {stream: each for stream, each in encoders.items() if wanted is None or stream in wanted or "both" in wanted}
    return ClipSource(str(path), kept)


def _encoder_folders(path: Path) -> list[Path]:
    """The encoder in a folder, or those of its streams; none for a folder of features."""
    if (path / "config.json").is_file():
        return [path]
    return [path / stream for stream in STREAMS if (path / stream / "config.json").is_file()]


def _require_streams(path: Path, there: Sequence[str], wanted: Sequence[str] | None) -> None:
    if wanted is None:
        return
    for stream in wanted:
        if stream not in there and not (stream == "both" and len(there) > 1):
            have = ", ".join(there) or "stored features, which have no stream"
            raise OptionError(
                f"has no stream {stream!r}: {have}", where=path, cure="leave --streams away, or choose others"
            )


def extract_all(
    sources: Sequence[ClipSource],
    videos: Mapping[str, Path],
    names: Sequence[str],
    file_names: Mapping[str, str],
    *,
    cache: Path | None,
    flow_folder: Path | None,
    workers: int,
    device: str,
    time: FeatureTime | None,
) -> Extracted:
    """One feature per video of each source and stream; trained encoders share their decoding.

    Args:
        videos: files by name; not needed where all sources are stored features.
        names: of the annotated videos.
        file_names: see ``Annotations.file_names``.
        time: of ``.npy`` features.
    """
    found = Extracted([{} for _ in sources], {})
    _trained(sources, videos, found, cache, flow_folder, workers)
    for place, source in enumerate(sources):
        if source.catalogue:
            found.features[place]["rgb"] = _catalogue(source.name, videos, device, found.failed)
        elif not source.encoders:
            found.features[place][STORED] = _stored(Path(source.name), names, file_names, time)
    return found


def _trained(
    sources: Sequence[ClipSource],
    videos: Mapping[str, Path],
    found: Extracted,
    cache: Path | None,
    flow_folder: Path | None,
    workers: int,
) -> None:
    from ..evaluate.retrieval import video_feature

    places = [(place, stream) for place, source in enumerate(sources) for stream in source.encoders]
    if not places:
        return
    from ..coclr.window_features import window_features

    encoders = [sources[place].encoders[stream] for place, stream in places]
    windows = window_features(videos, encoders, cache=cache, flow_folder=flow_folder, workers=workers)
    for (place, stream), rows in zip(places, windows.rows, strict=True):
        found.features[place][stream] = {name: video_feature(each) for name, each in rows.items()}
    found.failed.update(windows.failed)


def _catalogue(name: str, videos: Mapping[str, Path], device: str, failed: dict[str, str]) -> dict[str, Any]:
    from ..encoders import extract_features, load_encoder
    from ..evaluate.retrieval import video_feature
    from ..progress import progress

    encoder, found, problem = load_encoder(name, device=device), {}, None
    with progress(f"Extracting {name}", len(videos)) as report:
        for video, path in videos.items():
            try:
                found[video] = video_feature(extract_features(path, encoder).values)
            except KinoscopeError as error:
                failed[video], problem = error.problem, error
            report(1, video)
    if not found and problem is not None:
        raise problem
    return found


def _stored(
    folder: Path, names: Sequence[str], file_names: Mapping[str, str], time: FeatureTime | None
) -> dict[str, Any]:
    from ..data.feature_store import FeatureStore
    from ..evaluate.retrieval import video_feature

    store = FeatureStore(folder, time, file_names)
    found = {name: video_feature(store[name].values) for name in names if name in store}
    if not found:
        cure = "check that the names of videos and of feature files agree"
        raise FeatureError("no labelled video has features here", where=folder, cure=cure)
    widths = {len(feature): name for name, feature in found.items()}
    if len(widths) > 1:
        problem = " and ".join(f"{name!r} has {width} channels" for width, name in list(widths.items())[:2])
        raise FeatureError(problem, where=folder, cure="keep the features of each encoder in a folder of their own")
    return found


def common_videos(found: Extracted, split: ClipSplit) -> tuple[ClipSplit, list[str]]:
    """The split among the videos that every source has features of, and what was left out."""
    everywhere = [set(rows) for streams in found.features for rows in streams.values()]
    names = (set(split.labels) - set(found.failed)).intersection(*everywhere)
    remarks = [f"failed: {name}: {problem}" for name, problem in sorted(found.failed.items())]
    missing = sorted(set(split.labels) - names - set(found.failed))
    if missing:
        shown = ", ".join(map(repr, missing[:5])) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        remarks.append(f"left out, without features in every source: {len(missing)} of {len(split.labels)}: {shown}")
    return (split if len(names) == len(split.labels) else split.among(names)), remarks
