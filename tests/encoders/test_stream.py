"""Features of a stream: those of the file, as far as clips are complete."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kinoscope.encoders import Sampling
from kinoscope.encoders.extract import extract_features
from kinoscope.encoders.stream import EVERY_FRAME, FeatureStream
from kinoscope.errors import OptionError
from kinoscope.video.follow import follow

from . import tiny


@pytest.mark.parametrize("spec", [tiny.FRAMES, tiny.CHANGE, tiny.CLIPS], ids=lambda spec: spec.name)
@pytest.mark.parametrize(("length", "stride"), [(None, None), (9, 3), (8, 10)])
def test_rows_are_those_of_the_file(tmp_path: Path, spec, length: int | None, stride: int | None) -> None:
    path = tmp_path / "v.mkv"
    tiny.film(path, 60)  # its rate is a multiple of none of the encoders'
    encoder = tiny.built(spec)
    sampling = Sampling(fps=encoder.spec.fps, clip_length=length, stride=stride)
    stream, whole = FeatureStream(encoder, sampling), extract_features(path, encoder, sampling)
    parts = [stream.push(frame, at) for frame, at, _ in follow(path, every=EVERY_FRAME, patience=0.1)]
    rows = np.concatenate([*parts, stream.finish()])
    assert 0 <= len(whole) - len(rows) <= 2 and len(rows) > 2
    assert replace(whole.time, duration=None) == stream.time
    np.testing.assert_allclose(rows, whole.values[: len(rows)], atol=1e-4)
    assert len(stream.finish()) == 0


def test_clips_of_whole_files_are_refused() -> None:
    encoder = tiny.built(tiny.CLIPS)
    encoder.spec = replace(encoder.spec, decode_size=8)
    with pytest.raises(OptionError, match="whole clips of a file"):
        FeatureStream(encoder)
