"""A folder of features through an adapter: in constant memory, finished files kept when it is interrupted."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from ..data.feature_store import ADAPTER_FOLDER, FeatureStore, feature_path
from ..data.feature_write import write_feature_blocks
from ..data.features import Features, read_features
from ..errors import FeatureError, OutputError
from ..files import require_writable
from ..progress import progress
from .adapter import Adapter

FileFormat = Literal["safetensors", "npy"]


def convert_folder(
    adapter: Adapter,
    store: FeatureStore,
    out: str | Path,
    *,
    overwrite: bool = False,
    resume: bool = False,
    file_format: FileFormat = "safetensors",
) -> int:
    """Write the adapted features of every video in ``store`` to ``out``; returns how many were written.

    Args:
        overwrite: replace what is there.
        resume: keep what this adapter has already converted.
        file_format: ``npy`` is what other tools read; such files do not hold their time.

    Raises:
        FeatureError: features that the adapter cannot take; the file is named.
        OutputError: ``out`` already holds features.
    """
    if not (overwrite or resume):
        require_free(store, out, file_format)
    written = 0
    with progress("Adapting", len(store)) as report:
        for name in store:
            written += _convert(adapter, store, name, target(out, name, file_format), resume)
            report(1, name)
    return written


def _convert(adapter: Adapter, store: FeatureStore, name: str, path: Path, resume: bool) -> bool:
    features = store.open(name)
    try:
        adapter.check(features)
    except FeatureError as error:
        raise FeatureError(error.problem, where=store.path_of(name), cure=error.cure) from error
    labels = adapter.labels(features)
    if resume and _is_done(path, features, labels):
        return False
    blocks = adapter.blocks(features.values)
    write_feature_blocks(path, blocks, rows=len(features), width=adapter.width, time=features.time, **labels)
    return True


def _is_done(path: Path, features: Features, labels: dict[str, str]) -> bool:
    """Whether ``path`` holds all of what would be written; ``.npy`` files do not say what made them."""
    try:
        found = read_features(path, mapped=True)
    except FeatureError:
        return False
    return len(found) == len(features) and (found.encoder, found.weight_hash) == tuple(labels.values())


def require_free(store: FeatureStore, out: str | Path, file_format: FileFormat = "safetensors") -> None:
    """Raise :class:`OutputError` unless the adapted features of ``store`` can be written to ``out``, which holds none.

    Features of other videos are in the way too: a folder is of one encoder and one adapter.
    """
    cure = "choose another --out, or add --overwrite"
    for path in sorted(Path(out).rglob("*")) if Path(out).is_dir() else ():
        if path.suffix in (".safetensors", ".npy") and ADAPTER_FOLDER not in path.relative_to(out).parts:
            raise OutputError("already holds features", where=path, cure=cure)
    for name in store:
        require_writable(target(out, name, file_format))


def target(out: str | Path, name: str, file_format: FileFormat = "safetensors") -> Path:
    """Where the adapted features of the video ``name`` belong."""
    return feature_path(out, name) if file_format == "safetensors" else Path(out) / f"{name}.npy"
