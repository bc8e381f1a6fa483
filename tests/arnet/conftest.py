"""Tests here know four networks of frames more than the catalogue, and none of them may fetch weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from kinoscope.encoders import image_nets

from . import made


@pytest.fixture(autouse=True, scope="module")
def tiny_nets() -> Iterator[None]:
    def refuse(*_given: Any) -> Any:
        pytest.fail("a test wants to download weights")

    with pytest.MonkeyPatch.context() as patch:
        for name, net in made.NETS.items():
            patch.setitem(image_nets._NETS, name, net)
        patch.setattr(image_nets, "load_weights", refuse)
        yield
