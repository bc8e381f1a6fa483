"""``kinoscope.load_official``: official releases of the methods, as our modules in evaluation mode."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from ..errors import OptionError, WeightError
from .actionformer import load_actionformer
from .arnet import load_arnet
from .backbones import RELEASES as BACKBONES
from .backbones import load_backbone
from .bert3d import RELEASES as RECOGNIZERS
from .bert3d import load_bert3d
from .coclr import load_coclr_s3d
from .sola import load_sola

Network = TypeVar("Network", bound=nn.Module)

_SOURCES: dict[str, Callable[[Mapping[str, Any]], nn.Module]] = {
    "actionformer": load_actionformer,
    "arnet": load_arnet,
    "coclr-s3d": load_coclr_s3d,
    "sola": load_sola,
    **{source: partial(load_bert3d, source=source) for source in RECOGNIZERS},
    **{source: partial(load_backbone, source=source) for source in BACKBONES},
}


def load_official(path: str | Path, source: str) -> nn.Module:
    """An official checkpoint as our module, in evaluation mode.

    Args:
        path: a ``.safetensors`` file, or one that ``torch.save`` wrote. Of the latter only tensors and plain containers
            are read; a file that asks for anything else is refused, and nothing in it is executed.
        source: where it comes from, and so what comes back; clips are normalised.

            ============================  ===========================================================================
            ``coclr-s3d``                 clip [B, 3, T, H, W] → pooled feature [B, 1024]; ``.project(clip)`` →
                                          [B, 128] before L2 normalisation
            ``bert3d-r2plus1d34``,        clip → logits [B, K]; ``.attend(clip)`` → and how much each step was looked
            ``bert3d-resnext101-frmb``,   at
            ``bert3d-resnext101-frab``,
            ``bert3d-i3d-frmb``
            names of public backbones     clip → logits [B, K]; ``.backbone(clip)`` → map [B, C, N, H', W']; see
                                          :data:`kinoscope.convert.backbones.RELEASES`
            ``sola``                      features [B, T, C] → [B, T, C]
            ``actionformer``              features [B, T, C], mask [B, T] → per level class logits [B, T_l, K] and
                                          offsets [B, T_l, 2]
            ``arnet``                     ``.policy(frames [B, T, 3, 84, 84])`` → policy logits [B, T, 7], class logits
                                          [B, T, K], nothing skipped; ``.backbones[i](frames [N, 3, S, S])`` → class
                                          logits [N, K], i = 0, 1, 2 for S = 224, 168, 112
            ============================  ===========================================================================

    Raises:
        OptionError: unknown source.
        WeightError: the file cannot be read, is refused, or does not hold the tensors of ``source``.
    """
    if source not in _SOURCES:
        raise OptionError(f"unknown source {source!r}", cure=f"one of: {', '.join(_SOURCES)}")
    return load_from(path, _SOURCES[source])


def load_from(path: str | Path, load: Callable[[Mapping[str, Any]], Network]) -> Network:
    """What ``load`` makes of the checkpoint in a file, whose path its errors then name.

    Raises:
        WeightError: see :func:`load_official`.
    """
    try:
        return load(read_checkpoint(path))
    except WeightError as error:
        raise WeightError(error.problem, where=path, cure=error.cure) from error


def read_checkpoint(path: str | Path) -> Mapping[str, Any]:
    """The dict in a checkpoint, on the CPU, read without executing anything.

    Raises:
        WeightError: missing, damaged, refused, or not a dict.
    """
    from safetensors.torch import load_file

    path = Path(path)
    if not path.is_file():
        problem = "is a folder, not a checkpoint" if path.is_dir() else "no such file"
        raise WeightError(problem, where=path, cure="check the path")
    try:
        content = load_file(path) if path.suffix == ".safetensors" else _load(path)
    except pickle.UnpicklingError as error:
        more = "unsupported global" in str(error).lower()
        reason = "it holds more than tensors and plain containers" if more else "it is damaged, or no checkpoint"
        cure = "ask its authors for a state dict, or convert it on a machine that you can lose"
        raise WeightError(f"refused: {reason}", where=path, cure=cure) from error
    except Exception as error:  # hostile bytes can raise anything
        reason = (str(error) or "it ends too early").splitlines()[0]
        raise WeightError(f"cannot be read: {reason}", where=path, cure="download it again") from error
    if not isinstance(content, Mapping):
        cure = "give the file with the tensors of the network"
        raise WeightError(f"holds a {type(content).__name__}, not a state dict", where=path, cure=cure)
    return content


def _load(path: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # on the pickle's protocol, which tells a user nothing
        return torch.load(path, map_location="cpu", weights_only=True)
