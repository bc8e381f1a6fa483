"""Programs over result files: how good predictions are, how sure that is, and why it is not better."""

from .bootstrap import Comparison, bootstrap_map, bootstrap_replicates, compare_map
from .boundaries import BoundaryResult, BoundaryScore, bootstrap_mean_f1, evaluate_boundaries, gebd_f1
from .boundary_error import BoundaryError, boundary_errors
from .boundary_files import evaluate_boundary_files
from .clip_map import ClipMap, clip_map, map_difference, map_interval, truth_matrix
from .clip_scores import ClipScores, average_probabilities, fuse_probabilities, hit_difference, hit_interval
from .clip_split import ClipSplit, split_clips
from .detection import evaluate_detection, evaluate_files
from .diagnosis import Diagnosis, diagnose
from .frames import FrameScores, frame_labels, score_frames
from .knn import knn_probabilities
from .linear_probe import LinearProbe, LinearProbeOptions, linear_probe
from .probe_boundary import BoundaryProbe, BoundaryProbeOptions, boundary_probe
from .probe_counts import Difference
from .probe_official import OfficialProbe, official_probe
from .probe_split import ProbeSplit, split_videos
from .proposals import ProposalScores, average_recall, recall_at_kx
from .protocols import PROTOCOLS, Protocol, get_protocol, list_protocols
from .result import DetectionResult, Reason
from .retrieval import Retrieval, retrieve, similarities

__all__ = [
    "PROTOCOLS",
    "BoundaryError",
    "BoundaryProbe",
    "BoundaryProbeOptions",
    "BoundaryResult",
    "BoundaryScore",
    "ClipMap",
    "ClipScores",
    "ClipSplit",
    "Comparison",
    "DetectionResult",
    "Diagnosis",
    "Difference",
    "FrameScores",
    "LinearProbe",
    "LinearProbeOptions",
    "OfficialProbe",
    "ProbeSplit",
    "ProposalScores",
    "Protocol",
    "Reason",
    "Retrieval",
    "average_probabilities",
    "average_recall",
    "bootstrap_map",
    "bootstrap_mean_f1",
    "bootstrap_replicates",
    "boundary_errors",
    "boundary_probe",
    "clip_map",
    "compare_map",
    "diagnose",
    "evaluate_boundaries",
    "evaluate_boundary_files",
    "evaluate_detection",
    "evaluate_files",
    "frame_labels",
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
    "recall_at_kx",
    "retrieve",
    "score_frames",
    "similarities",
    "split_clips",
    "split_videos",
    "truth_matrix",
]
