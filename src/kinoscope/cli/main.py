"""``kinoscope COMMAND …``: finds the command and turns errors into messages. Nothing heavy is imported here."""

from __future__ import annotations

import io
import os
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from .. import __version__
from ..printable import printable

# command → (module, what it does); "train localize" is a command of two words
COMMANDS = {
    "localize": ("localize", "what happens and when: raw video in, labelled time segments out"),
    "recognize": ("recognize", "what happens: the most probable labels of whole videos"),
    "extract": ("extract", "features of a folder of videos, resumable"),
    "flow": ("flow", "optical flow of a folder of videos, resumable, with films to look at"),
    "pretrain": ("pretrain", "an encoder from unlabelled videos: InfoNCE, CoCLR; or with labels: UberNCE"),
    "adapt": ("adapt", "trains SoLa on features, without labels, and writes converted features"),
    "train recognize": ("train_recognize", "trains a recogniser on your own labelled clips"),
    "train arnet": ("train_arnet", "trains an AR-Net: each frame at the resolution it needs, or skipped"),
    "train localize": ("train_localize", "trains a localisation head on your own labels"),
    "evaluate": ("evaluate", "scores predictions against ground truth, and says why"),
    "probe-features": ("probe_features", "what features know: classes of whole videos, or action against background"),
    "report features": ("report_features", "similarity maps of features before and after SoLa, in one HTML file"),
    "index": ("index", "an index of a library of videos, for search"),
    "search": ("search", "the videos, or the moments, of a library that are most like a query"),
    "bench arnet": ("bench_arnet", "accuracy of an AR-Net and its baselines against operations and against seconds"),
    "convert": ("convert", "an official checkpoint as a folder that the other commands take"),
    "export": ("export", "a trained model as a file for ONNX Runtime or OpenVINO, compared with PyTorch"),
    "probe": ("probe", "checks video files: codec, size, true rate, rotation, duration, damage"),
    "doctor": ("doctor", "checks this machine: packages, devices, weights"),
    "demo": ("demo", "the whole story on a sample video and on made videos"),
}

_BREAK = "\n"
_EXAMPLES = """\
examples:
  kinoscope localize match.mp4 --html match.html
  kinoscope COMMAND --help
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code: 0 fine, 1 something failed, 2 the input or the options are wrong."""
    for stream in (sys.stdout, sys.stderr):  # a terminal without our signs is no reason to fail
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help", "help"):
        print(_help())
        return 0
    if words[0] in ("-V", "--version"):
        print(f"kinoscope {__version__}")
        return 0
    for length in (2, 1):
        name = " ".join(words[:length])
        if name in COMMANDS:
            return _run(name, words[length:])
    return _unknown(words)


def _run(name: str, argv: list[str]) -> int:
    from ..errors import Interrupted, KinoscopeError
    from .parse import call

    module = import_module(f".{COMMANDS[name][0]}", __package__)
    short = getattr(module, "SHORT", {})
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            return call(module.run, f"kinoscope {name}", argv, examples=module.EXAMPLES, short=short)
    except KinoscopeError as error:
        print(f"kinoscope {name}: {printable(error, keep=_BREAK)}", file=sys.stderr)
        return 130 if isinstance(error, Interrupted) else 2
    except KeyboardInterrupt:
        print(f"\nkinoscope {name}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `kinoscope … | head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 2


def _help() -> str:
    width = max(map(len, COMMANDS)) + 2
    rows = "\n".join(f"  {name:<{width}}{summary}" for name, (_, summary) in COMMANDS.items())
    return f"Kinoscope {__version__} tells what happens in video, and when.\n\ncommands:\n{rows}\n\n{_EXAMPLES}"


def _unknown(words: list[str]) -> int:
    from difflib import get_close_matches

    family = [name for name in COMMANDS if name.startswith(f"{words[0]} ")]  # train → train localize
    wanted = " ".join(words[:2]) if family and words[1:] and not words[1].startswith("-") else words[0]
    near = family if wanted == words[0] else get_close_matches(wanted, family, 1)
    near = near or family or get_close_matches(wanted, COMMANDS, 1)
    hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
    print(f"kinoscope: unknown command {wanted!r}\n  Cure: {hint}see kinoscope --help", file=sys.stderr)
    return 2


def _show_warning(message: Warning | str, *_where: Any, **_more: Any) -> None:
    """A warning as a sentence for people; where in our code it arose tells them nothing."""
    print(f"warning: {printable(message, keep=_BREAK)}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
