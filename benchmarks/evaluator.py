"""How long scoring takes: 100,000 predictions, 1,000 videos, 200 classes, 10 thresholds, on one core.

    OMP_NUM_THREADS=1 python -m benchmarks.evaluator [--write]  # the slow twin on a tenth of the data
    OMP_NUM_THREADS=1 python -m benchmarks.evaluator --full     # the slow twin on all of it (minutes)

The slow twin is the evaluator of the tests: plain lists, each sentence of the definition one statement.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from benchmarks.results import ROOT, Section, publish, table
from kinoscope.data.annotations import read_annotations, write_annotations_json, write_predictions_json
from kinoscope.data.segments import Annotations, Segment, VideoAnnotation
from kinoscope.evaluate import (
    average_recall,
    bootstrap_replicates,
    diagnose,
    evaluate_detection,
    evaluate_files,
    get_protocol,
    recall_at_kx,
)
from kinoscope.evaluate.arrays import ArrayScores, score_arrays
from kinoscope.evaluate.matching import SegmentTable

_TWIN = Path(__file__).resolve().parents[1] / "tests" / "evaluate" / "twin.py"
_THRESHOLDS = get_protocol("activitynet").thresholds


def made(predictions: int, videos: int, classes: int, truths: int, seed: int = 0) -> tuple[SegmentTable, SegmentTable]:
    """Videos with true segments of one or two classes each; half of the predictions near one of them, half anywhere."""
    r = np.random.default_rng(seed)
    video = np.sort(r.integers(0, videos, truths))
    label = (video * 7 + r.integers(0, 2, truths)) % classes
    label[:classes] = np.arange(classes)
    start, length = r.uniform(0, 180, truths), r.uniform(2, 40, truths)
    of = r.integers(0, truths, predictions)
    near = r.random(predictions) < 0.5
    jitter = np.where(near, 3.0, 60.0)
    first = np.maximum(0, start[of] + r.normal(0, jitter))
    last = np.maximum(first + 0.5, start[of] + length[of] + r.normal(0, jitter))
    score = r.random(predictions) * np.where(near, 1.0, 0.7)
    guess = np.where(near | (r.random(predictions) < 0.6), label[of], r.integers(0, classes, predictions))
    return SegmentTable(video[of], guess, first, last, score), SegmentTable(video, label, start, start + length)


def rows(*, full: bool = False) -> list[dict[str, Any]]:
    """Measurements, each ``case``, ``seconds`` and what belongs to it; ratios are within this run."""
    predictions, truths = made(100_000, 1_000, 200, 5_000)
    seconds, scores = _timed(lambda: _score(predictions, truths, 200), repeat=3)
    found = [{"case": "arrays -> result, 100,000 predictions", "seconds": seconds, "mAP": float(scores.map.mean())}]
    found += _with_names(predictions, truths)
    found += _beside_twin(1.0 if full else 0.1)
    predictions, truths = made(1_000_000, 10_000, 200, 50_000)
    seconds, scores = _timed(lambda: _score(predictions, truths, 200))
    found.append(
        {"case": "arrays -> result, 1,000,000 predictions", "seconds": seconds, "mAP": float(scores.map.mean())}
    )
    predictions, truths = made(40_000, 210, 20, 3_311)
    seconds, scores = _timed(lambda: _score(predictions, truths, 20), repeat=3)
    found.append(
        {"case": "arrays -> result, THUMOS-like: 40,000 on 210", "seconds": seconds, "mAP": float(scores.map.mean())}
    )
    return found + _large() + _real()


NOTE = """\
Times are the best of a few runs on one core; "ratio" compares the slow twin with the fast evaluator on the same data in
the same run. The twin is the tests' own: plain lists, each sentence of the definition one statement. The fast one gives
the same average precision to rounding ("largest difference"). The data is made: half of the predictions lie near a true
segment. On real ground truth every true segment was predicted many times, moved at random. "MiB" is the most memory
taken at a time beside the input, in a run of its own. Public evaluators were not run here."""


def line(row: dict[str, Any]) -> dict[str, object]:
    """A measured row as it is shown."""
    rest = {key: f"{value:.4g}" for key, value in row.items() if key not in ("case", "seconds")}
    return {"case": row["case"], "seconds": f"{row['seconds']:.3f}", **rest}


def main() -> None:
    """Print the table; ``--write`` puts it into the document."""
    full = "--full" in sys.argv[1:]
    command = f"OMP_NUM_THREADS=1 python -m benchmarks.evaluator {'--full ' if full else ''}--write"
    body = table([line(row) for row in rows(full=full)])
    title = "Evaluator: 100,000 predictions, 1,000 videos, 200 classes, 10 thresholds"
    publish(Section("evaluator", title, command, body, NOTE), write="--write" in sys.argv[1:])


def _score(predictions: SegmentTable, truths: SegmentTable, classes: int) -> ArrayScores:
    return score_arrays(predictions, truths, classes=classes, thresholds=_THRESHOLDS)


def _with_names(predictions: SegmentTable, truths: SegmentTable) -> list[dict[str, Any]]:
    """The same data as Python objects, as files, and resampled."""
    guesses, annotations = _objects(predictions), _objects(truths)
    ground_truth = Annotations({name: VideoAnnotation(tuple(found)) for name, found in annotations.items()})
    seconds, result = _timed(lambda: evaluate_detection(guesses, ground_truth, "activitynet"), repeat=3)
    found = [{"case": "Segment objects -> result", "seconds": seconds, "mAP": result.average_map}]
    with tempfile.TemporaryDirectory() as folder:
        pred, truth = Path(folder, "pred.json"), Path(folder, "truth.json")
        write_predictions_json(pred, guesses)
        write_annotations_json(truth, ground_truth)
        seconds, result = _timed(lambda: evaluate_files(pred, truth, "activitynet"), repeat=3)
        found.append({"case": "JSON files -> result", "seconds": seconds, "mAP": result.average_map})
    seconds, replicates = _timed(lambda: bootstrap_replicates(result, 2000))
    spread = float(replicates.map.mean(axis=1).std())
    return [*found, {"case": "bootstrap, 2,000 replicates", "seconds": seconds, "standard error": spread}]


def _beside_twin(share: float) -> list[dict[str, Any]]:
    count, videos, classes, true = (int(share * size) for size in (100_000, 1_000, 200, 5_000))
    predictions, truths = made(count, videos, classes, true)
    fast, scores = _timed(lambda: _score(predictions, truths, classes), repeat=3)
    twin = _twin()
    plain, plain_truths = _plain(twin, predictions), _plain(twin, truths)
    slow, (ap, _) = _timed(lambda: twin.score(plain, plain_truths, list(_THRESHOLDS)))
    difference = max(float(np.abs(scores.ap[label] - values).max()) for label, values in ap.items())
    return [
        {"case": f"fast, {count:,} predictions, {videos} videos", "seconds": fast},
        {"case": "its slow twin on the same", "seconds": slow, "ratio": slow / fast, "largest difference": difference},
    ]


def _large() -> list[dict[str, Any]]:
    """500,000 predictions on 5,000 videos: every metric, with the memory that it takes beside its input."""
    predictions, truths = made(500_000, 5_000, 200, 25_000)
    return [
        _measured("arrays -> mAP, 500,000 on 5,000 videos", lambda: _score(predictions, truths, 200)),
        _measured("average recall, the same", lambda: average_recall(predictions, truths)),
        _measured("Recall@kx, the same", lambda: recall_at_kx(predictions, truths, thresholds=_THRESHOLDS)),
    ]


def _real() -> list[dict[str, Any]]:
    """Real ground truth under made predictions: every true segment many times, moved; nothing without the data."""
    folder = Path(os.environ.get("KINOSCOPE_DATA", ROOT.parent / "shared" / "data")) / "annotations"
    found = []
    for name, file, protocol, copies in (
        ("THUMOS14", "thumos_gt.json", "thumos14", 60),
        ("ActivityNet 1.3 validation", "activitynet_v1-3_valid_tsp_groundtruth.csv", "activitynet", 40),
    ):
        if not (folder / file).is_file():
            continue
        truth = read_annotations(folder / file, on_flaw="keep")
        guesses = _moved(truth, copies)
        count = sum(map(len, guesses.values()))
        case = f"{name}: {count:,} predictions on {len(guesses):,} videos"
        found.append(_measured(f"{case} -> mAP", lambda t=truth, g=guesses, p=protocol: evaluate_detection(g, t, p)))
        result = evaluate_detection(guesses, truth, protocol)
        found.append(_measured(f"{name}: error analysis", lambda r=result: diagnose(r, r.durations)))
    return found


def _moved(truth: Annotations, copies: int) -> dict[str, list[Segment]]:
    rng, found = np.random.default_rng(0), dict[str, list[Segment]]()
    for name, video in truth.videos.items():
        for segment in video.segments:
            length = max(segment.duration, 0.1)
            off = rng.normal(0, 0.4 * length, (copies, 2))
            for move, score in zip(off, rng.random(copies), strict=True):
                start = max(0.0, segment.start + move[0])
                found.setdefault(name, []).append(
                    Segment(start, max(start + 0.1, segment.end + move[1]), segment.label, float(score))
                )
    return found


def _measured(case: str, run: Callable[[], Any]) -> dict[str, Any]:
    """Seconds, and in a further run the most memory that was taken at a time."""
    seconds, _ = _timed(run, repeat=2)
    tracemalloc.start()
    run()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return {"case": case, "seconds": seconds, "MiB": peak / 2**20}


def _objects(table: SegmentTable) -> dict[str, list[Segment]]:
    found: dict[str, list[Segment]] = {}
    scores = [None] * len(table) if table.score is None else table.score.tolist()
    columns = (column.tolist() for column in (table.video, table.label, table.start, table.end))
    for video, label, start, end, score in zip(*columns, scores, strict=True):
        found.setdefault(f"video_{video:05d}", []).append(Segment(start, end, f"class {label:03d}", score))
    return found


def _plain(twin: ModuleType, table: SegmentTable) -> list[Any]:
    score = np.zeros(len(table)) if table.score is None else table.score
    columns = (column.tolist() for column in (table.video, table.label, table.start, table.end, score))
    return [twin.Row(*values) for values in zip(*columns, strict=True)]


def _timed(run: Callable[[], Any], repeat: int = 1) -> tuple[float, Any]:
    """The best of a few runs, and the last result."""
    seconds, result = [], None
    for _ in range(repeat):
        begin = time.perf_counter()
        result = run()
        seconds.append(time.perf_counter() - begin)
    return min(seconds), result


def _twin() -> ModuleType:
    spec = importlib.util.spec_from_file_location("evaluator_twin", _TWIN)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
