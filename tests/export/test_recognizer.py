"""A file computes what the recogniser does that it was made from, on videos, for both ways to see."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from kinoscope.bert3d.clip_eye import ClipEye
from kinoscope.bert3d.feature_eye import FeatureEye
from kinoscope.bert3d.network import build_classifier
from kinoscope.bert3d.options import HeadOptions
from kinoscope.bert3d.recognizer import Eye, TrainedRecognizer
from kinoscope.data.feature_spec import FeatureSpec
from kinoscope.encoders.backbones import build_backbone
from kinoscope.encoders.sampling import Sampling
from kinoscope.encoders.trained import TrainedSpec, save_encoder
from kinoscope.errors import OptionError
from kinoscope.export import Exportable, ExportedModel, export_model, load_exportable
from kinoscope.export.clips import clips_of_videos

from ..encoders import tiny
from . import made

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")


def recognizer(folder: Path, eye: Eye, width: int, tokens: int, examples: tuple[str, ...] = ()) -> TrainedRecognizer:
    """A recogniser with random weights, in a folder."""
    torch.manual_seed(0)
    head = HeadOptions(heads=1)
    classifier = build_classifier(head, width, tokens, len(made.CLASSES), eye.grid)
    made.perturb(classifier)
    whole = TrainedRecognizer(
        classifier, made.CLASSES, eye, head=head, width=width, tokens=tokens, temperature=1.5, examples=examples
    )
    whole.save(folder)
    return whole


@pytest.fixture
def on_clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, TrainedRecognizer]:
    """It looks at clips of 16 frames through a backbone of one layer."""
    tiny.install_backbones(monkeypatch)
    torch.manual_seed(0)
    backbone = build_backbone("tiny-8", width=0.2).eval()
    spec = TrainedSpec("tiny-8", 0.2, "batch", "rgb", 10.0, 16, 32, 42, origin="a test")
    save_encoder(tmp_path / "run" / "encoder", backbone, spec)
    film = tiny.film(tmp_path / "videos" / "a.mp4", 16)
    eye = ClipEye(tmp_path / "run" / "encoder", device="cpu", runtime="torch")
    return film, recognizer(tmp_path / "run", eye, backbone.width, 2, (str(film),))  # type: ignore[arg-type]


@pytest.fixture
def on_features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, TrainedRecognizer]:
    """It looks at features of single frames and their change, three in a window."""
    tiny.install(monkeypatch)
    film = tiny.film(tmp_path / "videos" / "a.mp4", 40)
    spec = FeatureSpec(12, 8.0, 2, 2, "tiny-change")
    eye = FeatureEye(spec, 3, device="cpu", runtime="torch")
    return film, recognizer(tmp_path / "run", eye, 12, 3)


def answers(source: Exportable, folder: Path, film: Path) -> tuple[np.ndarray, ExportedModel]:
    """What the exported file says of the first clip of a video."""
    clips = clips_of_videos([film], source.spec, 1)
    written = export_model(source, folder / f"{source.part}.onnx", compared=clips, quiet=True)
    model = ExportedModel(written.files[0])
    return model(source.prepare(clips[0]).numpy())[0], model


def test_clips(on_clips: tuple[Path, TrainedRecognizer], tmp_path: Path) -> None:
    film, whole = on_clips
    source = load_exportable(str(tmp_path / "run"))
    logits, model = answers(source, tmp_path, film)
    np.testing.assert_allclose(logits, whole.recognize(film, clips="centre").logits, atol=1e-4)
    assert model.classes == made.CLASSES and source.videos == (film,)
    assert model.config["temperature"] == 1.5 and model.config["clip"]["frames"] == 16
    tokens, _ = answers(load_exportable(str(tmp_path / "run"), "encoder"), tmp_path, film)
    alone, head = answers(load_exportable(str(tmp_path / "run"), "head"), tmp_path, film)
    assert tokens.shape == (2, 32) and head.config["input"]["shape"] == ["batch", "tokens", 32]
    np.testing.assert_allclose(head(tokens[None])[0], logits, atol=1e-4)
    np.testing.assert_allclose(alone, logits, atol=1e-4)


def test_features(on_features: tuple[Path, TrainedRecognizer], tmp_path: Path) -> None:
    film, whole = on_features
    source = load_exportable(str(tmp_path / "run"))
    logits, model = answers(source, tmp_path, film)
    assert model.config["clip"]["frames"] == 6 and model.config["token_stride"] == 2
    glimpse = whole.eye.look(film, "all", 1, None)[0][0]
    with torch.no_grad():
        expected = whole.classifier(glimpse.tokens)[0]
    np.testing.assert_allclose(logits, expected, atol=1e-4)
    feature, piece = answers(load_exportable(str(tmp_path / "run"), "encoder"), tmp_path, film)
    assert piece.config["output"]["name"] == "features" and piece.config["clip"]["frames"] == 2
    np.testing.assert_allclose(feature, glimpse.tokens[0, 0], atol=1e-4)


def test_a_recogniser_takes_the_clips_of_its_training(on_clips: tuple[Path, TrainedRecognizer], tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="takes the clips of its training"):
        load_exportable(str(tmp_path / "run"), sampling=Sampling(fps=5))
