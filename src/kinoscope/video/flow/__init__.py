"""Optical flow: measured, stored as lossless video, and shown."""

from __future__ import annotations

from .algorithms import compute_flow
from .encoding import Algorithm, FlowSettings, decode_flow, encode_flow, flow_colors

__all__ = ["Algorithm", "FlowSettings", "compute_flow", "decode_flow", "encode_flow", "flow_colors"]
