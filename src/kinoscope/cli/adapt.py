"""``kinoscope adapt``: SoLa, trained on features without labels, and the features converted by it."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from ..errors import FeatureError, OptionError, OutputError
from ..sola.options import Preset, SolaOptions, SolaTraining
from .adapt_options import Method

if TYPE_CHECKING:
    from ..data.feature_store import FeatureStore
    from ..data.features import Features
    from ..data.segments import Annotations
    from ..sola import Adapter, SoLa
    from ..sola.controls import Control
    from ..sola.convert import FileFormat

EXAMPLES = """\
  kinoscope adapt feats/ --out sola/
  kinoscope adapt feats/ --out sola/ --labels labels.csv --preset direct
  kinoscope adapt feats/ --out sola/ --kernel 5 --target sigmoid --lam 16 --no-predictor --distance seconds
  kinoscope adapt feats/ --out smooth/ --method moving-average
  kinoscope adapt rgb_feats/ --out both/ --method two-stream --motion flow_feats/
  kinoscope adapt new_feats/ --out new_sola/ --adapter sola/
  kinoscope adapt hacs_npy/ --out hacs_sola/ --fps 2 --stride 1 --clip-length 1 --durations hacs.csv
  kinoscope adapt hacs_npy/ --out hacs_sola/ --fps 2 --stride 1 --clip-length 1 --adapter official.pth --file-format npy
