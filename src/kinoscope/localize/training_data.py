"""Annotations and features → what the head is trained on, with the problems named before training starts."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..data.feature_checks import check_rows, check_times
from ..data.feature_resize import ResizedFeatures, resized_grid
from ..data.feature_spec import FeatureSpec
from ..data.feature_store import FeatureStore
from ..data.features import Features
from ..data.segments import Annotations
from ..errors import AnnotationError, FeatureError

_OVERSHOOT = 0.5  # seconds; published annotations round


@dataclass(frozen=True)
class TrainingVideo:
    """One video's segments on the grid of its features."""

    name: str
    segments: NDArray[np.float64]
    """[N, 2], start and end in grid units."""
    labels: NDArray[np.int64]
    """[N], class numbers."""
    reach: float
    """Half of what a row saw, in grid units."""


@dataclass(frozen=True)
class TrainingData:
    """Everything that training reads."""

    videos: tuple[TrainingVideo, ...]
    classes: tuple[str, ...]
    features: Mapping[str, Features]
    spec: FeatureSpec

    @property
    def lengths(self) -> list[float]:
        """Lengths of all segments, in grid units."""
        return [float(end - start) for video in self.videos for start, end in video.segments]

    def digest(self) -> str:
        """A fingerprint of what is learned: features by their making, videos, segments and labels."""
        digest = hashlib.sha256(repr((self.spec, self.classes)).encode())
        for video in self.videos:
            digest.update(repr((video.name, video.segments.tolist(), video.labels.tolist())).encode("utf-8", "replace"))
        return digest.hexdigest()[:16]


def resized_data(data: TrainingData, rows: int) -> TrainingData:
    """The same for a head to which whole videos come in ``rows`` rows."""
    videos = [
        replace(video, segments=resized_grid(video.segments, len(data.features[video.name]), rows), reach=0.5)
        for video in data.videos
    ]
    return replace(data, videos=tuple(videos), features=ResizedFeatures(data.features, rows))


def read_training_data(part: Annotations, features: Mapping[str, Features]) -> TrainingData:
    """Put the segments of ``part`` on the grid of each video's features.

    Warns of segments too short to be learned.

    Raises:
        AnnotationError: a segment beyond the end of its video.
        FeatureError: videos without features; features with NaN, or of different encoders or widths.
    """
    classes = tuple(sorted({segment.label for video in part.videos.values() for segment in video.segments}))
    videos: list[TrainingVideo] = []
    spec = FeatureSpec.of(_read_each(part, features, classes, videos))
    if isinstance(features, FeatureStore) and features.time is not None:  # typed by hand
        check_times(part, features)
    _report_unlearnable(videos, spec)
    return TrainingData(tuple(videos), classes, features, spec)


def _read_each(
    part: Annotations, features: Mapping[str, Features], classes: Sequence[str], videos: list[TrainingVideo]
) -> Iterator[tuple[str, Features]]:
    """Read one video's features after the other, so that they need not fit into memory; fills ``videos``."""
    missing = []
    for name in part.videos:
        try:
            values = features[name]
        except KeyError:
            missing.append(name)
            continue
        check_rows(values, str(features.path_of(name)) if isinstance(features, FeatureStore) else name)
        check_within(part, name, values)
        videos.append(_on_grid(name, part, values, classes))
        yield name, values
    if missing:
        shown = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        raise FeatureError(
            f"{len(missing)} of {len(part.videos)} annotated videos have no features: {shown}",
            where=part.source,
            cure="extract them, or take these videos out of the annotations",
        )


def check_within(part: Annotations, name: str, features: Features) -> None:
    """Raise :class:`AnnotationError` for a segment that ends clearly after its video, as the features know it."""
    duration = features.time.duration
    if duration is None:
        return
    for segment in part.videos[name].segments:
        if segment.end > duration + _OVERSHOOT:
            raise AnnotationError(
                f"{segment.label!r} in {name!r} runs from {segment.start:g} to {segment.end:g} s, "
                f"but the video ends at {duration:g} s",
                where=part.source,
                cure="times are seconds from the beginning of the video; correct them",
            )


def _on_grid(name: str, part: Annotations, features: Features, classes: Sequence[str]) -> TrainingVideo:
    chosen = [segment for segment in part.videos[name].segments if segment.end > segment.start]
    seconds = np.array([[segment.start, segment.end] for segment in chosen], dtype=np.float64).reshape(-1, 2)
    labels = np.array([classes.index(segment.label) for segment in chosen], dtype=np.int64)
    time = features.time
    return TrainingVideo(name, time.to_grid(seconds), labels, 0.5 * time.clip_length / time.stride)


def _report_unlearnable(videos: Sequence[TrainingVideo], spec: FeatureSpec) -> None:
    """A segment teaches something only if a row's centre lies inside."""
    bounds = np.concatenate([video.segments for video in videos])  # [N, 2]
    lost = int((np.floor(bounds[:, 0]) + 1 >= bounds[:, 1]).sum())
    cure = "extract features with a smaller stride"
    problem = f"{lost} of {len(bounds)} training segments fall between two rows ({spec.stride / spec.fps:g} s apart)"
    if len(bounds) and lost == len(bounds):
        raise FeatureError(f"{problem}: nothing can be learned", cure=cure)
    if lost:
        warnings.warn(f"{problem} and cannot be learned; {cure}", stacklevel=3)
