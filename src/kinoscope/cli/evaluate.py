"""``kinoscope evaluate``: scores anybody's predictions, and says why they score so."""

from __future__ import annotations

from pathlib import Path

from ..errors import AnnotationError, OptionError

EXAMPLES = """\
  kinoscope evaluate new.json --gt labels.csv --protocol own
  kinoscope evaluate pred.json --gt activity_net.v1-3.min.json --protocol activitynet --subset validation
  kinoscope evaluate pred.json --gt thumos.json --protocol thumos14 --json
  kinoscope evaluate boundaries.json --gt labels.csv --protocol gebd
"""


def run(
    predictions: Path,
    *,
    gt: Path,
    protocol: str = "own",
    subset: str | None = None,
    json: bool = False,
    bootstrap: int = 2000,
    seed: int = 0,
) -> int:
    """Score predictions against ground truth: mAP over tIoU thresholds, equal to the ActivityNet evaluator.

    With --protocol gebd boundaries are scored: F1 at relative distances, equal to the script of the GEBD challenge.

    Args:
        predictions: JSON (ActivityNet's results) or CSV (video,start,end,label,score). For gebd JSON or CSV that
            `kinoscope localize --boundaries` wrote, or JSON of the form {video: [seconds, ...]}.
        gt: Ground truth: ActivityNet JSON, or CSV (video,start,end,label[,split]). For gebd with the durations of the
            videos, or GEBD's own as JSON.
        protocol: own, activitynet, thumos14 or hacs: thresholds, subset and rules; gebd for boundaries.
        subset: Part of the ground truth that counts; by default the protocol's.
        json: Print everything as JSON.
        bootstrap: Replicates of the interval over videos; 0 leaves it out.
        seed: Of the bootstrap.
    """
    if bootstrap < 0:
        raise OptionError(f"--bootstrap is {bootstrap}, but must be 0 or more", cure="0 leaves the interval out")
    score = _boundaries if protocol.lower() == "gebd" else _segments
    return score(predictions, gt, protocol, subset, json, bootstrap, seed)


def _segments(
    predictions: Path, gt: Path, protocol: str, subset: str | None, json: bool, bootstrap: int, seed: int
) -> int:
    from ..evaluate import bootstrap_map, evaluate_files
    from .terminal import note, print_json, print_table, say

    try:
        result = evaluate_files(predictions, gt, protocol, subset=subset)
    except AnnotationError as error:
        if error.where == predictions and _holds_boundaries(predictions):
            cure = "add --protocol gebd"
            raise AnnotationError("holds boundaries, not segments", where=predictions, cure=cure) from error
        raise
    interval = bootstrap_map(result, bootstrap, seed) if bootstrap else None
    if json:
        print_json({**result.to_dict(), **({"average_mAP_interval": list(interval)} if interval else {})})
        return 0
    header = ["class", "segments", *(f"{threshold:g}" for threshold in result.thresholds), "average"]
    rows = [[row["class"], row["segments"], *(row[name] for name in header[2:])] for row in result.table()]
    subset_text = f", subset {result.subset}" if result.subset else ""
    title = f"AP by tIoU threshold, protocol {result.protocol.name}{subset_text}, {len(result.scored_videos)} videos"
    print_table(title, header, rows)
    text = f"average mAP {result.average_map:.4f}"
    say(text + (f", 95 % interval over videos {interval[0]:.4f} to {interval[1]:.4f}" if interval else ""))
    for reason in result.reasons:
        note(f"- {reason.text}")
    return 0


def _holds_boundaries(path: Path) -> bool:
    from ..data.boundaries import read_boundaries

    try:
        return bool(read_boundaries(path))
    except AnnotationError:
        return False


def _boundaries(
    predictions: Path, gt: Path, protocol: str, subset: str | None, json: bool, bootstrap: int, seed: int
) -> int:
    from ..evaluate import bootstrap_mean_f1, evaluate_boundary_files
    from .terminal import note, print_json, print_table, say

    result = evaluate_boundary_files(predictions, gt, subset=subset)
    interval = bootstrap_mean_f1(result, bootstrap, seed) if bootstrap else None
    if json:
        print_json({**result.to_dict(), **({"mean_f1_interval": list(interval)} if interval else {})})
        return 0
    header = ["relative distance", "F1", "precision", "recall", "F1, mean over raters"]
    table = [list(row.values()) for row in result.table()]
    if (result.counts == result.mean_counts).all():  # a single rater
        header, table = header[:-1], [row[:-1] for row in table]
    subset_text = f", subset {result.subset}" if result.subset else ""
    title = f"Event boundaries, protocol {protocol.lower()}{subset_text}, {len(result.videos)} videos"
    print_table(title, header, table)
    text = f"F1 at {result.distances[0]:g}: {result.scores[0].f1:.4f}, mean {result.mean_f1:.4f}"
    say(text + (f", 95 % interval over videos {interval[0]:.4f} to {interval[1]:.4f}" if interval else ""))
    for reason in result.reasons:
        note(f"- {reason.text}")
    return 0