"""


def run(
    features: Path,
    *,
    out: Path,
    method: Method = "sola",
    preset: Preset = "official",
    options: SolaOptions = SolaOptions(),
    training: SolaTraining = SolaTraining(),
    average_rows: int = 5,
    variance: float = 0.99,
    motion: Path | None = None,
    labels: Path | None = None,
    adapter: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    file_format: Literal["safetensors", "npy"] = "safetensors",
    fps: float | None = None,
    stride: float | None = None,
    clip_length: float | None = None,
    durations: Path | None = None,
    device: str = "auto",
) -> int:
    """Make frozen features temporally sensitive: train SoLa on them, without labels, and write converted features.

    The adapter is kept beside the converted features, and goes with every model that is trained on them.

    Args:
        features: Folder that `kinoscope extract` wrote, or .npy files of another tool.
        out: Folder for the converted features.
        method: sola, or a control that a gain has to be measured against; two-stream sets rows of --motion beside
            those of the features.
        preset: official; recommended, which did best in docs/results.md (today: official); or direct, without predictor
            and stop-gradient. Options that you give stand above it.
        average_rows: Of moving-average: rows, odd; SoLa's first convolution sees 5.
        variance: Of whitening: keep the principal components that explain this share of the variance.
        motion: Of two-stream: folder of features of the same videos, from flow or frame differences.
        labels: Annotations with a split: train on the videos of its training part only, so that the others stay unseen.
        adapter: Use this adapter and train nothing: a folder of features that were converted before, or an official
            checkpoint of SoLa.
        resume: Continue an interrupted training or conversion.
        overwrite: Replace converted features, and train anew.
        file_format: npy writes plain [T, C] arrays for other tools; these do not hold their time.
        fps: Of features without time (.npy): sampled frames per second.
        stride: Of features without time: sampled frames between rows.
        clip_length: Of features without time: sampled frames that a row saw.
        durations: Of features without time: table of the videos' lengths in seconds (CSV video,duration, or JSON).
        device: cpu, cuda, ...; auto takes a GPU if there is one.
    """
    from ..data.annotations import read_annotations
    from ..data.durations import read_durations
    from ..data.feature_store import FeatureStore
    from ..sola import ControlOptions, adapter_folder, convert_folder, make_control
    from ..sola.convert import require_free, require_own
    from .adapt_options import refuse_ignored, refuse_sola_options
    from .terminal import say
    from .times import feature_time

    refuse_ignored(method, adapter, motion, labels, resume, average_rows, variance)
    refuse_sola_options(method, adapter, preset, options, training)
    for folder in filter(None, (features, motion)):
        if out.resolve().is_relative_to(folder.resolve()):
            raise OptionError("--out lies in a folder of features", where=out, cure="choose an --out beside it")
    annotations = read_annotations(labels) if labels is not None else None
    file_names = annotations.file_names() if annotations is not None else None
    time, lengths = feature_time(fps, stride, clip_length), read_durations(durations) if durations is not None else None
    store, home = FeatureStore(features, time, file_names, durations=lengths), adapter_folder(out)
    if not (overwrite or (resume and home.is_dir())):
        require_free(store, out, file_format)
    require_own(store, out, file_format)
    if motion is not None:
        return _two_streams(store, FeatureStore(motion, time), out, file_format)
    place = _device(device)
    videos = store.read_alike()
    part, source = _training_part(videos, annotations), next(iter(videos.values()))
    made = _ready(adapter, source) if adapter is not None else None
    with _old_adapter_aside(home, overwrite and not resume):
        if made is None and method == "sola":
            made = _train(part, home, options.with_preset(preset), training, resume, device)
        else:
            controls = ControlOptions(average_rows, variance)
            made = made or make_control(cast("Control", method), part, controls, options, training.seed)
            _keep(made, home, source, resume and not overwrite)
    converter = made.to(place)
    count = convert_folder(converter, store, out, overwrite=overwrite, resume=resume, file_format=file_format)
    kept = f", {len(store) - count} were there already" if count < len(store) else ""
    say(f"{count} video{'' if count == 1 else 's'} adapted → {out}{kept}")
    return 0


def _device(name: str) -> str:
    """Where to compute; refuses what is not there before anything is trained."""
    import torch

    from ..engine import LoopOptions

    LoopOptions(epochs=1, batch_size=1, accelerator=name)
    return name if name != "auto" else "cuda" if torch.cuda.is_available() else "cpu"


@contextmanager
def _old_adapter_aside(home: Path, replaced: bool) -> Iterator[None]:
    """Keep the old adapter until the new one is there, or at least a checkpoint of it; else put it back."""
    aside = home.with_name(f".{home.name}.old")
    if replaced and home.is_dir():
        shutil.rmtree(aside, ignore_errors=True)
        home.rename(aside)
    try:
        yield
    except BaseException:
        if aside.is_dir() and not list(home.glob("checkpoint*")):
            shutil.rmtree(home, ignore_errors=True)
            aside.rename(home)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _keep(made: Adapter, home: Path, source: Features, only_the_same: bool) -> None:
    """Leave the adapter beside its features; going on with those of another one is refused."""
    from ..sola import load_adapter

    if only_the_same and (home / "config.json").exists() and load_adapter(home).fingerprint() != made.fingerprint():
        cure = "give the same options, choose another --out, or add --overwrite"
        raise OutputError("holds another adapter", where=home, cure=cure)
    made.save(home, source)


def _ready(path: Path, source: Features) -> Adapter:
    """An adapter that was trained before, here or by the authors of SoLa; it must take features like ``source``."""
    from ..convert.official import load_official
    from ..sola import load_adapter

    made = cast("Adapter", load_official(path, "sola")) if path.is_file() else load_adapter(path)
    made.check(source)
    return made


def _train(
    part: Mapping[str, Features], home: Path, options: SolaOptions, training: SolaTraining, resume: bool, device: str
) -> SoLa:
    """Train, and tell what it did to the features: a falling loss alone says nothing."""
    from ..sola import target_cosine, train_adapter
    from ..sola.monitor import effect
    from .terminal import say

    sola = train_adapter(part, home, options, training, resume=resume, device=device)
    found, far = effect(sola, part), options.size - 1
    seconds = far * options.step * next(iter(part.values())).time.step
    wanted = float(target_cosine(seconds if options.distance == "seconds" else far, options))
    gate = float(sola.alpha.tanh())
    say(f"gate tanh α = {gate:+.3f} (0 is the identity), change / row = {found.norm_ratio:.2f}")
    if not math.isfinite(found.before):
        say(f"No video is longer than {seconds:.1f} s: too short to tell what became of similarity at that distance.")
        return sola
    before, after = found.before, found.after
    say(f"cosine of rows {seconds:.1f} s apart: {before:.2f} before, {after:.2f} after, {wanted:.2f} wanted")
    if after > before + 0.02 and after > wanted:
        say("Rows far apart became more alike: it smooths. Compare with --method moving-average.")
    return sola


def _two_streams(store: FeatureStore, motion: FeatureStore, out: Path, file_format: FileFormat) -> int:
    """Rows of both folders side by side."""
    from ..data.feature_write import write_features
    from ..progress import progress
    from ..sola import join_streams
    from ..sola.convert import target
    from .terminal import say

    missing = [name for name in store if name not in motion]
    if missing:
        problem = f"{len(missing)} of {len(store)} videos have no motion features, the first is {missing[0]!r}"
        raise FeatureError(problem, where=motion.folder, cure="extract both streams from the same videos")
    with progress("Joining", len(store)) as report:
        for name in store:
            joined = join_streams(store[name], motion[name])
            write_features(target(out, name, file_format), joined)
            report(1, name)
    say(f"{len(store)} videos, {joined.width} channels → {out}")
    return 0


def _training_part(store: FeatureStore, annotations: Annotations | None) -> FeatureStore:
    """Features of the videos that the labels mark for training; all without labels."""
    from ..data.training_part import training_part

    if annotations is None:
        return store
    part = store.part(training_part(annotations, None).videos)
    if not part:
        cure = "check the names and the split"
        raise FeatureError("no features of the training videos", where=annotations.source, cure=cure)
    return part
