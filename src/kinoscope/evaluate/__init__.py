"""Programs over result files: how good predictions are, how sure that is, and why it is not better."""

from .bootstrap import bootstrap_map, bootstrap_replicates
from .detection import evaluate_detection, evaluate_files
from .protocols import PROTOCOLS, Protocol, get_protocol, list_protocols
from .result import DetectionResult, Reason

__all__ = [
    "PROTOCOLS",
    "DetectionResult",
    "Protocol",
    "Reason",
    "bootstrap_map",
    "bootstrap_replicates",
    "evaluate_detection",
    "evaluate_files",
    "get_protocol",
    "list_protocols",
]
