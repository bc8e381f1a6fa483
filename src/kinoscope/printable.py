"""Text from outside (file names, labels, messages about them), made safe to print."""

from __future__ import annotations


def printable(text: object, keep: str = "") -> str:
    """``text`` with every control character written out, so that it cannot paint over the terminal.

    Args:
        keep: control characters that stay, such as a line break.
    """
    return "".join(c if c.isprintable() or c in keep else repr(c)[1:-1] for c in str(text))
