"""AR-Net against UNIFORM, LSTM, RANDOM, Multi-Scale and SCSampler: accuracy, operations, seconds from file to label.

Every method learns from the same looks of the same frozen networks; its learning rate is one of three, chosen on
validation clips, AR-Net's too. Every test video is looked at by all methods in turns. A seed is another fold.

    python -m benchmarks.arnet --write
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from kinoscope.arnet.baselines import Baseline
from kinoscope.arnet.comparison import Measured, contestants, measure, train_baselines
from kinoscope.arnet.options import ArNetTraining
from kinoscope.arnet.train import Run, TrainedArNet, Where, begin, train_arnet
from kinoscope.evaluate import hit_difference, hit_interval
from kinoscope.files import write_json

from .arnet_data import DATASETS, OPTIONS, evidence, parts_of
from .results import ROOT, Section, data_folder, publish, table

SEEDS = (0, 1, 2)
TRAINING = ArNetTraining(single_epochs=10, joint_epochs=20, tune_epochs=6, batch_size=16)
_FACTORS = (1 / 3, 1.0, 3.0)
_RESAMPLED = 2000
_LOOKING = torch.get_num_threads()


def trained(name: str, seed: int, data: Path, cache: Path) -> tuple[TrainedArNet, Run, dict[Baseline, nn.Module]]:
    """AR-Net at the learning rates that are best on validation clips, and its baselines; what is done is not repeated.

    Of AR-Net's runs the one counts whose calibrated answers have the least loss, at whatever setting of its curve.
    """
    parts, options = parts_of(name, seed, data, cache), OPTIONS[name]
    looks, folder, where = cache / "looks" / name, cache / f"{name}-{seed}", Where(resume=True)
    torch.set_num_threads(_LOOKING)
    run = begin(parts, folder / "baselines", options, replace(TRAINING, seed=seed), looks=looks, where=where)
    torch.set_num_threads(1)  # what learns is small: threads would only wait for each other
    tried: list[tuple[float, TrainedArNet]] = []
    for number, factor in enumerate(_FACTORS):
        rates = {rate: factor * getattr(TRAINING, rate) for rate in ("single_rate", "joint_rate", "tune_rate")}
        training = replace(TRAINING, seed=seed, **rates)
        one = train_arnet(parts, folder / f"arnet-{number}", options, training, looks=looks, where=where)
        tried.append((min(setting.loss for setting in one.recognizer.curve), one))
    baselines = train_baselines(run)
    torch.set_num_threads(_LOOKING)
    return min(tried, key=lambda each: each[0])[1], run, baselines


def cell(name: str, seed: int, data: Path, cache: Path) -> dict[str, Any]:
    """One data set and seed: everything that was measured, for JSON. What is there is not measured again."""
    kept = cache / f"{name}-{seed}.json"
    if kept.is_file():
        return dict(json.loads(kept.read_text(encoding="utf-8")))
    arnet, run, baselines = trained(name, seed, data, cache)
    model, parts = arnet.recognizer, arnet.parts
    truth = parts.numbers(parts.test)
    several = contestants(model, baselines, run)
    found = {
        "classes": list(parts.classes),
        "clips": [clip.name for clip in parts.test],
        "rule": parts.rule,
        "usage": dict(arnet.usage),
        "rows": [_row(each, truth) for each in measure(several, parts.test)],
    }
    if name == "details":
        found["choices"] = _choices(model, parts.test, evidence(cache))
    write_json(kept, found)
    return found


def _row(each: Measured, truth: np.ndarray) -> dict[str, Any]:
    return {
        "method": each.method,
        "setting": each.setting,
        "hits": (each.logits.argmax(axis=1) == truth).astype(int).tolist(),
        "gmac": [spent.gmac for spent in each.spent],
        "seconds": each.seconds.tolist(),
        "decoded": [spent.decoded for spent in each.spent],
        "consulted": [spent.consulted for spent in each.spent],
        "shares": each.shares,
    }


def _choices(model: Any, clips: Sequence[Any], spans: Mapping[str, list[tuple[float, float]]]) -> list[dict[str, Any]]:
    """What the policy did with every frame, and whether the detail was to be seen in it."""
    found = []
    for clip in clips:
        answer = model.recognize(clip.path)
        for step in answer.steps:
            shown = any(start <= step.time < end for start, end in spans.get(clip.name, ()))
            action = None if step.action is None else model.actions.names[step.action]
            found.append({"video": clip.name, "time": step.time, "evidence": shown, "action": action})
    return found


def gathered(cells: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of one data set over all seeds, by method and setting of the same place."""
    found: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for one in cells:
        for row in one["rows"]:
            name = row["setting"] if "bias" not in row["setting"] else "along its curve"
            found.setdefault((row["method"], name), []).append(row)
    rows = []
    for (method, setting), several in found.items():
        if setting == "along its curve":
            continue
        hits = np.concatenate([row["hits"] for row in several]).astype(float)
        seconds = np.concatenate([row["seconds"] for row in several])
        rows.append({"method": method, "setting": setting, "hits": hits, "seconds": seconds, "rows": several})
    return rows


