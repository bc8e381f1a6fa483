"""Two-stage training: SoLa first, on the training videos and without their labels, then the head on adapted features.

The same as ``kinoscope adapt`` and ``kinoscope train localize`` by hand, in one run.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..data.feature_store import FeatureStore
from ..engine.resume import CHECKPOINT
from ..errors import OptionError, OutputError
from ..sola import SolaOptions, SolaTraining, adapter_folder, convert_folder, train_adapter
from ..sola.convert import require_free
from .localizer import ADAPTER
from .training_data import TrainingData

FEATURES = "features"
"""Folder inside the run that holds the adapted features, and the adapter's own run."""


def adapt_first(
    data: TrainingData,
    out: str | Path,
    options: SolaOptions = SolaOptions(),
    *,
    seed: int = 0,
    resume: bool = False,
    accelerator: str = "auto",
) -> TrainingData:
    """Train an adapter on the videos of ``data``, and adapt all features that there are.

    Features of a folder go to ``out/features``; others are adapted in memory. The adapter is left in ``out/adapter``.

    Returns:
        ``data`` with adapted features.

    Raises:
        OptionError: the run lies in the folder of the features.
        OutputError: ``out`` already holds a run and ``resume`` is off.
    """
    raw, folder = data.features, Path(out) / FEATURES
    _require_place(raw.folder if isinstance(raw, FeatureStore) else None, Path(out), resume)
    if isinstance(raw, FeatureStore) and not resume:
        require_free(raw, folder)
    names = [video.name for video in data.videos]
    videos = raw.part(names).mapped() if isinstance(raw, FeatureStore) else {name: raw[name] for name in names}
    training = SolaTraining(seed=seed)
    adapter = train_adapter(videos, adapter_folder(folder), options, training, resume=resume, device=accelerator)
    source = videos[names[0]]
    adapter.save(Path(out) / ADAPTER, source)
    labels = adapter.labels(source)
    spec = replace(data.spec, encoder=labels["encoder"], weight_hash=labels["weight_hash"])
    if isinstance(raw, FeatureStore):
        convert_folder(adapter, raw, folder, resume=True)
        return replace(data, features=FeatureStore(folder, file_names=raw.file_names).mapped(), spec=spec)
    return replace(data, features={name: adapter.adapt(each) for name, each in raw.items()}, spec=spec)


def _require_place(raw: Path | None, out: Path, resume: bool) -> None:
    """Told before the adapter is trained, not after."""
    if raw is not None and out.resolve().is_relative_to(raw.resolve()):
        raise OptionError("the run lies in the folder of its features", where=out, cure="choose a folder beside it")
    if (out / CHECKPOINT).exists() and not (resume and adapter_folder(out / FEATURES).is_dir()):
        kind = "a run of another kind" if resume else "a run"
        cure = "choose another folder" if resume else "continue it with --resume, or choose another folder"
        raise OutputError(f"already holds {kind}", where=out, cure=cure)
