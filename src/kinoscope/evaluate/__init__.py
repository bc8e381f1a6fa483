"""Programs over result files: how good predictions are, how sure that is, and why it is not better."""

from .bootstrap import bootstrap_map, bootstrap_replicates
from .boundaries import BoundaryResult, BoundaryScore, bootstrap_mean_f1, evaluate_boundaries, gebd_f1
from .boundary_files import evaluate_boundary_files
from .detection import evaluate_detection, evaluate_files
from .probe_boundary import BoundaryProbe, BoundaryProbeOptions, boundary_probe
from .probe_counts import Difference
from .probe_official import OfficialProbe, official_probe
from .probe_split import ProbeSplit, split_videos
from .protocols import PROTOCOLS, Protocol, get_protocol, list_protocols
from .result import DetectionResult, Reason

__all__ = [
    "PROTOCOLS",
    "BoundaryProbe",
    "BoundaryProbeOptions",
    "BoundaryResult",
    "BoundaryScore",
    "DetectionResult",
    "Difference",
    "OfficialProbe",
    "ProbeSplit",
    "Protocol",
    "Reason",
    "bootstrap_map",
    "bootstrap_mean_f1",
    "bootstrap_replicates",
    "boundary_probe",
    "evaluate_boundaries",
    "evaluate_boundary_files",
    "evaluate_detection",
    "evaluate_files",
    "gebd_f1",
    "get_protocol",
    "list_protocols",
    "official_probe",
    "split_videos",
]
