"""Decoding against the vector, and the way from grid positions to seconds."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kinoscope.data.feature_time import video_duration
from kinoscope.data.features import FeatureTime
from kinoscope.localize.decode import decode, decode_level, to_segments
from kinoscope.localize.network import ActionFormer
from kinoscope.localize.options import ActionFormerOptions, DecodeOptions


def test_vector(vectors):
    group = vectors("localization")["vectors"]["inference_decode"]
    inputs, expected = group["cases"][0]["inputs"], group["cases"][0]["expected"]
    tensors = (torch.tensor(inputs[name], dtype=torch.float64) for name in ("points", "logits", "offsets", "mask"))
    options = DecodeOptions(threshold=inputs["thresh"], candidates=inputs["topk"], min_length=inputs["min_len"])
    segments, scores, labels = decode_level(*tensors, options)
    np.testing.assert_allclose(segments, expected["segments"], atol=group["tolerance"])
    np.testing.assert_allclose(scores, expected["scores"], atol=group["tolerance"])
    assert labels.tolist() == expected["labels"]


@pytest.mark.parametrize("place", [0, 1, 2])
def test_grid_seconds_vector(vectors, place):
    group = vectors("localization")["vectors"]["grid_seconds"]
    inputs, expected = group["cases"][place]["inputs"], group["cases"][place]["expected"]
    time = FeatureTime(inputs["fps"], inputs["stride"], inputs["num_frames"], duration=inputs["duration"])
    np.testing.assert_allclose(time.to_grid(inputs["seconds"]), expected["seconds_to_grid"], atol=group["tolerance"])
    grid = np.array(inputs["grid"])
    candidates = (np.stack([np.full_like(grid, -100.0), grid], 1), np.linspace(1, 0.5, len(grid)), np.arange(len(grid)))
    segments = to_segments([candidates], [time], [1000], [f"{n}" for n in range(len(grid))], DecodeOptions())[0]
    found = {int(segment.label): segment.end for segment in segments}
    wanted = expected["grid_to_seconds_clipped"]
    assert all(segment.start == 0 for segment in segments)
    for label, seconds in enumerate(wanted):  # a segment that ends at 0 has no length and is dropped
        assert found.get(label, 0.0) == pytest.approx(seconds, abs=group["tolerance"])


def test_batch_and_padding_decode_like_each_video_alone():
    torch.manual_seed(0)
    head = ActionFormerOptions(4, 3, width=8, heads=2, branch_blocks=2, window=5, branch_scale=0.5, offset_bias=1.0)
    model = ActionFormer(head).eval().double()
    features = torch.randn(2, 30, 4, dtype=torch.float64)
    mask = torch.arange(30)[None] < torch.tensor([[30], [11]])
    options = DecodeOptions(threshold=0.005)
    together = decode(model(features, mask), mask, head, options)
    for video, length in enumerate([30, 11]):
        one = torch.ones(1, length)
        alone = decode(model(features[video : video + 1, :length], one), one, head, options)[0]
        assert len(alone[0])
        for ours, other in zip(alone, together[video], strict=True):
            np.testing.assert_allclose(ours, other, atol=1e-9)


def test_nothing_above_the_threshold_gives_no_segment():
    head = ActionFormerOptions(4, 2, width=8, heads=2, branch_blocks=1)
    outputs = [(torch.full((1, n, 2), -50.0), torch.ones(1, n, 2)) for n in (5, 3)]
    candidates = decode(outputs, torch.ones(1, 5), head, DecodeOptions())[0]
    assert to_segments([candidates], [FeatureTime(10, 1, 1)], [5], ["a", "b"], DecodeOptions()) == [[]]


def test_duration_is_what_the_rows_saw_when_the_file_does_not_say():
    assert video_duration(FeatureTime(10, 8, 16, offset=1.0), 3) == pytest.approx(1.0 + (2 * 8 + 16) / 10)
    assert video_duration(FeatureTime(10, 8, 16, duration=2.5), 3) == 2.5
