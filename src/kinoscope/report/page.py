"""What all pages share: the head of an HTML file that loads nothing, and pages without any script."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from importlib.resources import files as package_files
from string import Template

from .html import note_list, settings_block, text

_NO_SCRIPT = "default-src 'none'; style-src '{style}'; img-src data:; base-uri 'none'; form-action 'none'"


def asset(name: str) -> str:
    """A file of the folder ``assets``."""
    return (package_files(__package__) / "assets" / name).read_text(encoding="utf-8")


def styles(*names: str) -> str:
    """Style sheets as one, after the one that every page has; later ones win."""
    return "\n".join(asset(f"{name}.css") for name in ("base", *names))


def page_head(title: str, style: str, policy: str) -> str:
    """The beginning of a file, up to its body; ``policy`` is what the browser shall allow (content security policy)."""
    return Template(asset("head.html")).substitute(title=text(title), style=style, policy=policy)


def policy_hash(content: str) -> str:
    """How a content security policy names a style sheet or a script that lies in the file."""
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode("ascii")


def scriptless_page(
    title: str,
    subtitle: str,
    body: str,
    *,
    style: str,
    notes: Sequence[str] = (),
    settings: Mapping[str, str] | None = None,
    leads: str = "names lead to the videos",
) -> str:
    """A whole page in which nothing can run and which holds its pictures; ``body`` is HTML, the rest plain text."""
    return Template(asset("page.html")).substitute(
        head=page_head(title, style, _NO_SCRIPT.format(style=policy_hash(style))),
        title=text(title),
        subtitle=text(subtitle),
        notes=note_list(notes),
        body=body,
        settings=settings_block(settings or {}),
        leads=text(leads),
    )
