"""Training a head on features: what it learns, that nothing but its inputs decides the result, and bad input."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kinoscope.bert3d.feature_eye import FeatureEye
from kinoscope.bert3d.network import TokenClassifier
from kinoscope.bert3d.options import HeadName, RecognizeOptions
from kinoscope.bert3d.recognizer import load_recognizer
from kinoscope.bert3d.train import temperature, train_head
from kinoscope.data.clip_parts import Parts
from kinoscope.data.features import FeatureTime, write_features
from kinoscope.engine.checkpoint import load_tree, same_tree
from kinoscope.engine.resume import CHECKPOINT
from kinoscope.errors import (
    AnnotationError,
    FeatureError,
    Interrupted,
    KinoscopeError,
    OptionError,
    OutputError,
)

from .made import (
    CPU,
    HEAD,
    LEARNING,
    QUICK,
    WIDTH,
    clip,
    ordered,
    rows,
    same_weights,
    train,
)


@contextmanager
def _no_interrupt(after: int) -> Iterator[Callable[[], bool]]:
    """Says at the ``after``-th question that somebody pressed Ctrl-C."""
    asked = 0

    def interrupted() -> bool:
        nonlocal asked
        asked += 1
        return asked == after

    yield interrupted


# --- what is learned -----------------------------------------------------------------------------------------------


def test_a_head_learns_the_order_and_the_mean_cannot(tmp_path: Path) -> None:
    """Both classes have the same tokens, one kind after the other: only their order tells them apart."""
    bert = train(tmp_path / "bert", LEARNING)
    mean = train(tmp_path / "tgap", LEARNING, replace(HEAD, head="tgap"))
    truth = bert.parts.numbers(bert.parts.test)
    assert (bert.test.argmax(1) == truth).mean() == 1.0
    assert (mean.test.argmax(1) == truth).mean() <= 0.75


@pytest.mark.parametrize(("name", "epochs"), [("concat-fc", 25), ("lstm", 25), ("convgru", 25), ("attention-pool", 60)])
def test_so_do_its_rivals(tmp_path: Path, name: HeadName, epochs: int) -> None:
    trained = train(tmp_path, replace(LEARNING, epochs=epochs, learning_rate=1e-2), replace(HEAD, head=name))
    assert (trained.test.argmax(1) == trained.parts.numbers(trained.parts.test)).mean() >= 0.9


def test_three_classes_in_clips_of_many_lengths(tmp_path: Path) -> None:
    data = ordered((36, 12, 12), rows=(4, 5, 7, 8), labels=("fall", "rise", "swing"))
    trained = train(tmp_path, replace(LEARNING, epochs=40, learning_rate=1e-2), data=data)
    assert trained.recognizer.classes == ("fall", "rise", "swing") and trained.recognizer.tokens == 8
    assert (trained.test.argmax(1) == trained.parts.numbers(trained.parts.test)).mean() >= 0.8


def test_probabilities_are_those_of_the_folder(tmp_path: Path) -> None:
    trained = train(tmp_path, data=ordered(rows=(4, 9, 15)), tokens=6)
    loaded = load_recognizer(tmp_path, device="cpu")
    _, features = ordered(rows=(4, 9, 15))
    for one, expected in zip(trained.parts.test, trained.test, strict=True):
        found = loaded.recognize_features(features[one.name])
        np.testing.assert_allclose(found.probabilities, expected, atol=1e-7)
    assert trained.test.sum(1) == pytest.approx(np.ones(len(trained.test))) and trained.parameters > 900
    assert isinstance(loaded.eye, FeatureEye) and loaded.eye.spec.encoder == "net"


def test_tokens_are_standardised_by_training_clips_alone(tmp_path: Path) -> None:
    parts, features = ordered()
    features["test00"].values[:] = 1e6
    classifier = train(tmp_path, data=(parts, features)).recognizer.classifier
    every = np.concatenate([features[one.name].values for one in parts.train]).astype(np.float64)
    np.testing.assert_allclose(classifier.center, every.mean(0), rtol=1e-5)
    np.testing.assert_allclose(classifier.scale, 1 / every.std(0), rtol=1e-4)


# --- nothing but the inputs decides --------------------------------------------------------------------------------


def test_equal_seeds_give_equal_bits(tmp_path: Path) -> None:
    """Whatever else the process drew, however many workers load."""
    first = train(tmp_path / "a")
    torch.rand(7)
    np.random.default_rng().random(7)
    again = train(tmp_path / "b", where=replace(CPU, workers=2))
    assert same_weights(first.recognizer.classifier, again.recognizer.classifier)
    np.testing.assert_array_equal(first.test, again.test)
    other = train(tmp_path / "c", replace(QUICK, seed=1))
    assert not same_weights(first.recognizer.classifier, other.recognizer.classifier)


@pytest.mark.parametrize(
    ("options", "after"),
    [
        (QUICK, 4),
        (replace(QUICK, accumulate=3, batch_size=4), 2),
        (replace(QUICK, schedule="plateau", patience=1, epochs=10, learning_rate=0.3), 17),
        (replace(QUICK, optimizer="sgd", dampening=0.9, select="last"), 5),
    ],
    ids=["cosine", "accumulate", "plateau", "sgd"],
)
def test_an_interrupted_run_goes_on_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: RecognizeOptions, after: int
) -> None:
    whole = train(tmp_path / "whole", options)
    with monkeypatch.context() as patched:
        patched.setattr("kinoscope.engine.loop.deferred_interrupt", lambda: _no_interrupt(after))
        with pytest.raises(Interrupted, match="--resume"):
            train(tmp_path / "run", options)
    resumed = train(tmp_path / "run", options, resume=True)
    assert same_weights(whole.recognizer.classifier, resumed.recognizer.classifier)
    assert same_tree(load_tree(tmp_path / "run" / CHECKPOINT), load_tree(tmp_path / "whole" / CHECKPOINT))
    assert resumed.recognizer.temperature == whole.recognizer.temperature
    np.testing.assert_array_equal(resumed.test, whole.test)
    if options.schedule == "plateau":
        drops = int(load_tree(tmp_path / "run" / CHECKPOINT)["networks"]["plateau"]["drops"])
        assert drops > 0, "the rate never dropped: nothing is tested"


def test_a_finished_run_is_read_again_and_not_overwritten(tmp_path: Path) -> None:
    first = train(tmp_path)
    again = train(tmp_path, resume=True)
    assert same_weights(first.recognizer.classifier, again.recognizer.classifier)
    with pytest.raises(OutputError, match="already holds a run"):
        train(tmp_path)


def test_a_run_goes_on_only_as_it_began(tmp_path: Path) -> None:
    train(tmp_path)
    for options, text in (
        (replace(QUICK, learning_rate=1e-3), "learning_rate was 0.003, now 0.001"),
        (replace(QUICK, schedule="plateau"), "schedule was 'cosine', now 'plateau'"),
    ):
        with pytest.raises(OptionError, match=text):
            train(tmp_path, options, resume=True)
    with pytest.raises(OptionError, match=r"head\.keep was"):
        train(tmp_path, head=replace(HEAD, keep=0.5), resume=True)
    parts, features = ordered()
    changed = {name: replace(each, values=each.values * 2) for name, each in features.items()}
    with pytest.raises(OptionError, match="data are not those"):
        train(tmp_path, data=(parts, changed), resume=True)
    with pytest.raises(OptionError, match="clips was"):
        train(tmp_path, data=(replace(parts, train=parts.train[1:]), features), resume=True)


def test_features_in_a_folder_are_those_in_memory(tmp_path: Path) -> None:
    for name, each in ordered()[1].items():
        write_features(tmp_path / "feats" / f"{name}.safetensors", each)
    inside, outside = train(tmp_path / "a"), train(tmp_path / "b", features=tmp_path / "feats")
    assert same_weights(inside.recognizer.classifier, outside.recognizer.classifier)


# --- unusual and bad input -----------------------------------------------------------------------------------------


def test_a_class_that_only_the_test_has_is_never_right(tmp_path: Path) -> None:
    parts, features = ordered()
    features["new"] = features["test00"]
    held = (clip("new", "jump"), *parts.validation)
    trained = train(tmp_path, data=(replace(parts, test=(clip("new", "jump"),), validation=held), features))
    assert trained.recognizer.classes == ("fall", "rise") and trained.test.shape == (1, 2)
    assert rows(tmp_path, "validation")[0]["validation_accuracy"] <= 8 / 9


def test_one_example_of_a_class(tmp_path: Path) -> None:
    parts, features = ordered()
    falls = tuple(one for one in parts.train if one.label == "fall")
    trained = train(tmp_path, data=(replace(parts, train=(*falls, parts.train[1])), features))
    assert parts.train[1].label == "rise" and trained.recognizer.classes == ("fall", "rise")


def test_two_clips_are_enough(tmp_path: Path) -> None:
    parts, features = ordered()
    trained = train(tmp_path, data=(Parts(parts.train[:2], (), (), "made"), features))
    assert trained.test.shape == (0, 2) and trained.recognizer.classifier.last.bias.isfinite().all()


def test_a_batch_larger_than_the_set(tmp_path: Path) -> None:
    train(tmp_path, replace(QUICK, batch_size=1000))
    assert len(rows(tmp_path, "training")) == 3


@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_nan_in_features_is_told_with_the_name_before_training(tmp_path: Path, part: str) -> None:
    parts, features = ordered()
    features[f"{part}03"].values[2, 1] = np.nan
    with pytest.raises(FeatureError, match=f"{part}03: 1 of 6 rows hold NaN"):
        train(tmp_path / "run", data=(parts, features))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("part", ["train", "validation", "test"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"values": np.zeros((6, WIDTH + 1), np.float32)}, "channels"),
        ({"encoder": "other"}, "'other'"),
        ({"weight_hash": "xyz"}, "weights 'xyz'"),
    ],
    ids=["width", "encoder", "weights"],
)
def test_features_of_several_kinds_are_told_before_training(
    tmp_path: Path, part: str, change: Mapping[str, Any], message: str
) -> None:
    parts, features = ordered()
    name = f"{part}03"
    features[name] = replace(features[name], **change)
    with pytest.raises(FeatureError, match=rf"{name}.*{message}"):
        train(tmp_path / "run", data=(parts, features))
    assert not (tmp_path / "run").exists()


def test_missing_features_and_no_features(tmp_path: Path) -> None:
    parts, features = ordered()
    del features["validation02"]
    with pytest.raises(FeatureError, match="no features of 'validation02'"):
        train(tmp_path / "run", data=(parts, features))
    with pytest.raises(OptionError, match=r"neither features nor an encoder(.|\n)*--encoder, --features"):
        train_head(parts, tmp_path / "run", where=CPU)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("validated", [True, False])
def test_a_loss_that_explodes_stops_and_tells_what_to_do(tmp_path: Path, validated: bool) -> None:
    parts, features = ordered()
    data = (parts if validated else replace(parts, validation=()), features)
    wild = RecognizeOptions(epochs=4, batch_size=8, learning_rate=1e30, schedule="constant", warmup=0.0)
    with pytest.raises(KinoscopeError, match=r"(?s)the loss became (nan|inf).* in a batch of: train\d\d, .*learning"):
        train(tmp_path / "several", wild, data=data)
    wild = replace(wild, epochs=1, batch_size=100, optimizer="sgd", learning_rate=3e38, weight_decay=1e3)
    with pytest.raises(KinoscopeError, match=r"(?s)no finite numbers.*lower the learning rate"):
        train(tmp_path / "one", wild, data=data)
    assert not (tmp_path / "one" / "config.json").exists(), "no model is left that cannot answer"


def test_heads_that_do_not_divide_the_channels(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="3 heads do not divide 8 channels"):
        train(tmp_path / "run", head=replace(HEAD, heads=3))
    assert not (tmp_path / "run").exists()


def test_videos_that_could_not_be_read_leave_enough_or_not() -> None:
    from kinoscope.data.clip_parts import without
    from kinoscope.data.labelled_clips import video_of

    parts, _ = ordered()
    assert without(parts, set(), video_of) is parts
    left = without(parts, {"train00", "validation01", "test02"}, video_of)
    assert (len(left.train), len(left.validation), len(left.test)) == (23, 7, 11)
    with pytest.raises(AnnotationError, match=r"12 videos cannot be read.*every training clip shows 'rise'"):
        without(parts, {f"train{number:02d}" for number in range(0, 24, 2)}, video_of)


# --- calibration ---------------------------------------------------------------------------------------------------


def test_a_training_calibrates_on_validation_and_keeps_it(tmp_path: Path) -> None:
    trained = train(tmp_path, replace(QUICK, epochs=1))
    truth = trained.parts.numbers(trained.parts.validation)
    expected = temperature(trained.validation, truth)
    assert expected != 1.0, "nothing is tested"
    assert load_recognizer(tmp_path).temperature == trained.recognizer.temperature == pytest.approx(expected)
    one = trained.recognizer.judge(
        trained.recognizer.eye.glimpses(ordered()[1]["test00"])  # type: ignore[attr-defined]
    )
    powers = [math.exp(logit / expected) for logit in one.logits]
    assert one.probabilities == pytest.approx([power / sum(powers) for power in powers], abs=1e-6)


def test_other_times_of_rows_are_refused(tmp_path: Path) -> None:
    trained = train(tmp_path)
    assert isinstance(trained.recognizer.classifier, TokenClassifier)
    slow = replace(ordered()[1]["test00"], time=FeatureTime(fps=10, stride=20, clip_length=10))
    with pytest.raises(FeatureError, match=r"a row every 2 s, the model's every 0\.5 s"):
        trained.recognizer.recognize_features(slow)
