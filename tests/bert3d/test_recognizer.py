"""Recognisers in folders: the same answers again, from videos as from features; damaged folders are told."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import kinoscope
from kinoscope.bert3d.feature_eye import FeatureEye
from kinoscope.bert3d.network import build_classifier
from kinoscope.bert3d.options import HeadName, HeadOptions
from kinoscope.bert3d.recognizer import Glimpse, TrainedRecognizer, load_recognizer
from kinoscope.bert3d.train import Trained, train_head
from kinoscope.data.clip_parts import Parts
from kinoscope.data.feature_spec import FeatureSpec
from kinoscope.data.features import Features
from kinoscope.data.labelled_clips import LabelledClip
from kinoscope.encoders import Sampling
from kinoscope.errors import FeatureError, OptionError, WeightError

from ..encoders import tiny
from .made import CPU, QUICK, TIME, perturbed, tokens

SPEC = FeatureSpec(8, TIME.fps, TIME.stride, TIME.clip_length, "net")


def made(name: HeadName = "bert", classes: int = 3, **given: Any) -> TrainedRecognizer:
    """A recogniser with random weights, of features of an encoder that does not exist."""
    torch.manual_seed(0)
    head = HeadOptions(head=name, heads=2, layers=2)
    classifier = perturbed(build_classifier(head, 8, 4, classes)).float()
    names = given.pop("names", ["läuft", "sits down", "\u5012\u308c\u308b"][:classes])
    eye = FeatureEye(SPEC, 4, device="cpu")
    return TrainedRecognizer(classifier, names, eye, head=head, width=8, tokens=4, **given)  # type: ignore[arg-type]


def features(rows: int, seed: int = 0, **given: Any) -> Features:
    return Features(tokens(seed, rows, 8).numpy().astype(np.float32), TIME, given.get("encoder", "net"))


# --- answers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["bert", "tgap", "lstm", "attention-pool"])
def test_what_is_saved_gives_the_same_answers(tmp_path: Path, name: HeadName) -> None:
    first = made(name, temperature=1.7, average="logits", examples=("a.mp4",))
    first.save(tmp_path / "run")
    loaded = load_recognizer(tmp_path / "run", device="cpu")
    assert (loaded.classes, loaded.temperature, loaded.average) == (first.classes, 1.7, "logits")
    assert loaded.head == first.head and loaded.examples == ("a.mp4",) and (loaded.width, loaded.tokens) == (8, 4)
    one, other = (each.recognize_features(features(9)) for each in (first, loaded))
    np.testing.assert_array_equal(one.probabilities, other.probabilities)
    assert isinstance(loaded.eye, FeatureEye) and loaded.eye.spec == SPEC
    assert isinstance(kinoscope.load(tmp_path / "run", device="cpu"), TrainedRecognizer)


def test_average_of_probabilities_and_of_logits() -> None:
    for average in ("probabilities", "logits"):
        recognizer = made(temperature=2.0, average=average)
        values = features(9)
        found = recognizer.recognize_features(values)
        with torch.no_grad():
            each = [recognizer.classifier(torch.from_numpy(values.values[a : a + 4])[None])[0] for a in (0, 2, 5)]
        logits = torch.stack(each).double()
        expected = (logits / 2).softmax(1).mean(0) if average == "probabilities" else (logits.mean(0) / 2).softmax(0)
        np.testing.assert_allclose(found.probabilities, expected.numpy(), atol=1e-6)
        np.testing.assert_allclose(found.logits, logits.mean(0).numpy(), atol=1e-5)
        np.testing.assert_allclose(np.mean([look.probabilities for look in found.looks], 0).sum(), 1)
        order = np.argsort(-found.probabilities)
        assert [label for label, _ in found.best(2)] == [recognizer.classes[k] for k in order[:2]]


def test_one_clip_alone_is_the_centre() -> None:
    recognizer, values = made(), features(9)
    centre = recognizer.recognize_features(values, clips="centre")
    window = replace(values, values=values.values[2:6])
    assert len(centre.looks) == 1
    np.testing.assert_allclose(centre.probabilities, recognizer.recognize_features(window).probabilities, atol=1e-6)


def test_attention_changes_no_answer_and_lies_where_the_rows_were_seen() -> None:
    recognizer, values = made(), features(9)
    plain, looked = (recognizer.recognize_features(values, attention=each) for each in (False, True))
    np.testing.assert_allclose(looked.probabilities, plain.probabilities, atol=1e-6)
    assert all(look.attention is None for look in plain.looks) and len(looked.looks) == 3
    for look, first in zip(looked.looks, (0, 2, 5), strict=True):
        assert look.attention is not None and look.own is not None and look.attention.shape == (2, 2, 4)
        _, weights = recognizer.classifier.attend(torch.from_numpy(values.values[first : first + 4])[None])
        assert weights is not None
        np.testing.assert_allclose(look.own, weights[0, ..., 0].detach(), atol=1e-6)  # the class token comes first
        np.testing.assert_allclose(look.attention, weights[0, ..., 1:].detach(), atol=1e-6)
        np.testing.assert_allclose(look.spans.mean(1), TIME.centers(9)[first : first + 4])
    pooled = made("attention-pool").recognize_features(values, attention=True).looks[0]
    assert pooled.own is None and pooled.attention is not None
    np.testing.assert_allclose(pooled.attention.sum(-1), 1, atol=1e-6)
    assert made("lstm").recognize_features(values, attention=True).looks[0].attention is None


def test_views_of_a_clip_are_averaged() -> None:
    recognizer, x = made(), tokens(3, 5, 4, 8).float()
    spans = np.zeros((4, 2))
    together = recognizer.judge([Glimpse(x, spans)], attention=True)
    alone = [recognizer.judge([Glimpse(x[view : view + 1], spans)], attention=True) for view in range(5)]
    np.testing.assert_allclose(together.probabilities, np.mean([one.probabilities for one in alone], 0), atol=1e-6)
    assert together.looks[0].attention is not None
    weights = [one.looks[0].attention for one in alone]
    np.testing.assert_allclose(together.looks[0].attention, np.mean(weights, 0), atol=1e-6)  # type: ignore[arg-type]


def test_equal_probabilities_are_told_in_order() -> None:
    found = made().recognize_features(features(4))
    equal = replace(found, probabilities=np.array([0.25, 0.5, 0.25]))
    assert equal.best(9) == [("sits down", 0.5), ("läuft", 0.25), ("\u5012\u308c\u308b", 0.25)]


# --- from videos ---------------------------------------------------------------------------------------------------


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trained:
    """On features that a tiny encoder made of four films, two of them in segments."""
    tiny.install(monkeypatch)
    films = [tiny.film(tmp_path / "films" / f"{n}.mp4", 40 + 7 * n, seed=n) for n in range(4)]
    clips = [LabelledClip(str(n), film, "ab"[n % 2]) for n, film in enumerate(films[:2])]
    clips += [LabelledClip(f"{n}#{k + 1}", films[n], "ab"[k], 2.1 * k, 2.1 * k + 1.9) for n in (2, 3) for k in range(2)]
    parts = Parts(tuple(clips), (clips[0], clips[3]), tuple(clips), "made")
    return train_head(
        parts, tmp_path / "run", HeadOptions(heads=2), QUICK, encoder="tiny-change", where=CPU, tokens=12,
        sampling=Sampling(fps=5),
    )  # fmt: skip


def test_raw_videos_give_the_probabilities_of_training(trained: Trained, tmp_path: Path) -> None:
    for recognizer in (trained.recognizer, load_recognizer(tmp_path / "run", device="cpu", runtime="torch")):
        for clip, expected in zip(trained.parts.test, trained.test, strict=True):
            part = None if clip.start is None or clip.end is None else (clip.start, clip.end)
            found = recognizer.recognize(clip.path, part=part)
            np.testing.assert_allclose(found.probabilities, expected, atol=1e-6)
    assert recognizer.eye.spec.encoder == "tiny-change" and recognizer.eye.spec.fps == 5  # type: ignore[attr-defined]


def test_one_crop_alone_of_a_frozen_encoder(trained: Trained) -> None:
    with pytest.raises(OptionError, match=r"looks at one crop(.|\n)*--finetune"):
        trained.recognizer.recognize(trained.parts.test[0].path, crops=10)


def test_an_encoder_that_is_gone_or_has_other_weights(trained: Trained, tmp_path: Path) -> None:
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    for change, message in (
        ({"encoder": "vanished"}, "'vanished', which Kinoscope does not have"),
        ({"weight_hash": "0" * 16}, "with other weights"),
        ({"encoder": ""}, "encoder is not known"),
    ):
        changed = {**config, "eye": {**config["eye"], **change}}
        (tmp_path / "run" / "config.json").write_text(json.dumps(changed))
        with pytest.raises(WeightError, match=message):
            load_recognizer(tmp_path / "run").recognize(trained.parts.test[0].path)


def test_features_of_another_kind() -> None:
    with pytest.raises(FeatureError, match="'other'"):
        made().recognize_features(features(5, encoder="other"))
    broken = features(5)
    broken.values[1, 1] = np.inf
    with pytest.raises(FeatureError, match="row 1"):
        made().recognize_features(broken)


# --- damaged folders -----------------------------------------------------------------------------------------------


def change(folder: Path, **values: Any) -> None:
    """Set entries of the folder's description, those of inner tables by ``table__name``; None takes one away."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    for path, value in values.items():
        *tables, name = path.split("__")
        inner = config
        for table in tables:
            inner = inner[table]
        inner[name] = value
        if value is None:
            del inner[name]
    (folder / "config.json").write_text(json.dumps(config))


