"""When a segment of a stream is told; no PyTorch needed to read this."""

from __future__ import annotations

from dataclasses import dataclass

from .options import between


@dataclass(frozen=True)
class OnlineOptions:
    """When a segment is told."""

    candidate_score: float = 0.1
    """Candidates must score more than this."""
    same_overlap: float = 0.3
    """tIoU from which two candidates of a class are one: the better is told, the other never."""
    patience: float = 0.0
    """Seconds to wait after a segment's end for a better candidate."""

    def __post_init__(self) -> None:
        between("candidate_score", self.candidate_score, 0.0, 1.0)
        between("same_overlap", self.same_overlap, 1e-6, 1.0)
        between("patience", self.patience, 0.0, 1e6)
