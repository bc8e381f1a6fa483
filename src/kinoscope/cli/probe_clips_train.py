"""Fine-tuning, and linear probes through the encoder: each stream trained on the labelled videos, then tested."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..coclr.classify import ClassifyOptions, ClassifyTask, Mode, average_logits, classify_video
from ..coclr.clips import ClipOptions, Clips
from ..encoders.encoder import choose_device
from ..engine import LoopOptions, fit
from ..evaluate.clip_protocols import ClipOutcome, probability_outcomes
from ..evaluate.clip_split import ClipSplit, carve_validation
from ..evaluate.reasons import plural
from ..progress import progress

if TYPE_CHECKING:
    from ..coclr.window_features import WindowEncoder
    from .clip_sources import ClipSource
    from .probe_clips import ClipProbe

_ON_CPU = 10  # the published epochs are divided by it there, unless a number is given
_VALIDATIONS = 20  # per training, at most


def trained_outcomes(
    source: ClipSource, number: int, sources: int, videos: Mapping[str, Path], split: ClipSplit, asked: ClipProbe
) -> tuple[list[ClipOutcome], list[str]]:
    """Outcomes of the protocols that train on video, for one source; and what a reader must know of them."""
    assert asked.out is not None
    folder = asked.out / (Path(source.name).name if sources == 1 else f"{number}-{Path(source.name).name}")
    wanted = {name: videos[name] for name in (*split.train, *split.test)}
    outcomes, remarks = [], []
    for protocol in asked.training:
        options = _options(protocol, asked)
        probabilities, details = {}, {}
        for stream, encoder in source.encoders.items():
            clips = _clips(encoder.clips, wanted, source, asked)
            run = folder / options.mode / stream
            probabilities[stream], details[stream] = _train_and_test(clips, encoder, split, options, run, asked)
        outcomes += probability_outcomes(protocol, probabilities, split, details)
        held = next(iter(details.values()))["validation_videos"]
        chosen = f"the best on {plural(held, 'training video')} held out" if held else "the last"
        remarks.append(f"{protocol}: {plural(options.all_epochs, 'epoch')} ({options.mode}), {chosen} counts")
    return outcomes, remarks


def _options(protocol: str, asked: ClipProbe) -> ClassifyOptions:
    given = asked.options
    mode: Mode = "linear" if protocol == "linear" else ("scratch" if given.from_scratch else "finetune")
    options = ClassifyOptions(mode, given.epochs, given.batch_size, seed=asked.seeds[0])
    if given.epochs is None and choose_device(asked.device).type == "cpu":
        return ClassifyOptions(mode, options.all_epochs // _ON_CPU, given.batch_size, seed=asked.seeds[0])
    return options


def _clips(options: ClipOptions, videos: Mapping[str, Path], source: ClipSource, asked: ClipProbe) -> Clips:
    """A library of the videos in the streams that share these clips, so that one cache serves them."""
    streams = tuple(each.spec.stream for each in source.encoders.values() if each.clips == options)
    cache = asked.cache / "frames" if asked.cache is not None else None
    clips = Clips(videos, streams, options, cache=cache, flow_folder=asked.flow)
    clips.prepare(asked.workers)
    return clips


def _train_and_test(
    clips: Clips, encoder: WindowEncoder, split: ClipSplit, options: ClassifyOptions, run: Path, asked: ClipProbe
) -> tuple[list[np.ndarray], dict[str, Any]]:
    """Probabilities of the test videos [N, K], as a list of one; and what is known of the training."""
    place = {name: number for number, name in enumerate(clips.names)}
    labels = split.numbers(clips.names)
    learn, held = carve_validation(split.numbers(split.train), asked.options.validation, options.seed)
    train, validation = ([place[split.train[number]] for number in part] for part in (learn, held))
    task = ClassifyTask(clips, labels, len(split.classes), encoder, options, train=train, validation=validation)
    epochs = options.all_epochs
    loop = LoopOptions(
        epochs=epochs,
        batch_size=min(options.batch_size, len(train)),
        seed=options.seed,
        workers=asked.workers,
        validate_every=max(1, epochs // _VALIDATIONS),
        accelerator=asked.device,
    )
    title = f"{options.mode}, {encoder.spec.stream}"
    metrics = fit(task, run, loop, resume=asked.resume, settings=task.settings(), title=title)
    network, rows = task.answer, []
    with progress(f"Testing {title}", len(split.test)) as report:
        for name in split.test:
            crops = asked.options.crops
            rows.append(average_logits(classify_video(network, clips, place[name], encoder.spec.stream, crops)))
            report(1, name)
    best = float(task.best.score) if held.size else None
    detail = {
        "mode": options.mode,
        "epochs": epochs,
        "crops": asked.options.crops,
        "run": str(run),
        "validation_videos": int(held.size),
        "validation_accuracy": best,
        "last_epoch": dict(metrics),
    }
    return [np.stack(rows)], detail
