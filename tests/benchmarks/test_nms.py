"""The compiled loop keeps what ours keeps; parts of a loop are timed where they stand."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import nms
from benchmarks.localize_training import clocked
from kinoscope.localize.nms import suppress_many
from kinoscope.localize.options import DecodeOptions


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
@pytest.mark.parametrize("multiclass", [True, False])
def test_the_compiled_loop_keeps_the_same(tmp_path: Path, multiclass: bool) -> None:
    videos = nms.made(nms.Case("small", 3, 2, 20, 30))
    options = DecodeOptions(multiclass=multiclass, max_segments=25)
    loop = nms.compiled(tmp_path)
    assert loop is not None
    prepared = nms.Prepared(loop, videos, options)
    found = suppress_many(videos, options)
    nms.check(prepared, found)
    with pytest.raises(AssertionError):
        nms.check(prepared, [(segments, scores + 0.1, labels) for segments, scores, labels in found])


def test_made_candidates_are_as_many_as_the_case_says() -> None:
    segments, scores, labels = nms.made(nms.Case("small", 1, 3, 10, 10))[0]
    assert len(scores) == 30 and (np.bincount(labels) == 10).all()
    assert (segments[:, 1] > segments[:, 0]).all() and ((scores > 0) & (scores <= 1)).all()


def test_what_is_timed_works_on_and_is_put_back() -> None:
    owner = SimpleNamespace(double=lambda x: 2 * x)
    before = owner.double
    with clocked({"part": [(owner, "double")]}) as clock:
        assert owner.double(3) == owner.double(x=3) == 6
    assert owner.double is before and clock.seconds["part"] > 0
