"""From a raw video to segments: the layers meet in the right order, and a model carries all that it needs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kinoscope.data.features import Features, FeatureTime
from kinoscope.data.segments import Annotations, Segment, VideoAnnotation
from kinoscope.encoders import Sampling, extract_features
from kinoscope.errors import OptionError, VideoError, WeightError
from kinoscope.localize.train import train_localizer
from kinoscope.localize.train_options import LocalizeTrainOptions
from kinoscope.pipeline import ADAPTER, Pipeline, class_probabilities, keep_adapter, load
from kinoscope.sola import SoLa, SolaOptions, adapter_folder

from .encoders import tiny
from .folders import files_below

OPTIONS = LocalizeTrainOptions(epochs=2, warmup_epochs=1, width=16, levels=2)


@pytest.fixture
def video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    tiny.install(monkeypatch)
    return tiny.film(tmp_path / "film.mp4", 60)


def adapter(width: int) -> SoLa:
    made = SoLa(width, SolaOptions(hidden=4)).eval().requires_grad_(False)
    made.alpha.data.fill_(0.5)
    return made


def train(features: Features, folder: Path) -> None:
    segments = (Segment(1.0, 3.0, "a"), Segment(3.5, 5.0, "b"))
    train_localizer(Annotations({"v": VideoAnnotation(segments)}), {"v": features}, folder, OPTIONS, accelerator="cpu")


def test_without_training_the_encoders_classes_are_followed(video: Path) -> None:
    pipeline, seconds = Pipeline("tiny-clips", device="cpu"), []
    found = pipeline.analyse(video, seconds.append)
    assert sum(seconds) == pytest.approx(6) == found.duration
    assert len(pipeline.classes) == 400 and found.adapted is None and not found.damage
    scores = class_probabilities(pipeline.encoder, found.features)
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)
    best = pipeline.classes[int(scores.max(axis=0).argmax())]
    np.testing.assert_array_equal(found.scores[best], scores[:, pipeline.classes.index(best)])
    assert pipeline.localize(video) == found.segments
    assert all(0 <= s.start < s.end <= 6 + 1e-6 for s in found.segments)


def test_an_encoder_without_classes_needs_a_model(video: Path) -> None:
    with pytest.raises(OptionError, match=r"tiny-frames knows no classes(.|\n)*kinoscope train localize"):
        Pipeline("tiny-frames")
    with pytest.raises(OptionError, match="unknown encoder"):
        Pipeline("none")


def test_a_model_encodes_adapts_and_localises_as_it_was_trained(video: Path, tmp_path: Path) -> None:
    raw = extract_features(video, tiny.built(tiny.CHANGE), Sampling(fps=5, size=40))
    raw = replace(raw, encoder="tiny-change@40px")
    sola = adapter(raw.width)
    sola.save(adapter_folder(tmp_path / "sola"), raw)
    adapted = sola.adapt(raw)
    train(adapted, tmp_path / "run")
    keep_adapter(tmp_path / "sola", tmp_path / "run")
    assert f"{ADAPTER}/model.safetensors" in files_below(tmp_path / "run")
    model = load(tmp_path / "run", device="cpu")
    assert (model.spec.fps, model.spec.size, model.classes) == (5, 40, ("a", "b"))
    found = model.analyse(video)
    np.testing.assert_allclose(found.features.values, raw.values, atol=1e-5)
    assert found.adapted is not None and model.head is not None
    np.testing.assert_allclose(found.adapted.values, adapted.values, atol=1e-5)
    assert found.segments == model.head.localize_features(found.adapted)
    assert set(found.scores) == {"a", "b"} and found.scores["a"].shape == (len(raw),)


def test_a_model_of_raw_features_has_no_adapter(video: Path, tmp_path: Path) -> None:
    raw = extract_features(video, tiny.built(tiny.FRAMES))
    train(raw, tmp_path / "run")
    keep_adapter(tmp_path, tmp_path / "run")
    assert not (tmp_path / "run" / ADAPTER).exists()
    assert load(tmp_path / "run", device="cpu").analyse(video).adapted is None


def test_a_model_that_lost_its_adapter(video: Path, tmp_path: Path) -> None:
    raw = extract_features(video, tiny.built(tiny.FRAMES))
    train(adapter(raw.width).adapt(raw), tmp_path / "run")
    with pytest.raises(WeightError, match=r"adapter: cannot be read as an adapter"):
        load(tmp_path / "run")


def test_models_of_other_tools_and_no_model(tmp_path: Path, video: Path) -> None:
    values = np.random.default_rng(0).normal(size=(48, 4)).astype(np.float32)
    for name, words in {"": "not known", "i3d-of-others": "does not have", "tiny-frames@0px": "does not have"}.items():
        train(Features(values, FeatureTime(8, 1, 1, 0, 6), name), tmp_path / f"run-{name}")
        with pytest.raises(WeightError, match=words):
            load(tmp_path / f"run-{name}")
    for path in (tmp_path, tmp_path / "none", video):
        with pytest.raises(WeightError):
            load(path)


def test_a_damaged_video_says_so(video: Path) -> None:
    damaged = tiny.film(video.with_name("cut.mkv"), 60)
    damaged.write_bytes(damaged.read_bytes()[: damaged.stat().st_size * 2 // 3])
    found = Pipeline("tiny-clips", device="cpu").analyse(damaged)
    assert len(found.damage) == 1 and "breaks off" in found.damage[0] and 0 < found.duration < 6
    with pytest.raises(VideoError):
        Pipeline("tiny-clips").analyse(video.with_name("none.mp4"))
