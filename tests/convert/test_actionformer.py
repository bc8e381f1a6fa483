"""Official checkpoints: taken as they come, refused by tensor name."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from kinoscope.cli.main import main
from kinoscope.convert.actionformer import RELEASES, Release, load_actionformer, release_of
from kinoscope.data.features import Features, FeatureTime
from kinoscope.errors import WeightError
from kinoscope.localize.decode import decode
from kinoscope.localize.localizer import Localizer
from kinoscope.localize.network import ActionFormer
from kinoscope.localize.nms import suppress
from kinoscope.localize.options import ActionFormerOptions

OPTIONS = ActionFormerOptions(
    7, 3, width=8, heads=4, kernel=3, embedding_convs=1, stem_blocks=1, branch_blocks=2, window=19, mask_clean=False
)


@pytest.fixture
def weights() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {name: torch.randn_like(tensor) for name, tensor in ActionFormer(OPTIONS).state_dict().items()}


def test_sizes_are_inferred_and_outputs_are_those_of_the_weights(weights):
    model = load_actionformer(weights)
    assert replace(model.options, ranges=()) == replace(OPTIONS, ranges=())
    assert not model.training
    twin = ActionFormer(OPTIONS).eval()
    twin.load_state_dict(weights)
    features, mask = torch.randn(1, 20, 7), torch.ones(1, 20)
    levels = model(features, mask)
    assert [logits.shape[1:] for logits, _ in levels] == [(20, 3), (10, 3), (5, 3)]
    for (a, b), (c, d) in zip(levels, twin(features, mask), strict=True):
        assert torch.equal(a, c)
        assert torch.equal(b, d)
        assert (b >= 0).all()


def test_a_whole_checkpoint_gives_its_average_weights_without_prefix(weights):
    wrapped = {f"module.{name}": tensor for name, tensor in weights.items()}
    other = {name: tensor + 1 for name, tensor in wrapped.items()}
    for checkpoint in ({"epoch": 35, "state_dict": other, "state_dict_ema": wrapped}, {"state_dict": wrapped}):
        loaded = load_actionformer(checkpoint).state_dict()
        assert all(torch.equal(loaded[name], tensor) for name, tensor in weights.items())


def test_problems_are_named(weights):
    del weights["neck.fpn_norms.1.bias"]
    weights["backbone.extra"] = torch.zeros(1)
    weights["reg_head.offset_head.conv.bias"] = torch.zeros(3)
    with pytest.raises(WeightError) as caught:
        load_actionformer(weights)
    text = str(caught.value)
    assert "3 tensors cannot be used" in text
    assert "neck.fpn_norms.1.bias is missing" in text
    assert "backbone.extra is unknown" in text
    assert "reg_head.offset_head.conv.bias is [3], but [2] fits" in text


@pytest.mark.parametrize(
    "broken", [{}, {"weight": torch.zeros(2)}, {"state_dict": {}}, {"backbone.embd.0.conv.weight": torch.zeros(2)}]
)
def test_something_else_is_no_actionformer(broken):
    with pytest.raises(WeightError, match="ActionFormer"):
        load_actionformer(broken)


def test_impossible_sizes_are_weight_errors(weights):
    with pytest.raises(WeightError, match="heads"):
        load_actionformer(weights, heads=3)


def published(release: Release) -> ActionFormer:
    """The network as its configuration describes it, with random weights."""
    options = ActionFormerOptions(
        release.input_width,
        release.classes,
        width=release.width,
        branch_blocks=release.levels - 1,
        mask_clean=False,
        **release.options,
    )
    torch.manual_seed(0)
    return ActionFormer(options).eval()


def saved(network: ActionFormer, path: Path) -> Path:
    torch.save({"epoch": 15, "state_dict_ema": {f"module.{k}": v for k, v in network.state_dict().items()}}, path)
    return path


@pytest.mark.parametrize("release", RELEASES, ids=lambda each: each.name)
def test_a_release_is_known_by_its_sizes(release: Release) -> None:
    with torch.device("meta"):
        network = published(release)
    loaded = load_actionformer(
        {name: torch.zeros(()).expand(tensor.shape).clone() for name, tensor in network.state_dict().items()}
    )
    assert loaded.options == network.options and release_of(loaded.options) is release
    assert release.spec.width == release.input_width
    assert len(release.options.get("ranges", ())) in (0, release.levels)
    assert not release.labels or len(set(release.labels)) == release.classes


def test_ranges_and_classes_of_the_configurations() -> None:
    by_name = {release.name: release for release in RELEASES}
    assert by_name["Ego4D, SlowFast"].options["ranges"] == (
        *((0, 4), (2, 8), (4, 16), (8, 32), (16, 64), (32, 128)),
        (64, 10000),
    )
    assert [by_name["THUMOS14"].labels.index(label) for label in ("CliffDiving", "CricketBowling", "Diving")] == [
        4,
        5,
        7,
    ]
    assert list(by_name["THUMOS14"].labels) == sorted(by_name["THUMOS14"].labels)


def test_thumos_becomes_a_model_that_localises(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = published(RELEASES[0])
    argv = ["convert", str(saved(network, tmp_path / "epoch_034.pth.tar")), "--from", "actionformer"]
    assert main([*argv, "--out", str(tmp_path / "m")]) == 0
    told = capsys.readouterr()
    assert "THUMOS14, 29,251,612 parameters" in told.out and "note" not in told.err
    command = f"localize FEATURES --model {tmp_path / 'm'} --fps 30 --stride 4 --clip-length 16"
    assert command in " ".join(told.out.split())
    values = np.random.default_rng(0).normal(size=(90, 2048)).astype(np.float32)
    np.save(tmp_path / "video_test_1.npy", values)
    time = ["--fps", "25", "--stride", "4", "--clip-length", "16"]
    file, out = str(tmp_path / "video_test_1.npy"), tmp_path / "found.json"
    assert main(["localize", file, "--model", str(tmp_path / "m"), *time, "-o", str(out)]) == 0
    found = json.loads(out.read_text())["results"]["video_test_1"]
    model = Localizer(network, RELEASES[0].labels, RELEASES[0].spec)
    expected = model.localize_features(Features(values, FeatureTime(25, 4, 16)))
    assert [(each["label"], *each["segment"]) for each in found] == [(s.label, s.start, s.end) for s in expected]
    assert found and {each["label"] for each in found} <= set(RELEASES[0].labels)
    capsys.readouterr()
    assert main(["localize", file, "--model", str(tmp_path / "m")]) == 2  # each video of THUMOS14 has a rate of its own
    assert "--fps 30 --stride 4 --clip-length 16" in capsys.readouterr().err
    assert main([*argv, "--out", str(tmp_path / "m")]) == 2 and "--overwrite" in capsys.readouterr().err
    assert main([*argv, "--stream", "flow", "--out", str(tmp_path / "n")]) == 2 and not (tmp_path / "n").exists()


def test_activitynet_is_resized_as_a_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    release = RELEASES[1]
    network = published(release)
    argv = ["convert", str(saved(network, tmp_path / "tsp.pth.tar")), "--from", "actionformer", "--json"]
    assert main([*argv, "--out", str(tmp_path / "m")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["kind"], told["classes"], told["stream"]) == ("localizer", 1, None)
    model = Localizer.load(tmp_path / "m")
    assert model.classes == ("action",) and model.decoding == release.decoding
    values = np.random.default_rng(0).normal(size=(75, 512)).astype(np.float32)
    features = Features(values, FeatureTime(15, 16, 16))
    rows = torch.nn.functional.interpolate(torch.from_numpy(values).T[None], 192, mode="linear")[0].T
    outputs = network(rows[None], torch.ones(1, 192))
    found = decode(outputs, torch.ones(1, 192, dtype=torch.bool), network.options, release.decoding)[0]
    stride = 75 * 16 / 192  # frames between rows, which are also the frames of a row
    grid, scores, _ = suppress(*found, release.decoding, 192)
    expected = np.clip((grid * stride + 0.5 * stride) / 15, 0, 75 * 16 / 15)
    segments, curve = model.localize_with_scores(features)
    assert len(segments) == len(scores)
    np.testing.assert_allclose([(s.start, s.end) for s in segments], expected, atol=1e-4)
    np.testing.assert_allclose([s.score for s in segments], scores, rtol=1e-4)
    assert curve.shape == model.class_scores(features).shape == (75, 1)


def test_numbers_that_are_none_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = published(RELEASES[1])
    with torch.no_grad():
        network.cls_head.cls_head.conv.weight[0, 3, 1] = torch.nan
    file = saved(network, tmp_path / "nan.pth.tar")
    assert main(["convert", str(file), "--from", "actionformer", "--out", str(tmp_path / "m")]) == 2
    assert "cls_head.cls_head.conv.weight holds NaN or infinity" in capsys.readouterr().err
    assert not (tmp_path / "m").exists()
    model = Localizer(network, ["action"], RELEASES[1].spec)
    with pytest.raises(WeightError, match="gives NaN or infinity"):
        model.localize_features(Features(np.zeros((20, 512), np.float32), FeatureTime(15, 16, 16)))


def test_what_is_no_checkpoint_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "labels.csv").write_text("video,start,end,label\n")
    for name, problem in (("labels.csv", "no checkpoint"), ("", "is a folder"), ("gone.pth", "no such file")):
        assert main(["convert", str(tmp_path / name), "--from", "actionformer", "--out", str(tmp_path / "m")]) == 2
        assert problem in capsys.readouterr().err


def test_what_is_no_release_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = saved(ActionFormer(OPTIONS), tmp_path / "own.pth.tar")
    assert main(["convert", str(file), "--from", "actionformer", "--out", str(tmp_path / "m")]) == 2
    assert "sizes are those of no release" in capsys.readouterr().err and not (tmp_path / "m").exists()
    file = saved(published(RELEASES[2]), tmp_path / "i3d.pth.tar")
    (tmp_path / "names.txt").write_text("something\n")
    more = ["--fps", "30", "--classes", str(tmp_path / "names.txt")]
    assert main(["convert", str(file), "--from", "actionformer", "--out", str(tmp_path / "m"), *more]) == 0
    model = Localizer.load(tmp_path / "m")
    assert model.classes == ("something",) and (model.features.fps, model.features.steps) == (30, (16 / 30, 16 / 30))
