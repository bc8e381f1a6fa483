"""Extraction of one video: equal to encoding every clip on its own, whatever the stride, and never stuck."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kinoscope.encoders import Encoder, EncoderSpec, Sampling, extract_features
from kinoscope.encoders.extract import Effort, _FramePool
from kinoscope.encoders.prefetch import Prefetch
from kinoscope.errors import OptionError, VideoError
from kinoscope.video import clip_samples, open_video

from . import tiny

# --- pooling of frames ---------------------------------------------------------------------------------------------


class _Mean:
    """As much of an encoder as the pool needs."""

    def pool(self, frames: torch.Tensor) -> torch.Tensor:
        return frames.mean(dim=1)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 60), st.integers(1, 9), st.integers(1, 40), st.lists(st.integers(1, 9), min_size=1, max_size=5))
def test_pooling_in_pieces_equals_pooling_all(samples: int, length: int, stride: int, pieces: list[int]) -> None:
    clips = clip_samples(samples, length=length, stride=stride)  # [N, T]
    frames = torch.arange(samples, dtype=torch.float64)[:, None] ** 2  # [F, 1]
    pool, rows, begin = _FramePool(_Mean(), clips), [], 0  # type: ignore[arg-type]
    while begin < samples:
        size = pieces[len(rows) % len(pieces)]
        rows.append(pool.add(frames[begin : begin + size]))
        begin += size
        assert len(pool.frames) <= length + max(pieces)  # memory does not grow with the video
    expected = torch.stack([frames[clip].mean(dim=0) for clip in torch.from_numpy(clips)])
    torch.testing.assert_close(torch.cat(rows), expected)


# --- a real file, a tiny network -----------------------------------------------------------------------------------


def slowly(path: Path, encoder: Encoder, spec: EncoderSpec) -> np.ndarray:
    """Every clip cut out and encoded on its own."""
    with open_video(path) as video:
        frames = np.stack([frame for frame, _ in video.stream(size=spec.size, fps=spec.fps)])
    clips = clip_samples(len(frames), length=spec.clip_length, stride=spec.stride)
    with torch.inference_mode():
        return torch.cat([encoder(encoder.prepare(frames[clip][None])) for clip in clips]).numpy()


SAMPLINGS = [
    Sampling(),
    Sampling(clip_length=9, stride=3),
    Sampling(clip_length=8, stride=11),  # gaps between clips
    Sampling(clip_length=8, stride=50),  # gaps longer than what is encoded at once
    Sampling(clip_length=200, stride=7),  # longer than the video
    Sampling(fps=33.3, clip_length=13, stride=5, size=40),
    Sampling(fps=0.5),
]


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.film(tmp_path_factory.mktemp("films") / "film.mp4", 71, rate=10)


@pytest.mark.parametrize("sampling", SAMPLINGS, ids=str)
@pytest.mark.parametrize("spec", tiny.SPECS.values(), ids=tiny.SPECS)
def test_features_equal_those_of_each_clip(video: Path, spec: EncoderSpec, sampling: Sampling) -> None:
    encoder = tiny.built(spec)
    wanted = sampling.resolve(spec)
    features = extract_features(video, encoder, sampling)
    np.testing.assert_allclose(features.values, slowly(video, encoder, wanted), atol=1e-5)
    step = features.time
    assert (step.fps, step.stride, step.clip_length) == (wanted.fps, wanted.stride, wanted.clip_length)
    assert step.duration == pytest.approx(7.1) and features.weight_hash == spec.weights.hash


@pytest.mark.parametrize("frames", [1, 2, 7])
@pytest.mark.parametrize("spec", tiny.SPECS.values(), ids=tiny.SPECS)
def test_short_videos(tmp_path: Path, spec: EncoderSpec, frames: int) -> None:
    path, encoder = tiny.film(tmp_path / "short.avi", frames), tiny.built(spec)
    features = extract_features(path, encoder)
    assert len(features) >= 1
    np.testing.assert_allclose(features.values, slowly(path, encoder, spec), atol=1e-5)


def test_report_and_effort_add_up(video: Path) -> None:
    effort, seconds = Effort(), []
    extract_features(video, tiny.built(tiny.FRAMES), report=seconds.append, effort=effort)
    assert sum(seconds) == pytest.approx(7.1) == effort.video_seconds
    assert effort.total >= effort.encoding + effort.waiting - 1e-3 and min(vars(effort).values()) >= 0


def test_a_size_of_its_own_is_in_the_name(video: Path) -> None:
    assert extract_features(video, tiny.built(tiny.FRAMES), Sampling(size=40)).encoder == "tiny-frames"  # not listed
    with pytest.raises(OptionError, match="at least 32 pixels"):
        extract_features(video, tiny.built(tiny.FRAMES), Sampling(size=31))


def test_a_failing_network_stops_the_decoder(video: Path) -> None:
    class Broken(tiny.TinyFrames):
        def forward(self, frames: torch.Tensor) -> torch.Tensor:
            raise ZeroDivisionError

    before = threading.active_count()
    with pytest.raises(ZeroDivisionError):
        extract_features(video, Encoder(tiny.FRAMES, Broken()))
    assert threading.active_count() == before


def test_an_interruption_while_reporting_stops_the_decoder(video: Path) -> None:
    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        extract_features(video, tiny.built(tiny.FRAMES), report=interrupt)
    assert threading.active_count() == before


def test_no_video(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("this is no video")
    with pytest.raises(VideoError, match=r"text\.mp4"):
        extract_features(tmp_path / "text.mp4", tiny.built(tiny.FRAMES))


# --- the thread that works ahead -----------------------------------------------------------------------------------


def numbered(count: int, made: list[int], fail_at: int = -1) -> Iterator[np.ndarray]:
    for number in range(count):
        if number == fail_at:
            raise VideoError("broke")
        made.append(number)
        yield np.array([number])


def test_everything_arrives_in_order() -> None:
    with Prefetch(numbered(50, [])) as items:
        assert [int(item[0]) for item in items] == list(range(50))
    assert items.working > 0 and items.waiting >= 0


def test_an_error_in_the_producer_reaches_the_consumer() -> None:
    arrived = []
    with pytest.raises(VideoError, match="broke"), Prefetch(numbered(9, [], fail_at=3)) as items:
        arrived.extend(int(item[0]) for item in items)
    assert arrived in ([], [0, 1, 2])


def test_leaving_early_stops_the_thread_soon() -> None:
    made: list[int] = []
    with Prefetch(numbered(10**6, made)) as items:
        next(iter(items))
    assert not items._thread.is_alive()
    count = len(made)
    time.sleep(0.05)
    assert count == len(made) <= 6


def test_the_producer_does_not_run_away_from_a_slow_consumer() -> None:
    made: list[int] = []
    with Prefetch(numbered(100, made)) as items:
        for item in items:
            assert len(made) <= int(item[0]) + 6
