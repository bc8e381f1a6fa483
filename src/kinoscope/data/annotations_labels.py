"""Labels of an annotation file: which may occur, and whether the file writes names or numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar

from .annotations_text import nearest, shorten, unwritable

Place = TypeVar("Place")


class OddLabelError(ValueError):
    """A label that cannot be used, and why."""

    def __init__(self, problem: str, cure: str) -> None:
        self.problem, self.cure = problem, cure
        super().__init__(problem)


class Labels(Generic[Place]):
    """Turns what a file writes into names of classes, one row after the other.

    Args:
        classes: the names that may occur; None allows any. In a list or tuple they stand in the order of their numbers.
        locate: turns a place into the text that leads a user there.
    """

    def __init__(self, classes: Iterable[str] | None, locate: Callable[[Place], str]) -> None:
        self._numbered = tuple(classes) if isinstance(classes, Sequence) else ()
        self._classes = None if classes is None else frozenset(classes)
        self._locate = locate
        self._first: tuple[bool, str, Place] | None = None  # whether it was a number, as written, where

    def read(self, value: Any, place: Place) -> str:
        """The name of a class, for its name or its number.

        Raises:
            OddLabelError: no name; a class that is not known; a number where names were written before, or a name
                where numbers were: one class would count as two.
        """
        number = isinstance(value, int) and not isinstance(value, bool)
        name = str(value) if number else value
        if not isinstance(name, str) or not name.strip() or unwritable(name):
            raise OddLabelError(f"label is {shorten(value)}, not a name", "give every segment a label")
        if self._classes is not None:
            known = name in self._classes
            number = not known and bool(self._numbered) and name.isdecimal() and len(name) < 10
            if number and int(name) >= len(self._numbered):
                raise OddLabelError(
                    f"no class has the number {name}", f"numbers go from 0 to {len(self._numbered) - 1}"
                )
            if not known and not number:
                raise OddLabelError(f"unknown label {shorten(name)}", self._guess(name))
        first = self._first = self._first or (number, name, place)
        if first[0] != number:
            kinds = ("a number", "a name") if number else ("a name", "a number")
            before = f"{shorten(first[1])} at {self._locate(first[2])} {kinds[1]}"
            cure = "write all labels as names, or all as numbers"
            raise OddLabelError(f"label {shorten(name)} is {kinds[0]}, but {before}", cure)
        return self._numbered[int(name)] if number and self._numbered else name

    def _guess(self, name: str) -> str:
        known = self._classes or frozenset()
        guess = nearest(name, known)
        return f"did you mean {guess!r}?" if guess else f"known labels: {', '.join(sorted(known)[:10])}"
