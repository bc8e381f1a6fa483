"""Segments from feature files with a trained model, also from features of other tools: no video and no encoder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..data.feature_interchange import Beside, read_beside
from ..data.feature_spec import STEP_TOLERANCE, FeatureSpec
from ..data.feature_time import video_duration
from ..data.features import Features, FeatureTime, TimelessError, read_features
from ..errors import FeatureError
from ..pipeline import Localization, load_head
from ..sola.adapter import is_adapted
from .sources import Report
from .terminal import note

if TYPE_CHECKING:
    from ..sola import Adapter

_CURVES = 12


class FeatureFiles:
    """Feature files, each read as it lies in its folder: ``features.json`` beside it may hold its time.

    Args:
        time: of files that hold none, as the user gave it.
        spec: what the model takes, which is the time of files of which nothing tells another; this is said once.
    """

    def __init__(self, time: FeatureTime | None, spec: FeatureSpec | None = None) -> None:
        self._time, self._spec = time, spec
        self._beside: dict[Path, Beside] = {}
        self._told = False

    def read(self, path: Path) -> Features:
        """The features of a file.

        Raises:
            FeatureError: it cannot be used; nothing tells its time, and the model was trained at several.
        """
        try:
            return self._read(path, self._time)
        except TimelessError as error:
            if self._spec is None:
                raise
            return self._read(path, self._models_own(self._spec, path, error))

    def _read(self, path: Path, time: FeatureTime | None) -> Features:
        if path.suffix != ".npy":
            return read_features(path, time)
        if path.parent not in self._beside:  # read once, not for each of its files
            self._beside[path.parent] = read_beside(path.parent)
        return self._beside[path.parent].read(path, time)

    def _models_own(self, spec: FeatureSpec, path: Path, error: TimelessError) -> FeatureTime:
        """The time of the model's own features: it takes none of another step, so that only this can be meant."""
        flags = f"--fps {spec.fps:g} --stride {spec.stride:g} --clip-length {spec.clip_length:g}"
        assert spec.steps is not None
        low, high = spec.steps
        if high > low * (1 + STEP_TOLERANCE):
            problem = (
                f"{error.problem}, and the model takes rows {low:.3g} to {high:.3g} s apart, by the rate of each video"
            )
            cure = f"give its time, as in {flags}, fps being the video's own rate"
            raise TimelessError(problem, where=path, cure=cure) from error
        if not self._told:
            self._told = True
            note(f"note: {path} does not tell its time; as the model's own features: {flags}")
        return FeatureTime(spec.fps, spec.stride, spec.clip_length)


class FeatureLocalizer:
    """Feature files → segments.

    Args:
        folder: of a model that ``kinoscope train localize`` wrote.
        time: of files that hold none; without it, that of the model's own features.
    """

    def __init__(self, folder: Path, time: FeatureTime | None) -> None:
        self._head, self._adapter = load_head(folder)
        self._files = FeatureFiles(time, self._head.features)

    def look(self, path: Path, _report: Report | None = None) -> Localization:
        """What is in the video of a feature file.

        Raises:
            FeatureError: the file cannot be used, or by another model only.
        """
        features = timed_to_its_end(self._files.read(path))
        adapted = adapt_raw(features, self._adapter)
        try:
            segments, scores = self._head.localize_with_scores(adapted or features)  # scores [T, K]
        except FeatureError as error:
            raise FeatureError(error.problem, where=error.where or path, cure=error.cure) from error
        labels = list(dict.fromkeys(segment.label for segment in segments))[:_CURVES]
        curves = {label: scores[:, self._head.classes.index(label)] for label in labels}
        return Localization(segments, features, adapted, curves)

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
