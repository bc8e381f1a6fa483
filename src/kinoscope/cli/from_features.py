"""Segments from feature files with a trained model, also from features of other tools: no video and no encoder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..data.feature_store import FeatureStore
from ..data.feature_time import video_duration
from ..data.features import Features, FeatureTime, read_features
from ..pipeline import Localization, load_head
from ..sola.adapter import is_adapted
from .sources import Report

if TYPE_CHECKING:
    from ..sola import Adapter

_CURVES = 12


class FeatureLocalizer:
    """Feature files → segments.

    Args:
        folder: of a model that ``kinoscope train localize`` wrote.
        time: of files that hold none.
    """

    def __init__(self, folder: Path, time: FeatureTime | None) -> None:
        self._head, self._adapter = load_head(folder)
        self._time = time
        self._folders: dict[Path, FeatureStore] = {}

    def look(self, path: Path, _report: Report | None = None) -> Localization:
        """What is in the video of a feature file.

        Raises:
            FeatureError: the file cannot be used, or by another model only.
        """
        features = timed_to_its_end(self._read(path))
        adapted = adapt_raw(features, self._adapter)
        segments, scores = self._head.localize_with_scores(adapted or features)  # scores [T, K]
        labels = list(dict.fromkeys(segment.label for segment in segments))[:_CURVES]
        curves = {label: scores[:, self._head.classes.index(label)] for label in labels}
        return Localization(segments, features, adapted, curves)

    def _read(self, path: Path) -> Features:
        """As it lies in its folder: ``features.json`` beside it may hold its time."""
        if path.suffix != ".npy":
            return read_features(path, self._time)
        if path.parent not in self._folders:  # a folder is searched once, not for each of its files
            self._folders[path.parent] = FeatureStore(path.parent, self._time)
        return self._folders[path.parent][path.stem]

    def settings(self) -> dict[str, str]:
        """What made the result, for the report and the result files."""
        from .pages import circumstances

        adapter = "none" if self._adapter is None else self._adapter.tag.removeprefix("+")
        encoder = self._head.features.encoder or "another tool"
        return {**circumstances(), "model": "trained head", "adapter": adapter, "features": encoder}


def adapt_raw(features: Features, adapter: Adapter | None) -> Features | None:
    """Features after the adapter; none where there is no adapter, or where they went through one before."""
    return None if adapter is None or is_adapted(features.encoder) else adapter.adapt(features)


def timed_to_its_end(features: Features) -> Features:
    """Features that know how long their video is; the end of the last row is taken where nothing tells it."""
    return replace(features, time=replace(features.time, duration=video_duration(features.time, len(features))))
