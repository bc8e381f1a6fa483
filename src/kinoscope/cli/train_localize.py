"""``kinoscope train localize``: a localisation head on the user's own labels."""

from __future__ import annotations

from pathlib import Path

from ..engine.presets import Preset as RecipePreset
from ..errors import OptionError, flag
from ..localize.recipes import with_recipe
from ..localize.train_options import LocalizeTrainOptions, SolaMode, check_sola
from ..sola.options import Preset, SolaOptions

EXAMPLES = """\
  kinoscope train localize labels.csv --features feats/ --out runs/fall
  kinoscope train localize labels.csv --features sola/ --out runs/fall --epochs 100 --seed 1
  kinoscope train localize labels.csv --features feats/ --head gtad --out runs/gtad
  kinoscope train localize labels.csv --features feats/ --head bmn --preset activitynet --recipe official --out runs/bmn
  kinoscope train localize labels.csv --features sola/ --out runs/fall --resume
  kinoscope train localize labels.csv --features feats/ --sola joint --out runs/joint
  kinoscope train localize labels.csv --features feats/ --sola two-stage --sola-preset direct --out runs/two
  kinoscope train localize labels.csv --features feats/ --end-to-end 1 --videos videos/ --out runs/whole
"""


def run(
    labels: Path,
    *,
    features: Path,
    out: Path,
    options: LocalizeTrainOptions = LocalizeTrainOptions(),
    recipe: RecipePreset = "own",
    sola: SolaMode = "none",
    sola_weight: float = 1.0,
    sola_preset: Preset = "official",
    sola_options: SolaOptions = SolaOptions(),
    end_to_end: int = 0,
    videos: Path | None = None,
    encoder_rate: float = 1e-4,
    cache: Path | None = None,
    train_subset: str | None = None,
    validation_subset: str | None = None,
    protocol: str = "own",
    dataset: str | None = None,
    resume: bool = False,
    workers: int = 0,
    fps: float | None = None,
    stride: float | None = None,
    clip_length: float | None = None,
    html: Path | None = None,
    device: str = "auto",
) -> int:
    """Train a head that finds your labels in features: ActionFormer or another, in a size that a laptop can train.

    Args:
        labels: CSV with video,start,end,label[,split] (a row with the video alone: nothing happens in it), or
            ActivityNet JSON.
        features: Folder that `kinoscope extract` or `kinoscope adapt` wrote.
        out: Folder for the model and the records of the run.
        recipe: own, for tens of videos; or official: how the release of the preset (thumos, activitynet) trains and
            suppresses. Options that you give stand above it.
        sola: Make the features temporally sensitive: before the head is trained (two-stage: as `kinoscope adapt` does,
            on the training videos only), together with it by the losses of both (joint), or by the head's loss alone
            (unified).
        sola_weight: Weight of Similarity Matching in joint training.
        sola_preset: official; recommended, which did best in docs/results.md (today: official); or direct, without
            predictor and stop-gradient. Options that you give stand above it.
        end_to_end: Train as many of the encoder's last blocks with the head (1 or 2; 0: none). What lies below them is
            computed once and kept. For short videos: it takes far more time, memory and disk than features.
        videos: Folder of the videos that the features were extracted from; for --end-to-end.
        encoder_rate: Largest learning rate of the encoder's blocks.
        cache: Folder for what lies below them; by default OUT/maps.
        train_subset: Train on videos of this split; by default "train" or "training", or all if none is marked.
        validation_subset: Score videos of this split now and then; by default those of the test, else validation split.
        protocol: How validation is scored, see `kinoscope evaluate`.
        dataset: What the labels are, where their content does not tell: epic-kitchens:verb, epic-kitchens:noun, gtea,
            50salads:fps=30, frames:fps=15.
        resume: Continue an interrupted run.
        workers: Loader processes.
        fps: Of .npy features: sampled frames per second.
        stride: Of .npy features: sampled frames between rows.
        clip_length: Of .npy features: sampled frames that a row saw.
        html: Page with curves, and true segments beside those that are found, by default OUT/overview.html; written
            anew at each validation.
        device: cpu, cuda, ...; auto takes a GPU if there is one.
    """
    from ..data.annotations import read_annotations
    from ..data.feature_store import FeatureStore
    from ..localize.localizer import ADAPTER
    from ..localize.train import train_localizer
    from ..pipeline import keep_adapter, reads_videos
    from ..sola import load_adapter
    from .overview import Overview
    from .terminal import note, say
    from .times import feature_time

    if sola == "none" and sola_preset != "official":
        cure = "choose a --sola (two-stage, joint or unified), or leave --sola-preset away"
        raise OptionError("--sola-preset is an option of SoLa, but --sola is none", cure=cure)
    if not end_to_end and (videos is not None or cache is not None or encoder_rate != 1e-4):
        raise OptionError("--videos, --encoder-rate and --cache go with --end-to-end", cure="add --end-to-end 1")
    asked = vars(options)
    options, decoding = with_recipe(options, recipe)
    if told := [f"{flag(name)} {value}" for name, value in vars(options).items() if value != asked[name]]:
        note(f"note: the official recipe: {', '.join(told)}")
    annotations = read_annotations(labels, dataset=dataset)
    for remark in annotations.remarks:
        note(f"note: {remark}")
    store = FeatureStore(features, feature_time(fps, stride, clip_length), annotations.file_names())
    if store.time is not None and not any(video.duration for video in annotations.videos.values()):
        note("note: the labels tell no durations, so --fps and --stride were only checked against the last segments.")
    whole = None
    if end_to_end:
        from ..engine.resume import require_free
        from .end_to_end import prepare

        require_free(out, resume)
        check_sola(sola, sola_options, sola_weight, end_to_end=True)
        maps = cache or out / "maps"
        names = annotations.videos
        whole = prepare(store, names, videos, maps, blocks=end_to_end, rate=encoder_rate, device=device)
    overview = Overview(html or out / "overview.html", out, annotations)
    model, scores = train_localizer(
        annotations,
        store,
        out,
        options,
        sola=sola,
        sola_options=sola_options.with_preset(sola_preset),
        sola_weight=sola_weight,
        end_to_end=whole,
        decoding=decoding,
        train_subset=train_subset,
        validation_subset=validation_subset,
        protocol=protocol,
        resume=resume,
        workers=workers,
        accelerator=device,
        early=overview,
    )
    overview.write()
    if whole is not None:
        say(f"Encoder, trained with the head → {out / 'encoder'}")
    elif sola == "none":
        keep_adapter(features, out)
    else:
        gate = float(load_adapter(out / ADAPTER).state_dict()["alpha"].tanh())
        say(f"SoLa: gate tanh α = {gate:+.3f} (0 is the identity)")
    for name, value in scores.items():
        say(f"{name}: {value:.4f}")
    on_videos = reads_videos(model.features)
    given = "VIDEO" if on_videos else "FEATURES"
    classes = f"{len(model.classes)} classes" if len(model.classes) > 1 else "1 class"
    say(f"Model of {classes} → {out}. Use it: kinoscope localize {given} --model {out}")
    if not on_videos:
        why = "Kinoscope does not have the encoder of its features"
        note(f"note: {why}: it can localise neither videos nor a stream, but feature files that are made alike.")
    return 0
