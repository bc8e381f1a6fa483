"""What training sees: once decoded, kept, made anew when anything changed; and exactly what is seen in use."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kinoscope.arnet import looks as module
from kinoscope.arnet.looks import Looks, Wanted, use_views
from kinoscope.arnet.networks import Networks
from kinoscope.data.labelled_clips import LabelledClip
from kinoscope.errors import KinoscopeError
from kinoscope.video import open_video

from . import made


@pytest.fixture
def clip(tmp_path: Path) -> LabelledClip:
    return LabelledClip("v", made.flicker(tmp_path / "v.mp4", 40), "a")


def looks_in(folder: Path, *, frozen: bool = True, hashes: str = "", **changes: Any) -> Looks:
    """Features of networks with weights of these hashes, or pixels."""
    training = replace(made.TRAINING, **changes)
    networks = Networks(made.lively(), made.OPTIONS, device="cpu", runtime="torch") if frozen else None
    return Looks(folder, made.OPTIONS, training, networks, hashes)


def wanted(clip: LabelledClip, *segments: int, training: bool = True) -> Wanted:
    return Wanted(clip, training, segments or (8,))


@pytest.mark.parametrize("span", [None, (1.0, 2.5)])
def test_features_are_those_of_what_is_seen_in_use(
    clip: LabelledClip, tmp_path: Path, span: tuple[float, float] | None
) -> None:
    clip = replace(clip, start=span and span[0], end=span and span[1])
    looks = looks_in(tmp_path / "looks")
    assert looks.prepare([wanted(clip, 8, 16)]) == {}
    network = made.lively()
    parts = [*network.backbones, network.policy]
    for segments in (8, 16):
        with open_video(clip.path) as video:
            views = use_views(video, made.OPTIONS, segments, span)
        for part, view, found in zip(parts, views, looks.evaluate(clip, segments), strict=True):
            with torch.no_grad():
                pixels = made.NETS["tiny-a"].prepare(torch.from_numpy(view))
                expected = part.net(pixels)  # type: ignore[union-attr,operator]
            assert found.shape == (segments, part.net.width) and found.dtype == np.float32  # type: ignore[union-attr]
            np.testing.assert_allclose(found, expected, atol=1e-5)


def test_views_of_training_differ_and_are_drawn(clip: LabelledClip, tmp_path: Path) -> None:
    looks = looks_in(tmp_path / "looks", views=3)
    looks.prepare([wanted(clip)])
    rng = np.random.default_rng(0)
    drawn = [looks.sample(clip, rng) for _ in range(30)]
    kinds = {tuple(each.tobytes() for each in views) for views in drawn}
    assert len(kinds) == 3, "all networks see the same of three views"
    assert [each.shape for each in drawn[0]] == [(8, 7), (8, 6), (8, 5), (8, 8)]


def test_pixels_for_networks_that_learn(clip: LabelledClip, tmp_path: Path) -> None:
    looks = looks_in(tmp_path / "looks", frozen=False)
    looks.prepare([wanted(clip)])
    views = looks.sample(clip, np.random.default_rng(0))
    assert [each.shape for each in views] == [(8, size, size, 3) for size in (64, 48, 40, 32)]
    assert all(each.dtype == np.uint8 for each in views)
    again, other = (looks.sample(clip, np.random.default_rng(seed)) for seed in (0, 1))
    np.testing.assert_array_equal(views[0], again[0])
    assert not np.array_equal(views[0], other[0])
    for size, found in zip((64, 48, 40, 32), looks.evaluate(clip, 8), strict=True):
        assert found.shape == (8, size, size, 3)
    with open_video(clip.path) as video:
        for found, expected in zip(looks.evaluate(clip, 8), use_views(video, made.OPTIONS, 8), strict=True):
            np.testing.assert_array_equal(found, expected)


def test_mirrored_as_often_as_asked(clip: LabelledClip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []
    real = module.training_views

    def note(frames: Any, box: Any, flip: bool, *rest: Any) -> Any:
        seen.append(flip)
        return real(frames, box, flip, *rest)

    monkeypatch.setattr(module, "training_views", note)
    for flip in (0.0, 1.0):
        looks = looks_in(tmp_path / str(flip), flip=flip, views=4)
        looks.prepare([wanted(clip)])
    assert seen == [False] * 4 + [True] * 4


def test_every_video_is_looked_at_once(clip: LabelledClip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made_: list[str] = []
    make = Looks._make
    monkeypatch.setattr(Looks, "_make", lambda self, each: (made_.append(each.clip.name), make(self, each))[1])

    def prepare(one: Wanted, **changes: Any) -> int:
        made_.clear()
        looks_in(tmp_path / "looks", **changes).prepare([one])
        return len(made_)

    assert prepare(wanted(clip, 8, 16)) == 1
    assert prepare(wanted(clip, 8, 16)) == 0
    assert prepare(wanted(clip, 8, training=False)) == 0, "less than there is"
    assert prepare(wanted(clip, 8, 32)) == 1, "other numbers of frames"
    assert prepare(wanted(clip, 8, 32), seed=5) == 0, "views do not depend on the run"
    for changes in ({"views": 1}, {"flip": 0.1}, {"frozen": False}, {"hashes": "abcd"}):
        assert prepare(wanted(clip, 8, 32), **changes) == 1
        assert prepare(wanted(clip, 8, 32), **changes) == 0
    assert prepare(wanted(clip, 8, 32)) == 1
    state = clip.path.stat()
    os.utime(clip.path, ns=(state.st_atime_ns, state.st_mtime_ns + 10**9))
    assert prepare(wanted(clip, 8, 32)) == 1, "a changed file"
    (kept,) = (tmp_path / "looks").glob("*.safetensors")
    kept.write_bytes(kept.read_bytes()[:50])
    assert prepare(wanted(clip, 8, 32)) == 1, "what is damaged is made again"


def test_damage_while_training_is_told(clip: LabelledClip, tmp_path: Path) -> None:
    looks = looks_in(tmp_path / "looks")
    looks.prepare([wanted(clip)])
    (kept,) = (tmp_path / "looks").glob("*.safetensors")
    kept.write_bytes(b"nothing")
    with pytest.raises(KinoscopeError, match="what was seen of 'v' cannot be read") as caught:
        looks.sample(clip, np.random.default_rng(0))
    assert caught.value.cure


def test_what_does_not_fit_in_memory_is_read_from_disk(
    clip: LabelledClip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = looks_in(tmp_path / "looks")
    looks.prepare([wanted(clip)])
    inside = looks.sample(clip, np.random.default_rng(3)), looks.evaluate(clip, 8)
    monkeypatch.setattr(module, "_IN_MEMORY", 0)
    cold = looks_in(tmp_path / "looks")
    outside = cold.sample(clip, np.random.default_rng(3)), cold.evaluate(clip, 8)
    assert not cold._held and looks._held
    for a, b in zip(inside, outside, strict=True):
        assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_what_cannot_be_read_is_told_by_name(clip: LabelledClip, tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    bad = LabelledClip("bad", tmp_path / "bad.mp4", "a")
    gone = LabelledClip("gone", tmp_path / "gone.mp4", "a")
    failed = looks_in(tmp_path / "looks").prepare([wanted(bad), wanted(clip), wanted(gone)])
    assert list(failed) == ["bad", "gone"] and "no such file" in failed["gone"]


def test_names_may_be_anything(clip: LabelledClip, tmp_path: Path) -> None:
    looks = looks_in(tmp_path / "looks")
    odd = [replace(clip, name=name) for name in ("a/b", "..", "ü" * 300, "v#1")]
    assert looks.prepare([wanted(each) for each in odd]) == {}
    assert len(list((tmp_path / "looks").iterdir())) == 4
    first, second = (looks.sample(each, np.random.default_rng(0)) for each in odd[:2])
    assert not np.array_equal(first[0], second[0]), "views are drawn by name"
