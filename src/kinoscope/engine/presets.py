"""Checks that options of all methods share: closed choices, and the published recipe behind ``--preset official``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, Literal, TypeVar, get_args

from ..errors import OptionError

Preset = Literal["own", "official"]
Options = TypeVar("Options")


def with_preset(options: Options, preset: Preset, official: Mapping[str, Any]) -> Options:
    """``options``, with the values of the published recipe wherever they are still the defaults.

    Raises:
        OptionError: another preset.
    """
    if preset not in get_args(Preset):
        raise OptionError(f"preset is {preset!r}", cure="choose own or official")
    if preset == "own":
        return options
    defaults = {field.name: field.default for field in fields(options)}  # type: ignore[arg-type]  # a dataclass
    changed = {name: value for name, value in official.items() if getattr(options, name) == defaults[name]}
    return replace(options, **changed)  # type: ignore[type-var]


def require_known(options: object, **choices: Any) -> None:
    """Raise :class:`OptionError` for a field that is none of its choices, which are ``Literal`` types."""
    for name, kind in choices.items():
        value, known = getattr(options, name), get_args(kind)
        if value not in known:
            raise OptionError(f"{name} is {value!r}", cure=f"one of: {', '.join(known)}")
