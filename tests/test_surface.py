"""What ``import kinoscope`` gives, and what it costs."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest

import kinoscope
from kinoscope import encoders, sola
from kinoscope.errors import KinoscopeError, VideoError


def test_import_is_instant() -> None:
    script = "import sys, kinoscope; print([n for n in ('torch', 'av', 'numpy') if n in sys.modules])"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout.strip() == "[]"


def test_using_a_model_does_not_load_what_trains_one() -> None:
    script = (
        "import sys, kinoscope.pipeline; print([n for n in ('lightning_fabric', 'tensorboard') if n in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize("package", [kinoscope, encoders, sola])
def test_every_public_name_exists(package: object) -> None:
    for name in package.__all__:  # type: ignore[attr-defined]
        assert getattr(package, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        package.nonsense  # type: ignore[attr-defined]  # noqa: B018


def test_errors_say_where_what_and_how_to_mend() -> None:
    error = VideoError("is empty", where="a.mp4", cure="record it again")
    assert str(error) == "a.mp4: is empty\n  Cure: record it again" and isinstance(error, KinoscopeError)
    assert str(KinoscopeError("broke")) == "broke"
    again = pickle.loads(pickle.dumps(KinoscopeError("broke")))  # they cross from worker processes
    assert isinstance(again, KinoscopeError) and again.problem == "broke"


def test_errors_keep_their_place_across_processes() -> None:
    again = pickle.loads(pickle.dumps(VideoError("is empty", where="a.mp4", cure="record it again")))
    assert str(again) == "a.mp4: is empty\n  Cure: record it again"
