"""Encoders in two parts: together they are the whole, the upper one learns, and what it learned is kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from kinoscope.encoders import Encoder, Sampling, encoder_spec, extract_features, load_encoder, split
from kinoscope.encoders.i3d import I3D
from kinoscope.encoders.split import SplitEncoder, split_encoder
from kinoscope.encoders.tuned import tuned_spec
from kinoscope.errors import OptionError, WeightError
from kinoscope.files import write_json

from . import tiny
from .test_trained import SPEC, made

SEQUENCES = ("s3d", "i3d", "resnet2d3d-50", "r2plus1d-18")
"""ResNeXt is taken apart as ResNet2D3D, S3D-G as S3D."""


@pytest.fixture
def catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    tiny.install(monkeypatch)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def changed(encoder: SplitEncoder) -> None:
    """As after some training."""
    with torch.no_grad():
        for parameter in encoder.top.parameters():
            parameter.add_(0.01)


@pytest.mark.parametrize("name", SEQUENCES)
def test_trunk_and_top_are_the_whole(catalogue: Path, name: str) -> None:
    made(Path("own"), replace(SPEC, backbone=name, clip_length=16))
    clips = torch.randn(2, 3, 16, 32, 32)
    for blocks in (1, 3):
        encoder = split_encoder("own", blocks, device="cpu")
        with torch.no_grad():
            maps = encoder.trunk(clips)  # [2, M]
            assert maps.shape == (2, encoder.trunk.spec.width)
            torch.testing.assert_close(encoder.top(maps), load_encoder("own", device="cpu")(clips))
        learning = {id(parameter) for parameter in encoder.top.parameters()}
        assert learning and all(each.requires_grad for each in encoder.top.parameters())
        assert not any(each.requires_grad for each in encoder.trunk.parameters())
        assert not learning & {id(each) for each in encoder.trunk.parameters()}


def test_of_the_published_networks(catalogue: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = split_encoder("tiny-lite", 2, device="cpu")
    frames = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        maps = encoder.trunk.network(frames)
        torch.testing.assert_close(encoder.top(maps), load_encoder("tiny-lite", device="cpu").network(frames))
    i3d = Encoder(replace(encoder_spec("i3d-k400"), clip_length=16, size=32), I3D().eval())
    monkeypatch.setattr(split, "load_encoder", lambda *_args, **_more: i3d)
    encoder = split_encoder("i3d-k400", 1, device="cpu")
    clips = torch.randn(2, 3, 16, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(encoder.top(encoder.trunk(clips)), i3d(clips))


def test_maps_of_a_film_give_its_features(catalogue: Path) -> None:
    film = tiny.film(catalogue / "film.mp4", 43)
    sampling = Sampling(fps=5.0, clip_length=3, stride=2)
    encoder = split_encoder("tiny-lite", 1, sampling, device="cpu")
    maps, raw = extract_features(film, encoder.trunk), extract_features(film, encoder.whole)
    assert (maps.time.fps, maps.time.stride, maps.time.clip_length) == (5, 1, 1)
    assert (raw.time.stride, raw.time.clip_length, len(maps)) == (2, 3, 22)
    frames = encoder.top(torch.from_numpy(maps.values)).detach()
    np.testing.assert_allclose(encoder.whole.pool(frames[None, 2:5])[0], raw.values[1], atol=1e-5)
    assert maps.encoder == "tiny-lite cut before block -1"
    other = split_encoder("tiny-lite", 1, replace(sampling, size=64), device="cpu")
    assert other.trunk.spec.tag == "tiny-lite@64px cut before block -1" and other.top.shape[1:] == (2, 2)


def test_many_maps_have_the_gradient_of_one_pass(catalogue: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = split_encoder("tiny-lite", 1, device="cpu")
    maps, gradients = torch.randn(7, encoder.trunk.spec.width), []
    for at_once in (64, 3):
        monkeypatch.setattr(split, "_MAPS_AT_ONCE", at_once)
        encoder.top.zero_grad()
        encoder.top(maps).square().sum().backward()
        gradients.append([parameter.grad.clone() for parameter in encoder.top.parameters()])
    for whole, parts in zip(*gradients, strict=True):
        torch.testing.assert_close(parts, whole, rtol=1e-3, atol=1e-4)


def test_statistics_of_norms_stay_in_training(catalogue: Path) -> None:
    encoder = split_encoder("tiny-lite", 1, device="cpu")
    before = {name: value.clone() for name, value in encoder.top.named_buffers()}
    encoder.top.train()
    encoder.top(torch.randn(7, encoder.trunk.spec.width))
    assert before and all(torch.equal(value, before[name]) for name, value in encoder.top.named_buffers())


def test_what_was_learned_is_kept(catalogue: Path) -> None:
    film = tiny.film(catalogue / "film.mp4")
    encoder = split_encoder("tiny-lite", 2, Sampling(size=64), device="cpu")
    changed(encoder)
    weights = encoder.save("run/encoder")
    for name in ("run/encoder", "run"):  # a run stands for its encoder
        spec = encoder_spec(name)
        assert (spec.size, spec.tag, spec.weights.hash, spec.labels) == (64, name, weights.hash, None)
    again = load_encoder("run", device="cpu")
    frames = torch.randn(2, 3, 2, 64, 64)
    torch.testing.assert_close(again(frames), encoder.whole(frames).detach())
    assert (again(frames) - load_encoder("tiny-lite", device="cpu")(frames)).abs().max() > 1e-3
    assert extract_features(film, again).encoder == "run"
    second = split_encoder("run", 1, device="cpu")  # trained further
    second.save("again")
    assert (kept := tuned_spec("again")) is not None and (kept.encoder, kept.size) == ("tiny-lite", 64)


def test_what_a_trained_encoder_learned_is_kept(catalogue: Path) -> None:
    made(Path("own"))
    encoder = split_encoder("own", 1, Sampling(size=48), device="cpu")
    changed(encoder)
    encoder.save("run/encoder")
    clips, again = torch.randn(2, 3, 8, 48, 48), load_encoder("run", device="cpu")
    assert tuned_spec("run") is None and "1 blocks trained end to end" in again.spec.summary
    assert (again.spec.size, again.spec.decode_size) == (48, encoder.whole.spec.decode_size)
    torch.testing.assert_close(again(clips), encoder.whole(clips).detach())


@pytest.mark.parametrize("blocks", [0, -1, 99])
def test_blocks_that_there_are_not(catalogue: Path, blocks: int) -> None:
    with pytest.raises(OptionError, match=r"choose from 1 to 17"):
        split_encoder("tiny-lite", blocks)


def test_networks_that_are_no_sequence(catalogue: Path) -> None:
    made(Path("own"), replace(SPEC, backbone="slowfast-50", clip_length=32))
    for name in ("own", "tiny-frames"):
        with pytest.raises(OptionError, match=f"{name} is no sequence of blocks"):
            split_encoder(name, 1)


def test_damaged_folders(catalogue: Path) -> None:
    split_encoder("tiny-lite", 1, device="cpu").save("run")
    for values, problem in (
        ({"version": 9}, "version 9"),
        ({"encoder": "gone"}, "began as the encoder 'gone'"),
        ({"encoder": 3}, "does not say"),
        ({"size": "64"}, "does not say"),
        ({"weights": "0"}, "is not the file"),
    ):
        good = {"kind": "tuned-encoder", "version": 1, "encoder": "tiny-lite", "size": 32, "blocks": 1}
        write_json(Path("run/config.json"), {**good, **values})
        with pytest.raises(WeightError, match=problem):
            load_encoder("run")
