"""``kinoscope evaluate``: scores anybody's predictions, and says why they score so."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import AnnotationError, OptionError

if TYPE_CHECKING:
    from ..evaluate import DetectionResult, Reason
    from .evaluated import Told

EXAMPLES = """\
  kinoscope evaluate new.json --gt labels.csv --protocol own
  kinoscope evaluate pred.json --gt activity_net.v1-3.min.json --protocol activitynet --subset validation
  kinoscope evaluate pred.json --gt thumos.json --protocol thumos14 --metrics map,ar,error-analysis --html eval.html
  kinoscope evaluate old.json new.json --gt labels.csv --compare
  kinoscope evaluate pred.json --gt gtea.json --metrics frames --fps 15
  kinoscope evaluate boundaries.json --gt labels.csv --protocol gebd
"""


def run(
    predictions: list[Path],
    *,
    gt: Path,
    protocol: str = "own",
    subset: str | None = None,
    dataset: str | None = None,
    metrics: str = "map",
    compare: bool = False,
    most: float = 100.0,
    fps: float | None = None,
    html: Path | None = None,
    json: bool = False,
    bootstrap: int = 2000,
    seed: int = 0,
) -> int:
    """Score predictions against ground truth: mAP over tIoU thresholds, equal to the ActivityNet evaluator.

    With --compare two files are scored on the same draws of videos: is the second really better? With --protocol gebd
    boundaries are scored: F1 at relative distances, equal to the script of the GEBD challenge.

    Args:
        predictions: JSON (ActivityNet's results) or CSV (video,start,end,label,score); proposals, for ar and recall,
            need no label. For gebd JSON or CSV that
            `kinoscope localize --boundaries` wrote, or JSON of the form {video: [seconds, ...]}.
        gt: Ground truth: ActivityNet JSON, or CSV (video,start,end,label[,split]). For gebd with the durations of the
            videos, or GEBD's own as JSON.
        protocol: own, activitynet, thumos14 (or thumos14-gtad, -212: other video lists), hacs, multithumos,
            epic-kitchens, fineaction, charades, ego4d-mq: thresholds, subset and rules; gebd for boundaries.
        subset: Part of the ground truth that counts; by default the protocol's.
        dataset: What the ground truth is, where its content does not tell: epic-kitchens:verb, epic-kitchens:noun,
            gtea, 50salads:fps=30, frames:fps=15.
        metrics: With commas between: map; ar (average recall of proposals, AUC); recall (Recall@kx); boundaries (how
            far they are off, in seconds); error-analysis (what false positives are, which true segments are found
            worse); frames (accuracy, edit score and F1 of frame labels).
        compare: Two files: interval of their difference, paired over videos.
        most: For ar: the largest average number of proposals of a video.
        fps: For frames: frame labels per second.
        html: Page with curves and tables.
        json: Print everything as JSON.
        bootstrap: Replicates of the intervals over videos; 0 leaves them out.
        seed: Of the bootstrap.
    """
    from .outputs import check_writable

    if bootstrap < 0:
        raise OptionError(f"--bootstrap is {bootstrap}, but must be 0 or more", cure="0 leaves the interval out")
    if len(predictions) != (2 if compare else 1):
        cure = "give two files with --compare, one without"
        raise OptionError(f"{len(predictions)} files of predictions, --compare {'on' if compare else 'off'}", cure=cure)
    check_writable([html], [*predictions, gt], "inputs")
    if protocol.lower() == "gebd":
        if compare or html is not None or metrics != "map":
            raise OptionError("--protocol gebd has neither --metrics, --compare nor --html", cure="leave them out")
        return _boundaries(predictions[0], gt, protocol, subset, json, bootstrap, seed)
    if compare:
        if metrics != "map":
            raise OptionError(f"--compare compares mAP, but --metrics is {metrics!r}", cure="leave --metrics out")
        return _compare(predictions, gt, protocol, subset, dataset, html, json, bootstrap, seed)
    from .evaluated import WITHOUT_LABELS, basis, chosen_metrics, headline, tell, without_labels, write_page
    from .terminal import say

    asked = chosen_metrics(metrics)
    need_labels = not WITHOUT_LABELS.issuperset(asked)
    result = without_labels(_score(predictions[0], gt, protocol, subset, dataset, need_labels), asked)
    told, interval = tell(result, asked, bootstrap=bootstrap, seed=seed, most=most, fps=fps)
    if html is not None:
        write_page(html, predictions[0].name, result, told, interval)
    _show(told, json)
    if not json:
        say(basis(result))
        if {"map", "ar"}.intersection(asked):
            say(headline(result, told, interval))
    _remark([("", reason) for reason in result.reasons], html, json)
    return 0


def _show(told: Told, json: bool) -> None:
    from .terminal import print_json, print_table

    if json:
        print_json(told.content)
        return
    for table in told.tables:
        print_table(table.title, table.header, table.rows, note=table.note)


def _remark(remarks: list[tuple[str, Reason]], html: Path | None, json: bool) -> None:
    """Tell reasons, each with what it is about; what is clearly wrong also beside JSON."""
    from .terminal import note

    for about, reason in remarks:
        if reason.cure:
            note(f"warning: {about}{reason.text}")
            note(f"  Cure: {reason.cure}")
        elif not json:
            note(f"- {about}{reason.text}")
    if html is not None:
        note(f"Written: {html}")


def _score(
    predictions: Path, gt: Path, protocol: str, subset: str | None, dataset: str | None, need_labels: bool = True
) -> DetectionResult:
    from ..evaluate import evaluate_files

    try:
        return evaluate_files(predictions, gt, protocol, subset=subset, dataset=dataset, need_labels=need_labels)
    except AnnotationError as error:
        if need_labels and _holds_proposals(predictions):
            cure = "score them with --metrics ar,recall, or give them labels: kinoscope localize … --fuse-classifier"
            raise AnnotationError("holds proposals without labels", where=predictions, cure=cure) from error
        if error.where == predictions and _holds_boundaries(predictions):
            cure = "add --protocol gebd"
            raise AnnotationError("holds boundaries, not segments", where=predictions, cure=cure) from error
        raise


def _compare(
    files: list[Path],
    gt: Path,
    protocol: str,
    subset: str | None,
    dataset: str | None,
    html: Path | None,
    json: bool,
    bootstrap: int,
    seed: int,
) -> int:
    if not bootstrap:
        raise OptionError("--compare draws videos, but --bootstrap is 0", cure="2000 is usual")
    from ..evaluate import compare_map
    from .evaluated import basis, write_page
    from .evaluated_pair import compared
    from .terminal import say

    first, second = (_score(path, gt, protocol, subset, dataset) for path in files)
    found = compare_map(second, first, bootstrap, seed)
    names = (files[0].name, files[1].name) if files[0].name != files[1].name else (str(files[0]), str(files[1]))
    told = compared(names, (first, second), found)
    if html is not None:
        write_page(html, f"{names[1]} beside {names[0]}", second, told, None)
    _show(told, json)
    if not json:
        for name, each in zip(names, (first, second), strict=True):
            say(f"{name}: {basis(each)}")
    pairs = zip(names, (first, second), strict=True)
    _remark([(f"{name}: ", reason) for name, result in pairs for reason in result.reasons], html, json)
    return 0


def _holds_boundaries(path: Path) -> bool:
    from ..data.boundaries import read_boundaries

    try:
        return bool(read_boundaries(path))
    except AnnotationError:
        return False


def _holds_proposals(path: Path) -> bool:
    from ..data.annotations import read_predictions

    try:
        return read_predictions(path, need_labels=False).classes == ("",)
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
