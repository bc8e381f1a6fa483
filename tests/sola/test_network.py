"""The adapter on real shapes: identity at the start, pieces equal to one pass, saved and loaded, official layout."""

from __future__ import annotations

import json
import os
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kinoscope.data.features import Features, FeatureTime
from kinoscope.errors import FeatureError, OptionError, WeightError
from kinoscope.sola import Predictor, SoLa, SolaOptions, SolaTraining, load_adapter

TIME = FeatureTime(25, 16, 32, 0.0, 9.0)


def features(rows: int, width: int = 6, seed: int = 0) -> Features:
    values = np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32)
    return Features(values, TIME, "i3d-k400", "0" * 16)


def adapter(kernel: int = 5, gate: float = 0.7, width: int = 6) -> SoLa:
    torch.manual_seed(kernel)
    made = SoLa(width, SolaOptions(hidden=8, kernel=kernel))
    made.alpha.data.fill_(gate)
    return made.eval().requires_grad_(False)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 9), st.sampled_from([1, 3, 5, 9]))
def test_pieces_equal_one_pass(rows: int, at_once: int, kernel: int) -> None:
    given_features, made = features(rows), adapter(kernel)
    pieces = list(made.blocks(given_features.values, at_once))
    assert all(len(piece) <= at_once for piece in pieces)
    whole = made(torch.from_numpy(given_features.values)[None])[0]
    np.testing.assert_allclose(np.concatenate(pieces), whole.numpy(), atol=1e-5)
    np.testing.assert_allclose(made.adapt(given_features).values, whole.numpy(), atol=1e-5)


def test_untrained_it_is_exactly_the_identity() -> None:
    given_features = features(30)
    adapted = SoLa(6).adapt(given_features)
    np.testing.assert_array_equal(adapted.values, given_features.values)
    assert adapted.encoder == "i3d-k400+sola" and adapted.time == TIME
    assert adapted.weight_hash != given_features.weight_hash and len(adapted.weight_hash) == 16


def test_a_row_depends_on_its_neighbourhood_alone() -> None:
    made, one = adapter(5), features(21)
    other = replace(one, values=one.values.copy())
    other.values[10] += 1
    changed = np.abs(made.adapt(one).values - made.adapt(other).values).sum(axis=1) > 0
    assert changed.nonzero()[0].tolist() == [8, 9, 10, 11, 12]
    assert made.options.radius == 2


def test_the_official_sizes_and_names() -> None:
    official = SoLa(2048)
    assert sum(p.numel() for p in official.parameters()) == 6_556_673
    assert sum(p.numel() for p in Predictor(2048).parameters()) == 2_099_712
    for kernel, count in {1: 2_362_369, 3: 4_459_521, 7: 8_653_825, 9: 10_750_977}.items():
        assert sum(p.numel() for p in SoLa(2048, SolaOptions(kernel=kernel)).parameters()) == count


def test_the_official_tensors(shared_data: Path) -> None:
    listed = shared_data.parent / "papers" / "official_keys" / "sola.json"
    if not listed.is_file():
        pytest.skip(f"official tensor names not found at {listed}")
    ours = {name: list(tensor.shape) for name, tensor in SoLa(256, SolaOptions(hidden=64)).state_dict().items()}
    assert ours == json.loads(listed.read_text(encoding="utf-8"))


@pytest.mark.parametrize("width", [5, 7])
def test_features_of_another_width(width: int) -> None:
    with pytest.raises(FeatureError, match=f"features have {width} channels, the adapter was trained on 6"):
        adapter().adapt(features(9, width))


def test_saved_and_loaded_it_is_the_same(tmp_path: Path) -> None:
    made, source = adapter(), features(12)
    made.save(tmp_path / "a", source)
    again = load_adapter(tmp_path / "a")
    assert again.fingerprint() == made.fingerprint() and again.options == made.options and not again.training
    np.testing.assert_array_equal(again.adapt(source).values, made.adapt(source).values)
    config = json.loads((tmp_path / "a" / "config.json").read_text())
    assert config["features"]["encoder"] == "i3d-k400" and config["features"]["stride"] == 16
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["config.json", "model.safetensors"]


def test_features_of_another_encoder_are_refused_once_it_is_loaded(tmp_path: Path) -> None:
    adapter().save(tmp_path, features(12))
    again = load_adapter(tmp_path)
    for other in (replace(features(12), encoder="other"), replace(features(12), weight_hash="1" * 16)):
        with pytest.raises(FeatureError, match=r"features come from .*, the adapter's from"):
            again.adapt(other)
    assert again.adapt(replace(features(12), encoder="", weight_hash="")).encoder == "+sola"  # of another tool


class _Hostile:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (self.command,)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("model.safetensors", None),
        ("model.safetensors", b""),
        ("model.safetensors", pickle.dumps(_Hostile("touch ran"))),
        ("config.json", None),
        ("config.json", b"{"),
        ("config.json", b"[]"),
        ("config.json", b'{"channels": 6}'),
        ("config.json", b'{"channels": 7, "options": {"hidden": 8}}'),
        ("config.json", b'{"channels": 6, "options": {"unknown": 8}}'),
        ("config.json", b'{"channels": 6, "options": {"kernel": 4}}'),
        ("config.json", b'{"channels": 1000000000000, "options": {}}'),
        ("config.json", b'{"channels": 6, "options": []}'),
        ("config.json", b'{"channels": 6, "options": {"hidden": "8"}}'),
    ],
)
def test_damaged_adapters_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, content: bytes | None
) -> None:
    adapter().save(tmp_path / "a", features(5))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a" / file).unlink()
    if content is not None:
        (tmp_path / "a" / file).write_bytes(content)
    with pytest.raises(WeightError, match="cannot be read as an adapter"):
        load_adapter(tmp_path / "a")
    assert not (tmp_path / "ran").exists()


# --- options -------------------------------------------------------------------------------------------------------


@given(st.integers(2, 12), st.integers(1, 4), st.integers(0, 6))
def test_positions_lie_inside_the_window(size: int, step: int, margin: int) -> None:
    options = SolaOptions(size=size, step=step, margin=margin, kernel=1)
    assert len(options.positions) == size and options.positions.step == step
    assert options.positions[0] == margin and options.positions[-1] == options.window - 1 - margin


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"kernel": 4}, "must be odd"),
        ({"kernel": 11}, "kernel 11 looks further than margin 4"),
        ({"size": 1}, "at least 2"),
        ({"step": 0}, "at least 1"),
        ({"lam": -1.0}, "lam is -1.0"),
        ({"lam": float("nan")}, "lam is nan"),
    ],
)
def test_impossible_options(choice: dict[str, float], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        SolaOptions(**choice)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"epochs": 0}, "epochs is 0"),
        ({"epochs": -1}, "epochs is -1"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"weight_decay": -0.1}, "weight_decay is -0.1"),
        ({"weight_decay": float("inf")}, "weight_decay is inf"),
        ({"seed": -1}, "seed is -1"),
        ({"recipe": "large"}, "recipe is 'large'"),
    ],
)
def test_impossible_training(choice: dict[str, float], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        SolaTraining(**choice)  # type: ignore[arg-type]


def test_recipes() -> None:
    small, official = SolaTraining().resolve(1999), SolaTraining().resolve(2000)
    assert (small.recipe, small.epochs, small.batch_size, small.learning_rate) == ("small", 20, 32, 1e-3)
    assert (official.recipe, official.epochs, official.batch_size, official.learning_rate) == (
        "official",
        150,
        256,
        1e-4,
    )
    assert SolaTraining(epochs=3, batch_size=5).resolve(10).epochs == 3
