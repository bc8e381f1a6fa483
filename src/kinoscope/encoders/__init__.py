"""Clip or frame → feature vector: the networks, their published weights, and extraction over folders of video."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import attach

if TYPE_CHECKING:
    from .catalog import EncoderSpec as EncoderSpec
    from .catalog import encoder_spec as encoder_spec
    from .catalog import list_encoders as list_encoders
    from .encoder import Encoder as Encoder
    from .encoder import load_encoder as load_encoder
    from .extract import extract_features as extract_features
    from .folder import extract_folder as extract_folder
    from .sampling import Sampling as Sampling

_HOMES = {
    "Encoder": "encoder",
    "EncoderSpec": "catalog",
    "Sampling": "sampling",
    "encoder_spec": "catalog",
    "extract_features": "extract",
    "extract_folder": "folder",
    "list_encoders": "catalog",
    "load_encoder": "encoder",
}
__all__ = list(_HOMES)
__getattr__ = attach(__name__, _HOMES)
