"""SoLa (CVPR 2023): frozen features made temporally sensitive, without labels; and the controls it is measured against.

Reads like the paper: ``network`` (section 3.1), ``loss`` (3.2), ``train``. ``controls`` holds the other adapters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import attach

if TYPE_CHECKING:
    from .adapter import Adapter as Adapter
    from .controls import ControlOptions as ControlOptions
    from .controls import Identity as Identity
    from .controls import MovingAverage as MovingAverage
    from .controls import RandomAdapter as RandomAdapter
    from .controls import Whitening as Whitening
    from .controls import join_streams as join_streams
    from .controls import make_control as make_control
    from .convert import convert_folder as convert_folder
    from .load import adapter_folder as adapter_folder
    from .load import load_adapter as load_adapter
    from .loss import Predictor as Predictor
    from .loss import SimilarityMatching as SimilarityMatching
    from .loss import entropy_floor as entropy_floor
    from .loss import similarity_matching as similarity_matching
    from .loss import target_cosine as target_cosine
    from .loss import target_similarity as target_similarity
    from .network import SoLa as SoLa
    from .options import SolaOptions as SolaOptions
    from .options import SolaTraining as SolaTraining
    from .train import train_adapter as train_adapter

_HOMES = {
    "Adapter": "adapter",
    "ControlOptions": "controls",
    "Identity": "controls",
    "MovingAverage": "controls",
    "Predictor": "loss",
    "RandomAdapter": "controls",
    "SimilarityMatching": "loss",
    "SoLa": "network",
    "SolaOptions": "options",
    "SolaTraining": "options",
    "Whitening": "controls",
    "adapter_folder": "load",
    "convert_folder": "convert",
    "entropy_floor": "loss",
    "join_streams": "controls",
    "load_adapter": "load",
    "make_control": "controls",
    "similarity_matching": "loss",
    "target_cosine": "loss",
    "target_similarity": "loss",
    "train_adapter": "train",
}
__all__ = list(_HOMES)
__getattr__ = attach(__name__, _HOMES)
