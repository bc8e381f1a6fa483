"""Several processes of one training: the loop starts the others by running the same command again."""

from __future__ import annotations

import os


def is_first_process() -> bool:
    """Whether this is the process that the user started: the one that writes, prints and asks."""
    return int(os.environ.get("RANK", "0")) == 0 and int(os.environ.get("LOCAL_RANK", "0")) == 0
