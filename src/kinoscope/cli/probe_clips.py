"""``kinoscope probe-features --data``: how well encoders tell labelled videos apart, by protocol."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import FeatureError, KinoscopeError, OptionError
from .clip_probe_options import ClipProbeOptions, whole_numbers

if TYPE_CHECKING:
    from ..data.features import FeatureTime
    from ..data.segments import Annotations
    from ..evaluate.clip_protocols import ClipOutcome, Parts
    from ..evaluate.clip_split import ClipSplit
    from .clip_sources import ClipSource, Extracted, VideoFeatures
    from .probe_clips_train import Libraries

CLIP_PROTOCOLS = ("linear", "knn", "retrieval", "finetune")
_USUAL = "linear,knn,retrieval"


@dataclass(frozen=True)
class ClipProbe:
    """Everything that was asked for."""

    data: Path
    """Labels of whole videos."""
    options: ClipProbeOptions
    protocols: tuple[str, ...]
    seeds: tuple[int, ...]
    bootstrap: int
    videos: Path | None
    """Their folder; none: where the labels are."""
    flow: Path | None
    cache: Path | None
    out: Path | None
    resume: bool
    workers: int
    device: str
    time: FeatureTime | None
    """Of ``.npy`` features."""

    @property
    def training(self) -> tuple[str, ...]:
        """Protocols that train networks on video."""
        deep = ["finetune"] if "finetune" in self.protocols else []
        linear = ["linear"] if "linear" in self.protocols and self.options.linear == "end-to-end" else []
        return (*linear, *deep)

    @property
    def stored(self) -> tuple[str, ...]:
        """Protocols on one feature per video."""
        return tuple(each for each in self.protocols if each not in self.training)


def clip_protocols(text: str | None) -> tuple[str, ...]:
    """The protocols in ``linear,knn``, in the order of the sheet. Raises :class:`OptionError` for another word."""
    words = (_USUAL if text is None else text).replace(",", " ").split()
    unknown = [word for word in words if word not in CLIP_PROTOCOLS]
    if unknown or not words:
        where = "with --gt" if unknown and unknown[0] in ("boundary", "official") else ""
        problem = f"--protocol {unknown[0]!r} goes {where}" if where else f"--protocol is {text!r}"
        raise OptionError(problem, cure=f"with --data choose among {', '.join(CLIP_PROTOCOLS)}")
    return tuple(each for each in CLIP_PROTOCOLS if each in words)


def probe_clips(paths: Sequence[Path], asked: ClipProbe) -> dict[str, Any]:
    """Score what ``paths`` name on the labelled videos; everything as plain values, as ``--json`` prints it."""
    from ..data.annotations import read_annotations
    from ..evaluate.clip_split import split_clips
    from .clip_sources import common_videos, find_clip_sources

    numbers = _numbers(asked)
    annotations = read_annotations(asked.data)
    split = split_clips(annotations, asked.seeds[0])
    sources = find_clip_sources(paths, asked.options.chosen_streams, asked.device)
    _check_training(asked, sources)
    videos = _videos(asked, annotations, sources, split)
    libraries, found = _prepared(sources, videos, split, annotations, asked)
    split, left_out = common_videos(found, split)
    remarks = [split.rule, *split.remarks, *left_out, *_few_videos(split, asked, numbers)]
    scored: list[list[ClipOutcome]] = []
    for source, features in zip(sources, found.features, strict=True):
        outcomes, told = _stored_outcomes(source.name, features, split, asked, numbers) if features else ([], [])
        scored.append(outcomes)
        remarks += told
    if asked.stored and not asked.training and not any(scored):
        raise FeatureError("; ".join(remarks[-len(sources) :]), cure="train the encoder anew, or check the features")
    for number, source in enumerate(sources if asked.training else ()):
        from .probe_clips_train import trained_outcomes

        assert asked.out is not None
        name = Path(source.name).resolve().name
        folder = asked.out / (name if len(sources) == 1 else f"{number}-{name}")
        outcomes, told = trained_outcomes(source, folder, libraries, split, asked)
        scored[number] += outcomes
        remarks += told
    return {
        "protocols": list(asked.protocols),
        "data": str(asked.data),
        "split": split.rule,
        "videos": {"train": len(split.train), "test": len(split.test)},
        "classes": list(split.classes),
        "seeds": list(asked.seeds),
        "remarks": list(dict.fromkeys(remarks)),
        "failed": found.failed,
        "results": _results(sources, scored, asked),
    }


def _prepared(
    sources: Sequence[ClipSource],
    videos: Mapping[str, Path],
    split: ClipSplit,
    annotations: Annotations,
    asked: ClipProbe,
) -> tuple[Libraries, Extracted]:
    """What the protocols need: clips to train on, features, or both; with the videos that fail."""
    from .clip_sources import Extracted, extract_all

    libraries: Libraries = {}
    failed: dict[str, str] = {}
    if asked.training:
        from .probe_clips_train import open_libraries

        libraries, failed = open_libraries(sources, videos, asked)
    if not asked.stored:
        return libraries, Extracted([{} for _ in sources], failed)
    found = extract_all(
        sources,
        {name: path for name, path in videos.items() if name not in failed},
        list(split.labels),
        annotations.file_names(),
        cache=asked.cache,
        flow_folder=asked.flow,
        workers=asked.workers,
        device=asked.device,
        time=asked.time,
    )
    return libraries, Extracted(found.features, {**failed, **found.failed})


def _numbers(asked: ClipProbe) -> dict[str, list[int]]:
    options = asked.options
    return {
        "retrieval": whole_numbers("--ks", options.ks, 1),
        "knn": whole_numbers("--neighbours", options.neighbours, 1),
    }


def _check_training(asked: ClipProbe, sources: Sequence[ClipSource]) -> None:
    """Refuse before long work what could not be trained after it."""
    if not asked.training:
        unused = [each for each in ("out", "resume") if getattr(asked, each)]
        unused += [
            each[2:] for each in asked.options.changed if each in ("--epochs", "--from-scratch", "--crops", "--dropout")
        ]
        if unused:
            problem = f"--{unused[0]} is for protocols that train on video, and none is asked for"
            raise OptionError(problem, cure="add --protocol finetune, or --linear end-to-end, or leave it out")
        return
    what = "finetune" if "finetune" in asked.training else "linear end-to-end"
    if asked.out is None:
        raise OptionError(f"{what} trains networks: it needs a folder for them", cure="add --out runs/probe")
    if source := next((each for each in sources if not each.encoders), None):
        kind = "an encoder of the catalogue" if source.catalogue else "a folder of features"
        problem = f"is {kind}, which {what} cannot train"
        raise OptionError(problem, where=source.name, cure="give an encoder of `kinoscope pretrain`, or choose knn")


def _videos(
    asked: ClipProbe, annotations: Annotations, sources: Sequence[ClipSource], split: ClipSplit
) -> dict[str, Path]:
    """Files of the labelled videos; none where only stored features are looked at."""
    from ..data.annotations_videos import resolve_videos
    from ..data.segments import Annotations

    if not any(source.encoders or source.catalogue for source in sources):
        return {}
    labelled = {name: annotations.videos[name] for name in sorted(split.labels)}
    return resolve_videos(Annotations(labelled, annotations.source), asked.videos or asked.data.parent)


def _few_videos(split: ClipSplit, asked: ClipProbe, numbers: Mapping[str, list[int]]) -> list[str]:
    most = max((max(numbers[each]) for each in asked.stored if each in numbers), default=0)
    if most <= len(split.train):
        return []
    return [f"there are {len(split.train)} training videos: a larger k, such as {most}, takes all of them"]


def _stored_outcomes(
    source: str, features: VideoFeatures, split: ClipSplit, asked: ClipProbe, numbers: Mapping[str, list[int]]
) -> tuple[list[ClipOutcome], list[str]]:
    """Outcomes of the protocols on one feature per video, for one source; and which could not be had, and why."""
    from ..evaluate.clip_protocols import knn_outcomes, linear_outcomes, retrieval_outcomes
    from ..evaluate.linear_probe import LinearProbeOptions, fits_of
    from ..progress import progress

    streams = {stream: _parts(rows, split) for stream, rows in features.items()}

    def linear() -> list[ClipOutcome]:
        options = LinearProbeOptions(official=asked.options.official)
        with progress("Linear probe", len(streams) * len(asked.seeds) * fits_of(options)) as report:
            return linear_outcomes(streams, split, options, asked.seeds, report=lambda: report(1))

    protocols: dict[str, Callable[[], list[ClipOutcome]]] = {
        "linear": linear,
        "knn": lambda: knn_outcomes(streams, split, numbers["knn"]),
        "retrieval": lambda: retrieval_outcomes(streams, split, numbers["retrieval"]),
    }
    outcomes: list[ClipOutcome] = []
    remarks: list[str] = []
    for name in (each for each in protocols if each in asked.stored):
        try:
            outcomes += protocols[name]()
        except FeatureError as error:  # of this encoder; the others can still be compared
            remarks.append(f"{source}, {name}: {error.problem}; {error.cure}")
    return outcomes, remarks


def _parts(rows: Mapping[str, Any], split: ClipSplit) -> Parts:
    import numpy as np

    from ..evaluate.clip_protocols import Parts

    return Parts(np.stack([rows[name] for name in split.train]), np.stack([rows[name] for name in split.test]))


def _results(
    sources: Sequence[ClipSource], scored: Sequence[Sequence[ClipOutcome]], asked: ClipProbe
) -> list[dict[str, Any]]:
    """Each outcome with its intervals and its differences from the first of its protocol."""
    from ..evaluate.clip_scores import hit_difference, hit_interval

    wanted, results = asked.options.chosen_streams, []
    first: dict[str, ClipOutcome] = {}
    for protocol in asked.protocols:
        for source, outcomes in zip(sources, scored, strict=True):
            for outcome in outcomes:
                if outcome.protocol != protocol or (wanted is not None and outcome.stream not in wanted):
                    continue
                result: dict[str, Any] = {"source": source.name, "protocol": protocol, "stream": outcome.stream}
                result["measures"] = {name: float(hits.mean()) for name, hits in outcome.hits.items()}
                reference = first.setdefault(protocol, outcome)
                if asked.bootstrap:
                    result["intervals"] = {n: list(hit_interval(h, asked.bootstrap)) for n, h in outcome.hits.items()}
                if asked.bootstrap and reference is not outcome:
                    result["minus_first"] = {
                        name: list(hit_difference(hits, reference.hits[name], asked.bootstrap))
                        for name, hits in outcome.hits.items()
                    }
                results.append({**result, **outcome.detail})
    if not results:
        raise KinoscopeError("nothing was scored", cure="check --protocol and --streams")
    return results
