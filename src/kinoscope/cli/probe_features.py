"""``kinoscope probe-features``: what do features know? Of whole videos (``--data``), or of moments (``--gt``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import OptionError
from .clip_probe_options import DEFAULTS, ClipProbeOptions

EXAMPLES = """\
  kinoscope probe-features runs/coclr --data labels.csv
  kinoscope probe-features runs/coclr runs/rgb i3d-k400 --data labels.csv --protocol retrieval,knn
  kinoscope probe-features runs/coclr --data labels.csv --protocol finetune --epochs 50 --out runs/finetuned
  kinoscope probe-features feats/ sola/ --gt labels.csv
  kinoscope probe-features feats/ sola/ average/ --gt labels.csv --near 0.5 --seeds 0,1,2 -o probe.json
  kinoscope probe-features i3d_npy/ --gt hacs.json --protocol official --fps 30 --stride 16 --clip-length 16
"""
SHORT = {"output": "-o"}


def run(
    features: list[Path],
    *,
    data: Path | None = None,
    gt: Path | None = None,
    protocol: str | None = None,
    clips: ClipProbeOptions = DEFAULTS,
    videos: Path | None = None,
    flow: Path | None = None,
    cache: Path | None = None,
    out: Path | None = None,
    resume: bool = False,
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
    workers: int = 0,
    device: str = "auto",
) -> int:
    """Measure what frozen features know: the classes of whole videos (--data), or action against background (--gt).

    With --data, encoders (or features) are scored on labelled videos by linear probe, nearest neighbours and retrieval;
    finetune trains the encoder itself. A run of co-training is scored by each stream and by both fused. Nothing is
    chosen on test videos.

    With --gt, a linear classifier of action against background is trained on features and scored on other videos. A
    snippet is action if its centre lies inside an annotated segment. The boundary protocol counts every snippet:
    class-balanced accuracy and area under the ROC curve (AUC), over all snippets and over those near a boundary
    (JSON also holds the others, as far). The official protocol is the one that SoLa was published with.

    Scores have 95 % intervals over the test videos; each further row is compared with the first on the same draws.

    Args:
        features: Folders of `kinoscope pretrain`, names of encoders such as i3d-k400, or folders of features (with --gt
            only these); the first is what the others are compared with. Their widths may differ.
        data: Labels of whole videos: CSV (video,label[,split]) or ActivityNet JSON with one label per video. Without a
            split, 30 % of each class are drawn for the test.
        gt: Labels of segments: ActivityNet JSON, or CSV (video,start,end,label[,split]). Without a split, videos are
            split 70 to 30.
        protocol: With --data one or several of linear,knn,retrieval,finetune (all but the last if not given); with --gt
            boundary or official.
        videos: Folder of the videos of --data, if not where the labels are.
        flow: Folder that `kinoscope flow` wrote; without it flow is computed.
        cache: Folder for features of windows and, in training, decoded frames; used again by later commands.
        out: Folder for what finetune and linear end-to-end train.
        resume: Continue what an interrupted command trained in --out.
        near: Of boundary: seconds from the start or end of a segment that are near a boundary.
        normalise: Of boundary: scale rows to length 1 first; the official protocol always does.
        chunk: Of official: snippets of a class of which each epoch sees one.
        seeds: One or several, such as 0,1,2; scores are their means. They choose the part of the training videos on
            which regularisation is chosen; in the official protocol, everything random. Splits that are drawn, and
            training on video, take the first.
        bootstrap: Replicates of the intervals over videos; 0 leaves them out.
        output: Write everything as JSON: also answers by video, by class, confusions and nearest videos.
        json: Print everything as JSON.
        fps: Of .npy files: sampled frames per second.
        stride: Of .npy files: sampled frames between rows.
        clip_length: Of .npy files: sampled frames that a row saw.
        workers: Processes that decode.
        device: cpu, cuda, ...; auto takes a GPU if there is one. With --data.
    """
    from ..evaluate import BoundaryProbeOptions
    from ..files import write_json
    from .outputs import check_writable
    from .terminal import note, print_json
    from .times import feature_time

    numbers = _seeds(seeds)
    if bootstrap < 0:
        raise OptionError(f"--bootstrap is {bootstrap}, but must be 0 or more", cure="0 leaves the intervals out")
    check_writable([output])
    time = feature_time(fps, stride, clip_length)
    of_clips = {"--videos": videos, "--flow": flow, "--cache": cache, "--out": out, "--resume": resume}
    if _is_of_clips(data, gt, clips, of_clips, _changed(near, normalise, chunk)):
        from .probe_clips import ClipProbe, clip_protocols, probe_clips
        from .probe_clips_tables import show_clips

        assert data is not None
        everything = probe_clips(
            features,
            ClipProbe(
                data,
                clips,
                clip_protocols(protocol),
                tuple(numbers),
                bootstrap,
                videos=videos,
                flow=flow,
                cache=cache,
                out=out,
                resume=resume,
                workers=workers,
                device=device,
                time=time,
            ),
        )
    else:
        from .probe_moments import moment_protocol, probe_moments, show_moments

        assert gt is not None
        options = BoundaryProbeOptions(near=near, normalise=normalise)
        everything = probe_moments(features, gt, moment_protocol(protocol), options, chunk, numbers, bootstrap, time)
    if output is not None:
        write_json(output, everything)
    if json:
        print_json(everything)
    elif data is not None:
        show_clips(everything)
    else:
        show_moments(everything)
    for remark in everything["remarks"]:
        note(f"- {remark}")
    return 0


def _is_of_clips(
    data: Path | None, gt: Path | None, clips: ClipProbeOptions, of_clips: Mapping[str, Any], of_moments: Sequence[str]
) -> bool:
    """Which of the two doors was taken. Raises :class:`OptionError` for both, neither, or an option of the other."""
    if data is None and gt is None:
        raise OptionError("no labels are given", cure="add --data (labels of videos) or --gt (labels of segments)")
    if data is not None and gt is not None:
        raise OptionError("--data and --gt are both given", cure="give one: labels of videos, or labels of segments")
    given = [name for name, value in of_clips.items() if value]
    wrong, door = (list(of_moments), "--gt") if data is not None else ([*clips.changed, *given], "--data")
    if wrong:
        raise OptionError(f"{wrong[0]} goes with {door}", cure="leave it out, or give the other kind of labels")
    return data is not None


def _changed(near: float, normalise: bool, chunk: int) -> list[str]:
    """Options of the protocols on moments that were given."""
    changed = {"--near": near != 1.0, "--no-normalise": not normalise, "--chunk": chunk != 100}
    return [name for name, is_changed in changed.items() if is_changed]


def _seeds(text: str) -> list[int]:
    words = text.replace(",", " ").split()
    if not words or not all(word.isdecimal() for word in words):
        raise OptionError(f"--seeds is {text!r}, but must be whole numbers of at least 0", cure="such as --seeds 0,1,2")
    return [int(word) for word in words]
