"""Clips of a test: the specification's cases of the published rule, and the promises of ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinoscope.bert3d.protocol import clip_indices, clip_starts
from kinoscope.errors import OptionError

COUNTS = st.integers(1, 400)
LENGTHS = st.integers(1, 70)


def test_the_published_clips(vectors: Callable[[str], dict[str, Any]]) -> None:
    cases = vectors("bert3d")["vectors"]["clip_indices"]["cases"]
    for case in cases:
        n, length, expected = case["inputs"]["num_frames"], case["inputs"]["clip_len"], case["expected"]
        if "single_clip_indices" in expected:
            found = clip_indices(n, length, "centre", official=True)
            assert (found + 1).tolist() == [expected["single_clip_indices"]], case["name"]
        else:
            found = clip_indices(n, length, "all", official=True) + 1
            assert found[:, [0, -1]].tolist() == expected["clips_first_last"], case["name"]
            assert len(found) == expected["num_clips"]


@given(COUNTS, LENGTHS)
def test_the_published_clips_written_out(n: int, length: int) -> None:
    """The rule in the specification's words, frames counted from 1."""
    d = n - 1
    offset = int((d - length + 1) / 2) if d >= length else 0
    single = [((k % n) or n) - 1 for k in range(offset + 1, offset + length + 1)]
    assert clip_indices(n, length, "centre", official=True).tolist() == [single]
    mains = list(range(1, d - length, length))
    shift = int((d - (mains[-1] + length)) / 2) if mains else 0
    firsts = [1 + main + shift for main in mains] or [1]
    assert (clip_starts(n, length, official=True) + 1).tolist() == firsts


@given(COUNTS, LENGTHS)
def test_all_clips_show_every_sample_with_as_few_as_can(n: int, length: int) -> None:
    starts = clip_starts(n, length)
    shown = clip_indices(n, length)
    assert set(shown.ravel().tolist()) == set(range(n))
    assert len(starts) == -(-n // length) and starts[0] == 0 and starts[-1] == max(0, n - length)
    gaps = np.diff(starts)
    assert not len(gaps) or (gaps.max() <= length and gaps.max() - gaps.min() <= 1)


@given(COUNTS, LENGTHS)
def test_the_centre_has_as_much_before_it_as_behind(n: int, length: int) -> None:
    (start,) = clip_starts(n, length, "centre").tolist()
    if n <= length:
        assert start == 0
    else:
        assert abs(start - (n - length - start)) <= 1


def test_a_shorter_video_wraps_or_stands_still() -> None:
    assert clip_indices(3, 8).tolist() == [[0, 1, 2, 0, 1, 2, 0, 1]]
    assert clip_indices(3, 8, short="still").tolist() == [[0, 1, 2, 2, 2, 2, 2, 2]]
    assert clip_indices(1, 3, "centre", official=True).tolist() == [[0, 0, 0]]


def test_what_the_published_rule_drops_is_kept() -> None:
    assert clip_starts(128, 64).tolist() == [0, 64] and clip_starts(128, 64, official=True).tolist() == [32]
    assert clip_starts(131, 64).tolist() == [0, 33, 67]


@pytest.mark.parametrize("wrong", [{"samples": 0}, {"frames": 0}, {"clips": "some"}, {"short": "mirror"}])
def test_nonsense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        clip_indices(**{"samples": 10, "frames": 4, **wrong})
