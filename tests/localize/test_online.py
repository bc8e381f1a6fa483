"""A causal head on a stream: nothing looks ahead, pieces change nothing, and segments are told when they are over."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kinoscope.data.feature_spec import FeatureSpec
from kinoscope.data.features import FeatureTime
from kinoscope.errors import FeatureError, OptionError
from kinoscope.evaluate import evaluate_detection
from kinoscope.localize.localizer import Localizer
from kinoscope.localize.network import ActionFormer
from kinoscope.localize.online import OnlineLocalizer, Told, _Pool
from kinoscope.localize.online_options import OnlineOptions
from kinoscope.localize.options import ActionFormerOptions, TriDetOptions
from kinoscope.localize.targets import assign_targets, pyramid_points
from kinoscope.localize.train import train_localizer
from kinoscope.localize.train_options import LocalizeTrainOptions

from .test_train import LEARNING, made

TIME = FeatureTime(fps=10, stride=5, clip_length=10)
HEAD = ActionFormerOptions(
    6, 2, width=8, heads=2, branch_blocks=2, window=5, branch_scale=0.5, offset_bias=1.0, prior=0.2, causal=True
)


def model(head: ActionFormerOptions = HEAD) -> Localizer:
    torch.manual_seed(0)
    spec = FeatureSpec(6, TIME.fps, TIME.stride, TIME.clip_length, "net", "abc")
    return Localizer(ActionFormer(head), ["walk", "fall"], spec)


def rows(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 6)).astype(np.float32)


def follow(online: OnlineLocalizer, values: np.ndarray, cuts: list[int] | None = None) -> list[Told]:
    parts = np.split(values, sorted(cuts)) if cuts is not None else [values]
    return [told for part in parts for told in online.push(part)] + online.finish()


# --- the head ------------------------------------------------------------------------------------------------------


@torch.inference_mode()
@pytest.mark.parametrize("changes", [{}, {"window": (3, 9, 5)}, {"kernel": 5}, {"kernel": 1}, {"window": 99}], ids=str)
def test_no_output_sees_a_later_row(changes: dict) -> None:
    head = replace(HEAD, **changes)
    network = model(head).network.eval()
    values = torch.from_numpy(rows(61))[None]
    mask = torch.ones(1, 61, dtype=torch.bool)
    whole = network(values, mask)
    for at in (0, 7, 32, 60):
        other = values.clone()
        other[:, at:] = torch.from_numpy(rows(61 - at, seed=5))
        for (logits, offsets), (a, b), stride in zip(whole, network(other, mask), head.strides, strict=True):
            before = -(-at // stride)
            torch.testing.assert_close(logits[:, :before], a[:, :before])
            torch.testing.assert_close(offsets[:, :before], b[:, :before])
        cut = network(values[:, : at + 1], mask[:, : at + 1])
        for (logits, _), (a, _) in zip(whole, cut, strict=True):
            torch.testing.assert_close(logits[:, : a.shape[1]], a, atol=1e-5, rtol=1e-4)


@torch.inference_mode()
def test_no_output_sees_farther_back_than_its_reach() -> None:
    network, count = model().network.eval(), 4 * HEAD.reach
    values, mask = torch.from_numpy(rows(count))[None], torch.ones(1, count, dtype=torch.bool)
    other = values.clone()
    other[:, : count - 1 - HEAD.reach] = 9.0
    for (a, _), (b, _), stride in zip(network(values, mask), network(other, mask), HEAD.strides, strict=True):
        last = -(-count // stride) - 1
        assert last * stride - HEAD.reach >= count - 1 - HEAD.reach - stride
        if last * stride == count - 1:
            torch.testing.assert_close(a[:, last], b[:, last])
    head = replace(HEAD, branch_blocks=0, ranges=())
    network = model(head).network.eval()
    far = head.reach
    other = values.clone()
    other[:, count - 1 - far] += 5.0
    (a, _), (b, _) = network(values, mask)[0], network(other, mask)[0]
    assert not torch.equal(a[:, -1], b[:, -1]), "the reach is not larger than it must be"


def test_points_before_the_end_answer() -> None:
    points = torch.cat(pyramid_points(40, replace(HEAD, branch_blocks=0, ranges=((0, 99),))))
    targets, offsets = assign_targets(points, [torch.tensor([[10.0, 30.0]])], [torch.tensor([1])], 2, causal=True)
    assert torch.nonzero(targets[0, :, 1]).flatten().tolist() == [28, 29], "within 3 strides, the ends excluded"
    assert offsets[0, 28].tolist() == [18, 2]


@pytest.mark.parametrize("changes", [{"mask_clean": False}, {"window": 1}])
def test_only_local_clean_heads_can_be_causal(changes: dict) -> None:
    with pytest.raises(OptionError, match="causal"):
        replace(HEAD, **changes)
    with pytest.raises(OptionError, match="causal"):
        TriDetOptions(6, 2, causal=True)
    with pytest.raises(OptionError, match="causal"):
        LocalizeTrainOptions(head="bmn", causal=True)


# --- the stream ----------------------------------------------------------------------------------------------------


@settings(max_examples=6, deadline=None)
@given(st.lists(st.integers(0, 90), max_size=12), st.integers(0, 3))
def test_pieces_change_nothing(cuts: list[int], seed: int) -> None:
    values = rows(90, seed)
    whole = follow(OnlineLocalizer(model(), TIME), values)
    parts = follow(OnlineLocalizer(model(), TIME), values, cuts)
    assert len(whole) == len(parts) > 5
    for a, b in zip(whole, parts, strict=True):
        assert a.segment.label == b.segment.label and a.at == pytest.approx(b.at)
        assert (a.segment.start, a.segment.end) == pytest.approx((b.segment.start, b.segment.end), abs=1e-3)


def test_what_is_told_is_over_and_told_once() -> None:
    values = rows(80, 3)
    for patience in (0.0, 3.0):
        online = OnlineLocalizer(model(), TIME, OnlineOptions(patience=patience))
        told = [each for row in values for each in online.push(row[None])]
        assert len(told) > 10 and all(each.delay >= patience - 1e-6 for each in told)
        assert [each.at for each in told] == sorted(each.at for each in told)
        for label in ("walk", "fall"):
            mine = [each.segment for each in told if each.segment.label == label and each.segment.start > 0]
            for n, one in enumerate(mine):
                for other in mine[:n]:
                    overlap = max(0.0, min(one.end, other.end) - max(one.start, other.start))
                    assert overlap / (one.duration + other.duration - overlap) < 0.3 + 1e-6
        late = online.finish()
        assert all(each.segment.end <= online.seen + 1e-9 for each in late), "clipped to what was seen"


def test_memory_does_not_grow() -> None:
    online = OnlineLocalizer(model(), TIME)
    sizes = []
    for n in range(12):
        online.push(rows(64, n))
        sizes.append(len(online._rows))
    assert sizes[-1] == sizes[-6] <= HEAD.reach + 2 * HEAD.strides[-1] + 1


def test_the_better_of_two_is_told() -> None:
    pool = _Pool()
    pool.add(np.array([0.0, 10.0]), 0.5)
    pool.add(np.array([1.0, 12.0]), 0.9)
    pool.add(np.array([20.0, 25.0]), 0.2)
    assert pool.take_over(11.0, 0.3) == [], "a better one is not over yet"
    ((segment, score),) = pool.take_over(13.0, 0.3)
    assert segment.tolist() == [1.0, 12.0] and score == 0.9 and len(pool.scores) == 1
    for n in range(400):
        pool.add(np.array([100.0 + n, 101.0 + n]), n / 400)
    assert len(pool.scores) == 256 and pool.scores.min() > 0.3


def test_bad_rows_and_heads() -> None:
    online = OnlineLocalizer(model(), TIME)
    with pytest.raises(FeatureError, match=r"\[n, 6\]"):
        online.push(np.zeros((3, 7), np.float32))
    with pytest.raises(FeatureError, match="NaN"):
        online.push(np.full((2, 6), np.nan, np.float32))
    assert online.push(np.empty((0, 6), np.float32)) == [] == online.finish()
    with pytest.raises(OptionError, match="looks ahead"):
        OnlineLocalizer(model(replace(HEAD, causal=False)), TIME)
    with pytest.raises(OptionError, match="same_overlap"):
        OnlineOptions(same_overlap=0)


def test_a_trained_head_finds_segments_as_they_end(tmp_path) -> None:
    annotations, features = made(12, 4)
    trained, _ = train_localizer(annotations, features, tmp_path, replace(LEARNING, causal=True, epochs=20))
    again = Localizer.load(tmp_path)
    assert again.network.options.causal
    found, delays = {}, []
    for name, video in annotations.videos.items():
        if video.subset == "test":
            online = OnlineLocalizer(again, features[name].time)
            told = follow(online, features[name].values, list(range(0, 60, 4)))
            found[name] = [each.segment for each in told]
            delays += [each.delay for each in told if each.segment.score > 0.5]
    result = evaluate_detection(found, annotations, "own", subset="test")
    assert result.map[0] > 0.6 and np.median(delays) < 2.0
    assert trained.classes == again.classes
