"""Official ActionFormer releases (github happyharrycn/actionformer_release) → our network.

Source: specification section 1.10. The names of the tensors are ours already; sizes are read from their shapes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..errors import OptionError, WeightError
from ..localize.network import ActionFormer
from ..localize.options import ActionFormerOptions
from .matching import require_match, tensors_in

_CURE = "give an official ActionFormer checkpoint, for example the THUMOS14 release"


def load_actionformer(state_dict: Mapping[str, Any], *, heads: int = 4, window: int = 19) -> ActionFormer:
    """The network of an official checkpoint, in evaluation mode, computing what the official code computes.

    Args:
        state_dict: the tensors, or a whole checkpoint, of which ``state_dict_ema`` (what the official evaluation uses)
            is taken, else ``state_dict``. A prefix ``module.`` is dropped.
        heads, window: not told by any tensor; the defaults are those of the THUMOS14 release.

    Raises:
        WeightError: tensors are missing, unknown or of another shape; they are named.
    """
    weights = tensors_in(state_dict, ("state_dict_ema", "state_dict"))
    try:
        options = _options(weights, heads, window)
    except OptionError as error:
        raise WeightError(f"no ActionFormer has these sizes: {error.problem}", cure=error.cure) from error
    network = ActionFormer(options)
    require_match({name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}, weights, _CURE)
    network.load_state_dict(weights)
    return network.eval()


def _options(weights: Mapping[str, Tensor], heads: int, window: int) -> ActionFormerOptions:
    try:
        width, input_width, kernel = weights["backbone.embd.0.conv.weight"].shape
        classes = len(weights["cls_head.cls_head.conv.weight"])
        hidden = len(weights["backbone.stem.0.mlp.0.weight"])
    except (KeyError, ValueError) as error:
        raise WeightError(
            f"not an ActionFormer checkpoint: {error} is missing or has another number of dimensions",
            cure=_CURE,
        ) from error
    return ActionFormerOptions(
        input_width,
        classes,
        width=width,
        heads=heads,
        kernel=kernel,
        embedding_convs=_count(weights, r"backbone\.embd\.(\d+)\.conv\.weight"),
        stem_blocks=_count(weights, r"backbone\.stem\.(\d+)\.ln1\.weight"),
        branch_blocks=_count(weights, r"backbone\.branch\.(\d+)\.ln1\.weight"),
        window=window,
        mlp_ratio=hidden // width,
        head_layers=1 + _count(weights, r"cls_head\.head\.(\d+)\.conv\.weight"),
        mask_clean=False,
    )


def _count(weights: Mapping[str, Tensor], pattern: str) -> int:
    return sum(re.fullmatch(pattern, name) is not None for name in weights)
