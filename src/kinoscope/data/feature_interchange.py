"""Folders of features as other tools read them: an ``.npy`` file [T, C] for each video, and one JSON for their time.

What a preset promises is the layout (names, shape, type) and the rate (which frames a row saw). The numbers come from
another network than the tool's own, so its published checkpoints cannot read them; heads trained by the tool can.

Sources: the settings in the tools' configurations for these data sets; localisation sheet, sections 1.7, 1.9 and 2.4.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import AnnotationError, FeatureError, OptionError
from ..files import write_json
from .annotations_json import parse_json
from .annotations_text import read_text, shorten
from .feature_time import FeatureTime
from .feature_write import write_feature_blocks
from .features import Features, read_features

BESIDE = "features.json"
"""The file beside ``.npy`` files that states their time."""

_FORMAT = "kinoscope-npy"
_LONGEST_ID = 13  # "v_" and the 11 characters of a YouTube id, which may begin with v_ itself
_OWN_NETWORK = "the numbers are those of another network, so the tool's published checkpoints cannot be used"
_TAIL = "a clip that runs over the end of the video is kept and its last frame repeated: up to one row more than theirs"
_OWN_RATE = "clips are taken at each video's own frame rate, which the tool must know: fps in features.json"


@dataclass(frozen=True)
class Interchange:
    """How one tool wants the features of one data set."""

    name: str
    """``tool:features``, as ``--like`` takes it."""
    fps: float | None
    """Sampled frames per second; None: every frame of the video."""
    stride: int
    """Sampled frames between rows."""
    clip_length: int
    """Sampled frames that a row sees."""
    width: int
    """Channels of the tool's own features."""
    settings: Mapping[str, Any]
    """The same in the tool's words, for its configuration."""
    prefix: str = ""
    """Before the name of every video."""
    differs: tuple[str, ...] = ()
    """What else is not as in the tool's own features."""

    def file_name(self, video: str) -> str:
        """The file of a video: its name without folders, with the prefix."""
        last = PurePosixPath(video).name
        named = last.startswith(self.prefix) and (self.prefix != "v_" or len(last) == _LONGEST_ID)
        return f"{last if named else self.prefix + last}.npy"

    def unlike(self, width: int) -> list[str]:
        """What is not as the tool expects it, in words, of features of ``width`` channels."""
        found = [_OWN_NETWORK]
        if width != self.width:
            found.append(f"rows have {width} channels, the tool's own {self.width}: set its input size")
        return [*found, _TAIL, *([_OWN_RATE] if self.fps is None else []), *self.differs]


_ACTIONFORMER = {"file_ext": ".npy", "feat_stride": 4, "num_frames": 16}
_OPENTAD = {"feat_format": "npy", "feature_stride": 4, "sample_stride": 1, "offset_frames": 8}
_TSP = {"feature_stride": 16, "sample_stride": 1, "offset_frames": 8, "fps": 15, "prefix": "v_"}
_HDF5 = "the tool reads rgb_test.h5 and flow_test.h5 with a row for every frame; these files need a loader of their own"

_PRESETS = {
    preset.name: preset
    for preset in (
        Interchange("actionformer:thumos_i3d", None, 4, 16, 2048, _ACTIONFORMER),
        Interchange("opentad:thumos_i3d", None, 4, 16, 2048, _OPENTAD),
        Interchange("gtad:thumos_tsn", None, 5, 1, 2048, {"skip_videoframes": 5}, differs=(_HDF5,)),
        Interchange(
            "actionformer:anet_tsp",
            15.0,
            16,
            16,
            512,
            {"file_prefix": "v_", "file_ext": ".npy", "feat_stride": 16, "num_frames": 16, "default_fps": 15},
            prefix="v_",
        ),
        Interchange("opentad:anet_tsp", 15.0, 16, 16, 512, {"feat_format": "npy", **_TSP}, prefix="v_"),
    )
}


def list_interchanges() -> list[str]:
    """Names that :func:`get_interchange` knows."""
    return sorted(_PRESETS)


def get_interchange(name: str) -> Interchange:
    """The preset of this name. Raises :class:`OptionError` if there is none."""
    if name.lower() in _PRESETS:
        return _PRESETS[name.lower()]
    near = get_close_matches(name.lower(), _PRESETS, n=1)
    guess = f"did you mean {near[0]!r}? " if near else ""
    raise OptionError(f"there is no layout {name!r}", cure=f"{guess}Known: {', '.join(list_interchanges())}")


def interchange_files(names: Iterable[str], preset: Interchange) -> dict[str, str]:
    """The file of every video, by its name.

    Raises:
        OptionError: two videos that would share a file, since the tools know no folders.
    """
    videos: dict[str, str] = {}
    for name in names:
        file = preset.file_name(name)
        if (other := videos.setdefault(file, name)) != name:
            problem = f"{other!r} and {name!r} would both be {file}, for {preset.name} knows no folders"
            raise OptionError(problem, cure="rename one of the videos")
    return {name: file for file, name in videos.items()}


