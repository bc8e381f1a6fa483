"""Where tests find the specification's vectors and the real data; both may be missing on a user's machine."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

_BESIDE = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real videos, features and annotations ($KINOSCOPE_DATA or ../shared/data)."""
    folder = Path(os.environ.get("KINOSCOPE_DATA", _BESIDE / "data"))
    if not folder.is_dir():
        pytest.skip(f"real data not found at {folder}: set KINOSCOPE_DATA")
    return folder


@pytest.fixture(scope="session")
def vectors() -> Callable[[str], dict[str, Any]]:
    """Loader of a method sheet's numeric cases by its name, ``vectors("sola")``."""

    def load(name: str) -> dict[str, Any]:
        path = _BESIDE / "papers" / f"{name}_vectors.json"
        if not path.is_file():
            pytest.skip(f"specification vectors not found at {path}")
        return json.loads(path.read_text(encoding="utf-8"))

    return load


@pytest.fixture(scope="session")
def across_workers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of this run of the tests have in common."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
