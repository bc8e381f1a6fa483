"""Fine-tuning, and linear probes through the encoder: each stream trained on the labelled videos, then tested."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..clips.reader import ClipOptions, Clips
from ..coclr.classify import ClassifyOptions, ClassifyTask, Mode, average_logits, classify_video
from ..data.hold_out import carve_validation
from ..encoders.encoder import choose_device
from ..engine import LoopOptions, fit
from ..evaluate.clip_protocols import ClipOutcome, probability_outcomes
from ..evaluate.clip_split import ClipSplit
from ..progress import progress
from ..wording import plural

if TYPE_CHECKING:
    from ..coclr.window_features import WindowEncoder
    from .clip_sources import ClipSource
    from .probe_clips import ClipProbe

_ON_CPU = 10  # the published epochs are divided by it there, unless a number is given
_VALIDATIONS = 20  # per training, at most


Libraries = Mapping[ClipOptions, Clips]


def open_libraries(
    sources: Sequence[ClipSource], videos: Mapping[str, Path], asked: ClipProbe
) -> tuple[Libraries, dict[str, str]]:
    """The videos as clips, one library for all encoders that take the same; and the videos that fail, with why.

    Raises:
        VideoError: no video can be read.
    """
    encoders = [each for source in sources for each in source.encoders.values()]
    libraries: dict[ClipOptions, Clips] = {}
    failed: dict[str, str] = {}
    for options in dict.fromkeys(each.clips for each in encoders):
        streams = tuple(dict.fromkeys(each.spec.stream for each in encoders if each.clips == options))
        mark = hashlib.sha256(repr((options, streams)).encode()).hexdigest()[:8]
        cache = asked.cache / f"frames-{mark}" if asked.cache is not None else None
        clips = libraries[options] = Clips(videos, streams, options, cache=cache, flow_folder=asked.flow)
        clips.prepare(asked.workers)
        failed |= {name: clips.failed[path] for name, path in videos.items() if path in clips.failed}
    return libraries, failed


def trained_outcomes(
    source: ClipSource, folder: Path, libraries: Libraries, split: ClipSplit, asked: ClipProbe
) -> tuple[list[ClipOutcome], list[str]]:
    """Outcomes of the protocols that train on video, for one source; and what a reader must know of them.

    Args:
        folder: for the runs of this source.
        libraries: see :func:`open_libraries`; they hold all videos of the split.
    """
    outcomes, remarks = [], []
    for protocol in asked.training:
        options = _options(protocol, asked)
        probabilities, details = {}, {}
        for stream, encoder in source.encoders.items():
            clips, run = libraries[encoder.clips], folder / options.mode / stream
            probabilities[stream], details[stream] = _train_and_test(clips, encoder, split, options, run, asked)
        outcomes += probability_outcomes(protocol, probabilities, split, details)
        held = next(iter(details.values()))["validation_videos"]
        chosen = f"the best on {plural(held, 'training video')} held out" if held else "the last"
        remarks.append(f"{protocol}: {plural(options.all_epochs, 'epoch')} ({options.mode}), {chosen} counts")
    return outcomes, remarks


def _options(protocol: str, asked: ClipProbe) -> ClassifyOptions:
    given = asked.options
    mode: Mode = "linear" if protocol == "linear" else ("scratch" if given.from_scratch else "finetune")
    options = ClassifyOptions(mode, given.epochs, given.batch_size, given.dropout, seed=asked.seeds[0])
    if given.epochs is None and choose_device(asked.device).type == "cpu":
        return replace(options, epochs=options.all_epochs // _ON_CPU)
    return options


def _train_and_test(
    clips: Clips, encoder: WindowEncoder, split: ClipSplit, options: ClassifyOptions, run: Path, asked: ClipProbe
) -> tuple[list[np.ndarray], dict[str, Any]]:
    """Probabilities of the test videos [N, K], as a list of one; and what is known of the training."""
    place = {name: number for number, name in enumerate(clips.names)}
    labels = np.full(len(clips), -1)
    for names in (split.train, split.test):
        labels[[place[name] for name in names]] = split.numbers(names)
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
