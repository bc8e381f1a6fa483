"""Results that people look at: one self-contained HTML file with player, timeline, curves, maps and tables."""

from .content import Curve, Report, SimilarityMap, Table, Thumbnail, VideoPage, similarity_map
from .write import render_report, write_report

__all__ = [
    "Curve",
    "Report",
    "SimilarityMap",
    "Table",
    "Thumbnail",
    "VideoPage",
    "render_report",
    "similarity_map",
    "write_report",
]
