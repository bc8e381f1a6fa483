"""Which features a model takes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kinoscope.data.feature_spec import FeatureSpec, same_encoder
from kinoscope.data.features import Features, FeatureTime
from kinoscope.errors import FeatureError

WEIGHTS, OTHER = "0123456789abcdef", "fedcba9876543210"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (("runs/x", WEIGHTS), ("/home/runs/x/encoder", WEIGHTS), True),
        (("runs/x", WEIGHTS), ("runs/x", OTHER), False),
        (("runs/x", ""), ("y", ""), False),
        (("runs/x@160px", WEIGHTS), ("y@160px", WEIGHTS), True),
        (("runs/x@160px", WEIGHTS), ("y", WEIGHTS), False),
        (("runs/x+sola", WEIGHTS), ("y", WEIGHTS), False),
        (("i3d-k400", ""), ("i3d-k400", ""), True),
        (("efficientnet-lite0", WEIGHTS), ("efficientnet-lite0-change", WEIGHTS), False),
    ],
)
def test_an_encoder_is_known_by_its_weights(one: tuple[str, str], other: tuple[str, str], same: bool) -> None:
    assert same_encoder(one, other) is same_encoder(other, one) is same


def test_features_of_the_same_weights_are_taken_whatever_their_path() -> None:
    spec = FeatureSpec(4, 8.0, 1.0, 2.0, "runs/x/encoder", WEIGHTS)
    features = Features(np.zeros((5, 4), np.float32), FeatureTime(8.0, 1.0, 2.0), "elsewhere/x", WEIGHTS)
    spec.check(features)
    with pytest.raises(FeatureError, match="come from encoder 'elsewhere/x'"):
        spec.check(replace(features, weight_hash=OTHER))
    with pytest.raises(FeatureError, match="come from encoder"):  # another pooling of the same network
        spec.check(replace(features, values=np.zeros((5, 8), np.float32)))
