"""The benchmark of search measures what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import search

pytest.importorskip("faiss", reason="faiss is not installed")


def test_every_engine_has_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KINOSCOPE_CACHE", str(tmp_path))
    monkeypatch.setattr(search, "QUERIES", 5)
    lines = search.measure(1000, 16)
    assert [line["engine"] for line in lines] == ["exact, moments", "faiss, moments", "exact, 2 whole videos"]
    assert float(str(lines[1]["recall@10"])) >= 0.8 and lines[0]["recall@10"] == "1.000"
