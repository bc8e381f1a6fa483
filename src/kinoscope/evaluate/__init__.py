"""Programs over result files: how good predictions are, how sure that is, and why it is not better."""

from .bootstrap import bootstrap_map, bootstrap_replicates
from .boundaries import BoundaryResult, BoundaryScore, bootstrap_mean_f1, evaluate_boundaries, gebd_f1
from .boundary_files import evaluate_boundary_files
from .clip_map import ClipMap, clip_map, map_difference, map_interval, truth_matrix
from .clip_scores import ClipScores, average_probabilities, fuse_probabilities, hit_difference, hit_interval
from .clip_split import ClipSplit, split_clips
from .detection import evaluate_detection, evaluate_files
from .knn import knn_probabilities
from .linear_probe import LinearProbe, LinearProbeOptions, linear_probe
from .probe_boundary import BoundaryProbe, BoundaryProbeOptions, boundary_probe
from .probe_counts import Difference
from .probe_official import OfficialProbe, official_probe
from .probe_split import ProbeSplit, split_videos
from .protocols import PROTOCOLS, Protocol, get_protocol, list_protocols
from .result import DetectionResult, Reason
from .retrieval import Retrieval, retrieve, similarities

__all__ = [
    "PROTOCOLS",
    "BoundaryProbe",
    "BoundaryProbeOptions",
    "BoundaryResult",
    "BoundaryScore",
    "ClipMap",
    "ClipScores",
    "ClipSplit",
    "DetectionResult",
    "Difference",
    "LinearProbe",
    "LinearProbeOptions",
    "OfficialProbe",
    "ProbeSplit",
    "Protocol",
    "Reason",
    "Retrieval",
    "average_probabilities",
    "bootstrap_map",
    "bootstrap_mean_f1",
    "bootstrap_replicates",
    "boundary_probe",
    "clip_map",
    "evaluate_boundaries",
    "evaluate_boundary_files",
    "evaluate_detection",
    "evaluate_files",
    "fuse_probabilities",
    "gebd_f1",
    "get_protocol",
    "hit_difference",
    "hit_interval",
    "knn_probabilities",
    "linear_probe",
    "list_protocols",
    "map_difference",
    "map_interval",
    "official_probe",
    "retrieve",
    "similarities",
    "split_clips",
    "split_videos",
    "truth_matrix",
]
