"""``kinoscope demo``: the whole story, on a real sample video and on made ones with known truth.

Every step is what a user would do with one command; the commands are printed as it goes. Finished steps are kept, so
that an interrupted demo goes on where it stopped.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..encoders.sampling import Runtime

if TYPE_CHECKING:
    from ..evaluate import DetectionResult
    from ..pipeline import Localization, Pipeline
    from ..report import VideoPage

EXAMPLES = """\
  kinoscope demo
  kinoscope demo --out /tmp/demo --seed 1
"""

_ENCODER = "efficientnet-lite0-change"
_EPOCHS = 40
_SOLA_EPOCHS = 6


@dataclass(frozen=True)
class _Folders:
    """Where everything of the demo lies."""

    root: Path

    @property
    def sample(self) -> Path:
        return self.root / "sample.mp4"

    @property
    def playground(self) -> Path:
        return self.root / "playground"

    @property
    def labels(self) -> Path:
        return self.playground / "untrimmed.csv"

    @property
    def raw(self) -> Path:
        return self.root / "feats"

    @property
    def adapted(self) -> Path:
        return self.root / "sola"

    def run(self, name: str) -> Path:
        return self.root / "runs" / name

    @property
    def report(self) -> Path:
        return self.root / "report.html"


def run(
    out: Path = Path("demo"), seed: int = 0, videos: int = 30, device: str = "auto", runtime: Runtime = "auto"
) -> int:
    """Show the whole story: localise a real video without training, then train on made videos and check the result.

    Takes about five minutes on two cores. Everything is left in one folder, with an HTML report to open.

    Args:
        out: Folder for everything.
        seed: Another seed makes other videos.
        videos: How many untrimmed videos are made.
        device: cpu, cuda, ...; auto takes a GPU if there is one.
        runtime: What computes on a CPU; auto takes OpenVINO if it is installed.
    """
    from ..report import Report, Table, write_report
    from .pages import settings
    from .terminal import print_table, say

    at = _Folders(out)
    sample_pipeline, sample_page = _localize_sample(at, device, runtime)
    _prepare(at, seed, videos, device, runtime)
    results = {name: _train(at, name, seed, device) for name in ("raw", "sola")}

    name, found, page = _localize_held_out(at, device, runtime)
    header = ("features", *(f"{t:g}" for t in results["raw"].thresholds), "average mAP")
    titles = {"raw": _ENCODER, "sola": f"{_ENCODER} + SoLa"}
    rows = [(titles[key], *(float(v) for v in each.map), each.average_map) for key, each in results.items()]
    count = len(results["raw"].scored_videos)
    remark = (
        f"mAP by tIoU threshold on {count} held-out made videos, one training each. "
        "A difference of a few points is noise: docs/results.md has seeds, intervals and controls."
    )
    print_table("Held-out playground videos", header, rows, note=remark)
    say(f"{len(found.segments)} candidate segments in the held-out video {name}; the report shows the best.")
    table = Table("Made videos: does it find what was put in?", header, rows, note=remark)
    made = {f"sample: {key}": value for key, value in settings(sample_pipeline).items()}
    write_report(at.report, Report("Kinoscope demo", [sample_page, page], tables=[table], settings=made))
    _say_where(at)
    return 0


def _localize_sample(at: _Folders, device: str, runtime: Runtime) -> tuple[Pipeline, VideoPage]:
    from ..encoders.package_files import SAMPLE_VIDEO, fetch
    from ..pipeline import Pipeline
    from ..progress import progress
    from .localize import print_found
    from .pages import video_page

    _step(f"kinoscope localize {at.sample} --html …", "A real street scene, Kinetics-400 classes, no training")
    if not at.sample.exists():
        at.root.mkdir(parents=True, exist_ok=True)
        shutil.copy(fetch(SAMPLE_VIDEO), at.sample)
    pipeline = Pipeline(device=device, runtime=runtime)
    with progress("Localising", None) as report:
        found = pipeline.analyse(at.sample, report)
    print_found("sample", found, found.segments, most=10)
    return pipeline, video_page("sample", at.sample, found)


def _prepare(at: _Folders, seed: int, videos: int, device: str, runtime: Runtime) -> None:
    """Made videos, their features, SoLa and the adapted features."""
    from ..data.playground import PlaygroundOptions, make_playground
    from ..progress import progress
    from . import adapt, extract

    _step(
        "", f"{videos} made videos with known truth: things grow, shrink and shake, between long stretches of nothing"
    )
    with progress("Making videos", videos) as report:
        before = 0

        def advance(done: int, _total: int) -> None:
            nonlocal before
            report(done - before)
            before = done

        make_playground(at.playground, PlaygroundOptions.demo(seed=seed, untrimmed_videos=videos), progress=advance)

    _step(
        f"kinoscope extract {at.playground} --encoder {_ENCODER} --out {at.raw}", "Frozen image features, with change"
    )
    extract.run(at.playground, out=at.raw, encoder=_ENCODER, device=device, runtime=runtime)

    _step(
        f"kinoscope adapt {at.raw} --labels {at.labels} --out {at.adapted}", "SoLa, without labels, on training videos"
    )
    from ..sola import SolaOptions, SolaTraining, adapter_folder

    if not (adapter_folder(at.adapted) / "config.json").exists():
        options, training = SolaOptions(hidden=128), SolaTraining(epochs=_SOLA_EPOCHS, seed=seed)
        adapt.run(
            at.raw, out=at.adapted, labels=at.labels, options=options, training=training, resume=True, device=device
        )


def _train(at: _Folders, name: str, seed: int, device: str) -> DetectionResult:
    """Train a head on raw or adapted features and score it on the held-out videos."""
    from ..data.annotations import read_annotations
    from ..data.annotations_write import write_predictions_json
    from ..data.feature_store import FeatureStore
    from ..evaluate import evaluate_files
    from ..localize.localizer import Localizer
    from ..localize.train_options import LocalizeTrainOptions
    from . import train_localize

    folder, features = at.run(name), at.raw if name == "raw" else at.adapted
    _step(f"kinoscope train localize {at.labels} --features {features} --out {folder}", "A head on the made labels")
    if not (folder / "config.json").exists():
        options = replace(LocalizeTrainOptions(), epochs=_EPOCHS, seed=seed)
        train_localize.run(at.labels, features=features, out=folder, options=options, resume=True, device=device)
    store, model = FeatureStore(features), Localizer.load(folder)
    held_out = list(read_annotations(at.labels).subset("testing").videos)
    found = model.localize_many([store[video] for video in held_out])
    predictions = folder / "predictions.json"
    write_predictions_json(predictions, dict(zip(held_out, found, strict=True)))
    _step(f"kinoscope evaluate {predictions} --gt {at.labels} --protocol own", "")
    return evaluate_files(predictions, at.labels, "own")


def _localize_held_out(at: _Folders, device: str, runtime: Runtime) -> tuple[str, Localization, VideoPage]:
    """The held-out video with the most actions, from its file, by the model on adapted features."""
    from ..data.annotations import read_annotations
    from ..pipeline import load_localizer
    from ..progress import progress
    from .localize import LEAST_SCORE, print_found
    from .pages import video_page

    held_out = read_annotations(at.labels).subset("testing").videos
    name = max(held_out, key=lambda key: (len(held_out[key].segments), key))
    path = at.playground / f"{name}.mp4"
    _step(f"kinoscope localize {path} --model {at.run('sola')} --html …", "A video that no training has seen")
    pipeline = load_localizer(at.run("sola"), device=device, runtime=runtime)
    with progress("Localising", None) as report:
        found = pipeline.analyse(path, report)
    shown = [segment for segment in found.segments if (segment.score or 0) >= LEAST_SCORE]
    print_found(name, found, shown, most=10)
    page = video_page(f"held-out {name}", path, replace(found, segments=shown), truth=held_out[name].segments)
    return name, found, page


def _step(command: str, what: str) -> None:
    from .terminal import console, plain

    console().rule(style="dim")
    if what:
        console().print(f"[bold]{plain(what)}[/bold]")
    if command:
        console().print(f"[dim]$ {plain(command)}[/dim]")


def _say_where(at: _Folders) -> None:
    from .terminal import console, plain

    console().rule(style="dim")
    rows = {
        at.report: "open this in a browser",
        at.playground: "made videos and their truth",
        at.raw: "features",
        at.adapted: "features after SoLa, with the adapter",
        at.run("raw"): "head trained on features",
        at.run("sola"): "head trained on adapted features",
    }
    for path, what in rows.items():
        console().print(f"{plain(path)}  [dim]{plain(what)}[/dim]", soft_wrap=True)
