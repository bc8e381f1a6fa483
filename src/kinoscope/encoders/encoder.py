"""The one interface of all encoders: clip in, feature vector out."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import torch
from torch import Tensor, nn

from ..engine.model_folder import MAKE_ANEW
from ..errors import OptionError, WeightError
from ..video.streams import normalise
from .catalog import EncoderSpec, encoder_spec
from .package_files import cache_folder
from .sampling import Runtime
from .trained import PerChannel
from .weights import FolderWeights, load_weights

_NO_OPENVINO = "runtime openvino goes with neither bf16 nor a GPU"


class Encoder(nn.Module):
    """A network with frozen weights that turns clips into features.

    Args:
        spec: what it is and what input it wants.
        network: with weights loaded.
    """

    def __init__(self, spec: EncoderSpec, network: nn.Module) -> None:
        super().__init__()
        self.spec = spec
        self.network = network

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.network.parameters()).device

    def forward(self, clip: Tensor) -> Tensor:
        """Features of normalised clips (see :meth:`prepare`). Shape: [B, 3, T, H, W] -> [B, C]."""
        if not self.spec.per_frame:
            return self.network(clip)
        frames = clip.transpose(1, 2).flatten(0, 1)  # [B·T, 3, H, W]
        return self.pool(self.network(frames).unflatten(0, (clip.shape[0], clip.shape[2])))

    def pool(self, frames: Tensor) -> Tensor:
        """Features of clips from those of their frames. Shape: [B, T, C] -> [B, C] or, with change, [B, 2C]."""
        mean = frames.mean(dim=1)
        if self.spec.width == frames.shape[2]:
            return mean
        change = (frames[:, -1] - frames[:, 0]) / max(frames.shape[1] - 1, 1)
        return torch.cat((mean, change), dim=1)

    def prepare(self, frames: np.ndarray | Tensor) -> Tensor:
        """Decoded frames → normalised clip. Shape: [..., T, H, W, 3] of 0 … 255 -> [..., 3, T, H, W] float32."""
        pixels = torch.as_tensor(frames).to(self.device, non_blocking=True)
        return prepare_pixels(pixels, self.spec.mean, self.spec.std)

    def require_classes(self) -> None:
        """Raise :class:`OptionError` if the encoder has no classes that Kinoscope can name."""
        if self.spec.labels is None:
            raise OptionError(
                f"the encoder {self.spec.name} knows no classes of actions",
                cure="use --encoder i3d-k400, or train on your own labels: kinoscope train",
            )

    def classify(self, features: Tensor) -> Tensor:
        """Logits of the classes that the encoder was trained on. Shape: [B, C] -> [B, K].

        Raises:
            OptionError: the encoder has no classes that Kinoscope can name.
        """
        self.require_classes()
        return self.network.classify(features)  # type: ignore[operator]  # every labelled network has it


def prepare_pixels(pixels: Tensor, mean: float | PerChannel | None, std: float | PerChannel | None) -> Tensor:
    """Pixels 0 … 255 as a network wants them (see ``EncoderSpec``). Shape: [..., T, H, W, 3] -> [..., 3, T, H, W]."""
    if mean is None or std is None:
        return normalise(pixels)
    shift, scale = torch.as_tensor(mean, device=pixels.device), torch.as_tensor(std, device=pixels.device)  # [] or [3]
    return ((pixels.float() - shift) / scale).movedim(-1, -4)


def load_encoder(
    name: str = "i3d-k400", *, device: str = "auto", runtime: Runtime = "auto", bf16: bool = False
) -> Encoder:
    """An encoder with its published weights, in evaluation mode; they are downloaded when first used.

    Args:
        name: one of :func:`list_encoders`, the folder of an encoder that ``kinoscope pretrain`` or ``kinoscope
            convert`` wrote (a run of co-training stands for its RGB encoder), or the tag that features carry.
        device: ``"auto"`` takes a GPU if there is one, else the CPU.
        runtime: what computes on a CPU: ``"torch"``, or ``"openvino"`` (several times faster, same numbers to float32
            rounding, needs ``pip install openvino``). ``"auto"`` takes OpenVINO if it is installed.
        bf16: compute in bfloat16. On CPUs without bfloat16 units that is many times slower, so it is refused there.

    Raises:
        OptionError: unknown name, or options that do not go together.
        WeightError: the weights cannot be had, or do not fit.
    """
    spec = encoder_spec(name)
    chosen = choose_device(device)
    if runtime == "openvino" and bf16:
        raise OptionError(_NO_OPENVINO, cure="add --device cpu, or use runtime torch")
    if bf16:
        network: nn.Module = _InBfloat16(_faster(_network(spec), spec).to(chosen), chosen)
    else:
        network = placed(_network(spec), spec.weights.name, spec, device=device, runtime=runtime)
    return Encoder(spec, network).eval()


def placed(network: nn.Module, name: str, spec: EncoderSpec, *, device: str, runtime: Runtime) -> nn.Module:
    """A network in evaluation mode where it is to compute, and with what; see :func:`load_encoder`.

    Args:
        name: names what OpenVINO caches of it; it must change with the weights.

    Raises:
        OptionError: options that do not go together.
    """
    chosen = choose_device(device)
    if runtime == "openvino" and chosen.type != "cpu":
        raise OptionError(_NO_OPENVINO, cure="add --device cpu, or use runtime torch")
    if runtime == "auto":
        runtime = "openvino" if chosen.type == "cpu" and find_spec("openvino") else "torch"
    if runtime == "openvino":
        from .openvino import OpenVinoNetwork

        return OpenVinoNetwork(network, name=name)
    return _faster(network, spec).to(chosen)


def _faster(network: nn.Module, spec: EncoderSpec) -> nn.Module:
    """The same network in the memory layout that suits it."""
    if not spec.per_frame:
        return network
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # depthwise: 1.6 times faster


def _network(spec: EncoderSpec) -> nn.Module:
    """The network with its weights, frozen, in evaluation mode, on the CPU."""
    with torch.device("meta"):  # sizes are compared with the weights before any memory is taken
        network = spec.network()
    try:
        network.load_state_dict(load_weights(spec.weights), assign=True)
    except RuntimeError as error:
        problem = f"the weights of {spec.name} do not fit: {str(error).splitlines()[0]}"
        where, cure = cache_folder(), "delete this cache; they are fetched again"
        if isinstance(spec.weights, FolderWeights):
            where, cure = spec.weights.path, MAKE_ANEW
        raise WeightError(problem, where=where, cure=cure) from error
    return network.requires_grad_(False).eval()


def choose_device(name: str) -> torch.device:
    """The device ``name``; ``"auto"`` is the first GPU if there is one, else the CPU.

    Raises:
        OptionError: the device is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise OptionError(
            f"device {name!r} is not there: {str(error).splitlines()[0]}", cure="use --device cpu or auto"
        ) from error
    return device


def fast_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 arithmetic pays on ``device``: a GPU that has it, or a CPU with AMX or AVX-512 units for it."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    supported = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(probe is not None and probe() for probe in supported)


class _InBfloat16(nn.Module):
    """A network under autocast to bfloat16, float32 outside."""

    def __init__(self, network: nn.Module, device: torch.device) -> None:
        super().__init__()
        if not fast_bfloat16(device):
            raise OptionError(
                f"this {device.type} has no units for bfloat16: it would be many times slower", cure="leave --bf16 out"
            )
        self.network, self.device_type = network, device.type

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(self.device_type, torch.bfloat16):
            return self.network(x).float()

    def classify(self, features: Tensor) -> Tensor:
        return self.network.classify(features)  # type: ignore[operator]  # as in Encoder
