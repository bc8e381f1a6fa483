"""``kinoscope train recognize``: a recogniser on the user's own labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..bert3d.options import ClipTraining, HeadOptions, RecognizeOptions, head_with_preset
from ..data.labelled_clips import Dataset, Missing
from ..encoders.sampling import Runtime, Sampling
from ..engine.presets import Preset
from ..errors import OptionError, WeightError

if TYPE_CHECKING:
    from ..data.clip_parts import Parts
    from ..data.labelled_clips import LabelledClips

EXAMPLES = """\
  kinoscope train recognize labels.csv --encoder i3d-k400 --out runs/ut
  kinoscope train recognize labels.csv --encoder i3d-k400 --features feats/ --head lstm --out runs/lstm
  kinoscope train recognize labels.csv --features feats/ --out runs/own --resume
  kinoscope train recognize UCF101/ --split all --encoder i3d-k400 --features feats/ --out runs/ucf
  kinoscope train recognize labels.csv --encoder r2plus1d-34 --finetune --width 0.25 --out runs/scratch
  kinoscope train recognize labels.csv --encoder i3d-k400 --finetune --clip-size 112 --out runs/fine
"""


def run(
    labels: Path,
    *,
    out: Path,
    encoder: str | None = None,
    features: Path | None = None,
    finetune: bool = False,
    head: HeadOptions = HeadOptions(),
    options: RecognizeOptions = RecognizeOptions(),
    preset: Preset = "own",
    sampling: Sampling = Sampling(),
    clips: ClipTraining = ClipTraining(),
    tokens: int | None = None,
    videos: Path | None = None,
    dataset: Dataset = "auto",
    split: str = "1",
    groups: str | None = None,
    missing: Missing = "auto",
    cache: Path | None = None,
    html: Path | None = None,
    resume: bool = False,
    workers: int = 0,
    device: str = "auto",
    runtime: Runtime = "auto",
    precision: Literal["32-true", "bf16-mixed"] = "32-true",
    json: bool = False,
) -> int:
    """Train a recogniser of trimmed clips, or of labelled segments, that knows the order of things.

    By default the encoder stays as it is: its features are computed once and kept, and a head over their order in time
    learns in minutes on a laptop. With --finetune the encoder learns too, which wants a GPU. Clips of the split `test`
    are scored at the end and choose nothing; a part of the training clips chooses the epoch.

    Args:
        labels: CSV with video,label[,split] or video,start,end,label[,split], ActivityNet JSON, a folder per class, or
            the folder of UCF101, HMDB51, Kinetics, Mini-Kinetics, ActivityNet or FCVID.
        out: Folder for the model and the records of the run.
        encoder: i3d-k400, efficientnet-lite0, ..., or the folder of your own; with --finetune also a backbone with
            fresh weights, such as r2plus1d-18. May be left out where --features holds all that is needed.
        features: Folder of features; what is missing is made there by the encoder. By default OUT/features.
        finetune: Train the encoder too.
        preset: own; or official, the published recipe. Options that you give stand above it.
        tokens: Most rows of features that the head sees at once; by default the longest training clip, up to 64.
        videos: Folder of the videos, where the labels lie elsewhere.
        dataset: What the labels are, where that is not told rightly.
        split: Official split of UCF101 or HMDB51; all trains one after the other and tells mean and interval.
        groups: Regular expression: clips in whose names it finds the same text are never parted.
        missing: Videos that are not there are an error, or left out (skip).
        cache: With --finetune: folder for decoded videos, by default OUT/cache.
        html: Page with the worst mistakes, by default OUT/mistakes.html; written anew while training.
        resume: Continue an interrupted run.
        workers: Loader processes.
        device: cpu, cuda, ...; auto takes a GPU if there is one.
        runtime: What computes a frozen encoder on a CPU; auto takes OpenVINO if it is installed.
        precision: Arithmetic of training: bf16-mixed saves time and memory on GPUs.
        json: Print the scores as JSON.
    """
    from ..bert3d.finetune import finetune as train_all
    from ..bert3d.train import Where, train_head
    from ..data.labelled_clips import read_labelled_clips, splits_available
    from .recognize_scores import early_look, report_splits, report_training
    from .times import feature_time

    _check(encoder, features, finetune, sampling, tokens, clips)
    head = head_with_preset(head, preset, _backbone(encoder))
    options = options.with_preset(preset, head.head)
    available = splits_available(labels) if labels.is_dir() else []
    wanted = (available or [1]) if split == "all" else [_number(split)]
    if html is not None and len(wanted) > 1:
        raise OptionError("--html names one page, but every split has its own", cure="leave it out")
    time = feature_time(sampling.fps, sampling.stride, sampling.clip_length) if encoder is None else None
    reports = []
    for number in wanted:
        labelled = read_labelled_clips(
            labels,
            videos=videos,
            dataset=dataset,
            split=number,
            missing=missing,
            groups=groups,
            files=encoder is not None,
        )
        parts = _parts(labelled, options)
        folder = out if len(wanted) == 1 else out / f"split{number}"
        page = html if html is not None and len(wanted) == 1 else folder / "mistakes.html"
        where = Where(
            resume=resume,
            workers=workers,
            device=device,
            runtime=runtime,
            precision=precision,
            early=early_look(page, parts, folder),
        )
        if finetune:
            kept = cache or out / "cache"  # of all splits, as the features are
            trained = train_all(parts, folder, encoder or "", head, options, clips, cache=kept, where=where)
        else:
            trained = train_head(
                parts,
                folder,
                head,
                options,
                features=features or out / "features",
                encoder=encoder,
                sampling=sampling,
                time=time,
                tokens=tokens,
                where=where,
            )
        reports.append(report_training(trained, labelled, folder, page, quiet=json))
    return report_splits(reports, wanted, out, json=json)


def _parts(labelled: LabelledClips, options: RecognizeOptions) -> Parts:
    from ..data.clip_parts import training_clips

    share = options.validation_share if options.select == "best" or options.schedule == "plateau" else 0.0
    return training_clips(labelled, options.seed, share)


def _backbone(encoder: str | None) -> str:
    """The network that an encoder is; empty where that is not known."""
    from ..encoders.trained import trained_spec

    if encoder is None or not Path(encoder).is_dir():
        return encoder or ""
    try:
        return trained_spec(encoder).backbone
    except WeightError:  # of another kind, or told when it is loaded
        return ""


def _check(
    encoder: str | None,
    features: Path | None,
    finetune: bool,
    sampling: Sampling,
    tokens: int | None,
    clips: ClipTraining,
) -> None:
    """Options that do not go together are told, not ignored."""
    from ..encoders.backbones import list_backbones

    if finetune and (encoder is None or features is not None):
        cure = "give --encoder, and leave --features away"
        raise OptionError("--finetune trains an encoder on videos, not on features", cure=cure)
    if finetune and (sampling != Sampling() or tokens is not None):
        cure = "give --frames, --clip-fps and --clip-size instead"
        raise OptionError("--fps, --clip-length, --stride, --size and --tokens go with a frozen encoder", cure=cure)
    if not finetune and clips != ClipTraining():
        cure = "add --finetune, or give --fps, --clip-length, --stride and --size"
        raise OptionError(
            "--frames, --clip-fps, --clip-size, --stream, --width and --reduction go with --finetune", cure=cure
        )
    if not finetune and encoder in list_backbones():
        raise OptionError(f"{encoder} is a backbone without weights", cure="add --finetune, or name an encoder")
    if encoder is None and features is None:
        raise OptionError("there are neither features nor an encoder", cure="give --encoder, --features, or both")


def _number(split: str) -> int:
    if not split.isdecimal():
        raise OptionError(f"split is {split!r}", cure="give a number, or all")
    return int(split)
