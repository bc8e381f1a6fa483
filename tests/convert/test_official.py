from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import kinoscope as ks
from kinoscope.errors import OptionError, WeightError
from kinoscope.sola import SoLa, SolaOptions


def _adapter() -> SoLa:
    torch.manual_seed(0)
    adapter = SoLa(6, SolaOptions(hidden=4, kernel=3))
    torch.nn.init.constant_(adapter.alpha, 0.7)
    return adapter.eval()


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {f"module.{name}": value for name, value in state.items()},
        lambda state: {"model": {f"sola.{name}": value for name, value in state.items()}},
    ],
)
def test_a_sola_release_computes_what_it_was_trained_to(tmp_path: Path, wrap: Any) -> None:
    adapter, features = _adapter(), torch.randn(2, 9, 6)
    torch.save(wrap(adapter.state_dict()), tmp_path / "sola.pt")
    loaded = ks.load_official(tmp_path / "sola.pt", "sola")
    assert not loaded.training
    torch.testing.assert_close(loaded(features), adapter(features))


def test_safetensors_are_read_too(tmp_path: Path) -> None:
    save_file(_adapter().state_dict(), tmp_path / "sola.safetensors")
    features = torch.randn(1, 5, 6)
    torch.testing.assert_close(ks.load_official(tmp_path / "sola.safetensors", "sola")(features), _adapter()(features))


def test_names_and_shapes_of_the_sola_release_fit(vectors: Any, tmp_path: Path) -> None:
    vectors("sola")  # skips where the specification is missing
    keys = Path(__file__).resolve().parents[3] / "shared" / "papers" / "official_keys" / "sola.json"
    state = {name: torch.randn(shape) for name, shape in json.loads(keys.read_text()).items()}
    torch.save(state, tmp_path / "sola.pt")
    assert ks.load_official(tmp_path / "sola.pt", "sola")(torch.randn(1, 30, 256)).shape == (1, 30, 256)


class _Hostile:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


@pytest.mark.parametrize("source", ["sola", "actionformer", "arnet", "bert3d-i3d-frmb", "slowfast-50"])
def test_a_hostile_pickle_is_refused_and_nothing_is_executed(tmp_path: Path, source: str) -> None:
    trace = tmp_path / "executed"
    for name, write in {
        "a.pt": lambda x, f: torch.save(x, f),
        "b.pth.tar": lambda x, f: Path(f).write_bytes(pickle.dumps(x)),
    }.items():
        write({"conv_network.0.weight": _Hostile(f"touch {trace}")}, tmp_path / name)
        with pytest.raises(WeightError, match=name):
            ks.load_official(tmp_path / name, source)
    assert not trace.exists()


_DAMAGED = [b"", b"hello", b"PK\x03\x04broken", b"RIFF\x24\0\0\0AVI LIST", b"\x80\x02.", b"\x80\x04\x95", bytes(64)]


@pytest.mark.parametrize("content", _DAMAGED)
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.pt").write_bytes(content)
    with pytest.raises(WeightError, match=r"x\.pt"):
        ks.load_official(tmp_path / "x.pt", "sola")


def test_missing_file_other_content_and_unknown_source(tmp_path: Path) -> None:
    with pytest.raises(WeightError, match="no such file"):
        ks.load_official(tmp_path / "none.pt", "sola")
    torch.save({"w": torch.ones(2)}, tmp_path / "other.pt")
    with pytest.raises(WeightError, match="no SoLa adapter"):
        ks.load_official(tmp_path / "other.pt", "sola")
    with pytest.raises(OptionError, match="unknown source"):
        ks.load_official(tmp_path / "other.pt", "magic")
