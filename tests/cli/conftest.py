from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from kinoscope.cli.main import main

from ..encoders import tiny

LABELS = """video,start,end,label,split
videos/0.mp4,1.0,3.0,fall,train
videos/1.mp4,1.5,3.5,fall,train
videos/1.mp4,4.0,5.0,sit,train
videos/2.mp4,2.0,4.0,sit,test
"""


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str


Run = Callable[..., Answer]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command in this process, with tiny encoders in the catalogue."""
    tiny.install(monkeypatch)

    def call(*words: object) -> Answer:
        capsys.readouterr()
        code = main([str(word) for word in words])
        return Answer(code, *capsys.readouterr())

    return call


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with three videos and their labels."""
    for number in range(3):
        tiny.film(tmp_path / "videos" / f"{number}.mp4", 60, seed=number)
    (tmp_path / "labels.csv").write_text(LABELS)
    monkeypatch.chdir(tmp_path)
    return tmp_path
