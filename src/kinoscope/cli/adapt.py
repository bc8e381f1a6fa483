"""``kinoscope adapt``: SoLa, trained on features without labels, and the features converted by it."""

from __future__ import annotations

import shutil
from pathlib import Path

from ..data.feature_store import FeatureStore
from ..data.features import Features
from ..data.segments import Annotations
from ..errors import FeatureError, OptionError, OutputError
from ..sola import SolaOptions, SolaTraining

EXAMPLES = """\
  kinoscope adapt feats/ --out sola/
  kinoscope adapt feats/ --out sola/ --resume
  kinoscope adapt thumos_npy/ --out sola/ --fps 30 --stride 4 --clip-length 16
  kinoscope adapt new_feats/ --out new_sola/ --adapter sola/
"""


def run(
    features: Path,
    *,
    out: Path,
    options: SolaOptions = SolaOptions(),
    training: SolaTraining = SolaTraining(),
    labels: Path | None = None,
    adapter: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    fps: float | None = None,
    stride: float | None = None,
    clip_length: float | None = None,
    device: str = "auto",
) -> int:
    """Make frozen features temporally sensitive: train SoLa on them, without labels, and write converted features.

    The adapter is kept beside the converted features, and goes with every model that is trained on them.

    Args:
        features: Folder that `kinoscope extract` wrote, or .npy files of another tool.
        out: Folder for the converted features.
        labels: Annotations with a split: train on the videos of its training part only, so that the others stay unseen.
        adapter: Folder of features that were converted before: use their adapter and train nothing.
        resume: Continue an interrupted training.
        overwrite: Replace converted features, and train anew.
        fps: Of .npy files: sampled frames per second.
        stride: Of .npy files: sampled frames between rows.
        clip_length: Of .npy files: sampled frames that a row saw.
        device: cpu, cuda, ...; auto takes a GPU if there is one.
    """
    from ..data.annotations import read_annotations
    from ..sola import SoLa, adapter_folder, convert_folder, train_adapter
    from ..sola.train import require_free
    from .terminal import say
    from .times import feature_time

    if out.resolve().is_relative_to(features.resolve()):
        raise OptionError("--out lies in the folder of the features", where=out, cure="choose an --out beside it")
    annotations = read_annotations(labels) if labels is not None else None
    file_names = annotations.file_names() if annotations is not None else None
    store = FeatureStore(features, feature_time(fps, stride, clip_length), file_names)
    alike = store.read_alike()
    home = adapter_folder(out)
    if adapter is not None:
        sola = SoLa.load(adapter_folder(adapter) if adapter_folder(adapter).is_dir() else adapter)
        if not overwrite:
            require_free(store, out)
        sola.save(home, next(iter(alike.values())))
    else:
        if (home / "config.json").exists() and not (resume or overwrite):
            raise OutputError(
                "already holds adapted features", where=out, cure="choose another --out, or add --resume or --overwrite"
            )
        if overwrite and not resume and home.is_dir():
            shutil.rmtree(home)
        if not (resume or overwrite):
            require_free(store, out)
        part = _training_part(store, alike, annotations)
        sola = train_adapter(part, home, options, training, resume=resume, device=device)
    count = convert_folder(sola, store, out, overwrite=overwrite or resume)
    say(f"{count} videos adapted → {out} (gate tanh α = {float(sola.alpha.tanh()):+.3f}; 0 is the identity)")
    return 0


def _training_part(
    store: FeatureStore, features: dict[str, Features], annotations: Annotations | None
) -> dict[str, Features]:
    """Features of the videos that the labels mark for training; all without labels."""
    from ..localize.training_data import training_part

    if annotations is None:
        return features
    names = training_part(annotations, None).videos
    paths = {store.path_of(name) for name in names if name in store}  # labels may name another folder
    chosen = {name: each for name, each in features.items() if store.path_of(name) in paths}
    if not chosen:
        raise FeatureError(
            "no features of the training videos", where=annotations.source, cure="check the names and the split"
        )
    return chosen
