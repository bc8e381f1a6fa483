"""Clip or frame → feature vector: the networks, their published weights, and extraction over folders of video."""

from .catalog import EncoderSpec, encoder_spec, list_encoders
from .encoder import Encoder, load_encoder

__all__ = ["Encoder", "EncoderSpec", "encoder_spec", "list_encoders", "load_encoder"]
