"""``kinoscope probe-features --gt``: do features tell action from background, and do adapted ones do it better?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import AnnotationError, FeatureError, OptionError

if TYPE_CHECKING:
    from ..data.feature_store import FeatureStore
    from ..data.features import FeatureTime
    from ..data.segments import Annotations
    from ..evaluate import BoundaryProbeOptions, ProbeSplit

MOMENT_PROTOCOLS = ("boundary", "official")

Probe = TypeVar("Probe")


def moment_protocol(protocol: str | None) -> str:
    """The protocol that was asked for, if it goes with --gt. Raises :class:`OptionError` for another."""
    if protocol is None or protocol in MOMENT_PROTOCOLS:
        return protocol or "boundary"
    cure = f"with --gt choose {' or '.join(MOMENT_PROTOCOLS)}; linear, knn, retrieval and finetune go with --data"
    raise OptionError(f"--protocol is {protocol!r}", cure=cure)


def probe_moments(
    features: Sequence[Path],
    gt: Path,
    protocol: str,
    options: BoundaryProbeOptions,
    chunk: int,
    seeds: list[int],
    bootstrap: int,
    time: FeatureTime | None,
) -> dict[str, Any]:
    """Action against background, by the boundary or the official protocol."""
    from ..data.annotations import read_annotations
    from ..data.feature_store import FeatureStore
    from ..evaluate import boundary_probe, official_probe
    from .probe_tables import boundary_results

    annotations = read_annotations(gt, on_flaw="keep")  # published ground truth has flaws, and the labels survive them
    stores = [FeatureStore(folder, time, annotations.file_names()) for folder in features]
    split, remarks = _same_videos(stores, annotations)
    train, test = split.train, split.test
    if protocol == "official":
        official = _each(
            stores,
            lambda store: official_probe(store, annotations, train=train, test=test, seed=seeds, chunk=chunk),
        )
        results = [each.to_dict() for each in official]
    else:
        probes = _each(
            stores,
            lambda store: boundary_probe(store, annotations, train=train, test=test, seed=seeds, options=options),
        )
        results = boundary_results(probes, bootstrap)
    named = [{"features": str(folder), **result} for folder, result in zip(features, results, strict=True)]
    return {"split": split.rule, "remarks": remarks + _odd_features(named), "results": named}


def show_moments(everything: Mapping[str, Any]) -> None:
    """The table of either protocol."""
    from .probe_tables import show_boundary, show_official

    results = everything["results"]
    (show_official if results[0]["protocol"] == "official" else show_boundary)(results)


def _same_videos(stores: Sequence[FeatureStore], annotations: Annotations) -> tuple[ProbeSplit, list[str]]:
    """The split of the videos that every folder has, and what a reader should know of the choice."""
    from ..evaluate import split_videos
    from ..evaluate.reasons import flaw_reasons
    from ..evaluate.snippets import shared_videos
    from ..wording import plural

    shared, others = shared_videos(stores, annotations)
    everywhere = "in every folder" if len(stores) > 1 else "in the folder"
    if not shared:
        cure = "check that the names of videos and of feature files agree"
        raise FeatureError(f"no annotated video has features {everywhere}", where=annotations.source, cure=cure)
    split = split_videos(annotations, shared)
    remarks = [split.rule]
    if others:
        names = ", ".join(map(repr, others[:5])) + (f" and {len(others) - 5} more" if len(others) > 5 else "")
        remarks.append(f"left out, not {everywhere}: {plural(len(others), 'annotated video')}: {names}")
    return split, [*remarks, *(reason.text for reason in flaw_reasons(annotations.flaws, "ground truth"))]


def _each(stores: Sequence[FeatureStore], probe: Callable[[FeatureStore], Probe]) -> list[Probe]:
    """One probe after the other, so that the rows of one folder alone are in memory."""
    from ..progress import progress

    probes = []
    with progress("Probing", len(stores), quiet=len(stores) < 2) as report:
        for store in stores:
            try:
                probes.append(probe(store))
            except (AnnotationError, FeatureError) as error:
                raise type(error)(error.problem, where=error.where or store.folder, cure=error.cure) from error
            report(1, str(store.folder))
    return probes


def _odd_features(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """What looks wrong in the features themselves."""
    from ..wording import plural

    remarks = []
    for result in results:
        if result["late_segments"]:
            late = plural(result["late_segments"], "segment")
            remarks.append(f"{result['features']}: {late} beyond the end of the video; is the time of the rows right?")
        if result["zero_rows"]:
            remarks.append(f"{result['features']}: {plural(result['zero_rows'], 'row')} of zeros, which say nothing")
    return remarks
