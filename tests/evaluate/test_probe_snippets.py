"""Which snippets are action and which lie near a boundary; which videos train a probe and which test it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinoscope.data.features import Features, FeatureTime
from kinoscope.data.hold_out import hold_out
from kinoscope.data.segments import Annotations, Segment, VideoAnnotation
from kinoscope.errors import AnnotationError, FeatureError, OptionError
from kinoscope.evaluate import split_videos
from kinoscope.evaluate.probe_split import choose_split
from kinoscope.evaluate.snippets import label_snippets, normalise_rows, read_snippets, shared_videos

from . import probe_cases as cases

halves = st.integers(0, 20).map(lambda number: number / 2)


@settings(deadline=None)
@given(st.lists(halves, min_size=1, max_size=12), st.lists(st.tuples(halves, halves).map(sorted), max_size=5), halves)
def test_labels_equal_the_slow_ones(centers: list[float], bounds: list[list[float]], near: float) -> None:
    segments = [Segment(start, end, "x") for start, end in bounds]
    found = label_snippets(np.array(centers), segments, near)
    real = [segment for segment in segments if segment.duration > 0]
    assert found.action.tolist() == [any(s.start <= c < s.end for s in real) for c in centers]
    edges = [edge for s in real for edge in (s.start, s.end)]
    assert found.near.tolist() == [any(abs(c - edge) <= near for edge in edges) for c in centers]


def test_centres_are_those_of_the_features() -> None:
    """Rows of 16 frames at 8 per second, one each second: row 0 saw 0 to 2 s, its centre is 1 s."""
    features = {"a": Features(np.ones((4, 2), np.float32), FeatureTime(8, 8, 16))}
    truth = Annotations({"a": VideoAnnotation((Segment(1, 3, "x"),))})
    found = read_snippets(features, truth, ["a"], near=0)
    assert found.action.tolist() == [True, True, False, False]  # centres 1, 2, 3 and 4 s; the end is outside
    assert found.near.tolist() == [True, False, True, False] and found.per_video.tolist() == [[2, 2]]


def test_videos_lie_one_after_the_other_and_stay_untouched() -> None:
    truth = cases.annotations(5)
    features = cases.features(truth, signal=1)
    before = {name: each.values.copy() for name, each in features.items()}
    found = read_snippets(features, truth, ["v03", "v01"])
    assert found.names == ("v03", "v01") and found.video.tolist() == [0] * cases.ROWS + [1] * cases.ROWS
    np.testing.assert_allclose(np.linalg.norm(found.values, axis=1), 1, rtol=1e-6)
    found.values[:] = 0
    read_snippets(features, truth, ["v03"], normalise=False).values[:] = 0
    assert all((features[name].values == values).all() for name, values in before.items())


def test_late_segments_and_empty_rows_are_counted() -> None:
    values = np.ones((8, 2), np.float32)
    values[3:5] = 0
    features = {"a": Features(values, FeatureTime(1, 1, 1)), "b": Features(values, FeatureTime(1, 1, 1, 0, 20))}
    segments = (Segment(1, 8.5, "x"), Segment(5, 9.6, "x"), Segment(6, 12, "x"))
    found = read_snippets(features, Annotations({name: VideoAnnotation(segments) for name in "ab"}), ["a", "b"])
    assert (found.late, found.zeros) == (2, 4)  # b is known to last 20 s


def test_rows_of_any_size_are_normalised() -> None:
    rows = np.array([[3e30, 4e30], [0, 0], [3e-30, 4e-30]], np.float32)
    np.testing.assert_allclose(normalise_rows(rows), [[0.6, 0.8], [0, 0], [0.6, 0.8]], rtol=1e-5)


def test_features_that_cannot_be_probed() -> None:
    truth = cases.annotations(4)
    features = cases.features(truth, signal=1)
    with pytest.raises(OptionError, match="near is -1 s"):
        read_snippets(features, truth, ["v01"], near=-1)
    features["v02"] = Features(np.ones((5, 7), np.float32), cases.TIME)
    with pytest.raises(FeatureError, match="'v02' have 7 channels, those of 'v01' 6"):
        read_snippets(features, truth, ["v01", "v02"])
    features["v02"].values[2, 3] = np.nan
    with pytest.raises(FeatureError, match="v02: 1 of 5 rows hold NaN"):
        read_snippets(features, truth, ["v01", "v02"])


@pytest.mark.parametrize(
    ("subsets", "train", "test"),
    [
        ({"train": 3, "test": 2, "validation": 2}, 3, "test"),
        ({"Training": 3, "Validation": 2}, 3, "Validation"),
        ({"training": 2, "val": 1, "": 4}, 2, "val"),
    ],
)
def test_the_split_of_the_annotations(subsets: dict[str, int], train: int, test: str) -> None:
    names = [(subset, number) for subset, count in subsets.items() for number in range(count)]
    video = {f"{s}{n}": VideoAnnotation((Segment(0, 1, "x"),), subset=s or None) for s, n in names}
    split = split_videos(Annotations(video), list(video))
    assert len(split.train) == train and split.test == tuple(sorted(n for n in video if n.startswith(test)))
    assert f"tested on {subsets[test]} {test} video" in split.rule


def test_a_test_part_whose_segments_are_secret_is_passed_over() -> None:
    known = {name: VideoAnnotation((Segment(0, 1, "x"),), subset=name) for name in ("training", "validation")}
    split = split_videos(Annotations({**known, "t": VideoAnnotation(subset="testing")}), [*known, "t"])
    assert split.test == ("validation",)


def test_without_subsets_videos_are_split_by_a_seed() -> None:
    truth = cases.annotations(40, split=False)
    split = split_videos(truth, list(truth.videos)[:-1])
    assert len(split.train) + len(split.test) == 39 and not set(split.train) & set(split.test)
    assert len(split.test) == 12 and "no subsets: 27 videos chosen at random for training, 12 for testing" in split.rule
    assert any(truth.videos[name].segments for name in split.test)
    assert split == split_videos(truth, list(truth.videos)[:-1]) != split_videos(truth, list(truth.videos)[:-1], 1)


@settings(deadline=None)
@given(st.lists(st.integers(0, 3), max_size=30), st.floats(0.05, 0.95), st.integers(0, 5))
def test_a_part_is_held_out_of_every_kind(kinds: list[int], share: float, seed: int) -> None:
    held = hold_out(np.array(kinds, dtype=np.int64), share, np.random.default_rng(seed))
    for kind in set(kinds):
        members = held[np.array(kinds) == kind]
        if len(members) == 1:
            assert not members[0]
        else:
            assert 0 < members.sum() < len(members) and abs(members.sum() - share * len(members)) <= 1


def test_splits_that_cannot_be() -> None:
    truth = cases.annotations(8)
    names = list(truth.videos)
    with pytest.raises(OptionError, match="no features of the 4 videos of 'test'"):
        split_videos(truth, names[::2])
    with pytest.raises(OptionError, match="no segment is in a subset 'test' or 'validation'"):
        split_videos(truth.subset("train"), names)
    with pytest.raises(AnnotationError, match="too few videos with features to split: 1"):
        split_videos(cases.annotations(8, split=False), names[:1])
    with pytest.raises(AnnotationError, match="labels of whole clips"):
        split_videos(Annotations({"a": VideoAnnotation(label="x")}), ["a"])
    with pytest.raises(OptionError, match="one of the two parts has no video"):
        choose_split(names, truth, names, None)
    with pytest.raises(OptionError, match="'v01' is a training and a test video"):
        choose_split(names, truth, names[:2], names[1:])
    with pytest.raises(FeatureError, match="no features of the video 'v07'"):
        choose_split(names[:-1], truth, names[:2], names[2:])


def test_videos_that_all_folders_share() -> None:
    truth = cases.annotations(4)
    assert shared_videos([["v00", "v01", "v02", "x"], ["v01", "v02", "v03"]], truth) == (("v01", "v02"), ("v00", "v03"))
