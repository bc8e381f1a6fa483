"""Networks of frames that compute in no time, models made of them whose policies do something, and small videos."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kinoscope.arnet.actions import Actions
from kinoscope.arnet.engine import Seen
from kinoscope.arnet.looks import use_views
from kinoscope.arnet.model import AdaptiveRecognizer, build_network
from kinoscope.arnet.network import ArNet, Choice, Decisions, Policy, State, most_probable
from kinoscope.arnet.options import ArNetOptions, ArNetTraining
from kinoscope.arnet.stages import Joint
from kinoscope.arnet.train import TrainedArNet, Where, train_arnet
from kinoscope.data.clip_parts import Parts
from kinoscope.data.labelled_clips import LabelledClip
from kinoscope.encoders.image_nets import ImageNet, image_net
from kinoscope.video import open_video

from ..video.made_videos import make

WIDTHS = {"tiny-a": 7, "tiny-b": 6, "tiny-c": 5, "tiny-p": 8}
CPU = Where(device="cpu", runtime="torch")


class TinyNet(nn.Module):
    """[N, 3, S, S] -> [N, C]: a few mixtures of the colours of the four quarters; begins as its name says."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.width = WIDTHS[name]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.width)
            self.layer, self.norm = nn.Linear(12, self.width), nn.BatchNorm1d(self.width)

    def forward(self, frames: Tensor) -> Tensor:
        return self.norm(self.layer(F.adaptive_avg_pool2d(frames, 2).flatten(1))).tanh()


class TinyImageNet(ImageNet):
    """Counts as a network whose weights are published."""

    weight_hash = "0123456789abcdef"  # type: ignore[assignment]  # a property there


NETS = {name: TinyImageNet(name, partial(TinyNet, name)) for name in WIDTHS}
OPTIONS = ArNetOptions(
    backbones=("tiny-a", "tiny-b", "tiny-c"),
    policy="tiny-p",
    sizes=(64, 48, 40),
    policy_size=32,
    segments=8,
    hidden=10,
)
QUICK = replace(OPTIONS, segments=4)
TRAINING = ArNetTraining(
    single_epochs=1,
    joint_epochs=3,
    tune_epochs=1,
    passes=1,
    batch_size=4,
    views=2,
    single_rate=1e-2,
    joint_rate=3e-3,
    alpha=0.02,
)


def nets(options: ArNetOptions = OPTIONS) -> list[nn.Module]:
    return [(NETS.get(name) or image_net(name)).build() for name, _ in options.views]


def lively(options: ArNetOptions = OPTIONS, classes: int = 3, seed: int = 10) -> ArNet:
    """A model whose policy takes now this, now that action, and whose every number matters; in evaluation mode."""
    network, generator = build_network(options, classes, nets(options)), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            spread = 2.0 if name.startswith(("policy.actions", "policy.rnn.weight_ih")) else 0.7
            parameter.copy_(spread * torch.randn(parameter.shape, generator=generator))
        network.policy.actions.bias.zero_()
        for name, buffer in network.named_buffers():
            if name.endswith(("running_var", "scale")):
                buffer.copy_(0.5 + torch.rand(buffer.shape, generator=generator))
            elif name.endswith(("running_mean", "center")):
                buffer.copy_(0.3 * torch.randn(buffer.shape, generator=generator))
    return network.eval().requires_grad_(False)


def model(
    options: ArNetOptions = OPTIONS, classes: int = 3, seed: int = 10, network: ArNet | None = None, **given: Any
) -> AdaptiveRecognizer:
    """A recogniser of :func:`lively`, or of a given network."""
    network = network or lively(options, classes, seed)
    return AdaptiveRecognizer(network, options, "abcdefgh"[:classes], device="cpu", runtime="torch", **given)


def joint(recognizer: AdaptiveRecognizer) -> Joint:
    return Joint(recognizer.network, [name for name, _ in recognizer.options.views])


# --- videos --------------------------------------------------------------------------------------------------------


