from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinoscope.printable import printable
from kinoscope.progress import progress

HOSTILE = "\x1b[31m\x1b]0;owned\x07\r\n‮evil"


def test_lines_in_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("Working", 3) as report:
        for _ in range(3):
            report(1, HOSTILE)
    error = capsys.readouterr().err
    assert error.startswith("Working: 100 % ") and error.count("\n") == 1
    assert printable(error.strip()) == error.strip()


def test_a_bar_on_a_terminal_prints_nothing_raw(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with progress("Working [b]", 2) as report:
        report(1, f"{HOSTILE}[bold]name")
        report(1)
    error = capsys.readouterr().err
    assert "owned" in error and "\x1b]0;owned" not in error and "‮" not in error and "[bold]name" in error


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("Working", 1, quiet=True) as report:
        report(1, "done")
    assert capsys.readouterr() == ("", "")


def test_nothing_to_do_and_unknown_lengths(capsys: pytest.CaptureFixture[str]) -> None:
    for total in (0, None):
        with progress("Working", total) as report:
            report(0)
            report(5)
    assert "Traceback" not in capsys.readouterr().err


@given(st.text())
def test_printable_is_printable_and_leaves_plain_text_alone(text: str) -> None:
    assert printable(text).isprintable()
    if text.isprintable():
        assert printable(text) == text
    assert printable(text + "\n", keep="\n").endswith("\n")