NAN, INFINITY = float("nan"), float("inf")
HOSTILE: list[dict[str, Any]] = [
    *({"width": value} for value in (0, -8, 7, 16, 1e12, 1e30, INFINITY, NAN, "wide", [8], None)),
    *({"tokens": value} for value in (0, -1, 5, 10**12, "x", None)),
    *({"head__layers": value} for value in (0, 1, 3, 10**9, 1.5, "2", [])),
    *({"head__heads": value} for value in (0, 3, "2", -2)),
    *({"head__hidden": value, "head__head": "lstm"} for value in (10**12, 10**30, 5)),
    *({"head__reduce": value} for value in (-1, 4, 10**12)),
    *({"head__dropout": value} for value in (NAN, 1.0, "x")),
    {"head__head": "brt"},
    {"head__head": "tgap"},
    {"head__positions": "x"},
    {"head__readout": "mean"},
    {"head__unknown": 1},
    {"head": [1]},
    {"head": None},
    *({"temperature": value} for value in (0, -1, NAN, INFINITY, "warm", None)),
    {"average": "x"},
    *({"classes": value} for value in ([], ["a"], ["a", "b", "c", "d"], ["a", "a", "b"], 3, None)),
    *({"eye": value} for value in ("x", 3, None, {}, {"kind": "ear"})),
    *({"eye__fps": value} for value in (0, NAN, "10", None)),
    *({"eye__steps": value} for value in (5, [1, 2, 3])),
    {"eye__unknown": 1},
    {"grid": None},
    {"examples": 5},
    {"version": 2},
    {"kind": "encoder"},
]


