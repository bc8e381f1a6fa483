"""Encoders of the catalogue whose last blocks were trained further: a folder that names the encoder; no pickle.

Network and input are the catalogue's, the weights are the folder's.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from torch import nn

from ..engine.model_folder import CONFIG, MAKE_ANEW, WEIGHTS, peek_config, read_config, save_weights
from ..errors import WeightError
from ..files import sha256_of, write_json
from .trained import encoder_folder

KIND, VERSION = "tuned-encoder", 1


@dataclass(frozen=True)
class TunedSpec:
    """What was trained further."""

    encoder: str
    """Its name in the catalogue."""
    size: int
    """Pixels of the square that it sees."""
    blocks: int
    """How many of its last blocks were trained."""


def save_tuned(folder: str | Path, network: nn.Module, spec: TunedSpec) -> None:
    """Write an encoder that ``kinoscope.load_encoder(folder)`` reads; each file atomically.

    Raises:
        OutputError: the folder cannot be written.
    """
    folder = Path(folder)
    save_weights(folder, network)
    config = {"kind": KIND, "version": VERSION, **asdict(spec), "weights": sha256_of(folder / WEIGHTS)}
    write_json(folder / CONFIG, config)


def tuned_spec(folder: str | Path) -> TunedSpec | None:
    """What the encoder in ``folder`` began as; none if it is an encoder of another kind.

    Raises:
        WeightError: no encoder is there, or its ``config.json`` is damaged or of a newer version.
    """
    folder = encoder_folder(folder)
    config = peek_config(folder / CONFIG)
    if not isinstance(config, dict) or config.get("kind") != KIND:
        return None
    config = read_config(folder, KIND, VERSION, MAKE_ANEW)
    spec = TunedSpec(config.get("encoder", ""), config.get("size", 0), config.get("blocks", 0))
    if not (isinstance(spec.encoder, str) and type(spec.size) is int and type(spec.blocks) is int):
        raise WeightError("does not say which encoder it began as", where=folder / CONFIG, cure=MAKE_ANEW)
    return spec
