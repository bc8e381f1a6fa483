"""Pictures of many videos, read when asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from kinoscope.report.strips import VideoStrips

from .conftest import SECONDS, Sample


def test_pictures_are_spread_over_the_part_that_is_meant(sample: Sample) -> None:
    strips = VideoStrips([sample.path, sample.path], [None, (2.0, 4.0)], count=4, height=48)
    assert [each.time for each in strips(0)] == [SECONDS * share for share in (1 / 8, 3 / 8, 5 / 8, 7 / 8)]
    assert [each.time for each in strips(1)] == [2.25, 2.75, 3.25, 3.75]
    assert all(each.jpeg.startswith(b"\xff\xd8") for each in strips(1))
    assert strips(1) is strips(1)  # kept


def test_a_video_that_cannot_be_read_has_no_pictures(tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"not a video")
    strips = VideoStrips([None, tmp_path / "bad.mp4", tmp_path / "gone.mp4"])
    assert [strips(video) for video in range(3)] == [(), (), ()]


def test_a_part_for_every_video_or_none(sample: Sample) -> None:
    with pytest.raises(ValueError, match="1 spans for 2 videos"):
        VideoStrips([sample.path, None], [(0.0, 1.0)])
