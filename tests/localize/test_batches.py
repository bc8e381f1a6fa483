"""Padding and training crops."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kinoscope.data.padding import pad
from kinoscope.localize.batches import chunk_multiple, crop, cut, holds_a_segment, padded_length
from kinoscope.localize.options import ActionFormerOptions

NONE = (np.zeros((0, 2)), np.zeros(0, dtype=np.int64))


def test_padding_vectors(vectors):
    thumos, anet = vectors("localization")["vectors"]["padding"]["cases"]
    head = ActionFormerOptions.thumos()
    assert head.windows == tuple(thumos["inputs"]["windows"])
    assert chunk_multiple(head) == thumos["expected"]["max_div"]
    assert [padded_length(rows, head) for rows in thumos["inputs"]["lengths"]] == thumos["expected"]["padded"]
    other = ActionFormerOptions(512, 1, window=tuple(anet["inputs"]["windows"]), max_length=192, mask_clean=False)
    assert chunk_multiple(other) == anet["expected"]["max_div"]
    assert padded_length(1, ActionFormerOptions(4, 1)) == 1


def test_pad_puts_zeros_at_the_end():
    features, mask = pad([np.ones((2, 3), np.float32), np.ones((4, 3), np.float32)])
    assert features.shape == (2, 4, 3)
    assert mask.tolist() == [[True, True, False, False], [True] * 4]
    assert features.sum(dim=(1, 2)).tolist() == [6, 12]
    assert pad([np.ones((2, 3), np.float32)], 9)[0].shape == (1, 9, 3)


def rows(count):
    """Features that know their own row."""
    return np.arange(count, dtype=np.float32)[:, None]


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(1, 60),
    raw=st.lists(st.tuples(st.floats(-3, 60), st.floats(0.1, 40)), max_size=5),
    max_length=st.integers(1, 40),
    seed=st.integers(0, 5),
)
def test_crops_are_stretches_that_keep_the_better_half_of_segments(count, raw, max_length, seed):
    segments = np.array([[start, start + length] for start, length in raw]).reshape(-1, 2)
    labels = np.arange(len(raw))
    rng = np.random.default_rng(seed)
    values, seen, kept = crop(rows(count), segments, labels, max_length=max_length, reach=0.5, rng=rng)
    first, length = int(values[0, 0]), len(values)
    assert values[:, 0].tolist() == list(range(first, first + length))
    assert length == max_length if count > max_length else round(0.9 * count) <= length <= count
    if length == count:  # nothing was cut, so nothing is clipped
        assert seen.tolist() == segments.tolist() and kept.tolist() == labels.tolist()
        return
    for label, (start, end) in enumerate(segments):
        left, right = np.clip([start, end], first - 0.5, first + length + 0.5) - first
        if (right - left) / (end - start) >= 0.5 + 1e-9:
            assert seen[kept == label].tolist() == [[pytest.approx(left), pytest.approx(right)]]
        elif (right - left) / (end - start) < 0.5 - 1e-9:
            assert label not in kept


def test_a_crop_looks_for_a_segment():
    segment = np.array([[900.0, 903.0]])
    found = [
        crop(rows(1000), segment, np.array([0]), max_length=50, reach=0, rng=np.random.default_rng(seed))[2].size
        for seed in range(20)
    ]
    assert sum(found) >= 19  # 200 tries of a 5 % chance each


def test_videos_without_segments_are_cropped_too():
    values, segments, labels = crop(rows(10), *NONE, max_length=4, reach=0, rng=np.random.default_rng(0))
    assert (len(values), segments.shape, labels.shape) == (4, (0, 2), (0,))


def test_padding_takes_the_numbers_of_mapped_files():
    values = np.arange(6, dtype=np.float16).reshape(2, 3)
    values.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # PyTorch's, on arrays that cannot be written
        features, _ = pad([values, values.astype(np.float64), values.astype(">f4")])
    assert features.dtype == torch.float32 and features.tolist() == [values.tolist()] * 3


@settings(max_examples=60, deadline=None)
@given(
    raw=st.lists(st.tuples(st.floats(-3, 60), st.floats(0.1, 40)), max_size=5),
    first=st.integers(0, 30),
    length=st.integers(1, 30),
)
def test_a_piece_shows_all_that_reaches_into_it(raw, first, length):
    segments = np.array([[start, start + length] for start, length in raw]).reshape(-1, 2)
    values, seen, kept = cut(rows(60), segments, np.arange(len(raw)), slice(first, first + length))
    assert values[:, 0].tolist() == list(range(first, first + length))
    left, right = first - 0.5, first + length - 0.5  # a row reaches half a row to both sides
    shares = [max(0.0, min(end, right) - max(start, left)) / (end - start) for start, end in segments]
    assert kept.tolist() == [label for label, share in enumerate(shares) if share > 0]
    for label, (start, end) in zip(kept, seen, strict=True):
        assert start == pytest.approx(max(segments[label, 0], left) - first)
        assert end == pytest.approx(min(segments[label, 1], right) - first)
    assert holds_a_segment(segments, slice(first, first + length)) == any(share > 0.9 for share in shares)
