"""Localisation without training: closed forms, and what must hold for any curve."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinoscope.data.features import FeatureTime
from kinoscope.data.segments import Annotations, Segment, VideoAnnotation
from kinoscope.errors import FeatureError, OptionError
from kinoscope.evaluate import evaluate_detection
from kinoscope.localize.from_scores import ScoreOptions, segments_from_scores, smooth

PLAIN = ScoreOptions(smoothing="none", high=0.5, low=0.25, merge_gap=0, min_duration=0, overlap=None)
ONE_HERTZ = FeatureTime(fps=10, stride=10, clip_length=10, duration=100)  # row i is centred at i + 0.5 s


def spans(*args):
    return [(segment.start, segment.end) for segment in sorted(segments_from_scores(*args), key=lambda s: s.start)]


def column(*values):
    return np.array(values, dtype=float)[:, None]


def test_a_triangle_is_cut_where_it_crosses_the_low_threshold():
    scores = column(0, 0, 0.2, 0.4, 0.6, 0.4, 0.2, 0, 0)
    (segment,) = segments_from_scores(scores, ONE_HERTZ, ["a"], PLAIN)
    assert segment.start == pytest.approx(2.5 + 0.25)
    assert segment.end == pytest.approx(6.5 - 0.25)
    assert segment.score == pytest.approx((0.4 + 0.6 + 0.4) / 3)
    (peak,) = segments_from_scores(scores, ONE_HERTZ, ["a"], replace(PLAIN, score="peak"))
    assert peak.score == pytest.approx(0.6)


def test_a_step_is_cut_within_the_row_where_it_happens():
    assert spans(column(0, 0, 1, 1, 1, 0), ONE_HERTZ, ["a"], PLAIN) == [(pytest.approx(1.75), pytest.approx(5.25))]


def test_a_class_that_never_ends_reaches_from_the_first_to_the_last_seen_frame():
    time = FeatureTime(fps=10, stride=5, clip_length=20, offset=1.0)
    assert spans(column(0.9, 0.9, 0.9), time, ["a"], PLAIN) == [
        (pytest.approx(1.0), pytest.approx(1.0 + (2 * 5 + 20) / 10))
    ]
    assert spans(column(0.9, 0.9, 0.9), replace(time, duration=2.5), ["a"], PLAIN) == [(1.0, 2.5)]


def test_one_row_is_enough():
    assert spans(column(0.6), ONE_HERTZ, ["a"], PLAIN) == [(0.0, 1.0)]
    assert spans(column(0.4), ONE_HERTZ, ["a"], PLAIN) == []


def test_hysteresis_keeps_a_dip_and_refuses_what_never_gets_high():
    scores = column(0, 0.6, 0.3, 0.6, 0, 0, 0.4, 0.4, 0)
    assert len(spans(scores, ONE_HERTZ, ["a"], PLAIN)) == 1
    assert len(spans(scores, ONE_HERTZ, ["a"], replace(PLAIN, low=0.5))) == 2
    assert len(spans(scores, ONE_HERTZ, ["a"], replace(PLAIN, high=0.4))) == 2


def test_gaps_are_merged_and_short_ones_dropped_in_seconds():
    scores = column(0, 1, 0, 0, 1, 1, 1, 0, 0, 0, 0, 1, 0)
    assert len(spans(scores, ONE_HERTZ, ["a"], PLAIN)) == 3
    assert len(spans(scores, ONE_HERTZ, ["a"], replace(PLAIN, merge_gap=1.6))) == 2
    assert len(spans(scores, ONE_HERTZ, ["a"], replace(PLAIN, min_duration=2.0))) == 1
    faster = FeatureTime(fps=20, stride=10, clip_length=10)
    assert len(spans(scores, faster, ["a"], replace(PLAIN, merge_gap=0.8))) == 2


def test_gaussian_smoothing_of_an_impulse_in_closed_form():
    options = ScoreOptions(smoothing="gaussian", smoothing_seconds=1.5)
    curve = np.zeros(61)
    curve[30] = 1.0
    smoothed = smooth(curve, 0.5, options)  # sigma is three rows
    weights = [math.exp(-0.5 * (k / 3) ** 2) for k in range(-12, 13)]
    assert smoothed[30] == pytest.approx(1 / sum(weights))
    assert smoothed[33] == pytest.approx(math.exp(-0.5) / sum(weights))
    np.testing.assert_allclose(smooth(np.full(7, 0.3), 0.5, options), 0.3)


def test_median_smoothing_removes_an_impulse_and_keeps_a_step():
    options = ScoreOptions(smoothing="median", smoothing_seconds=3.0)
    assert smooth(np.array([0, 0, 1, 0, 0, 0.0]), 1.0, options).tolist() == [0] * 6
    assert smooth(np.array([0, 0, 0, 1, 1, 1.0]), 1.0, options).tolist() == [0, 0, 0, 1, 1, 1]


def test_probabilities_are_reported_as_they_are():
    scores = np.array([[0.05, 0.4], [0.05, 0.4], [0.05, 0.4]])
    (segment,) = segments_from_scores(scores, ONE_HERTZ, ["a", "b"])
    assert (segment.label, segment.score) == ("b", pytest.approx(0.4))


def test_classes_may_overlap_but_not_coincide():
    first, second = column(0, 0.6, 0.6, 0.6, 0.6, 0), column(0, 0, 0, 0.5, 0.5, 0)
    both = np.concatenate([first, second, first * 0.9], axis=1)
    labels = {
        segment.label for segment in segments_from_scores(both, ONE_HERTZ, ["a", "b", "c"], replace(PLAIN, overlap=0.8))
    }
    assert labels == {"a", "b"}
    assert len(segments_from_scores(both, ONE_HERTZ, ["a", "b", "c"], PLAIN)) == 3


curves = st.lists(st.lists(st.integers(0, 10).map(lambda n: n / 10), min_size=2, max_size=2), min_size=1, max_size=30)
times = st.builds(
    FeatureTime,
    fps=st.sampled_from([5.0, 29.97]),
    stride=st.sampled_from([1.0, 8.0]),
    clip_length=st.sampled_from([1.0, 8.0, 32.0]),
    offset=st.sampled_from([0.0, -0.5, 2.0]),
    duration=st.sampled_from([None, 3.0, 60.0]),
)
settings_ = st.builds(
    ScoreOptions,
    smoothing=st.sampled_from(["none", "gaussian", "median"]),
    smoothing_seconds=st.sampled_from([0.0, 0.1, 0.7, 5.0]),
    high=st.sampled_from([0.3, 0.5, 0.8]),
    low=st.sampled_from([0.05, 0.2, 0.3]),
    merge_gap=st.sampled_from([0.0, 0.5, 3.0]),
    min_duration=st.sampled_from([0.0, 0.4]),
    score=st.sampled_from(["mean", "peak"]),
    overlap=st.sampled_from([None, 0.5]),
)


@settings(max_examples=80, deadline=None)
@given(curves, times, settings_)
def test_segments_lie_in_the_video_are_disjoint_per_class_and_scored_by_probabilities(raw, time, options):
    duration = (
        time.duration
        if time.duration is not None
        else time.offset + ((len(raw) - 1) * time.stride + time.clip_length) / time.fps
    )
    segments = segments_from_scores(raw, time, ["a", "b"], options)
    assert [s.score for s in segments] == sorted((s.score for s in segments), reverse=True)
    for label, values in zip("ab", np.array(raw).T, strict=True):
        own = sorted((s for s in segments if s.label == label), key=lambda s: s.start)
        assert not own or values.max() >= options.high
        assert all(0 <= s.start < s.end <= duration for s in own)
        assert all(values.min() - 1e-9 <= s.score <= values.max() + 1e-9 for s in own)
        assert all(before.end <= after.start for before, after in pairwise(own))


@settings(max_examples=60, deadline=None)
@given(curves, times, settings_, st.sampled_from(["high", "low"]))
def test_a_higher_threshold_only_shrinks_segments(raw, time, options, which):
    options = replace(options, overlap=None)
    stricter = replace(options, high=0.9) if which == "high" else replace(options, low=options.high)
    wide = segments_from_scores(raw, time, ["a", "b"], options)
    for inner in segments_from_scores(raw, time, ["a", "b"], stricter):
        assert any(
            outer.label == inner.label and outer.start <= inner.start + 1e-9 and inner.end <= outer.end + 1e-9
            for outer in wide
        )


@pytest.mark.parametrize(
    "scores", [np.zeros((0, 1)), np.zeros(3), np.zeros((3, 2)), column(0, 2.5), column(0, -1), column(math.nan)]
)
def test_what_is_no_probability_per_row_is_refused(scores):
    with pytest.raises(FeatureError, match="scores"):
        segments_from_scores(scores, ONE_HERTZ, ["a"])


@pytest.mark.parametrize(
    "bad", [{"low": 0.4}, {"high": 1.5}, {"merge_gap": -1}, {"smoothing": "box"}, {"score": "max"}, {"overlap": 0.0}]
)
def test_impossible_options_are_refused(bad):
    with pytest.raises(OptionError):
        ScoreOptions(**bad)


def test_real_frame_scores_become_segments(shared_data):
    """Scores of a frame classifier on kitchen videos it has not seen: no training, and still far from nothing."""
    files = sorted((shared_data / "gtea/features").glob("S1_*.npz"))
    if not files:
        pytest.skip(f"GTEA features not found in {shared_data}")
    classes = [str(number) for number in range(11)]
    truth, found = {}, {}
    for path in files:
        with np.load(path) as stored:
            scores, labels = stored["score"].astype(float), stored["label"].ravel()
        duration = len(labels) / 15
        edges = [0, *(np.flatnonzero(np.diff(labels)) + 1).tolist(), len(labels)]
        true = tuple(Segment(a / 15, b / 15, str(labels[a])) for a, b in pairwise(edges) if labels[a] != 0)
        truth[path.stem] = VideoAnnotation(true, duration=duration)
        segments = segments_from_scores(scores, FeatureTime(15, 1, 1, duration=duration), classes)
        found[path.stem] = [segment for segment in segments if segment.label != "0"]
    assert evaluate_detection(found, Annotations(truth), "own").average_map > 0.2
