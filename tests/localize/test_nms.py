"""Suppression and voting against the vectors and against slow twins, ties included."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinoscope.errors import OptionError
from kinoscope.localize.fusion import fuse_scores
from kinoscope.localize.intervals import interval_iou
from kinoscope.localize.nms import hard_nms, soft_nms, suppress, suppress_many, vote
from kinoscope.localize.options import DecodeOptions

METHODS = {0: "zero", 1: "linear", 2: "gaussian", 3: "gaussian"}


@pytest.fixture
def nms(vectors):
    """The group of vectors: shared segments and scores, cases by name, tolerance."""
    group = vectors("localization")["vectors"]["nms"]
    cases = {case["name"]: case for case in group["cases"]}
    return cases["shared_inputs"]["inputs"], cases, group["tolerance"]


def test_hard_vector(nms):
    shared, cases, _ = nms
    kept = hard_nms(shared["segments"], shared["scores"], cases["hard_0.5"]["inputs"]["iou_threshold"])
    assert kept.tolist() == cases["hard_0.5"]["expected"]["kept"]


@pytest.mark.parametrize(
    "name", ["soft_linear", "soft_gaussian", "soft_gaussian_min0.1", "vanilla_in_soft_code", "bmn_variant_method3"]
)
def test_soft_vectors(nms, name):
    shared, cases, tolerance = nms
    inputs = shared | cases[name]["inputs"]
    kept, scores = soft_nms(
        inputs["segments"],
        inputs["scores"],
        method=METHODS[inputs["method"]],
        iou_threshold=inputs.get("iou_threshold", 0.0),
        sigma=inputs["sigma"],
        min_score=inputs["min_score"],
        gate=(inputs["t1"], inputs["t2"]) if "t1" in inputs else None,
    )
    assert kept.tolist() == cases[name]["expected"]["kept"]
    assert scores.tolist() == pytest.approx(cases[name]["expected"]["scores"], abs=tolerance)


def test_bsn_variant_is_the_gaussian_that_stops_before_the_last(nms):
    shared, cases, tolerance = nms
    case = cases["gtad_bsn_soft_nms"]
    count = len(shared["scores"])
    kept, scores = soft_nms(
        case["inputs"]["segments"], shared["scores"], sigma=case["inputs"]["sigma"], min_score=0.0, max_kept=count - 1
    )
    assert kept.tolist() == case["expected"]["kept"]
    assert scores.tolist() == pytest.approx(case["expected"]["scores"], abs=tolerance)


def test_multiclass_vector(nms):
    shared, cases, tolerance = nms
    case = cases["multiclass_gaussian_top4"]
    options = DecodeOptions(sigma=0.5, min_score=0.001, max_segments=4)
    segments, scores, labels = suppress(shared["segments"], shared["scores"], case["inputs"]["labels"], options)
    assert segments.tolist() == case["expected"]["segments"]
    assert scores.tolist() == pytest.approx(case["expected"]["scores"], abs=tolerance)
    assert labels.tolist() == [case["inputs"]["labels"][index] for index in case["expected"]["kept"]]


@pytest.mark.parametrize(("weight", "name"), [("score_iou", "actionformer"), ("score", "opentad_tridet")])
def test_voting_vector(nms, weight, name):
    shared, cases, tolerance = nms
    case = cases["voting_after_gaussian"]
    kept = np.array(shared["segments"])[case["inputs"]["nms_kept"]]
    refined = vote(kept, shared["segments"], shared["scores"], threshold=case["inputs"]["voting_thresh"], weight=weight)
    np.testing.assert_allclose(refined, case["expected"][name], atol=tolerance)


def test_gaussian_of_a_duplicate_in_closed_form():
    _, scores = soft_nms([[0, 10], [0, 10]], [1.0, 1.0], sigma=0.5)
    iou = 10 / (10 + 2e-6)
    assert scores.tolist() == pytest.approx([1.0, math.exp(-(iou**2) / 0.5)], abs=1e-12)


# Few distinct values, so that equal scores and equal starts are the rule.
place = st.integers(0, 12).map(float)
candidates = st.lists(
    st.tuples(place, st.integers(0, 5).map(float), st.sampled_from([0.1, 0.3, 0.5, 0.9]), st.integers(0, 2)),
    max_size=14,
)


def unpack(raw):
    segments = np.array([[a, a + length] for a, length, _, _ in raw]).reshape(-1, 2)
    return segments, np.array([score for *_, score, _ in raw]), np.array([label for *_, label in raw], dtype=np.int64)


def twin_iou(a, b, eps=1e-6):
    overlap = max(0.0, min(a[1], b[1]) - max(a[0], b[0]))
    union = (a[1] - a[0] + eps) + (b[1] - b[0] + eps) - overlap
    return overlap / union if union > 0 else 0.0


def twin_soft(segments, scores, method, threshold, sigma, min_score):
    """One dictionary of what is left, one loop over all of it for every selection."""
    left = dict(enumerate(scores.tolist()))
    kept, values = [], []
    while left:
        best = min(left, key=lambda i: (-left[i], segments[i][0], i))
        kept.append(best)
        values.append(left.pop(best))
        for i in list(left):
            iou = twin_iou(segments[best], segments[i])
            if method == "gaussian":
                left[i] *= np.exp(-(iou**2) / sigma)
            elif iou >= threshold:
                left[i] *= 0.0 if method == "zero" else 1.0 - iou
            if left[i] < min_score:
                del left[i]
    return kept, values


@settings(max_examples=60, deadline=None)
@given(
    candidates,
    st.sampled_from(["zero", "linear", "gaussian"]),
    st.sampled_from([0.0, 0.3, 0.5]),
    st.sampled_from([0.0, 0.05]),
)
def test_soft_equals_the_twin(raw, method, threshold, min_score):
    segments, scores, _ = unpack(raw)
    kept, values = soft_nms(segments, scores, method=method, iou_threshold=threshold, sigma=0.4, min_score=min_score)
    wanted, wanted_values = twin_soft(segments, scores, method, threshold, 0.4, min_score)
    assert kept.tolist() == wanted
    assert values.tolist() == wanted_values
    assert (np.diff(values) <= 0).all()


@settings(max_examples=60, deadline=None)
@given(candidates, st.sampled_from([0.2, 0.5, 0.8]))
def test_hard_equals_the_twin(raw, threshold):
    segments, scores, _ = unpack(raw)
    wanted: list[int] = []
    for i in sorted(range(len(scores)), key=lambda i: (-scores[i], segments[i][0], i)):
        if all(twin_iou(segments[i], segments[j]) < threshold for j in wanted):
            wanted.append(i)
    assert hard_nms(segments, scores, threshold).tolist() == wanted


def test_hard_looks_at_what_scores_more_than_the_least():
    segments, scores = [[0, 10], [20, 30], [40, 50]], [0.9, 0.5, 0.1]
    for least, kept in ((0.5, [0.9]), (0.4, [0.9, 0.5]), (0.0, scores), (0.95, [])):
        options = DecodeOptions(method="hard", min_score=least)
        assert suppress(segments, scores, [0, 0, 0], options)[1].tolist() == kept
    assert hard_nms(segments, [-1, 0, -2], 0.5).tolist() == [1, 0, 2]


@settings(max_examples=50, deadline=None)
@given(candidates, st.sampled_from([0.3, 0.7, 1.0]), st.sampled_from(["score", "score_iou"]))
def test_voting_stays_in_the_hull_of_its_voters(raw, threshold, weight):
    segments, scores, _ = unpack(raw)
    refined = vote(segments, segments, scores, threshold=threshold, weight=weight)
    for before, after in zip(segments, refined, strict=True):
        voters = segments[interval_iou(before, segments) >= threshold]
        voters = voters if len(voters) else before[None]  # a segment of no length has no vote, and stays
        assert (voters.min(0) - 1e-9 <= after).all()
        assert (after <= voters.max(0) + 1e-9).all()


@settings(max_examples=60, deadline=None)
@given(candidates, st.sampled_from(["hard", "zero", "linear", "gaussian"]), st.sampled_from([None, 0.5]))
def test_classes_do_not_touch_each_other(raw, method, voting):
    segments, scores, labels = unpack(raw)
    options = DecodeOptions(method=method, iou_threshold=0.5, voting=voting, min_score=0.0)
    together = list(zip(*(part.tolist() for part in suppress(segments, scores, labels, options)), strict=True))
    apart = []
    for label in range(3):
        own = labels == label
        apart += list(
            zip(*(part.tolist() for part in suppress(segments[own], scores[own], labels[own], options)), strict=True)
        )
    assert sorted(together) == sorted(apart)
    assert [score for _, score, _ in together] == sorted((score for _, score, _ in together), reverse=True)


rules = st.builds(
    DecodeOptions,
    method=st.sampled_from(["hard", "zero", "linear", "gaussian"]),
    iou_threshold=st.sampled_from([0.0, 0.3]),
    min_score=st.sampled_from([0.0, 0.05]),
    multiclass=st.booleans(),
    voting=st.sampled_from([None, 0.5]),
    max_segments=st.sampled_from([1, 3, 200]),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(candidates, max_size=6), rules, st.sampled_from([5, 65536]))
def test_videos_do_not_touch_each_other(raw, options, at_once):
    videos = [unpack(each) for each in raw]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kinoscope.localize.rounds._AT_ONCE", at_once)
        together = suppress_many(videos, options)
    for video, found in zip(videos, together, strict=True):
        alone = suppress(*video, options)
        assert [part.tolist() for part in found] == [part.tolist() for part in alone]


@settings(max_examples=150, deadline=None)
@given(st.lists(candidates, min_size=1, max_size=6), rules)
def test_few_kept_are_the_first_of_all(raw, options):
    videos = [unpack(each) for each in raw]
    for few, every in zip(
        suppress_many(videos, options), suppress_many(videos, replace(options, max_segments=1000)), strict=True
    ):
        assert [part.tolist() for part in few] == [part[: options.max_segments].tolist() for part in every]


def test_the_gate_is_about_shares_of_each_video():
    segments, scores, labels = np.array([[0.0, 10.0], [2.0, 10.0]]), np.array([0.9, 0.8]), np.zeros(2, np.int64)
    options = DecodeOptions(gate=(0.5, 0.5))
    short, long = suppress_many([(segments, scores, labels)] * 2, options, lengths=[10.0, 100.0])
    assert short[1].tolist() == [0.9, 0.8]  # tIoU 0.8 < 0.5 + 0.5 · 1: spared
    assert long[1][1] < 0.5


def test_one_pool_of_classes_when_multiclass_is_off():
    segments, scores, labels = [[0, 10], [0, 10]], [0.9, 0.8], [0, 1]
    assert len(suppress(segments, scores, labels, DecodeOptions(method="hard", iou_threshold=0.5))[0]) == 2
    assert (
        len(suppress(segments, scores, labels, DecodeOptions(method="hard", iou_threshold=0.5, multiclass=False))[0])
        == 1
    )


def test_nothing_in_nothing_out():
    segments, scores, labels = suppress(np.zeros((0, 2)), np.zeros(0), np.zeros(0), DecodeOptions())
    assert segments.shape == (0, 2)
    assert scores.shape == labels.shape == (0,)


def test_score_fusion_vector(vectors):
    group = vectors("localization")["vectors"]["score_fusion"]
    inputs, expected = group["cases"][0]["inputs"], group["cases"][0]["expected"]
    for rule in ("sqrt", "product"):
        index, labels, scores = fuse_scores(inputs["det"], inputs["video_scores"], top=inputs["topk"], rule=rule)
        assert labels.tolist() == expected["labels"]
        assert index.tolist() == [0, 1, 0, 1]
        assert scores.tolist() == pytest.approx(expected[rule], abs=1e-11)


@pytest.mark.parametrize(
    ("segments", "scores"),
    [([[0, 1], [2, 3]], [np.nan, 0.5]), ([[0, np.nan]], [0.5]), ([[0, np.inf]], [0.5]), ([[0, 1], [2, 3]], [0.5])],
)
def test_what_cannot_be_ranked_is_refused(segments, scores):
    segments, scores = np.array(segments, float), np.array(scores)
    for refuse in (soft_nms, hard_nms):
        with pytest.raises(OptionError, match=r"NaN|2 segments have scores"):
            refuse(segments, scores, iou_threshold=0.5)
    with pytest.raises(OptionError):
        suppress_many([(segments, scores, np.zeros(len(scores), int))], DecodeOptions())
