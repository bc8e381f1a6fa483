"""The document of results: a section is replaced, everything else stays as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import results
from benchmarks.results import Section, machine, publish, replaced, table


def test_a_section_is_added_and_replaced_alone() -> None:
    document = replaced(replaced("# Results\n\nwords\n", "a", "first\n"), "b", "second\n")
    again = replaced(document, "a", "changed\n")
    assert again == document.replace("first", "changed")
    assert again.startswith("# Results\n\nwords\n\n<!-- begin a -->\nchanged\n<!-- end a -->\n")
    assert replaced(again, "a", "first\n") == document


def test_names_that_begin_alike_do_not_meet() -> None:
    document = replaced(replaced("", "urfd i3d", "one\n"), "urfd", "two\n")
    assert "one" in replaced(document, "urfd", "three\n")


def test_a_section_without_end_is_left_alone() -> None:
    with pytest.raises(ValueError, match="no end"):
        replaced("<!-- begin a -->\nwords\n", "a", "new\n")


def test_table_keeps_the_order_of_columns_and_escapes() -> None:
    lines = table([{"name": "a|b", "x": 1}, {"x": 2, "y": 3.5}]).splitlines()
    assert lines == ["| name | x | y |", "| --- | --- | --- |", "| a\\|b | 1 |  |", "|  | 2 | 3.5 |"]


def test_only_write_touches_the_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "DOCUMENT", tmp_path / "docs" / "results.md")
    section = Section("speed", "How fast", "python -m benchmarks.speed --write", "| a |\n| --- |", "Means little.")
    publish(section, write=False)
    assert not results.DOCUMENT.exists()
    publish(section, write=True)
    text = results.DOCUMENT.read_text(encoding="utf-8")
    assert text.startswith("# Results\n") and "## How fast\n" in text and "Means little." in text
    publish(section, write=True)
    assert results.DOCUMENT.read_text(encoding="utf-8") == text


def test_the_machine_is_described_without_its_paths() -> None:
    assert "cores" in machine() and "torch" in machine() and "/" not in machine()
