"""Pairs of views: where they come from, and that only what is asked for is made."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinoscope.clips.reader import ClipOptions, Clips, Span
from kinoscope.coclr.views import Pairing, draw_pairing, sample_views
from kinoscope.video.augment import AugmentOptions
from kinoscope.video.scaling import Frame
from kinoscope.video.streams import STILL, Stream
from tests.video.made_videos import make, numbers

OPTIONS = ClipOptions(frames=6, fps=30.0, size=36, decode_size=48)
PLAIN = AugmentOptions(flip=0, area=(1, 1), strong=0, jitter=0, grey=0, blur=0)
ALL: tuple[Stream, ...] = ("rgb", "flow", "difference")


class Recording(Clips):
    """Notes what is read."""

    asked: Sequence[Span]

    def read(self, i: int, spans: Sequence[Span]) -> list[dict[Stream, Frame]]:
        self.asked = spans
        return super().read(i, spans)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    folder = tmp_path_factory.mktemp("videos")
    return Recording({"a": make(folder / "a.mp4", 30, size=(48, 64))}, ALL, OPTIONS, cache=folder / "cache")


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


@given(seed=st.integers(0, 2**32), starts=st.integers(1, 50))
def test_one_clip_gives_a_strong_and_a_weak_view(seed: int, starts: int) -> None:
    pairing = draw_pairing(rng(seed), starts, strong=1.0)
    assert all(0 <= start < starts for start in pairing.starts)
    if sum(pairing.strong) == 1:  # of two clips both would be strong
        assert pairing.starts[0] == pairing.starts[1]


def test_half_of_the_pairs_are_of_one_clip() -> None:
    pairings = [draw_pairing(rng(seed), 10**9, 0.3) for seed in range(4000)]
    one = [pairing for pairing in pairings if pairing.one_clip]
    two = [pairing for pairing in pairings if not pairing.one_clip]
    assert abs(len(one) / 4000 - 0.5) < 0.03
    assert {pairing.strong for pairing in one} == {(True, False), (False, True)}
    assert abs(np.mean([pairing.strong[0] for pairing in one]) - 0.5) < 0.04
    assert abs(np.mean([pairing.strong for pairing in two]) - 0.3) < 0.03
    assert {pairing.strong for pairing in two} == {(a, b) for a in (True, False) for b in (True, False)}


def test_every_start_can_be_drawn_the_last_too() -> None:
    starts = [start for seed in range(300) for start in draw_pairing(rng(seed), 5, 0.3).starts]
    assert set(starts) == {0, 1, 2, 3, 4}


def test_views_show_the_samples_of_their_pairing(clips: Recording) -> None:
    for seed in range(6):
        pairing = draw_pairing(rng(seed), clips.starts(0), 0.0)
        shown = sample_views(clips, 0, rng(seed), ("rgb",), ("rgb",), PLAIN)
        for role, start in zip(("query", "key"), pairing.starts, strict=True):
            assert shown[role]["rgb"].shape == (6, 36, 36, 3)
            whole = clips.read(0, [(start, ("rgb",))])[0]["rgb"]
            assert numbers(whole) == list(range(start, start + 6))


def test_the_streams_asked_for_change_no_draw(clips: Recording) -> None:
    """So that InfoNCE on RGB and CoCLR see the same views."""
    for seed in range(8):
        everything = sample_views(clips, 0, rng(seed), ALL, ALL)
        for query, key in ((("rgb",), ("rgb", "flow")), (("flow",), ()), ((), ("difference",))):
            part = sample_views(clips, 0, rng(seed), query, key)
            assert (tuple(part["query"]), tuple(part["key"])) == (query, key)
            for role, streams in part.items():
                for stream, clip in streams.items():
                    np.testing.assert_array_equal(clip, everything[role][stream])


def test_only_what_is_asked_for_is_read(clips: Recording) -> None:
    sample_views(clips, 0, rng(0), ("rgb",), ("rgb", "flow"))
    assert [tuple(streams) for _, streams in clips.asked] == [("rgb",), ("rgb", "flow")]


def test_all_streams_of_a_view_are_cropped_and_flipped_alike(clips: Recording) -> None:
    """The difference of a cropped clip is the cropped difference."""
    options = AugmentOptions(strong=0)
    for seed in range(20):
        pairing = draw_pairing(rng(seed), clips.starts(0), 0.0)
        if pairing.one_clip:
            continue
        shown = sample_views(clips, 0, rng(seed), ("rgb", "difference"), (), options)["query"]
        rgb = shown["rgb"].astype(float)
        difference = (STILL + (rgb[1:] - rgb[:-1]) / 2).clip(0, 255)
        edges = np.abs(shown["difference"][:-1] - difference)  # bicubic scaling is linear but for bytes and bounds
        assert np.median(edges) <= 1
        assert edges.mean() < 4


def test_physical_views_mirror_motion(clips: Recording) -> None:
    flipped = AugmentOptions(flip=1, area=(1, 1), strong=0, jitter=0, grey=0, blur=0)
    physical = AugmentOptions(flip=1, area=(1, 1), strong=0, jitter=0, grey=0, blur=0, physical=True)
    plain, true = (sample_views(clips, 0, rng(1), ("flow",), (), each)["query"]["flow"] for each in (flipped, physical))
    np.testing.assert_array_equal(plain[..., :2], true[..., :2])
    np.testing.assert_array_equal(
        true[..., 2], np.where(plain[..., 2] == STILL, STILL, 255 - plain[..., 2].astype(int))
    )


def test_a_pairing_knows_whether_it_is_of_one_clip() -> None:
    assert Pairing((3, 3), (True, False)).one_clip
    assert not Pairing((3, 4), (True, False)).one_clip
