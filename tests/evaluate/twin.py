"""The slow, obvious evaluator: sentence by sentence what ``evaluation.md`` section 1.1 says, with plain lists."""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """A segment; ground truth leaves the score at 0."""

    video: int
    label: int
    start: float
    end: float
    score: float = 0.0


def tiou(a: Row, b: Row) -> float:
    overlap = max(0.0, min(a.end, b.end) - max(a.start, b.start))
    union = (a.end - a.start) + (b.end - b.start) - overlap
    return overlap / union if union > 0 else 0.0


def in_order(predictions: list[Row], rows: list[int], ties: str) -> list[int]:
    """Highest score first."""
    if ties == "earlier-row":
        return sorted(rows, key=lambda row: (-predictions[row].score, row))
    if ties == "later-row":
        return sorted(rows, key=lambda row: (predictions[row].score, row), reverse=True)

    def content(row: int) -> tuple[float, int, float, float, int]:
        p = predictions[row]
        return (p.score, p.video, p.start, p.end, -row)  # identical predictions: the earlier row first

    return sorted(rows, key=content, reverse=True)


def match_class(
    predictions: list[Row], truths: list[Row], label: int, threshold: float, ties: str = "content"
) -> tuple[list[int], dict[int, int]]:
    """Rows of the class in order of score, and which true segment (row) each of the right ones took."""
    order = in_order(predictions, [row for row, p in enumerate(predictions) if p.label == label], ties)
    taken: dict[int, int] = {}
    for row in order:
        prediction = predictions[row]
        choices = []
        for other, truth in enumerate(truths):
            if truth.label == label and truth.video == prediction.video:
                place = (truth.start, truth.end) if ties == "content" else ()
                choices.append((tiou(prediction, truth), place, other))
        for overlap, _, other in sorted(choices, reverse=True):  # best first, of equals the later
            if overlap < threshold:
                break
            if other not in taken.values():
                taken[row] = other
                break
    return order, taken


def interpolated_ap(hits: list[bool], positives: float, weights: list[float] | None = None) -> float:
    """Prepend (0, 0), append (1, 0), running maximum from the right, sum of the steps."""
    weights = weights or [1.0] * len(hits)
    recall, precision = [0.0], [0.0]
    right = wrong = 0.0
    for hit, weight in zip(hits, weights, strict=True):
        right += weight * hit
        wrong += weight * (not hit)
        if right + wrong > 0:
            recall.append(right / positives)
            precision.append(right / (right + wrong))
    recall.append(1.0)
    precision.append(0.0)
    for i in range(len(precision) - 2, -1, -1):
        precision[i] = max(precision[i], precision[i + 1])
    return sum((recall[i] - recall[i - 1]) * precision[i] for i in range(1, len(recall)))


def score(
    predictions: list[Row], truths: list[Row], thresholds: list[float], ties: str = "content"
) -> tuple[dict[int, list[float]], list[dict[int, int]]]:
    """AP per class that has true segments, and the matches of all classes, per threshold."""
    ap: dict[int, list[float]] = {}
    matches: list[dict[int, int]] = [{} for _ in thresholds]
    for label in sorted({truth.label for truth in truths}):
        positives = sum(truth.label == label for truth in truths)
        ap[label] = []
        for column, threshold in enumerate(thresholds):
            order, taken = match_class(predictions, truths, label, threshold, ties)
            ap[label].append(interpolated_ap([row in taken for row in order], positives))
            matches[column] |= taken
    return ap, matches


def distinct(rows: list[tuple[float, float, int]], shortest: float) -> list[int]:
    """Which of (start, end, group) stay when short and repeated ones go."""
    kept: list[int] = []
    for index, (start, end, group) in enumerate(rows):
        if end - start <= 0 or end - start < shortest:
            continue
        again = any(
            rows[k][2] == group and abs(rows[k][0] - start) <= 1e-3 and abs(rows[k][1] - end) <= 1e-3 for k in kept
        )
        if not again:
            kept.append(index)
    return kept
