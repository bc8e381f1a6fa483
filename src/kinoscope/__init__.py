"""Kinoscope tells what happens in video, and when.

The names below are the public surface; each is imported when first used, so that ``import kinoscope`` is instant.

    import kinoscope as ks

    video = ks.open_video("match.mp4")
    encoder = ks.load_encoder("i3d-k400")
    model = ks.load("runs/tal")
    for segment in model.localize("match.mp4"):
        print(segment.start, segment.end, segment.label, segment.score)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .lazy import attach

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .convert.official import load_official as load_official
    from .data.annotations import read_annotations as read_annotations
    from .data.feature_store import FeatureStore as FeatureStore
    from .data.features import Features as Features
    from .data.features import FeatureTime as FeatureTime
    from .data.features import read_features as read_features
    from .data.features import write_features as write_features
    from .data.segments import Segment as Segment
    from .encoders import extract_features as extract_features
    from .encoders import list_encoders as list_encoders
    from .encoders import load_encoder as load_encoder
    from .errors import KinoscopeError as KinoscopeError
    from .evaluate import evaluate_files as evaluate_files
    from .pipeline import Pipeline as Pipeline
    from .pipeline import load as load
    from .video import open_video as open_video

_HOMES = {
    "FeatureStore": "data.feature_store",
    "FeatureTime": "data.features",
    "Features": "data.features",
    "KinoscopeError": "errors",
    "Pipeline": "pipeline",
    "Segment": "data.segments",
    "evaluate_files": "evaluate",
    "extract_features": "encoders",
    "list_encoders": "encoders",
    "load": "pipeline",
    "load_encoder": "encoders",
    "load_official": "convert.official",
    "open_video": "video",
    "read_annotations": "data.annotations",
    "read_features": "data.features",
    "write_features": "data.features",
}
__all__ = [*_HOMES, "__version__"]
__getattr__ = attach(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