def report(name: str, cells: Sequence[Mapping[str, Any]]) -> str:
    """A table of one data set."""
    rows = gathered(cells)
    uniform = next(row for row in rows if row["method"].startswith("UNIFORM") and row is _first(rows, "UNIFORM"))
    shown = []
    for row in rows:
        low, high = hit_interval(row["hits"], _RESAMPLED)
        each = ", ".join(f"{100 * np.mean(one['hits']):.0f}" for one in row["rows"])
        gmac = np.mean([np.mean(one["gmac"]) for one in row["rows"]])
        ratio = row["seconds"].sum() / uniform["seconds"].sum()
        gap = hit_difference(row["hits"], uniform["hits"], _RESAMPLED)
        shares = {
            part: np.mean([one["shares"].get(part, 0) for one in row["rows"]]) for part in row["rows"][0]["shares"]
        }
        total = sum(shares.values())
        decode, policy = (100 * shares.get(part, 0) / total for part in ("decode", "policy"))
        shown.append(
            {
                "method": row["method"],
                "setting": row["setting"],
                "accuracy, %": f"{100 * row['hits'].mean():.1f} ({100 * low:.0f} … {100 * high:.0f})",
                "seeds": each,
                "− UNIFORM": f"{100 * gap.value:+.1f} ({100 * gap.low:+.0f} … {100 * gap.high:+.0f})",
                "GMAC": f"{gmac:.2f}",
                "ms p50 / p95": f"{1000 * np.median(row['seconds']):.0f} / {1000 * np.quantile(row['seconds'], 0.95):.0f}",
                "seconds ÷ UNIFORM": f"{ratio:.2f}",
                "decode / policy / backbones, %": f"{decode:.0f} / {policy:.0f} / {100 - decode - policy:.0f}",
            }
        )
    clips = sum(len(one["clips"]) for one in cells)
    return f"### {_TITLES[name]}\n\n{clips} test videos over {len(cells)} seeds.\n\n{table(shown)}"


_TITLES = {
    "details": "Playground: a fine texture, seen for half a second, at 224 px only (chance 33)",
    "people": "UT-Interaction, both sets, sequences never parted (chance 17)",
    "falls": "URFD: a fall, or daily life",
    "needle": "Long videos: one interaction among seven clips without any, 32 candidate frames (chance 17)",
}


def _first(rows: Sequence[dict[str, Any]], method: str) -> dict[str, Any]:
    return next(row for row in rows if row["method"].startswith(method))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(DATASETS))
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--cache", type=Path, default=ROOT / "results-cache" / "arnet")
    parser.add_argument("--train-only", action="store_true", help="leave the measuring for a quiet machine")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    data = data_folder()
    if options.train_only:
        for seed in options.seeds:
            for name in options.names:
                trained(name, seed, data, options.cache)
        return
    cells = {name: [cell(name, seed, data, options.cache) for seed in options.seeds] for name in options.names}
    body = "\n\n".join(report(name, several) for name, several in cells.items())
    print(json.dumps(asdict(TRAINING)))
    section = Section(
        "arnet", "AR-Net: accuracy against operations and seconds", "python -m benchmarks.arnet --write", body, _NOTE
    )
    publish(section, write=options.write)


_NOTE = """\
Networks: EfficientNet-Lite2, 1, 0 at 224, 168, 112 px and Lite0 at 84 px as the policy, frozen; OpenVINO."""

if __name__ == "__main__":
    main()
