"""Made features and annotations for the probes: videos with one or two actions, and features that know them or not."""

from __future__ import annotations

import numpy as np

from kinoscope.data.features import Features, FeatureTime
from kinoscope.data.segments import Annotations, Segment, VideoAnnotation

TIME = FeatureTime(fps=4, stride=1, clip_length=1)
ROWS = 60  # 15 seconds


def annotations(videos: int = 20, *, split: bool = True, seed: int = 0) -> Annotations:
    """Every fourth video holds nothing; of the others every second one goes to the test part."""
    rng = np.random.default_rng(seed)
    found = {}
    for number in range(videos):
        starts = rng.uniform([1, 8], [3, 9]) if number % 4 else []
        segments = tuple(Segment(float(start), float(start + rng.uniform(2, 4)), "x") for start in starts)
        subset = ("train", "test")[number % 2] if split else None
        found[f"v{number:02}"] = VideoAnnotation(segments, subset=subset)
    return Annotations(found)


def features(truth: Annotations, *, signal: float, width: int = 6, seed: int = 0) -> dict[str, Features]:
    """Noise, and in channel 0 the truth, ``signal`` times."""
    rng = np.random.default_rng(seed)
    made = {}
    for name, video in truth.videos.items():
        values = rng.normal(size=(ROWS, width))
        for row, center in enumerate(TIME.centers(ROWS)):
            values[row, 0] += signal * any(s.start <= center < s.end for s in video.segments)
        made[name] = Features(values.astype(np.float32), TIME)
    return made
