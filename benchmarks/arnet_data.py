"""Videos on which AR-Net and its baselines are compared: real ones, long ones made of real ones, and made ones."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from kinoscope.arnet.options import ArNetOptions
from kinoscope.data.clip_parts import Parts, folds, training_clips
from kinoscope.data.labelled_clips import LabelledClip, LabelledClips
from kinoscope.data.playground import PlaygroundOptions, make_playground
from kinoscope.video import open_video

INTERACTIONS = ("shake-hands", "hug", "kick", "point", "punch", "push")
DATASETS = ("details", "people", "falls", "needle")
FOLDS = 4
_JOINED, _FPS, _SIZE = 8, 15, (240, 320)
_STRETCH = 4.0  # seconds of each
_PLAYGROUND = PlaygroundOptions(
    clips_per_class=0, orders_per_class=0, details_per_class=40, untrimmed_videos=0, large_print=True
)

OPTIONS: dict[str, ArNetOptions] = {
    "details": ArNetOptions(hidden=128, crop=1.0),
    "people": ArNetOptions(hidden=128),
    "falls": ArNetOptions(hidden=128),
    "needle": ArNetOptions(hidden=128),
}
"""The detail of the playground is legible in frames that are not scaled."""


def parts_of(name: str, seed: int, data: Path, cache: Path) -> Parts:
    """The parts of a data set; every seed tests other recordings.

    Args:
        cache: folder for videos that are made.
    """
    if name == "details":
        make_playground(cache / "playground", _PLAYGROUND)
        return training_clips(_details(cache / "playground"), seed, 0.0)
    labelled = {"people": people, "falls": falls}[name](data) if name != "needle" else needle(data, cache / "needle")
    return folds(labelled, FOLDS, seed=0)[seed % FOLDS]


def people(data: Path) -> LabelledClips:
    """UT-Interaction, both sets; clips of one sequence are never parted."""
    clips = []
    for part in ("set1", "set2"):
        for path in sorted((data / "ut_interaction" / part).glob("*.avi")):
            _, sequence, number = map(int, path.stem.split("_"))
            group = f"{part} {sequence}"
            clips.append(LabelledClip(f"{part}/{path.stem}", path, INTERACTIONS[number], group=group))
    return LabelledClips(tuple(clips))


def falls(data: Path) -> LabelledClips:
    """URFD as whole videos: a fall, or daily life."""
    paths = sorted((data / "urfd" / "videos").glob("*.mp4"))
    clips = [LabelledClip(path.stem, path, "fall" if path.stem.startswith("fall") else "daily life") for path in paths]
    return LabelledClips(tuple(clips))


def needle(data: Path, folder: Path) -> LabelledClips:
    """Long videos: an interaction of set 1 somewhere among seven stretches of daily life."""
    quiet = sorted((data / "urfd" / "videos").glob("adl-*.mp4"))
    clips = []
    for number, clip in enumerate(clip for clip in people(data).clips if clip.name.startswith("set1")):
        target = folder / f"{re.sub('[^0-9a-z]', '-', clip.name)}.mp4"
        if not target.is_file():
            rng = np.random.default_rng([7, number])
            others = [quiet[k] for k in rng.choice(len(quiet), _JOINED - 1, replace=False)]
            others.insert(int(rng.integers(_JOINED)), clip.path)
            join(others, target)
        clips.append(LabelledClip(clip.name, target, clip.label, group=clip.group))
    return LabelledClips(tuple(clips))


def join(paths: list[Path], target: Path) -> None:
    """Videos one after the other, as H.264 with a keyframe every 2 seconds."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_suffix(".part.mp4")
    with av.open(str(temporary), "w") as container:
        stream = container.add_stream("libx264", rate=_FPS)
        stream.height, stream.width, stream.pix_fmt = *_SIZE, "yuv420p"
        stream.options = {"crf": "23", "preset": "veryfast"}
        stream.codec_context.gop_size = 2 * _FPS
        count = 0
        for path in paths:
            with open_video(path) as video:
                for pixels, _ in video.stream(size=_SIZE, fps=_FPS, end=min(_STRETCH, video.duration)):
                    frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                    frame.pts, frame.time_base = count, Fraction(1, _FPS)
                    container.mux(stream.encode(frame))
                    count += 1
        container.mux(stream.encode())
    temporary.replace(target)


def evidence(folder: Path) -> dict[str, list[tuple[float, float]]]:
    """When the detail is seen in every video of the playground, in seconds."""
    found: dict[str, list[tuple[float, float]]] = {}
    for line in (folder / "playground" / "evidence.csv").read_text(encoding="utf-8").splitlines()[1:]:
        video, start, end, _ = line.split(",")
        found.setdefault(video.removesuffix(".mp4"), []).append((float(start), float(end)))
    return found


def _details(folder: Path) -> LabelledClips:
    clips = []
    for line in (folder / "detail.csv").read_text(encoding="utf-8").splitlines()[1:]:
        video, label, split = line.split(",")
        clips.append(LabelledClip(video.removesuffix(".mp4"), folder / video, label, subset=split))
    return LabelledClips(tuple(clips))