@pytest.mark.parametrize("values", HOSTILE, ids=str)
def test_a_damaged_description_is_told(tmp_path: Path, values: dict[str, Any]) -> None:
    made().save(tmp_path)
    change(tmp_path, **values)
    with pytest.raises(WeightError, match=r"(config\.json|model\.safetensors): (.|\n)*Cure: "):
        load_recognizer(tmp_path, device="cpu")


@pytest.mark.parametrize("text", ["", "{", "[]", "null"])
def test_a_description_that_is_none(tmp_path: Path, text: str) -> None:
    made().save(tmp_path)
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(WeightError, match=r"config\.json: "):
        load_recognizer(tmp_path)


def test_folders_without_files_or_with_other_weights(tmp_path: Path) -> None:
    with pytest.raises(WeightError, match=r"no such file(.|\n)*kinoscope train recognize"):
        load_recognizer(tmp_path / "nothing")
    made().save(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    for damaged in (
        {name: tensor for name, tensor in weights.items() if name != "last.bias"},
        {**weights, "more": torch.zeros(1)},
        {**weights, "last.bias": torch.zeros(4)},
    ):
        save_file(damaged, tmp_path / "model.safetensors")
        with pytest.raises(WeightError, match=r"model\.safetensors: does not fit"):
            load_recognizer(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"\x80\x04.")
    with pytest.raises(WeightError, match=r"model\.safetensors: cannot be read"):
        load_recognizer(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(WeightError, match=r"model\.safetensors: no such file"):
        load_recognizer(tmp_path)


def test_an_encoder_folder_that_is_missing(tmp_path: Path) -> None:
    made().save(tmp_path)
    change(tmp_path, eye={"kind": "clips"})
    film = tiny.film(tmp_path / "a.mp4")
    with pytest.raises(WeightError, match="encoder"):
        load_recognizer(tmp_path).recognize(film)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"names": ["a", "b"]}, "2 class names"),
        ({"names": ["a", "b", "a"]}, r"3 class names \(2 different\) for 3 outputs"),
        ({"temperature": 0.0}, "temperature is 0"),
        ({"temperature": NAN}, "temperature is nan"),
        ({"average": "median"}, "average is 'median'"),
    ],
)
def test_a_recogniser_that_makes_no_sense(given: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        made(**given)
