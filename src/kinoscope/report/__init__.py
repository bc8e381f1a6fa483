"""Results that people look at: one self-contained HTML file with player, timeline, curves, maps and tables."""

from .content import Chart, Curve, Line, Report, SimilarityMap, Table, Thumbnail, VideoPage
from .maps import similarity_map, target_map
from .write import render_report, write_report

__all__ = [
    "Chart",
    "Curve",
    "Line",
    "Report",
    "SimilarityMap",
    "Table",
    "Thumbnail",
    "VideoPage",
    "render_report",
    "similarity_map",
    "target_map",
    "write_report",
]
