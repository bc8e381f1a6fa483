"""``kinoscope train localize``: a localisation head on the user's own labels."""

from __future__ import annotations

from pathlib import Path

from ..localize.train_options import LocalizeTrainOptions

EXAMPLES = """\
  kinoscope train localize labels.csv --features feats/ --out runs/fall
  kinoscope train localize labels.csv --features sola/ --out runs/fall --epochs 100 --seed 1
  kinoscope train localize labels.csv --features sola/ --out runs/fall --resume
"""


def run(
    labels: Path,
    *,
    features: Path,
    out: Path,
    options: LocalizeTrainOptions = LocalizeTrainOptions(),
    train_subset: str | None = None,
    validation_subset: str | None = None,
    protocol: str = "own",
    resume: bool = False,
    workers: int = 0,
    fps: float | None = None,
    stride: float | None = None,
    clip_length: float | None = None,
    device: str = "auto",
) -> int:
    """Train a head that finds your labels in features: ActionFormer, in a size that a laptop can train.

    Args:
        labels: CSV with video,start,end,label[,split] (a row with the video alone: nothing happens in it), or
            ActivityNet JSON.
        features: Folder that `kinoscope extract` or `kinoscope adapt` wrote.
        out: Folder for the model and the records of the run.
        train_subset: Train on videos of this split; by default "train" or "training", or all if none is marked.
        validation_subset: Score videos of this split now and then; by default those of the test, else validation split.
        protocol: How validation is scored, see `kinoscope evaluate`.
        resume: Continue an interrupted run.
        workers: Loader processes.
        fps: Of .npy features: sampled frames per second.
        stride: Of .npy features: sampled frames between rows.
        clip_length: Of .npy features: sampled frames that a row saw.
        device: cpu, cuda, ...; auto takes a GPU if there is one.
    """
    from ..data.annotations import read_annotations
    from ..data.feature_store import FeatureStore
    from ..localize.train import train_localizer
    from ..pipeline import keep_adapter
    from .terminal import say
    from .times import feature_time

    annotations = read_annotations(labels)
    store = FeatureStore(features, feature_time(fps, stride, clip_length), annotations.file_names())
    model, scores = train_localizer(
        annotations,
        store,
        out,
        options,
        train_subset=train_subset,
        validation_subset=validation_subset,
        protocol=protocol,
        resume=resume,
        workers=workers,
        accelerator=device,
    )
    keep_adapter(features, out)
    for name, value in scores.items():
        say(f"{name}: {value:.4f}")
    say(f"Model of {len(model.classes)} classes → {out}. Use it: kinoscope localize VIDEO --model {out}")
    return 0
