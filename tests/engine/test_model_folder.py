"""Models in folders: written whole, read back to the bit, refused where they are damaged."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from torch import nn

from kinoscope.engine.model_folder import CONFIG, WEIGHTS, load_weights, peek_config, read_config, save_model
from kinoscope.errors import OutputError, WeightError

from ..folders import names_in

GIVE = "give the folder of a toy"


def toy(seed: int = 0, width: int = 3) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(width, 4), nn.BatchNorm1d(4))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_model(tmp_path / "new" / "toy", toy(), {"kind": "toy", "version": 2, "name": "läuft"})
    return tmp_path / "new" / "toy"


def test_what_is_saved_comes_back(folder: Path) -> None:
    assert names_in(folder) == [CONFIG, WEIGHTS]
    assert read_config(folder, "toy", 2, GIVE)["name"] == "läuft" and peek_config(folder / CONFIG) is not None
    with torch.device("meta"):
        empty = toy()
    load_weights(folder, empty)
    assert all(torch.equal(a, b) for a, b in zip(empty.state_dict().values(), toy().state_dict().values(), strict=True))


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    assert peek_config(tmp_path / CONFIG) is None and peek_config(Path(__file__) / CONFIG) is None
    with pytest.raises(WeightError, match=r"config\.json: no such file(.|\n)*folder of a toy"):
        read_config(tmp_path, "toy", 2, GIVE)


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", "[" * 100_000, "\x00"])
def test_a_damaged_description(folder: Path, text: str) -> None:
    (folder / CONFIG).write_text(text)
    with pytest.raises(WeightError, match=r"config\.json: (cannot be read|holds a)"):
        read_config(folder, "toy", 2, GIVE)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "encoder"}, "kind 'encoder', not 'toy'(.|\n)*folder of a toy"),
        ({"kind": None}, "kind None"),
        ({"version": 3}, "version 3, but this program reads version 2(.|\n)*update Kinoscope"),
        ({"version": None}, "version None"),
    ],
)
def test_another_kind_or_version(folder: Path, change: dict[str, object], message: str) -> None:
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    (folder / CONFIG).write_text(json.dumps({**config, **change}))
    with pytest.raises(WeightError, match=message):
        read_config(folder, "toy", 2, GIVE)


def test_weights_that_are_missing_damaged_or_of_another_network(folder: Path) -> None:
    with pytest.raises(WeightError, match=rf"{WEIGHTS}: does not fit {CONFIG}"):
        load_weights(folder, toy(width=5))
    content = (folder / WEIGHTS).read_bytes()
    for damaged in (b"", content[:50], content[:-8], b"PK\x03\x04" + content):
        (folder / WEIGHTS).write_bytes(damaged)
        with pytest.raises(WeightError, match=rf"{WEIGHTS}: cannot be read as weights"):
            load_weights(folder, toy())
    (folder / WEIGHTS).unlink()
    with pytest.raises(WeightError, match=rf"{WEIGHTS}: no such file"):
        load_weights(folder, toy())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError):
        save_model(tmp_path / "toy", toy(), {})


def test_a_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "toy").write_text("here first")
    with pytest.raises(OutputError, match="toy"):
        save_model(tmp_path / "toy", toy(), {})
    assert (tmp_path / "toy").read_text() == "here first"
