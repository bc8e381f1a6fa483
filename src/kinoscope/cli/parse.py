"""A command's function is its command line: parameters become options, dataclass fields too, docstrings the help.

Parameters without a default are positional, or options that must be given if they are keyword-only. Options are
written with dashes; booleans are flags with a ``--no-`` form; ``--config FILE.yaml`` fills any of them.
"""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import re
import typing
from argparse import RawDescriptionHelpFormatter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from jsonargparse import ArgumentParser, DefaultHelpFormatter, set_parsing_settings

from ..printable import printable

_BREAK = "\n"
_WANTED = {"Expected a <class 'float'>": "a finite number", "Expected a <class 'int'>": "a whole number"}
"""What the parser expected, and the same in plain words."""

set_parsing_settings(docstring_parse_attribute_docstrings=True)


def call(
    function: Callable[..., int | None], prog: str, argv: Sequence[str], *, examples: str, short: Mapping[str, str]
) -> int:
    """Parse ``argv`` for ``function``, call it, and return its exit code (None is 0)."""
    epilog = f"examples:\n{examples.rstrip()}"
    parser = _Parser(prog=prog, description=_summary(function), epilog=epilog, formatter_class=_Formatter)
    parser.add_argument("--config", action="config", help="YAML file with values for any of these options.")
    hints = typing.get_type_hints(function)
    groups: dict[str, Any] = {name: hint for name, hint in hints.items() if dataclasses.is_dataclass(hint)}
    parameters = inspect.signature(function).parameters
    positional = {name for name, parameter in parameters.items() if _is_positional(parameter)}
    for name in parameters:
        if name in positional:
            hint = hints[name]
            several = {"nargs": "+"} if typing.get_origin(hint) is list else {}
            kind = typing.get_args(hint)[0] if several else hint
            parser.add_argument(name, metavar=name.upper(), type=kind, help=_describe(function, name), **several)
    # Read as YAML, an optional path named "null" or "#1.json" would silently be no path at all.
    paths = {name for name in parameters if hints[name] == Path | None}
    for name in filter(paths.__contains__, parameters):
        parser.add_argument(f"--{name}", type=Path, default=None, help=_describe(function, name))
    parser.add_function_arguments(function, skip={*groups, *positional, *paths}, fail_untyped=False)
    for hint in groups.values():
        parser.add_class_arguments(hint, fail_untyped=False)
    flags = _polish(parser, short)
    pairs = {option for action in parser._actions if _is_tuple(action) for option in action.option_strings}
    values = vars(parser.parse_args(_expand(_bracketed(list(argv), pairs), flags)))
    arguments = {name: values[name] for name in parameters if name not in groups}
    for name, group in groups.items():
        arguments[name] = group(**{field.name: values[field.name] for field in dataclasses.fields(group)})
    return function(**arguments) or 0


class _Formatter(DefaultHelpFormatter, RawDescriptionHelpFormatter):  # type: ignore[misc]  # untyped
    """Keeps the examples as they are written."""

    def _format_action_invocation(self, action: Any) -> str:
        return str(super()._format_action_invocation(action)).replace(" ,", ",").rstrip()  # flags take no value


class _Parser(ArgumentParser):  # type: ignore[misc]  # untyped
    """Says which option was probably meant."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:  # noqa: ARG002 - its name in the base
        message = self._plainly(message)
        options = [option for action in self._actions for option in action.option_strings]
        for unknown in re.findall(r"--[\w-]+", message):
            if unknown not in options and (near := difflib.get_close_matches(unknown, options, 1)):
                message += f" (did you mean {near[0]}?)"
        self.exit(2, f"{self.prog}: {printable(message, keep=_BREAK)}\n  Cure: see {self.prog} --help\n")
        raise SystemExit(2)  # for the type checker: exit does not come back

    def _plainly(self, message: str) -> str:
        """A value of the wrong type, told with its option in plain words; other messages as they are."""
        key = re.search(r'Parser key "([^"]+)":', message)
        value = re.search(r"(?:Given|Got) value: (.*)", message)
        wanted = next((words for pattern, words in _WANTED.items() if re.search(pattern, message)), None)
        if choices := re.search(r"Literal\[([^\]]*)\]", message):
            wanted = "one of " + choices[1].replace("'", "")
        action = next((each for each in self._actions if key and each.dest == key[1]), None)
        if (
            action is None
            or value is None
            or wanted is None
            or re.search("<class '(?!float|int|NoneType|str)", message)
        ):
            return message
        name = action.option_strings[-1] if action.option_strings else action.dest
        return f"{name} is {value[1]!r}, but must be {wanted}"


def _is_positional(parameter: inspect.Parameter) -> bool:
    return parameter.default is parameter.empty and parameter.kind is not parameter.KEYWORD_ONLY


def _polish(parser: ArgumentParser, short: Mapping[str, str]) -> set[str]:
    """Dashes for underscores, short forms, booleans as flags; returns the flags."""
    flags: set[str] = set()
    for action in parser._actions:
        if not action.option_strings:
            continue
        dashed = [option.rstrip("_").replace("_", "-") for option in action.option_strings]  # from_ → --from
        if action.dest in short:
            dashed.insert(0, short[action.dest])
        action.option_strings = dashed
        parser._option_string_actions.update(dict.fromkeys(dashed, action))
        if getattr(action, "_typehint", None) is bool:
            flags.update(dashed)
            action.metavar = ""
            action.option_strings = [*dashed, *(f"--no-{each[2:]}" for each in dashed if action.default is True)]
    return flags


def _expand(argv: list[str], flags: set[str]) -> list[str]:
    """``--flag`` and ``--no-flag`` → ``--flag=true`` and ``--flag=false``."""
    expanded = []
    for word in argv:
        if word in flags:
            expanded.append(f"{word}=true")
        elif word == "--print-config":  # its value may be left out
            expanded.append(f"{word}=")
        elif word.startswith("--no-") and f"--{word[5:]}" in flags:
            expanded.append(f"--{word[5:]}=false")
        else:
            expanded.append(word)
    return expanded


def _is_tuple(action: Any) -> bool:
    hint = getattr(action, "_typehint", None)
    return any(typing.get_origin(each) is tuple for each in (hint, *typing.get_args(hint)))  # or an optional one


def _bracketed(argv: list[str], pairs: set[str]) -> list[str]:
    """``--area 0.2,1`` → ``--area [0.2,1]``, as numbers of a tuple are wanted."""
    words = [word for each in argv for word in (each.split("=", 1) if each.partition("=")[0] in pairs else [each])]
    return [
        f"[{word}]" if number and words[number - 1] in pairs and not word.startswith("[") else word
        for number, word in enumerate(words)
    ]


def _summary(function: Callable[..., Any]) -> str:
    return (inspect.getdoc(function) or "").split("\n\nArgs:")[0]


def _describe(function: Callable[..., Any], name: str) -> str:
    """What the docstring says of a parameter."""
    found = re.search(
        rf"^    {name}: (.+?)(?=^    \w+: |\Z|^\S)", inspect.getdoc(function) or "", re.DOTALL | re.MULTILINE
    )
    return " ".join(found.group(1).split()) if found else ""
