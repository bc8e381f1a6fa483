"""End-to-end training: it begins as on frozen features, the encoder's top learns, and the model takes raw video."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kinoscope.data.features import Features
from kinoscope.data.segments import Annotations, Segment, VideoAnnotation
from kinoscope.encoders import Sampling, extract_features, load_encoder
from kinoscope.encoders.split import SplitEncoder, split_encoder
from kinoscope.engine.seeds import seed_step
from kinoscope.errors import FeatureError, Interrupted, OptionError, WeightError
from kinoscope.localize.end_to_end import EndToEnd, EndToEndTask
from kinoscope.localize.localizer import Localizer
from kinoscope.localize.task import LocalizeTask
from kinoscope.localize.train import train_localizer
from kinoscope.localize.train_options import LocalizeTrainOptions
from kinoscope.localize.training_data import TrainingData, read_training_data
from kinoscope.pipeline import load_localizer

from ..encoders import tiny
from ..encoders.test_trained import made
from ..folders import files_below

OPTIONS = LocalizeTrainOptions(
    width=16, levels=2, epochs=2, warmup_epochs=1, batch_size=2, validate_every=1, crop_keep=0.1
)
SAMPLING = {"own": Sampling(stride=2), "tiny-lite": Sampling(fps=5.0)}
NAMES = ("a", "b", "c")


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    for seed, name in enumerate(NAMES):
        tiny.film(folder / f"{name}.mp4", 36 if name == "b" else 46, seed=seed)
    made(folder / "own")
    return folder


@pytest.fixture
def here(films: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    tiny.install(monkeypatch)
    monkeypatch.chdir(films)
    return films


def annotations() -> Annotations:
    segments = (Segment(0.5, 2.0, "fall"), Segment(2.5, 3.5, "sit"))
    subsets = {"a": "train", "b": "train", "c": "test"}
    return Annotations({name: VideoAnnotation(segments, subset=subset) for name, subset in subsets.items()})


def parts(name: str) -> tuple[dict[str, Features], EndToEnd]:
    """Features of the whole encoder, and what end-to-end training takes."""
    encoder: SplitEncoder = split_encoder(name, 1, SAMPLING[name], device="cpu")
    features = {each: extract_features(f"{each}.mp4", encoder.whole) for each in NAMES}
    return features, EndToEnd(encoder, {each: extract_features(f"{each}.mp4", encoder.trunk) for each in NAMES}, 1e-2)


def training(features: dict[str, Features]) -> TrainingData:
    part = {name: each for name, each in annotations().videos.items() if each.subset == "train"}
    return read_training_data(Annotations(part), features)


@pytest.mark.parametrize("name", SAMPLING)
def test_it_begins_as_on_frozen_features(here: Path, name: str) -> None:
    features, using = parts(name)
    data = training(features)
    frozen, whole = LocalizeTask(data, OPTIONS), EndToEndTask(data, OPTIONS, using)
    batches = [
        task.collate([task.sample(index, np.random.default_rng(index)) for index in (0, 1)]) for task in (frozen, whole)
    ]
    assert torch.equal(batches[0]["mask"], batches[1]["mask"]) and not batches[0]["mask"].all(), "different lengths"
    losses: list[dict[str, Any]] = []
    for task, batch in zip((frozen, whole), batches, strict=True):
        seed_step(0, 0)  # paths are dropped at random
        losses.append(task.loss(batch))
    assert losses[0].keys() == losses[1].keys()
    for each in losses[0]:
        torch.testing.assert_close(losses[1][each], losses[0][each], rtol=1e-4, atol=1e-5)
    losses[1]["loss"].backward()
    assert all(parameter.grad is not None for parameter in using.encoder.top.parameters())


@pytest.mark.parametrize("name", SAMPLING)
def test_the_model_takes_raw_video_with_its_own_encoder(here: Path, tmp_path: Path, name: str) -> None:
    features, using = parts(name)
    seen: list[Any] = []
    _, scores = train_localizer(
        annotations(),
        features,
        tmp_path / "run",
        OPTIONS,
        end_to_end=using,
        accelerator="cpu",
        early=lambda found: seen.append(found["c"]),
    )
    assert {"encoder/model.safetensors", "encoder/config.json", "config.json"} <= set(files_below(tmp_path / "run"))
    assert "average_map" in scores and len(seen) == 2
    pipeline = load_localizer(tmp_path / "run", device="cpu")
    found = pipeline.localize("c.mp4")
    assert [s.label for s in found] == [s.label for s in seen[-1]], "as validation saw it"
    assert [s.start for s in found] == pytest.approx([s.start for s in seen[-1]], abs=1e-3)
    before = load_encoder(name, device="cpu").state_dict()
    after = pipeline.encoder.state_dict()
    moved = {key for key in before if not torch.equal(before[key], after[key])}
    assert moved and len(moved) < len(before) / 2
    assert not [key for key in moved if "running" in key], "statistics of batch norms stay"
    (tmp_path / "run").rename(tmp_path / "moved")  # paths are written in it
    assert load_localizer(tmp_path / "moved", device="cpu").localize("c.mp4") == found
    (tmp_path / "moved").rename(tmp_path / "run")
    with pytest.raises(FeatureError, match="features come from encoder"):  # of the encoder before
        Localizer.load(tmp_path / "run").localize_features(features["c"])
    (tmp_path / "run" / "encoder" / "model.safetensors").write_bytes(b"")
    with pytest.raises(WeightError):
        load_localizer(tmp_path / "run")


def test_resumed_to_the_same_bits(here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    features, _ = parts("own")
    longer = replace(OPTIONS, epochs=3, validate_every=0, batch_size=1)

    def train(folder: str, resume: bool = False) -> None:
        options = {"end_to_end": parts("own")[1], "accelerator": "cpu", "resume": resume}
        train_localizer(annotations(), features, tmp_path / folder, longer, **options)  # type: ignore[arg-type]

    train("straight")
    sample, calls = EndToEndTask.sample, []

    def interrupted(task: EndToEndTask, index: int, rng: np.random.Generator) -> tuple[Any, ...]:
        calls.append(index)
        if len(calls) == 4:
            os.kill(os.getpid(), signal.SIGINT)
        return sample(task, index, rng)

    monkeypatch.setattr(EndToEndTask, "sample", interrupted)
    with pytest.raises(Interrupted):
        train("broken")
    monkeypatch.undo()
    tiny.install(monkeypatch)
    monkeypatch.chdir(here)
    train("broken", resume=True)
    for file in ("model.safetensors", "encoder/model.safetensors"):
        assert (tmp_path / "straight" / file).read_bytes() == (tmp_path / "broken" / file).read_bytes()


def test_what_does_not_fit(here: Path, tmp_path: Path) -> None:
    features, using = parts("own")
    run = tmp_path / "run"
    with pytest.raises(OptionError, match="trained end to end, but sola is 'joint'"):
        train_localizer(annotations(), features, run, OPTIONS, end_to_end=using, sola="joint")
    with pytest.raises(OptionError, match="rate is 0"):
        EndToEnd(using.encoder, using.maps, 0)
    swapped = {**using.maps, "a": replace(using.maps["a"], values=using.maps["a"].values[::-1])}
    with pytest.raises(FeatureError, match="the features of 'a' are not those of its video"):
        train_localizer(annotations(), features, run, OPTIONS, end_to_end=replace(using, maps=swapped))
    shorter = {**using.maps, "b": replace(using.maps["b"], values=using.maps["b"].values[:3])}
    with pytest.raises(FeatureError, match=r"'b' has \d+ rows of features, but its video gives 3"):
        train_localizer(annotations(), features, run, OPTIONS, end_to_end=replace(using, maps=shorter))
