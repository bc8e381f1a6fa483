from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kinoscope.engine.checkpoint import load_tree, same_tree, save_tree
from kinoscope.errors import WeightError

_LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False),
    st.text(max_size=8),
    st.lists(st.floats(width=32, allow_nan=False), max_size=4).map(lambda x: torch.tensor(x, dtype=torch.float32)),
)
_TREES = st.recursive(
    _LEAVES,
    lambda child: st.one_of(
        st.lists(child, max_size=3),
        st.lists(child, max_size=3).map(tuple),
        st.dictionaries(st.one_of(st.integers(0, 9), st.text(max_size=4)), child, max_size=3),
    ),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(tree=_TREES)
def test_a_tree_comes_back_equal(tree: object, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("tree") / "a.safetensors"
    save_tree(path, tree)
    assert same_tree(load_tree(path), tree)


def test_state_of_an_optimizer_comes_back(tmp_path: Path) -> None:
    layer = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(layer.parameters(), betas=(0.8, 0.9))
    layer(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    save_tree(tmp_path / "o.safetensors", optimizer.state_dict())
    assert same_tree(load_tree(tmp_path / "o.safetensors"), optimizer.state_dict())


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"\x80\x04."])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightError, match=r"broken\.safetensors"):
        load_tree(path)


def test_what_cannot_be_kept_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="object"):
        save_tree(tmp_path / "x.safetensors", {"a": object()})
    assert not list(tmp_path.iterdir())
