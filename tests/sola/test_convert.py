"""Conversion of files: equal to one pass, in memory that does not grow with the video, nothing half done."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch

from kinoscope.data.feature_store import FeatureStore
from kinoscope.data.feature_write import write_feature_blocks
from kinoscope.data.features import Features, FeatureTime, write_features
from kinoscope.errors import FeatureError, Interrupted, OutputError
from kinoscope.sola import Adapter, SoLa, SolaOptions, convert_folder

from ..folders import files_below

TIME = FeatureTime(2, 1, 1)


def adapter(width: int, hidden: int = 8) -> SoLa:
    torch.manual_seed(0)
    made = SoLa(width, SolaOptions(hidden=hidden, kernel=5, dilation=2))
    made.alpha.data.fill_(0.8)
    return made.eval().requires_grad_(False)


def test_a_long_file_equals_one_pass(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(9001, 6)).astype(np.float32)  # three pieces
    write_features(tmp_path / "in" / "long.safetensors", Features(values, TIME, "tiny", "0" * 16))
    made = adapter(6)
    assert convert_folder(made, FeatureStore(tmp_path / "in"), tmp_path / "out") == 1
    whole = made(torch.from_numpy(values)[None])[0].numpy()
    converted = FeatureStore(tmp_path / "out")["long"]
    np.testing.assert_allclose(converted.values, whole, atol=1e-5)
    assert converted.encoder == "tiny+sola" and converted.time == TIME


def test_memory_does_not_grow_with_the_video(tmp_path: Path) -> None:
    """Of arrays of NumPy; PyTorch only ever sees one piece."""
    width, made = 64, adapter(64)

    def peak(rows: int) -> int:
        folder = tmp_path / f"in{rows}"
        blocks = (np.full((1000, width), n, np.float32) for n in range(rows // 1000))
        write_feature_blocks(folder / "a.safetensors", blocks, rows=rows, width=width, time=TIME)
        tracemalloc.start()
        convert_folder(made, FeatureStore(folder), tmp_path / f"out{rows}")
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    short, long = peak(20_000), peak(200_000)  # 5 MB, 51 MB
    assert long < 1.3 * short and long < 10e6


@pytest.mark.parametrize("file_format", ["safetensors", "npy"])
def test_a_conversion_that_fails_leaves_no_half_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file_format: str
) -> None:
    for name in ("a", "b"):
        values = np.random.default_rng(0).normal(size=(9001, 6)).astype(np.float32)
        write_features(tmp_path / "in" / f"{name}.safetensors", Features(values, TIME))
    made, whole = adapter(6), Adapter.blocks

    def fails(self: Adapter, values: np.ndarray, rows: int = 4096) -> object:
        for number, block in enumerate(whole(self, values, rows)):
            if number == 2 and (tmp_path / "out" / f"a.{file_format}").exists():
                raise KeyboardInterrupt
            yield block

    monkeypatch.setattr(Adapter, "blocks", fails)
    with pytest.raises(Interrupted, match=r"interrupted after 1 of 2 videos(.|\n)*--resume"):
        convert_folder(made, FeatureStore(tmp_path / "in"), tmp_path / "out", file_format=file_format)  # type: ignore[arg-type]
    assert files_below(tmp_path / "out") == [f"a.{file_format}"]


def test_an_adapter_that_makes_no_numbers_is_told_with_the_row(tmp_path: Path) -> None:
    write_features(tmp_path / "in" / "a.safetensors", Features(np.full((9, 6), 3e38, np.float32), TIME))
    made = adapter(6)
    made.conv_network[4].bias.data.fill_(3e38)
    with pytest.raises(FeatureError, match="row 0"):
        convert_folder(made, FeatureStore(tmp_path / "in"), tmp_path / "out")
    assert not files_below(tmp_path / "out")


def test_only_its_own_features_are_gone_on_with(tmp_path: Path) -> None:
    for name in ("a", "b"):
        values = np.random.default_rng(0).normal(size=(9, 6)).astype(np.float32)
        write_features(tmp_path / "in" / f"{name}.safetensors", Features(values, TIME))
    store, made, other = FeatureStore(tmp_path / "in"), adapter(6), adapter(6, hidden=4)
    assert convert_folder(made, store, tmp_path / "out") == 2
    assert convert_folder(made, store, tmp_path / "out", resume=True) == 0
    before = (tmp_path / "out" / "a.safetensors").read_bytes()
    with pytest.raises(OutputError, match=r"a\.safetensors: holds features of another adapter(.|\n)*--overwrite"):
        convert_folder(other, store, tmp_path / "out", resume=True)
    assert (tmp_path / "out" / "a.safetensors").read_bytes() == before
    assert convert_folder(other, store, tmp_path / "out", resume=True, overwrite=True) == 2
