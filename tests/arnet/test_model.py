"""A trained model on disk and in use: the same answers again, and files that are none or no longer whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kinoscope.arnet.model import AdaptiveRecognizer, load_adaptive
from kinoscope.arnet.options import ArNetOptions
from kinoscope.arnet.spending import Setting, Spending
from kinoscope.encoders import image_nets
from kinoscope.engine.calibration import most_probable
from kinoscope.errors import OptionError, WeightError

from . import made

SETTING = Setting(frames=4, bias=-2.5, score=0.5, loss=0.9, gmac=0.25, consulted=2.5, used=(1.0, 0.0, 0.5, 1.0))


def published(seed: int = 10) -> AdaptiveRecognizer:
    """Its networks of frames are those that their names say."""
    network = made.lively(seed=seed)
    for part, net in zip((*network.backbones, network.policy), made.nets(), strict=True):
        part.net = net.eval()  # type: ignore[union-attr]
    return made.model(network=network, temperature=1.75, curve=[SETTING], curve_of="4 clips", several=True)


def load(folder: Path) -> AdaptiveRecognizer:
    return load_adaptive(folder, device="cpu", runtime="torch")


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made.flicker(tmp_path_factory.mktemp("film") / "v.mp4", 30)


@pytest.mark.parametrize("learned", [False, True])
def test_what_was_saved_answers_the_same(film: Path, tmp_path: Path, learned: bool) -> None:
    saved = published()
    if learned:
        saved = made.model(learned=True, temperature=1.75, curve=[SETTING], curve_of="4 clips", several=True)
    saved.save(tmp_path)
    loaded = load(tmp_path)
    assert loaded.describe() == saved.describe() and loaded.curve == (SETTING,) and loaded.learned == learned
    assert made.same_state(saved.network.state_dict(), loaded.network.state_dict())
    before, after = saved.recognize(film), loaded.recognize(film)
    np.testing.assert_allclose(before.probabilities, after.probabilities, atol=1e-6)
    assert [step.action for step in before.steps] == [step.action for step in after.steps]
    names = (tmp_path / "model.safetensors").read_bytes()
    assert (b"policy.net." in names) == learned, "published weights are not copied"


def test_probabilities_are_calibrated(film: Path) -> None:
    found = published().recognize(film)
    expected = np.exp(found.logits / 1.75) / np.exp(found.logits / 1.75).sum()
    np.testing.assert_allclose(found.probabilities, expected, rtol=1e-6)
    order = np.argsort(-expected)
    assert found.best(2) == [("abc"[k], pytest.approx(expected[k])) for k in order[:2]]
    assert most_probable(np.array([0.2, 0.4, 0.4]), "abc", 2) == [("b", 0.4), ("c", 0.4)]


def test_running_probabilities_are_those_of_what_was_answered_so_far(film: Path) -> None:
    recognizer = published()
    found = recognizer.recognize(film)
    rows: list[torch.Tensor] = []
    for step, running in zip(found.steps, found.running, strict=True):
        rows += [step.logits] if step.logits is not None else []
        if rows:
            expected = recognizer.probabilities(torch.stack(rows).mean(0))
            np.testing.assert_allclose(running, expected, atol=1e-6)
        else:
            assert np.isnan(running).all()
    np.testing.assert_allclose(found.running[-1], found.probabilities, atol=1e-6)


def test_the_name_of_a_video_decides_its_draws(film: Path) -> None:
    recognizer = published()
    spending = Spending(sample=0)
    own, same, other = (recognizer.recognize(film, spending=spending, name=name) for name in (None, "v.mp4", "x"))
    assert [s.action for s in own.steps] == [s.action for s in same.steps] != [s.action for s in other.steps]
    assert own.spending == spending


def test_what_all_frames_would_take() -> None:
    recognizer = published()
    assert recognizer.dense_gmac() == pytest.approx(8 * recognizer.costs.backbones[0])
    assert recognizer.dense_gmac(3) == pytest.approx(3 * recognizer.costs.backbones[0])


@pytest.mark.parametrize(
    ("given", "told"),
    [({"classes": 4}, "4 class names"), ({"temperature": 0.0}, "temperature is 0"), ({"temperature": np.inf}, "inf")],
)
def test_impossible_models(given: dict[str, Any], told: str) -> None:
    network = made.lively()
    with pytest.raises(OptionError, match=told):
        made.model(network=network, **given)
    with pytest.raises(OptionError, match="2 different"):
        AdaptiveRecognizer(network, made.OPTIONS, ("a", "b", "a"), device="cpu")


# --- damaged and foreign folders -----------------------------------------------------------------------------------


def _change(**values: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        for name, value in values.items():
            target, _, inner = name.partition("__")
            if inner:
                config[target][inner] = value
            elif value is None:
                del config[name]
            else:
                config[name] = value
        (folder / "config.json").write_text(json.dumps(config))

    return change


def _cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-30])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda folder: (folder / "config.json").unlink(), "no such file"),
        (lambda folder: (folder / "config.json").write_text("{"), "cannot be read"),
        (lambda folder: (folder / "config.json").write_text("[]"), "kind 'list'"),
        (lambda folder: (folder / "model.safetensors").unlink(), "no such file"),
        (_cut, "cannot be read as weights"),
        (_change(kind="localizer"), "kind 'localizer', not 'arnet'"),
        (_change(version=99), "version 99"),
        (_change(classes=["a", "b"]), "does not fit"),
        (_change(classes=["a", "b", "b"]), "2 different"),
        (_change(options__hidden=11), "does not fit"),
        (_change(options__sizes=[64, 48]), "3 backbones"),
        (_change(options__backbones=["tiny-a", "tiny-b", "tiny-x"]), "unknown network 'tiny-x'"),
        (_change(options__colour="red"), "'colour', which is unknown"),
        (_change(options__segments="many"), "cannot be used"),
        (_change(temperature=-1), "temperature is -1"),
        (_change(curve=[{"frames": 3}]), "cannot be used|has no"),
        (_change(weights=["0", "0", "0", "0"]), r"was trained on tiny-a with other weights \(0\)"),
        (_change(options=None), "has no 'options'"),
    ],
)
def test_what_is_no_model_is_told(tmp_path: Path, change: Callable[[Path], Any], told: str) -> None:
    published().save(tmp_path)
    change(tmp_path)
    with pytest.raises(WeightError, match=told) as caught:
        load(tmp_path)
    assert caught.value.cure and tmp_path in (caught.value.where, getattr(caught.value.where, "parent", None))


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "gone", tmp_path / "file"):
        with pytest.raises(WeightError, match="no such file") as caught:
            load(path)
        assert "kinoscope train arnet" in (caught.value.cure or "")


def test_networks_that_changed_since_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Published weights are known by their hash: heads do not go with other ones."""
    published().save(tmp_path)

    class Newer(made.TinyImageNet):
        weight_hash = "fedcba9876543210"  # type: ignore[assignment]

    monkeypatch.setitem(image_nets._NETS, "tiny-c", Newer("tiny-c", made.NETS["tiny-c"].build))
    with pytest.raises(WeightError, match="trained on tiny-c with other weights"):
        load(tmp_path)


def test_other_networks_may_take_their_place(film: Path, tmp_path: Path) -> None:
    """As exported ones do: by the number of the view."""
    recognizer = published()
    recognizer.save(tmp_path)
    nets = [part.net for part in (*recognizer.network.backbones, recognizer.network.policy)]  # type: ignore[union-attr]
    called: list[int] = []

    def instead(number: int) -> Callable[[torch.Tensor], torch.Tensor]:
        return lambda frames: (called.append(number), nets[number](frames))[1]  # type: ignore[func-returns-value,operator]

    other = load_adaptive(
        tmp_path, device="cpu", runtime="torch", replaced={number: instead(number) for number in range(4)}
    )
    found = other.recognize(film)
    np.testing.assert_allclose(found.probabilities, recognizer.recognize(film).probabilities, atol=1e-6)
    assert set(called) - {3} == {n for n, count in enumerate(found.spent.used[:3]) if count} and 3 in called


def test_options_survive(tmp_path: Path) -> None:
    options = replace(made.OPTIONS, skips=(), kernel="nearest", state="official", crop=0.5)
    made.model(options, learned=True).save(tmp_path)
    assert load(tmp_path).options == options and isinstance(options, ArNetOptions)
