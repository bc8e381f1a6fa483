"""``kinoscope flow`` as its users see it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kinoscope.video.flow import flow_options_of

from ..video.moving import film, moving
from .conftest import Run


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with two videos in which everything moves."""
    (tmp_path / "videos").mkdir()
    for number in range(2):
        film(tmp_path / "videos" / f"{number}.mp4", moving(6, 2, 1 + number, (48, 64)), crf="12")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_folder_a_table_and_again(run: Run, there: Path) -> None:
    answer = run("flow", "videos", "--out", "flow", "--jobs", 1, "--preview")
    assert answer.code == 0
    assert "2 measured, 0 already there, 0 failed" in answer.out and "look at flow/0.preview.mp4" in answer.out
    for words in ("seconds of work per minute of video", "MB per minute of video", "frames without motion", "0.0%"):
        assert words in answer.out
    assert sorted(path.name for path in (there / "flow").iterdir()) == [
        "0.mkv",
        "0.preview.mp4",
        "1.mkv",
        "1.preview.mp4",
    ]
    again = run("flow", "videos", "--out", "flow")
    assert again.code == 0 and "0 measured, 2 already there" in again.out and "motion" not in again.out


def test_json_for_programs(run: Run, there: Path) -> None:
    options = ("--algorithm", "motion-vectors", "--size", 32, "--bound", 8, "--json")
    answer = run("flow", "videos/1.mp4", "--out", "flow", *options)
    found = json.loads(answer.out)
    assert answer.code == 0 and list(found["done"]) == ["1"] and not found["failed"]
    assert found["total"]["frames"] == 5 and found["total"]["clipped_share"] == 0
    made = flow_options_of(there / "flow" / "1.mkv")
    assert (made["algorithm"], made["size"], made["bound"]) == ("motion-vectors", 32, 8)


def test_it_says_what_stands_out(run: Run, there: Path) -> None:
    assert "raise --bound 1" in run("flow", "videos", "--out", "cut", "--bound", 1, "--jobs", 1).err
    film(there / "still.mp4", moving(5, 0, 0, (48, 64)))
    assert "Most frames equal the next one" in run("flow", "still.mp4", "--out", "still").err


def test_failures_are_told_and_stop_nothing(run: Run, there: Path) -> None:
    (there / "videos" / "0.mp4").write_text("no video")
    answer = run("flow", "videos", "--out", "flow", "--jobs", 1)
    assert answer.code == 1 and "1 measured, 0 already there, 1 failed" in answer.out
    assert "failed: videos/0.mp4: cannot be opened as a video" in answer.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--out", "videos/flow"], "lies in the folder of videos"),
        (["--out", "videos"], "lies in the folder of videos"),
        (["--out", "flow", "--bound", "0"], "bound is 0"),
        (["--out", "flow", "--jobs", "0"], "jobs is 0"),
        (["--out", "flow", "--algorithm", "raft"], "raft"),
        ([], "out"),
    ],
)
def test_wrong_options(words: list[str], message: str, run: Run, there: Path) -> None:
    answer = run("flow", "videos", *words)
    assert answer.code == 2 and message in answer.err and "Cure" in answer.err and "Traceback" not in answer.err
    assert sorted(path.name for path in there.iterdir()) == ["videos"]


def test_other_options_and_foreign_files_need_overwriting(run: Run, there: Path) -> None:
    run("flow", "videos", "--out", "flow", "--jobs", 1)
    answer = run("flow", "videos", "--out", "flow", "--algorithm", "motion-vectors", "--jobs", 1)
    assert answer.code == 2 and "flow/0.mkv" in answer.err and "--overwrite" in answer.err
    again = run("flow", "videos", "--out", "flow", "--algorithm", "motion-vectors", "--jobs", 1, "--overwrite")
    assert again.code == 0 and "2 measured" in again.out
    (there / "other").mkdir()
    film(there / "other" / "0.mkv", moving(3, 1, 1, (48, 64)))
    assert "is in the way" in run("flow", "videos", "--out", "other", "--jobs", 1).err
