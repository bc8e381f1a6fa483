"""``adapt``: every method, folders of other tools, official checkpoints, interruptions, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from kinoscope.data.feature_store import FeatureStore, feature_path
from kinoscope.data.features import Features, FeatureTime, read_features, write_features
from kinoscope.sola import SoLa, SolaOptions, load_adapter

from ..folders import files_below
from .conftest import Run
from .test_bad_input import refused
from .test_flow import done

TIME = ("--fps", 2, "--stride", 1, "--clip-length", 1)
TRAINING = ("--hidden", 8, "--epochs", 1, "--batch-size", 4, "--recipe", "small")


def rows(number: int, length: int = 40, width: int = 6) -> np.ndarray:
    return np.random.default_rng(number).normal(size=(length, width)).cumsum(axis=0).astype(np.float32)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with features of three videos, our own and another tool's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("kinoscope.sola.train._STEPS_PER_EPOCH", 4)
    (tmp_path / "npy").mkdir()
    for number, length in enumerate((40, 25, 1)):
        time = FeatureTime(2, 1, 1, 0.0, length / 2)
        write_features(feature_path("feats", f"v{number}"), Features(rows(number, length), time, "tiny", "0" * 16))
        np.save(tmp_path / "npy" / f"v{number}.npy", rows(number, length))
    return tmp_path


def test_the_setting_of_the_issue(run: Run, here: Path) -> None:
    variant = ("--kernel", 5, "--target", "sigmoid", "--lam", 16, "--no-predictor", "--distance", "seconds")
    answer = done(run("adapt", "feats", "--out", "sola", *variant, *TRAINING))
    assert "gate tanh α = " in answer and "cosine of rows 7.0 s apart: " in answer and "3 videos adapted" in answer
    config = json.loads((here / "sola" / "sola-adapter" / "config.json").read_text())
    assert config["options"]["predictor"] is False and config["options"]["distance"] == "seconds"
    assert FeatureStore("sola")["v2"].values.shape == (1, 6)


def test_a_preset_stands_below_what_is_given(run: Run, here: Path) -> None:
    done(run("adapt", "feats", "--out", "sola", "--preset", "direct", "--lam", 4, *TRAINING))
    adapter = load_adapter("sola")
    assert isinstance(adapter, SoLa) and adapter.options == SolaOptions(
        lam=4.0, hidden=8, predictor=False, stop_gradient=False
    )


@pytest.mark.parametrize("method", ["identity", "moving-average", "random", "whitening"])
def test_controls_are_adapters_too(run: Run, here: Path, method: str) -> None:
    own = {"whitening": ("--variance", 0.9), "moving-average": ("--average-rows", 3)}.get(method, ())
    done(run("adapt", "feats", "--out", "out", "--method", method, *own))
    adapter, source = load_adapter("out"), FeatureStore("feats")
    assert adapter.kind == method
    for name, converted in FeatureStore("out").items():
        np.testing.assert_array_equal(converted.values, adapter.adapt(source[name]).values)
        assert converted.encoder == f"tiny{adapter.tag}" and converted.time == source[name].time
    done(run("adapt", "feats", "--out", "again", "--adapter", "out"))
    np.testing.assert_array_equal(FeatureStore("again")["v0"].values, FeatureStore("out")["v0"].values)


def test_two_streams(run: Run, here: Path) -> None:
    done(run("adapt", "feats", "--out", "both", "--method", "two-stream", "--motion", "npy", *TIME))
    np.testing.assert_array_equal(FeatureStore("both")["v0"].values, np.hstack([rows(0), rows(0)]))
    refused(run("adapt", "feats", "--out", "x", "--method", "two-stream"), "--motion and --method two-stream")
    refused(run("adapt", "feats", "--out", "x", "--motion", "npy"), "--motion and --method two-stream")
    (here / "npy" / "v1.npy").unlink()
    answer = run("adapt", "feats", "--out", "x", "--method", "two-stream", "--motion", "npy", *TIME)
    refused(answer, "1 of 3 videos have no motion features, the first is 'v1'")


def test_a_folder_of_another_tool(run: Run, here: Path) -> None:
    """As HACS comes: arrays, a table of durations, the released checkpoint; out come arrays again."""
    official = SoLa(6, SolaOptions(hidden=8))
    torch.nn.init.constant_(official.alpha, 0.5)
    torch.save({"model": official.state_dict()}, here / "official.pth")
    (here / "durations.csv").write_text("video,duration\nv0.npy,20.2\nv1.npy,12.6\nv2.npy,0.5\n")
    words = ("adapt", "npy", *TIME, "--durations", "durations.csv", "--adapter", "official.pth")
    done(run(*words, "--out", "sola", "--file-format", "npy"))
    assert sorted(path.name for path in (here / "sola").glob("*.npy")) == ["v0.npy", "v1.npy", "v2.npy"]
    with torch.no_grad():
        wanted = official(torch.from_numpy(rows(0))[None])[0].numpy()
    np.testing.assert_allclose(np.load(here / "sola" / "v0.npy"), wanted, atol=1e-5)
    done(run(*words, "--out", "timed"))
    assert read_features(here / "timed" / "v1.safetensors").time == FeatureTime(2, 1, 1, 0.0, 12.6)
    refused(run("adapt", "npy", "--out", "x"), "has no time", "--fps")


def test_interrupted_conversion_goes_on_where_it_stopped(run: Run, here: Path) -> None:
    done(run("adapt", "feats", "--out", "sola", *TRAINING))
    whole = (here / "sola" / "v0.safetensors").read_bytes()
    kept = (here / "sola" / "v1.safetensors").stat().st_mtime_ns
    (here / "sola" / "v0.safetensors").unlink()
    assert "1 video adapted → sola, 2 were there already" in done(
        run("adapt", "feats", "--out", "sola", *TRAINING, "--resume")
    )
    assert (here / "sola" / "v0.safetensors").read_bytes() == whole
    assert (here / "sola" / "v1.safetensors").stat().st_mtime_ns == kept
    refused(run("adapt", "feats", "--out", "sola", *TRAINING), "already holds features", "--resume, to go on")


def test_folders_that_hold_features_are_left_alone(run: Run, here: Path) -> None:
    write_features(feature_path("other", "elsewhere"), Features(rows(5), FeatureTime(2, 1, 1)))
    write_features(feature_path("raw", "v0"), Features(rows(5), FeatureTime(2, 1, 1)))
    before = {path: path.read_bytes() for path in here.glob("*/*.safetensors")}
    for words in ((*TRAINING,), ("--method", "identity")):
        refused(run("adapt", "feats", "--out", "other", *words), "already holds features", "--overwrite")
        refused(run("adapt", "feats", "--out", "other", *words, "--resume"), "already holds features")
        refused(run("adapt", "feats", "--out", "other", *words, "--overwrite"), "would be left among the new ones")
        refused(run("adapt", "feats", "--out", "raw", *words, "--resume"), "already holds features")
    assert {path: path.read_bytes() for path in here.glob("*/*.safetensors")} == before
    done(run("adapt", "feats", "--out", "raw", *TRAINING, "--overwrite"))
    assert isinstance(load_adapter("raw"), SoLa) and len(FeatureStore("raw")) == 3
    answer = run("adapt", "feats", "--out", "raw", "--method", "identity", "--resume")
    refused(answer, "holds another adapter")
    assert isinstance(load_adapter("raw"), SoLa)


def test_an_overwriting_that_fails_leaves_the_old_adapter(
    run: Run, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done(run("adapt", "feats", "--out", "sola", *TRAINING))
    before = load_adapter("sola").fingerprint()
    refused(run("adapt", "feats", "--out", "sola", *TRAINING, "--overwrite", "--device", "banana"), "banana")
    assert load_adapter("sola").fingerprint() == before

    def fails(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("kinoscope.sola.train.fit", fails)
        assert run("adapt", "feats", "--out", "sola", *TRAINING, "--overwrite").code == 130
    assert load_adapter("sola").fingerprint() == before
    done(run("adapt", "feats", "--out", "sola", *TRAINING, "--overwrite", "--seed", 1))
    assert load_adapter("sola").fingerprint() != before
    assert sorted(path.name for path in (here / "sola").iterdir()) == [
        "sola-adapter",
        "v0.safetensors",
        "v1.safetensors",
        "v2.safetensors",
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--adapter", "sola", "--method", "whitening"), "--adapter goes with neither --method nor --labels"),
        (("--adapter", "sola", "--epochs", 3, "--kernel", 7), "--kernel, --epochs would be ignored: --adapter"),
        (("--method", "moving-average", "--lam", 4), "--lam would be ignored: --method moving-average"),
        (("--method", "identity", "--preset", "direct"), "--preset would be ignored"),
        (("--average-rows", 7), "--average-rows is of --method moving-average"),
        (("--variance", 0.5, "--method", "random"), "--variance is of --method whitening"),
        (
            ("--method", "two-stream", "--motion", "npy", "--resume"),
            "takes neither --adapter nor --labels nor --resume",
        ),
    ],
)
def test_options_that_would_do_nothing(run: Run, here: Path, words: tuple[object, ...], message: str) -> None:
    refused(run("adapt", "feats", "--out", "x", *words), message)
    assert not (here / "x").exists()


@pytest.mark.filterwarnings("default::UserWarning")
def test_features_that_are_odd_or_broken(run: Run, here: Path) -> None:
    odd = rows(0)
    odd[3:6] = 0
    write_features(feature_path("odd", "a"), Features(odd, FeatureTime(2, 1, 1)))
    answer = run("adapt", "odd", "--out", "fine", *TRAINING)
    assert answer.code == 0 and "zero" in answer.err
    assert np.isfinite(FeatureStore("fine")["a"].values).all()
    np.save(here / "npy" / "v1.npy", np.where(rows(1) > 0, np.nan, rows(1)))
    refused(run("adapt", "npy", "--out", "x", *TIME, *TRAINING), "NaN", "v1.npy")
    np.save(here / "npy" / "v1.npy", rows(1, width=5))
    refused(run("adapt", "npy", "--out", "x", *TIME, *TRAINING), "width")
    assert not (here / "x").exists() or not files_below(here / "x")


def test_links_that_lead_nowhere_are_not_left_out(run: Run, here: Path) -> None:
    (here / "feats" / "gone.npy").symlink_to(here / "nowhere.npy")
    refused(run("adapt", "feats", "--out", "x", *TRAINING), "gone.npy: is no file", "fetch the file")
