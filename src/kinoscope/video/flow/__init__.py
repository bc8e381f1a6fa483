"""Optical flow: measured from frames or read from the codec, stored as lossless video, and shown."""

from __future__ import annotations

from .algorithms import compute_flow
from .encoding import Algorithm, FlowSettings, decode_flow, encode_flow, flow_colors
from .files import FlowStats, flow_options_of, flow_path, write_flow
from .folder import FlowReport, flow_folder
from .measure import FlowOptions, measure_flow, video_flow, working_size
from .preview import write_preview

__all__ = [
    "Algorithm",
    "FlowOptions",
    "FlowReport",
    "FlowSettings",
    "FlowStats",
    "compute_flow",
    "decode_flow",
    "encode_flow",
    "flow_colors",
    "flow_folder",
    "flow_options_of",
    "flow_path",
    "measure_flow",
    "video_flow",
    "working_size",
    "write_flow",
    "write_preview",
]
