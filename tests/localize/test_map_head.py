"""From maps to candidates and curves: windows over long videos, resized videos, peaks; against loops over cells."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kinoscope.data.features import FeatureTime
from kinoscope.data.segments import Segment
from kinoscope.errors import OptionError
from kinoscope.localize.decode import to_segments
from kinoscope.localize.fusion import classify_segments
from kinoscope.localize.map_head import MapHead, peaks
from kinoscope.localize.map_network import Bmn, GTad, Maps
from kinoscope.localize.map_options import BmnOptions, GTadOptions
from kinoscope.localize.nms import soft_nms
from kinoscope.localize.options import DecodeOptions, options_from_dict

ALL = DecodeOptions(threshold=0.0, candidates=10**6, min_length=0.0)


def gtad(classes: int = 2, **changes) -> MapHead:
    torch.manual_seed(0)
    options = GTadOptions(
        4, classes, 16, 8, **{"fit": "windows", "width": 8, "graph_width": 8, "graph_groups": 2, **changes}
    )
    return MapHead(GTad(options))


def bmn(**changes) -> MapHead:
    torch.manual_seed(0)
    return MapHead(Bmn(BmnOptions(4, 2, 12, 12, width=8, bins=4, samples=2, **changes)))


def video(rows: int) -> np.ndarray:
    return np.random.default_rng(rows).normal(size=(rows, 4)).astype(np.float32)


HEADS = [gtad(), gtad(1, peaks=True), bmn(), bmn(convention="jjboy", peaks=True), gtad(fit="resize")]


@torch.inference_mode()
def slowly(head: MapHead, values: np.ndarray) -> dict[tuple[float, float, int], float]:
    """Every candidate of a video by its segment and class, piece by piece and cell by cell."""
    options, rows = head.options, len(values)
    resized = options.fit == "resize"
    firsts = [0] if resized or rows <= options.rows else [*range(0, rows - options.rows, options.rows // 2)]
    if not resized and rows > options.rows:
        firsts.append(rows - options.rows)
    found: dict[tuple[float, float, int], float] = {}
    for first in firsts:
        piece = torch.from_numpy(values if resized else values[first : first + options.rows])[None]
        maps = head.network.eval()(piece, torch.ones(piece.shape[:2]).bool())
        valid = options.rows if resized else piece.shape[1]
        for place in np.ndindex(*options.cells.shape):
            start, end = (place[1], place[1] + place[0] + 1) if place != () else (0, 0)
            if options.cells.axes == "start_end":
                start, end = place[0], place[1] + 1
            if end <= start or end > valid or end - start > options.durations:
                continue
            score = float(maps.regression[0][place] * maps.overlap[0][place])
            after = min(end, valid - 1)
            if options.boundary_score:
                score *= float(maps.start[0, start] * maps.end[0, after])
            if options.peaks and not (
                is_peak(maps.start[0], start) and (end >= valid - 1 or is_peak(maps.end[0], after))
            ):
                continue
            scale = rows / options.rows if resized else 1.0
            for k in range(options.classes):
                share = 1.0 if options.classes == 1 else float(maps.classes[0, k][place].sigmoid())
                key = (start * scale + first - 0.5, end * scale + first - 0.5, k)
                found[key] = max(found.get(key, 0.0), score * share)
    return found


def is_peak(scores: torch.Tensor, row: int) -> bool:
    if row == 0 or scores[row] > 0.5 * scores.max():
        return True
    return row + 1 < len(scores) and bool(scores[row] > scores[row - 1]) and bool(scores[row] > scores[row + 1])


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("rows", [1, 9, 16, 37])
def test_candidates_and_curves_are_those_of_a_loop(head, rows):
    values = video(rows)
    with torch.inference_mode():
        seen = head.look([values], ALL)[0]
    segments, scores, labels = seen.candidates
    found: dict[tuple[float, float, int], float] = {}
    for segment, score, label in zip(segments.tolist(), scores, labels, strict=True):
        key = (*segment, int(label))
        found[key] = max(found.get(key, 0.0), float(score))
    expected = slowly(head, values)
    assert found.keys() == expected.keys()
    assert [found[key] for key in expected] == pytest.approx(list(expected.values()), rel=1e-4)
    if head.options.fit == "resize":
        assert seen.class_scores.shape == (rows, head.options.classes)
        return
    curve = np.zeros((rows, head.options.classes))
    for (start, end, label), score in expected.items():
        own = slice(round(start + 0.5), round(end + 0.5))
        curve[own, label] = np.maximum(curve[own, label], score)
    np.testing.assert_allclose(seen.class_scores, curve, rtol=1e-4)


def test_a_resized_curve_is_read_at_the_rows():
    head = gtad(fit="resize")
    own = np.zeros((2, len(head.segments)))
    own[1, np.flatnonzero((head.segments == (4, 8)).all(1))] = 0.7  # a quarter of the video, after a quarter
    curve = head._curve(own)[head._map_rows(8)]
    np.testing.assert_allclose(curve[:, 1], [0, 0, 0.7, 0.7, 0, 0, 0, 0], rtol=1e-6)
    assert not curve[:, 0].any()


def test_windows_overlap_by_half_and_lose_no_row():
    head = gtad()
    for rows, firsts in ((16, [0]), (17, [0, 1]), (32, [0, 8, 16]), (33, [0, 8, 16, 17])):
        assert head.pieces(rows) == [slice(first, first + 16) for first in firsts]
    assert head.pieces(9) == [slice(0, 9)]
    assert gtad(fit="resize").pieces(40) == [slice(0, 40)]


@given(st.integers(17, 200), st.integers(0, 199), st.integers(1, 8))
@settings(max_examples=60, deadline=None)
def test_some_window_holds_every_segment(rows, start, length):
    if start + length <= rows:
        assert any(piece.start <= start and start + length <= piece.stop for piece in HEADS[0].pieces(rows))


@pytest.mark.parametrize("head", HEADS)
def test_many_at_once_equal_one_at_a_time(head):
    videos = [video(rows) for rows in (5, 40, 16)]
    with torch.inference_mode():
        together = head.look(videos, ALL)
        for values, seen in zip(videos, together, strict=True):
            alone = head.look([values], ALL)[0]
            np.testing.assert_allclose(seen.class_scores, alone.class_scores, atol=1e-5)
            assert len(seen.candidates[0]) == len(alone.candidates[0])
    lengths = [len(values) for values in videos] * 9
    assert sorted(place for batch in head.batches(lengths) for place in batch) == list(range(len(lengths)))


def test_only_the_best_candidates_are_kept():
    few = DecodeOptions(candidates=7, min_length=2.5)
    with torch.inference_mode():
        every, best = (HEADS[0].look([video(12)], options)[0].candidates for options in (ALL, few))
    order = np.argsort(-every[1], kind="stable")[:7]
    long = every[0][order, 1] - every[0][order, 0] > 2.5
    assert best[1].tolist() == every[1][order][long].tolist()


def test_peaks():
    scores = torch.tensor([[0.1, 0.2, 0.9, 0.5, 0.4, 0.41, 0.3], [0.0] * 7])
    assert peaks(scores).tolist() == [[True, False, True, True, False, True, False], [True] + [False] * 6]


def test_a_segment_may_always_start_at_the_first_row_and_end_at_the_last():
    head = gtad(peaks=True)
    rows = torch.tensor([12, 9])
    flat = torch.full((2, 16), 0.1)
    flat[:, 4] = 1.0  # the only peak
    full = torch.ones(2, *head.options.cells.shape)
    maps = Maps(flat, flat, full, full, torch.ones(2, 2, *head.options.cells.shape), rows)
    for scores, own in zip(head._scores(maps), rows.tolist(), strict=True):
        found = head.segments[scores[0].numpy() > 0]
        assert set(found[:, 0].tolist()) == {0, 4} and set(found[:, 1].tolist()) <= {4, own - 1, own}
        assert own - 1 in found[:, 1] and own in found[:, 1]


def test_padded_rows_are_no_peaks_of_theirs():
    head = bmn(peaks=True)
    ones = torch.ones(1, 12)
    maps = Maps(ones, ones, torch.ones(1, 12, 12), torch.ones(1, 12, 12), torch.ones(1, 2, 12, 12), torch.tensor([5]))
    scores = head._scores(maps)
    assert set(head.segments[scores[0, 0].numpy() > 0][:, 1].tolist()) == {1, 2, 3, 4, 5}


def test_gated_suppression_is_that_of_each_class():
    rng = np.random.default_rng(0)
    starts = rng.uniform(0, 60, 40)
    segments = np.stack([starts, starts + rng.uniform(2, 40, 40)], 1)
    scores, labels = rng.uniform(0.1, 1, 40), rng.integers(0, 2, 40)
    options = DecodeOptions(sigma=0.4, gate=(0.5, 0.4), max_segments=15)
    time = FeatureTime(1, 1, 1, offset=10.0)  # far enough from both ends that nothing is clipped
    found = to_segments([(segments, scores, labels)], [time], [100], ["a", "b"], options)[0]
    expected = []
    for label in range(2):
        own = np.flatnonzero(labels == label)
        kept, left = soft_nms(segments[own] / 100, scores[own], sigma=0.4, gate=(0.5, 0.4))
        expected += [
            (float(s), float(segments[own[k], 0]) + 10.5, "ab"[label]) for k, s in zip(kept, left, strict=True)
        ]
    expected.sort(key=lambda each: -each[0])
    assert [(s.score, s.label) for s in found] == [(score, label) for score, _, label in expected[:15]]
    assert [s.start for s in found] == pytest.approx([start for _, start, _ in expected[:15]])
    assert to_segments([(segments[:0], scores[:0], labels[:0])], [time], [100], ["a", "b"], options) == [[]]
    one_pool = DecodeOptions(sigma=0.4, gate=(0.5, 0.4), multiclass=False)
    found = to_segments([(segments, scores, labels)], [time], [100], ["a", "b"], one_pool)[0]
    _, left = soft_nms(segments / 100, scores, sigma=0.4, gate=(0.5, 0.4))
    assert [s.score for s in found] == left.tolist()


def test_gate_goes_with_a_gaussian_without_voting():
    for bad in ({"method": "hard"}, {"voting": 0.9}):
        with pytest.raises(OptionError, match="gate"):
            DecodeOptions(gate=(0.5, 0.4), **bad)
    assert options_from_dict(DecodeOptions, {"gate": [0.5, 0.4]}) == DecodeOptions(gate=(0.5, 0.4))


def test_proposals_are_labelled_by_a_classifier_of_the_video():
    proposals = [Segment(0, 1, "action", 0.9), Segment(2, 3, "action", 0.4)]
    found = classify_segments(proposals, [0.1, 0.8, 0.5], ["a", "b", "c"], rule="product")
    assert [(s.start, s.label) for s in found] == [(0, "b"), (0, "c"), (2, "b"), (2, "c")]
    assert [s.score for s in found] == pytest.approx([0.72, 0.45, 0.32, 0.2])
    assert classify_segments([], [0.5], ["a"]) == []
