"""Names of predicted videos, brought to those of the ground truth.

``kinoscope localize videos/new.mp4`` files its result under ``new``; the user's table may say ``videos/new.mp4``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from ..data.segments import Segment

Found = Mapping[str, Sequence[Segment]]


def match_folders(
    predictions: Found, known: Collection[str], file_names: Mapping[str, str] | None = None
) -> tuple[Found, dict[str, str]]:
    """Predictions under the names of the ground truth, and what was renamed: predicted name → true name.

    A predicted name that is not known is taken for the known one with the same last part, if each side has only one
    such name and the known one was not predicted itself. ``file_names`` (known name → name of its file) count too.
    """
    parts = [(_last(name), name) for name in known]
    parts += [(_last(file), name) for name, file in (file_names or {}).items() if _last(file) != _last(name)]
    known_parts = Counter(part for part, _ in parts)
    predicted_parts = Counter(map(_last, predictions))
    single = {part: name for part, name in parts if known_parts[part] == 1 and name not in predictions}
    renamed = {
        name: single[_last(name)]
        for name in predictions
        if name not in known and _last(name) in single and predicted_parts[_last(name)] == 1
    }
    return {renamed.get(name, name): found for name, found in predictions.items()}, renamed


def _last(name: str) -> str:
    return name.rsplit("/", 1)[-1]
