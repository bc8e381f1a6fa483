"""Looking at files that are no longer whole: an answer and a word on the damage, or an error that disturbs no other."""

from __future__ import annotations

import warnings
from pathlib import Path

import av
import pytest
import torch

from kinoscope.arnet.engine import Job, Seen
from kinoscope.errors import DamagedVideoWarning, VideoError

from ..video.test_damage import front_header
from . import made


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """Frames 20 to 23 of 45 are nothing but zeros."""
    path = made.flicker(tmp_path / "v.mkv", 45, codec="mjpeg", pixels="yuvj420p", gop=1, b_frames=0, color_range="pc")
    with av.open(str(path)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    content = path.read_bytes()
    for packet in packets[20:24]:
        content = content.replace(packet, bytes(len(packet)))
    path.write_bytes(content)
    return path


def test_lost_frames_give_an_answer_and_are_told(damaged: Path) -> None:
    recognizer, _ = made.scripted([3] * 22)
    recognizer = made.model(recognizer.options, seed=5)
    found = recognizer.recognize(damaged)
    assert len(found.damage) == 1 and "frames cannot be decoded" in found.damage[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DamagedVideoWarning)
        logits, decisions = made.dense(recognizer, damaged)
    assert [step.action for step in found.steps] == decisions.taken[0].argmax(1).tolist()
    torch.testing.assert_close(torch.from_numpy(found.logits).float(), logits, atol=1e-4, rtol=0)


def test_a_file_that_ends_early(tmp_path: Path) -> None:
    path = front_header(made.flicker(tmp_path / "v.mp4", 45))
    path.write_bytes(path.read_bytes()[: int(0.8 * path.stat().st_size)])
    found = made.model().recognize(path)
    assert found.damage and "missing" in found.damage[0]
    assert found.probabilities.sum() == pytest.approx(1)


def test_what_cannot_be_read_disturbs_no_other(tmp_path: Path) -> None:
    recognizer = made.model()
    good = [made.flicker(tmp_path / f"{n}.mp4", 20, seed=n) for n in range(2)]
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    paths = [good[0], tmp_path / "bad.mp4", tmp_path / "gone.mp4", good[1]]
    first, bad, gone, second = recognizer.recognize_all(paths)
    assert isinstance(bad, VideoError) and bad.where == paths[1]
    assert isinstance(gone, VideoError) and "no such file" in str(gone)
    for path, found in ((good[0], first), (good[1], second)):
        assert not isinstance(found, VideoError)
        torch.testing.assert_close(found.logits, recognizer.recognize(path).logits, atol=1e-5, rtol=0)
    with pytest.raises(VideoError, match="no such file"):
        recognizer.recognize(paths[2])
    assert isinstance(recognizer.recognize_all(paths[:2], budget="1mmac")[1], VideoError)
    assert recognizer.engine.run([]) == []


def test_a_file_that_fails_on_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its error takes the place of its answer, and the other video's answer is what it always is."""
    from kinoscope.video.access import FramePicker

    recognizer = made.model()
    paths = [made.flicker(tmp_path / f"{n}.mp4", 30, seed=n) for n in range(2)]
    (whole,) = recognizer.engine.run([Job(paths[1], paths[1].name)])
    pick, broken = FramePicker.__call__, []

    def fails(self: FramePicker, position: int) -> av.VideoFrame:
        if self._decoder.path == paths[0] and position > 10:
            broken.append(position)
            raise VideoError("went away", where=paths[0])
        return pick(self, position)

    monkeypatch.setattr(FramePicker, "__call__", fails)
    failed, other = recognizer.engine.run([Job(path, path.name) for path in paths])
    assert isinstance(failed, VideoError) and len(set(broken)) == 1
    assert isinstance(other, Seen) and isinstance(whole, Seen)
    torch.testing.assert_close(other.logits, whole.logits, atol=1e-5, rtol=0)
