"""Options of ``kinoscope pretrain`` that belong to no layer below."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..coclr.options import Method, Second
from ..errors import OptionError
from ..video.flow.encoding import Algorithm, FlowSettings


@dataclass(frozen=True)
class StreamOptions:
    """What the networks see."""

    stream: Literal["rgb", "flow", "difference"] = "rgb"
    """What InfoNCE and UberNCE see."""
    second: Second = "flow"
    """CoCLR's second stream: optical flow, frame differences, or the same pictures in other colours (jitter)."""
    frozen: str | None = None
    """An encoder of the catalogue that mines for RGB, such as efficientnet-lite0, in the place of a second stream."""
    start: Path | None = None
    """Encoder whose weights InfoNCE or UberNCE begins with, of the same backbone and width; none: random ones."""
    algorithm: Algorithm = "dis"
    """How flow is measured: dis, farneback, tvl1 (the paper's), or motion-vectors, which are read from the files and
    cost next to nothing."""
    bound: float = 20.0
    """Largest motion that flow can tell, in pixels per sampled frame at the decoded size."""
    decode_size: int | None = None
    """Short side of decoded frames in pixels, from which views are cropped; by default 4/3 of the size."""

    @property
    def settings(self) -> FlowSettings:
        """How flow is measured."""
        return FlowSettings(self.algorithm, self.bound)

    def check(self, method: Method, flow: Path | None) -> None:
        """Raise :class:`OptionError` for streams that the method has no use for."""
        default = StreamOptions()
        if method == "coclr" and self.stream != default.stream:
            raise OptionError(
                "--stream goes with infonce and ubernce; CoCLR trains RGB and --second", cure="leave --stream out"
            )
        if method != "coclr" and (self.second != default.second or self.frozen is not None):
            name = "--frozen" if self.frozen is not None else "--second"
            raise OptionError(f"{name} goes with CoCLR, not with {method}", cure=f"leave {name} out, or use coclr")
        if method == "coclr" and self.start is not None:
            raise OptionError("--start goes with infonce and ubernce, not with coclr", cure="leave --start out")
        if self.frozen is not None and self.second != default.second:
            raise OptionError("--frozen takes the place of --second", cure="leave one of them out")
        if flow is not None and "flow" not in (self.stream, self.second if method == "coclr" else ""):
            raise OptionError("--flow is given, but no stream is flow", cure="leave --flow out")


@dataclass(frozen=True)
class MachineOptions:
    """Where and how it is computed."""

    device: str = "auto"
    """cpu, cuda, ...; auto takes a GPU if there is one."""
    devices: int = 1
    """Devices to train on; more than one uses DDP."""
    workers: int = 0
    """Loader processes, and processes that decode; they change the speed only."""
    bf16: bool = False
    """Compute in bfloat16; for GPUs."""
    compile: bool = False
    """Let PyTorch compile the networks: slow to start, faster afterwards where it works."""
    checkpoint_every: int = 100
    """Updates between checkpoints; one is also written at the end of each epoch and on Ctrl-C."""

    def loop(self) -> dict[str, Any]:
        """For the training loop."""
        from ..encoders.encoder import choose_device

        return {
            "accelerator": choose_device(self.device).type,
            "devices": self.devices,
            "workers": self.workers,
            "precision": "bf16-mixed" if self.bf16 else "32-true",
            "checkpoint_every": self.checkpoint_every,
        }
