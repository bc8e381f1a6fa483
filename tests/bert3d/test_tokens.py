"""Encoders that keep their time and places."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from kinoscope.encoders import load_encoder
from kinoscope.encoders.backbones import build_backbone
from kinoscope.encoders.i3d import I3D
from kinoscope.encoders.sampling import Runtime
from kinoscope.encoders.tokens import TokenNetwork, backbone_of, load_token_encoder
from kinoscope.encoders.trained import TrainedSpec, save_encoder
from kinoscope.errors import OptionError, WeightError

SPEC = TrainedSpec("r2plus1d-18", 0.0625, "batch", "rgb", 10.0, 16, 64, 96)


def saved(folder: Path) -> nn.Module:
    torch.manual_seed(0)
    backbone = build_backbone("r2plus1d-18", width=0.0625)
    save_encoder(folder, backbone, SPEC)
    return backbone.eval()


@pytest.mark.parametrize("runtime", ["torch", pytest.param("openvino", marks=pytest.mark.slow)])
@torch.no_grad()
def test_tokens_are_the_map_of_the_backbone_and_their_mean_is_the_feature(tmp_path: Path, runtime: Runtime) -> None:
    """As an encoder's folder, and as the folder of a recogniser that holds it."""
    if runtime == "openvino":
        pytest.importorskip("openvino")
    backbone, clip = saved(tmp_path / "encoder"), torch.randn(2, 3, 16, 64, 64)
    expected = backbone(clip).permute(0, 2, 3, 4, 1)  # [B, C, N, H, W] -> [B, N, H, W, C]
    close = {"atol": 1e-4, "rtol": 1e-4}
    for folder in (tmp_path, tmp_path / "encoder"):
        encoder = load_token_encoder(str(folder), device="cpu", runtime=runtime)
        tokens = encoder(clip)
        assert tokens.shape == (2, 2, 4, 4, 32) and encoder.spec.size == 64
        torch.testing.assert_close(tokens, expected, **close)
    torch.testing.assert_close(
        tokens.mean((1, 2, 3)), load_encoder(str(folder), device="cpu", runtime="torch")(clip), **close
    )


def test_tokens_of_i3d_come_before_its_pooling() -> None:
    network = I3D()
    assert backbone_of(network) is network.features and TokenNetwork(network).backbone is network.features


def test_what_has_no_tokens(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"single frames(.|\n)*i3d-k400"):
        backbone_of(nn.Linear(2, 2))
    with pytest.raises(WeightError, match="holds no encoder"):
        load_token_encoder(str(tmp_path), device="cpu")
