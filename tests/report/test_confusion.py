"""Confusion matrix, pairs and classes: every count where it belongs, from two classes to hundreds."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinoscope.evaluate import ClipScores
from kinoscope.report.confusion import MOST_NAMED, class_table, confusion_section

from .conftest import HOSTILE
from .test_html import Page


def table_of(count: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.diag(rng.integers(0, 5, count)) + (rng.random((count, count)) < 2 / count) * rng.integers(1, 4)


def classwise(table: np.ndarray, classes: tuple[str, ...]) -> list[dict]:
    truth, answer = np.repeat(np.argwhere(table > 0), table[table > 0], axis=0).T
    return ClipScores(np.eye(len(classes))[answer], truth, classes).per_class()


@settings(max_examples=10, deadline=None)
@given(st.sampled_from([2, 3, 16, 17, MOST_NAMED, MOST_NAMED + 1, 130]), st.integers(0, 2**31))
def test_every_count_stands_in_the_matrix_once(count: int, seed: int) -> None:
    table = table_of(count, seed)
    classes = tuple(f"c{k}" for k in range(count))
    source = confusion_section(table, classes)
    Page(source)
    told = re.findall(r"c(\d+) → c(\d+): (\d+) of (\d+)", source)
    assert len(told) == int((table > 0).sum())
    for truth, answer, videos, total in told:
        assert int(videos) == table[int(truth), int(answer)] and int(total) == table[int(truth)].sum()


def test_cells_of_the_picture_stand_at_their_place() -> None:
    classes = tuple(f"c{k}" for k in range(400))
    table = np.eye(400, dtype=int) * 3
    table[10, 300] = 1
    source = confusion_section(table, classes)
    ((x, y, side),) = re.findall(r'class="wrong" x="([\d.]+)" y="([\d.]+)" width="([\d.]+)"', source)
    assert float(x) + float(side) / 2 == 300.5 and float(y) + float(side) / 2 == 10.5 and float(side) == 2.5
    assert source.index('class="wrong"') > source.rindex('class="right"')  # drawn over the diagonal
    assert "drawn larger" in source and "1 of 4" in source


def test_pairs_are_those_made_most_often() -> None:
    table = np.array([[5, 3, 0], [1, 9, 0], [0, 2, 0]])
    source = confusion_section(table, ("a", "b", "c"))
    pairs = re.findall(r"<tr><td><bdi>(\w)</bdi></td><td><bdi>(\w)</bdi></td><td class=\"num\">(\d) of", source)
    assert pairs == [("a", "b", "3"), ("c", "b", "2"), ("b", "a", "1")]
    assert "Confused most" not in confusion_section(np.diag([1, 2]), ("a", "b"))


def test_classes_come_worst_first_and_those_without_a_video_last() -> None:
    table = np.array([[5, 5, 0], [0, 1, 0], [0, 0, 0]])
    classes = ("half", "right", "never")
    source = class_table(classwise(table, classes), table)
    names = re.findall(r"<tr><td><bdi>(\w+)</bdi></td>", source)
    assert names == ["half", "right", "never"]
    assert "5 · 50 %" in source and "right (5)" in source and "–" in source


@pytest.mark.parametrize("count", [1, 2, 70])
def test_hostile_labels_stay_texts(count: int) -> None:
    classes = tuple(f"{HOSTILE} {k}" for k in range(count))
    table = np.ones((count, count), dtype=int)
    page = Page(confusion_section(table, classes) + class_table(classwise(table, classes), table))
    assert not page.all("img") and not page.all("script")
    assert not [attrs for _, attrs in page.tags if any(name.startswith("on") for name in attrs)]
