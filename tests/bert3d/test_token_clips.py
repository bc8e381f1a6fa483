"""Rows of features as tokens of clips: which rows a stretch is, windows, padding, means and deviations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kinoscope.bert3d.token_clips import moments, read_token_clips, row_span, row_times, window_batch, windows
from kinoscope.data.features import Features, FeatureTime, read_features, write_features
from kinoscope.data.labelled_clips import video_of
from kinoscope.errors import AnnotationError, FeatureError

from .made import TIME, clip

NUMBERS = np.zeros(1, dtype=np.int64)


def features(rows: int = 8, duration: float | None = 4.5) -> Features:
    """Row ``i`` is full of ``i``; their middles are 0.5, 1.0, 1.5 … seconds."""
    time = FeatureTime(TIME.fps, TIME.stride, TIME.clip_length, duration=duration)
    return Features(np.repeat(np.arange(rows, dtype=np.float32)[:, None], 3, axis=1), time)


def test_rows_whose_middle_lies_in_the_stretch() -> None:
    video = features()
    assert row_span(video, None, None) == (0, 8)
    assert row_span(video, 0.9, 2.1) == (1, 4)
    assert row_span(video, 1.0, 2.0) == (1, 3), "the end is open"
    assert row_span(video, 0, 100) == (0, 8)


@pytest.mark.parametrize(("span", "row"), [((1.1, 1.2), 1), ((1.3, 1.4), 2), ((0, 0.1), 0), ((30, 40), 7)])
def test_a_stretch_between_two_rows_is_the_nearest(span: tuple[float, float], row: int) -> None:
    assert row_span(features(), *span) == (row, row + 1)


def test_segments_give_their_own_rows() -> None:
    clips = [clip("v#1", "a", span=(0.9, 2.1)), clip("v#2", "b", span=(2.9, 5)), clip("w", "a")]
    found = read_token_clips(clips, {"v": features(), "w": features(5)}, np.array([0, 1, 0]))
    assert [rows[:, 0].tolist() for rows in found.rows] == [[1, 2, 3], [5, 6, 7], [0, 1, 2, 3, 4]]
    assert len(found) == 3 and found.longest == 5 and [video_of(each) for each in clips] == ["v", "v", "w"]


def test_segments_beyond_the_video_are_refused() -> None:
    with pytest.raises(AnnotationError, match=r"'v#1' runs from 50 to 60 s, but the video ends at 4.5 s"):
        read_token_clips([clip("v#1", "a", span=(50, 60))], {"v": features()}, NUMBERS)


def test_the_digest_knows_every_number() -> None:
    one, same, other = (read_token_clips([clip("v", "a")], {"v": features()}, NUMBERS) for _ in range(3))
    other.rows[0][2, 1] += 1e-3
    assert one.digest() == same.digest() != other.digest()


def test_names_with_a_number_sign_are_names() -> None:
    whole = clip("#20_Rhythm_clap", "clap")
    assert video_of(whole) == "#20_Rhythm_clap"
    segment = clip("#20_Rhythm_clap#3", "clap", span=(0, 1))
    assert video_of(segment) == "#20_Rhythm_clap"


def test_features_that_are_missing_or_broken() -> None:
    with pytest.raises(FeatureError, match=r"no features of 'v'(.|\n)*--encoder NAME"):
        read_token_clips([clip("v#1", "a", span=(0, 1))], {"w": features()}, NUMBERS)
    broken = features()
    broken.values[3, 1] = np.nan
    with pytest.raises(FeatureError, match="v: 1 of 8 rows hold NaN or infinity, the first is row 3"):
        read_token_clips([clip("v", "a")], {"v": broken}, NUMBERS)
    with pytest.raises(FeatureError, match="v: features have no row"):
        read_token_clips([clip("v", "a")], {"v": Features(np.empty((0, 3), np.float32), TIME)}, NUMBERS)


def test_rows_stay_on_disk_until_they_are_looked_at(tmp_path: Path) -> None:
    write_features(tmp_path / "v.safetensors", features())
    mapped = read_features(tmp_path / "v.safetensors", mapped=True)
    (rows,) = read_token_clips([clip("v#1", "a", span=(0.9, 2.1))], {"v": mapped}, NUMBERS).rows
    assert np.shares_memory(rows, mapped.values)


def test_when_rows_were_seen() -> None:
    """No longer than a step nor than what the row saw, around the middle, and within the video."""
    assert row_times(features(), 1, 3).tolist() == [[0.75, 1.25], [1.25, 1.75]]
    assert row_times(features(duration=1.1), 1, 3).tolist() == [[0.75, 1.1], [1.1, 1.1]]
    assert row_times(features(duration=None), 7, 8).tolist() == [[3.75, 4.25]]
    short = Features(np.zeros((2, 3), np.float32), FeatureTime(fps=10, stride=10, clip_length=2))
    assert row_times(short, 0, 2).ravel().tolist() == pytest.approx([0, 0.2, 1, 1.2])


@given(rows=st.integers(1, 200), tokens=st.integers(1, 40))
def test_windows_tile_a_clip(rows: int, tokens: int) -> None:
    found = [range(rows)[window] for window in windows(rows, tokens)]
    assert {row for window in found for row in window} == set(range(rows))
    assert all(len(window) == min(rows, tokens) for window in found) and len(found) == -(-rows // tokens)
    (centre,) = windows(rows, tokens, "centre")
    left, right = range(rows)[centre].start, rows - range(rows)[centre].stop
    assert 0 <= right - left <= 1


def test_padding_is_behind_and_told() -> None:
    tokens, mask = window_batch([np.ones((2, 3), np.float16), np.full((4, 3), 2.0)])
    assert tokens.dtype == torch.float32 and tokens[:, :, 0].tolist() == [[1, 1, 0, 0], [2, 2, 2, 2]]
    assert mask is not None and mask.tolist() == [[True, True, False, False], [True] * 4]
    assert window_batch([np.ones((2, 3)), np.ones((2, 3))])[1] is None


@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=5), seed=st.integers(0, 99), offset=st.integers(0, 999))
def test_moments_are_those_of_all_rows_together(lengths: list[int], seed: int, offset: int) -> None:
    rng = np.random.default_rng(seed)
    rows = [(offset + rng.normal(size=(length, 4))).astype(np.float32) for length in lengths]
    mean, deviation = moments(rows)
    every = np.concatenate(rows).astype(np.float64)
    np.testing.assert_allclose(mean, every.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(deviation, every.std(axis=0), atol=2e-4)


def test_moments_of_half_precision_do_not_overflow() -> None:
    mean, deviation = moments([np.full((5000, 2), 60_000, np.float16)])
    assert mean.tolist() == pytest.approx([60_000] * 2, rel=1e-3) and deviation.max() < 1


def test_of_very_many_rows_some_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [np.random.default_rng(n).normal(5, 2, (1000, 3)).astype(np.float32) for n in range(4)]
    exact = moments(rows)
    monkeypatch.setattr("kinoscope.bert3d.token_clips._SAMPLED", 3000)
    for found, expected in zip(moments(rows), exact, strict=True):
        assert not torch.equal(found, expected)
        torch.testing.assert_close(found, expected, atol=0.3, rtol=0)
