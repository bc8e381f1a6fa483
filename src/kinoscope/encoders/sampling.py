"""What a user may choose about the input and the execution of an encoder; no PyTorch needed to read these."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from ..errors import OptionError, flag

if TYPE_CHECKING:
    from .catalog import EncoderSpec

Runtime = Literal["auto", "torch", "openvino"]

_LEAST_SIZE, _LEAST_CLIP = 32, 8  # below these a network has no pixel, or no frame, left at its end
_MOST = {"fps": 1000, "clip_length": 1024, "stride": 1_000_000, "size": 2048}  # beyond these memory runs out


@dataclass(frozen=True)
class Sampling:
    """What of a video is looked at; the encoder's own choice where nothing is given."""

    fps: float | None = None
    """Sampled frames per second of video."""
    clip_length: int | None = None
    """Sampled frames in one clip."""
    stride: int | None = None
    """Sampled frames between the starts of neighbouring clips."""
    size: int | None = None
    """Pixels of the central square; the short side is scaled to it."""

    def resolve(self, spec: EncoderSpec) -> EncoderSpec:
        """``spec`` with the choices made here. Raises :class:`OptionError` for values that make no sense."""
        chosen = {name: value for name, value in vars(self).items() if value is not None}
        for name, value in chosen.items():
            if not 0 < value < float("inf"):
                raise OptionError(f"{name} is {value}, but must be a positive number", cure=f"change {flag(name)}")
            if value > _MOST[name]:
                problem = f"{name} is {value}, but must be at most {_MOST[name]}"
                raise OptionError(problem, cure=f"lower {flag(name)}")
        size = chosen.pop("size", spec.size)
        spec = replace(spec.at_size(size), **chosen)
        if not spec.per_frame and spec.clip_length < _LEAST_CLIP:
            problem = f"clip_length is {spec.clip_length}, but {spec.name} needs at least {_LEAST_CLIP} frames"
            raise OptionError(problem)
        if spec.size < _LEAST_SIZE:
            raise OptionError(f"size is {spec.size}, but {spec.name} needs at least {_LEAST_SIZE} pixels")
        return spec