def write_interchange(folder: str | Path, features: Mapping[str, Features], preset: Interchange) -> None:
    """Write an ``.npy`` file for every video, float32, and ``features.json`` with their time and what differs.

    Args:
        folder: where to.
        features: by video, made at the preset's rate by one encoder.
        preset: the layout.

    Raises:
        FeatureError: features of another stride, clip length or rate, or of several encoders or widths.
        OptionError: two videos that would share a file.
        OutputError: the folder cannot be written.
    """
    folder = Path(folder)
    files = interchange_files(features, preset)
    first: Features | None = None
    videos: dict[str, dict[str, Any]] = {}
    for name, each in features.items():
        first = first or each
        _require_like(name, each, first, preset)
        time = each.time
        write_feature_blocks(folder / files[name], [each.values], rows=len(each), width=each.width, time=time)
        entry = {"rows": len(each), "fps": time.fps, "duration": time.duration}
        videos[files[name].removesuffix(".npy")] = {"video": name, **entry}
    if first is None:
        raise FeatureError("there are no features to write", cure="extract some first")
    write_json(folder / BESIDE, _described(first, videos, preset))


def _described(first: Features, videos: dict[str, dict[str, Any]], preset: Interchange) -> dict[str, Any]:
    """What ``features.json`` says: the time once, and for each video what only it has."""
    rates = {video["fps"] for video in videos.values()}
    if len(rates) == 1:
        videos = {name: {key: value for key, value in video.items() if key != "fps"} for name, video in videos.items()}
    return {
        "format": _FORMAT,
        "version": 1,
        "like": preset.name,
        "fps": rates.pop() if len(rates) == 1 else None,
        "stride": first.time.stride,
        "clip_length": first.time.clip_length,
        "offset": first.time.offset,
        "width": first.width,
        "encoder": first.encoder,
        "weight_hash": first.weight_hash,
        "settings": dict(preset.settings),
        "as_the_tool_expects": _kept(preset),
        "not_as_the_tool_expects": preset.unlike(first.width),
        "videos": videos,
    }


def _kept(preset: Interchange) -> list[str]:
    rate = "the video's own frame rate" if preset.fps is None else f"{preset.fps:g} frames per second"
    shape = "one float32 array [T, C] per video, a .npy file called like it"
    return [
        shape + (f" with {preset.prefix!r} before" if preset.prefix else ""),
        f"a row every {preset.stride} frames, each of {preset.clip_length}, at {rate}; the first begins with the video",
    ]


def _require_like(name: str, each: Features, first: Features, preset: Interchange) -> None:
    time = each.time
    alike = (time.stride, time.clip_length, time.offset) == (preset.stride, preset.clip_length, 0.0)
    if not alike or (preset.fps is not None and time.fps != preset.fps):
        has = f"{time.fps:g} fps, stride {time.stride:g}, clips of {time.clip_length:g}"
        wants = f"{preset.fps or time.fps:g} fps, stride {preset.stride}, clips of {preset.clip_length} from 0 s on"
        problem = f"{name!r} has {has}; {preset.name} wants {wants}"
        raise FeatureError(problem, cure="extract it again with --like")
    source = (first.encoder, first.weight_hash, first.width)
    if (each.encoder, each.weight_hash, each.width) != source:
        problem = f"{name!r} comes from {each.encoder!r} ({each.width} channels), others from {first.encoder!r}"
        raise FeatureError(problem, cure="extract all videos with one encoder")


@dataclass(frozen=True)
class Beside:
    """What ``features.json`` says of the ``.npy`` files beside it."""

    times: Mapping[str, FeatureTime]
    """By the name of the file, without suffix."""
    encoder: str = ""
    weight_hash: str = ""

    def read(self, path: Path, given: FeatureTime | None = None, *, mapped: bool = False) -> Features:
        """The features of an ``.npy`` file beside it (see :func:`read_features`), with their encoder.

        Raises:
            FeatureError: as there; a ``given`` time that is not the one stated here.
        """
        known = self.times.get(path.stem)
        if known is not None and given is not None:
            own, other = ((each.fps, each.stride, each.clip_length) for each in (known, given))
            if own != other:
                problem = f"{BESIDE} beside it says {own} (fps, stride, clip length)"
                cure = "leave --fps, --stride and --clip-length away"
                raise FeatureError(f"{problem}, which is not the time given, {other}", where=path, cure=cure)
        features = read_features(path, known or given, mapped=mapped)
        return features if known is None else replace(features, encoder=self.encoder, weight_hash=self.weight_hash)


def read_beside(folder: Path) -> Beside:
    """The times that ``features.json`` states; none where there is no such file, or another tool's.

    Raises:
        FeatureError: it is ours but damaged.
    """
    path = folder / BESIDE
    if not path.is_file():
        return Beside({})
    try:
        tree = parse_json(read_text(path), path)
    except AnnotationError as error:
        raise FeatureError(error.problem, where=error.where, cure="write the folder again") from error
    if not isinstance(tree, dict) or tree.get("format") != _FORMAT:
        return Beside({})
    shared = {key: tree.get(key) for key in ("fps", "stride", "clip_length", "offset")}
    videos, source = tree.get("videos"), (tree.get("encoder"), tree.get("weight_hash"))
    if not isinstance(videos, dict) or not all(isinstance(word, str) for word in source):
        raise FeatureError("names no videos, or no encoder", where=path, cure="write the folder again")
    times = {}
    for name, entry in videos.items():
        own = entry if isinstance(entry, dict) else {}
        values: dict[str, Any] = shared | {key: own[key] for key in ("fps", "duration") if key in own}
        try:
            times[name] = FeatureTime(**values)
        except FeatureError as error:
            where = f"{path}: videos[{json.dumps(name)}]"
            raise FeatureError(f"{error.problem} in {shorten(name)}", where=where, cure=error.cure) from error
    return Beside(times, *map(str, source))
