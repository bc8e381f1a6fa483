"""SoLa (CVPR 2023): frozen features made temporally sensitive, without labels."""

from .loss import entropy_floor, similarity_matching, target_similarity
from .network import Predictor, SoLa
from .options import SolaOptions
from .train import SolaTraining, adapter_folder, convert_folder, train_adapter

__all__ = [
    "Predictor",
    "SoLa",
    "SolaOptions",
    "SolaTraining",
    "adapter_folder",
    "convert_folder",
    "entropy_floor",
    "similarity_matching",
    "target_similarity",
    "train_adapter",
]
