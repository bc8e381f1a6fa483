"""Training a localisation head on features: one call that does it all, with SoLa before the head or inside it.

Not supported: external class scores, more than one feature file per video.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ..data.feature_store import FeatureStore
from ..data.features import Features
from ..data.segments import Annotations, Segment
from ..data.training_part import training_part
from ..engine import LoopOptions, fit
from ..sola.adapter import refuse_adapted
from ..sola.options import SolaOptions
from ..wording import plural
from .end_to_end import EndToEnd, EndToEndTask
from .joint import JointTask
from .localizer import Localizer
from .options import DecodeOptions
from .task import LocalizeTask, Validation
from .train_options import LocalizeTrainOptions, SolaMode, check_sola
from .training_data import TrainingData, check_within, read_training_data
from .two_stage import adapt_first

Look = Callable[[Mapping[str, Sequence[Segment]]], None]
"""Is shown the predictions of a validation, by video name."""


def train_localizer(
    annotations: Annotations,
    features: Mapping[str, Features] | str | Path,
    out: str | Path,
    options: LocalizeTrainOptions | None = None,
    *,
    sola: SolaMode = "none",
    sola_options: SolaOptions = SolaOptions(),
    sola_weight: float = 1.0,
    end_to_end: EndToEnd | None = None,
    decoding: DecodeOptions | None = None,
    train_subset: str | None = None,
    validation_subset: str | None = None,
    protocol: str = "own",
    resume: bool = False,
    workers: int = 0,
    accelerator: str = "auto",
    early: Look | None = None,
) -> tuple[Localizer, dict[str, float]]:
    """Train a head on annotated features and leave the model and the run's records in ``out``.

    Without ``train_subset`` the videos marked ``train`` (or ``training``) are used, or all if none is marked. Those
    marked ``test``, else ``validation``, are scored now and then; nothing is chosen by that score: the model is always
    the average of the weights after the last update.

    Args:
        annotations: segments in seconds.
        features: by video name, or the folder that ``kinoscope extract`` wrote.
        out: the run's folder.
        sola: two-stage: an adapter is trained on the training videos, then the head on adapted features. joint: adapter
            and head are trained together, by the sum of both losses; unified: by the head's loss alone. The adapter is
            left in ``out/adapter`` (see ``kinoscope.sola.load_adapter``), and the model takes adapted features.
        sola_options: of the adapter.
        sola_weight: of Similarity Matching in the sum of joint training.
        end_to_end: the encoder of ``features`` in two parts, whose last blocks are trained with the head. The trained
            encoder is left in ``out/encoder``, and the model takes its features.
        protocol: how validation is scored, see ``kinoscope.evaluate``.
        resume: continue the run in ``out``.
        early: called with the predictions of each validation, by video name.

    Returns:
        The model, and the scores of the last validation (``average_map``; empty without validation videos).

    Raises:
        AnnotationError, FeatureError, OptionError: what cannot be trained on, with the cure.
        OutputError: ``out`` cannot be written, or already holds a run.
    """
    from ..evaluate import get_protocol  # as in the measure below: only validation needs the evaluator

    get_protocol(protocol)  # a wrong name is told before hours of training, not after
    check_sola(sola, sola_options, sola_weight, end_to_end=end_to_end is not None)
    options = options or LocalizeTrainOptions()
    features = FeatureStore(features) if isinstance(features, (str, Path)) else features
    features = features.mapped() if isinstance(features, FeatureStore) else features  # only crops are read
    data = read_training_data(training_part(annotations, train_subset), features)
    validation = _validation(annotations, features, data, validation_subset, protocol, early)
    if sola != "none" or end_to_end is not None:
        refuse_adapted(data.features[data.videos[0].name])
    if sola == "two-stage":
        data = adapt_first(data, out, sola_options, seed=options.seed, resume=resume, accelerator=accelerator)
        validation = validation and replace(validation, features=data.features)
    task = LocalizeTask(data, options, decoding=decoding, validation=validation)
    if end_to_end is not None:
        task = EndToEndTask(data, options, end_to_end, decoding=decoding, validation=validation)
    if sola in ("joint", "unified"):
        weight = sola_weight if sola == "joint" else 0.0
        task = JointTask(data, options, sola_options, weight, decoding=decoding, validation=validation)
    loop = LoopOptions(
        epochs=options.epochs,
        batch_size=options.batch_size,
        seed=options.seed,
        workers=workers,
        clip_gradients=options.clip_gradients or None,
        validate_every=options.validate_every,
        accelerator=accelerator,
    )
    metrics = fit(task, out, loop, resume=resume, settings=task.settings(), title="Training the localiser")
    return task.save(Path(out)), metrics


def _validation(
    annotations: Annotations,
    features: Mapping[str, Features],
    data: TrainingData,
    subset: str | None,
    protocol: str,
    early: Look | None,
) -> Validation | None:
    """The held-out videos that have features, and the measure; none if there are no such videos."""
    trained = {video.name for video in data.videos}
    wanted = [subset] if subset else ["test", "testing", "validation", "val", "valid"]
    parts = (annotations.subset(name).videos for name in wanted)
    held_out = next((part for part in parts if part), {})
    # Videos without features stay in the truth: their segments count as missed.
    truth = Annotations({name: video for name, video in held_out.items() if name not in trained}, annotations.source)
    names = [name for name in truth.videos if name in features]
    if not names or not any(video.segments for video in truth.videos.values()):
        return None
    shown = {segment.label for video in truth.videos.values() for segment in video.segments}
    unseen = sorted(shown - {*data.classes})
    if unseen:
        problem = f"{plural(len(unseen), 'label')} of the validation videos, first {unseen[0]!r}, no training video has"
        warnings.warn(f"{problem}: the mAP counts 0 for each; is it misspelt?", stacklevel=3)
    for name in names:
        check_within(truth, name, features[name])
        data.spec.check(features[name], name)  # before hours of training, not after

    def measure(predictions: Mapping[str, Sequence[Segment]]) -> dict[str, float]:
        from ..evaluate import evaluate_detection  # only validation needs the evaluator

        if early is not None:
            early(predictions)
        result = evaluate_detection(predictions, truth, protocol, subset="all")
        return {"average_map": result.average_map}

    return Validation(features, names, measure)
