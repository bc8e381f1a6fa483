"""Training head and encoder together, on clips of small real videos, and looking at videos through what was trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kinoscope.bert3d.clip_eye import ClipEye, clip_options
from kinoscope.bert3d.finetune import ClipTask, finetune, means, starting_point
from kinoscope.bert3d.network import Recognizer, build_classifier
from kinoscope.bert3d.options import ClipTraining, HeadName, HeadOptions, RecognizeOptions
from kinoscope.bert3d.recognizer import load_recognizer
from kinoscope.bert3d.rivals import without_places
from kinoscope.bert3d.train import Trained
from kinoscope.clips.reader import Clips
from kinoscope.clips.windows import crop_window
from kinoscope.data.clip_parts import Parts
from kinoscope.data.labelled_clips import LabelledClip
from kinoscope.encoders import Encoder, encoder_spec, extract_features, load_encoder
from kinoscope.encoders.backbones import build_backbone
from kinoscope.encoders.i3d import I3D
from kinoscope.encoders.tokens import load_token_encoder
from kinoscope.encoders.trained import TrainedSpec, save_encoder, trained_spec
from kinoscope.engine.checkpoint import load_tree, same_tree
from kinoscope.engine.resume import CHECKPOINT
from kinoscope.errors import AnnotationError, Interrupted, OptionError
from kinoscope.video.augment import evaluation_view

from ..encoders import tiny
from .made import CPU, same_weights

CLIPS = ClipTraining(frames=8, clip_fps=10, clip_size=32, width=0.125)
OPTIONS = RecognizeOptions(epochs=2, batch_size=3, learning_rate=1e-3)
HEAD = HeadOptions(heads=2)


@pytest.fixture(autouse=True, scope="module")
def tiny_backbones() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        tiny.install_backbones(patch)
        yield


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    """Six films of two classes; the last is tested whole, and in a segment."""
    folder = tmp_path_factory.mktemp("films")
    clips = [LabelledClip(f"v{n}", tiny.film(folder / f"v{n}.mp4", 20 + n, seed=n), "ab"[n % 2]) for n in range(6)]
    segment = replace(clips[5], name="v5#1", start=0.8, end=2.2)
    return Parts(tuple(clips[:4]), (clips[4],), (clips[5], segment), "made")


def train(
    parts: Parts, out: Path, options: RecognizeOptions = OPTIONS, head: HeadOptions = HEAD, **given: Any
) -> Trained:
    where = replace(CPU, resume=given.pop("resume", False))
    clips = given.pop("clips", CLIPS)
    return finetune(parts, out, given.pop("encoder", "tiny-8"), head, options, clips, where=where, **given)


@contextmanager
def _interrupted_at(number: int) -> Iterator[Callable[[], bool]]:
    asked = iter(range(1, 1000))
    yield lambda: next(asked) == number


# --- end to end ----------------------------------------------------------------------------------------------------


def test_what_was_trained_says_of_raw_videos_what_its_training_said(parts: Parts, tmp_path: Path) -> None:
    trained = train(parts, tmp_path / "run")
    assert trained.test.shape == (2, 2) and trained.validation.shape == (1, 2) and not trained.missing
    for recognizer in (trained.recognizer, load_recognizer(tmp_path / "run", device="cpu", runtime="torch")):
        for clip, expected in zip(parts.test, trained.test, strict=True):
            part = None if clip.start is None or clip.end is None else (clip.start, clip.end)
            found = recognizer.recognize(clip.path, part=part)
            np.testing.assert_allclose(found.probabilities, expected, atol=1e-4)
    assert len(found.looks) == 2 and found.looks[0].attention is None


def test_the_encoder_inside_is_an_encoder_like_any_other(parts: Parts, tmp_path: Path) -> None:
    before, _ = starting_point("r2plus1d-18", CLIPS)
    train(parts, tmp_path / "run", encoder="r2plus1d-18")
    spec = trained_spec(tmp_path / "run" / "encoder")
    assert (spec.backbone, spec.width, spec.clip_length, spec.fps, spec.size) == ("r2plus1d-18", 0.125, 8, 10, 32)
    assert spec.origin == "fine-tuned from r2plus1d-18" and spec.decode_size >= 32
    assert encoder_spec(str(tmp_path / "run")).weights.hash == encoder_spec(str(tmp_path / "run/encoder")).weights.hash
    encoder = load_encoder(str(tmp_path / "run"), device="cpu", runtime="torch")
    features = extract_features(parts.test[0].path, encoder)
    assert features.width == 64 and np.isfinite(features.values).all()
    state = encoder.network.state_dict()
    assert any(not torch.equal(tensor, state[f"backbone.{name}"]) for name, tensor in before.state_dict().items())


def test_clips_tile_the_video_and_tokens_tell_their_time(parts: Parts, tmp_path: Path) -> None:
    train(parts, tmp_path / "run")
    found = load_recognizer(tmp_path / "run", device="cpu", runtime="torch").recognize(
        parts.test[0].path, attention=True
    )
    assert len(found.looks) == 4, "25 samples, 8 in a clip"
    spans = [look.spans for look in found.looks]
    assert spans[0][0, 0] == 0 and spans[-1][-1, 1] == pytest.approx(2.5, abs=0.11)
    for look in found.looks:
        assert look.spans.shape == (1, 2) and look.attention is not None and look.attention.shape == (1, 2, 1)
        assert look.spans[0, 1] - look.spans[0, 0] == pytest.approx(0.8)


def test_ten_crops(parts: Parts, tmp_path: Path) -> None:
    trained = train(parts, tmp_path / "run")
    eye = trained.recognizer.eye
    one, ten = (eye.look(parts.test[0].path, "centre", crops, None)[0] for crops in (1, 10))
    assert len(one) == len(ten) == 1 and (len(one[0].tokens), len(ten[0].tokens)) == (1, 10)
    assert (ten[0].tokens[0] - ten[0].tokens[1:]).abs().amax((1, 2)).min() > 0, "all views differ"
    found = trained.recognizer.recognize(parts.test[0].path, crops=10)
    assert found.probabilities.sum() == pytest.approx(1)
    assert not np.allclose(found.probabilities, trained.recognizer.recognize(parts.test[0].path).probabilities)
    with pytest.raises(OptionError, match="crops is 3"):
        trained.recognizer.recognize(parts.test[0].path, crops=3)


@pytest.mark.parametrize("name", ["convgru", "attention-pool"])
def test_heads_that_look_at_places(parts: Parts, tmp_path: Path, name: HeadName) -> None:
    wide = replace(CLIPS, clip_size=64)
    trained = train(parts, tmp_path / "run", replace(OPTIONS, epochs=1), replace(HEAD, head=name), clips=wide)
    loaded = load_recognizer(tmp_path / "run", device="cpu", runtime="torch")
    assert loaded.eye.grid == 4
    assert loaded.eye.look(parts.test[0].path, "centre", 1, None)[0][0].tokens.shape == (1, 1, 4, 4, 20)
    found = loaded.recognize(parts.test[0].path)
    np.testing.assert_allclose(found.probabilities, trained.test[0], atol=1e-4)


# --- to the bit ----------------------------------------------------------------------------------------------------


def test_an_interrupted_run_goes_on_to_the_same_bits(
    parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Statistics of batch norms, the best weights and the random clips included."""
    whole = train(parts, tmp_path / "whole")
    with monkeypatch.context() as patched:
        patched.setattr("kinoscope.engine.loop.deferred_interrupt", lambda: _interrupted_at(3))
        with pytest.raises(Interrupted):
            train(parts, tmp_path / "run")
    resumed = train(parts, tmp_path / "run", resume=True)
    assert same_tree(load_tree(tmp_path / "run" / CHECKPOINT), load_tree(tmp_path / "whole" / CHECKPOINT))
    assert same_weights(whole.recognizer.classifier, resumed.recognizer.classifier)
    for name in ("model.safetensors", "encoder/model.safetensors"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    np.testing.assert_array_equal(resumed.test, whole.test)
    with pytest.raises(OptionError, match=r"clip\.fps was"):
        train(parts, tmp_path / "run", resume=True, clips=replace(CLIPS, clip_fps=5))


# --- where it begins -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reduction", ["frab", "frmb"])
def test_a_fresh_backbone_with_a_reduction(reduction: Any) -> None:
    backbone, spec = starting_point("resnext3d-101", replace(CLIPS, width=0.0625, reduction=reduction))
    assert spec.reduction == reduction and spec.width == 0.0625
    full, _ = starting_point("resnext3d-101", replace(CLIPS, width=0.0625))
    assert backbone.width < full.width  # type: ignore[operator]
    assert all(parameter.requires_grad for parameter in backbone.parameters())


def test_a_reduced_encoder_is_trained_and_read_again(parts: Parts, tmp_path: Path) -> None:
    clips = replace(CLIPS, reduction="frab")
    trained = train(parts, tmp_path / "run", replace(OPTIONS, epochs=1), clips=clips, encoder="r2plus1d-18")
    assert trained_spec(tmp_path / "run").reduction == "frab" and trained.recognizer.width == 32
    found = load_recognizer(tmp_path / "run", device="cpu", runtime="torch").recognize(parts.test[0].path)
    np.testing.assert_allclose(found.probabilities, trained.test[0], atol=1e-4)


def test_a_trained_encoder_goes_on_learning(parts: Parts, tmp_path: Path) -> None:
    torch.manual_seed(3)
    backbone = build_backbone("r2plus1d-18", width=0.125)
    spec = TrainedSpec(
        "r2plus1d-18", 0.125, "batch", "difference", 10.0, 8, 32, 48, mean=(100.0, 90.0, 80.0), std=(2.0, 3.0, 4.0)
    )
    save_encoder(tmp_path / "enc", backbone, spec)
    begun, same = starting_point(str(tmp_path / "enc"), ClipTraining())
    assert same_weights(begun, backbone) and (same.stream, same.mean, same.std) == ("difference", spec.mean, spec.std)
    assert (same.clip_length, same.size, same.decode_size) == (8, 32, 48)
    trained = train(parts, tmp_path / "run", encoder=str(tmp_path / "enc"), clips=ClipTraining())
    assert trained_spec(tmp_path / "run").mean == spec.mean
    found = load_recognizer(tmp_path / "run", device="cpu", runtime="torch").recognize(parts.test[0].path)
    np.testing.assert_allclose(found.probabilities, trained.test[0], atol=1e-4)
    with pytest.raises(OptionError, match="--reduction goes with"):
        starting_point(str(tmp_path / "enc"), ClipTraining(reduction="frab"))


@pytest.mark.parametrize("reduction", ["none", "frab", "frmb"])
def test_the_published_encoder_keeps_the_weights_that_have_a_place(
    monkeypatch: pytest.MonkeyPatch, reduction: Any
) -> None:
    torch.manual_seed(5)
    published = Encoder(encoder_spec("i3d-k400"), I3D())
    monkeypatch.setattr("kinoscope.bert3d.finetune.load_encoder", lambda *_, **__: published)
    backbone, spec = starting_point("i3d-k400", ClipTraining(reduction=reduction))
    own, trained = backbone.state_dict(), published.network.features.state_dict()  # type: ignore[union-attr,operator]
    same = [name for name in own if name in trained and torch.equal(own[name], trained[name])]
    assert len(same) == len(trained) if reduction != "frmb" else 0 < len(same) < len(trained)
    assert (spec.clip_length, spec.size, spec.decode_size, spec.fps) == (64, 224, 256, 25)
    frames = np.random.default_rng(0).integers(0, 256, (1, 8, 32, 32, 3), dtype=np.uint8)
    assert spec.mean is not None and spec.std is not None
    expected = (torch.from_numpy(frames) - torch.tensor(spec.mean)) / torch.tensor(spec.std)
    torch.testing.assert_close(published.prepare(frames), expected.movedim(-1, 1))


def test_clips_of_another_size_keep_the_crop(tmp_path: Path) -> None:
    _, spec = starting_point("r2plus1d-18", ClipTraining(clip_size=56, width=0.125))
    _, own = starting_point("r2plus1d-18", ClipTraining(width=0.125))
    assert (own.size, own.decode_size) == (112, 150) and (spec.size, spec.decode_size) == (56, 76)


def test_encoders_of_single_frames_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.install(monkeypatch)
    with pytest.raises(OptionError, match=r"tiny-frames looks at single frames(.|\n)*leave --finetune away"):
        starting_point("tiny-frames", CLIPS)
    with pytest.raises(OptionError, match=r"looks at single frames(.|\n)*i3d-k400"):
        load_token_encoder("tiny-frames", device="cpu", runtime="torch")


def test_videos_that_cannot_be_read(parts: Parts, tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    bad = LabelledClip("bad", tmp_path / "bad.mp4", "a")
    trained = train(replace(parts, train=(*parts.train, bad)), tmp_path / "run", replace(OPTIONS, epochs=1))
    assert list(trained.missing) == ["bad"] and len(trained.parts.train) == 4
    with pytest.raises(AnnotationError, match="every training clip shows 'a'"):
        train(replace(parts, train=(parts.train[0], replace(bad, label="b"))), tmp_path / "other")


# --- what a clip is ------------------------------------------------------------------------------------------------


def task_of(parts: Parts, spec: TrainedSpec) -> ClipTask:
    from kinoscope.bert3d.clip_eye import clip_options
    from kinoscope.data.labelled_clips import video_of

    every = (*parts.train, *parts.validation, *parts.test)
    library = Clips({video_of(clip): clip.path for clip in every}, (spec.stream,), clip_options(spec))
    library.prepare(quiet=True)
    torch.manual_seed(0)
    network = Recognizer(build_backbone("r2plus1d-18", width=0.0625), build_classifier(HEAD, 32, 1, 2))
    return ClipTask(network, HEAD, OPTIONS, spec, library, parts)


SPEC = TrainedSpec("r2plus1d-18", 0.0625, "batch", "rgb", 10.0, 8, 32, 48)


def test_a_sample_is_a_clip_of_its_segment(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole videos begin anywhere; a segment's clips lie in it, or around its middle where it is shorter."""
    film = parts.test[0]
    long, short = replace(film, name="v5#1", start=0.5, end=1.9), replace(film, name="v5#2", start=1.0, end=1.3)
    task = task_of(replace(parts, train=(film, long, short)), SPEC)
    drawn: list[int] = []
    read = task.library.read
    monkeypatch.setattr(task.library, "read", lambda i, spans: drawn.append(spans[0][0]) or read(i, spans))
    found = []
    for index in range(3):
        drawn.clear()
        for seed in range((100, 50, 5)[index]):
            pixels, label = task.sample(index, np.random.default_rng(seed))
        assert pixels.shape == (8, 32, 32, 3) and pixels.dtype == np.uint8 and label == 0
        found.append(set(drawn))
    assert found == [set(range(18)), set(range(5, 12)), {7}]


def test_pixels_are_normalised_as_the_encoder_will(parts: Parts, tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 8, 32, 32, 3), dtype=np.uint8)
    for number, spec in enumerate((SPEC, replace(SPEC, mean=(1.0, 2.0, 3.0), std=(4.0, 5.0, 6.0)))):
        save_encoder(tmp_path / str(number), build_backbone("r2plus1d-18", width=0.0625), spec)
        encoder = load_encoder(str(tmp_path / str(number)), device="cpu", runtime="torch")
        torch.testing.assert_close(task_of(parts, spec)._prepared(torch.from_numpy(frames)), encoder.prepare(frames))


def test_means_of_nothing() -> None:
    assert means([], 3).shape == (0, 3)
    assert means([torch.tensor([[1.0, 3], [3, 5]]), torch.tensor([[7.0, 7]])], 2).tolist() == [[2, 4], [7, 7]]


def test_an_eye_says_what_it_needs(tmp_path: Path) -> None:
    save_encoder(tmp_path / "encoder", build_backbone("r2plus1d-18", width=0.0625), SPEC)
    eye = ClipEye(tmp_path / "encoder", device="cpu", runtime="torch")
    assert eye.describe() == {"kind": "clips"} and eye.spec == SPEC
    short = tiny.film(tmp_path / "short.mp4", 3)
    ((glimpse,), damage) = eye.look(short, "all", 1, None)
    assert glimpse.tokens.shape == (1, 1, 32) and not damage, "no video is too short"
    assert glimpse.spans.min() >= 0 and glimpse.spans.max() <= 0.31


@pytest.mark.parametrize("crops", [1, 10])
def test_an_eye_sees_the_crop_of_its_encoder_and_short_videos_again(tmp_path: Path, crops: int) -> None:
    spec = replace(SPEC, crop=0.75)
    save_encoder(tmp_path / "encoder", build_backbone("r2plus1d-18", width=0.0625), spec)
    eye = ClipEye(tmp_path / "encoder", device="cpu", runtime="torch")
    film = tiny.film(tmp_path / "short.mp4", 5)
    ((glimpse,), _) = eye.look(film, "all", crops, None)
    library = Clips({"short": film}, ("rgb",), clip_options(spec))
    clip = library.read(0, [(0, ("rgb",))])[0]["rgb"]  # [T, h, w, 3]
    np.testing.assert_array_equal(clip[5:], clip[:3])
    views = crop_window(clip, spec.size, crops, share=0.75)  # type: ignore[arg-type]
    with torch.inference_mode():
        expected = eye.encoder(eye.encoder.prepare(torch.from_numpy(views)))
    assert crops == 10 or views[0].tolist() == evaluation_view(clip, spec.size, 0.75).tolist()
    torch.testing.assert_close(glimpse.tokens, without_places(expected))
