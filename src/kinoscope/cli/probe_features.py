"""``kinoscope probe-features``: do features tell action from background, and do adapted ones do it better?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from ..errors import AnnotationError, FeatureError, OptionError

if TYPE_CHECKING:
    from ..data.feature_store import FeatureStore
    from ..data.segments import Annotations
    from ..evaluate import ProbeSplit

Probe = TypeVar("Probe")

EXAMPLES = """\
  kinoscope probe-features feats/ sola/ --gt labels.csv
  kinoscope probe-features feats/ sola/ average/ --gt labels.csv --near 0.5 --seeds 0,1,2 -o probe.json
  kinoscope probe-features i3d_npy/ --gt hacs.json --protocol official --fps 30 --stride 16 --clip-length 16
"""
SHORT = {"output": "-o"}


def run(
    features: list[Path],
    *,
    gt: Path,
    protocol: Literal["boundary", "official"] = "boundary",
    near: float = 1.0,
    normalise: bool = True,
    chunk: int = 100,
    seeds: str = "0",
    bootstrap: int = 2000,
    output: Path | None = None,
    json: bool = False,
    fps: float | None = None,
    stride: float | None = None,
    clip_length: float | None = None,
) -> int:
    """Train a linear classifier of action against background on frozen features, and score it on other videos.

    A snippet is action if its centre lies inside an annotated segment. The boundary protocol counts every snippet:
    class-balanced accuracy and area under the ROC curve (AUC), over all snippets and over those near a boundary
    (JSON also holds the others, as far), with 95 % intervals over the test videos. Each further folder is compared
    with the first on the same draws of videos. The official protocol is the one that SoLa was published with.

    Args:
        features: Folders of features; the first is what the others are compared with. Their widths may differ.
        gt: Ground truth: ActivityNet JSON, or CSV (video,start,end,label[,split]). Without a split, videos are split
            70 to 30.
        protocol: boundary, or official.
        near: Seconds from the start or end of a segment that are near a boundary.
        normalise: Scale rows to length 1 first; the official protocol always does.
        chunk: Of the official protocol: snippets of a class of which each epoch sees one.
        seeds: One or several, such as 0,1,2; scores are their means. They choose the part of the training videos on
            which regularisation is chosen; in the official protocol, everything random.
        bootstrap: Replicates of the intervals over videos; 0 leaves them out.
        output: Write everything as JSON.
        json: Print everything as JSON.
        fps: Of .npy files: sampled frames per second.
        stride: Of .npy files: sampled frames between rows.
        clip_length: Of .npy files: sampled frames that a row saw.
    """
    from ..data.annotations import read_annotations
    from ..data.feature_store import FeatureStore
    from ..evaluate import BoundaryProbeOptions, boundary_probe, official_probe
    from ..files import write_json
    from .outputs import check_writable
    from .probe_tables import boundary_results, show_boundary, show_official
    from .terminal import note, print_json
    from .times import feature_time

    numbers = _seeds(seeds)
    options = BoundaryProbeOptions(near=near, normalise=normalise)
    if bootstrap < 0:
        raise OptionError(f"--bootstrap is {bootstrap}, but must be 0 or more", cure="0 leaves the intervals out")
    check_writable([output])
    annotations = read_annotations(gt, on_flaw="keep")  # published ground truth has flaws, and the labels survive them
    time = feature_time(fps, stride, clip_length)
    stores = [FeatureStore(folder, time, annotations.file_names()) for folder in features]
    split, remarks = _same_videos(stores, annotations)
    train, test = split.train, split.test
    if protocol == "official":
        official = _each(
            stores,
            lambda store: official_probe(store, annotations, train=train, test=test, seed=numbers, chunk=chunk),
        )
        results = [each.to_dict() for each in official]
    else:
        probes = _each(
            stores,
            lambda store: boundary_probe(store, annotations, train=train, test=test, seed=numbers, options=options),
        )
        results = boundary_results(probes, bootstrap)
    named = [{"features": str(folder), **result} for folder, result in zip(features, results, strict=True)]
    remarks += _odd_features(named)
    everything = {"split": split.rule, "remarks": remarks, "results": named}
    if output is not None:
        write_json(output, everything)
    if json:
        print_json(everything)
    elif protocol == "official":
        show_official(named)
    else:
        show_boundary(named)
    for remark in remarks:
        note(f"- {remark}")
    return 0


def _seeds(text: str) -> list[int]:
    words = text.replace(",", " ").split()
    if not words or not all(word.isdecimal() for word in words):
        raise OptionError(f"--seeds is {text!r}, but must be whole numbers of at least 0", cure="such as --seeds 0,1,2")
    return [int(word) for word in words]


def _same_videos(stores: Sequence[FeatureStore], annotations: Annotations) -> tuple[ProbeSplit, list[str]]:
    """The split of the videos that every folder has, and what a reader should know of the choice."""
    from ..evaluate import split_videos
    from ..evaluate.reasons import flaw_reasons, plural
    from ..evaluate.snippets import shared_videos

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
    from ..evaluate.reasons import plural

    remarks = []
    for result in results:
        if result["late_segments"]:
            late = plural(result["late_segments"], "segment")
            remarks.append(f"{result['features']}: {late} beyond the end of the video; is the time of the rows right?")
        if result["zero_rows"]:
            remarks.append(f"{result['features']}: {plural(result['zero_rows'], 'row')} of zeros, which say nothing")
    return remarks
