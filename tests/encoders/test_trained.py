"""Encoders in folders: kept and found again, taken by every way in, refused where they are damaged."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from kinoscope.clips.reader import ClipOptions, Clips
from kinoscope.coclr.network import ClipEncoder
from kinoscope.data.features import read_features
from kinoscope.encoders import Sampling, encoder_spec, extract_features, extract_folder, load_encoder
from kinoscope.encoders.backbones import build_backbone, list_backbones
from kinoscope.encoders.rendering import rendered_clips
from kinoscope.encoders.trained import TrainedSpec, load_trained, save_encoder, trained_spec
from kinoscope.errors import KinoscopeError, OptionError, OutputError, WeightError
from kinoscope.files import sha256_of
from kinoscope.video import clip_samples, open_video, sample_times
from kinoscope.video.augment import evaluation_view
from kinoscope.video.flow import FlowSettings
from kinoscope.video.scaling import scaled_size
from kinoscope.video.streams import normalise, render_stream

from . import tiny

SPEC = TrainedSpec("r2plus1d-18", 0.125, "batch", "rgb", 10.0, 8, 32, 64, origin="made in a test")


def made(folder: Path, spec: TrainedSpec = SPEC, seed: int = 0) -> torch.nn.Module:
    """A new encoder in ``folder``; its backbone."""
    torch.manual_seed(seed)
    options = {"width": spec.width, "normalization": spec.normalization, "reduction": spec.reduction}
    backbone = build_backbone(spec.backbone, **options, epsilon=spec.epsilon)  # type: ignore[arg-type]
    save_encoder(folder, backbone, spec)
    return backbone.eval()


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.film(tmp_path_factory.mktemp("films") / "film.mp4", 43, rate=10, size=(64, 96))


# --- kept and found again ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        *((name, {"normalization": "group"}) for name in list_backbones()),
        *((name, {"reduction": "frab", "epsilon": 1e-2}) for name in list_backbones()),
        ("s3d", {}),
        ("r2plus1d-18", {"normalization": "sync"}),
        ("i3d", {"reduction": "frmb", "mean": (114.5, 107.0, 99.5), "std": (1.0, 2.0, 0.5)}),
    ],
    ids=str,
)
def test_every_backbone_comes_back(tmp_path: Path, name: str, changes: dict[str, Any]) -> None:
    spec = replace(SPEC, backbone=name, stream="flow", flow=FlowSettings("dis", 12.5), **changes)
    backbone = made(tmp_path / "enc", spec)
    assert trained_spec(tmp_path / "enc") == spec
    loaded, clip = load_trained(tmp_path / "enc"), torch.randn(2, 3, 8, 32, 32)
    assert not loaded.training and all(p.requires_grad for p in loaded.parameters())
    for tensor, again in zip(backbone.state_dict().values(), loaded.backbone.state_dict().values(), strict=True):
        assert torch.equal(tensor, again)
    expected = backbone(clip).mean((2, 3, 4))
    close = {"rtol": 1e-4, "atol": 1e-4}  # in deep networks without statistics yet, features are large
    torch.testing.assert_close(loaded(clip), expected, **close)
    encoder = load_encoder(str(tmp_path / "enc"), device="cpu", runtime="torch")
    torch.testing.assert_close(encoder(clip), expected, **close)
    assert not any(p.requires_grad for p in encoder.parameters()) and encoder.spec.width == loaded.width


def test_what_the_encoder_says_of_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made(Path("runs/coclr/rgb"))
    made(Path("runs/coclr/flow"), replace(SPEC, stream="flow"))
    spec = encoder_spec("runs/coclr/rgb/")
    assert spec.name == spec.tag == "runs/coclr/rgb" and spec.width == 64 and (spec.clip_length, spec.stride) == (8, 4)
    assert spec.weights.hash == sha256_of("runs/coclr/rgb/model.safetensors")[:16] and spec.classes() == ()
    assert encoder_spec("runs/coclr").weights.hash == spec.weights.hash and encoder_spec("runs/coclr").stream == "rgb"
    large = Sampling(size=64).resolve(spec)
    assert large.tag == "runs/coclr/rgb@64px" and large.decode_size == 128
    again = encoder_spec(large.tag)
    assert (again.name, again.tag, again.size, again.decode_size) == (large.name, large.tag, 64, 128)
    Path("i3d-k400").mkdir()
    assert encoder_spec("i3d-k400").labels == "kinetics400", "a name of the list wins"


def test_a_folder_from_before_there_were_reductions(tmp_path: Path) -> None:
    made(tmp_path)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    for name in ("reduction", "mean", "std", "epsilon"):
        del config[name]
    path.write_text(json.dumps(config))
    assert trained_spec(tmp_path) == SPEC


def test_pixels_are_normalised_as_told(tmp_path: Path) -> None:
    made(tmp_path / "a")
    made(tmp_path / "b", replace(SPEC, mean=(100.0, 110.0, 120.0), std=(1.0, 10.0, 0.5)))
    frames = np.random.default_rng(0).integers(0, 256, (2, 8, 32, 32, 3), dtype=np.uint8)
    first, second = (load_encoder(str(tmp_path / name), device="cpu", runtime="torch") for name in "ab")
    assert torch.equal(first.prepare(frames), normalise(frames))
    expected = np.moveaxis(frames, -1, -4).astype(np.float64) - np.reshape([100, 110, 120], (3, 1, 1, 1))
    expected /= np.reshape([1, 10, 0.5], (3, 1, 1, 1))
    np.testing.assert_allclose(second.prepare(frames).numpy(), expected, rtol=1e-6)
    assert (second.spec.mean, second.spec.std) == ((100.0, 110.0, 120.0), (1.0, 10.0, 0.5))


def test_a_recogniser_stands_for_the_encoder_in_it(tmp_path: Path) -> None:
    made(tmp_path / "run" / "encoder")
    (tmp_path / "run" / "config.json").write_text(json.dumps({"kind": "recognizer"}))
    assert encoder_spec(str(tmp_path / "run")).weights.path == tmp_path / "run" / "encoder" / "model.safetensors"
    assert trained_spec(tmp_path / "run") == SPEC
    (tmp_path / "named").mkdir()
    (tmp_path / "named" / "config.json").write_text(json.dumps({"kind": "recognizer"}))
    with pytest.raises(WeightError, match="a model of kind 'recognizer', not 'encoder'"):
        encoder_spec(str(tmp_path / "named"))


def test_the_head_is_left_behind_and_the_network_goes_on_training(tmp_path: Path) -> None:
    made(tmp_path / "enc")
    network = load_trained(tmp_path / "enc")
    again = ClipEncoder(network.backbone)
    again.project(torch.randn(1, 3, 8, 32, 32)).sum().backward()
    assert all(parameter.grad is not None for parameter in again.parameters())


def test_saving_again_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in "ab":
        made(tmp_path / name)
    for file in ("model.safetensors", "config.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


# --- what it sees --------------------------------------------------------------------------------------------------

STREAMS = [("rgb", "dis"), ("flow", "dis"), ("flow", "farneback"), ("difference", "dis"), ("flow", "motion-vectors")]


CASES = [
    *((*stream, Sampling(), 1.0) for stream in STREAMS),
    ("difference", "dis", Sampling(clip_length=9, stride=3), 0.5),
    ("rgb", "dis", Sampling(stride=20), 1.0),  # gaps between clips
    ("rgb", "dis", Sampling(stride=20), 0.75),
]


@pytest.mark.parametrize(("stream", "algorithm", "sampling", "crop"), CASES, ids=str)
def test_features_equal_those_of_each_clip(
    tmp_path: Path, film: Path, stream: Any, algorithm: Any, sampling: Sampling, crop: float
) -> None:
    made(tmp_path / "enc", replace(SPEC, stream=stream, flow=FlowSettings(algorithm), crop=crop))
    encoder = load_encoder((tmp_path / "enc").as_posix(), device="cpu", runtime="torch")
    spec = sampling.resolve(encoder.spec)
    features = extract_features(film, encoder, sampling)
    assert (features.encoder, features.weight_hash) == (spec.tag, spec.weights.hash)
    with open_video(film) as video:
        clips = np.stack(list(rendered_clips(video, spec)))  # [N, T, S, S, 3]
        samples = len(sample_times(video.duration, spec.fps))
        picks = clip_samples(samples, length=spec.clip_length, stride=spec.stride)
        if algorithm != "motion-vectors":
            size = scaled_size(video.size, spec.decode_size or spec.size)
            whole = np.stack([frame for frame, _ in video.stream(size=size, fps=spec.fps)])
            # every sampled frame is another one here, so that the whole video is one long clip
            shown = render_stream(np.concatenate((whole, whole[-1:])), stream, spec.flow)
            np.testing.assert_array_equal(clips, evaluation_view(shown, spec.size, crop)[picks])
    assert clips.shape[:2] == picks.shape and clips.std() > 1
    with torch.inference_mode():
        expected = torch.cat([encoder.network(normalise(clip[None])) for clip in clips])
    np.testing.assert_allclose(features.values, expected.numpy(), atol=1e-4)


@pytest.mark.parametrize("stream", ["rgb", "difference", "flow"])
@pytest.mark.parametrize("fps", [10.0, 25.0, 7.0])
def test_extraction_sees_what_pretraining_saw(tmp_path: Path, film: Path, stream: Any, fps: float) -> None:
    """Also where frames are sampled more than once, or left out."""
    options = ClipOptions(frames=8, fps=fps, size=32, decode_size=64)
    clips = Clips({"film": film}, [stream], options)
    made(tmp_path / "enc", replace(SPEC, stream=stream, fps=fps))
    with open_video(film) as video:
        rendered = list(rendered_clips(video, Sampling(stride=4).resolve(encoder_spec(str(tmp_path / "enc")))))
    for start in range(0, clips.starts(0), 4):
        (read,) = clips.read(0, [(start, [stream])])
        np.testing.assert_array_equal(rendered[start // 4], evaluation_view(read[stream], 32))


@pytest.mark.parametrize("frames", [1, 2])
@pytest.mark.parametrize(("stream", "algorithm"), [STREAMS[0], STREAMS[1], STREAMS[4]])
def test_short_videos(tmp_path: Path, stream: Any, algorithm: Any, frames: int) -> None:
    made(tmp_path / "enc", replace(SPEC, stream=stream, flow=FlowSettings(algorithm)))
    path = tiny.film(tmp_path / "short.mp4", frames)
    encoder = load_encoder(str(tmp_path / "enc"), device="cpu", runtime="torch")
    features = extract_features(path, encoder)
    assert len(features) >= 1 and np.isfinite(features.values).all()


def test_a_retrained_encoder_is_another(tmp_path: Path, film: Path) -> None:
    enc, out = (tmp_path / "enc").as_posix(), tmp_path / "out"
    made(Path(enc))
    extract_folder(film, out, load_encoder(enc, runtime="torch"))
    assert extract_folder(film, out, load_encoder(enc, runtime="torch")).skipped == ["film"]
    assert read_features(out / "film.safetensors").encoder == enc
    made(Path(enc), seed=1)
    with pytest.raises(OutputError, match="--overwrite"):
        extract_folder(film, out, load_encoder(enc, runtime="torch"))


def test_it_knows_no_classes(tmp_path: Path) -> None:
    made(tmp_path / "enc")
    encoder = load_encoder(str(tmp_path / "enc"), runtime="torch")
    with pytest.raises(OptionError, match="enc knows no classes"):
        encoder.classify(torch.zeros(1, 128))


# --- what is refused -----------------------------------------------------------------------------------------------


def test_no_encoder_there(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="unknown encoder") as caught:
        encoder_spec(str(tmp_path / "none"))
    assert "check the path" in (caught.value.cure or "")
    with pytest.raises(WeightError, match=r"holds no encoder: it has no config\.json"):
        encoder_spec(str(tmp_path))
    (tmp_path / "file").write_text("x")
    with pytest.raises(WeightError, match="an encoder is a folder"):
        encoder_spec(str(tmp_path / "file"))
    made(tmp_path / "enc")
    (tmp_path / "enc" / "model.safetensors").unlink()
    with pytest.raises(WeightError, match=r"has no model\.safetensors"):
        encoder_spec(str(tmp_path / "enc"))
    for call in (load_trained, trained_spec):
        with pytest.raises(WeightError, match="no such folder"):
            call(tmp_path / "none")


CONFIG = {"kind": "encoder", "version": 1, **asdict(SPEC)}


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "localizer"}, {"version": 2}, {"backbone": "vit"}, {"backbone": ["s3d"]}, {"width": 1e9},
        {"width": "1"}, {"width": True}, {"fps": 0}, {"fps": float("nan")}, {"clip_length": 7}, {"clip_length": 8.5},
        {"size": 10**9}, {"decode_size": None}, {"stream": "sound"}, {"normalization": {}}, {"flow": 3},
        {"flow": {"algorithm": "a"}}, {"flow": {"bound": -1}}, {"flow": {"bound": "x"}}, {"flow": {"speed": 1}},
        {"colour": "red"}, {"origin": 3}, {"reduction": "half"}, {"mean": [1, 2, 3]}, {"std": [1, 2, 3]},
        {"mean": [1, 2], "std": [1, 2, 3]}, {"mean": [1, 2, 3], "std": [1, 0, 3]}, {"mean": "abc", "std": [1, 2, 3]},
        {"mean": [1, 2, float("nan")], "std": [1, 2, 3]}, {"mean": [1, True, 3], "std": [1, 2, 3]},
        {"mean": [1, 2, 3], "std": 1}, {"epsilon": 0}, {"epsilon": "x"}, {"epsilon": -1},
    ],
    ids=str,
)  # fmt: skip
def test_a_config_that_makes_no_sense_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"not looked at")
    (tmp_path / "config.json").write_text(json.dumps({**CONFIG, **change}))
    with pytest.raises(WeightError, match=r"config\.json"):
        load_encoder(str(tmp_path))


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=40) | st.sampled_from([b"[]", b"3", b"{}", b"[" * 5000, b'{"kind":"encoder","version":1}']))
def test_any_bytes_are_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.getbasetemp() / "any-encoder"
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_bytes(content)
    with pytest.raises(WeightError):
        trained_spec(folder)


def test_weights_that_do_not_belong_to_the_config(tmp_path: Path) -> None:
    made(tmp_path)
    file = tmp_path / "model.safetensors"
    good = file.read_bytes()
    file.write_bytes(good[: len(good) // 2])
    with pytest.raises(WeightError, match=r"is not the file that config\.json was written with"):
        load_trained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))  # told no hash
    for call in (load_trained, lambda folder: load_encoder(str(folder), runtime="torch")):
        file.write_bytes(good[: len(good) // 2])
        with pytest.raises(WeightError, match="cannot be read"):
            call(tmp_path)
        file.write_bytes(good)
        state = load_file(file)
        save_file({name: tensor for name, tensor in state.items() if "layer4" not in name}, file)
        with pytest.raises(WeightError, match=r"model\.safetensors"):
            call(tmp_path)
        file.write_bytes(good)
    (tmp_path / "config.json").write_text(json.dumps({**CONFIG, "width": 8}))  # gigabytes, if it were built first
    with pytest.raises(WeightError, match=r"model\.safetensors"):
        load_trained(tmp_path)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="cannot be written"):
        made(tmp_path / "file" / "enc")


def test_an_interrupted_save_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        made(tmp_path, seed=1)
    monkeypatch.undo()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
    assert trained_spec(tmp_path) == SPEC and issubclass(WeightError, KinoscopeError)
