"""``kinoscope localize --boundaries``: where something changes, without labels or training."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data.boundaries import FORMAT, Boundary, write_boundaries_csv, write_boundaries_json
from ..data.features import Features
from ..encoders import load_encoder
from ..encoders.extract import Effort, extract_features
from ..encoders.sampling import Runtime, Sampling
from ..errors import DamagedVideoWarning, OptionError
from ..localize.boundaries import BoundaryOptions, Novelty, boundaries_from_novelty, novelty
from ..pipeline import load_head, load_localizer
from .from_features import FeatureFiles, adapt_raw, timed_to_its_end
from .outputs import Wanted, report_end
from .sources import Jobs, Report, Sources, look_into

if TYPE_CHECKING:
    from ..encoders import Encoder
    from ..sola import Adapter

ENCODER = "efficientnet-lite0-change"
"""On real falls no difference to i3d-k400 can be told from noise, and it takes a fraction of the time."""


@dataclass(frozen=True)
class FoundBoundaries:
    """What was found in one video, and what it was found from."""

    boundaries: list[Boundary]
    """In order of time."""
    novelty: Novelty
    features: Features
    adapted: Features | None = None
    """After the adapter, if there is one."""
    damage: tuple[str, ...] = ()
    """What of the video could not be decoded."""
    effort: Effort = field(default_factory=Effort)

    @property
    def duration(self) -> float:
        """Length of the video in seconds."""
        return self.features.time.duration or 0.0


class BoundaryDetector:
    """Videos, or their features, → the boundaries in them.

    Args:
        sources: what will be looked into: features need no encoder.
        model: a trained model whose encoder and adapter are used; its head is not.
        encoder: name of the encoder, where no model says it.
    """

    def __init__(
        self,
        sources: Sources,
        model: Path | None,
        encoder: str | None,
        sampling: Sampling,
        options: BoundaryOptions,
        *,
        device: str = "auto",
        runtime: Runtime = "auto",
    ) -> None:
        self._files, self._sampling, self._options = FeatureFiles(sources.time), sampling, options
        self._encoder: Encoder | None = None
        self._adapter: Adapter | None = None
        if sources.are_features:
            if encoder is not None:
                raise OptionError("--encoder goes with videos, not with features", cure="leave it out")
            if model is not None:
                head, self._adapter = load_head(model)
                self._files = FeatureFiles(sources.time, head.features)
        elif model is not None:
            pipeline = load_localizer(model, device=device, runtime=runtime)
            self._encoder, self._sampling, self._adapter = pipeline.encoder, pipeline.sampling, pipeline.adapter
        else:
            self._encoder = load_encoder(encoder or ENCODER, device=device, runtime=runtime)

    def look(self, path: Path, report: Report) -> FoundBoundaries:
        """The boundaries of one video.

        Raises:
            VideoError, FeatureError: it cannot be read.
        """
        effort = Effort()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", DamagedVideoWarning)
            if self._encoder is None:
                features = timed_to_its_end(self._files.read(path))
            else:
                features = extract_features(path, self._encoder, self._sampling, report=report, effort=effort)
        damage = tuple(str(w.message) for w in caught if issubclass(w.category, DamagedVideoWarning))
        adapted = adapt_raw(features, self._adapter)
        curve = novelty(adapted or features, self._options)
        boundaries = boundaries_from_novelty(curve, features.time.duration, self._options)
        return FoundBoundaries(boundaries, curve, features, adapted, damage, effort)

    def settings(self) -> dict[str, str]:
        """What made the result, for the report and the result files."""
        from .pages import circumstances, encoder_settings

        made = {
            "model": "change points of similarity, no training",
            "adapter": "none" if self._adapter is None else self._adapter.tag.removeprefix("+"),
            "thresholds": str(self._options),
        }
        if self._encoder is not None:
            made |= encoder_settings(self._sampling.resolve(self._encoder.spec))
        return {**circumstances(), **made}


def detector_look(*arguments: Any, **options: Any) -> Callable[[Path, Report], FoundBoundaries]:
    """The look of a :class:`BoundaryDetector`, for other processes."""
    return BoundaryDetector(*arguments, **options).look


def show_boundaries(sources: Sources, detector: BoundaryDetector, wanted: Wanted, jobs: Jobs) -> int:
    """Find boundaries and write, print and draw them; returns the exit code."""
    from .pages import boundary_page, write_pages
    from .terminal import print_json

    found, failed = look_into(sources, detector.look, "Looking for boundaries", jobs)
    made = detector.settings()
    everything = {name: each.boundaries for name, each in found.items()}
    shown = {name: wanted.enough(boundaries) for name, boundaries in everything.items()}
    if wanted.output is not None:
        write_boundaries_json(wanted.output, everything, {name: each.duration for name, each in found.items()}, **made)
    if wanted.csv is not None:
        write_boundaries_csv(wanted.csv, everything)
    if wanted.html is not None:
        pages = (boundary_page(name, sources.film(name), each, shown[name]) for name, each in found.items())
        told = {**made, "scores": "a part has that of the boundary which begins it"}
        write_pages(wanted.html, "Boundaries in", pages, list(found), told)
    if wanted.json:
        print_json(as_json(everything))
    else:
        for name, each in found.items():
            print_boundaries(name, each, shown[name], wanted.most)
    return report_end(wanted.files, failed)


def print_boundaries(name: str, found: FoundBoundaries, shown: Sequence[Boundary], most: int) -> None:
    """The table of one video: the ``most`` clearest of the boundaries ``shown``, in order of time."""
    from .terminal import print_table

    best = sorted(shown, key=lambda boundary: -(boundary.score or 0.0))[:most]
    rows = [(f"{b.time:.2f}", b.score or 0.0) for b in sorted(best, key=lambda boundary: boundary.time)]
    said = [f"Damaged: {text}" for text in found.damage]
    if not shown:
        said.append("Nothing stands out: no boundary.")
    if len(shown) > most:
        said.append(f"{len(shown) - most} more; raise --most, or see the files.")
    if found.effort.total > 0:
        said.append(f"{found.duration:.1f} s of video in {found.effort.total:.1f} s.")
    print_table(name, ("boundary [s]", "score"), rows, note=" ".join(said))


def as_json(found: Mapping[str, Sequence[Boundary]]) -> dict[str, object]:
    """What ``--json`` prints: the layout of the file."""
    rows = {name: [{"time": b.time, "score": b.score} for b in each] for name, each in found.items()}
    return {"version": FORMAT, "boundaries": rows}
