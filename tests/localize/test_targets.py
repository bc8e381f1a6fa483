"""Target assignment against the vector and against a twin that loops."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kinoscope.localize.options import ActionFormerOptions
from kinoscope.localize.targets import assign_targets, pyramid_points


def twin(points, segments, labels, classes, radius):
    """Section 1.5 word by word."""
    all_classes, all_offsets = torch.zeros(len(points), classes), torch.zeros(len(points), 2)
    for p, (t, low, high, stride) in enumerate(points.tolist()):
        passing = []
        for a, b in segments.tolist():
            centre = (a + b) / 2
            inside = max(centre - radius * stride, a) < t < min(centre + radius * stride, b)
            passing.append(inside and low <= max(t - a, b - t) <= high)
        if not any(passing):
            continue
        lengths = [b - a if ok else float("inf") for (a, b), ok in zip(segments.tolist(), passing, strict=True)]
        shortest = min(lengths)
        a, b = segments[lengths.index(shortest)].tolist()
        all_offsets[p] = torch.tensor([(t - a) / stride, (b - t) / stride])
        for label, length in zip(labels.tolist(), lengths, strict=True):
            if length <= shortest + 1e-3:
                all_classes[p, label] = 1
    return all_classes, all_offsets


def test_vector(vectors):
    group = vectors("localization")["vectors"]["target_assignment"]
    case = group["cases"][0]
    points = torch.tensor(case["inputs"]["points"], dtype=torch.float64)
    segments = torch.tensor(case["inputs"]["segments"], dtype=torch.float64)
    labels = torch.tensor(case["inputs"]["labels"])
    classes, offsets = assign_targets(points, [segments], [labels], case["inputs"]["num_classes"])
    positive = classes[0].any(-1)
    assert int(positive.sum()) == case["expected"]["num_pos"]
    for expected in case["expected"]["positives"]:
        row = int((points == torch.tensor(expected["point"], dtype=torch.float64)).all(-1).nonzero()[0, 0])
        assert classes[0, row].tolist() == expected["classes"]
        assert offsets[0, row].tolist() == pytest.approx(expected["offsets"], abs=group["tolerance"])


def test_points_of_the_vector_are_those_of_the_pyramid(vectors):
    case = vectors("localization")["vectors"]["target_assignment"]["cases"][0]
    options = ActionFormerOptions(4, 3, branch_blocks=2, ranges=((0, 4), (4, 8), (8, 10000)))
    assert torch.cat(pyramid_points(16, options)).tolist() == case["inputs"]["points"]


def test_points_per_level_of_the_official_length(vectors):
    expected = vectors("localization")["vectors"]["padding"]["cases"][0]["expected"]["points_per_level_at_2304"]
    assert [len(points) for points in pyramid_points(2304, ActionFormerOptions.thumos())] == expected


quarter = st.integers(-16, 160).map(lambda n: n / 4)  # exact in float32, and often equal to a bound


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 40),
    raw=st.lists(st.tuples(quarter, st.integers(1, 100).map(lambda n: n / 4), st.integers(0, 2)), max_size=6),
)
def test_equals_the_twin(rows, raw):
    options = ActionFormerOptions(4, 3, branch_blocks=3)
    points = torch.cat(pyramid_points(rows, options))
    segments = torch.tensor([[a, a + length] for a, length, _ in raw]).reshape(-1, 2)
    labels = torch.tensor([label for _, _, label in raw], dtype=torch.long)
    classes, offsets = assign_targets(points, [segments], [labels], 3)
    wanted_classes, wanted_offsets = twin(points, segments, labels, 3, 1.5)
    assert torch.equal(classes[0], wanted_classes)
    assert torch.equal(offsets[0], wanted_offsets)
    assert (offsets >= 0).all()


def test_a_batch_mixes_videos_with_and_without_segments():
    points = torch.cat(pyramid_points(16, ActionFormerOptions(4, 2, branch_blocks=1)))
    segments = [torch.tensor([[3.0, 7.0]]), torch.zeros(0, 2)]
    labels = [torch.tensor([1]), torch.zeros(0, dtype=torch.long)]
    classes, offsets = assign_targets(points, segments, labels, 2)
    assert classes.shape == (2, 24, 2)
    assert offsets.shape == (2, 24, 2)
    assert classes[0, :, 1].any()
    assert not classes[0, :, 0].any()
    assert not classes[1].any()
