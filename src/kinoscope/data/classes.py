"""The names of classes in the order of their numbers, as they come beside annotations that hold numbers."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from ..errors import AnnotationError
from .annotations_json import parse_json
from .annotations_text import read_text, shorten

_NUMBERED = re.compile(r"(?P<number>\d{1,9})[\s,:]+(?P<name>\S.*)")
_EXPECTED = "give a name per line in the order of the numbers, 'number name' per line, or JSON: a list of names"


def read_classes(path: str | Path) -> tuple[str, ...]:
    """Read the names of classes; the first one has the number 0.

    JSON: a list of names (``activitynet_v1-3_action_label_mapping.json`` of TSP), or an object name → number. Text: a
    name per line (``category_idx.txt``), or ``0 background`` (``mapping.txt`` of MS-TCN), in any order of the numbers.

    Raises:
        AnnotationError: another layout; a name or a number twice, numbers that do not run from 0 without a gap.
    """
    path = Path(path)
    text = read_text(path)
    numbered = _of_json(text, path) if text.lstrip()[:1] in ("{", "[") else _of_lines(text, path)
    names: dict[int, tuple[str, str]] = {}
    numbers: dict[str, str] = {}
    for number, name, where in numbered:
        if not name.strip():
            raise AnnotationError(f"class {number} has no name", where=where, cure=_EXPECTED)
        if number in names:
            problem = f"class {number} is {shorten(name)}, but {shorten(names[number][0])} before"
            raise AnnotationError(problem, where=where, cure="give every class a number of its own")
        if name in numbers:
            problem = f"the class {shorten(name)} stands at {numbers[name]} too"
            raise AnnotationError(problem, where=where, cure="give every class a name of its own")
        names[number], numbers[name] = (name, where), where
    if not names:
        raise AnnotationError("names no class", where=path, cure=_EXPECTED)
    missing = next((number for number in range(len(names)) if number not in names), None)
    if missing is not None:
        raise AnnotationError(
            f"no class has the number {missing}", where=path, cure="number classes from 0, without gap"
        )
    return tuple(names[number][0] for number in range(len(names)))


def _of_json(text: str, path: Path) -> list[tuple[int, str, str]]:
    tree = parse_json(text, path)
    entries: list[tuple[Any, Any]]
    entries = list(enumerate(tree)) if isinstance(tree, list) else [(number, name) for name, number in tree.items()]
    found = []
    for number, name in entries:
        where = f"{path}: {json.dumps(name)[:80]}"
        if not isinstance(name, str) or not isinstance(number, int) or isinstance(number, bool) or number < 0:
            problem = f"holds {shorten(name)}: {shorten(number)}, which is no name with a number"
            raise AnnotationError(problem, where=path, cure=_EXPECTED)
        found.append((number, name, where))
    return found


def _of_lines(text: str, path: Path) -> list[tuple[int, str, str]]:
    lines = [(line.strip(), f"{path}:{at}") for at, line in enumerate(text.splitlines(), 1) if line.strip()]
    matches = [_NUMBERED.fullmatch(line) for line, _ in lines]
    if all(matches):
        return [(int(m["number"]), m["name"], where) for m, (_, where) in zip(matches, lines, strict=True) if m]
    return [(number, line, where) for number, (line, where) in enumerate(lines)]
