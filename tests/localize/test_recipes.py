"""The published recipes: what they set, what stands above them, and that they train."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kinoscope.data.features import Features
from kinoscope.data.segments import Annotations
from kinoscope.data.training_part import training_part
from kinoscope.errors import OptionError
from kinoscope.localize.localizer import Localizer
from kinoscope.localize.options import DecodeOptions
from kinoscope.localize.recipes import RECIPES, with_recipe
from kinoscope.localize.task import LocalizeTask
from kinoscope.localize.train import train_localizer
from kinoscope.localize.train_options import LocalizeTrainOptions, rate_factor
from kinoscope.localize.training_data import read_training_data

from .test_train import QUICK, made


def official(**given: Any) -> tuple[LocalizeTrainOptions, DecodeOptions | None]:
    return with_recipe(LocalizeTrainOptions(**given), "official")


def wide(train: int = 6, test: int = 3) -> tuple[Annotations, dict[str, Features]]:
    """The small set with as many channels as the groups of released convolutions want."""
    annotations, features = made(train, test)
    return annotations, {
        name: replace(each, values=np.pad(each.values, ((0, 0), (0, 2)))) for name, each in features.items()
    }


def task_of(options: LocalizeTrainOptions) -> LocalizeTask:
    annotations, features = wide()
    return LocalizeTask(read_training_data(training_part(annotations, None), features), options)


def test_actionformer_on_thumos() -> None:
    options, decoding = official(preset="thumos")
    head = options.head_options(2048, 20, [])
    assert (head.levels, head.width, head.mask_clean, head.max_length, head.windows) == (6, 512, False, 2304, (19,) * 6)  # type: ignore[union-attr]
    assert (options.epochs, options.warmup, options.batch_size, options.learning_rate) == (35, 5, 2, 1e-4)
    assert (options.normaliser, options.average, options.average_warmup) == (100, 0.999, False)
    assert decoding == DecodeOptions()


@pytest.mark.parametrize(
    ("head", "preset", "rate", "batch", "epochs", "falls", "clip", "sigma"),
    [  # specification, sections 2.4 and 3.3
        ("gtad", "thumos", 4e-5, 8, 10, 5, 1, 0.46),
        ("gtad", "activitynet", 4e-3, 16, 10, 5, 0, 0.8),
        ("bmn", "activitynet", 1e-3, 16, 9, 7, 0, 0.4),
    ],
)
def test_heads_that_score_maps(
    head: Any, preset: Any, rate: float, batch: int, epochs: int, falls: int, clip: float, sigma: float
) -> None:
    options, decoding = official(head=head, preset=preset)
    assert (options.learning_rate, options.batch_size, options.epochs, options.rate_falls) == (
        rate,
        batch,
        epochs,
        falls,
    )
    assert (options.optimizer, options.weight_decay, options.clip_gradients) == ("adam", 1e-4, clip)
    assert (options.warmup, options.average, options.crops) == (0, 0, "fixed")
    assert decoding is not None and decoding.sigma == sigma


def test_tridet_on_thumos() -> None:
    options, decoding = official(head="tridet", preset="thumos")
    assert (options.epochs, options.warmup, options.weight_decay, options.learning_rate) == (40, 20, 0.025, 1e-4)
    assert decoding is not None and decoding.max_segments == 2000


def test_options_that_are_given_stand_above_the_recipe() -> None:
    options, _ = official(head="bmn", preset="activitynet", epochs=3, rate_falls=2, learning_rate=0.5)
    assert (options.epochs, options.rate_falls, options.learning_rate, options.batch_size) == (3, 2, 0.5, 16)
    assert with_recipe(QUICK, "own") == (QUICK, None)


@pytest.mark.parametrize("head", ["actionformer", "tridet", "gtad", "bmn"])
def test_a_size_that_no_release_has_is_refused(head: Any) -> None:
    with pytest.raises(OptionError, match="preset is 'small'") as caught:
        official(head=head)
    assert all(preset in str(caught.value) for known, preset in RECIPES if known == head)
    with pytest.raises(OptionError, match="'paper'"):
        with_recipe(QUICK, "paper")  # type: ignore[arg-type]


def test_the_rate_falls_once() -> None:
    assert [rate_factor(step, 10, 0, 1e-6, 6) for step in range(10)] == [1] * 6 + [0.1] * 4
    assert [rate_factor(step, 10, 3, 1e-6, 6) for step in (0, 1, 2, 3, 6)] == [0, 0.5, 1, 1, 0.1]
    task = task_of(replace(QUICK, epochs=10, warmup_epochs=0, rate_falls=5))
    assert [task.schedule(step, 40) for step in (0, 19, 20, 39)] == [1, 1, 0.1, 0.1]


def test_adam_decays_all_parameters_through_the_gradient() -> None:
    task = task_of(replace(QUICK, optimizer="adam", weight_decay=0.5))
    (group,) = task.optimizers["head"].param_groups
    assert type(task.optimizers["head"]) is torch.optim.Adam
    assert (len(group["params"]), group["weight_decay"]) == (len(list(task.head.parameters())), 0.5)


def test_without_an_average_the_last_weights_are_the_model() -> None:
    task = task_of(replace(QUICK, average=0.0))
    with torch.no_grad():
        for parameter in task.head.parameters():
            parameter.add_(1.0)
    task.after_step(0)
    for mean, value in zip(task.average.state_dict().values(), task.head.state_dict().values(), strict=True):
        torch.testing.assert_close(mean, value)


@pytest.mark.parametrize("head", ["gtad", "bmn"])
def test_an_epoch_of_fixed_crops_shows_every_window_with_a_segment(head: Any) -> None:
    task = task_of(replace(LocalizeTrainOptions(head=head), crops="fixed"))
    size = task.use.options.rows  # type: ignore[union-attr]
    shown = set()
    for index in range(len(task)):
        values, segments, labels = task.sample(index, np.random.default_rng(0))
        again = task.sample(index, np.random.default_rng(1))
        assert all(np.array_equal(one, other) for one, other in zip((values, segments, labels), again, strict=True))
        video = task.video(index)
        assert task.describe(index) == video.name
        rows = task.data.features[video.name].values
        (first,) = (at for at in range(len(rows)) if np.array_equal(rows[at : at + len(values)], values))
        shown.add((video.name, first))
        assert len(values) == size and len(segments) == len(labels) > 0
    for video in task.data.videos:  # every segment is whole in some window, and windows are half a window apart
        for start, end in video.segments:
            firsts = {first for name, first in shown if name == video.name}
            assert any(first - 0.5 <= start and end <= first + size - 0.5 for first in firsts)
            assert all(first % (size // 2) == 0 or first == 60 - size for first in firsts)
    whole = task_of(LocalizeTrainOptions(head="bmn", preset="activitynet", crops="fixed"))
    assert [len(whole.sample(index, np.random.default_rng(0))[0]) for index in range(len(whole))] == [60] * 6


def test_windows_too_short_for_any_segment_are_told() -> None:
    annotations, features = wide()
    data = read_training_data(training_part(annotations, None), features)
    many = {name: replace(each, values=np.tile(each.values, (6, 1))) for name, each in features.items()}
    long = tuple(
        replace(video, segments=np.array([[10.0, 340.0], [20.0, 25.0]]), labels=np.array([0, 0]))
        for video in data.videos
    )
    options = LocalizeTrainOptions(head="gtad", preset="thumos", crops="fixed")
    with pytest.warns(UserWarning, match="6 of 12 training segments are too long"):
        assert len(LocalizeTask(replace(data, videos=long, features=many), options)) == 6
    early = tuple(replace(video, segments=np.array([[10.0, 340.0], [-60.0, 3.0]])) for video in long)
    with (
        pytest.warns(UserWarning, match="too long"),
        pytest.raises(OptionError, match="none of the head's windows of 256 rows holds"),
    ):
        LocalizeTask(replace(data, videos=early, features=many), options)


def test_runs_of_before_can_be_resumed() -> None:
    settings = task_of(QUICK).settings()
    assert not {"optimizer", "rate_falls", "crops"} & settings.keys()
    settings = task_of(replace(QUICK, optimizer="adam", rate_falls=9)).settings()
    assert (settings["optimizer"], settings["rate_falls"]) == ("adam", 9)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"optimizer": "sgd"}, "'sgd'"),
        ({"crops": "all"}, "'all'"),
        ({"crops": "fixed"}, "takes any stretch"),
        ({"rate_falls": 61}, "rate_falls"),
        ({"rate_falls": 2}, "rate_falls"),  # while it still rises
        ({"clip_gradients": -1.0}, "clip_gradients"),
    ],
)
def test_impossible_options_are_refused(bad: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        LocalizeTrainOptions(**bad)


def test_a_recipe_trains_a_model_that_suppresses_as_the_release(tmp_path: Path) -> None:
    annotations, features = wide(2, 1)
    options, decoding = official(head="bmn", preset="activitynet", epochs=1, rate_falls=1, width=8)
    train_localizer(annotations, features, tmp_path, options, decoding=decoding, accelerator="cpu")
    model = Localizer.load(tmp_path)
    assert model.decoding == RECIPES["bmn", "activitynet"].decoding
    assert len(model.localize_features(features["v2"])) <= 100


def test_actionformer_on_activitynet(tmp_path: Path) -> None:
    """Whole videos in 192 rows: what is trained, what is found, and in which seconds."""
    annotations, features = wide(6, 3)
    one = Annotations(
        {
            name: replace(video, segments=tuple(replace(s, label="action") for s in video.segments))
            for name, video in annotations.videos.items()
        }
    )
    options, decoding = official(preset="activitynet", width=16, epochs=4, warmup_epochs=1, batch_size=3)
    assert (options.normaliser, options.smoothing, options.offset_weight) == (200, 0.1, 2)
    head = options.head_options(8, 1, [])
    assert (head.levels, head.windows, head.max_length) == (6, (7, 7, 7, 7, 7, 1), 192)  # type: ignore[union-attr]
    task = LocalizeTask(read_training_data(training_part(one, None), features), options)
    values, segments, _ = task.sample(0, np.random.default_rng(0))
    assert 173 <= len(values) <= 192 and segments.max() > 60  # in rows of the whole, of which there were 60
    batch = task.collate([task.sample(index, np.random.default_rng(index)) for index in range(3)])
    assert batch["features"].shape == (3, 192, 8)
    model, scores = train_localizer(one, features, tmp_path, options, decoding=decoding, accelerator="cpu")
    assert scores["average_map"] >= 0 and model.decoding.voting == 0.9
    loaded = Localizer.load(tmp_path)
    found = loaded.localize_many([features["v6"], features["v7"]])
    alone = loaded.localize_features(features["v6"])
    assert [s.start for s in found[0]] == pytest.approx([s.start for s in alone], abs=1e-3) and len(alone) <= 100
    assert all(0 <= s.start < s.end <= 60 * 0.5 + 0.5 for s in found[0])
    with pytest.raises(OptionError, match="SoLa inside the head does not go with preset 'activitynet'"):
        train_localizer(one, features, tmp_path / "joint", options, sola="joint", accelerator="cpu")
    with pytest.raises(OptionError, match="has 6"):
        official(preset="activitynet", levels=3)


def test_features_that_a_release_cannot_take_are_told() -> None:
    for head in ("gtad", "bmn"):
        with pytest.raises(OptionError, match=f"130 channels, but the released {head} takes multiples of 4"):
            LocalizeTrainOptions(head=head, preset="activitynet").head_options(130, 3, [])  # type: ignore[arg-type]


def test_what_cannot_be_learned_is_named() -> None:
    annotations, features = wide()
    data = read_training_data(training_part(annotations, None), features)
    first, *rest = data.videos
    classes = (*data.classes, "whole")
    long = replace(first, segments=np.array([[0.0, 58.0]]), labels=np.array([2]))
    changed = replace(data, videos=(long, *rest), classes=classes)
    said = (
        rf"1 of 11 training segments is too long for the head, first of '{first.name}'(.|\n)*nothing is left of 'whole'"
    )
    with pytest.warns(UserWarning, match=said) as told:
        LocalizeTask(changed, LocalizeTrainOptions(max_length=20))
    assert "raise --max-length" in str(told[0].message)
    many = {name: replace(each, values=np.tile(each.values, (6, 1))) for name, each in features.items()}
    long = replace(first, segments=np.array([[0.0, 300.0]]), labels=np.array([2]))
    changed = replace(changed, videos=(long, *rest), features=many)
    with pytest.warns(UserWarning, match="too long") as told:
        LocalizeTask(changed, LocalizeTrainOptions(head="gtad", preset="thumos"))
    assert "--max-length" not in str(told[0].message)


def test_a_label_that_only_validation_has_is_told(tmp_path: Path) -> None:
    annotations, features = wide(2, 1)
    other = replace(annotations.videos["v2"].segments[0], label="brandnew")
    videos = {**annotations.videos, "v2": replace(annotations.videos["v2"], segments=(other,))}
    with pytest.warns(UserWarning, match="1 label of the validation videos, first 'brandnew'"):
        train_localizer(Annotations(videos), features, tmp_path, replace(QUICK, epochs=3), accelerator="cpu")
