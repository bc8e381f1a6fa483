"""What an evaluation tells: the numbers, what they were computed from, and every reason why they may be low."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .arrays import ArrayScores
from .matching import Floats, Ints, SegmentTable
from .precision import class_bounds, precision_at
from .protocols import Protocol

NOT_TOLD = "not told"


@dataclass(frozen=True)
class Reason:
    """Something that changed the score or was left out of it."""

    kind: str
    """A fixed word for programs: ``missing_video``, ``unknown_label``, …"""
    count: int
    text: str
    """One sentence for people, with the nearest known names."""
    names: tuple[str, ...] = ()
    """All videos or labels concerned."""
    cure: str = ""
    """What to do, where something is clearly wrong: such a reason is told first, as a warning."""

    @property
    def sentence(self) -> str:
        """With the cure, on one line."""
        return f"{self.text}. Cure: {self.cure}" if self.cure else self.text

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**vars(self), "names": list(self.names)}


@dataclass(frozen=True)
class DetectionResult:
    """tIoU-mAP of predictions under a protocol. K classes, T thresholds, P scored predictions, G true segments."""

    protocol: Protocol
    subset: str | None
    """The part of the ground truth that was scored; None for everything."""
    classes: tuple[str, ...]
    """Classes with true segments in that part; only these count."""
    videos: tuple[str, ...]
    """Names behind the ``video`` indices of the tables: videos of the ground truth, and others that were predicted."""
    known: np.ndarray
    """Whether each of ``videos`` is in the scored ground truth. Shape: [V]."""
    predictions: SegmentTable
    ground_truth: SegmentTable
    scores: ArrayScores
    reasons: tuple[Reason, ...] = ()
    proposals: SegmentTable | None = None
    """All predictions, also those whose label is no class (-1): what they are called does not matter to proposals."""
    durations: Mapping[str, float] = field(default_factory=dict)
    """Seconds of the scored videos, as far as the ground truth tells."""
    class_agnostic: bool = False
    """Whether the predictions are proposals: all have the same label, which is no class, or none."""
    classifier: str = NOT_TOLD
    """What gave class-agnostic segments their labels, in words, as the file of predictions tells."""

    @property
    def thresholds(self) -> tuple[float, ...]:
        """tIoU thresholds of the protocol."""
        return self.protocol.thresholds

    @property
    def ap(self) -> Floats:
        """Average precision per class and threshold. Shape: [K, T]."""
        return self.scores.ap

    @property
    def map(self) -> Floats:
        """Mean average precision per threshold. Shape: [T]."""
        return self.scores.map

    @property
    def average_map(self) -> float:
        """Mean of :attr:`map` over the thresholds: the headline."""
        return float(self.map.mean())

    @property
    def matches(self) -> Ints:
        """Row in ``ground_truth`` that each prediction found at each threshold, -1 for none. Shape: [P, T]."""
        return self.scores.matches

    @property
    def tie_share(self) -> float:
        """Share of predictions whose score occurs again in their class."""
        return self.scores.tie_share

    @property
    def scored_videos(self) -> tuple[str, ...]:
        """The video list: names of the scored ground truth, sorted."""
        return tuple(name for name, known in zip(self.videos, self.known, strict=True) if known)

    @property
    def video_list_hash(self) -> str:
        """16 hexadecimal digits that change with the list of scored videos; numbers compare only if they agree."""
        return hashlib.sha256("\n".join(self.scored_videos).encode()).hexdigest()[:16]

    def precision_curves(self, recalls: Floats) -> Floats:
        """Interpolated precision, mean over classes, at each threshold and recall. Shape: [R] -> [T, R]."""
        ranking = self.scores.ranking
        found = self.matches[ranking] >= 0  # [P, T]
        bounds = class_bounds(self.predictions.label[ranking], len(self.classes))
        curves = np.zeros((len(self.thresholds), len(recalls)))
        for label, positives in enumerate(self.scores.positives.tolist()):
            rows = found[bounds[label] : bounds[label + 1]]
            curves += [precision_at(column, positives, recalls) for column in rows.T]
        return np.asarray(curves / max(1, len(self.classes)))

    def table(self) -> list[dict[str, Any]]:
        """One row per class, then the mean; keys: ``class``, ``segments``, each threshold, ``average``."""
        rows = [
            self._row(name, int(count), values)
            for name, count, values in zip(self.classes, self.scores.positives, self.ap, strict=True)
        ]
        return [*rows, self._row("mean", len(self.ground_truth), self.map)]

    def basis(self) -> dict[str, Any]:
        """What any number from here rests on, as plain values for JSON: protocol, videos, reasons."""
        return {
            "protocol": self.protocol.to_dict(),
            "subset": self.subset,
            "videos": len(self.scored_videos),
            "video_list_hash": self.video_list_hash,
            "video_list": {
                "videos": len(self.scored_videos),
                "named_by_protocol": self.protocol.listed,
                "blocked": list(self.protocol.blocked),
                "hash": self.video_list_hash,
            },
            "classifier": self.classifier,
            "segments": len(self.ground_truth),
            "reasons": [reason.to_dict() for reason in self.reasons],
        }

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values for JSON; average precision as a fraction, thresholds as text keys."""
        return {
            **self.basis(),
            "average_mAP": self.average_map,
            "mAP": {f"{threshold:g}": float(value) for threshold, value in zip(self.thresholds, self.map, strict=True)},
            "classes": self.table()[:-1],
            "predictions": len(self.predictions),
            "tie_share": self.tie_share,
        }

    def _row(self, name: str, segments: int, values: Floats) -> dict[str, Any]:
        by_threshold = {
            f"{threshold:g}": float(value) for threshold, value in zip(self.thresholds, values, strict=True)
        }
        return {"class": name, "segments": segments, **by_threshold, "average": float(np.mean(values))}
