"""A folder of features through an adapter: in constant memory, finished files kept when it is interrupted."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from ..data.feature_store import ADAPTER_FOLDER, FeatureStore, feature_files, feature_path
from ..data.feature_write import write_feature_blocks
from ..data.features import Features, read_features
from ..errors import FeatureError, Interrupted, OutputError
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
        overwrite: replace what is there of these videos.
        resume: keep what this adapter has already converted.
        file_format: ``npy`` is what other tools read; such files do not hold their time.

    Raises:
        FeatureError: features that the adapter cannot take; the file is named.
        Interrupted: by Ctrl-C; finished files stay.
        OutputError: ``out`` already holds features: any without ``resume`` and ``overwrite``, or, with ``resume``
            alone, those of another adapter.
    """
    if not (overwrite or resume):
        require_free(store, out, file_format)
    written, looked, fingerprint = 0, 0, adapter.fingerprint()
    with progress("Adapting", len(store)) as report:
        try:
            for name in store:
                path = target(out, name, file_format)
                written += _convert(adapter, fingerprint, store, name, path, resume=resume, overwrite=overwrite)
                looked += 1
                report(1, name)
        except KeyboardInterrupt:
            cure = "run the same command with --resume to go on"
            raise Interrupted(f"interrupted after {looked} of {len(store)} videos", where=out, cure=cure) from None
    return written


def _convert(
    adapter: Adapter, fingerprint: str, store: FeatureStore, name: str, path: Path, *, resume: bool, overwrite: bool
) -> bool:
    features = store.open(name)
    try:
        adapter.check(features)
    except FeatureError as error:
        raise FeatureError(error.problem, where=store.path_of(name), cure=error.cure) from error
    labels = adapter.labels(features, fingerprint)
    if resume and path.exists() and path.suffix != ".npy":  # these do not say what made them
        if _is_done(path, features, labels):
            return False
        if not overwrite:
            cure = "choose another --out, or add --overwrite"
            raise OutputError("holds features of another adapter", where=path, cure=cure)
    blocks = adapter.blocks(features.values)
    write_feature_blocks(path, blocks, rows=len(features), width=adapter.width, time=features.time, **labels)
    return True


def _is_done(path: Path, features: Features, labels: dict[str, str]) -> bool:
    """Whether ``path`` holds all of what would be written."""
    try:
        found = read_features(path, mapped=True)
    except FeatureError:
        return False
    return len(found) == len(features) and (found.encoder, found.weight_hash) == tuple(labels.values())


def require_free(store: FeatureStore, out: str | Path, file_format: FileFormat = "safetensors") -> None:
    """Raise :class:`OutputError` if ``out`` holds features, or if those of ``store`` cannot be written there."""
    adapted = (Path(out) / ADAPTER_FOLDER).is_dir()
    cure = "choose another --out, or add --overwrite" + (" (or --resume, to go on with it)" if adapted else "")
    for path in feature_files(out):
        raise OutputError("already holds features", where=path, cure=cure)
    for name in store:
        require_writable(target(out, name, file_format))


def require_own(store: FeatureStore, out: str | Path, file_format: FileFormat = "safetensors") -> None:
    """Raise :class:`OutputError` if ``out`` holds features of videos that ``store`` has not: they would be mixed."""
    own = {target(out, name, file_format) for name in store}
    for path in feature_files(out):
        if path not in own:
            cure = "choose another --out, or remove it: a folder is of one encoder and one adapter"
            raise OutputError("holds features that would be left among the new ones", where=path, cure=cure)


def target(out: str | Path, name: str, file_format: FileFormat = "safetensors") -> Path:
    """Where the adapted features of the video ``name`` belong."""
    return feature_path(out, name) if file_format == "safetensors" else Path(out) / f"{name}.npy"
