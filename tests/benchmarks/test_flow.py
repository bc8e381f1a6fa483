"""The flow benchmark on a clip small enough for TV-L1."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import flow

from ..video.moving import film, moving


def test_every_algorithm_has_a_row(tmp_path: Path) -> None:
    pytest.importorskip("cv2")
    rows = flow.compare(film(tmp_path / "v.mp4", moving(10, 2, -1, (48, 64)), crf="12"), rounds=1)
    assert [row["algorithm"] for row in rows] == list(flow.ALGORITHMS)
    by_name = {row["algorithm"]: row for row in rows}
    assert float(str(by_name["tvl1"]["motion px"])) == pytest.approx(5**0.5, abs=0.3)
    assert all(float(str(by_name[name]["from TV-L1 px"])) < 0.6 for name in ("dis", "farneback", "motion-vectors"))
    assert all(float(str(row["in all s/min"])) > 0 for row in rows)
