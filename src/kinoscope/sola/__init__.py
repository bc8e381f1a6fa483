"""SoLa (CVPR 2023): frozen features made temporally sensitive, without labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import attach

if TYPE_CHECKING:
    from .loss import entropy_floor as entropy_floor
    from .loss import similarity_matching as similarity_matching
    from .loss import target_similarity as target_similarity
    from .network import Predictor as Predictor
    from .network import SoLa as SoLa
    from .options import SolaOptions as SolaOptions
    from .options import SolaTraining as SolaTraining
    from .train import adapter_folder as adapter_folder
    from .train import convert_folder as convert_folder
    from .train import train_adapter as train_adapter

_HOMES = {
    "Predictor": "network",
    "SoLa": "network",
    "SolaOptions": "options",
    "SolaTraining": "options",
    "adapter_folder": "train",
    "convert_folder": "train",
    "entropy_floor": "loss",
    "similarity_matching": "loss",
    "target_similarity": "loss",
    "train_adapter": "train",
}
__all__ = list(_HOMES)
__getattr__ = attach(__name__, _HOMES)