def flicker(path: Path, frames: int = 24, *, seed: int = 0, **given: Any) -> Path:
    """A video whose every frame has other colours in its quarters."""
    colours = np.random.default_rng(seed).integers(0, 256, (frames, 2, 2, 3), dtype=np.uint8)

    def picture(number: int, height: int, width: int) -> np.ndarray:
        return np.kron(colours[number], np.ones((height // 2, width // 2, 1), np.uint8))

    return make(path, frames, picture=picture, **{"codec": "mpeg4", "size": (48, 64), "rate": 10, **given})


def tinted(path: Path, colour: Sequence[int], frames: int = 12, *, seed: int = 0, noise: int = 40) -> Path:
    """A video of nearly one colour."""
    rng = np.random.default_rng(seed)

    def picture(_number: int, height: int, width: int) -> np.ndarray:
        shade = np.asarray(colour) + rng.integers(-noise, noise + 1, (2, 2, 3))
        return np.kron(np.clip(shade, 0, 255).astype(np.uint8), np.ones((height // 2, width // 2, 1), np.uint8))

    return make(path, frames, picture=picture, codec="mpeg4", size=(48, 64), rate=10)


def dense(
    recognizer: AdaptiveRecognizer,
    path: Path,
    choose: Choice | None = None,
    segments: int | None = None,
    part: tuple[float, float] | None = None,
) -> tuple[Tensor, Decisions]:
    """What the whole network says of all that could be looked at in a video: logits [K], decisions of one video."""
    options = recognizer.options
    with open_video(path) as video:
        views = use_views(video, options, segments or options.segments, part)
    pixels = [
        image_net(name).prepare(torch.from_numpy(view))[None]  # [1, T, 3, S, S]
        for (name, _), view in zip(options.views, views, strict=True)
    ]
    with torch.no_grad():
        logits, decisions = recognizer.network(pixels, choose or most_probable())
    return logits[0], decisions


def taken_by(seen: Seen) -> list[int | None]:
    return [step.action for step in seen.steps]


def used_of(decisions: Decisions, actions: Actions) -> tuple[int, ...]:
    """Of one video: how many frames each network answered, the policy's own answers last."""
    return tuple(int(n) for n in decisions.taken[0, :, : actions.answers].sum(0))


# --- a policy that does what it is told ----------------------------------------------------------------------------


class ReadsNumbers(nn.Module):
    """Frames that :func:`..video.made_videos.draw` drew -> their numbers as one-hot. Shape: [N, 3, S, S] -> [N, T]."""

    def __init__(self, frames: int) -> None:
        super().__init__()
        self.width = frames

    def forward(self, frames: Tensor) -> Tensor:
        bits = (F.adaptive_avg_pool2d(frames[:, 1:2], (3, 4)).flatten(1) > 0).float()  # [N, 12]
        numbers = (bits * 2.0 ** torch.arange(12, device=frames.device)).sum(1, keepdim=True)  # [N, 1]
        return (numbers == torch.arange(self.width, device=frames.device)).to(frames.dtype)


class Scripted(Policy):
    """Answers what the script says for the frame that it sees."""

    script: Tensor

    def __init__(self, asked: Sequence[int], classes: int, actions: Actions) -> None:
        super().__init__(ReadsNumbers(len(asked)), classes, actions.count, hidden=3)
        self.register_buffer("script", 50.0 * F.one_hot(torch.tensor(asked), actions.count))  # [T, A]

    def step(self, features: Tensor, state: State) -> tuple[State, Tensor, Tensor]:
        state, _, classes = super().step(features, state)
        return state, features @ self.script, classes


def scripted(asked: Sequence[int], classes: int = 3) -> tuple[AdaptiveRecognizer, Callable[[Path], Path]]:
    """A model that follows a script on the video that the function writes."""
    options = ArNetOptions(**{**vars(OPTIONS), "segments": len(asked), "crop": 1.0})
    network = lively(options, classes)
    network.policy = Scripted(asked, classes, options.actions)
    torch.manual_seed(1)
    nn.init.normal_(network.policy.last.weight)
    return model(options, classes, network=network.eval().requires_grad_(False)), partial(
        make, frames=len(asked), size=(72, 72)
    )


def same_state(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    """Whether two states are equal to the last bit."""
    return list(a) == list(b) and all(torch.equal(a[name], b[name]) for name in a)


# --- labelled clips, and training on them --------------------------------------------------------------------------

COLOURS = {"blue": (40, 60, 200), "green": (60, 190, 60), "red": (200, 60, 50)}


def coloured(folder: Path, counts: tuple[int, int, int] = (9, 6, 6), **given: Any) -> Parts:
    """Videos to learn from, to choose on and to test on, whose colour tells the class."""
    parts = []
    for part, count in zip(("train", "validation", "test"), counts, strict=True):
        clips = []
        for number in range(count):
            label = sorted(COLOURS)[number % 3]
            path = tinted(folder / f"{part}{number}.mp4", COLOURS[label], seed=len(parts) * 100 + number, **given)
            clips.append(LabelledClip(path.stem, path, label, subset=part))
        parts.append(tuple(clips))
    return Parts(*parts, "made", reason="made")


def train(
    parts: Parts,
    out: Path,
    training: ArNetTraining = TRAINING,
    options: ArNetOptions = QUICK,
    *,
    resume: bool = False,
    **given: Any,
) -> TrainedArNet:
    return train_arnet(parts, out, options, training, where=replace(CPU, resume=resume), **given)
