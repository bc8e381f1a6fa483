"""What an exported AR-Net says of itself, to programs (``model.json``) and to people (``README.md``)."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .. import __version__
from ..arnet.model import AdaptiveRecognizer
from ..encoders.catalog import encoder_spec
from ..encoders.image_nets import image_net
from ..errors import WeightError
from ..video.streams import MEAN, STD
from . import control_loop
from .exportable import FORMAT, VERSION, pixel_statistics
from .packages import Format

KIND, DESCRIPTION, README = "arnet", "model.json", "README.md"
_RUNTIMES: dict[Format, str] = {"onnx": "ONNX Runtime", "openvino": "OpenVINO"}
_CANDIDATES = """k = 0 … T-1 of T segments: floor((2 k + 1) n / (2 T)) of n frames counted from 0; of a video with
n <= T all frames, the last repeated; where the frame rate varies, the frame shown at (k + 1/2) / T of the duration"""
_SKIPS = """skip n drops the frame that it was decided on and the n - 1 after it: the policy is asked about the next
one, with hidden and cell as they were after the frame that it was decided on"""
_CHOICE = "argmax over actions of log(max(softmax(action_logits), 1e-8)) - bias * gmac"
_ANSWER = """softmax of (mean of the logits of the frames that were answered) / temperature; an action with neither
network nor skip takes class_logits; where every frame was skipped, the last class_logits are the answer"""
_SQUARE = """scale the upright frame so that its short side is round(S / {crop:g}) and its long side the nearest even
number of pixels, each the mean of the area that it covers (bilinear where it grows); cut out the central S x S"""
_THEN = {
    "area": "",
    "bilinear": ", for S = {largest}, and scale that square to other sizes bilinearly",
    "nearest": ", for S = {largest}, of which the pixels floor(i * {largest} / S) make the other sizes",
}
_README = """\
# {model}, for {runtime}

An AR-Net in {count} programs ({precision}), exported by Kinoscope {kinoscope}; `{description}` says all that a
program must know of them.

| file | takes | gives |
|---|---|---|
{rows}

Frames: {pixels}.

The loop is yours. This one needs NumPy and {runtime} alone:

```python
{loop}
```

`look` is your decoder. `bias` and the number of candidates are the knobs; `curve` in `{description}` says what they
cost.

```python
loaded = load(".")
wanted = candidates(number_of_frames, loaded[0]["segments"])
probabilities, logits, done = recognize(loaded, wanted, look, bias=0.0)  # above 0 cheaper, below 0 dearer
print(loaded[0]["classes"][probabilities.argmax()], [loaded[0]["actions"][a]["name"] for _, a, _ in done])
```
"""


def describe(
    recognizer: AdaptiveRecognizer,
    files: Sequence[tuple[str, Mapping[str, Any]]],
    model: str,
    to: Format,
    precision: str,
) -> dict[str, Any]:
    """What ``model.json`` says; values for JSON.

    Args:
        recognizer: that was exported.
        files: name of every program's file and what it says of itself: networks of frames, the policy's, its step.
        model: what it is, for people.
        to: the format.
        precision: ``float32`` or ``int8``.
    """
    options, actions, costs = recognizer.options, recognizer.actions, recognizer.costs
    *networks, (step, step_says) = files
    gmac, largest = [*costs.backbones, costs.policy], max(size for _, size in options.views)
    pixels = _SQUARE.format(crop=options.crop) + _THEN[options.kernel].format(largest=largest)
    return {
        "format": FORMAT,
        "version": VERSION,
        "kinoscope": __version__,
        "kind": KIND,
        "model": model,
        "runtime": to,
        "precision": precision,
        "classes": list(recognizer.classes),
        "several_labels": recognizer.several,
        "temperature": recognizer.temperature,
        "segments": options.segments,
        "candidates": _line(_CANDIDATES),
        "crop": options.crop,
        "kernel": options.kernel,
        "pixels": _line(pixels) + "; (value - mean) / std of values 0 … 255, red first",
        "networks": [
            {"file": file, "net": net, "size": size, **_levels(net), "gmac": cost, **_ways(says)}
            for (file, says), (net, size), cost in zip(networks, options.views, gmac, strict=True)
        ],
        "step": {"file": step, "hidden": recognizer.network.policy.rnn.hidden_size, **_ways(step_says)},
        "actions": [
            {
                "name": name,
                "network": number if number < actions.own else None,
                "skip": actions.dropped_by(number),
                "gmac": costs.backbones[number] if number < actions.own else 0.0,
            }
            for number, name in enumerate(actions.names)
        ],
        "skips": _line(_SKIPS),
        "choice": _CHOICE,
        "answer": _line(_ANSWER),
        "curve": [asdict(setting) for setting in recognizer.curve],
        "curve_of": recognizer.curve_of,
    }


def readme(said: Mapping[str, Any]) -> str:
    """The files, and a control loop that runs without Kinoscope."""
    programs = [*said["networks"], said["step"]]
    rows = [f"| `{each['file']}` | {_values(each['inputs'])} | {_values(each['outputs'])} |" for each in programs]
    return _README.format(
        model=said["model"],
        runtime=_RUNTIMES[said["runtime"]],
        count=len(programs),
        precision=said["precision"],
        kinoscope=said["kinoscope"],
        description=DESCRIPTION,
        rows="\n".join(rows),
        pixels=said["pixels"],
        loop=inspect.getsource(control_loop).strip(),
    )


def read_description(folder: str | Path) -> dict[str, Any]:
    """What ``model.json`` says. Raises :class:`WeightError` where it is missing, damaged or of something else."""
    path, cure = Path(folder) / DESCRIPTION, "give a folder that kinoscope export wrote of an AR-Net"
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise WeightError("no such file", where=path, cure=cure) from error
    except (OSError, ValueError, RecursionError) as error:
        raise WeightError(f"cannot be read: {error}", where=path, cure=cure) from error
    if not isinstance(said, dict) or (said.get("format"), said.get("kind")) != (FORMAT, KIND):
        raise WeightError("describes no exported AR-Net", where=path, cure=cure)
    return said


def _line(text: str) -> str:
    return " ".join(text.split())


def _levels(net: str) -> dict[str, list[float]]:
    """Mean and deviation of pixel values 0 … 255 that a network of frames wants."""
    published = image_net(net).published
    if published is not None:
        mean, std = pixel_statistics(encoder_spec(published))
    else:
        mean, std = [round(255 * value, 6) for value in MEAN], [round(255 * value, 6) for value in STD]
    return {"mean": mean, "std": std}


def _ways(says: Mapping[str, Any]) -> dict[str, Any]:
    return {way: says[way] for way in ("inputs", "outputs")}


def _values(values: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(f"{each['name']} {each['shape']}".replace("'", "") for each in values)
