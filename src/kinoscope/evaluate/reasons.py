"""Why a score is low although the model may be good: names that do not meet, rows that were left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np

from ..data.annotations_text import nearest
from ..data.segments import Annotations, Flaw, video_name
from ..wording import plural
from .matching import SegmentTable
from .result import Reason

_SHOWN = 5
_FAR_BEYOND = 1.5  # times the length of the video
_HINTED = 20  # looking for near names costs time; beyond so many nobody reads them


def likely_meant(name: str, known: Collection[str]) -> str | None:
    """The known video that ``name`` probably stands for: it differs by case, ``v_``, a suffix or a folder."""
    base = video_name(name)
    for other in (base, f"v_{base}", base.removeprefix("v_"), base.rsplit("/", 1)[-1]):
        if other in known:
            return other
    folded = base.lower().removeprefix("v_")
    same = next((other for other in known if other.lower().removeprefix("v_") == folded), None)
    return same or next((other for other in known if other.rsplit("/", 1)[-1] == base.rsplit("/", 1)[-1]), None)


def missing_videos(scored: Collection[str], predicted: Collection[str], with_segments: Collection[str]) -> list[Reason]:
    """Videos of the ground truth for which the predictions say nothing."""
    names = sorted(set(with_segments) - set(predicted))
    if not names:
        return []
    hints = _hints(names, [name for name in predicted if name not in scored])
    text = f"not predicted at all: {len(names)} of {plural(len(scored), 'video')}; the segments there count as missed: "
    return [Reason("missing_video", len(names), text + _list(names, hints), tuple(names))]


def unknown_videos(names: Iterable[str], known: Collection[str]) -> list[Reason]:
    """Predicted videos that the ground truth does not name: every prediction on them is wrong."""
    found = sorted(names)
    if not found:
        return []
    text = f"not in the ground truth: {plural(len(found), 'predicted video')}; all that is predicted there is wrong: "
    return [Reason("unknown_video", len(found), text + _list(found, _hints(found, known)), tuple(found))]


def other_subsets(predictions: int, names: Collection[str], fate: str) -> list[Reason]:
    """Predictions on videos that the ground truth knows, but not in the part that is scored."""
    if not names:
        return []
    verdict = "not scored" if fate == "ignore" else "wrong, as in the published evaluator"
    where = f"{plural(predictions, 'prediction')} on {plural(len(names), 'video')} of other subsets"
    text = f"{where}: {verdict}: {_list(sorted(names), {})}"
    return [Reason("other_subset", predictions, text, tuple(sorted(names)))]


def other_folders(renamed: Mapping[str, str]) -> list[Reason]:
    """Predicted videos that were found in another folder of the ground truth; predicted name → true name."""
    if not renamed:
        return []
    names = sorted(renamed)
    pairs = ", ".join(f"{name!r} as {renamed[name]!r}" for name in names[:_SHOWN])
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    text = f"taken for the only video of that name in the ground truth, in another folder: {pairs}{more}"
    return [Reason("other_folder", len(names), text, tuple(names))]


def unknown_labels(labels: Counter[str], classes: Sequence[str]) -> list[Reason]:
    """Predicted labels that no scored segment has; they cannot be scored."""
    if not labels:
        return []
    names, count = sorted(labels), sum(labels.values())
    hints = {name: guess for name in names[:_HINTED] if (guess := nearest(name, classes))}
    text = f"left out: {plural(count, 'prediction')} with a label that no true segment has: {_list(names, hints)}"
    return [Reason("unknown_label", count, text, tuple(names))]


def silent_classes(classes: Sequence[str], predicted: Collection[str]) -> list[Reason]:
    """Classes that are never predicted; their average precision is 0."""
    names = [name for name in classes if name not in predicted]
    if not names:
        return []
    text = f"never predicted, so AP 0: {len(names)} of {len(classes)} classes: {_list(names, {})}"
    return [Reason("class_without_prediction", len(names), text, tuple(names))]


def odd_predictions(predictions: SegmentTable, tie_share: float) -> list[Reason]:
    """Repeated predictions, predictions of no length, equal scores."""
    reasons = []
    columns = np.stack([predictions.video, predictions.label, predictions.start, predictions.end])  # [4, P]
    order = np.lexsort(columns)
    twice = int((np.diff(columns[:, order], axis=1) == 0).all(axis=0).sum())
    if twice:
        text = f"{plural(twice, 'prediction')} with the video, times and label of another: one at most can be right"
        reasons.append(Reason("duplicate_prediction", twice, text))
    empty = int((predictions.end == predictions.start).sum())
    if empty:
        text = f"{plural(empty, 'prediction')} of no length, which cannot be right"
        reasons.append(Reason("empty_prediction", empty, text))
    if tie_share > 0:
        text = (
            f"{tie_share:.1%} of the predictions share their score with another of their class; convention orders them"
        )
        reasons.append(Reason("tied_scores", round(tie_share * len(predictions)), text))
    return reasons


def beyond_the_video(predictions: SegmentTable, videos: Sequence[str], durations: Mapping[str, float]) -> list[Reason]:
    """Predictions that begin after the end of their video, or end far beyond it: given in frames, as a rule."""
    known = np.array([durations.get(name, np.nan) for name in videos], dtype=np.float64)
    length = known[predictions.video]
    over = (predictions.start >= length) | (predictions.end > _FAR_BEYOND * length)  # [P]; NaN is nowhere
    if not over.any():
        return []
    most, of = float((predictions.end[over] / length[over]).max()), videos[int(predictions.video[over.argmax()])]
    text = f"{plural(int(over.sum()), 'prediction')} of {len(predictions)} lie beyond the end of the video, first of "
    text += f"{of!r}, up to {most:.3g} times its length"
    cure = "times are seconds from the beginning; divide frames by their rate" if 2 * over.sum() > over.size else ""
    return [Reason("beyond_video", int(over.sum()), text, cure=cure)]


def flaw_reasons(flaws: Iterable[Flaw], what: str) -> list[Reason]:
    """What the reader dropped, kept or clipped."""
    grouped: dict[tuple[str, str], list[Flaw]] = {}
    for flaw in flaws:
        grouped.setdefault((flaw.kind, flaw.done), []).append(flaw)
    reasons = []
    for (kind, done), group in grouped.items():
        first = f"{group[0].where}: {group[0].problem}"
        text = f"{done}: {plural(len(group), f'{kind} row')} of the {what}, the first at {first}"
        reasons.append(Reason(f"{kind}_{what.replace(' ', '_')}", len(group), text))
    return reasons


def scored_truth(ground_truth: Annotations) -> list[Reason]:
    """Ground truth whose segments carry scores: probably a file of predictions in its place."""
    count = sum(segment.score is not None for video in ground_truth.videos.values() for segment in video.segments)
    if not count:
        return []
    text = f"{plural(count, 'true segment')} with a score: is the ground truth perhaps a file of predictions?"
    return [Reason("scored_ground_truth", count, text)]


def _hints(names: Sequence[str], known: Collection[str]) -> dict[str, str]:
    return {name: guess for name in names[:_HINTED] if (guess := likely_meant(name, known)) and guess != name}


def _list(names: Sequence[str], hints: dict[str, str]) -> str:
    """Up to five names, those with a hint first, and the number of the others."""
    shown = sorted(names, key=lambda name: name not in hints)[:_SHOWN]
    texts = [f"{name!r} (did you mean {hints[name]!r}?)" if name in hints else repr(name) for name in shown]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(texts) + more
