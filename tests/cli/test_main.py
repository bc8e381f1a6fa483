"""The front door: instant help, an example in every command, and a hint for every slip of the keyboard."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kinoscope.cli.main import COMMANDS

from ..encoders import tiny
from .conftest import Run


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys; from kinoscope.cli.main import main; main(['--help']); "
        "print([name for name in ('torch', 'av', 'jsonargparse', 'numpy', 'rich') if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert answer.stdout.strip().endswith("[]")
    assert all(name in answer.stdout for name in COMMANDS)


def test_the_installed_command() -> None:
    answer = subprocess.run([sys.executable, "-m", "kinoscope.cli.main", "--version"], capture_output=True, text=True)
    assert answer.returncode == 0 and re.fullmatch(r"kinoscope \d+\.\d+\.\d+\n", answer.stdout)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(run: Run, name: str) -> None:
    answer = run(*name.split(), "--help")
    assert answer.code == 0 and not answer.err
    assert "examples:" in answer.out and f"  kinoscope {name}" in answer.out
    options = re.findall(r"^ +(--[\w-]+)", answer.out, re.MULTILINE)
    assert "--config" in options and not [option for option in options if "_" in option]


def test_no_command_is_help(run: Run) -> None:
    assert run().out == run("--help").out == run("help").out


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["localise"], "did you mean 'localize'?"),
        (["evalute", "a.json"], "did you mean 'evaluate'?"),
        (["train"], "did you mean 'train recognize' or 'train arnet' or 'train localize'?"),
        (["train", "--help"], "did you mean 'train recognize' or 'train arnet' or 'train localize'?"),
        (["train", "localise"], "did you mean 'train localize'?"),
        (["xyzzy"], "see kinoscope --help"),
        (["\x1b[31mred"], r"'\x1b[31mred'"),
    ],
)
def test_unknown_commands(run: Run, words: list[str], hint: str) -> None:
    answer = run(*words)
    assert answer.code == 2 and not answer.out and hint in answer.err and "\x1b" not in answer.err


TIMED = [
    ("adapt", "npy", "--out", "x"),
    ("train", "localize", "labels.csv", "--features", "npy", "--out", "x"),
    ("probe-features", "npy", "--gt", "labels.csv"),
    ("report", "features", "npy", "--html", "x"),
    ("search", "a", "--in", "npy"),
    ("index", "npy", "--out", "x"),
    ("localize", "npy", "--boundaries"),
    ("extract", "0.mp4", "--out", "x"),
    ("localize", "0.mp4"),
]
"""Commands that take a time, each with all else that it needs."""


@pytest.mark.parametrize("words", TIMED, ids=" ".join)
def test_nonsense_for_the_time_names_the_option(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny.film(tmp_path / "0.mp4", 10)
    Path("labels.csv").write_text("video,start,end,label\n0,0,1,a\n")
    Path("npy").mkdir()
    np.save("npy/0.npy", np.ones((9, 4)))
    for option in ("--fps", "--stride", "--clip-length"):
        for value in ("nan", "inf", "fast", "-3", "0"):
            given = {"--fps": "8", "--stride": "1", "--clip-length": "1", option: value}
            answer = run(*words, *(f"{name}={each}" for name, each in given.items()))
            assert answer.code == 2 and "Cure: " in answer.err and "Parser" not in answer.err, answer.err
            wrong = rf"'{value}', but must be a (finite|whole)" if value.isalpha() else "must be a positive"
            assert option in answer.err and re.search(f"{wrong} number", answer.err), answer.err
            assert not Path("x").exists()


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["localize", "a.mp4", "--jsn"], "--jsn (did you mean --json?)"),
        (["localize", "a.mp4", "--minscore", "0.5"], "did you mean --min-score?"),
        (["extract", "videos", "--ouput", "x"], "did you mean --out"),
        (["extract", "videos"], "out"),
        (["localize"], "files"),
        (["localize", "a.mp4", "--most", "many"], "most"),
        (["localize", "a.mp4", "--runtime", "abacus"], "runtime"),
        (["recognize", "a.mp4", "--\x1b[31mred"], r"\x1b[31mred"),
    ],
)
def test_unknown_and_impossible_options(run: Run, words: list[str], hint: str) -> None:
    answer = run(*words)
    assert answer.code == 2 and "Traceback" not in answer.err and "\x1b" not in answer.err
    assert hint in answer.err.lower() and f"Cure: see kinoscope {words[0]} --help" in answer.err


def test_a_terminal_that_knows_ascii_only() -> None:
    command = [
        sys.executable,
        "-m",
        "kinoscope.cli.main",
        "localize",
        "keine-Datei-\N{LATIN SMALL LETTER U WITH DIAERESIS}",
    ]
    answer = subprocess.run(command, capture_output=True, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert answer.returncode == 2 and b"Traceback" not in answer.stderr and rb"Datei-\xfc" in answer.stderr


def test_flags_that_are_on_show_how_to_turn_them_off(run: Run) -> None:
    shown = run("adapt", "--help").out
    assert "--predictor, --no-predictor\n" in shown and "--no-resume" not in shown


def test_the_configuration_can_be_printed_and_read_again(run: Run, tmp_path: Path) -> None:
    words = ("adapt", "feats", "--out", "out", "--no-predictor", "--lam", 4)
    printed = run(*words, "--print-config")
    assert printed.code == 0 and "predictor: false" in printed.out and "lam: 4.0" in printed.out
    (tmp_path / "c.yaml").write_text(printed.out)
    assert run("adapt", "--config", tmp_path / "c.yaml", "--print-config").out == printed.out


def test_a_choice_that_there_is_not_names_those_that_there_are(run: Run) -> None:
    answer = run("train", "localize", "labels.csv", "--features", "feats", "--out", "run", "--head", "foo")
    assert answer.code == 2 and "--head is 'foo', but must be one of actionformer, gtad, bmn, tridet" in answer.err
