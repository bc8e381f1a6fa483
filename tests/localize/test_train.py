"""Training: the schedule's vector, what is decayed and averaged, a set that is learned in seconds, and bad input."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from kinoscope.data.features import Features, FeatureTime, write_features
from kinoscope.data.segments import Annotations, Segment, VideoAnnotation
from kinoscope.data.training_part import training_part
from kinoscope.errors import AnnotationError, FeatureError, OptionError, OutputError
from kinoscope.localize.localizer import Localizer
from kinoscope.localize.recipes import with_recipe
from kinoscope.localize.task import LocalizeTask
from kinoscope.localize.train import train_localizer
from kinoscope.localize.train_options import LocalizeTrainOptions, rate_factor
from kinoscope.localize.training_data import read_training_data

TIME = FeatureTime(fps=10, stride=5, clip_length=10)
QUICK = LocalizeTrainOptions(width=32, levels=3, epochs=25, warmup_epochs=2, learning_rate=3e-3, validate_every=0)
LEARNING = replace(QUICK, epochs=12, warmup_epochs=1, learning_rate=8e-3, validate_every=12)
"""Enough for every head to learn the small set."""
OFFICIAL = with_recipe(LocalizeTrainOptions(preset="thumos"), "official")[0]


def video(seed: int, rows: int = 60) -> tuple[Features, tuple[Segment, ...]]:
    """Noise, in which each of two classes lifts a channel of its own for a while."""
    rng = np.random.default_rng(seed)
    values = rng.normal(scale=0.3, size=(rows, 6)).astype(np.float32)
    segments = []
    for start, label in ((int(rng.integers(2, 12)), "walk"), (int(rng.integers(32, 42)), "fall")):
        end = start + int(rng.integers(4, 14))
        values[start:end, int(label == "fall")] += 2.0
        edges = TIME.to_seconds(np.array([start - 0.5, end - 0.5]))
        segments.append(Segment(float(edges[0]), float(edges[1]), label))
    return Features(values, TIME, "net", "abc"), tuple(segments)


def made(train: int = 6, test: int = 3) -> tuple[Annotations, dict[str, Features]]:
    """Annotations and features of a small set."""
    features, videos = {}, {}
    for seed in range(train + test):
        name = f"v{seed}"
        features[name], segments = video(seed)
        videos[name] = VideoAnnotation(segments, subset="train" if seed < train else "test")
    return Annotations(videos), features


def task_of(options: LocalizeTrainOptions = QUICK) -> LocalizeTask:
    annotations, features = made()
    return LocalizeTask(read_training_data(training_part(annotations, None), features), options)


def test_schedule_vector(vectors):
    group = vectors("localization")["vectors"]["lr_schedule"]
    inputs = group["cases"][0]["inputs"]
    base = inputs["base"]
    rates = [base * rate_factor(k, inputs["max"], inputs["warmup"], 1e-8 / base) for k in range(inputs["max"])]
    assert rates == pytest.approx(group["cases"][0]["expected"]["lr"], abs=group["tolerance"])


def test_schedule_of_the_task_and_without_warmup():
    task = task_of(replace(QUICK, epochs=4, warmup_epochs=1))
    assert [task.schedule(step, 20) for step in (0, 2, 4, 5)] == pytest.approx([0, 0.5, 1, 1])
    assert task.schedule(20, 20) < 1e-4
    assert task_of(replace(QUICK, warmup_epochs=0)).schedule(0, 20) == 1.0


@pytest.mark.parametrize(("epochs", "warmup"), [(1, 0), (2, 1), (7, 3), (9, 4), (10, 5), (30, 5), (60, 5)])
def test_warm_up_follows_the_epochs_where_none_is_given(epochs, warmup):
    options = replace(QUICK, epochs=epochs, warmup_epochs=None)
    assert options.warmup == warmup
    task, given = task_of(options), task_of(replace(QUICK, epochs=epochs, warmup_epochs=warmup))
    assert [task.schedule(step, 120) for step in range(121)] == [given.schedule(step, 120) for step in range(121)]
    assert task.settings() == given.settings()  # so that runs from before can be resumed


def test_only_convolution_weights_decay():
    task = task_of()
    decayed, rest = task.optimizers["head"].param_groups
    assert decayed["weight_decay"] == 0.05
    assert rest["weight_decay"] == 0
    assert all(parameter.ndim == 3 and parameter.shape[0] > 1 for parameter in decayed["params"])
    assert len(decayed["params"]) + len(rest["params"]) == len(list(task.head.parameters()))


def test_average_is_short_at_first_and_follows_the_formula():
    task = task_of()
    before = task.average.cls_head.cls_head.conv.weight.clone()
    with torch.no_grad():
        for parameter in task.head.parameters():
            parameter.add_(1.0)
    task.after_step(0)
    torch.testing.assert_close(task.average.cls_head.cls_head.conv.weight, before + 0.9)
    task.after_step(10**6)
    torch.testing.assert_close(task.average.cls_head.cls_head.conv.weight, before + 0.9 + 0.1 * 0.001)


def test_a_sample_depends_on_its_generator_only():
    task = task_of(replace(QUICK, max_length=20))
    a, b = (task.sample(2, np.random.default_rng(5)) for _ in range(2))
    assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
    assert len(a[0]) == 20


def test_official_heads_are_padded_to_their_length():
    options = replace(OFFICIAL, width=8, levels=2, max_length=96)
    task = task_of(options)
    batch = task.collate([task.sample(index, np.random.default_rng(0)) for index in range(2)])
    assert batch["features"].shape == (2, 96, 6)
    assert task.loss(batch)["loss"].isfinite()


def test_a_batch_without_any_segment_trains():
    task = task_of()
    empty = (np.zeros((1, 6), np.float32), np.zeros((0, 2)), np.zeros(0, dtype=np.int64))
    losses = task.loss(task.collate([empty, empty]))
    losses["loss"].backward()
    assert losses["positives"] == 0
    assert all(p.grad is None or p.grad.isfinite().all() for p in task.head.parameters())


def test_learns_a_small_set_and_leaves_a_model(tmp_path):
    annotations, features = made()
    localizer, metrics = train_localizer(annotations, features, tmp_path / "run", LEARNING, accelerator="cpu")
    assert metrics["average_map"] > 0.8
    loaded = Localizer.load(tmp_path / "run")
    assert loaded.classes == ("fall", "walk")
    best = loaded.localize_features(features["v8"])[:2]
    assert best == localizer.localize_features(features["v8"])[:2]
    for segment in best:
        truth = next(s for s in annotations.videos["v8"].segments if s.label == segment.label)
        assert abs(segment.start - truth.start) < 1.0
        assert abs(segment.end - truth.end) < 1.0
    rows = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert {"loss", "class_loss", "offset_loss", "positives", "gradient_norm"} <= set(rows[0])
    assert rows[-1]["kind"] == "validation"


def test_features_from_a_folder_workers_and_resume_change_nothing(tmp_path):
    annotations, features = made(4, 0)
    for name, values in features.items():
        write_features(tmp_path / f"features/{name}.safetensors", values)
    quick = replace(QUICK, epochs=3, warmup_epochs=1)
    runs = [
        train_localizer(annotations, tmp_path / "features", tmp_path / "a", quick, workers=2, accelerator="cpu"),
        train_localizer(annotations, features, tmp_path / "b", quick, accelerator="cpu"),
        train_localizer(annotations, features, tmp_path / "b", quick, accelerator="cpu", resume=True),
    ]
    states = [localizer.network.state_dict() for localizer, _ in runs]
    assert all(torch.equal(states[0][name], state[name]) for state in states[1:] for name in state)
    with pytest.raises(OutputError, match="already holds a run"):
        train_localizer(annotations, features, tmp_path / "b", quick, accelerator="cpu")


def test_levels_follow_the_training_segments_unless_given():
    annotations, features = made()
    lengths = read_training_data(training_part(annotations, None), features).lengths
    assert all(4 <= length <= 14 for length in lengths)
    assert LocalizeTrainOptions().head_options(6, 2, lengths).levels == 3
    assert LocalizeTrainOptions().head_options(6, 2, [200.0]).levels == 6
    assert LocalizeTrainOptions(levels=2).head_options(6, 2, lengths).levels == 2


def test_which_videos_are_trained_on():
    annotations, _ = made(2, 2)
    assert list(training_part(annotations, None).videos) == ["v0", "v1"]
    assert list(training_part(annotations, "TEST").videos) == ["v2", "v3"]
    unmarked = Annotations({name: replace(item, subset=None) for name, item in annotations.videos.items()})
    assert len(training_part(unmarked, None).videos) == 4
    with pytest.raises(OptionError, match="'validation'"):
        training_part(annotations, "validation")


def test_annotations_that_cannot_be_trained_on():
    clips = Annotations({"a": VideoAnnotation(label="walk")})
    with pytest.raises(AnnotationError, match="whole clips"):
        training_part(clips, None)
    with pytest.raises(AnnotationError, match="no segment"):
        training_part(Annotations({"a": VideoAnnotation()}), None)


def test_features_that_cannot_be_trained_on():
    annotations, features = made(3, 0)
    with pytest.raises(FeatureError, match="2 of 3 annotated videos have no features: v0, v1"):
        read_training_data(annotations, {"v2": features["v2"]})
    with pytest.raises(FeatureError, match="channels"):
        read_training_data(annotations, features | {"v1": Features(np.zeros((5, 7), np.float32), TIME)})
    with pytest.raises(FeatureError, match=r"v1: 1 of 5 rows hold NaN.*\n.*Cure"):
        bad = np.zeros((5, 6), np.float32)
        bad[3] = np.nan
        read_training_data(annotations, features | {"v1": Features(bad, TIME)})


def test_unfit_validation_features_are_refused_before_training(tmp_path):
    annotations, features = made(2, 1)
    other = replace(features["v2"], encoder="other")
    with pytest.raises(FeatureError, match="v2: features come from encoder 'other'"):
        train_localizer(annotations, features | {"v2": other}, tmp_path / "run", QUICK, accelerator="cpu")
    assert not (tmp_path / "run").exists()


def test_segments_between_two_rows_are_reported():
    _, features = made(1, 0)
    short = Segment(1.1, 1.2, "walk")  # rows are centred at 0.5, 1.0, 1.5 … seconds
    with pytest.raises(FeatureError, match="1 of 1 training segments"):
        read_training_data(Annotations({"v0": VideoAnnotation((short,))}), features)
    with pytest.warns(UserWarning, match="1 of 2 training segments"):
        read_training_data(Annotations({"v0": VideoAnnotation((short, Segment(1.0, 4.0, "walk")))}), features)


@pytest.mark.parametrize(
    "bad",
    [
        {"preset": "large"},
        {"epochs": 0},
        {"warmup_epochs": 60},
        {"warmup_epochs": 2, "epochs": 2},
        {"warmup_epochs": -1},
        {"learning_rate": 0.0},
        {"average": 1.5},
        {"levels": 0},
    ],
)
def test_impossible_options_are_refused(bad):
    with pytest.raises(OptionError):
        LocalizeTrainOptions(**bad)


def test_a_run_is_not_resumed_on_other_labels_or_other_features(tmp_path):
    annotations, features = made()
    options = replace(QUICK, epochs=3, warmup_epochs=1)
    train_localizer(annotations, features, tmp_path / "run", options, accelerator="cpu")
    first = annotations.videos["v0"]
    moved = tuple(replace(segment, end=segment.end + 0.1) for segment in first.segments)
    other = Annotations({**annotations.videos, "v0": replace(first, segments=moved)})
    with pytest.raises(OptionError, match="data are not those"):
        train_localizer(other, features, tmp_path / "run", options, resume=True, accelerator="cpu")
    adapted = {name: replace(each, encoder="net+sola") for name, each in features.items()}
    with pytest.raises(OptionError, match=r"encoder was 'net', now 'net\+sola'"):
        train_localizer(annotations, adapted, tmp_path / "run", options, resume=True, accelerator="cpu")


@pytest.mark.parametrize("subset", ["train", "test"])
def test_a_segment_beyond_its_video_is_told_before_training(tmp_path, subset):
    annotations, features = made(3, 2)
    name = next(name for name, each in annotations.videos.items() if each.subset == subset)
    features = {key: replace(each, time=replace(TIME, duration=40.0)) for key, each in features.items()}
    late = replace(annotations.videos[name], segments=(Segment(1, 900, "fall"),))
    with pytest.raises(AnnotationError, match=f"'fall' in '{name}' runs from 1 to 900 s, but the video ends at 40 s"):
        train_localizer(Annotations({**annotations.videos, name: late}), features, tmp_path / "run", QUICK)
    assert not (tmp_path / "run").exists()


def test_a_protocol_that_does_not_exist_is_told_before_training(tmp_path):
    with pytest.raises(OptionError, match="protocol"):
        train_localizer(*made(), tmp_path / "run", QUICK, protocol="foo")
    assert not (tmp_path / "run").exists()


def test_segments_and_scores_of_one_pass_are_those_of_two(tmp_path):
    annotations, features = made(3, 1)
    model, _ = train_localizer(annotations, features, tmp_path, replace(QUICK, epochs=3), accelerator="cpu")
    segments, scores = model.localize_with_scores(features["v3"])
    assert segments == model.localize_features(features["v3"])
    np.testing.assert_array_equal(scores, model.class_scores(features["v3"]))


def test_segments_that_no_crop_holds_are_reported(tmp_path):
    annotations, features = made(2, 0)
    first, other = annotations.videos["v0"], annotations.videos["v1"]
    long = replace(first, segments=(Segment(1.0, 29.0, "a"), *first.segments))
    data = read_training_data(Annotations({"v0": long, "v1": other}), features)
    assert max(data.lengths) == 56
    with pytest.warns(
        UserWarning,
        match=r"1 of \d+ training segments is too long for the head, first of 'v0' \(up to 20.* 56\)",
    ):
        LocalizeTask(data, replace(QUICK, max_length=20))
    whole = {name: VideoAnnotation((Segment(1.0, 29.0, "a"),)) for name in features}
    with pytest.raises(OptionError, match="nothing can be learned"):
        LocalizeTask(read_training_data(Annotations(whole), features), replace(QUICK, max_length=20))
    LocalizeTask(read_training_data(Annotations(whole), features), QUICK)
    with pytest.raises(OptionError, match="max_length is given, but gtad looks through windows"):
        LocalizeTask(data, LocalizeTrainOptions(head="gtad", max_length=20))
