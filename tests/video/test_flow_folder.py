"""Folders of flow: several videos at a time, resumed, with failures told and nothing lost."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kinoscope.errors import Interrupted, OptionError, OutputError
from kinoscope.video import open_video
from kinoscope.video.flow import FlowOptions, flow_folder, flow_path
from kinoscope.video.flow import folder as folder_module
from kinoscope.video.flow.preview import preview_path

from .moving import film, moving


@pytest.fixture
def videos(tmp_path: Path) -> dict[str, Path]:
    """Three videos, one of them in a sub-folder and with a dot in its name."""
    (tmp_path / "videos" / "sub").mkdir(parents=True)
    paths = {name: tmp_path / "videos" / f"{name}.mp4" for name in ("a", "b", "sub/c.1")}
    for step, path in enumerate(paths.values()):
        film(path, moving(6, 1 + step, 0, (48, 64)), crf="12")
    return paths


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_video_gets_a_file_and_a_second_run_does_nothing(
    jobs: int, videos: dict[str, Path], tmp_path: Path
) -> None:
    outcome = flow_folder(videos, tmp_path / "flow", jobs=jobs)
    assert sorted(outcome.done) == sorted(videos) and not outcome.skipped and not outcome.failed
    assert files(tmp_path / "flow") == ["a.mkv", "b.mkv", "sub/c.1.mkv"]
    motion = [outcome.done[name].mean_motion for name in videos]
    assert motion == pytest.approx([1, 2, 3], rel=0.25)
    total = outcome.total()
    assert (total.frames, total.seconds) == (15, pytest.approx(0.72))
    assert total.mean_motion == pytest.approx(sum(motion) / 3)

    before = [flow_path(tmp_path / "flow", name).stat().st_mtime_ns for name in videos]
    again = flow_folder(videos, tmp_path / "flow", jobs=jobs)
    assert not again.done and sorted(again.skipped) == sorted(videos) and again.total().frames == 0
    assert [flow_path(tmp_path / "flow", name).stat().st_mtime_ns for name in videos] == before


def test_the_number_of_jobs_changes_nothing(videos: dict[str, Path], tmp_path: Path) -> None:
    for jobs in (1, 2):
        flow_folder(videos, tmp_path / str(jobs), jobs=jobs)
    for name in videos:
        with open_video(flow_path(tmp_path / "1", name)) as one, open_video(flow_path(tmp_path / "2", name)) as two:
            for (left, _), (right, _) in zip(one.stream(), two.stream(), strict=True):
                assert (left == right).all()


def test_what_broke_off_or_changed_is_made_again(videos: dict[str, Path], tmp_path: Path) -> None:
    flow_folder(videos, tmp_path / "flow", jobs=1)
    broken = flow_path(tmp_path / "flow", "a")
    broken.write_bytes(broken.read_bytes()[:-100])
    film(videos["b"], moving(4, 3, 0, (48, 64)))
    outcome = flow_folder(videos, tmp_path / "flow", jobs=1)
    assert sorted(outcome.done) == ["a", "b"] and outcome.skipped == ["sub/c.1"]
    assert outcome.done["b"].frames == 3


def test_other_options_need_overwriting(videos: dict[str, Path], tmp_path: Path) -> None:
    flow_folder(videos, tmp_path / "flow", jobs=1)
    options = FlowOptions("farneback")
    with pytest.raises(OutputError, match="made with other options: algorithm dis"):
        flow_folder(videos, tmp_path / "flow", options, jobs=1)
    assert len(flow_folder(videos, tmp_path / "flow", options, jobs=1, overwrite=True).done) == 3


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_video_that_fails_stops_nothing(jobs: int, videos: dict[str, Path], tmp_path: Path) -> None:
    videos["b"].write_bytes(b"no video" * 100)
    cut = film(tmp_path / "videos" / "cut.ts", moving(40, 2, 1, (48, 64)))
    cut.write_bytes(cut.read_bytes()[: int(cut.stat().st_size * 0.7)])
    gone = {"gone": tmp_path / "videos" / "gone.mp4"}
    outcome = flow_folder({**gone, **videos, "cut": cut}, tmp_path / "flow", jobs=jobs)
    assert sorted(outcome.done) == ["a", "cut", "sub/c.1"] and outcome.done["cut"].frames < 39
    assert outcome.failed[str(gone["gone"])] == "there is no such file"
    assert "cannot be opened" in outcome.failed[str(videos["b"])]
    assert set(outcome.damaged) <= {str(cut)}
    assert files(tmp_path / "flow") == ["a.mkv", "cut.mkv", "sub/c.1.mkv"]


def test_films_also_of_flow_that_is_there(videos: dict[str, Path], tmp_path: Path) -> None:
    flow_folder(videos, tmp_path / "flow", jobs=1)
    outcome = flow_folder(videos, tmp_path / "flow", jobs=1, preview=True)
    assert not outcome.done and len(outcome.skipped) == len(outcome.previews) == 3
    assert preview_path(flow_path(tmp_path / "flow", "sub/c.1")) == tmp_path / "flow" / "sub" / "c.1.preview.mp4"
    for path in outcome.previews:
        with open_video(path) as shown:
            assert (len(shown), shown.size) == (5, (48, 128))
    assert not flow_folder(videos, tmp_path / "flow", jobs=1, preview=True).previews


def test_ctrl_c_keeps_what_is_finished(
    videos: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def note(outcome: object, task: object, result: object) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(folder_module, "_note", note)
    with pytest.raises(Interrupted, match="finished videos are kept"):
        flow_folder(videos, tmp_path / "flow", jobs=1)
    assert files(tmp_path / "flow") == ["a.mkv"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals differ")
def test_ctrl_c_stops_the_workers_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    for name in "abcd":
        film(tmp_path / f"{name}.mp4", moving(150, 1, 1, (96, 128)))
    script = (
        "from pathlib import Path\n"
        "from kinoscope.errors import Interrupted\n"
        "from kinoscope.video.flow import FlowOptions, flow_folder\n"
        "if __name__ == '__main__':\n"
        "    try: flow_folder({n: Path(n + '.mp4') for n in 'abcd'}, 'flow', FlowOptions('tvl1'), jobs=2)\n"
        "    except Interrupted as error: print(error)\n"
    )
    (tmp_path / "run.py").write_text(script)
    running = subprocess.Popen([sys.executable, "run.py"], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 120
        while len(list(tmp_path.glob("flow/.*"))) < 2 and running.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)  # until both workers write
        running.send_signal(signal.SIGINT)
        out, _ = running.communicate(timeout=120)
    finally:
        running.kill()
    assert "stopped; finished videos are kept" in out and running.returncode == 0
    assert not list(tmp_path.glob("flow/*.mkv")) and not list(tmp_path.glob("flow/.*"))


def test_what_is_wrong_from_the_start(videos: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="jobs is 0"):
        flow_folder(videos, tmp_path / "flow", jobs=0)
    with pytest.raises(OptionError, match="lies in the folder for the flow"):
        flow_folder(videos, tmp_path / "videos")
    with pytest.raises(OptionError, match="algorithm is 'raft'"):
        flow_folder(videos, tmp_path / "flow", FlowOptions("raft"))  # type: ignore[arg-type]
    (tmp_path / "flow").write_text("a file")
    with pytest.raises(OutputError, match="cannot be written"):
        flow_folder(videos, tmp_path / "flow")
