"""Random cases that are small and nasty: ties, repeated segments, touching ends, no length."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from kinoscope.evaluate.matching import SegmentTable

from .twin import Row

THRESHOLDS = [0.1, 0.3, 0.5, 0.75, 1.0]

_times = st.one_of(st.integers(0, 8).map(float), st.floats(0, 8, width=16))
_scores = st.one_of(st.sampled_from([0.1, 0.5, 0.9]), st.floats(-2, 2, width=16))


@st.composite
def rows(draw: st.DrawFn, *, videos: int = 3, classes: int = 3, most: int = 14, scored: bool = True) -> list[Row]:
    def row() -> Row:
        start, end = sorted((draw(_times), draw(_times)))
        video, label = draw(st.integers(0, videos - 1)), draw(st.integers(0, classes - 1))
        return Row(video, label, start, end, draw(_scores) if scored else 0.0)

    return [row() for _ in range(draw(st.integers(0, most)))]


def random_rows(rng: np.random.Generator, count: int, *, videos: int, classes: int, digits: int) -> list[Row]:
    """Times on a grid and scores of few digits, so that ties and equal overlaps are common."""
    start = rng.integers(0, 12, count) / 2
    length = rng.integers(0, 8, count) / 2  # some have no length
    score = rng.random(count).round(digits)
    columns = (rng.integers(0, videos, count), rng.integers(0, classes, count), start, start + length, score)
    return [Row(*values) for values in zip(*(column.tolist() for column in columns), strict=True)]


def table(found: list[Row], *, scored: bool = True) -> SegmentTable:
    video, label, start, end, score = zip(*found, strict=True) if found else ((), (), (), (), ())
    return SegmentTable(
        np.array(video, dtype=np.int64),
        np.array(label, dtype=np.int64),
        np.array(start, dtype=np.float64),
        np.array(end, dtype=np.float64),
        np.array(score, dtype=np.float64) if scored else None,
    )


def medium() -> tuple[SegmentTable, SegmentTable]:
    """The recipe of the vector ``medium_random``."""
    r = np.random.default_rng(20240607)
    gt_video, gt_class = r.integers(0, 30, 150), r.integers(0, 5, 150)
    gt_start, gt_length = r.uniform(0, 180, 150), r.uniform(2, 20, 150)
    b, js, je, fl = r.integers(0, 150, 1500), r.normal(0, 3, 1500), r.normal(0, 3, 1500), r.random(1500)
    nc, nv, u = r.integers(0, 5, 1500), r.integers(0, 30, 1500), r.random(1500)
    start = gt_start[b] + js
    end = np.maximum(gt_start[b] + gt_length[b] + je, start + 0.5)
    score = 0.5 * u + 0.5 * np.exp(-(np.abs(js) + np.abs(je)) / 4)
    video, label = np.where(fl > 0.9, nv, gt_video[b]), np.where(fl < 0.2, nc, gt_class[b])
    return SegmentTable(video, label, start, end, score), SegmentTable(
        gt_video, gt_class, gt_start, gt_start + gt_length
    )
