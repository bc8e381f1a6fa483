"""The published weights on real video; skipped with a message where they cannot be had."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from kinoscope.encoders import Encoder, load_encoder
from kinoscope.encoders.recognize import recognize
from kinoscope.errors import WeightError
from kinoscope.video import open_video


def loaded(name: str, **options: object) -> Encoder:
    try:
        return load_encoder(name, device="cpu", **options)  # type: ignore[arg-type]
    except WeightError as error:
        pytest.skip(f"the weights of {name} cannot be had: {error}")


def test_the_reference_clip_of_kinetics_shows_cricket(shared_data: Path) -> None:
    encoder = loaded("i3d-k400", runtime="torch")
    probabilities = recognize(shared_data / "clips" / "v_CricketShot_g04_c01_rgb.gif", encoder, clips=1)
    best = int(probabilities.argmax())
    assert encoder.spec.classes()[best] == "playing cricket" and probabilities[best] >= 0.99
    assert float(probabilities.sum()) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("name", ["efficientnet-lite0", pytest.param("i3d-k400", marks=pytest.mark.slow)])
def test_openvino_computes_the_same(name: str, shared_data: Path) -> None:
    pytest.importorskip("openvino", reason="runtime openvino needs: pip install openvino")
    ours, theirs = loaded(name, runtime="torch"), loaded(name, runtime="openvino")
    spec = ours.spec
    with open_video(shared_data / "clips" / "mmaction2_test.mp4") as video:
        frames = next(video.clips(length=spec.clip_length, size=spec.size, fps=spec.fps)).frames
    clip = ours.prepare(frames[None])
    for batch in (clip, torch.cat((clip, -clip, clip))):  # one compiled model for every batch size
        with torch.inference_mode():
            torch.testing.assert_close(theirs(batch), ours(batch), atol=1e-4, rtol=1e-4)
