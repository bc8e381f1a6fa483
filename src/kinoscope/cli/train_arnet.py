"""``kinoscope train arnet``: a recogniser that looks at each frame as closely as it must."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..arnet.options import ArNetOptions, ArNetTraining, options_with_preset
from ..data.labelled_clips import Dataset, Missing
from ..encoders.sampling import Runtime
from ..engine.presets import Preset
from ..errors import OptionError

if TYPE_CHECKING:
    from ..arnet.train import TrainedArNet

EXAMPLES = """\
  kinoscope train arnet labels.csv --out runs/ar
  kinoscope train arnet labels.csv --out runs/ar --resume
  kinoscope train arnet labels.csv --out runs/thrifty --alpha 0.3
  kinoscope train arnet activity-net-v1.3/ --dataset activitynet --videos videos/ --out runs/anet
  kinoscope train arnet labels.csv --out runs/whole --finetune --batch-size 8 --device cuda
  kinoscope train arnet labels.csv --out runs/p --preset official --finetune --weights r50.pth,r34.pth,r18.pth,mnv2.pth
"""


def run(
    labels: Path,
    *,
    out: Path,
    options: ArNetOptions = ArNetOptions(),
    training: ArNetTraining = ArNetTraining(),
    preset: Preset = "own",
    finetune: bool = False,
    weights: str | None = None,
    videos: Path | None = None,
    dataset: Dataset = "auto",
    split: int = 1,
    groups: str | None = None,
    missing: Missing = "auto",
    looks: Path | None = None,
    html: Path | None = None,
    resume: bool = False,
    workers: int = 0,
    device: str = "auto",
    runtime: Runtime = "auto",
    precision: Literal["32-true", "bf16-mixed"] = "32-true",
    json: bool = False,
) -> int:
    """Train an AR-Net: a policy that looks at every candidate frame from afar, and classifiers at several resolutions.

    Three stages run one after the other: each backbone alone, all together with the policy, the backbones once more
    under the policy that was learned. Then it is measured what the knobs cost, so that `recognize --budget` can keep to
    one. By default the networks of frames stay as they were published and are looked through once: minutes on a laptop.
    With --finetune they learn too, as in the paper, which wants a GPU. Clips of the split `test` choose nothing.

    Args:
        labels: CSV with video,label[,split] or video,start,end,label[,split], a folder per class, or the files of a
            data set: ActivityNet, FCVID, Mini-Kinetics, Kinetics, UCF101, HMDB51.
        out: Folder for the model and the records of the run.
        preset: own; or official, the published recipe and networks. Options that you give stand above it.
        finetune: Train the networks of frames too.
        weights: Checkpoints of ImageNet that they begin with, in torchvision's names, one for each backbone and last
            the policy's, with commas between; nothing between two commas leaves one as it is.
        videos: Folder of the videos, where the labels lie elsewhere.
        dataset: What the labels are, where that is not told rightly.
        split: Official split of UCF101 or HMDB51.
        groups: Regular expression: clips in whose names it finds the same text are never parted.
        missing: Videos that are not there are an error, or left out (skip).
        looks: Folder for what was seen of the videos, by default OUT/looks; runs on the same videos can share it.
        html: Page with the worst mistakes, by default OUT/mistakes.html.
        resume: Continue an interrupted run.
        workers: Loader processes.
        device: cpu, cuda, ...; auto takes a GPU if there is one.
        runtime: What computes networks that do not learn on a CPU; auto takes OpenVINO if it is installed.
        precision: Arithmetic of training: bf16-mixed saves time and memory on GPUs.
        json: Print the scores as JSON.
    """
    from ..arnet.train import Where, train_arnet
    from ..data.clip_parts import training_clips
    from ..data.labelled_clips import read_labelled_clips
    from ..files import write_json
    from .recognize_scores import report_training
    from .terminal import print_json

    options, training = options_with_preset(options, preset), training.with_preset(preset)
    named = _weights(weights, [name for name, _ in options.views])
    labelled = read_labelled_clips(labels, videos=videos, dataset=dataset, split=split, missing=missing, groups=groups)
    parts = training_clips(labelled, training.seed, training.validation_share)
    where = Where(resume=resume, workers=workers, device=device, runtime=runtime, precision=precision)
    trained = train_arnet(parts, out, options, training, finetune=finetune, weights=named, looks=looks, where=where)
    figures = _figures(trained)
    page, run_folder = html or out / "mistakes.html", out / "stages" / "joint"
    report = report_training(trained, labelled, out, page, quiet=json, run=run_folder, more=figures)
    if json:
        print_json({**report, **figures})
    else:
        _tell(trained)
    write_json(out / "costs.json", figures)
    return 2 if trained.missing else 0


def _weights(given: str | None, names: list[str]) -> dict[str, Path]:
    if not given:
        return {}
    paths = [each.strip() for each in given.split(",")]
    if len(paths) != len(names):
        cure = f"one for each of {', '.join(names)}; nothing between two commas leaves one as it is"
        raise OptionError(f"--weights names {len(paths)} files for {len(names)} networks", cure=cure)
    return {name: Path(path) for name, path in zip(names, paths, strict=True) if path}


def _figures(trained: TrainedArNet) -> dict[str, Any]:
    """What it costs, for programs."""
    model = trained.recognizer
    return {
        "usage": dict(trained.usage),
        "gmac": trained.gmac,
        "gmac_dense": model.dense_gmac(),
        "remarks": list(trained.remarks),
    }


def _tell(trained: TrainedArNet) -> None:
    from .terminal import note, print_table, say

    model = trained.recognizer
    if not trained.parts.test:
        note(f"note: {trained.parts.rule}")
    rows = [(name, f"{share:.1%}") for name, share in trained.usage.items()]
    share = trained.gmac / model.dense_gmac()
    told = f"{trained.gmac:.3g} GMAC a video, {share:.0%} of looking at every frame at {model.options.sizes[0]} px"
    if rows:
        print_table("What becomes of the candidate frames", ("action", "share"), rows, note=told)
    settings = [(s.frames, f"{s.bias:g}", f"{s.gmac:.3g}", s.score) for s in model.curve]
    title = "What the knobs cost" + (" (mAP)" if model.several else "")
    print_table(title, ("frames", "bias", "GMAC", "score"), settings, note=f"measured on {model.curve_of}")
    for remark in trained.remarks:
        note(f"note: {remark}")
    say("Keep to a budget: kinoscope recognize VIDEO --budget 1gmac --model …, or --budget 0.2s")
