"""The model on disk and in use: what it accepts, what it refuses, and that saving changes nothing."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import numpy as np
import pytest
import torch

from kinoscope.data.feature_spec import FeatureSpec
from kinoscope.data.features import Features, FeatureTime
from kinoscope.errors import FeatureError, OptionError, WeightError
from kinoscope.localize.localizer import Localizer
from kinoscope.localize.network import ActionFormer
from kinoscope.localize.options import ActionFormerOptions, DecodeOptions

TIME = FeatureTime(fps=10, stride=5, clip_length=10)


def features(rows: int, *, seed: int = 0, width: int = 6, **changes) -> Features:
    values = np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32)
    return replace(Features(values, TIME, "net", "abc"), **changes)


@pytest.fixture
def model() -> Localizer:
    torch.manual_seed(0)
    head = ActionFormerOptions(
        6, 2, width=8, heads=2, branch_blocks=2, window=5, branch_scale=0.5, offset_bias=1.0, prior=0.2
    )
    spec = FeatureSpec(6, TIME.fps, TIME.stride, TIME.clip_length, "net", "abc")
    return Localizer(ActionFormer(head), ["walk", "fall"], spec, DecodeOptions(max_segments=20))


def test_segments_are_sorted_labelled_and_inside_the_video(model):
    segments = model.localize_features(features(40))
    assert 0 < len(segments) <= 20
    assert [s.score for s in segments] == sorted((s.score for s in segments), reverse=True)
    assert {s.label for s in segments} <= {"walk", "fall"}
    assert all(0 <= s.start < s.end <= (39 * 5 + 10) / 10 for s in segments)


@pytest.mark.parametrize("clean", [True, False])
def test_many_at_once_equal_one_at_a_time(model, clean, monkeypatch):
    head = replace(model.network.options, mask_clean=clean, max_length=32)
    model = Localizer(ActionFormer(head), model.classes, model.features)
    monkeypatch.setattr("kinoscope.localize.point_head._ROWS_PER_BATCH", 90)
    videos = [features(rows, seed=rows) for rows in (5, 40, 1, 33, 32, 12)]
    together = model.localize_many(videos)
    for video, segments in zip(videos, together, strict=True):
        alone = model.localize_features(video)
        assert len(alone) == len(segments)
        np.testing.assert_allclose([s.score for s in segments], [s.score for s in alone], atol=1e-5)
    assert model.localize_many([]) == []


def test_saved_and_loaded_it_finds_the_same(model, tmp_path):
    model.save(tmp_path / "run")
    loaded = Localizer.load(tmp_path / "run")
    assert loaded.localize_features(features(30)) == model.localize_features(features(30))
    assert (loaded.classes, loaded.features, loaded.decoding) == (model.classes, model.features, model.decoding)
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["config.json", "model.safetensors"]
    assert not loaded.network.training


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"encoder": "other"}, ("'other'", "'net'")),
        ({"weight_hash": "xyz"}, ("'xyz'", "'abc'")),
        ({"time": replace(TIME, stride=8)}, ("0.8 s", "0.5 s")),
        ({"values": np.zeros((5, 7), np.float32)}, ("7 channels", "have 6")),
        ({"values": np.zeros((0, 6), np.float32)}, ("no row",)),
        ({"values": np.array([[0.0] * 6, [np.nan] * 6], np.float32)}, ("NaN", "row 1")),
    ],
)
def test_other_features_are_refused_and_both_sides_named(model, changes, parts):
    with pytest.raises(FeatureError) as caught:
        model.localize_features(replace(features(5), **changes))
    assert all(part in str(caught.value) for part in parts)
    assert caught.value.cure


def test_unknown_encoder_and_a_slightly_other_step_are_accepted(model):
    assert model.localize_features(features(20, encoder="", weight_hash="", time=replace(TIME, fps=10.2)))


def test_spec_of_training_features():
    other_step = features(3, time=replace(TIME, fps=12.5))
    spec = FeatureSpec.of([("a", features(5)), ("b", other_step)])
    assert (spec.width, spec.encoder, spec.weight_hash, spec.steps) == (6, "net", "abc", (0.4, 0.5))
    with pytest.raises(FeatureError, match="'other', those of a from 'net'"):
        FeatureSpec.of([("a", features(5)), ("b", features(5, encoder="other"))])
    with pytest.raises(FeatureError, match="no features"):
        FeatureSpec.of([])


def test_class_names_must_fit(model):
    with pytest.raises(OptionError, match="class names"):
        Localizer(model.network, ["walk"], model.features)
    with pytest.raises(OptionError, match="class names"):
        Localizer(model.network, ["walk", "walk"], model.features)


def corrupted(change):
    """A config with one change."""

    def write(folder):
        path = folder / "config.json"
        config = json.loads(path.read_text())
        change(config)
        path.write_text(json.dumps(config))

    return write


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "config.json").unlink(), "no such file"),
        (lambda f: (f / "config.json").write_text("{"), "cannot be read"),
        (lambda f: (f / "config.json").write_bytes(b"\xff\xfe"), "cannot be read"),
        (lambda f: (f / "config.json").write_text("[]"), "kind 'list'"),
        (corrupted(lambda c: c.update(kind="encoder")), "kind 'encoder'"),
        (corrupted(lambda c: c.update(version=99)), "version 99"),
        (corrupted(lambda c: c.pop("classes")), "classes"),
        (corrupted(lambda c: c["head"].update(name="ssn")), "'ssn'"),
        (corrupted(lambda c: c["head"].update(widht=3)), "widht"),
        (corrupted(lambda c: c["head"].update(width=10**12, heads=1)), "cannot be used"),
        (corrupted(lambda c: c["head"].update(width=10**6)), "does not fit"),
        (corrupted(lambda c: c["head"].update(width="wide")), "cannot be used"),
        (corrupted(lambda c: c["head"].update(classes=3)), "class names"),
        (corrupted(lambda c: c["features"].update(fps=0)), "fps"),
        (lambda f: (f / "model.safetensors").unlink(), "no such file"),
        (lambda f: (f / "model.safetensors").write_bytes(b"not weights"), "cannot be read as weights"),
        (lambda f: os.truncate(f / "model.safetensors", 1000), "cannot be read as weights"),
    ],
)
def test_damaged_models_are_weight_errors(model, tmp_path, damage, message):
    model.save(tmp_path)
    damage(tmp_path)
    with pytest.raises(WeightError, match=message):
        Localizer.load(tmp_path)


@pytest.mark.parametrize("clean", [True, False])
def test_class_scores_are_the_best_of_all_levels_at_each_row(model, clean):
    model = Localizer(
        ActionFormer(replace(model.network.options, mask_clean=clean, max_length=16)), model.classes, model.features
    )
    rows = 11
    scores = model.class_scores(features(rows))
    assert scores.shape == (rows, 2)
    padded = torch.zeros(1, rows if clean else 16, 6)
    padded[0, :rows] = torch.from_numpy(features(rows).values)
    with torch.inference_mode():
        levels = model.network(padded, torch.arange(padded.shape[1])[None] < rows)
    for row in range(rows):
        best = torch.stack([logits[0, row // 2**level].sigmoid() for level, (logits, _) in enumerate(levels)]).amax(0)
        np.testing.assert_allclose(scores[row], best, atol=1e-6)
