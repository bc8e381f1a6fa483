"""The benchmark of the input pipeline: every setting is measured, and its shares add up."""

from __future__ import annotations

from pathlib import Path

from benchmarks.input_pipeline import WORKERS, Measured, rows
from kinoscope.clips.reader import ClipOptions, Clips
from tests.video.made_videos import make


def test_every_setting_is_measured_and_the_warm_up_is_not_counted(tmp_path: Path) -> None:
    videos = {"a": make(tmp_path / "a.mp4", 20)}
    clips = Clips(videos, ("rgb", "flow"), ClipOptions(frames=4, fps=15.0, size=36, decode_size=36))
    clips.prepare(quiet=True)
    measured = Measured("decoded each time", clips, 1)
    for turn in range(2):
        measured.round(turn)
    assert {workers: len(each) for workers, each in measured.seconds.items()} == dict.fromkeys(WORKERS, 1)
    line = rows(4, 36, [measured], 0.5)[0]
    assert line["× decoded"] == "1.00"
    parts = [measured.share(part) for part in ("decoding", "motion", "augmenting")]
    assert min(parts) > 0
    assert sum(parts) < 1
