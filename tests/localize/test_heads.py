"""Every head: forward, backward, saved, loaded, trained, resumed to the same bits, and with SoLa inside."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from kinoscope.data.feature_spec import FeatureSpec
from kinoscope.data.features import Features
from kinoscope.data.training_part import training_part
from kinoscope.engine import LoopOptions, fit
from kinoscope.errors import OptionError, WeightError
from kinoscope.localize.heads import HEADS, build_network, head_of, list_heads, name_of
from kinoscope.localize.localizer import Localizer
from kinoscope.localize.map_options import BmnOptions, GTadOptions
from kinoscope.localize.options import DecodeOptions, TriDetOptions
from kinoscope.localize.task import HeadWithLoss, LocalizeTask
from kinoscope.localize.train import train_localizer
from kinoscope.localize.train_options import LocalizeTrainOptions
from kinoscope.localize.training_data import read_training_data
from kinoscope.sola import SolaOptions

from .test_train import LEARNING, QUICK, TIME, made

NAMES = list_heads()


def quick(name: str, base: LocalizeTrainOptions = QUICK, **changes) -> LocalizeTrainOptions:
    sizes = {"levels": 3, "width": 32} if name in ("actionformer", "tridet") else {"width": 16}
    return replace(base, **{"head": name, "levels": None, **sizes, **changes})


def localizer(name: str) -> Localizer:
    torch.manual_seed(0)
    network = build_network(quick(name).head_options(6, 2, [10.0]))
    spec = FeatureSpec(6, TIME.fps, TIME.stride, TIME.clip_length, "net", "abc")
    return Localizer(network, ["walk", "fall"], spec, DecodeOptions(threshold=0.0))


def features(rows: int) -> Features:
    values = np.random.default_rng(rows).normal(size=(rows, 6)).astype(np.float32)
    return Features(values, TIME, "net", "abc")


@pytest.mark.parametrize("name", NAMES)
def test_forward_and_backward(name):
    torch.manual_seed(0)
    network = build_network(quick(name).head_options(6, 3, [10.0]))
    rows = head_of(network).padded(30)
    mask = torch.arange(rows) < torch.tensor([min(rows, 30), 20])[:, None]
    segments, labels = (
        [torch.tensor([[3.0, 9.0], [12.0, 19.0]]), torch.zeros(0, 2)],
        [torch.tensor([0, 2]), torch.ones(0)],
    )
    losses = HeadWithLoss(network, quick(name))(
        torch.randn(2, rows, 6), mask, segments, [each.long() for each in labels]
    )
    assert losses["positives"] > 0
    losses["loss"].backward()
    gradients = [parameter.grad for parameter in network.parameters()]
    assert sum(gradient is not None and bool(gradient.any()) for gradient in gradients) > 0.8 * len(gradients)
    assert all(gradient is None or gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("name", NAMES)
def test_saved_and_loaded_it_finds_the_same(name, tmp_path):
    model = localizer(name)
    model.save(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["head"]["name"] == name
    loaded = Localizer.load(tmp_path)
    assert loaded.network.options == model.network.options
    for rows in (1, 30, 75):
        (segments, scores), (again, same) = (each.localize_with_scores(features(rows)) for each in (model, loaded))
        assert segments and [s.label for s in segments] == [s.label for s in again]
        pairs = zip(segments, again, strict=True)  # where weights lie in memory may move the last bit
        np.testing.assert_allclose(
            *zip(*(((a.start, a.end), (b.start, b.end)) for a, b in pairs), strict=True), atol=1e-5
        )
        assert scores.shape == (rows, 2)
        np.testing.assert_allclose(same, scores, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_damaged_options_are_weight_errors(name, tmp_path):
    localizer(name).save(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    for change in ({"widht": 3}, {"width": "wide"}, {"width": 64}, {"classes": 3}, {"name": "nobody"}):
        (tmp_path / "config.json").write_text(json.dumps({**config, "head": {**config["head"], **change}}))
        with pytest.raises(WeightError):
            Localizer.load(tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_learns_a_small_set(name, tmp_path):
    annotations, videos = made()
    options = quick(name, LEARNING, width=None if name in ("gtad", "bmn") else 32)
    model, metrics = train_localizer(annotations, videos, tmp_path, options, accelerator="cpu")
    assert metrics["average_map"] > 0.8
    loaded = Localizer.load(tmp_path)
    assert name_of(loaded.network.options) == name
    assert loaded.localize_features(videos["v8"]) == model.localize_features(videos["v8"])


@pytest.mark.parametrize("name", NAMES)
def test_an_interrupted_run_ends_with_the_same_bits(name, tmp_path):
    annotations, videos = made(3, 0)
    data = read_training_data(training_part(annotations, None), videos)
    options = quick(name, epochs=2, warmup_epochs=1, batch_size=2)
    loop = LoopOptions(epochs=2, batch_size=2, validate_every=0, checkpoint_every=3, accelerator="cpu")

    class StoppedError(Exception):
        pass

    class Stopping(LocalizeTask):
        """Stops after its fourth update: the second of the second epoch."""

        def after_step(self, step: int) -> None:
            super().after_step(step)
            if step == 3:
                raise StoppedError

    whole = LocalizeTask(data, options)
    fit(whole, tmp_path / "whole", loop, settings=whole.settings())
    broken = Stopping(data, options)
    with pytest.raises(StoppedError):
        fit(broken, tmp_path / "broken", loop, settings=broken.settings())
    resumed = LocalizeTask(data, options)
    fit(resumed, tmp_path / "broken", loop, resume=True, settings=resumed.settings())
    for network in ("head", "average"):
        states = whole.networks[network].state_dict(), resumed.networks[network].state_dict()
        assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())


@pytest.mark.parametrize("name", NAMES)
def test_sola_inside(name, tmp_path):
    annotations, videos = made(3, 0)
    sola = SolaOptions(hidden=8, size=4, step=1, margin=2, kernel=3)
    options = quick(name, epochs=2, warmup_epochs=1)
    model, _ = train_localizer(
        annotations, videos, tmp_path, options, sola="joint", sola_options=sola, accelerator="cpu"
    )
    assert model.features.encoder == "net+sola"


def test_runs_from_before_there_were_other_heads_can_be_resumed():
    annotations, videos = made(2, 0)
    data = read_training_data(training_part(annotations, None), videos)
    assert "head" not in LocalizeTask(data, quick("actionformer")).settings()
    assert LocalizeTask(data, quick("bmn")).settings()["head"] == "bmn"


def test_what_decays():
    annotations, videos = made(2, 0)
    data = read_training_data(training_part(annotations, None), videos)
    for name in ("gtad", "bmn"):
        decayed, rest = LocalizeTask(data, quick(name)).optimizers["head"].param_groups
        assert all(parameter.ndim >= 3 for parameter in decayed["params"])
        assert all(parameter.ndim == 1 for parameter in rest["params"])


def test_names():
    assert NAMES == ["actionformer", "gtad", "bmn", "tridet"]
    for name, (kind, network) in HEADS.items():
        with torch.device("meta"):
            assert name_of(network(kind.small(6, 2)).options) == name


def test_sizes_by_preset():
    lengths = [12.0]
    assert LocalizeTrainOptions(head="gtad").head_options(6, 2, lengths) == GTadOptions.small(6, 2, lengths)
    assert LocalizeTrainOptions(head="bmn", width=8).head_options(6, 2, lengths).width == 8
    assert LocalizeTrainOptions(head="gtad", preset="thumos").head_options(2048, 1, []) == GTadOptions.thumos()
    assert LocalizeTrainOptions(head="gtad", preset="activitynet").head_options(400, 1, []) == GTadOptions.activitynet()
    assert LocalizeTrainOptions(head="bmn", preset="activitynet").head_options(400, 1, []) == BmnOptions.activitynet()
    assert LocalizeTrainOptions(head="tridet", preset="thumos").head_options(2048, 20, []) == TriDetOptions.thumos()


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"head": "ssn"}, "'ssn'"),
        ({"head": "bmn", "preset": "thumos"}, "preset is 'thumos', but head is 'bmn'"),
        ({"head": "tridet", "preset": "activitynet"}, "but head is 'tridet'"),
        ({"head": "gtad", "levels": 3}, "levels is given, but head is 'gtad'"),
        ({"head": "bmn", "radius": 2.0, "smoothing": 0.1}, "radius, smoothing are given"),
    ],
)
def test_options_that_clash(bad, message):
    with pytest.raises(OptionError, match=message):
        LocalizeTrainOptions(**bad)
